//! Three-way merge of plain texts.
//!
//! Both sides are compared with what they started from, word by word. What only one side changed
//! is taken; where both changed the same words, both versions stay, theirs first. The method is
//! that of diff3 (Khanna, Kunal, Pierce: "A formal investigation of diff3", 2007) with words for
//! lines, and with one difference: two insertions at one place are both wanted, hence no conflict.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::Conflict;
use super::diff::{Hunk, diff};
use super::tokens::tokens;

/// Time for each of the two comparisons; after it they get coarser. Two unrelated pages of 1 MiB
/// are the worst case and stay well below a second together.
const DIFF_TIME: Duration = Duration::from_millis(250);

/// One replaced byte range of the present text, at character borders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) insert: String,
}

/// What has to be done to the present text: edits in order, without overlap.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) edits: Vec<Edit>,
    pub(super) conflicts: Vec<Conflict>,
}

/// Brings what `yours` changed against `base` into `current`.
pub(super) fn merge(base: &str, current: &str, yours: &str) -> Merged {
    if yours == base || yours == current {
        return Merged::default();
    }
    let ours = diff(base, yours, Instant::now() + DIFF_TIME);
    let theirs =
        if base == current { Vec::new() } else { diff(base, current, Instant::now() + DIFF_TIME) };
    let mut merger = Merger { base, current, yours, merged: Merged::default() };
    let (mut at, mut their_at) = (0, 0);
    // How far `current` is ahead of `base` after the hunks of theirs that are passed.
    let mut here = Place { base: 0, current: 0 };
    while at < ours.len() {
        let hunk = &ours[at];
        match theirs.get(their_at) {
            Some(their) if is_before(their, hunk) => {
                here = Place { base: their.old.end, current: their.new.end };
                their_at += 1;
            }
            Some(their) if is_same_place(their, hunk) => {
                merger.insert_both(their, hunk);
                here = Place { base: their.old.end, current: their.new.end };
                at += 1;
                their_at += 1;
            }
            Some(their) if overlap(their, hunk) => {
                let cluster = Cluster::grow(&ours[at..], &theirs[their_at..]);
                merger.resolve(&cluster);
                here = Place {
                    base: cluster.theirs[cluster.theirs.len() - 1].old.end,
                    current: cluster.theirs[cluster.theirs.len() - 1].new.end,
                };
                at += cluster.ours.len();
                their_at += cluster.theirs.len();
            }
            _ => {
                let range = here.of(hunk.old.start)..here.of(hunk.old.end);
                merger.replace(range, &yours[hunk.new.clone()]);
                at += 1;
            }
        }
    }
    merger.merged
}

/// The text after the edits.
pub(super) fn apply(current: &str, edits: &[Edit]) -> String {
    let mut text = String::with_capacity(current.len());
    let mut at = 0;
    for edit in edits {
        text.push_str(&current[at..edit.range.start]);
        text.push_str(&edit.insert);
        at = edit.range.end;
    }
    text.push_str(&current[at..]);
    text
}

/// Whether some of what `after` has and `before` had not is still in `now`.
pub(super) fn still_stands(before: &str, after: &str, now: &str) -> bool {
    let added = diff(before, after, Instant::now() + DIFF_TIME);
    let lost = diff(after, now, Instant::now() + DIFF_TIME);
    let is_blank = |text: &str| text.chars().all(char::is_whitespace);
    added.iter().any(|hunk| {
        // Blanks prove nothing, unless nothing else was inserted.
        let counts = |text: &str| !is_blank(text) || is_blank(&after[hunk.new.clone()]);
        kept(hunk.new.clone(), &lost).into_iter().any(|range| counts(&after[range]))
    })
}

/// The parts of a range that no hunk replaced.
fn kept(range: Range<usize>, lost: &[Hunk]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = range.start;
    for hunk in lost.iter().filter(|hunk| hunk.old.end > range.start) {
        let end = hunk.old.start.min(range.end);
        if at < end {
            parts.push(at..end);
        }
        at = at.max(hunk.old.end);
    }
    if at < range.end {
        parts.push(at..range.end);
    }
    parts
}

/// A place that is the same in both texts; what follows is equal up to the next hunk.
struct Place {
    base: usize,
    current: usize,
}

impl Place {
    fn of(&self, base: usize) -> usize {
        self.current + (base - self.base)
    }
}

fn is_same_place(one: &Hunk, other: &Hunk) -> bool {
    one.old.is_empty() && other.old.is_empty() && one.old.start == other.old.start
}

fn is_before(one: &Hunk, other: &Hunk) -> bool {
    one.old.end <= other.old.start && !is_same_place(one, other)
}

/// Whether two hunks changed something in common. An insertion at the edge of a change does not.
fn overlap(one: &Hunk, other: &Hunk) -> bool {
    one.old.start < other.old.end && other.old.start < one.old.end
}

/// Hunks of both sides that overlap one another, directly or through others.
struct Cluster<'a> {
    ours: &'a [Hunk],
    theirs: &'a [Hunk],
    base: Range<usize>,
}

impl<'a> Cluster<'a> {
    /// Starts with the first of each, which overlap.
    fn grow(ours: &'a [Hunk], theirs: &'a [Hunk]) -> Self {
        let mut base =
            ours[0].old.start.min(theirs[0].old.start)..ours[0].old.end.max(theirs[0].old.end);
        let (mut own, mut their) = (1, 1);
        loop {
            let next = |hunks: &[Hunk], at: usize| -> Option<usize> {
                hunks.get(at).filter(|hunk| hunk.old.start < base.end).map(|hunk| hunk.old.end)
            };
            if let Some(end) = next(ours, own) {
                own += 1;
                base.end = base.end.max(end);
            } else if let Some(end) = next(theirs, their) {
                their += 1;
                base.end = base.end.max(end);
            } else {
                return Self { ours: &ours[..own], theirs: &theirs[..their], base };
            }
        }
    }

    /// The changed text of one side that stands for `base`.
    fn range_in(&self, hunks: &[Hunk]) -> Range<usize> {
        let (first, last) = (&hunks[0], &hunks[hunks.len() - 1]);
        first.new.start - (first.old.start - self.base.start)
            ..last.new.end + (self.base.end - last.old.end)
    }

    /// The part of `yours` that it has besides `theirs`, when both replaced the same words by
    /// the same ones and at most one of them added something.
    fn same_and_more(&self, theirs: &str, yours: &str) -> Option<Range<usize>> {
        let ([their], [own]) = (self.theirs, self.ours) else { return None };
        if their.old != own.old || theirs.is_empty() || yours.is_empty() {
            return None;
        }
        let (theirs, yours) = (tokens(theirs), tokens(yours));
        let equal = |pair: &(&&str, &&str)| pair.0 == pair.1;
        let prefix = theirs.iter().zip(&yours).take_while(equal).count();
        let (their_rest, your_rest) = (&theirs[prefix..], &yours[prefix..]);
        let suffix = their_rest.iter().rev().zip(your_rest.iter().rev()).take_while(equal).count();
        let start: usize = yours[..prefix].iter().map(|token| token.len()).sum();
        let more = &your_rest[..your_rest.len() - suffix];
        let length: usize = more.iter().map(|token| token.len()).sum();
        (suffix == their_rest.len() || more.is_empty()).then_some(start..start + length)
    }

    fn only_deletes(&self) -> bool {
        self.ours.iter().chain(self.theirs).all(|hunk| hunk.new.is_empty())
    }
}

struct Merger<'a> {
    base: &'a str,
    current: &'a str,
    yours: &'a str,
    merged: Merged,
}

impl Merger<'_> {
    /// Replaces a range of the current text, and no more of it than differs: what others see
    /// move, and their carets in it, should be as little as possible.
    fn replace(&mut self, range: Range<usize>, with: &str) {
        let old = &self.current[range.clone()];
        let prefix: usize = old
            .chars()
            .zip(with.chars())
            .take_while(|(one, other)| one == other)
            .map(|(one, _)| one.len_utf8())
            .sum();
        let suffix: usize = old[prefix..]
            .chars()
            .rev()
            .zip(with[prefix..].chars().rev())
            .take_while(|(one, other)| one == other)
            .map(|(one, _)| one.len_utf8())
            .sum();
        let range = range.start + prefix..range.end - suffix;
        let insert = &with[prefix..with.len() - suffix];
        if !range.is_empty() || !insert.is_empty() {
            self.merged.edits.push(Edit { range, insert: insert.to_owned() });
        }
    }

    /// Both inserted at one place: theirs, then yours. Lines that both have in front are the same
    /// lines sent twice.
    fn insert_both(&mut self, their: &Hunk, own: &Hunk) {
        let theirs = &self.current[their.new.clone()];
        let yours = &self.yours[own.new.clone()];
        let rest = if theirs == yours || (yours.ends_with('\n') && theirs.starts_with(yours)) {
            ""
        } else if theirs.ends_with('\n') {
            yours.strip_prefix(theirs).unwrap_or(yours)
        } else {
            yours
        };
        self.replace(their.new.end..their.new.end, rest);
    }

    fn resolve(&mut self, cluster: &Cluster<'_>) {
        let range = cluster.range_in(cluster.theirs);
        let theirs = &self.current[range.clone()];
        let yours = &self.yours[cluster.range_in(cluster.ours)];
        if theirs == yours {
            return;
        }
        if cluster.only_deletes() {
            return self.replace(range, "");
        }
        if let Some(more) = cluster.same_and_more(theirs, yours) {
            let at = range.start + more.start;
            return self.replace(at..at, &yours[more]);
        }
        let separator = separator(theirs, yours);
        if !yours.is_empty() {
            self.replace(range.end..range.end, &format!("{separator}{yours}"));
        }
        self.merged.conflicts.push(Conflict {
            base: self.base[cluster.base.clone()].to_owned(),
            theirs: theirs.to_owned(),
            yours: yours.to_owned(),
        });
    }
}

/// What to put between two versions of the same words.
fn separator(theirs: &str, yours: &str) -> &'static str {
    if theirs.is_empty()
        || yours.is_empty()
        || theirs.ends_with(char::is_whitespace)
        || yours.starts_with(char::is_whitespace)
    {
        ""
    } else if theirs.contains("\r\n") || yours.contains("\r\n") {
        "\r\n"
    } else if theirs.contains('\n') || yours.contains('\n') {
        "\n"
    } else {
        " "
    }
}
