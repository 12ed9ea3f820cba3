//! One block's pieces as HTML.

mod footnotes;
mod html;
mod links;

use std::fmt::Write as _;

use pulldown_cmark::{Alignment, BlockQuoteKind, CodeBlockKind, CowStr, LinkType, Tag, TagEnd};

use super::autolink;
use super::collect::{Gathered, Piece};
use super::context::{Decisions, Footnote};
use super::highlight::{Highlighter, label, language};
use super::url::{ID_PREFIX, classify, push_escaped, push_href};
use links::link_attributes;

/// Deepest nesting of elements in the output; what is deeper is written without its element.
///
/// The sanitiser's work per element grows with the depth, and browsers stop nesting at 512.
pub(super) const MAX_DEPTH: usize = 100;

/// Depth that is kept free for elements that come in twos and threes (`pre`, `code`, `span`).
const SPARE: usize = 6;

/// An element that is open in the output.
struct Open {
    name: &'static str,
    /// Written by the author as a tag, rather than made from Markdown.
    raw: bool,
}

/// Writes one block.
pub(super) struct Writer<'b, 'a> {
    block: &'b Gathered<'a>,
    decisions: &'b Decisions,
    highlighter: &'b mut Highlighter,
    out: String,
    stack: Vec<Open>,
    /// For each open Markdown container: the stack's height before it.
    frames: Vec<usize>,
    /// An element such as `<script>` whose content is left out, and the height it ends at.
    mute: Option<(&'static str, usize)>,
    next_heading: usize,
    next_wikilink: usize,
    next_reference: usize,
    next_definition: usize,
    next_coloured: usize,
    next_task: usize,
    alignments: Vec<Alignment>,
    in_head: bool,
    cell: usize,
    definition: Vec<Footnote>,
}

impl<'b, 'a> Writer<'b, 'a> {
    /// A writer for `block`.
    pub fn new(
        block: &'b Gathered<'a>,
        decisions: &'b Decisions,
        highlighter: &'b mut Highlighter,
    ) -> Self {
        Self {
            block,
            decisions,
            highlighter,
            out: String::with_capacity(2 * block.text.len() + 64),
            stack: Vec::new(),
            frames: Vec::new(),
            mute: None,
            next_heading: 0,
            next_wikilink: 0,
            next_reference: 0,
            next_definition: 0,
            next_coloured: 0,
            next_task: 0,
            alignments: Vec::new(),
            in_head: false,
            cell: 0,
            definition: Vec::new(),
        }
    }

    /// The block's HTML: well formed, at most [`MAX_DEPTH`] deep, and not yet safe.
    pub fn write(mut self) -> String {
        let mut at = 0;
        let block = self.block;
        while let Some(piece) = block.pieces.get(at) {
            at += 1;
            match piece {
                Piece::Html(range) => self.html(&block.text[range.clone()]),
                Piece::Start(Tag::Image { link_type, dest_url, title, .. }) => {
                    let end = self.image_end(at);
                    self.image(*link_type, dest_url, title, at..end);
                    at = end + 1;
                }
                Piece::Start(Tag::CodeBlock(kind)) => {
                    let end = self.find_end(at, TagEnd::CodeBlock);
                    self.code_block(kind, at..end);
                    at = end + 1;
                }
                Piece::Start(tag) => self.start(tag, at),
                Piece::End(tag) => self.end(*tag),
                Piece::FootnoteReference(_) => self.footnote_reference(),
                Piece::Task(done, _) => self.task(*done),
                _ if self.mute.is_some() => {}
                Piece::Text(range) => self.text(&block.text[range.clone()]),
                Piece::Code(code) => {
                    self.out.push_str("<code>");
                    push_escaped(&mut self.out, code);
                    self.out.push_str("</code>");
                }
                Piece::SoftBreak => self.out.push('\n'),
                Piece::HardBreak => self.out.push_str("<br>\n"),
                Piece::Rule => self.out.push_str("<hr>"),
            }
        }
        self.close_to(0);
        self.out
    }

    // The stack.

    /// Opens an element with its attributes as given, unless that would be too deep.
    fn open(&mut self, name: &'static str, attributes: &str) {
        if self.mute.is_some() || self.stack.len() + SPARE >= MAX_DEPTH {
            return;
        }
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(attributes);
        self.out.push('>');
        self.stack.push(Open { name, raw: false });
    }

    /// Closes elements until `height` are open.
    fn close_to(&mut self, height: usize) {
        if self.mute.is_some_and(|(_, at)| at > height) {
            self.mute = None;
        }
        while self.stack.len() > height {
            if let Some(Open { name, .. }) = self.stack.pop() {
                let _ = write!(self.out, "</{name}>");
            }
        }
    }

    fn frame(&mut self) {
        self.frames.push(self.stack.len());
    }

    fn end_frame(&mut self) {
        let height = self.frames.pop().unwrap_or(0);
        // `mute` at this very height began inside the container, and ends with it.
        if self.mute.is_some_and(|(_, at)| at >= height) {
            self.mute = None;
        }
        self.close_to(height);
    }

    fn within(&self, name: &str) -> bool {
        self.stack.iter().any(|open| open.name == name)
    }

    // Markdown.

    fn start(&mut self, tag: &Tag<'_>, next: usize) {
        self.frame();
        match tag {
            Tag::Paragraph => self.open("p", ""),
            Tag::Heading { level, .. } => {
                let name = ["h1", "h2", "h3", "h4", "h5", "h6"][*level as usize - 1];
                let mut id = String::new();
                if let Some(slug) = self.heading_slug() {
                    let _ = write!(id, " id=\"{ID_PREFIX}{slug}\"");
                }
                self.open(name, &id);
            }
            Tag::BlockQuote(None) => self.open("blockquote", ""),
            Tag::BlockQuote(Some(kind)) => {
                let (class, title) = match kind {
                    BlockQuoteKind::Note => ("note", "Note"),
                    BlockQuoteKind::Tip => ("tip", "Tip"),
                    BlockQuoteKind::Important => ("important", "Important"),
                    BlockQuoteKind::Warning => ("warning", "Warning"),
                    BlockQuoteKind::Caution => ("caution", "Caution"),
                };
                self.open("div", &format!(" class=\"alert alert-{class}\""));
                self.frame();
                self.open("p", " class=\"alert-title\"");
                if self.mute.is_none() {
                    self.out.push_str(title);
                }
                self.end_frame();
            }
            Tag::List(None) => self.open("ul", ""),
            Tag::List(Some(1)) => self.open("ol", ""),
            Tag::List(Some(start)) => self.open("ol", &format!(" start=\"{start}\"")),
            Tag::Item => {
                let first = self.block.pieces.get(next..).unwrap_or_default();
                let class = match first {
                    [Piece::Task(done, _), ..]
                    | [Piece::Start(Tag::Paragraph), Piece::Task(done, _), ..] => {
                        if *done {
                            " class=\"task done\""
                        } else {
                            " class=\"task\""
                        }
                    }
                    _ => "",
                };
                self.open("li", class);
            }
            Tag::FootnoteDefinition(_) => self.footnote_definition(),
            Tag::Table(alignments) => {
                self.alignments.clone_from(alignments);
                self.open("div", " class=\"table-wrap\"");
                self.open("table", "");
            }
            Tag::TableHead => {
                self.in_head = true;
                self.cell = 0;
                self.open("thead", "");
                self.open("tr", "");
            }
            Tag::TableRow => {
                self.cell = 0;
                if self.stack.last().is_some_and(|open| open.name == "table") {
                    // The body is a part that Markdown does not name: it ends with the table.
                    self.open("tbody", "");
                    if let Some(frame) = self.frames.last_mut() {
                        *frame = self.stack.len();
                    }
                }
                self.open("tr", "");
            }
            Tag::TableCell => {
                let class = match self.alignments.get(self.cell) {
                    Some(Alignment::Left) => " class=\"align-left\"",
                    Some(Alignment::Center) => " class=\"align-center\"",
                    Some(Alignment::Right) => " class=\"align-right\"",
                    _ => "",
                };
                self.cell += 1;
                self.open(if self.in_head { "th" } else { "td" }, class);
            }
            Tag::Emphasis => self.open("em", ""),
            Tag::Strong => self.open("strong", ""),
            Tag::Strikethrough => self.open("del", ""),
            Tag::Link { link_type: LinkType::WikiLink { has_pothole }, dest_url, .. } => {
                self.wikilink(*has_pothole, dest_url);
            }
            Tag::Link { link_type, dest_url, title, .. } => {
                self.link(*link_type, dest_url, title);
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if let Some(slug) = self.heading_slug()
                    && self.mute.is_none()
                    && !self.within("a")
                {
                    let height = self.frames.last().map_or(0, |height| height + 1);
                    self.close_to(height);
                    self.out.push_str(" <a class=\"anchor\" href=\"#user-");
                    push_href(&mut self.out, slug);
                    self.out.push_str("\" aria-label=\"Link to this section\">#</a>");
                }
                self.next_heading += 1;
            }
            TagEnd::TableHead => self.in_head = false,
            TagEnd::FootnoteDefinition => self.footnote_end(),
            _ => {}
        }
        if tag == TagEnd::Link && matches!(self.frames.last(), Some(&INVALID)) {
            self.frames.pop();
            self.out.push_str("]]");
            return;
        }
        self.end_frame();
        if matches!(
            tag,
            TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::BlockQuote(_)
                | TagEnd::List(_)
                | TagEnd::Item
                | TagEnd::Table
                | TagEnd::TableHead
                | TagEnd::TableRow
        ) {
            self.out.push('\n');
        }
    }

    /// The present heading's id, if it has one.
    fn heading_slug(&self) -> Option<&'b str> {
        let slug = self.decisions.headings.get(self.next_heading)?;
        (!slug.is_empty()).then_some(slug.as_str())
    }

    fn code_block(&mut self, kind: &CodeBlockKind<'_>, content: std::ops::Range<usize>) {
        let info = match kind {
            CodeBlockKind::Fenced(info) => info,
            CodeBlockKind::Indented => &CowStr::Borrowed(""),
        };
        let token = language(info);
        let coloured = token.is_some_and(|_| {
            self.next_coloured += 1;
            self.decisions.coloured.get(self.next_coloured - 1) == Some(&true)
        });
        if self.mute.is_some() {
            return;
        }
        self.frame();
        let mut attributes = " class=\"code\"".to_owned();
        if !label(info).is_empty() {
            attributes.push_str(" data-language=\"");
            push_escaped(&mut attributes, label(info));
            attributes.push('"');
        }
        self.open("pre", &attributes);
        self.open("code", "");
        for piece in self.block.pieces.get(content).unwrap_or_default() {
            if let Piece::Text(range) = piece {
                let code = &self.block.text[range.clone()];
                match token {
                    Some(token) if coloured => self.highlighter.write(&mut self.out, token, code),
                    _ => push_escaped(&mut self.out, code),
                }
            }
        }
        self.end_frame();
        self.out.push('\n');
    }

    fn task(&mut self, done: bool) {
        let line = self.decisions.tasks.get(self.next_task).copied().unwrap_or_default();
        self.next_task += 1;
        if self.mute.is_some() {
            return;
        }
        let (checked, name) = if done { (" checked", "Done") } else { ("", "Not done") };
        let _ = write!(
            self.out,
            "<input type=\"checkbox\" disabled{checked} data-task=\"{line}\" aria-label=\"{name}\"> ",
        );
    }

    /// Text, with bare addresses made links.
    fn text(&mut self, text: &str) {
        if self.within("a") {
            return push_escaped(&mut self.out, text);
        }
        let mut from = 0;
        while let Some((range, before)) = autolink::find(text, from) {
            push_escaped(&mut self.out, &text[from..range.start]);
            let address = &text[range.clone()];
            match link_attributes(&classify(&format!("{before}{address}")), "") {
                Some(attributes) => {
                    self.frame();
                    self.open("a", &attributes);
                    push_escaped(&mut self.out, address);
                    self.end_frame();
                }
                None => push_escaped(&mut self.out, address),
            }
            from = range.end;
        }
        push_escaped(&mut self.out, &text[from..]);
    }

    /// The place of the `End` that closes the image whose content starts at `from`.
    fn image_end(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for (at, piece) in self.block.pieces.iter().enumerate().skip(from) {
            match piece {
                Piece::Start(Tag::Image { .. }) => depth += 1,
                Piece::End(TagEnd::Image) if depth == 0 => return at,
                Piece::End(TagEnd::Image) => depth -= 1,
                _ => {}
            }
        }
        self.block.pieces.len()
    }

    fn find_end(&self, from: usize, tag: TagEnd) -> usize {
        let rest = self.block.pieces.get(from..).unwrap_or_default();
        let end = rest.iter().position(|piece| matches!(piece, Piece::End(end) if *end == tag));
        end.map_or(self.block.pieces.len(), |offset| from + offset)
    }

    /// Pieces as plain text.
    fn plain(&self, range: std::ops::Range<usize>) -> String {
        let mut plain = String::new();
        for piece in self.block.pieces.get(range).unwrap_or_default() {
            match piece {
                Piece::Text(range) => plain.push_str(&self.block.text[range.clone()]),
                Piece::Code(text) => plain.push_str(text),
                Piece::SoftBreak | Piece::HardBreak => plain.push(' '),
                _ => {}
            }
        }
        plain
    }
}

/// Marks the frame of a `[[link]]` that stays text.
const INVALID: usize = usize::MAX;
