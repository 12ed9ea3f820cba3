//! How two renderings differ, for people to read: block by block, and word by word within blocks
//! that changed.
//!
//! The way of a comparison, in order:
//! 1. [`html`] reads the blocks of both sides into trees of elements and runs of words. What people
//!    cannot see (ids, where a paragraph is broken into lines) is left out there.
//! 2. [`pair`] finds for each top-level element the one that it became, if any. This goes by what
//!    is shown and not by the source, so that a block that reads otherwise because of a definition
//!    elsewhere is found, and one whose source alone differs is not.
//! 3. [`merge`] and [`inline`] make one block of two that are alike, or put them side by side, with
//!    `<ins>` and `<del>` around words. Blocks that are not alike are shown whole, as gone and as come.
//! 4. The sanitiser goes over each block that is shown, always last: whatever went wrong before,
//!    nothing comes out that a page could not have shown.
//!
//! All of it is bounded in time, as the comparison of sources is.

mod html;
mod inline;
mod merge;
mod pair;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::markdown::{Block, clean_compared};
use html::{Arena, Node};
use merge::{Merger, Out};
use pair::Step;

/// For finding what became of each block, and for all words within them.
const BLOCKS_LIMIT: Duration = Duration::from_millis(500);
const WORDS_LIMIT: Duration = Duration::from_millis(500);

/// Of two blocks or runs of words at least so many words in a thousand must be the same, or they
/// are shown as two different ones.
const ALIKE: u32 = 400;

/// Unchanged blocks that are shown beside a change, and how large each may be (bytes of text).
const CONTEXT: usize = 1;
const MAX_CONTEXT_BYTES: usize = 4 << 10;

/// Most rows of a result, and most bytes of HTML in them (one block may be larger).
pub const MAX_ROWS: usize = 1_000;
const MAX_HTML_BYTES: usize = 2 << 20;

/// Shortest block, in bytes of text, that is recognised where it was moved to.
const MOVED_BYTES: usize = 16;

/// How blocks with other words in them are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Both sides as one block.
    Merged,
    /// Each side as a block of its own.
    SideBySide,
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The Markdown.
    pub text: &'a str,
    /// Its blocks.
    pub blocks: &'a [Block],
}

/// What became of a block that is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which of the comparison's moved blocks it is, from 1.
    pub number: usize,
    /// Whether it stands further down now than it did.
    pub is_down: bool,
}

/// A row of the comparison. HTML is sanitised and has no ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The same on both sides.
    Same {
        /// The block.
        html: String,
    },
    /// Words in it are other ones.
    Changed {
        /// The block as it is, with `<ins>` around what came, and when both sides are one also with
        /// what is gone, in `<del>`.
        html: String,
        /// The block as it was, with `<del>` around what is gone; only side by side.
        before: Option<String>,
    },
    /// Only before.
    Gone {
        /// The block as it was.
        html: String,
        /// Where it went.
        moved: Option<Moved>,
    },
    /// Only after.
    Came {
        /// The block as it is.
        html: String,
        /// Where it comes from.
        moved: Option<Moved>,
    },
    /// So many blocks are the same and not shown.
    Skipped(usize),
}

/// How two renderings differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedDiff {
    /// Changes with a block around each; empty when there are none.
    pub rows: Vec<Row>,
    /// Blocks with other words in them.
    pub changed: usize,
    /// Blocks that are only after, moved ones not counted.
    pub added: usize,
    /// Blocks that are only before, moved ones not counted.
    pub removed: usize,
    /// Blocks that stand elsewhere.
    pub moved: usize,
    /// The renderings were too different to be compared finely in the time there is.
    pub is_coarse: bool,
    /// There is more than is shown.
    pub is_cut: bool,
    /// What is shown is the same, and only the source differs.
    pub only_source: bool,
}

/// Compares two renderings. Takes about a second at most, and the time the sanitiser needs for
/// some megabytes, whatever they are.
#[must_use]
pub fn compare(old: Side<'_>, new: Side<'_>, layout: Layout) -> RenderedDiff {
    compare_within((BLOCKS_LIMIT, WORDS_LIMIT), old, new, layout)
}

fn compare_within(
    (for_blocks, for_words): (Duration, Duration),
    old: Side<'_>,
    new: Side<'_>,
    layout: Layout,
) -> RenderedDiff {
    let mut arena = Arena::new();
    let (before, after) = (read(&mut arena, old.blocks), read(&mut arena, new.blocks));
    let until = Instant::now() + for_blocks;
    let steps = pair::steps(&before, &after, until);
    let mut is_coarse = Instant::now() >= until;
    let until = Instant::now() + for_words;
    let mut maker = Maker {
        merger: Merger::new(&arena, until),
        layout,
        old: &before,
        new: &after,
        moves: moves(&steps, &before, &after),
        diff: RenderedDiff::default(),
        bytes: 0,
    };
    maker.take(&steps);
    is_coarse |= maker.merger.is_late();
    let mut diff = maker.diff;
    if diff.changed + diff.added + diff.removed + diff.moved == 0 {
        diff.rows.clear();
        diff.only_source = old.text != new.text;
    }
    // After all that looks at the clock.
    for row in &mut diff.rows {
        for html in row.html_mut() {
            *html = clean_compared(html);
        }
    }
    diff.is_coarse = is_coarse;
    diff
}

impl Row {
    /// All that is shown of it.
    fn html_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let (html, before) = match self {
            Self::Changed { html, before } => (Some(html), before.as_mut()),
            Self::Same { html } | Self::Gone { html, .. } | Self::Came { html, .. } => {
                (Some(html), None)
            }
            Self::Skipped(_) => (None, None),
        };
        before.into_iter().chain(html)
    }
}

/// The top-level nodes of all blocks. Blocks of very large pages hold several, so that they, and
/// not the blocks, are what is compared.
fn read<'h>(arena: &mut Arena<'h>, blocks: &'h [Block]) -> Vec<Node<'h>> {
    let mut nodes = Vec::with_capacity(blocks.len());
    for block in blocks {
        match arena.read(&block.html) {
            Some(found) => nodes.extend(found),
            None => {
                log::warn!(
                    "a block of {} bytes is not as the sanitiser writes it",
                    block.html.len()
                );
                nodes.push(arena.source(&block.html));
            }
        }
    }
    nodes
}

/// Blocks that are gone in one place and came in another: each with one only. By number of the
/// step on either side.
fn moves(steps: &[Step], old: &[Node<'_>], new: &[Node<'_>]) -> HashMap<usize, Moved> {
    let mut gone: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate().rev() {
        if let Step::Gone(i) = step
            && old[*i].text_bytes() >= MOVED_BYTES
        {
            gone.entry(old[*i].key()).or_default().push(at);
        }
    }
    let mut moves = HashMap::new();
    for (to, step) in steps.iter().enumerate() {
        if let Step::Came(j) = step
            && let Some(from) = gone.get_mut(&new[*j].key()).and_then(Vec::pop)
        {
            let moved = Moved { number: moves.len() / 2 + 1, is_down: from < to };
            moves.insert(from, moved);
            moves.insert(to, moved);
        }
    }
    moves
}

struct Maker<'a, 'h> {
    merger: Merger<'a, 'h>,
    layout: Layout,
    old: &'a [Node<'h>],
    new: &'a [Node<'h>],
    moves: HashMap<usize, Moved>,
    diff: RenderedDiff,
    /// Of HTML so far.
    bytes: usize,
}

impl Maker<'_, '_> {
    fn take(&mut self, steps: &[Step]) {
        let mut at = 0;
        while at < steps.len() {
            let same = steps[at..].iter().take_while(|step| matches!(step, Step::Same(..))).count();
            if same > 0 {
                self.same(&steps[at..at + same], at == 0, at + same == steps.len());
                at += same;
                continue;
            }
            self.step(at, steps[at]);
            at += 1;
        }
    }

    /// Blocks in a row that are the same.
    fn same(&mut self, steps: &[Step], is_first: bool, is_last: bool) {
        let is_shown = |step: Step| match step {
            Step::Same(_, j) => self.new[j].text_bytes() <= MAX_CONTEXT_BYTES,
            _ => false,
        };
        let beside = |is_end: bool| if is_end { 0 } else { CONTEXT };
        let (mut before, mut after) = (0, 0);
        while before < beside(is_first).min(steps.len()) && is_shown(steps[before]) {
            before += 1;
        }
        let rest = &steps[before..];
        while after < beside(is_last).min(rest.len()) && is_shown(rest[rest.len() - 1 - after]) {
            after += 1;
        }
        let mut skipped = steps.len() - before - after;
        // To say that one small block is not shown takes as much room as to show it.
        if skipped == 1 && is_shown(steps[before]) {
            (before, skipped) = (before + 1, 0);
        }
        for step in &steps[..before] {
            self.context(*step);
        }
        if skipped > 0 {
            self.push(Row::Skipped(skipped));
        }
        for step in &steps[before + skipped..] {
            self.context(*step);
        }
    }

    fn context(&mut self, step: Step) {
        if let Step::Same(_, j) = step {
            let html = self.plain(&self.new[j]);
            self.push(Row::Same { html });
        }
    }

    fn step(&mut self, at: usize, step: Step) {
        let moved = self.moves.get(&at).copied();
        let counter = match (step, moved) {
            (Step::Gone(_), Some(_)) | (Step::Same(..), _) => None,
            (Step::Came(_), Some(_)) => Some(&mut self.diff.moved),
            (Step::Gone(_), None) => Some(&mut self.diff.removed),
            (Step::Came(_), None) => Some(&mut self.diff.added),
            (Step::Changed(..), _) => Some(&mut self.diff.changed),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        if self.is_full() {
            self.diff.is_cut = true;
            return;
        }
        let row = match step {
            Step::Same(..) => return,
            Step::Gone(i) => Row::Gone { html: self.plain(&self.old[i]), moved },
            Step::Came(j) => Row::Came { html: self.plain(&self.new[j]), moved },
            Step::Changed(i, j) => {
                let before = (self.layout == Layout::SideBySide).then(String::new);
                let mut out = Out { before, now: String::new() };
                self.merger.changed(&self.old[i], &self.new[j], &mut out);
                Row::Changed { html: out.now, before: out.before }
            }
        };
        self.push(row);
    }

    fn plain(&self, node: &Node<'_>) -> String {
        let mut html = String::new();
        self.merger.plain(node, &mut html);
        html
    }

    fn is_full(&self) -> bool {
        self.diff.rows.len() >= MAX_ROWS || self.bytes >= MAX_HTML_BYTES
    }

    fn push(&mut self, mut row: Row) {
        if self.is_full() {
            // What is the same at the end is no loss.
            self.diff.is_cut |= !matches!(row, Row::Same { .. } | Row::Skipped(_));
            return;
        }
        self.bytes += row.html_mut().map(|html| html.len()).sum::<usize>();
        self.diff.rows.push(row);
    }
}
