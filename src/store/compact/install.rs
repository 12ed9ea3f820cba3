//! The writer's part of a compaction, in slices between two groups: records of a new pack, then,
//! when these are durable, the removal of what the pack holds.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::applier::Applier;
use super::super::kv::space;
use super::super::packs::{Kind, Place};
use super::super::pages::{self, page_key, read_page_key};
use super::super::shared::Shared;
use super::super::snapshot::{self, Job};
use super::super::{StoreError, kv::Kv};

/// How long whoever types waits for it at most, but for one barrier or one large value.
const SLICE: Duration = Duration::from_micros(500);

/// A pack that is whole on disk and in no record yet.
pub(in super::super) struct Packed {
    pub places: Vec<Place>,
    /// Pages that may have chunks and snapshots which are in packs now.
    pub pages: Vec<u64>,
    /// Snapshots that are to be replaced: page, revision, value.
    pub rewritten: Vec<(u64, u64, Vec<u8>)>,
    /// Records that are to be removed when those of the pack are durable: kind, page, revision.
    pub replaced: Vec<(Kind, u64, u64)>,
    /// Told when all is done; dropped when the writer ends before.
    pub done: mpsc::Sender<()>,
}

/// What is to be done next.
enum Step {
    /// The record of this block.
    Record(usize),
    /// All records are made durable.
    Barrier,
    /// A chunk of this page.
    Chunk(usize),
    /// A snapshot of this page.
    Snapshot(usize),
    /// This record of another pack is removed.
    Replaced(usize),
    /// This snapshot is replaced.
    Rewrite(usize),
    Done,
}

/// How far the writer is.
pub(in super::super) struct Install {
    packed: Packed,
    step: Step,
    /// The snapshot that is being written.
    job: Option<Job>,
}

impl Install {
    pub fn new(packed: Packed) -> Self {
        Self { packed, step: Step::Record(0), job: None }
    }

    /// Does a slice; true when all is done and whoever waits for it has been told.
    pub fn go_on(&mut self, applier: &Applier, shared: &Shared) -> Result<bool, StoreError> {
        let begun = Instant::now();
        while begun.elapsed() < SLICE {
            self.step = match self.step {
                Step::Record(at) => match self.packed.places.get(at) {
                    Some(place) => {
                        shared.packs.put(&applier.kv, place)?;
                        Step::Record(at + 1)
                    }
                    None => Step::Barrier,
                },
                Step::Barrier => {
                    shared.watched(|| applier.kv.barrier())?;
                    note_packed(applier, &self.packed.places);
                    Step::Chunk(0)
                }
                Step::Chunk(at) => match self.packed.pages.get(at) {
                    Some(page) if remove_chunk(applier, *page)? => Step::Chunk(at),
                    Some(_) => Step::Snapshot(at),
                    None => Step::Replaced(0),
                },
                Step::Snapshot(at) => match self.packed.pages.get(at) {
                    Some(page) if remove_snapshot(applier, *page)? => Step::Snapshot(at),
                    _ => Step::Chunk(at + 1),
                },
                Step::Replaced(at) => match self.packed.replaced.get(at) {
                    Some((kind, page, first)) => {
                        shared.packs.remove(&applier.kv, *kind, *page, *first)?;
                        Step::Replaced(at + 1)
                    }
                    None => Step::Rewrite(0),
                },
                Step::Rewrite(at) => self.rewrite(&applier.kv, at)?,
                Step::Done => {
                    // It may have given up waiting.
                    let _ = self.packed.done.send(());
                    return Ok(true);
                }
            };
        }
        Ok(false)
    }

    fn rewrite(&mut self, kv: &Kv, at: usize) -> Result<Step, StoreError> {
        if let Some(job) = &mut self.job {
            if job.write_some(kv)? {
                self.job = None;
            }
            return Ok(Step::Rewrite(at));
        }
        let Some((page, revision, value)) = self.packed.rewritten.get_mut(at) else {
            return Ok(Step::Done);
        };
        // It may have made room for newer ones meanwhile.
        if snapshot::revisions(kv, *page)?.contains(revision) {
            self.job = Some(Job::quiet(*page, *revision, std::mem::take(value)));
        }
        Ok(Step::Rewrite(at + 1))
    }
}

/// From now on these runs are in packs for everybody.
fn note_packed(applier: &Applier, places: &[Place]) {
    let mut pages = applier.pages.write();
    for Place { block, .. } in places.iter().filter(|place| place.block.kind == Kind::Log) {
        if let Some(page) = pages.get_mut(&block.page)
            && block.first <= page.packed + 1
        {
            page.packed = page.packed.max(block.last());
        }
    }
}

/// Removes the first chunk of a page if all of it is in packs.
fn remove_chunk(applier: &Applier, page_id: u64) -> Result<bool, StoreError> {
    let kv = &applier.kv;
    let (start, packed) = (page_key(page_id, 0), applier.pages.packed(page_id));
    let found = kv.first_key(space::LOG, &page_id.to_be_bytes(), &start)?;
    let Some(key) = found else { return Ok(false) };
    let Some((_, first)) = read_page_key(&key) else { return Ok(false) };
    let Some(value) = kv.get(space::LOG, &key)? else { return Ok(false) };
    let Some((count, _)) = pages::chunk_head(&value) else {
        return Err(pages::broken(page_id, first));
    };
    // The last one may have got more entries since it was packed.
    if first + count > packed + 1 {
        return Ok(false);
    }
    kv.remove(space::LOG, &key)?;
    if let Some(page) = applier.pages.write().get_mut(&page_id)
        && page.small_chunk == first
    {
        page.small_chunk = 0;
    }
    Ok(true)
}

/// Removes a snapshot of a page that is packed, but not the newest.
fn remove_snapshot(applier: &Applier, page: u64) -> Result<bool, StoreError> {
    let packed = applier.pages.packed(page);
    match snapshot::revisions(&applier.kv, page)?[..] {
        [first, .., _] if first <= packed => {
            applier.kv.remove(space::SNAPSHOTS, &page_key(page, first))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
