//! What history costs, by page.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::kv::space;
use super::packs;
use super::pages::read_page_key;
use super::{Compacted, Options, Stats, Store, StoreError};
use crate::page::PageId;

/// What the history of one page costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCost {
    /// Which page.
    pub page: PageId,
    /// Edits in its log.
    pub edits: u64,
    /// How many of them are in packs.
    pub packed_edits: u64,
    /// Bytes of edits in packs.
    pub packed_bytes: u64,
    /// Bytes that these took in the database before, without what the database needs around them.
    pub unpacked_bytes: u64,
    /// Bytes of edits in the database, without what the database needs around them.
    pub stored_bytes: u64,
    /// Bytes of edits that are only in memory and in the journal, which has the others for a while
    /// as well.
    pub recent_bytes: u64,
    /// Bytes of its snapshots, in the database and in packs.
    pub snapshot_bytes: u64,
}

impl PageCost {
    /// Nothing.
    #[must_use]
    pub fn none(page: PageId) -> Self {
        Self {
            page,
            edits: 0,
            packed_edits: 0,
            packed_bytes: 0,
            unpacked_bytes: 0,
            stored_bytes: 0,
            recent_bytes: 0,
            snapshot_bytes: 0,
        }
    }

    /// Adds what another page costs.
    pub fn add(&mut self, other: &Self) {
        self.edits += other.edits;
        self.packed_edits += other.packed_edits;
        self.packed_bytes += other.packed_bytes;
        self.unpacked_bytes += other.unpacked_bytes;
        self.stored_bytes += other.stored_bytes;
        self.recent_bytes += other.recent_bytes;
        self.snapshot_bytes += other.snapshot_bytes;
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packed_bytes + self.stored_bytes + self.recent_bytes + self.snapshot_bytes
    }

    /// Bytes that packing has saved.
    #[must_use]
    pub fn saved_bytes(&self) -> u64 {
        self.unpacked_bytes.saturating_sub(self.packed_bytes)
    }
}

/// What history costs.
#[derive(Clone, Debug)]
pub struct Costs {
    /// Pages that have a log, the most expensive first.
    pub pages: Vec<PageCost>,
    /// What the files take, in which there is more than history.
    pub files: Stats,
    /// When something was packed last since the store was opened (milliseconds since 1970), and
    /// what that did.
    pub last: Option<(u64, Compacted)>,
}

/// What [`Store::shrink`] has done.
#[derive(Clone, Copy, Debug)]
pub struct Shrunk {
    /// What was packed.
    pub done: Compacted,
    /// The files before.
    pub before: Stats,
    /// The files now.
    pub after: Stats,
}

impl Stats {
    /// Bytes of all files that grow with the wiki: database, packs, checkpoint and journal.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.record_bytes + self.pack_bytes + self.checkpoint_bytes + self.journal_bytes
    }
}

impl Store {
    /// Makes a data directory that nobody has open as small as it can be: packs what was accepted an
    /// hour before `now_ms` or earlier (everything when that is `u64::MAX`), makes a checkpoint, so
    /// that the journal and what is replaced can go, and opens it once more, which gives back what
    /// the database does not use. It is closed afterwards. Blocks whoever drives it.
    ///
    /// # Errors
    /// As [`Store::open`] and [`Store::compact`]. Nothing is lost when it ends in the middle.
    pub async fn shrink(dir: &Path, options: Options, now_ms: u64) -> Result<Shrunk, StoreError> {
        let store = Self::open(dir, options.clone())?;
        let before = store.stats();
        let done = store.compact(now_ms).await?;
        // The one before has what was packed once more.
        store.checkpoint().await?;
        store.close()?;
        drop(store);
        let store = Self::open(dir, options)?;
        let after = store.stats();
        store.close()?;
        Ok(Shrunk { done, before, after })
    }

    /// What the history of each page costs. Goes through the keys of all logs. Blocks.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn costs(&self) -> Result<Costs, StoreError> {
        let shared = &self.inner.shared;
        shared.history_reads.fetch_add(1, Ordering::Relaxed);
        let kv = shared.kv()?;
        let mut costs: HashMap<u64, PageCost> = HashMap::new();
        for (id, page) in shared.pages.read().iter() {
            let mut cost = PageCost::none(PageId(*id));
            cost.edits = page.revision;
            cost.packed_edits = page.packed;
            cost.recent_bytes = page.tail.as_ref().map_or(0, |tail| tail.bytes as u64);
            costs.insert(*id, cost);
        }
        let mut of = |page: u64, add: &dyn Fn(&mut PageCost)| {
            add(costs.entry(page).or_insert_with(|| PageCost::none(PageId(page))));
        };
        for (space, is_log) in [(space::LOG, true), (space::SNAPSHOTS, false)] {
            let read = kv.each_length(space, &[], |key, length| {
                let Some((page, _)) = read_page_key(key) else { return };
                of(page, &|cost| match is_log {
                    true => cost.stored_bytes += length,
                    false => cost.snapshot_bytes += length,
                });
            });
            shared.seen(read)?;
        }
        for (space, is_log) in [(space::PACKED, true), (space::STATES, false)] {
            let read = kv.each(space, &[], None, |key, value| {
                let block = packs::read_record(space, &key, &value)?.block;
                of(block.page, &|cost| match is_log {
                    true => {
                        cost.packed_bytes += block.bytes();
                        cost.unpacked_bytes += u64::from(block.was);
                    }
                    false => cost.snapshot_bytes += block.bytes(),
                });
                Ok(true)
            });
            shared.seen(read)?;
        }
        let mut pages: Vec<_> = costs.into_values().collect();
        pages.sort_by_key(|cost| (std::cmp::Reverse(cost.bytes()), cost.page));
        Ok(Costs { pages, files: self.stats(), last: shared.compacted() })
    }
}
