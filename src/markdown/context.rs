//! What a block's looks owe to the rest of its page.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use pulldown_cmark::{CodeBlockKind, HeadingLevel, LinkType, OffsetIter, Tag, TagEnd};

use super::collect::{Gathered, Piece};
use super::highlight::{MAX_CODE_BYTES, MAX_PAGE_CODE_BYTES, language};
use super::raw;
use super::slug::{Slugs, slug};
use crate::page::PagePath;

/// Longest title, in characters.
const MAX_TITLE_CHARS: usize = 200;

/// Most neighbouring blocks that one raw HTML element may hold together.
const MAX_JOINED: usize = 500;

/// Longest source, in bytes, that one raw HTML element may hold together.
const MAX_JOINED_BYTES: usize = 64 * 1024;

/// Most headings of one page that have an id and a link of their own.
const MAX_HEADINGS: usize = 5_000;

/// Most elements of one page, roughly; blocks beyond are shown as source. Each costs the sanitiser
/// microseconds and a browser more. Plain prose of 1 MiB has a third.
const MAX_ELEMENTS: usize = 200_000;

/// A footnote as the whole page knows it.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Footnote {
    /// Its number, in the order of first references.
    pub number: usize,
    /// How often it is referred to.
    pub references: usize,
}

/// What must be known about the page before its first block is written.
///
/// Only pages with footnotes or block-level HTML need this first look.
#[derive(Default)]
pub(super) struct Survey {
    /// Label -> number and references.
    pub footnotes: HashMap<String, Footnote>,
    /// First and last of the top-level blocks that an HTML element holds together, in order.
    pub joined: Vec<(usize, usize)>,
}

impl Survey {
    /// Whether `text` could have anything to find.
    pub fn is_needed(text: &str) -> bool {
        text.contains("[^") || text.starts_with('<') || text.contains("\n<") || text.contains(" <")
    }

    /// Reads the page once.
    pub fn of<'a>(mut events: OffsetIter<'a>) -> Self {
        let mut survey = Self::default();
        let mut block = Gathered::default();
        let mut open: Vec<(&'static str, usize, usize)> = Vec::new();
        let (mut inner_open, mut inner_closed) = (Vec::new(), Vec::new());
        let mut defined: Vec<String> = Vec::new();
        let mut index = 0;
        while block.gather(&mut events) {
            let mut images = 0_usize;
            for piece in &block.pieces {
                match piece {
                    Piece::Start(Tag::Image { .. }) => images += 1,
                    Piece::End(TagEnd::Image) => images -= 1,
                    Piece::FootnoteReference(label) if images == 0 => {
                        let number = survey.footnotes.len() + 1;
                        let note = survey.footnotes.entry(label.to_string()).or_default();
                        if note.number == 0 {
                            note.number = number;
                        }
                        note.references += 1;
                    }
                    Piece::Start(Tag::FootnoteDefinition(label)) => defined.push(label.to_string()),
                    _ => {}
                }
            }
            if let [Piece::Html(range)] = block.pieces.as_slice() {
                raw::balance(&block.text[range.clone()], &mut inner_open, &mut inner_closed);
                for name in inner_closed.drain(..) {
                    if let Some(at) = open.iter().rposition(|(other, ..)| *other == name) {
                        let (_, first, start) = open[at];
                        open.truncate(at);
                        if index - first <= MAX_JOINED && block.start - start <= MAX_JOINED_BYTES {
                            survey.join(first, index);
                        }
                    }
                }
                open.extend(inner_open.drain(..).map(|name| (name, index, block.start)));
                // Only the innermost ones can still find their end cheaply.
                if open.len() > 64 {
                    open.drain(..32);
                }
            }
            block.clear();
            index += 1;
        }
        for label in defined {
            let number = survey.footnotes.len() + 1;
            survey.footnotes.entry(label).or_insert(Footnote { number, references: 0 });
        }
        survey
    }

    fn join(&mut self, first: usize, last: usize) {
        while let Some(&(earlier_first, earlier_last)) = self.joined.last() {
            if earlier_last < first {
                break;
            }
            self.joined.pop();
            if earlier_first < first {
                return self.join(earlier_first, last);
            }
        }
        self.joined.push((first, last));
    }
}

/// A `[[link]]` as the page decided it.
#[derive(Clone, Debug, Hash)]
pub(super) enum WikiLink {
    /// Not a page's name: it stays text.
    Invalid,
    /// A heading of this page.
    Here {
        /// The heading's id, without prefix.
        slug: String,
    },
    /// A page.
    Page {
        /// The page's name, for people.
        path: PagePath,
        /// The heading's id, without prefix.
        slug: Option<String>,
        /// Whether there is such a page.
        exists: bool,
    },
}

/// Decisions for one block, in the order in which the block asks for them.
#[derive(Default, Hash)]
pub(super) struct Decisions {
    /// Too many elements for one page: the block is shown as source.
    pub as_source: bool,
    /// Id of each heading, without prefix; empty when it has none.
    pub headings: Vec<String>,
    /// Each `[[link]]`.
    pub wikilinks: Vec<WikiLink>,
    /// Each footnote reference: the note, and which of its references this is (from 1).
    pub references: Vec<(Footnote, usize)>,
    /// Each footnote definition: the note, and whether it is the first with its label.
    pub definitions: Vec<(Footnote, bool)>,
    /// Each task: its line, counted from the block's first line.
    pub tasks: Vec<usize>,
    /// Each code block of a known language: whether it is coloured.
    pub coloured: Vec<bool>,
}

/// State that runs through the page from block to block.
pub(super) struct Page<'e> {
    exists: &'e dyn Fn(&PagePath) -> bool,
    survey: Survey,
    slugs: Slugs,
    referred: HashMap<String, usize>,
    defined: HashSet<String>,
    seen_links: HashSet<String>,
    /// Keys of the pages linked to, in order.
    pub links: Vec<String>,
    title: Option<(HeadingLevel, String)>,
    code_budget: usize,
    headings: usize,
    elements_left: usize,
}

impl<'e> Page<'e> {
    /// A page before its first block.
    pub fn new(exists: &'e dyn Fn(&PagePath) -> bool, survey: Survey) -> Self {
        Self {
            exists,
            survey,
            slugs: Slugs::default(),
            referred: HashMap::new(),
            defined: HashSet::new(),
            seen_links: HashSet::new(),
            links: Vec::new(),
            title: None,
            code_budget: MAX_PAGE_CODE_BYTES,
            headings: 0,
            elements_left: MAX_ELEMENTS,
        }
    }

    /// The last of the blocks that belong together with block `index`.
    pub fn last_joined(&self, index: usize) -> usize {
        let at = self.survey.joined.partition_point(|(first, _)| *first < index);
        match self.survey.joined.get(at) {
            Some(&(first, last)) if first == index => last,
            _ => index,
        }
    }

    /// Text of the first heading of level 1, else of the first heading.
    pub fn title(&mut self) -> Option<String> {
        self.title.take().map(|(_, text)| text)
    }

    /// Decides for `block`, and moves on.
    ///
    /// Its first line starts at byte `line_start` of `source`.
    pub fn decide(&mut self, block: &Gathered<'_>, source: &str, line_start: usize) -> Decisions {
        let (mut counted, mut line) = (line_start, 0);
        let elements = block.elements();
        let mut decisions =
            Decisions { as_source: elements > self.elements_left, ..Decisions::default() };
        self.elements_left -= if decisions.as_source { 0 } else { elements };
        let mut heading: Option<(HeadingLevel, String)> = None;
        let mut images = 0_usize;
        let mut code: Option<usize> = None;
        for piece in &block.pieces {
            match piece {
                Piece::Start(Tag::Heading { level, .. }) => heading = Some((*level, String::new())),
                Piece::End(TagEnd::Heading(_)) => {
                    if let Some((level, text)) = heading.take() {
                        self.headings += 1;
                        decisions.headings.push(match self.headings <= MAX_HEADINGS {
                            true => self.slugs.unique(&text),
                            false => String::new(),
                        });
                        self.consider_title(level, &text);
                    }
                }
                Piece::Start(
                    Tag::Link { link_type: LinkType::WikiLink { .. }, dest_url, .. }
                    | Tag::Image { link_type: LinkType::WikiLink { .. }, dest_url, .. },
                ) => {
                    images += usize::from(matches!(piece, Piece::Start(Tag::Image { .. })));
                    let link = self.wikilink(dest_url);
                    decisions.wikilinks.push(link);
                }
                Piece::Start(Tag::Image { .. }) => images += 1,
                Piece::End(TagEnd::Image) => images -= 1,
                Piece::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    code = language(info).map(|_| 0);
                }
                Piece::End(TagEnd::CodeBlock) => {
                    if let Some(bytes) = code.take() {
                        let coloured = bytes <= MAX_CODE_BYTES.min(self.code_budget);
                        self.code_budget -= if coloured { bytes } else { 0 };
                        decisions.coloured.push(coloured);
                    }
                }
                Piece::Start(Tag::FootnoteDefinition(label)) => {
                    let note = self.survey.footnotes.get(&**label).copied().unwrap_or_default();
                    let first = self.defined.insert(label.to_string());
                    decisions.definitions.push((note, first));
                }
                Piece::FootnoteReference(label) if images == 0 => {
                    let note = self.survey.footnotes.get(&**label).copied().unwrap_or_default();
                    let count = self.referred.entry(label.to_string()).or_default();
                    *count += 1;
                    decisions.references.push((note, *count));
                }
                Piece::Task(_, place) => {
                    let passed = source.get(counted..*place).unwrap_or_default();
                    line += passed.bytes().filter(|b| *b == b'\n').count();
                    counted = counted.max(*place);
                    decisions.tasks.push(line);
                }
                Piece::Text(range) => {
                    let text = &block.text[range.clone()];
                    if let Some(bytes) = &mut code {
                        *bytes += text.len();
                    }
                    push_plain(&mut heading, text);
                }
                Piece::Code(text) => push_plain(&mut heading, text),
                Piece::SoftBreak | Piece::HardBreak => push_plain(&mut heading, " "),
                _ => {}
            }
        }
        decisions
    }

    fn consider_title(&mut self, level: HeadingLevel, text: &str) {
        let better = match &self.title {
            None => true,
            Some((HeadingLevel::H1, _)) => false,
            Some(_) => level == HeadingLevel::H1,
        };
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if better && !text.is_empty() {
            self.title = Some((level, text.chars().take(MAX_TITLE_CHARS).collect()));
        }
    }

    fn wikilink(&mut self, target: &str) -> WikiLink {
        let (name, fragment) = match target.split_once('#') {
            Some((name, fragment)) => (name, Some(fragment)),
            None => (target, None),
        };
        let slug = fragment.filter(|text| !text.trim().is_empty()).map(slug);
        if name.trim().is_empty() {
            return slug.map_or(WikiLink::Invalid, |slug| WikiLink::Here { slug });
        }
        // In a table `|` is written `\|`, and the backslash is left at the end of the name.
        let name = name.strip_suffix('\\').unwrap_or(name);
        let Ok(path) = name.parse::<PagePath>() else { return WikiLink::Invalid };
        let exists = (self.exists)(&path);
        let key = path.key();
        if self.seen_links.insert(key.clone()) {
            self.links.push(key);
        }
        WikiLink::Page { path, slug, exists }
    }
}

/// Adds to a heading's text, if one is open and not yet long.
fn push_plain(heading: &mut Option<(HeadingLevel, String)>, text: &str) {
    if let Some((_, plain)) = heading
        && plain.len() < 4 * MAX_TITLE_CHARS
    {
        plain.extend(text.chars().take(4 * MAX_TITLE_CHARS));
    }
}

/// The key under which a written block is remembered.
pub(super) fn key(
    block: &Gathered<'_>,
    decisions: &Decisions,
    source: &str,
    mut state: DefaultHasher,
) -> u64 {
    block.hash_into(&mut state);
    decisions.hash(&mut state);
    if decisions.as_source {
        block.source(source).hash(&mut state);
    }
    state.finish()
}
