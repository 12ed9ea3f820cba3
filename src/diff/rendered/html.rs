//! Blocks of safe HTML as trees: elements that stand below each other, and runs of words in them.
//!
//! What is read here came out of the renderer's sanitiser, so every element is closed and every
//! attribute quoted; anything else is not read at all ([`Arena::read`] answers `None`). Left out
//! is what means something on the page as it is now and nothing in a comparison: ids and links to
//! them, and what scripts look for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::diff::words;

/// Deepest nesting that is read. The renderer writes at most half of that.
const MAX_DEPTH: usize = 200;

/// Elements of running text, unless there is another kind of element in them.
#[rustfmt::skip]
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "dfn", "em", "i", "img", "input", "kbd",
    "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
];

/// Elements that have neither content nor an end.
const VOID: &[&str] = &["br", "col", "hr", "img", "input", "wbr"];

/// Words of a node that are looked at to tell whether it is like another.
const MAX_WORDS: usize = 1_000;

/// The path of what stands in no inline element.
const TOP: u32 = 0;

/// A part of a block.
pub(super) enum Node<'h> {
    /// An element with whatever is in it.
    Element(Element<'h>),
    /// Words between elements.
    Run(Run<'h>),
}

/// An element.
pub(super) struct Element<'h> {
    tag: Tag<'h>,
    /// What is in it.
    pub children: Vec<Node<'h>>,
    key: u64,
}

/// Words that stand in a row, with the inline elements around each.
pub(super) struct Run<'h> {
    /// The words, and the space between them.
    pub tokens: Vec<Token<'h>>,
    /// White space is shown as it is.
    pub is_preformatted: bool,
    key: u64,
}

/// A word, a sign, some space, or an element without content.
pub(super) struct Token<'h> {
    /// As HTML.
    pub html: Cow<'h, str>,
    /// The same number: the same word within the same elements.
    pub key: u32,
    /// Number of the innermost inline element around it, see [`Arena::span`].
    pub path: u32,
    /// Nothing but white space.
    pub is_space: bool,
    /// The same number: the same word, whatever is around it.
    word: u32,
}

/// An inline element, as often as it was opened.
pub(super) struct Span<'h> {
    /// Number of the one around it.
    pub parent: u32,
    /// Its name, for its end.
    pub name: &'h str,
    /// How it begins.
    pub open: String,
    /// Colours code and says nothing: what a change above a line does to colours is no change.
    pub is_colour: bool,
    /// The same number: the same elements from the outermost inwards.
    shape: u32,
}

/// What both sides of a comparison share: numbers for words and elements.
pub(super) struct Arena<'h> {
    words: HashMap<Cow<'h, str>, u32>,
    shapes: HashMap<(u32, String), u32>,
    keys: HashMap<(u32, u32), u32>,
    spans: Vec<Span<'h>>,
    /// Secret of the keys of nodes, so that no text can be made to meet another's.
    state: RandomState,
}

impl<'h> Arena<'h> {
    pub fn new() -> Self {
        let top = Span { parent: TOP, name: "", open: String::new(), is_colour: false, shape: TOP };
        Self {
            words: HashMap::new(),
            shapes: HashMap::new(),
            keys: HashMap::new(),
            spans: vec![top],
            state: RandomState::new(),
        }
    }

    /// The nodes of a block's HTML; `None` when it is not as the sanitiser writes it.
    pub fn read(&mut self, html: &'h str) -> Option<Vec<Node<'h>>> {
        let parts = parts(html)?;
        Some(self.nodes(parts, false))
    }

    /// HTML that cannot be read, as text.
    pub fn source(&mut self, html: &'h str) -> Node<'h> {
        let escaped = html.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let tokens = vec![self.token(escaped.into(), TOP, false)];
        let run = self.run(tokens, true);
        let tag = Tag { name: "pre", ..Tag::default() };
        Node::Element(self.element(tag, run.into_iter().map(Node::Run).collect()))
    }

    /// The inline element of a number; `None` outside of all.
    pub fn span(&self, path: u32) -> Option<&Span<'h>> {
        if path == TOP { None } else { self.spans.get(path as usize) }
    }

    fn nodes(&mut self, parts: Vec<Part<'h>>, is_preformatted: bool) -> Vec<Node<'h>> {
        let mut nodes = Vec::new();
        let mut tokens = Vec::new();
        for part in parts {
            match part {
                Part::Element { tag, children, is_inline: false } => {
                    let run = self.run(std::mem::take(&mut tokens), is_preformatted);
                    nodes.extend(run.map(Node::Run));
                    let inside = is_preformatted || tag.name == "pre";
                    let children = self.nodes(children, inside);
                    nodes.push(Node::Element(self.element(tag, children)));
                }
                inline => self.inline(inline, TOP, is_preformatted, &mut tokens),
            }
        }
        nodes.extend(self.run(tokens, is_preformatted).map(Node::Run));
        nodes
    }

    fn element(&self, tag: Tag<'h>, children: Vec<Node<'h>>) -> Element<'h> {
        let mut state = self.state.build_hasher();
        tag.hash(&mut state);
        for child in &children {
            child.key().hash(&mut state);
        }
        children.len().hash(&mut state);
        Element { tag, children, key: state.finish() }
    }

    /// Space at the ends of a run shows only where white space is shown as it is; a run of nothing
    /// else is none.
    fn run(&self, mut tokens: Vec<Token<'h>>, is_preformatted: bool) -> Option<Run<'h>> {
        if tokens.iter().all(|token| token.is_space) {
            return None;
        }
        let mut state = self.state.build_hasher();
        if !is_preformatted {
            let end = tokens.iter().rposition(|token| !token.is_space).map_or(0, |last| last + 1);
            tokens.truncate(end);
            let first = tokens.iter().position(|token| !token.is_space).unwrap_or(0);
            tokens.drain(..first);
        }
        for token in &tokens {
            token.key.hash(&mut state);
        }
        // No element has this one.
        "run".hash(&mut state);
        Some(Run { tokens, is_preformatted, key: state.finish() })
    }

    /// Adds the words of a text or an inline element.
    fn inline(
        &mut self,
        part: Part<'h>,
        path: u32,
        is_preformatted: bool,
        tokens: &mut Vec<Token<'h>>,
    ) {
        match part {
            Part::Text(text) => {
                let mut rest = text;
                while !rest.is_empty() {
                    let (length, is_space) = token_length(rest, is_preformatted);
                    let (token, after) = rest.split_at(length);
                    rest = after;
                    if is_space && !is_preformatted {
                        // Where it is broken into lines is nobody's business.
                        let is_again = tokens.last().is_some_and(|last| last.is_space);
                        if !is_again {
                            tokens.push(self.token(" ".into(), path, true));
                        }
                    } else {
                        tokens.push(self.token(token.into(), path, is_space));
                    }
                }
            }
            Part::Element { tag, .. } if tag.is_void() => {
                tokens.push(self.token(tag.open("").into(), path, false));
            }
            Part::Element { tag, children, .. } => {
                let path = self.open(&tag, path);
                for child in children {
                    self.inline(child, path, is_preformatted, tokens);
                }
            }
        }
    }

    fn open(&mut self, tag: &Tag<'h>, parent: u32) -> u32 {
        let is_colour = tag.class.is_some_and(|class| class.starts_with("hl-"));
        let open = tag.open("");
        let around = self.spans.get(parent as usize).map_or(TOP, |span| span.shape);
        let shape = match is_colour {
            true => around,
            false => {
                let next = self.shapes.len() as u32 + 1;
                *self.shapes.entry((around, open.clone())).or_insert(next)
            }
        };
        self.spans.push(Span { parent, name: tag.name, open, is_colour, shape });
        self.spans.len() as u32 - 1
    }

    fn token(&mut self, html: Cow<'h, str>, path: u32, is_space: bool) -> Token<'h> {
        let next = self.words.len() as u32;
        let word = *self.words.entry(html.clone()).or_insert(next);
        // Whether a space is within the link before it or after it is no difference.
        let around = match is_space {
            true => TOP,
            false => self.spans.get(path as usize).map_or(TOP, |span| span.shape),
        };
        let next = self.keys.len() as u32;
        let key = *self.keys.entry((around, word)).or_insert(next);
        Token { html, key, path, is_space, word }
    }
}

impl Node<'_> {
    /// The same number: the same node, as far as people can see.
    pub fn key(&self) -> u64 {
        match self {
            Self::Element(element) => element.key,
            Self::Run(run) => run.key,
        }
    }

    /// Numbers of its first words in ascending order.
    pub fn words(&self) -> Vec<u32> {
        let mut words = Vec::new();
        self.gather(&mut words);
        words.sort_unstable();
        words
    }

    fn gather(&self, words: &mut Vec<u32>) {
        match self {
            Self::Element(element) => {
                for child in &element.children {
                    if words.len() < MAX_WORDS {
                        child.gather(words);
                    }
                }
            }
            Self::Run(run) => {
                let found = run.tokens.iter().filter(|token| !token.is_space);
                words.extend(found.take(MAX_WORDS - words.len()).map(|token| token.word));
            }
        }
    }

    /// Bytes of what people read in it, as HTML.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Element(element) => element.children.iter().map(Node::text_bytes).sum(),
            Self::Run(run) => run.tokens.iter().map(|token| token.html.len()).sum(),
        }
    }
}

impl Element<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.tag.name
    }

    /// Whether it begins as another does.
    pub fn has_tag_of(&self, other: &Self) -> bool {
        self.tag == other.tag
    }

    /// Writes its beginning, with one more class unless that is empty. False when there is neither
    /// content nor an end.
    pub fn write_open(&self, class: &str, out: &mut String) -> bool {
        out.push_str(&self.tag.open(class));
        !self.tag.is_void()
    }

    /// Writes its end.
    pub fn write_close(&self, out: &mut String) {
        out.push_str("</");
        out.push_str(self.tag.name);
        out.push('>');
    }
}

/// How an element begins, without what has no place in a comparison.
#[derive(Default, PartialEq, Eq, Hash)]
struct Tag<'h> {
    name: &'h str,
    /// All but the class, each with a space before it, quoted as they came.
    attributes: String,
    class: Option<&'h str>,
}

impl<'h> Tag<'h> {
    /// Reads what follows a `<`; also its name as it was written and the rest after the `>`.
    fn read(html: &'h str) -> Option<(Self, &'h str, &'h str)> {
        let length = html.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (written, mut rest) = html.split_at(length);
        if written.is_empty() {
            return None;
        }
        let name = match written {
            // What the author struck out or underlined must not be taken for the comparison's.
            "del" => "s",
            "ins" => "u",
            other => other,
        };
        let mut tag = Self { name, ..Self::default() };
        loop {
            if let Some(after) = rest.strip_prefix('>') {
                if name == "details" {
                    // A change in it is to be seen.
                    tag.attributes.push_str(" open=\"\"");
                }
                return Some((tag, written, after));
            }
            let (name, value) = rest.strip_prefix(' ')?.split_once("=\"")?;
            let (value, after) = value.split_once('"')?;
            rest = after;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
                return None;
            }
            match name {
                "class" => tag.class = Some(value),
                "id" | "data-task" | "open" => {}
                "href" if value.starts_with('#') => {}
                _ => {
                    for part in [" ", name, "=\"", value, "\""] {
                        tag.attributes.push_str(part);
                    }
                }
            }
        }
    }

    fn is_void(&self) -> bool {
        VOID.contains(&self.name)
    }

    /// How it is written, with one more class unless that is empty.
    fn open(&self, more_class: &str) -> String {
        let mut open = format!("<{}{}", self.name, self.attributes);
        let classes = [self.class.unwrap_or_default(), more_class];
        let classes: Vec<_> = classes.into_iter().filter(|class| !class.is_empty()).collect();
        if !classes.is_empty() {
            open.push_str(" class=\"");
            open.push_str(&classes.join(" "));
            open.push('"');
        }
        open.push('>');
        open
    }
}

/// HTML taken apart, before it is known what belongs together.
enum Part<'h> {
    Text(&'h str),
    Element { tag: Tag<'h>, children: Vec<Part<'h>>, is_inline: bool },
}

/// An element that is open.
struct Frame<'h> {
    tag: Tag<'h>,
    written: &'h str,
    /// The link that the renderer puts at a heading or a footnote.
    is_way: bool,
    children: Vec<Part<'h>>,
}

fn parts(html: &str) -> Option<Vec<Part<'_>>> {
    let mut top = Vec::new();
    let mut open: Vec<Frame<'_>> = Vec::new();
    let mut rest = html;
    while !rest.is_empty() {
        let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        if !text.is_empty() {
            into(&mut open, &mut top).push(Part::Text(text));
        }
        let Some(markup) = after.strip_prefix('<') else { break };
        if let Some(end) = markup.strip_prefix('/') {
            let (name, after) = end.split_once('>')?;
            let frame = open.pop().filter(|frame| frame.written == name)?;
            if let Some(part) = frame.close() {
                into(&mut open, &mut top).push(part);
            }
            rest = after;
            continue;
        }
        let is_way = markup.starts_with("a ") && is_way(markup);
        let (tag, written, after) = Tag::read(markup)?;
        rest = after;
        if tag.is_void() {
            let is_inline = INLINE.contains(&tag.name);
            let element = Part::Element { tag, children: Vec::new(), is_inline };
            into(&mut open, &mut top).push(element);
        } else if open.len() < MAX_DEPTH {
            open.push(Frame { tag, written, is_way, children: Vec::new() });
        } else {
            return None;
        }
    }
    open.is_empty().then_some(top)
}

/// Where the next part goes.
fn into<'a, 'h>(open: &'a mut [Frame<'h>], top: &'a mut Vec<Part<'h>>) -> &'a mut Vec<Part<'h>> {
    match open.last_mut() {
        Some(frame) => &mut frame.children,
        None => top,
    }
}

/// Whether a link is as the renderer writes the one to a heading and the one back from a footnote.
/// Its text is looked at as well: nobody can hide anything by writing such a link.
fn is_way(markup: &str) -> bool {
    let Some((tag, after)) = markup.split_once('>') else { return false };
    let class = |class: &str| tag.contains(&format!(" class=\"{class}\""));
    tag.contains(" href=\"#user-")
        && (class("anchor") && after.starts_with("#</a>")
            || class("footnote-back") && after.starts_with("↩</a>"))
}

impl<'h> Frame<'h> {
    fn close(self) -> Option<Part<'h>> {
        let Self { tag, is_way, children, .. } = self;
        if is_way {
            return None;
        }
        let is_text = |part: &Part<'_>| match part {
            Part::Text(_) => true,
            Part::Element { is_inline, .. } => *is_inline,
        };
        let is_inline = INLINE.contains(&tag.name) && children.iter().all(is_text);
        Some(Part::Element { tag, children, is_inline })
    }
}

/// Bytes of the first word, sign or white space of a text that is not empty, and whether it is
/// white space.
fn token_length(text: &str, is_preformatted: bool) -> (usize, bool) {
    if text.starts_with('&') {
        // The sanitiser writes no longer ones.
        let end = text.bytes().take(8).position(|b| b == b';').map_or(1, |at| at + 1);
        return (end, false);
    }
    words::token_length(text, is_preformatted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, is_preformatted: bool) -> Vec<&str> {
        let (mut rest, mut found) = (text, Vec::new());
        while !rest.is_empty() {
            let (token, after) = rest.split_at(token_length(rest, is_preformatted).0);
            found.push(token);
            rest = after;
        }
        found
    }

    /// Nodes in brackets, words with `|` between them, inline elements as their path.
    fn drawn(html: &str) -> Option<String> {
        fn draw(arena: &Arena<'_>, node: &Node<'_>, out: &mut String) {
            match node {
                Node::Element(element) => {
                    let inside = element.write_open("", out);
                    element.children.iter().for_each(|child| draw(arena, child, out));
                    if inside {
                        element.write_close(out);
                    }
                }
                Node::Run(run) => {
                    out.push('[');
                    for (n, token) in run.tokens.iter().enumerate() {
                        out.push_str(if n == 0 { "" } else { "|" });
                        let mut path = token.path;
                        while let Some(span) = arena.span(path) {
                            out.push_str(&span.open);
                            path = span.parent;
                        }
                        out.push_str(&token.html);
                    }
                    out.push(']');
                }
            }
        }
        let mut arena = Arena::new();
        let nodes = arena.read(html)?;
        let mut out = String::new();
        nodes.iter().for_each(|one| draw(&arena, one, &mut out));
        Some(out)
    }

    #[test]
    fn a_text_is_cut_into_words_signs_and_space_and_never_within_a_character() {
        assert_eq!(tokens("One, two_3", false), ["One", ",", " ", "two_3"]);
        assert_eq!(tokens("a &amp;&lt;b", false), ["a", " ", "&amp;", "&lt;", "b"]);
        assert_eq!(tokens("a  \n b", false), ["a", "  \n ", "b"]);
        assert_eq!(tokens("a  \n\n b", true), ["a", "  ", "\n", "\n", " ", "b"]);
        assert_eq!(tokens("“Yes” – 5 €", false), ["“", "Yes", "”", " ", "–", " ", "5", " ", "€"]);
        assert_eq!(tokens("日本語だ", false), ["日", "本", "語", "だ"]);
        assert_eq!(tokens("か\u{3099}く", false), ["か\u{3099}", "く"]);
        assert_eq!(tokens("cafe\u{301} über", false), ["cafe\u{301}", " ", "über"]);
        assert_eq!(tokens("#\u{fe0f}\u{20e3}x", false), ["#\u{fe0f}\u{20e3}", "x"]);
        let family = "\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(tokens(family, false), [family]);
    }

    #[test]
    fn blocks_are_elements_and_what_is_between_them_are_words() {
        let check = |html, expected: &str| assert_eq!(drawn(html).as_deref(), Some(expected));
        check("<p>One <b>two</b></p>\n", "<p>[One| |<b>two]</p>");
        check(
            "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n</ul>",
            "<ul><li>[a]<ul><li>[b]</li></ul></li></ul>",
        );
        check(
            "<pre class=\"code\"><code>a\n b\n</code></pre>",
            "<pre class=\"code\">[<code>a|<code>\n|<code> |<code>b|<code>\n]</pre>",
        );
        check("<a href=\"/x\"><div>b</div></a>", "<a href=\"/x\"><div>[b]</div></a>");
        check("x<hr>y", "[x]<hr>[y]");
        check(
            "<p>a<br>b<img src=\"/a.png\" alt=\"c &lt;d\"></p>",
            "<p>[a|<br>|b|<img src=\"/a.png\" alt=\"c &lt;d\">]</p>",
        );
    }

    #[test]
    fn ids_and_ways_to_them_are_left_out_and_marks_of_the_author_are_no_ins_and_del() {
        let check = |html, expected: &str| assert_eq!(drawn(html).as_deref(), Some(expected));
        check(
            "<h2 id=\"user-a\">A <a class=\"anchor\" href=\"#user-a\" aria-label=\"Link to this section\">#</a></h2>",
            "<h2>[A]</h2>",
        );
        check("<p>b <a class=\"footnote-back\" href=\"#user-fnref-1\">↩</a></p>", "<p>[b]</p>");
        // Whoever writes one with other words hides nothing by it.
        check(
            "<p><a class=\"anchor\" href=\"#user-a\">spam</a></p>",
            "<p>[<a class=\"anchor\">spam]</p>",
        );
        check(
            "<p><a class=\"anchor\" href=\"/x\">#</a></p>",
            "<p>[<a href=\"/x\" class=\"anchor\">#]</p>",
        );
        check("<p><del>a</del><ins cite=\"/x\">b</ins></p>", "<p>[<s>a|<u cite=\"/x\">b]</p>");
        check(
            "<li class=\"task\"><input type=\"checkbox\" data-task=\"3\"> a</li>",
            "<li class=\"task\">[<input type=\"checkbox\">| |a]</li>",
        );
        check(
            "<details><summary>a</summary></details>",
            "<details open=\"\"><summary>[a]</summary></details>",
        );
    }

    #[test]
    fn what_the_sanitiser_does_not_write_is_not_read() {
        for html in [
            "<p>",
            "</p>",
            "<p></b></p>",
            "<b><i></b></i>",
            "<",
            "<p",
            "<p a>",
            "<p a=b>",
            "<p a=\"b>",
            "<!-- x -->",
            "<p  a=\"b\"></p>",
            "<p A=\"b\"></p>",
            "<p/>",
            "< p></p>",
            "<p a=\"b\"c=\"d\"></p>",
        ] {
            assert!(drawn(html).is_none(), "{html}");
        }
        assert!(drawn(&"<div>".repeat(MAX_DEPTH + 1)).is_none());
        let deep = "<div>".repeat(MAX_DEPTH) + &"</div>".repeat(MAX_DEPTH);
        assert!(drawn(&deep).is_some());
        let mut arena = Arena::new();
        let Node::Element(element) = arena.source("<p onclick=\"x\">&amp;") else {
            panic!("no element")
        };
        let Node::Run(run) = &element.children[0] else { panic!("no run") };
        assert_eq!(run.tokens[0].html, "&lt;p onclick=\"x\"&gt;&amp;amp;");
    }

    #[test]
    fn what_looks_the_same_has_the_same_key() {
        let mut arena = Arena::new();
        let mut key =
            |html| arena.read(html).expect("read").iter().map(Node::key).collect::<Vec<_>>();
        let mut same = |a, b| key(a) == key(b);
        assert!(same("<p>a b</p>", "<p>a\nb</p>"));
        assert!(same("<h2 id=\"user-a\">a</h2>", "<h2 id=\"user-a-1\">a</h2>"));
        assert!(same("<ul>\n<li>a</li>\n</ul>", "<ul><li>a</li></ul>"));
        let code = |inside: &str| format!("<pre><code>{inside}</code></pre>");
        let (plain, coloured) = (code("let a"), code("<span class=\"hl-keyword\">let</span> a"));
        assert!(same(&plain, &coloured));
        assert!(!same("<p>a b</p>", "<p>a <b>b</b></p>"));
        assert!(!same("<p>a b</p>", "<p>ab</p>"));
        assert!(!same("<p>ab</p>", "<h1>ab</h1>"));
        assert!(!same("<pre>a b</pre>", "<pre>a\nb</pre>"));
        assert!(!same("<p><a href=\"/x\">a</a></p>", "<p><a href=\"/y\">a</a></p>"));
    }
}
