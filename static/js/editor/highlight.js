// Syntax highlighting by class names only: the stylesheet colours them, in light and in dark.

import { Tag, styleTags, syntaxHighlighting, tagHighlighter, tags as t } from "../../vendor/editor.js";

const wikiLink = Tag.define(t.link);

const classes = tagHighlighter([
  { tag: t.heading1, class: "tok-heading tok-heading1" },
  { tag: t.heading2, class: "tok-heading tok-heading2" },
  { tag: t.heading3, class: "tok-heading tok-heading3" },
  { tag: t.heading, class: "tok-heading" },
  { tag: t.strong, class: "tok-strong" },
  { tag: t.emphasis, class: "tok-emphasis" },
  { tag: t.strikethrough, class: "tok-strikethrough" },
  { tag: wikiLink, class: "tok-link tok-wikilink" },
  { tag: t.link, class: "tok-link" },
  { tag: t.url, class: "tok-url" },
  { tag: t.quote, class: "tok-quote" },
  { tag: t.monospace, class: "tok-monospace" },
  { tag: t.processingInstruction, class: "tok-meta tok-processingInstruction" },
  { tag: t.contentSeparator, class: "tok-meta" },
  { tag: t.meta, class: "tok-meta" },
  { tag: t.comment, class: "tok-comment" },
  { tag: t.keyword, class: "tok-keyword" },
  { tag: [t.string, t.special(t.string), t.regexp, t.escape], class: "tok-string" },
  { tag: t.number, class: "tok-number" },
  { tag: t.bool, class: "tok-bool" },
  { tag: [t.atom, t.null], class: "tok-atom" },
  { tag: t.literal, class: "tok-literal" },
  { tag: [t.typeName, t.className, t.namespace], class: "tok-typeName" },
  { tag: [t.propertyName, t.attributeName], class: "tok-propertyName" },
  { tag: t.operator, class: "tok-operator" },
  { tag: t.punctuation, class: "tok-punctuation" },
]);

/** The extension. */
export const highlighting = syntaxHighlighting(/** @type {any} */ (classes));

/** `[[page]]` and `[[page|label]]` as one inline element of the Markdown grammar. */
export const wikiLinkSyntax = {
  defineNodes: [{ name: "WikiLink" }],
  parseInline: [
    {
      name: "WikiLink",
      before: "Link",
      /**
       * @param {any} cx
       * @param {number} next
       * @param {number} pos
       */
      parse(cx, next, pos) {
        if (next !== 91 || cx.char(pos + 1) !== 91) return -1;
        const found = /^\[\[[^[\]\n]{1,400}\]\]/.exec(cx.slice(pos, Math.min(cx.end, pos + 404)));
        return found ? cx.addElement(cx.elt("WikiLink", pos, pos + found[0].length)) : -1;
      },
    },
  ],
  props: [styleTags({ WikiLink: wikiLink })],
};
