//! The parser's events, gathered one top-level block at a time.

use std::hash::{DefaultHasher, Hash};
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, OffsetIter, Tag, TagEnd};

/// One step of a block, in reading order.
#[derive(Clone, Debug)]
pub(super) enum Piece<'a> {
    /// A container opens.
    Start(Tag<'a>),
    /// The container opened last closes.
    End(TagEnd),
    /// Text; a range of [`Gathered::text`]. Neighbouring texts are one.
    Text(Range<usize>),
    /// Raw HTML; a range of [`Gathered::text`]. Neighbouring lines are one.
    Html(Range<usize>),
    /// A code span.
    Code(CowStr<'a>),
    /// `[^label]`.
    FootnoteReference(CowStr<'a>),
    /// A line end inside a paragraph.
    SoftBreak,
    /// A line end that shows.
    HardBreak,
    /// A horizontal rule.
    Rule,
    /// `[ ]` or `[x]`, and its place in the source.
    Task(bool, usize),
}

/// One top-level block as the parser sees it. Reused from block to block.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    /// Where it starts in the source, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Its pieces.
    pub pieces: Vec<Piece<'a>>,
    /// What [`Piece::Text`] and [`Piece::Html`] are ranges of.
    pub text: String,
    /// Whether there is raw HTML in it.
    pub has_html: bool,
}

impl<'a> Gathered<'a> {
    /// Empties the block for the next one.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.text.clear();
        self.has_html = false;
        self.end = 0;
    }

    /// The part of the source it stands for.
    pub fn source<'t>(&self, source: &'t str) -> &'t str {
        source.get(self.start..self.end).unwrap_or_default()
    }

    /// How much work it will be, in elements without attributes.
    pub fn elements(&self) -> usize {
        // Attributes, and addresses above all, cost the sanitiser more than elements do.
        let count = |piece: &Piece<'_>| match piece {
            Piece::Start(Tag::Link { .. } | Tag::Image { .. }) | Piece::FootnoteReference(_) => 6,
            Piece::Start(Tag::FootnoteDefinition(_)) => 8,
            Piece::Start(Tag::Heading { .. } | Tag::CodeBlock(_)) => 2,
            Piece::Html(range) => 3 * self.text[range.clone()].matches('<').count(),
            Piece::Task(..) => 4,
            Piece::End(_) | Piece::SoftBreak | Piece::Text(_) => 0,
            _ => 1,
        };
        self.pieces.iter().map(count).sum()
    }

    /// Takes the next top-level block's events from the parser; false at the end of the source.
    pub fn gather(&mut self, events: &mut OffsetIter<'a>) -> bool {
        let mut depth = 0_usize;
        let mut first = true;
        for (event, range) in events {
            if std::mem::take(&mut first) && self.pieces.is_empty() {
                self.start = range.start;
            }
            self.end = self.end.max(range.end);
            match event {
                Event::Start(Tag::HtmlBlock) => {
                    depth += 1;
                    continue;
                }
                Event::End(TagEnd::HtmlBlock) => depth -= 1,
                Event::Start(tag) => {
                    depth += 1;
                    self.pieces.push(Piece::Start(tag));
                }
                Event::End(tag) => {
                    depth -= 1;
                    self.pieces.push(Piece::End(tag));
                }
                Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                    self.push_text(&text);
                }
                Event::Html(html) | Event::InlineHtml(html) => self.push_html(&html),
                Event::Code(code) => self.pieces.push(Piece::Code(code)),
                Event::FootnoteReference(label) => {
                    self.pieces.push(Piece::FootnoteReference(label));
                }
                Event::SoftBreak => self.pieces.push(Piece::SoftBreak),
                Event::HardBreak => self.pieces.push(Piece::HardBreak),
                Event::Rule => self.pieces.push(Piece::Rule),
                Event::TaskListMarker(done) => self.pieces.push(Piece::Task(done, range.start)),
            }
            if depth == 0 {
                return true;
            }
        }
        !first
    }

    fn push_text(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        match self.pieces.last_mut() {
            Some(Piece::Text(range)) if range.end == start => range.end = self.text.len(),
            _ => self.pieces.push(Piece::Text(start..self.text.len())),
        }
    }

    fn push_html(&mut self, html: &str) {
        self.has_html = true;
        let start = self.text.len();
        self.text.push_str(html);
        match self.pieces.last_mut() {
            Some(Piece::Html(range)) if range.end == start => range.end = self.text.len(),
            _ => self.pieces.push(Piece::Html(start..self.text.len())),
        }
    }

    /// Feeds everything that decides how the block looks, short of what the page adds.
    ///
    /// Events rather than source are hashed: they hold what link definitions elsewhere in the page
    /// made of it, so that no dependency has to be tracked.
    pub fn hash_into(&self, state: &mut DefaultHasher) {
        self.text.hash(state);
        for piece in &self.pieces {
            std::mem::discriminant(piece).hash(state);
            match piece {
                Piece::Start(tag) => hash_tag(tag, state),
                Piece::End(_) | Piece::SoftBreak | Piece::HardBreak | Piece::Rule => {}
                Piece::Text(range) | Piece::Html(range) => range.end.hash(state),
                Piece::Code(text) | Piece::FootnoteReference(text) => text.hash(state),
                Piece::Task(done, _) => done.hash(state),
            }
        }
    }
}

fn hash_tag(tag: &Tag<'_>, state: &mut DefaultHasher) {
    std::mem::discriminant(tag).hash(state);
    match tag {
        Tag::Heading { level, .. } => level.hash(state),
        Tag::BlockQuote(kind) => kind.hash(state),
        Tag::CodeBlock(CodeBlockKind::Fenced(info)) => info.hash(state),
        Tag::CodeBlock(CodeBlockKind::Indented) => 0_u8.hash(state),
        Tag::List(start) => start.hash(state),
        Tag::FootnoteDefinition(label) => label.hash(state),
        Tag::Table(alignments) => {
            for alignment in alignments {
                std::mem::discriminant(alignment).hash(state);
            }
        }
        Tag::Link { link_type, dest_url, title, .. }
        | Tag::Image { link_type, dest_url, title, .. } => {
            let kind = match link_type {
                LinkType::WikiLink { has_pothole } => 1 + u8::from(*has_pothole),
                LinkType::Email => 3,
                _ => 0,
            };
            (kind, dest_url, title).hash(state);
        }
        _ => {}
    }
}
