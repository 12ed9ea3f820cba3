//! Compaction: old runs of page logs leave sled for packs.
//!
//! A thread reads the chunks, writes a pack, and hands the writer the places of its blocks; the
//! writer makes the records and, when these are durable, removes the chunks ([`install`]). At any
//! moment a run is in at least one of the two places, see `packs`. Never while a checkpoint runs, and
//! a checkpoint waits for the end of the pack that is being written.
//!
//! With the entries go their random operation ids (see `packed`), which is why nothing younger than
//! an hour is packed, and most snapshots: of a page that is packed sled keeps the newest, and the
//! packs get one now and then.

mod install;
mod merge;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use super::kv::{Kv, space};
use super::pace::Pace;
use super::packs::{Builder, Kind, Place};
use super::pages::{self, broken, page_key};
use super::shared::Shared;
use super::snapshot;
use super::writer::Item;
use super::{LogEntry, StoreError, codec};
pub(super) use install::{Install, Packed};

/// Younger entries stay in sled: a retry is answered by its operation id.
const AGE_MS: u64 = 60 * 60 * 1_000;
/// A page with fewer old entries in chunks waits for more, since small blocks compress badly.
const MIN_RUN: u64 = 2_000;
/// Unless old chunks of all pages together are more than this.
const MAX_CHUNKS: u64 = 8 << 20;
/// A pack gets no more blocks when it is so large.
const PACK_BYTES: u64 = 8 << 20;
/// Largest run of one block: whoever wants one entry of it reads all of them.
const BLOCK_ENTRIES: u64 = 4_096;
/// The same in bytes before they are packed. One entry may be larger.
const BLOCK_BYTES: usize = 1 << 20;
/// A snapshot goes into a pack when it takes no more than this for each edit since the last one
/// there. So snapshots cost in proportion to edits, however large the page is.
const STATE_BYTES_PER_EDIT: u64 = 2;
/// What packing well may be hoped to save: a snapshot so many times too large is not tried.
const HOPE: u64 = 4;
/// Snapshots on their way to the writer; more are not taken along.
const MAX_REWRITTEN: usize = 64 << 20;

/// Unless somebody waits for it, a tenth of a core at most (measured by the thread's own processor
/// time, so it does not matter how fast the machine is),
const CPU_PARTS: u32 = 10;
/// and so many bytes a second, read and written together. Both are kept by sleeping between blocks,
/// of which none is larger than [`BLOCK_BYTES`] or one entry; see [`Pace`].
const BYTES_PER_SECOND: u64 = 2 << 20;

/// What a compaction has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Pages of which something was packed.
    pub pages: u64,
    /// Entries of their logs.
    pub entries: u64,
    /// Bytes that these took in the database, without what the database needs around them.
    pub before_bytes: u64,
    /// Bytes that they take in packs, and snapshots with them.
    pub after_bytes: u64,
    /// Packs that were written.
    pub packs: u64,
    /// Small packs that became part of them.
    pub merged: u64,
}

impl Compacted {
    /// Bytes that it saved, without what the database needs around them.
    #[must_use]
    pub fn saved_bytes(&self) -> u64 {
        self.before_bytes.saturating_sub(self.after_bytes)
    }

    /// For the log.
    pub(super) fn sentence(&self) -> String {
        let Self { pages, entries, before_bytes, after_bytes, packs, merged } = self;
        let mut text = format!(
            "packed {entries} edits of {pages} pages into {packs} packs: {before_bytes} bytes \
             became {after_bytes}, which saved {}",
            self.saved_bytes()
        );
        if *merged > 0 {
            text.push_str(&format!("; {merged} small packs became part of them"));
        }
        text
    }
}

/// What is to be done.
pub(super) struct Plan {
    pub kv: Arc<Kv>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Somebody waits for it: everything that is old enough is packed, as fast as possible.
    pub at_once: bool,
}

/// The old part of a page's log that is in chunks.
#[derive(Debug)]
struct Old {
    page: u64,
    /// First revision that is in no pack.
    from: u64,
    /// Last one that is old enough, below `from` when there is none.
    last: u64,
    /// Bytes of the chunks.
    bytes: u64,
    /// There are chunks that are in packs already: a crash kept them from being removed.
    left_over: bool,
}

impl Old {
    fn entries(&self) -> u64 {
        (self.last + 1).saturating_sub(self.from)
    }
}

/// Packs what is old enough.
pub(super) fn make(shared: &Shared, plan: &Plan) -> Result<Compacted, StoreError> {
    let pace = match plan.at_once {
        true => Pace::until(&shared.abandon),
        false => Pace::slow(CPU_PARTS, BYTES_PER_SECOND, &shared.abandon),
    };
    let mut work = Work {
        shared,
        plan,
        pace,
        builder: None,
        pages: Vec::new(),
        rewritten: Vec::new(),
        rewritten_bytes: 0,
        replaced: Vec::new(),
        done: Compacted::default(),
    };
    // When a checkpoint is due, the rest is for the next time.
    let hurries = || !plan.at_once && shared.hurry.load(Ordering::Relaxed);
    for old in work.chosen()? {
        work.pack_page(&old)?;
        if hurries() {
            break;
        }
    }
    work.hand_over()?;
    if !hurries() {
        work.merge()?;
    }
    Ok(work.done)
}

struct Work<'a> {
    shared: &'a Shared,
    plan: &'a Plan,
    pace: Pace<'a>,
    /// The pack that is being written.
    builder: Option<Builder<'a>>,
    /// Pages of which something is in it, or which have chunks to be removed.
    pages: Vec<u64>,
    /// Snapshots that are to be replaced by smaller ones: page, revision, value.
    rewritten: Vec<(u64, u64, Vec<u8>)>,
    rewritten_bytes: usize,
    /// Records that the pack makes superfluous.
    replaced: Vec<(Kind, u64, u64)>,
    done: Compacted,
}

impl<'a> Work<'a> {
    /// The pages that are worth it.
    fn chosen(&mut self) -> Result<Vec<Old>, StoreError> {
        let shared = self.shared;
        let mut all = shared.seen(self.survey())?;
        let bytes: u64 = all.iter().filter(|old| old.entries() > 0).map(|old| old.bytes).sum();
        let least = if self.plan.at_once || bytes > MAX_CHUNKS { 1 } else { MIN_RUN };
        all.retain(|old| old.left_over || old.entries() >= least);
        for old in &mut all {
            if old.entries() < least {
                old.last = old.from - 1;
            }
        }
        Ok(all)
    }

    /// What is in chunks, by page.
    fn survey(&mut self) -> Result<Vec<Old>, StoreError> {
        let limit = self.plan.now_ms.saturating_sub(AGE_MS);
        let (pages, pace) = (&self.shared.pages, &mut self.pace);
        let mut all: Vec<Old> = Vec::new();
        let mut young = false;
        self.plan.kv.each(space::LOG, &[], None, |key, value| {
            if !pace.rest(value.len() as u64) {
                return Err(StoreError::Stopped);
            }
            let (Some((page, first)), Some((count, at_ms))) =
                (pages::read_page_key(&key), pages::chunk_head(&value))
            else {
                return Err(StoreError::Damaged("a chunk of a log is broken".into()));
            };
            if all.last().is_none_or(|old| old.page != page) {
                let packed = pages.packed(page);
                let (from, last) = (packed + 1, packed);
                all.push(Old { page, from, last, bytes: 0, left_over: false });
                young = false;
            }
            let Some(old) = all.last_mut() else { return Ok(false) };
            if first + count <= old.from {
                old.left_over = true;
            } else if !young && at_ms <= limit && first <= old.last + 1 {
                old.last = first + count - 1;
                old.bytes += value.len() as u64;
            } else {
                // What follows stays as well: a pack holds the beginning of a log.
                young = true;
            }
            Ok(true)
        })?;
        Ok(all)
    }

    /// Packs the old part of a log, and what it has of snapshots.
    fn pack_page(&mut self, old: &Old) -> Result<(), StoreError> {
        let (page, kv) = (old.page, &*self.plan.kv);
        if old.entries() == 0 {
            self.touch(page);
            return Ok(());
        }
        let per_block = old.entries().div_ceil(old.entries().div_ceil(BLOCK_ENTRIES));
        let mut run: Vec<LogEntry> = Vec::new();
        let (mut next, mut size, mut was) = (old.from, 0, 0);
        while next <= old.last {
            let broken = || broken(page, next);
            // Only this thread has chunks removed, so it is there.
            let found = self.shared.seen(pages::chunk_at(kv, page, next))?;
            let (first, value) = self.shared.seen(found.ok_or_else(broken))?;
            let entries = self.shared.seen(pages::read_chunk(&value).ok_or_else(broken))?;
            let known = usize::try_from(next - first).unwrap_or(usize::MAX);
            if known >= entries.len() {
                return self.shared.seen(Err(broken()));
            }
            self.rest(value.len() as u64)?;
            was += value.len() as u64;
            // It may have got more entries since it was looked at.
            for entry in entries.into_iter().skip(known).take((old.last + 1 - next) as usize) {
                size += codec::entry_size(&entry);
                run.push(entry);
                next += 1;
                if run.len() as u64 >= per_block || size >= BLOCK_BYTES {
                    self.block(page, next - run.len() as u64, &run, was)?;
                    run.clear();
                    // The bytes of a chunk count for the block in which it begins.
                    (size, was) = (0, 0);
                }
            }
        }
        if !run.is_empty() {
            self.block(page, next - run.len() as u64, &run, was)?;
        }
        self.done.pages += 1;
        self.done.entries += old.entries();
        self.done.before_bytes += old.bytes;
        self.states(page, old.last)?;
        self.hand_over_if_large()
    }

    fn block(
        &mut self,
        page: u64,
        first: u64,
        run: &[LogEntry],
        was: u64,
    ) -> Result<(), StoreError> {
        self.hand_over_if_large()?;
        self.touch(page);
        let bytes = self.builder()?.add_run(page, first, run, was)?;
        self.done.after_bytes += bytes;
        self.rest(bytes)
    }

    /// Notes that chunks of this page may be removed with the next pack.
    fn touch(&mut self, page: u64) {
        if self.pages.last() != Some(&page) {
            self.pages.push(page);
        }
    }

    /// Snapshots of a page that is packed up to a revision: some go into the pack, and the newest
    /// is packed well. The writer removes the others.
    fn states(&mut self, page: u64, packed: u64) -> Result<(), StoreError> {
        let kv = &*self.plan.kv;
        let mut revisions = snapshot::revisions(kv, page)?;
        let Some(newest) = revisions.pop() else { return Ok(()) };
        let mut last = self.shared.packs.find_state(kv, page, u64::MAX)?;
        for revision in revisions.into_iter().filter(|revision| *revision <= packed) {
            let before = last.map_or(0, |place| place.block.first);
            let allowed = revision.saturating_sub(before) * STATE_BYTES_PER_EDIT;
            let Some(value) = stored(kv, page, revision) else { continue };
            self.rest(value.len() as u64)?;
            if value.len() as u64 / HOPE > allowed {
                continue;
            }
            let small = snapshot::pack_well(&value);
            self.rest(0)?;
            let Some(small) = small.filter(|small| small.len() as u64 <= allowed) else { continue };
            self.done.after_bytes += self.builder()?.add_state(page, revision, &small)?;
            last = self.builder()?.last();
        }
        if newest > packed || self.rewritten_bytes > MAX_REWRITTEN {
            return Ok(());
        }
        let Some(value) = stored(kv, page, newest) else { return Ok(()) };
        if snapshot::is_packed_well(&value) {
            return Ok(());
        }
        if let Some(small) = snapshot::pack_well(&value)
            && small.len() < value.len()
        {
            self.rewritten_bytes += small.len();
            self.rewritten.push((page, newest, small));
        }
        self.rest(value.len() as u64)
    }

    fn builder(&mut self) -> Result<&mut Builder<'a>, StoreError> {
        if self.builder.is_none() {
            if !self.shared.has_space() {
                return Err(StoreError::DiskFull);
            }
            self.builder = Some(Builder::begin(&self.shared.packs)?);
        }
        self.builder.as_mut().ok_or(StoreError::Stopped)
    }

    fn hand_over_if_large(&mut self) -> Result<(), StoreError> {
        let large = self.builder.as_ref().is_some_and(|builder| builder.bytes() >= PACK_BYTES);
        if large { self.hand_over() } else { Ok(()) }
    }

    /// Finishes the pack and waits until the writer has made its records and removed what it
    /// replaces.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        let mut places: Vec<Place> = Vec::new();
        if let Some(builder) = self.builder.take() {
            places = builder.finish(&mut self.pace).map_err(|error| match error {
                // The one before it is still there, so nothing has to stop.
                StoreError::Damaged(text) => StoreError::Io(std::io::Error::other(format!(
                    "{text} just after it was written, so it was not used"
                ))),
                other => other,
            })?;
            self.done.packs += 1;
        }
        let pages = std::mem::take(&mut self.pages);
        let rewritten = std::mem::take(&mut self.rewritten);
        let replaced = std::mem::take(&mut self.replaced);
        self.rewritten_bytes = 0;
        if places.is_empty() && pages.is_empty() && replaced.is_empty() {
            return Ok(());
        }
        let (done, wait) = mpsc::channel();
        let packed = Packed { places, pages, rewritten, replaced, done };
        let handed = self.shared.queue.push(0, Item::Packed(Box::new(packed)));
        handed.map_err(|_| StoreError::Stopped)?;
        wait.recv().map_err(|_| StoreError::Stopped)
    }

    fn rest(&mut self, bytes: u64) -> Result<(), StoreError> {
        if self.pace.rest(bytes) { Ok(()) } else { Err(StoreError::Stopped) }
    }
}

/// A snapshot in sled, if it is there and whole.
fn stored(kv: &Kv, page: u64, revision: u64) -> Option<Vec<u8>> {
    kv.get(space::SNAPSHOTS, &page_key(page, revision)).ok().flatten()
}
