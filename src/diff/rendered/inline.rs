//! Two runs of words as one, or side by side, with the words that went and those that came.
//!
//! As one, what comes out are the new words in the elements they stand in, and between them the old
//! ones that are gone, each in its own. `<ins>` and `<del>` stand innermost, around text only, so the
//! result is well formed whatever elements there were.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use similar::DiffOp;

use super::ALIKE;
use super::html::{Arena, Run, Token};
use super::merge::Out;
use crate::diff::changes;

/// Two runs as one are at most this many times as long as both one after the other; marks around
/// every second letter help nobody.
const MAX_GROWTH: usize = 2;

/// What became of some words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// They are gone.
    Gone,
    /// They came.
    Came,
}

impl Mark {
    /// The element that says so.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Gone => "del",
            Self::Came => "ins",
        }
    }

    /// The class of an element that is gone or came with all that is in it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Gone => "diff-gone",
            Self::Came => "diff-came",
        }
    }
}

/// Writes a run that stands on one side only, or is the same on both (`None`).
pub(super) fn write(arena: &Arena<'_>, run: &Run<'_>, mark: Option<Mark>, out: &mut String) {
    let mut writer = Writer::new(arena, out);
    run.tokens.iter().for_each(|token| writer.put(token, mark));
    writer.close_to(0);
}

/// Writes both runs with what differs marked.
pub(super) fn merge(
    arena: &Arena<'_>,
    (old, new): (&Run<'_>, &Run<'_>),
    until: Instant,
    out: &mut Out,
) {
    let stretches = stretches(old, new, until);
    if are_alike(old, new, &stretches) {
        match &mut out.before {
            Some(before) => {
                return write_apart(arena, (old, new), &stretches, (before, &mut out.now));
            }
            None if write_as_one(arena, (old, new), &stretches, &mut out.now) => return,
            None => {}
        }
    }
    write(arena, old, Some(Mark::Gone), out.gone());
    write(arena, new, Some(Mark::Came), &mut out.now);
}

/// Writes each run for itself.
fn write_apart(
    arena: &Arena<'_>,
    (old, new): (&Run<'_>, &Run<'_>),
    stretches: &[Stretch],
    (before, now): (&mut String, &mut String),
) {
    let (mut before, mut now) = (Writer::new(arena, before), Writer::new(arena, now));
    for stretch in stretches {
        let (gone, came) = stretch.tokens(old, new);
        let mark = |tokens, run, mark| (!stretch.is_same && shows(tokens, run)).then_some(mark);
        let (gone_mark, came_mark) = (mark(gone, old, Mark::Gone), mark(came, new, Mark::Came));
        gone.iter().for_each(|token| before.put(token, gone_mark));
        came.iter().for_each(|token| now.put(token, came_mark));
    }
    before.close_to(0);
    now.close_to(0);
}

/// Writes both runs as one. False, and nothing is written, when that is more than [`MAX_GROWTH`]
/// allows: a gone word opens the elements around it anew where they are not those of its neighbours.
fn write_as_one(
    arena: &Arena<'_>,
    (old, new): (&Run<'_>, &Run<'_>),
    stretches: &[Stretch],
    out: &mut String,
) -> bool {
    let begin = out.len();
    let mut whole = String::new();
    write(arena, old, Some(Mark::Gone), &mut whole);
    write(arena, new, Some(Mark::Came), &mut whole);
    let most = begin + MAX_GROWTH * whole.len() + 1_000;
    let mut writer = Writer::new(arena, out);
    for stretch in stretches.iter().filter(|stretch| stretch.is_same) {
        let (was, is) = stretch.tokens(old, new);
        was.iter().zip(is).for_each(|(old, new)| writer.know(old.path, new.path));
    }
    for stretch in stretches {
        let (gone, came) = stretch.tokens(old, new);
        let gone = if stretch.is_same || !shows(gone, old) { &[] } else { gone };
        let mark = (!stretch.is_same && shows(came, new)).then_some(Mark::Came);
        let gone = gone.iter().map(|token| (token, Some(Mark::Gone)));
        for (token, mark) in gone.chain(came.iter().map(|token| (token, mark))) {
            if writer.out.len() > most {
                out.truncate(begin);
                return false;
            }
            writer.put(token, mark);
        }
    }
    writer.close_to(0);
    let fits = out.len() <= most;
    if !fits {
        out.truncate(begin);
    }
    fits
}

/// Space that came or went shows only where white space is shown as it is.
fn shows(tokens: &[Token<'_>], run: &Run<'_>) -> bool {
    run.is_preformatted || tokens.iter().any(|token| !token.is_space)
}

/// Tokens side by side that are the same, or in each other's place.
struct Stretch {
    is_same: bool,
    old: Range<usize>,
    new: Range<usize>,
}

impl Stretch {
    fn tokens<'a, 'h>(
        &self,
        old: &'a Run<'h>,
        new: &'a Run<'h>,
    ) -> (&'a [Token<'h>], &'a [Token<'h>]) {
        (&old.tokens[self.old.clone()], &new.tokens[self.new.clone()])
    }
}

/// Both runs in stretches. Words that changed with nothing but space between them are one.
fn stretches(old: &Run<'_>, new: &Run<'_>, until: Instant) -> Vec<Stretch> {
    let keys = |run: &Run<'_>| run.tokens.iter().map(|token| token.key).collect::<Vec<_>>();
    let mut found: Vec<Stretch> = Vec::new();
    for op in changes(&keys(old), &keys(new), until) {
        let is_same = matches!(op, DiffOp::Equal { .. });
        let mut next = Stretch { is_same, old: op.old_range(), new: op.new_range() };
        if !is_same {
            while let Some(before) = joined(&found, &next, new) {
                next.old.start = found[before].old.start;
                next.new.start = found[before].new.start;
                found.truncate(before);
            }
        }
        found.push(next);
    }
    found
}

/// From which of the stretches found on, a change is one with what was found before it.
fn joined(found: &[Stretch], next: &Stretch, new: &Run<'_>) -> Option<usize> {
    match found {
        [.., last] if !last.is_same => Some(found.len() - 1),
        [.., before, last] if !before.is_same => {
            let is_space = new.tokens[last.new.clone()].iter().all(|token| token.is_space);
            // Words that only came, or only went, stand apart as they are.
            let is_exchange = (!before.old.is_empty() || !next.old.is_empty())
                && (!before.new.is_empty() || !next.new.is_empty());
            (is_space && is_exchange).then_some(found.len() - 2)
        }
        _ => None,
    }
}

/// Whether enough words are the same for the changes between them to be read.
fn are_alike(old: &Run<'_>, new: &Run<'_>, stretches: &[Stretch]) -> bool {
    let words = |tokens: &[Token<'_>]| tokens.iter().filter(|token| !token.is_space).count();
    let same = stretches.iter().filter(|stretch| stretch.is_same);
    let same: usize = same.map(|stretch| words(&new.tokens[stretch.new.clone()])).sum();
    2 * same * 1_000 >= (words(&old.tokens) + words(&new.tokens)) * ALIKE as usize
}

/// What is open in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// An inline element, by its number.
    Span(u32),
    Mark(Mark),
}

struct Writer<'a, 'h> {
    arena: &'a Arena<'h>,
    out: &'a mut String,
    open: Vec<Open>,
    /// For the path and the mark of the token before.
    last: Option<(u32, Option<Mark>)>,
    /// The new element that an old one became.
    became: HashMap<u32, u32>,
}

impl<'a, 'h> Writer<'a, 'h> {
    fn new(arena: &'a Arena<'h>, out: &'a mut String) -> Self {
        Self { arena, out, open: Vec::new(), last: None, became: HashMap::new() }
    }

    /// Notes that a word stands in `old` before and in `new` now, so that what is gone beside it
    /// is shown within the element that is still there.
    fn know(&mut self, mut old: u32, mut new: u32) {
        loop {
            old = self.without_colour(old);
            new = self.without_colour(new);
            let (Some(was), Some(is)) = (self.arena.span(old), self.arena.span(new)) else {
                return;
            };
            // Of space the elements may differ.
            if was.open != is.open {
                return;
            }
            self.became.entry(old).or_insert(new);
            (old, new) = (was.parent, is.parent);
        }
    }

    fn without_colour(&self, mut path: u32) -> u32 {
        while let Some(span) = self.arena.span(path).filter(|span| span.is_colour) {
            path = span.parent;
        }
        path
    }

    fn put(&mut self, token: &Token<'_>, mark: Option<Mark>) {
        if self.last != Some((token.path, mark)) {
            self.last = Some((token.path, mark));
            let mut wanted: Vec<_> = mark.map(Open::Mark).into_iter().collect();
            let mut path = token.path;
            while let Some(span) = self.arena.span(path) {
                wanted.push(Open::Span(self.became.get(&path).copied().unwrap_or(path)));
                path = span.parent;
            }
            wanted.reverse();
            let shared = self.open.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
            self.close_to(shared);
            for open in wanted.drain(shared..) {
                self.open(open);
            }
        }
        self.out.push_str(&token.html);
    }

    fn open(&mut self, open: Open) {
        match open {
            Open::Span(path) => {
                if let Some(span) = self.arena.span(path) {
                    self.out.push_str(&span.open);
                }
            }
            Open::Mark(mark) => {
                self.out.push('<');
                self.out.push_str(mark.tag());
                self.out.push('>');
            }
        }
        self.open.push(open);
    }

    fn close_to(&mut self, height: usize) {
        while self.open.len() > height {
            let name = match self.open.pop() {
                Some(Open::Span(path)) => self.arena.span(path).map_or("", |span| span.name),
                Some(Open::Mark(mark)) => mark.tag(),
                None => return,
            };
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
    }
}
