// Stands in for @codemirror/lang-html, which brings whole grammars of HTML, CSS and JavaScript with it:
// raw HTML inside Markdown is rare in a wiki, and the small tokeniser colours it well enough.
import { LanguageSupport, StreamLanguage } from "@codemirror/language";
import { html as mode } from "@codemirror/legacy-modes/mode/xml";

/** As lang-html's `html()`: the language with no extensions. */
export function html() {
  return new LanguageSupport(StreamLanguage.define(mode));
}

/** As lang-html's completion source, with nothing to offer. */
export function htmlCompletionSource() {
  return null;
}
