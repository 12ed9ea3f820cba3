//! Markdown to safe HTML, one top-level block at a time.
//!
//! The way of a text, in order:
//! 1. [`guard`] takes the edge off sources that would cost the parser more than linear time.
//! 2. Front matter is cut off the top.
//! 3. pulldown-cmark parses; [`collect`] gathers its events per top-level block.
//! 4. [`context`] settles what a block owes to the rest of the page: ids of headings, numbers of
//!    footnotes, which pages exist, how much code may still be coloured.
//! 5. A block whose events and decisions are those of the last rendering is taken from there.
//! 6. Otherwise [`write`] makes HTML of it, well formed and not deep, with the raw HTML in it read
//!    by [`raw`], addresses by [`url`] and [`autolink`], and code by [`highlight`];
//! 7. and [`clean`] sanitises that, always last.
//!
//! A block that was made of two renderings for a comparison goes through [`clean_compared`].
//!
//! Nothing here knows about storage, the network or templates.

mod autolink;
mod clean;
mod collect;
mod context;
mod guard;
mod highlight;
mod raw;
mod slug;
mod url;
mod write;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pulldown_cmark::{Options, Parser};

use crate::page::PagePath;
use collect::Gathered;
use context::{Decisions, Page, Survey, key};
use highlight::Highlighter;
use write::Writer;

/// Longest front matter, in bytes; a longer one is ordinary Markdown.
const MAX_FRONT_MATTER_BYTES: usize = 64 * 1024;

/// From this block on, small neighbours are put together, so that a page of a hundred thousand
/// rules or headings costs no hundred thousand runs of the sanitiser (and elements in browsers).
const MANY_BLOCKS: usize = 2_000;

/// How much source goes into one block from there on, in bytes.
const JOINED_BYTES: usize = 4 * 1024;

/// One top-level block of a rendered page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// 16 hex digits over `html`: equal hash, equal block.
    pub hash: String,
    /// Source lines from this block's first line to the next block's first line (or the end).
    ///
    /// Lines are those of [`str::lines`]. The first block has the blank lines before it as well,
    /// so the sum over a page that has blocks is the number of its lines.
    pub lines: usize,
    /// Sanitised HTML, complete in itself.
    pub html: Arc<str>,
}

/// A rendered page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Text of the first heading of level 1, else of the first heading; at most 200 characters.
    pub title: Option<String>,
    /// Top-level blocks in order.
    pub blocks: Vec<Block>,
    /// Keys (`PagePath::key`) of the pages that `[[links]]` point at, each once, in order.
    pub links: Vec<String>,
}

/// A block of the last rendering.
#[derive(Clone)]
struct Known {
    hash: String,
    html: Arc<str>,
}

/// Renders one page again and again, remembering blocks that did not change.
///
/// It holds the blocks of the last rendering and nothing older.
#[derive(Default)]
pub struct Renderer {
    /// Key over a block's events and what was decided for it -> the block.
    known: HashMap<u64, Known>,
    /// Secret of the keys, so that no text can be made to meet another's key.
    state: RandomState,
    highlighter: Highlighter,
}

impl Renderer {
    /// Lets go of the grammars of code blocks (about 10 MB, shared by all renderers); the next
    /// coloured block loads them again in some milliseconds.
    pub fn rest(&mut self) {
        self.highlighter.rest();
    }

    /// Renders `text`; `exists` answers whether a page that a `[[link]]` names is there.
    ///
    /// Total: any input renders, in time that grows with its length and not faster.
    ///
    /// ```
    /// use halley::markdown::Renderer;
    /// let page = Renderer::default().render("# Hi\n\n[[Home]]\n", &|_| true);
    /// assert_eq!(page.title.as_deref(), Some("Hi"));
    /// assert_eq!(page.links, ["home"]);
    /// assert!(page.blocks[1].html.contains(r#"<a class="wikilink" href="/wiki/Home">"#));
    /// ```
    pub fn render(&mut self, text: &str, exists: &dyn Fn(&PagePath) -> bool) -> Rendered {
        // The parser is a fuzzed but large state machine that has panicked before (pulldown-cmark
        // issue 1097). A page must be readable even then, so the source is shown instead.
        catch_unwind(AssertUnwindSafe(|| self.render_unguarded(text, exists))).unwrap_or_else(
            |_| {
                log::error!("the Markdown parser panicked on a page of {} bytes", text.len());
                self.known.clear();
                let html = source(text);
                let lines = text.lines().count();
                let blocks = vec![Block { hash: hash(&html), lines, html: html.into() }];
                Rendered { title: None, blocks, links: Vec::new() }
            },
        )
    }

    fn render_unguarded(&mut self, text: &str, exists: &dyn Fn(&PagePath) -> bool) -> Rendered {
        self.highlighter.restart();
        let text: Cow<'_, str> = guard::tame(text);
        let text: &str = &text;
        let mut blocks = Blocks { list: Vec::new(), text, counted: 0, line: 0 };
        let mut known = HashMap::with_capacity(self.known.len());

        let body = front_matter_end(text).unwrap_or(0);
        if body > 0 {
            let html = clean::clean(&front_matter(&text[..body]));
            blocks.push(0, Known { hash: hash(&html), html: html.into() });
        }
        let body_text = &text[body..];
        let survey = match Survey::is_needed(body_text) {
            true => Survey::of(parse(body_text)),
            false => Survey::default(),
        };
        let mut page = Page::new(exists, survey);
        let mut events = parse(body_text);
        let mut block = Gathered::default();
        let mut index = 0;
        while block.gather(&mut events) {
            let last = page.last_joined(index);
            while index < last && block.gather(&mut events) {
                index += 1;
            }
            while index >= MANY_BLOCKS && events_are_small(&block) && block.gather(&mut events) {
                index += 1;
            }
            index += 1;
            let line_start = match blocks.list.is_empty() {
                true => 0,
                false => body_text[..block.start].rfind('\n').map_or(0, |at| at + 1),
            };
            let decisions = page.decide(&block, body_text, line_start);
            let key = key(&block, &decisions, body_text, self.state.build_hasher());
            let done = match known.get(&key).or_else(|| self.known.get(&key)) {
                Some(done) => done.clone(),
                None => {
                    let html = self.block(&block, &decisions, body_text);
                    Known { hash: hash(&html), html: html.into() }
                }
            };
            blocks.push(body + block.start, done.clone());
            known.insert(key, done);
            block.clear();
        }
        self.known = known;
        let (title, links) = (page.title(), page.links);
        Rendered { title, blocks: blocks.finish(), links }
    }

    /// Writes and sanitises one block; shows its text if that fails.
    fn block(&mut self, block: &Gathered<'_>, decisions: &Decisions, source_text: &str) -> String {
        if decisions.as_source {
            return clean::clean(&source(block.source(source_text)));
        }
        let highlighter = &mut self.highlighter;
        let html = catch_unwind(AssertUnwindSafe(|| {
            let writer = Writer::new(block, decisions, highlighter);
            let html = writer.write();
            if block.has_html {
                clean::clean_until_stable(&html)
            } else {
                Some(clean::clean(&html))
            }
        }));
        match html {
            Ok(Some(html)) => html,
            Ok(None) => source(&block.text),
            Err(_) => {
                log::error!("writing a Markdown block of {} bytes panicked", block.text.len());
                source(&block.text)
            }
        }
    }
}

/// Sanitises a block that was made of two renderings, by [`crate::diff::rendered`].
///
/// As strict as for a page; besides, no element has an id, so that two blocks on one page cannot
/// have the same, and the classes `diff-gone` and `diff-came` are let through, which no author can
/// give.
pub(crate) fn clean_compared(html: &str) -> String {
    clean::clean_compared(html)
}

/// Blocks under construction: knows the lines between them.
struct Blocks<'t> {
    list: Vec<Block>,
    text: &'t str,
    /// Bytes of `text` whose lines are counted, and how many there were.
    counted: usize,
    line: usize,
}

impl Blocks<'_> {
    /// Adds the block that starts at byte `start`.
    fn push(&mut self, start: usize, known: Known) {
        let from = self.line;
        let passed = self.text.get(self.counted..start).unwrap_or_default();
        self.line += passed.bytes().filter(|b| *b == b'\n').count();
        self.counted = self.counted.max(start);
        if let Some(last) = self.list.last_mut() {
            last.lines = self.line - from;
        } else {
            // What stands before the first block belongs to it.
            self.line = 0;
            self.counted = 0;
        }
        self.list.push(Block { hash: known.hash, lines: 0, html: known.html });
    }

    fn finish(mut self) -> Vec<Block> {
        if let Some(last) = self.list.last_mut() {
            last.lines = self.text.lines().count() - self.line;
        }
        self.list
    }
}

/// The dialect: CommonMark, GitHub's extensions and `[[links]]`.
fn parse(text: &str) -> pulldown_cmark::OffsetIter<'_> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_GFM
        | Options::ENABLE_WIKILINKS;
    Parser::new_ext(text, options).into_offset_iter()
}

/// Whether more may be put into a block on a page of very many.
fn events_are_small(block: &Gathered<'_>) -> bool {
    block.text.len() < JOINED_BYTES && block.pieces.len() < JOINED_BYTES / 16
}

/// Where the text after a front matter begins, if there is one: `---`, some lines, `---`.
fn front_matter_end(text: &str) -> Option<usize> {
    let head = &text[..text.floor_char_boundary(MAX_FRONT_MATTER_BYTES)];
    let mut lines = head.split_inclusive('\n');
    let first = lines.next()?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut end = first.len();
    for (index, line) in lines.enumerate() {
        end += line.len();
        match line.trim_end() {
            "" if index == 0 => return None,
            "---" | "..." => return Some(end),
            _ => {}
        }
    }
    None
}

fn front_matter(text: &str) -> String {
    let inside: Vec<&str> = text.lines().collect();
    let inside = inside.get(1..inside.len().saturating_sub(1)).unwrap_or_default().join("\n");
    let mut html = "<details class=\"front-matter\"><summary>Front matter</summary>".to_owned();
    html.push_str(&source(&inside));
    html.push_str("</details>");
    html
}

/// Text shown as it is.
fn source(text: &str) -> String {
    let mut html = "<pre class=\"source\"><code>".to_owned();
    url::push_escaped(&mut html, text);
    html.push_str("</code></pre>");
    html
}

fn hash(html: &str) -> String {
    blake3::hash(html.as_bytes()).to_hex()[..16].to_owned()
}
