//! The task that renders a page after edits and tells readers what changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::Room;
use crate::live::document::text_hash;
use crate::live::topic::{Topic, encode};
use crate::markdown::{Block, Rendered};
use crate::page::Revision;

/// Shortest pause between two renders of a page: one render serves everyone.
const PAUSE: Duration = Duration::from_millis(50);

/// A render may take this share of the time, so that a huge page cannot take the machine.
const PAUSE_PER_COST: u32 = 4;

/// Time for finding which blocks differ; after that the runs are larger than they must be.
const DIFF_TIME: Duration = Duration::from_millis(5);

/// More runs than this are sent as one.
const MAX_RUNS: usize = 200;

/// Texts above this are rendered on threads of their own.
const LARGE_TEXT: usize = 16 * 1024;

/// Pause between two hashes of a text that is being written.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A page that was not changed for this long lets go of what only rendering needs.
const REST_AFTER: Duration = Duration::from_secs(20);

/// A block as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentBlock<'a> {
    /// Equal hash, equal block.
    pub hash: &'a str,
    /// Source lines.
    pub lines: usize,
    /// Safe HTML.
    pub html: &'a str,
}

impl<'a> From<&'a Block> for SentBlock<'a> {
    fn from(block: &'a Block) -> Self {
        Self { hash: &block.hash, lines: block.lines, html: &block.html }
    }
}

/// Replace blocks `start..end` of the old list by `blocks`; the new list has `total`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Changed<'a> {
    /// Revision of the old list.
    was: Revision,
    /// Revision of the new list, once all runs are applied.
    rev: Revision,
    /// The last run from `was` to `rev`.
    last: bool,
    start: usize,
    end: usize,
    total: usize,
    blocks: Vec<SentBlock<'a>>,
    title: Option<&'a str>,
}

#[derive(Serialize)]
struct Checked {
    rev: Revision,
    length: u64,
    hash: String,
}

impl Room {
    pub(super) async fn render_changes(self: Arc<Self>) {
        let mut check_due: Option<Instant> = None;
        let mut rest_due: Option<Instant> = None;
        let mut checked_at = Instant::now();
        let never = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = self.dirty.notified() => {
                    let started = Instant::now();
                    self.rendering.store(true, Ordering::SeqCst);
                    // Before the text is read: what comes after the look sets it again.
                    self.unrendered.store(false, Ordering::SeqCst);
                    let room = Arc::clone(&self);
                    // Rendering does not panic by contract. If it did, the next edit would have
                    // to render again all the same.
                    let work = move || catch_unwind(AssertUnwindSafe(|| room.render())).is_ok();
                    let large = self.text().is_ok_and(|(_, text)| text.len() > LARGE_TEXT);
                    let rendered = if large {
                        self.shared.threads.run(work).await.unwrap_or(false)
                    } else {
                        work()
                    };
                    self.shared.hub.call_in_turns(Topic::View(self.id)).await;
                    if !rendered {
                        log::error!("page {}: rendering failed", self.id);
                    }
                    self.rendering.store(false, Ordering::SeqCst);
                    rest_due = Some(started + REST_AFTER);
                    check_due.get_or_insert((checked_at + CHECK_PAUSE).max(Instant::now() + CHECK_PAUSE / 4));
                    let pause = PAUSE.max(started.elapsed() * PAUSE_PER_COST);
                    tokio::time::sleep(pause.saturating_sub(started.elapsed())).await;
                }
                () = tokio::time::sleep_until(rest_due.unwrap_or(never)), if rest_due.is_some() => {
                    rest_due = None;
                    self.renderer.lock().unwrap_or_else(PoisonError::into_inner).rest();
                }
                () = tokio::time::sleep_until(check_due.unwrap_or(never)), if check_due.is_some() => {
                    check_due = None;
                    checked_at = Instant::now();
                    self.check();
                }
            }
        }
    }

    /// Renders the text and appends the difference to the last time; the listeners are to be
    /// woken then.
    fn render(&self) {
        // A broken page keeps its last blocks until it is opened anew.
        let Ok((revision, text)) = self.text() else { return };
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let rendered = renderer.render(&text, &|path| self.shared.pages.exists(path));
        let (was, old) = {
            let state = self.lock();
            (state.rendered_revision, Arc::clone(&state.rendered))
        };
        let topic = Topic::View(self.id);
        let changes = differences((was, &old), (revision, &rendered));
        let events: Vec<_> = changes.iter().map(|c| encode(topic, "changed", c)).collect();
        self.shared.pages.titled(self.id, rendered.title.as_deref());
        // Only whoever holds the renderer changes the blocks, so they are still the old ones. The
        // blocks and the events that lead to them become visible together, see `Room::view`.
        let mut state = self.lock();
        self.shared.hub.append(topic, events);
        state.rendered = Arc::new(rendered);
        state.rendered_revision = revision;
    }

    /// Publishes position and hash of the text, so that a browser that differs notices.
    fn check(&self) {
        let mut state = self.lock();
        let Ok(text) = state.text() else { return };
        let (hash, length) = text_hash(&text);
        let checked = Checked { rev: state.revision, length, hash: format!("{hash:08x}") };
        let topic = Topic::Doc(self.id);
        self.shared.hub.publish(topic, encode(topic, "checked", &checked));
    }
}

/// What has to be replaced, as runs of blocks from the end of the page to its start, so that each
/// run stands where the old page had it. Many people write at different places: one run over all
/// of them would send most of the page with every keystroke.
fn differences<'a>(
    (was, old): (Revision, &Rendered),
    (rev, new): (Revision, &'a Rendered),
) -> Vec<Changed<'a>> {
    let same = |(a, b): &(&Block, &Block)| a.hash == b.hash && a.lines == b.lines;
    let head = old.blocks.iter().zip(&new.blocks).take_while(same).count();
    let rest = old.blocks.len().min(new.blocks.len()) - head;
    let tail =
        old.blocks.iter().rev().zip(new.blocks.iter().rev()).take(rest).take_while(same).count();
    let (old_end, new_end) = (old.blocks.len() - tail, new.blocks.len() - tail);
    let title = new.title.as_deref();
    let mut total = old.blocks.len();
    let mut change = |from: std::ops::Range<usize>, to: std::ops::Range<usize>| {
        total = total - from.len() + to.len();
        let blocks = new.blocks[to].iter().map(Into::into).collect();
        Changed { was, rev, last: false, start: from.start, end: from.end, total, blocks, title }
    };
    let runs = runs(&old.blocks[head..old_end], &new.blocks[head..new_end]);
    let shifted = |range: std::ops::Range<usize>| range.start + head..range.end + head;
    let mut changes: Vec<_> =
        runs.into_iter().rev().map(|(from, to)| change(shifted(from), shifted(to))).collect();
    // An empty run also says that nothing on the screen differs, so that the next one fits.
    if changes.is_empty() && (was != rev || old.title != new.title) {
        changes.push(change(0..0, 0..0));
    }
    if let Some(change) = changes.last_mut() {
        change.last = true;
    }
    changes
}

type Run = (std::ops::Range<usize>, std::ops::Range<usize>);

/// Runs that differ between two lists of blocks, in order.
fn runs(old: &[Block], new: &[Block]) -> Vec<Run> {
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    let key = |block: &Block| (block.hash.clone(), block.lines);
    let (from, to): (Vec<_>, Vec<_>) =
        (old.iter().map(key).collect(), new.iter().map(key).collect());
    let deadline = std::time::Instant::now() + DIFF_TIME;
    let operations = similar::capture_diff_slices_deadline(
        similar::Algorithm::Myers,
        &from,
        &to,
        Some(deadline),
    );
    let mut runs: Vec<Run> = Vec::new();
    // Only the lengths count: the indices of the side that has nothing are not exact in `similar`.
    let (mut at, mut new_at) = (0, 0);
    for operation in operations {
        let (from, to) = (operation.old_range().len(), operation.new_range().len());
        if operation.tag() != similar::DiffTag::Equal {
            match runs.last_mut() {
                // A deletion beside an insertion is one replacement.
                Some(last) if last.0.end == at && last.1.end == new_at => {
                    last.0.end += from;
                    last.1.end += to;
                }
                _ => runs.push((at..at + from, new_at..new_at + to)),
            }
        }
        at += from;
        new_at += to;
    }
    if runs.len() > MAX_RUNS {
        return vec![(0..old.len(), 0..new.len())];
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(blocks: &[&str]) -> Rendered {
        let block = |html: &&str| Block { hash: (*html).into(), lines: 1, html: (*html).into() };
        Rendered { blocks: blocks.iter().map(block).collect(), ..Rendered::default() }
    }

    fn check(old: &[&str], new: &[&str], expected: &[(usize, usize, &[&str])]) {
        let (before, after) = (page(old), page(new));
        let changes = differences((Revision(1), &before), (Revision(2), &after));
        let found: Vec<(usize, usize, Vec<&str>)> = changes
            .iter()
            .map(|c| (c.start, c.end, c.blocks.iter().map(|b| b.html).collect()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(a, b, c)| (*a, *b, c.to_vec())).collect();
        assert_eq!(found, expected);
        let mut blocks: Vec<&str> = old.to_vec();
        for change in &changes {
            let new = change.blocks.iter().map(|block| block.html);
            blocks.splice(change.start..change.end, new);
            assert_eq!(blocks.len(), change.total, "each change adds up by itself");
        }
        assert_eq!(blocks, new);
    }

    #[test]
    fn only_blocks_that_differ_are_sent() {
        check(&["a", "b", "c"], &["a", "b", "c"], &[(0, 0, &[])]);
        check(&["a", "b", "c"], &["a", "x", "c"], &[(1, 2, &["x"])]);
        check(&["a", "b"], &["a", "x", "b"], &[(1, 1, &["x"])]);
        check(&["a", "b", "c"], &["a", "c"], &[(1, 2, &[])]);
        check(&["a"], &["a", "a"], &[(1, 1, &["a"])]);
        check(&["a", "a"], &["a"], &[(1, 2, &[])]);
        check(&[], &["a"], &[(0, 0, &["a"])]);
        check(&["a"], &[], &[(0, 1, &[])]);
    }

    #[test]
    fn edits_at_both_ends_leave_the_middle_alone() {
        let old = ["a", "b", "c", "d", "e", "f"];
        check(&old, &["x", "b", "c", "d", "e", "y"], &[(5, 6, &["y"]), (0, 1, &["x"])]);
        check(
            &old,
            &["x", "a", "b", "d", "e", "y", "z"],
            &[(5, 6, &["y", "z"]), (2, 3, &[]), (0, 0, &["x"])],
        );
    }

    #[test]
    fn random_edits_of_blocks_always_add_up() {
        let seed = rand::random::<u64>();
        println!("seed {seed}");
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        for _ in 0..500 {
            let mut draw = || -> Vec<&str> {
                let length = rand::Rng::random_range(&mut random, 0..12);
                (0..length).map(|_| NAMES[rand::Rng::random_range(&mut random, 0..5)]).collect()
            };
            let (old, new) = (draw(), draw());
            let (before, after) = (page(&old), page(&new));
            let mut blocks = old.clone();
            for change in differences((Revision(1), &before), (Revision(2), &after)) {
                let new = change
                    .blocks
                    .iter()
                    .map(|block| NAMES.iter().find(|n| **n == block.html).copied().unwrap_or(""));
                blocks.splice(change.start..change.end, new.collect::<Vec<_>>());
                assert_eq!(blocks.len(), change.total, "{old:?} to {new:?}", new = after.blocks);
            }
            assert_eq!(blocks, new, "from {old:?}");
        }
    }
}
