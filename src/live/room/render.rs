//! The task that renders a page after edits and tells readers what changed.

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

/// Texts above this are rendered on a thread of their own.
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
    rev: Revision,
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
                    self.busy.fetch_add(1, Ordering::SeqCst);
                    let large = self.text().1.len() > LARGE_TEXT;
                    if large {
                        let room = Arc::clone(&self);
                        // The join fails only if rendering panics, which it does not by contract;
                        // the next edit then renders again.
                        let _ = tokio::task::spawn_blocking(move || room.render()).await;
                    } else {
                        self.render();
                    }
                    self.busy.fetch_sub(1, Ordering::SeqCst);
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

    /// Renders the text and publishes the difference to the last time.
    fn render(&self) {
        let (revision, text) = self.text();
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let rendered = renderer.render(&text, &|path| self.shared.pages.exists(path));
        let mut state = self.lock();
        if let Some(changed) = difference(&state.rendered, &rendered, revision) {
            let topic = Topic::View(self.id);
            self.shared.hub.publish(topic, encode(topic, "changed", &changed));
        }
        self.shared.pages.titled(self.id, rendered.title.as_deref());
        state.rendered = Arc::new(rendered);
        state.rendered_revision = revision;
    }

    /// Publishes position and hash of the text, so that a browser that differs notices.
    fn check(&self) {
        let mut state = self.lock();
        let (hash, length) = text_hash(&state.text());
        let checked = Checked { rev: state.revision, length, hash: format!("{hash:08x}") };
        let topic = Topic::Doc(self.id);
        self.shared.hub.publish(topic, encode(topic, "checked", &checked));
    }
}

/// The smallest run of blocks that differs, between a common start and a common end.
fn difference<'a>(old: &Rendered, new: &'a Rendered, rev: Revision) -> Option<Changed<'a>> {
    let same = |(a, b): &(&Block, &Block)| a.hash == b.hash && a.lines == b.lines;
    let start = old.blocks.iter().zip(&new.blocks).take_while(same).count();
    let rest = old.blocks.len().min(new.blocks.len()) - start;
    let tail =
        old.blocks.iter().rev().zip(new.blocks.iter().rev()).take(rest).take_while(same).count();
    let end = old.blocks.len() - tail;
    let blocks: Vec<_> =
        new.blocks[start..new.blocks.len() - tail].iter().map(Into::into).collect();
    if start == end && blocks.is_empty() && old.title == new.title {
        return None;
    }
    Some(Changed { rev, start, end, total: new.blocks.len(), blocks, title: new.title.as_deref() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(blocks: &[&str]) -> Rendered {
        let block = |html: &&str| Block { hash: (*html).into(), lines: 1, html: (*html).into() };
        Rendered { blocks: blocks.iter().map(block).collect(), ..Rendered::default() }
    }

    fn check(old: &[&str], new: &[&str], expected: Option<(usize, usize, &[&str])>) {
        let (old, new) = (page(old), page(new));
        let changed = difference(&old, &new, Revision(1));
        let found = changed
            .as_ref()
            .map(|c| (c.start, c.end, c.blocks.iter().map(|b| b.html).collect::<Vec<_>>()));
        assert_eq!(found, expected.map(|(start, end, blocks)| (start, end, blocks.to_vec())));
    }

    #[test]
    fn the_difference_is_the_smallest_run_of_blocks() {
        check(&["a", "b", "c"], &["a", "b", "c"], None);
        check(&["a", "b", "c"], &["a", "x", "c"], Some((1, 2, &["x"])));
        check(&["a", "b"], &["a", "x", "b"], Some((1, 1, &["x"])));
        check(&["a", "b", "c"], &["a", "c"], Some((1, 2, &[])));
        check(&["a"], &["a", "a"], Some((1, 1, &["a"])));
        check(&["a", "a"], &["a"], Some((1, 2, &[])));
        check(&[], &["a"], Some((0, 0, &["a"])));
        check(&["a"], &[], Some((0, 1, &[])));
    }
}
