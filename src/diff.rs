//! How two texts differ, for people to read: line by line, and word by word within changed lines.
//!
//! The algorithm is Myers' (1986) as the crate `similar` has it, bounded in time: two large texts
//! that have nothing in common are compared more coarsely, and the result says so. Where several
//! lines stand in the place of several others, [`align`] finds which became which, [`within`] tells
//! what changed in each, and [`moved`] finds lines that stand elsewhere. How two renderings differ
//! is told by [`rendered`].

mod align;
mod moved;
pub mod rendered;
mod within;
mod words;

use std::hash::Hash;
use std::ops::Range;
use std::time::{Duration, Instant};

use similar::algorithms::{Capture, Replace, diff_slices_deadline};
use similar::{Algorithm, DiffOp};

use align::{MAX_PAIRS, Place, align};

/// Unchanged lines that are shown around a change.
const CONTEXT: usize = 3;

/// For finding changed lines, and for all words within them.
const LINES_LIMIT: Duration = Duration::from_millis(500);
const WORDS_LIMIT: Duration = Duration::from_millis(300);

/// Where too many lines were exchanged for all to be compared with all, so many of the old ones are
/// looked at together, with as many new ones as [`MAX_PAIRS`] allows: as many of both, or, when
/// none of them became another, few of one side with many of the other, as after a long insertion.
const WINDOWS: [usize; 3] = [100, 25, 400];

/// And so many of both are taken by their place when that finds none either.
const STRIDE: usize = 50;

/// Most rows of a result.
pub const MAX_ROWS: usize = 3_000;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its text.
    pub text: String,
    /// Differs from the line on the other side.
    pub changed: bool,
}

/// Where a line that was moved stands on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its number there, from 1.
    pub number: usize,
    /// How many lines were moved together, when this is the first of them; else 0.
    pub lines: usize,
}

/// A line of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// Its text in parts, without the line's end.
    pub parts: Vec<Part>,
    /// Where the same line stands on the other side, if it was moved.
    pub moved: Option<Moved>,
}

/// A row of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The same on both sides; numbers before and after.
    Same {
        /// Number before, from 1.
        old: usize,
        /// Number after, from 1.
        new: usize,
        /// The line.
        text: String,
    },
    /// What stands in each other's place; one of them may be missing.
    Changed {
        /// Before.
        old: Option<Line>,
        /// After.
        new: Option<Line>,
    },
    /// So many lines are the same and not shown.
    Skipped(usize),
}

/// How two texts differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Changes with some lines around each; empty when there are none.
    pub rows: Vec<Row>,
    /// Lines that are only after.
    pub added: usize,
    /// Lines that are only before.
    pub removed: usize,
    /// The texts were too different, or too long, to be compared finely in the time there is.
    pub is_coarse: bool,
    /// There are more than [`MAX_ROWS`] rows.
    pub is_cut: bool,
    /// The lines are the same, and only their ends differ.
    pub only_ends: bool,
}

/// Compares two texts. Takes less than a second, whatever they are.
#[must_use]
pub fn compare(old: &str, new: &str) -> Diff {
    compare_within(LINES_LIMIT, WORDS_LIMIT, old, new)
}

fn compare_within(for_lines: Duration, for_words: Duration, old: &str, new: &str) -> Diff {
    let (old_lines, new_lines) = (lines(old), lines(new));
    let begun = Instant::now();
    let ops = changes(&old_lines, &new_lines, begun + for_lines);
    let mut diff = Diff { is_coarse: begun.elapsed() >= for_lines, ..Diff::default() };
    let words_until = Instant::now() + for_words;
    let mut maker = Maker { old: &old_lines, new: &new_lines, words_until, diff: &mut diff };
    for (n, op) in ops.iter().enumerate() {
        maker.take(*op, n == 0, n + 1 == ops.len());
        if maker.diff.rows.len() > MAX_ROWS {
            maker.diff.rows.truncate(MAX_ROWS);
            maker.diff.is_cut = true;
        }
    }
    if diff.added + diff.removed == 0 {
        diff.rows.clear();
        diff.only_ends = old != new;
    }
    moved::mark(&mut diff.rows);
    diff
}

/// What differs between two lists; after `until` only roughly.
///
/// Not `capture_diff_slices_deadline`: it tidies up without a limit, by the square of what differs.
fn changes<T: Eq + Hash + Ord>(old: &[T], new: &[T], until: Instant) -> Vec<DiffOp> {
    let mut hook = Replace::new(Capture::new());
    // Its errors are the hook's, and this one has none.
    let Ok(()) = diff_slices_deadline(Algorithm::Myers, &mut hook, old, new, Some(until));
    hook.into_inner().into_ops()
}

/// Lines without their ends. A text's last line end begins no line.
fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

struct Maker<'a> {
    old: &'a [&'a str],
    new: &'a [&'a str],
    words_until: Instant,
    diff: &'a mut Diff,
}

impl Maker<'_> {
    fn take(&mut self, op: DiffOp, is_first: bool, is_last: bool) {
        let (old, new) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { old_index, new_index, len } = op {
            let before = if is_first { 0 } else { CONTEXT.min(len) };
            let after = if is_last { 0 } else { CONTEXT.min(len) };
            let skipped = len.saturating_sub(before + after);
            // To say that one line is not shown takes as much room as to show it.
            let (before, skipped) =
                if skipped <= 1 { (len - after.min(len), 0) } else { (before, skipped) };
            for n in 0..before {
                self.same(old_index + n, new_index + n);
            }
            if skipped > 0 {
                self.diff.rows.push(Row::Skipped(skipped));
            }
            for n in len - after.min(len - before)..len {
                self.same(old_index + n, new_index + n);
            }
            return;
        }
        self.diff.removed += old.len();
        self.diff.added += new.len();
        self.exchange(old, new);
    }

    /// Lines that stand in each other's place. Of very many some at a time are looked at: half of
    /// the pairs among them are taken, since those near the end may have better ones further on.
    fn exchange(&mut self, mut old: Range<usize>, mut new: Range<usize>) {
        while old.len().saturating_mul(new.len()) > MAX_PAIRS && !self.is_full() && !self.is_late()
        {
            let windows = WINDOWS.iter().map(|&most| {
                let before = most.min(old.len());
                let after = (MAX_PAIRS / before).min(new.len());
                let before = (MAX_PAIRS / after).min(old.len());
                (old.start..old.start + before, new.start..new.start + after)
            });
            let mut found = windows.map(|(old, new)| self.pairs(old, new));
            let mut pairs = found.find(|pairs| !pairs.is_empty()).unwrap_or_default();
            pairs.truncate(pairs.len().div_ceil(2));
            let ends = pairs.last().map(|(i, j)| (i + 1, j + 1));
            let (old_end, new_end) = ends.unwrap_or_else(|| {
                // What became of them may stand further away.
                self.diff.is_coarse = true;
                ((old.start + STRIDE).min(old.end), (new.start + STRIDE).min(new.end))
            });
            self.show(old.start..old_end, new.start..new_end, &pairs);
            (old.start, new.start) = (old_end, new_end);
        }
        if self.is_full() {
            return;
        }
        // One for one needs no search.
        let needs_search = !old.is_empty() && !new.is_empty() && (old.len(), new.len()) != (1, 1);
        self.diff.is_coarse |= needs_search && self.is_late();
        let pairs = match needs_search && !self.is_late() {
            true => self.pairs(old.clone(), new.clone()),
            false => Vec::new(),
        };
        self.show(old, new, &pairs);
    }

    /// Of lines that stand in each other's place those that became each other; at most
    /// [`MAX_PAIRS`] are looked at.
    fn pairs(&self, old: Range<usize>, new: Range<usize>) -> Vec<(usize, usize)> {
        let (before, after) = (&self.old[old.clone()], &self.new[new.clone()]);
        let likeness = within::likenesses(before, after, self.words_until);
        let places = align(&likeness, before.len(), after.len()).into_iter();
        let both = places.filter_map(|place| match place {
            Place::Both(i, j) => Some((old.start + i, new.start + j)),
            Place::Old(_) | Place::New(_) => None,
        });
        both.collect()
    }

    /// Lines that became others; what is between them stands side by side.
    fn show(&mut self, old: Range<usize>, new: Range<usize>, pairs: &[(usize, usize)]) {
        let (mut i, mut j) = (old.start, new.start);
        for &(old_at, new_at) in pairs {
            self.beside(i..old_at, j..new_at);
            if self.is_full() {
                return;
            }
            self.pair(old_at, new_at);
            (i, j) = (old_at + 1, new_at + 1);
        }
        self.beside(i..old.end, j..new.end);
    }

    /// Nothing more is shown.
    fn is_full(&self) -> bool {
        self.diff.rows.len() > MAX_ROWS
    }

    /// There is no time left for words.
    fn is_late(&self) -> bool {
        Instant::now() >= self.words_until
    }

    /// Lines that stand in each other's place, each with the one at the same height.
    fn beside(&mut self, mut old: Range<usize>, mut new: Range<usize>) {
        while !self.is_full() {
            match (old.next(), new.next()) {
                (None, None) => return,
                (Some(old), Some(new)) => self.pair(old, new),
                (old, new) => {
                    let old = old.map(|n| whole(self.old[n], n));
                    let new = new.map(|n| whole(self.new[n], n));
                    self.diff.rows.push(Row::Changed { old, new });
                }
            }
        }
    }

    fn same(&mut self, old: usize, new: usize) {
        if !self.is_full() {
            let text = self.old[old].to_owned();
            self.diff.rows.push(Row::Same { old: old + 1, new: new + 1, text });
        }
    }

    /// Two lines in each other's place.
    fn pair(&mut self, old: usize, new: usize) {
        let (before, after) = (self.old[old], self.new[new]);
        let (old, new) = match within::parts(before, after, self.words_until) {
            Some((old_parts, new_parts)) => (
                Line { number: old + 1, parts: old_parts, moved: None },
                Line { number: new + 1, parts: new_parts, moved: None },
            ),
            None => (whole(before, old), whole(after, new)),
        };
        // Also when the time ran out meanwhile: words are compared only roughly then.
        self.diff.is_coarse |= self.is_late() || within::is_too_long(before, after);
        self.diff.rows.push(Row::Changed { old: Some(old), new: Some(new) });
    }
}

/// A line all of which is new or gone.
fn whole(text: &str, n: usize) -> Line {
    let parts = vec![Part { text: text.to_owned(), changed: false }];
    Line { number: n + 1, parts, moved: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in the notation of `diff`, with changed words in brackets.
    fn drawn(old: &str, new: &str) -> Vec<String> {
        let line = |line: &Line, sign: char| {
            let text: String = line
                .parts
                .iter()
                .map(
                    |part| {
                        if part.changed { format!("[{}]", part.text) } else { part.text.clone() }
                    },
                )
                .collect();
            let moved = line.moved.map(|to| format!(" ({}x{})", to.number, to.lines));
            let moved = moved.unwrap_or_default();
            format!("{sign}{} {text}{moved}", line.number)
        };
        let rows = compare(old, new).rows;
        let drawn = rows.iter().flat_map(|row| match row {
            Row::Same { old, new, text } => vec![format!(" {old},{new} {text}")],
            Row::Changed { old, new } => {
                let old = old.iter().map(|old| line(old, '-'));
                old.chain(new.iter().map(|new| line(new, '+'))).collect()
            }
            Row::Skipped(count) => vec![format!("@{count}")],
        });
        drawn.collect()
    }

    #[test]
    fn changed_words_are_told_within_lines_that_are_alike() {
        let rows = drawn("one two three four\n", "one 2 three four\n");
        assert_eq!(rows, ["-1 one [two] three four", "+1 one [2] three four"]);
        let rows = drawn("completely different\n", "nothing of it stays\n");
        assert_eq!(rows, ["-1 completely different", "+1 nothing of it stays"]);
    }

    #[test]
    fn a_change_is_as_narrow_as_it_is_in_any_script() {
        let rows = drawn("One, two and three.\n", "One; two and three!\n");
        assert_eq!(rows, ["-1 One[,] two and three[.]", "+1 One[;] two and three[!]"]);
        let rows = drawn("吾輩は猫である。\n", "吾輩は犬である。\n");
        assert_eq!(rows, ["-1 吾輩は[猫]である。", "+1 吾輩は[犬]である。"]);
        // Words side by side that became others are one change.
        let rows = drawn("keep this, one two, and this\n", "keep this, ONE TWO, and this\n");
        assert_eq!(
            rows,
            ["-1 keep this, [one two], and this", "+1 keep this, [ONE TWO], and this"]
        );
        // White space is text here.
        assert_eq!(drawn("- a b\n", "  - a b\n"), ["-1 - a b", "+1 [  ]- a b"]);
    }

    #[test]
    fn a_line_is_compared_with_what_became_of_it_and_not_with_what_stands_at_its_height() {
        let rows = drawn(
            "a line about comets here\na line about tails there\n",
            "something new\na line about comets now\na line about tails then\n",
        );
        assert_eq!(
            rows,
            [
                "+1 something new",
                "-1 a line about comets [here]",
                "+2 a line about comets [now]",
                "-2 a line about tails [there]",
                "+3 a line about tails [then]",
            ]
        );
    }

    #[test]
    fn what_is_the_same_is_shown_around_a_change_only() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let rows = drawn(&old, &old.replace("10\n", ""));
        let expected = [
            "@6",
            " 7,7 7",
            " 8,8 8",
            " 9,9 9",
            "-10 10",
            " 11,10 11",
            " 12,11 12",
            " 13,12 13",
            "@7",
        ];
        assert_eq!(rows, expected);
        assert_eq!(drawn(&old, &old), Vec::<String>::new());
        // One line in between takes no more room than to say so.
        let rows = drawn("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n");
        assert!(rows.iter().all(|row| !row.starts_with('@')), "{rows:?}");
    }

    #[test]
    fn a_line_that_was_moved_is_found_again() {
        let long = "a line that is long enough to be known";
        let rows = drawn(&format!("{long}\na\nb\nc\n"), &format!("a\nb\nc\n{long}\n"));
        assert_eq!(rows[0], format!("-1 {long} (4x1)"));
        assert_eq!(rows[4], format!("+4 {long} (1x1)"));
    }

    #[test]
    fn lines_that_were_moved_together_are_one_block_with_its_short_and_empty_lines() {
        let block = "## A heading that goes\n\n- a\n- b\n";
        let rest = "One.\n\nTwo.\n\nThree.\n\nFour.\n\nFive.\n\n";
        let rows = drawn(&format!("{block}{rest}"), &format!("{rest}{block}"));
        let moved: Vec<_> = rows.iter().filter(|row| row.contains('x')).collect();
        assert_eq!(
            moved,
            [
                "-1 ## A heading that goes (11x4)",
                "-2  (12x0)",
                "-3 - a (13x0)",
                "-4 - b (14x0)",
                "+11 ## A heading that goes (1x4)",
                "+12  (2x0)",
                "+13 - a (3x0)",
                "+14 - b (4x0)",
            ],
            "{rows:#?}"
        );
        // Short lines alone are no block: they come everywhere.
        let rows = drawn("- a\nOne.\nTwo.\nThree.\n", "One.\nTwo.\nThree.\n- a\n");
        assert!(rows.iter().all(|row| !row.contains('x')), "{rows:?}");
    }

    #[test]
    fn a_line_that_is_indented_anew_was_not_moved() {
        let rows = drawn("  a line that is long enough\n", "a line that is long enough\n");
        assert!(rows.iter().all(|row| !row.contains("(1x")), "{rows:?}");
    }

    #[test]
    fn only_the_ends_of_lines_may_differ() {
        let ends = |old, new| (compare(old, new).only_ends, drawn(old, new).len());
        assert_eq!(ends("a\nb\n", "a\r\nb\n"), (true, 0));
        assert_eq!(ends("a\nb\n", "a\nb"), (true, 0));
        assert_eq!(ends("a\nb\n", "a\nb\n"), (false, 0));
    }

    #[test]
    fn texts_begin_and_end_empty_or_without_a_line_end() {
        assert_eq!(drawn("", "a"), ["+1 a"]);
        assert_eq!(drawn("a\nb", ""), ["-1 a", "-2 b"]);
        assert_eq!(drawn("a", "a\n"), Vec::<String>::new());
        assert_eq!(drawn("", ""), Vec::<String>::new());
    }

    #[test]
    fn large_texts_with_nothing_in_common_take_a_bounded_time() {
        // Many short lines in another order are the worst case.
        let text = |step: u64| -> String {
            (0..150_000_u64).map(|n| format!("{}\n", n * step % 7_919)).collect()
        };
        let begun = Instant::now();
        let diff = compare(&text(17), &text(4_001));
        println!("{:?}, coarse: {}", begun.elapsed(), diff.is_coarse);
        assert!(diff.is_cut && diff.rows.len() == MAX_ROWS);
        assert!(begun.elapsed() < Duration::from_secs(20), "without a limit it takes minutes");
    }

    /// How many rows have both sides, and how many of them tell which words are other ones.
    fn paired(diff: &Diff) -> (usize, usize) {
        let both = diff.rows.iter().filter_map(|row| match row {
            Row::Changed { old: Some(old), new: Some(new) } => Some((old, new)),
            _ => None,
        });
        let is_told = |line: &Line| line.parts.iter().any(|part| part.changed);
        (both.clone().count(), both.filter(|(old, new)| is_told(old) && is_told(new)).count())
    }

    #[test]
    fn many_lines_in_a_row_are_compared_with_what_became_of_them() {
        let long = Duration::from_secs(60);
        let text = |word: &str| -> String {
            (0..300).map(|n| format!("topic{n} says{n} what{n} {word}{n} is now\n")).collect()
        };
        let (old, changed) = (text("old"), text("new"));
        let other =
            |count: usize| -> String { (0..count).map(|n| format!("other{n}\n")).collect() };
        // As many as a window holds, and more.
        for above in [0, 1, 60, 250] {
            let new = format!("{}{changed}", other(above));
            let diff = compare_within(long, long, &old, &new);
            assert_eq!(paired(&diff), (300, 300), "{above} lines above");
            assert!(!diff.is_coarse, "{above} lines above");
            let diff = compare_within(long, long, &new, &old);
            assert_eq!(paired(&diff), (300, 300), "{above} lines above are gone");
        }
        // What came is too long to look behind it: it says so, and all lines are there.
        let diff = compare_within(long, long, &old, &format!("{}{changed}", other(900)));
        assert!(diff.is_coarse);
        let now = diff.rows.iter().filter(|row| matches!(row, Row::Changed { new: Some(_), .. }));
        assert_eq!((now.count(), diff.added, diff.removed), (1_200, 1_200, 300));
    }

    #[test]
    fn words_that_there_was_no_time_for_are_said_not_to_be_compared() {
        let long = Duration::from_secs(60);
        let is_coarse =
            |words, old: &str, new: &str| compare_within(long, words, old, new).is_coarse;
        assert!(is_coarse(Duration::ZERO, "a b c\n", "a b C\n"));
        assert!(is_coarse(Duration::ZERO, "a b c\nd e f\n", "a b C\n"));
        assert!(!is_coarse(Duration::ZERO, "a b c\n", "a b c\nd\n"), "there are none to compare");
        assert!(!is_coarse(long, "a b c\nd e f\n", "a b C\n"));
        let line = "word ".repeat(8 << 10);
        assert!(is_coarse(long, &format!("{line}a\n"), &format!("{line}b\n")), "a very long line");
    }

    #[test]
    fn without_time_a_comparison_is_coarse_and_says_so() {
        let diff = compare_within(Duration::ZERO, Duration::ZERO, "a b c\nd\n", "a b C\nd\ne\n");
        assert!(diff.is_coarse);
        let mut now = Vec::new();
        for row in &diff.rows {
            match row {
                Row::Same { text, .. } => now.push(text.clone()),
                Row::Changed { new: Some(line), .. } => {
                    assert!(line.parts.iter().all(|part| !part.changed));
                    now.push(line.parts.iter().map(|part| part.text.as_str()).collect());
                }
                Row::Changed { .. } | Row::Skipped(_) => {}
            }
        }
        assert_eq!(now, ["a b C", "d", "e"], "and is right all the same");
    }
}
