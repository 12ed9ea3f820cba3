//! What changed between two texts, as replaced byte ranges.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::time::Instant;

use similar::algorithms::{DiffHook, myers};

use super::tokens::tokens;

/// `old` became `new`; both are byte ranges at character borders, and one of them may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// Up to this many pieces a difference is found in some milliseconds at worst, and the deadline
/// does not count: it is one of the clock, and a busy machine must not make a small merge coarse.
const SMALL: usize = 1_200;

/// The hunks that make `new` of `old`, in order, with something equal between any two. First by
/// lines, then by words within what changed. After `deadline` they get coarser, but stay right.
pub(super) fn diff(old: &str, new: &str, deadline: Instant) -> Vec<Hunk> {
    let lines = hunks_of(&lines(old), &lines(new), deadline);
    let mut hunks = Vec::with_capacity(lines.len());
    for line in lines {
        let (old_part, new_part) = (&old[line.old.clone()], &new[line.new.clone()]);
        if old_part.is_empty() || new_part.is_empty() {
            push(&mut hunks, line, old);
            continue;
        }
        let (old_words, new_words) = (tokens(old_part), tokens(new_part));
        if old_words.len() + new_words.len() > SMALL && Instant::now() > deadline {
            push(&mut hunks, line, old);
            continue;
        }
        for word in hunks_of(&old_words, &new_words, deadline) {
            let hunk = Hunk {
                old: line.old.start + word.old.start..line.old.start + word.old.end,
                new: line.new.start + word.new.start..line.new.start + word.new.end,
            };
            push(&mut hunks, hunk, old);
        }
    }
    hunks
}

/// Two hunks with nothing but blanks between them are one change: rewritten sentences must not
/// fall apart into words that happen to share their blanks.
fn push(hunks: &mut Vec<Hunk>, hunk: Hunk, old: &str) {
    if let Some(last) = hunks.last_mut() {
        let between = &old[last.old.end..hunk.old.start];
        if between.chars().all(|character| character == ' ' || character == '\t') {
            last.old.end = hunk.old.end;
            last.new.end = hunk.new.end;
            return;
        }
    }
    hunks.push(hunk);
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn hunks_of<'a>(old: &[&'a str], new: &[&'a str], deadline: Instant) -> Vec<Hunk> {
    // Small numbers compare faster than strings.
    let mut numbers: HashMap<&'a str, usize> = HashMap::with_capacity(old.len() + new.len());
    let mut number = |pieces: &[&'a str]| -> Vec<usize> {
        pieces
            .iter()
            .map(|&piece| {
                let next = numbers.len();
                *numbers.entry(piece).or_insert(next)
            })
            .collect()
    };
    let (old_numbers, new_numbers) = (number(old), number(new));
    let mut collector = Collector::default();
    let Ok(()) = myers::diff_deadline(
        &mut collector,
        &old_numbers[..],
        0..old.len(),
        &new_numbers[..],
        0..new.len(),
        (old.len() + new.len() > SMALL).then_some(deadline),
    );
    collector.close(old.len(), new.len());
    let (old_starts, new_starts) = (starts(old), starts(new));
    collector
        .hunks
        .into_iter()
        .map(|hunk| Hunk {
            old: old_starts[hunk.old.start]..old_starts[hunk.old.end],
            new: new_starts[hunk.new.start]..new_starts[hunk.new.end],
        })
        .collect()
}

/// Byte offset of every piece, and of the end.
fn starts(pieces: &[&str]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(pieces.len() + 1);
    starts.push(0);
    let mut at = 0;
    for piece in pieces {
        at += piece.len();
        starts.push(at);
    }
    starts
}

/// Takes the hunks to be what lies between equal runs. (After the deadline `similar` reports
/// deletions and insertions with other positions than before it; equal runs are always right.)
#[derive(Default)]
struct Collector {
    hunks: Vec<Hunk>,
    old: usize,
    new: usize,
}

impl Collector {
    fn close(&mut self, old: usize, new: usize) {
        if self.old < old || self.new < new {
            self.hunks.push(Hunk { old: self.old..old, new: self.new..new });
        }
    }
}

impl DiffHook for Collector {
    type Error = Infallible;

    fn equal(&mut self, old: usize, new: usize, length: usize) -> Result<(), Infallible> {
        self.close(old, new);
        self.old = old + length;
        self.new = new + length;
        Ok(())
    }
}
