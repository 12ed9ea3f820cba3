//! Joining packs. A page that is written a little every day leaves a small pack every few days;
//! together they are smaller, and fewer files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::super::kv::space;
use super::super::packs::{self, Kind, Place};
use super::super::{LogEntry, StoreError};
use super::{BLOCK_BYTES, BLOCK_ENTRIES, Work, codec};

/// So many small packs become one.
const MANY: usize = 16;
/// What is larger is not small.
const SMALL_PACK: u64 = 1 << 20;

/// Entries of one page that follow each other.
#[derive(Default)]
struct Joined {
    page: u64,
    first: u64,
    entries: Vec<LogEntry>,
    bytes: usize,
    /// Bytes that they took in the database.
    was: u64,
    /// First revisions of the blocks it came from.
    from: Vec<u64>,
}

impl Work<'_> {
    /// Joins the small packs if there are many.
    pub(super) fn merge(&mut self) -> Result<(), StoreError> {
        let shared = self.shared;
        if shared.packs.count() < MANY {
            return Ok(());
        }
        let (logs, states) = shared.seen(self.places())?;
        let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
        for place in logs.iter().chain(&states) {
            *sizes.entry(place.pack).or_default() += place.block.bytes();
        }
        sizes.retain(|pack, bytes| *bytes < SMALL_PACK && !shared.packs.is_lost(*pack));
        if sizes.len() < MANY {
            return Ok(());
        }
        let small: BTreeSet<u64> = sizes.into_keys().collect();
        let mut joined = Joined::default();
        let (mut page, mut reach) = (0, 0);
        for place in &logs {
            let block = place.block;
            if block.page != page {
                (page, reach) = (block.page, 0);
            }
            // Left by a crash: everything in it is in one before.
            let is_covered = block.last() <= reach;
            reach = reach.max(block.last());
            if !small.contains(&place.pack) {
                continue;
            }
            if is_covered {
                self.replaced.push((Kind::Log, block.page, block.first));
                continue;
            }
            self.join(&mut joined, place)?;
            if !self.plan.at_once && shared.hurry.load(Ordering::Relaxed) {
                break;
            }
        }
        self.put_joined(&mut joined)?;
        for place in states.iter().filter(|place| small.contains(&place.pack)) {
            if let Some(content) = shared.seen(shared.packs.content(place))? {
                self.hand_over_if_large()?;
                let block = place.block;
                let bytes = self.builder()?.add_state(block.page, block.first, &content)?;
                self.rest(bytes)?;
            }
        }
        self.done.merged += small.len() as u64;
        self.hand_over()
    }

    /// All blocks, in the order of pages and revisions.
    fn places(&self) -> Result<(Vec<Place>, Vec<Place>), StoreError> {
        let mut found = [Vec::new(), Vec::new()];
        for (places, space) in found.iter_mut().zip([space::PACKED, space::STATES]) {
            self.plan.kv.each(space, &[], None, |key, value| {
                places.push(packs::read_record(space, &key, &value)?);
                Ok(true)
            })?;
        }
        let [logs, states] = found;
        Ok((logs, states))
    }

    /// Adds a block to what is being joined, or ends that and begins anew.
    fn join(&mut self, joined: &mut Joined, place: &Place) -> Result<(), StoreError> {
        let block = place.block;
        let found = self.shared.seen(self.shared.packs.entries(place))?;
        // Only this thread has packs replaced, so it is there.
        let Some(entries) = found else {
            return self.shared.seen(Err(super::broken(block.page, block.first)));
        };
        let bytes: usize = entries.iter().map(codec::entry_size).sum();
        let next = joined.first + joined.entries.len() as u64;
        let fits = joined.entries.len() + entries.len() <= BLOCK_ENTRIES as usize
            && joined.bytes + bytes <= BLOCK_BYTES;
        if joined.page != block.page || next != block.first || !fits {
            self.put_joined(joined)?;
            joined.page = block.page;
            joined.first = block.first;
        }
        joined.entries.extend(entries.iter().cloned());
        joined.bytes += bytes;
        joined.was += u64::from(block.was);
        joined.from.push(block.first);
        self.rest(u64::from(block.length))
    }

    fn put_joined(&mut self, joined: &mut Joined) -> Result<(), StoreError> {
        let Joined { page, first, entries, was, from, .. } = std::mem::take(joined);
        if entries.is_empty() {
            return Ok(());
        }
        self.hand_over_if_large()?;
        let bytes = self.builder()?.add_run(page, first, &entries, was)?;
        // The record of the first one is overwritten.
        self.replaced.extend(from.into_iter().skip(1).map(|first| (Kind::Log, page, first)));
        self.rest(bytes)
    }
}
