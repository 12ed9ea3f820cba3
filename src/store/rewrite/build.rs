//! The second set: what is in the first one, transformed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::super::applier::Marker;
use super::super::codec;
use super::super::disk;
use super::super::journal::Journal;
use super::super::kv::{self, Kv, space};
use super::super::pace::Pace;
use super::super::packs::{self, Block, Builder, Kind, Packs, Place};
use super::super::pages;
use super::super::recover::{self, Recovered};
use super::super::{LogEntry, Options, StoreError, Table, migrate};
use super::{Rewrite, real_disk};
use crate::page::{PageId, Revision};

/// What the new set must have.
pub(super) struct Built {
    /// How far the log of each page goes.
    pub heads: BTreeMap<u64, u64>,
    /// Whether nothing had to be repaired, and nothing was missing, in the old set.
    pub was_whole: bool,
}

/// What sled takes at most, in bytes of what it holds: as much again is left for a checkpoint.
const SPACE: u64 = 4;
/// A pack gets no more blocks when it is so large.
const PACK_BYTES: u64 = 8 << 20;

/// Writes journal, packs and records of the new set, as durable as those of any store.
pub(super) fn build(
    dir: &Path,
    part: &Path,
    options: &Options,
    work: &Rewrite<'_>,
) -> Result<Built, StoreError> {
    let disk = real_disk();
    let mut recovered = recover::recover(dir, options, &disk)?;
    // What is only in the journal comes into the records.
    recovered.applier.settle()?;
    let from = &*recovered.applier.kv;
    let moved = Packing::new(&recovered, work)?;
    let needed = from.live_bytes() * SPACE + moved.bytes() + options.free_floor_bytes / 2;
    if disk.free_bytes(dir)? < needed {
        return Err(StoreError::DiskFull);
    }
    for name in super::PARTS {
        disk::create_dir(&part.join(name))?;
    }
    migrate::write(part, recovered.format)?;
    let records = part.join("sled");
    let to = kv::open(&records, options.cache_bytes, Arc::clone(&disk))?;
    let mut sum = copy(from, &to, work)?;
    moved.carry_out(dir, part, &to)?;
    let heads: BTreeMap<u64, u64> = recovered
        .applier
        .pages
        .read()
        .iter()
        .map(|(page, state)| (*page, state.revision))
        .collect();
    for (page, head) in &heads {
        sum = sum.wrapping_add(codec::head_sum(*page, *head));
    }
    // The numbers of the journal go on, so that nobody takes it for the beginning of everything.
    let (position, prev) = (recovered.journal.end(), recovered.journal.prev());
    Journal::begin(&part.join("journal"), recovered.format.store, position, prev)?;
    Marker { safe: position, position, sum, prev }.write(&to)?;
    to.barrier()?;
    to.close();
    Ok(Built { heads, was_whole: recovered.repaired.is_none() })
}

/// Copies records and chunks, but for what is in packs and for snapshots of the pages concerned. The
/// sum of the records.
fn copy(from: &Kv, to: &Kv, work: &Rewrite<'_>) -> Result<u64, StoreError> {
    let mut sum = 0_u64;
    for space in space::tables() {
        let Some(table) = Table::from_space(space) else { continue };
        from.each(space, &[], None, |key, value| {
            let Some(value) = (work.record)(table, (key.clone(), value))? else {
                return Ok(true);
            };
            sum = sum.wrapping_add(codec::record_sum(space, &key, &value));
            to.put(space, &key, &value).map(|()| true)
        })?;
    }
    from.each(space::LOG, &[], None, |key, value| {
        let broken = || StoreError::Damaged("a chunk of a log is broken".into());
        let (page, first) = pages::read_page_key(&key).ok_or_else(broken)?;
        if !work.pages.contains(&PageId(page)) {
            return to.put(space::LOG, &key, &value).map(|()| true);
        }
        let entries = pages::read_chunk(&value).ok_or_else(broken)?;
        let entries = transform(work, page, first, entries)?;
        for chunk in pages::chunks(first, &entries) {
            to.put(space::LOG, &pages::page_key(page, chunk.first), &chunk.value)?;
        }
        Ok(true)
    })?;
    from.each(space::SNAPSHOTS, &[], None, |key, value| {
        match pages::read_page_key(&key) {
            Some((page, _)) if !work.pages.contains(&PageId(page)) => {
                to.put(space::SNAPSHOTS, &key, &value)?;
            }
            _ => {}
        }
        Ok(true)
    })?;
    Ok(sum)
}

fn transform(
    work: &Rewrite<'_>,
    page: u64,
    first: u64,
    entries: Vec<LogEntry>,
) -> Result<Vec<LogEntry>, StoreError> {
    let numbered = (first..).zip(entries);
    numbered
        .map(|(revision, entry)| (work.entry)(PageId(page), Revision(revision), entry))
        .collect()
}

/// What becomes of packs.
struct Packing<'a> {
    packs: &'a Packs,
    store: u64,
    work: &'a Rewrite<'a>,
    places: Vec<Place>,
    /// Those that hold something of the pages concerned, or what no record names.
    rewritten: BTreeSet<u64>,
}

impl<'a> Packing<'a> {
    fn new(recovered: &'a Recovered, work: &'a Rewrite<'a>) -> Result<Self, StoreError> {
        let kv = &recovered.applier.kv;
        let mut places = Vec::new();
        for space in [space::PACKED, space::STATES] {
            kv.each(space, &[], None, |key, value| {
                places.push(packs::read_record(space, &key, &value)?);
                Ok(true)
            })?;
        }
        let concerned = |place: &&Place| work.pages.contains(&PageId(place.block.page));
        let mut rewritten: BTreeSet<u64> =
            places.iter().filter(concerned).map(|place| place.pack).collect();
        let mut named: BTreeMap<u64, HashSet<Block>> = BTreeMap::new();
        for place in &places {
            named.entry(place.pack).or_default().insert(place.block);
        }
        for (pack, blocks) in named {
            if !rewritten.contains(&pack) && has_more(&recovered.packs, pack, &blocks, work)? {
                rewritten.insert(pack);
            }
        }
        let store = recovered.format.store;
        Ok(Self { packs: &recovered.packs, store, work, places, rewritten })
    }

    /// Bytes of what is written anew.
    fn bytes(&self) -> u64 {
        let rewritten = |place: &&Place| self.rewritten.contains(&place.pack);
        self.places.iter().filter(rewritten).map(|place| place.block.bytes()).sum()
    }

    fn carry_out(&self, dir: &Path, part: &Path, to: &Kv) -> Result<(), StoreError> {
        let last = self.places.iter().map(|place| place.pack).max().unwrap_or(0);
        let new = Packs::of(part, self.store);
        new.begin_after(last);
        let mut builder: Option<Builder<'_>> = None;
        let end = |builder: Builder<'_>| -> Result<(), StoreError> {
            for place in builder.finish(&mut Pace::unlimited())? {
                new.put(to, &place)?;
            }
            Ok(())
        };
        let mut linked = BTreeSet::new();
        for place in &self.places {
            let block = place.block;
            if !self.rewritten.contains(&place.pack) {
                if linked.insert(place.pack) {
                    link(dir, part, place.pack)?;
                }
                new.put(to, place)?;
                continue;
            }
            let concerned = self.work.pages.contains(&PageId(block.page));
            if concerned && block.kind == Kind::State {
                continue;
            }
            let out = match &mut builder {
                Some(out) => out,
                None => builder.insert(Builder::begin(&new)?),
            };
            match block.kind {
                Kind::Log => {
                    let found = self.packs.entries(place)?;
                    let run = found.ok_or_else(|| missing(place))?;
                    match concerned {
                        true => {
                            let run = transform(self.work, block.page, block.first, run.to_vec())?;
                            out.add_run(block.page, block.first, &run, block.was.into())?;
                        }
                        false => {
                            out.add_run(block.page, block.first, &run, block.was.into())?;
                        }
                    }
                }
                Kind::State => {
                    let content = self.packs.content(place)?.ok_or_else(|| missing(place))?;
                    out.add_state(block.page, block.first, &content)?;
                }
            }
            if out.bytes() >= PACK_BYTES
                && let Some(full) = builder.take()
            {
                end(full)?;
            }
        }
        builder.map_or(Ok(()), end)?;
        Ok(disk::sync_dir(&part.join(packs::DIR))?)
    }
}

/// Whether a pack holds what no record names, and must be written anew for that: a crash between two
/// records leaves blocks that are in another pack as well, and a pack keeps all its blocks while one
/// of them is named. Such a block of another page may hold what was erased from there.
fn has_more(
    packs: &Packs,
    pack: u64,
    named: &HashSet<Block>,
    work: &Rewrite<'_>,
) -> Result<bool, StoreError> {
    let blocks = match packs.index(pack) {
        Ok(Some(blocks)) => blocks,
        Ok(None) | Err(StoreError::Damaged(_)) => {
            // It stays as it is, so that what can be read of it one day is not lost.
            log::warn!(
                "store: the pack {pack:016x} is damaged or gone, so nobody knows whether it holds \
                 some of what is erased; a pack that is put back from a backup may hold it, too"
            );
            return Ok(false);
        }
        Err(other) => return Err(other),
    };
    let is_lost = packs.is_lost(pack);
    Ok(blocks.iter().any(|block| {
        // One that is lost cannot be written anew, which is asked for only when it must be.
        work.pages.contains(&PageId(block.page)) || (!is_lost && !named.contains(block))
    }))
}

fn missing(place: &Place) -> StoreError {
    StoreError::Damaged(format!("the pack {:016x} is gone", place.pack))
}

/// Gives a pack a name in the new set as well, or copies it where files have one name only. One that
/// cannot be used stays so.
fn link(dir: &Path, part: &Path, number: u64) -> Result<(), StoreError> {
    for name in packs::file_names(number) {
        let (old, new) = (dir.join(packs::DIR).join(&name), part.join(packs::DIR).join(&name));
        if !old.exists() {
            continue;
        }
        if fs::hard_link(&old, &new).is_err() {
            fs::copy(&old, &new)?;
            File::open(&new)?.sync_all()?;
        }
    }
    Ok(())
}
