//! States of documents, kept beside the log as a shortcut.
//!
//! They are not in the journal: one that a crash tore is ignored, and the log still has everything.

use super::StoreError;
use super::codec::Reader;
use super::kv::{self, Kv, space};
use super::packed;
use super::packs::Packs;
use super::pages::{page_key, read_page_key};
use super::queue::Permit;
use super::writer::Reply;
use crate::page::Revision;

/// Pieces that are written between two groups (64 KiB).
const SLICE: usize = 16;
/// The newest snapshots of a page that are kept in any case.
const NEWEST: usize = 2;
/// The length of a state that says that it is compressed in another way, which the next byte names.
/// No state is so long.
const OTHERWISE: u32 = u32::MAX;
/// In columns, see [`packed`].
const COLUMNS: u8 = 1;

/// A snapshot on its way to sled.
pub(super) struct Job {
    page: u64,
    revision: u64,
    value: Vec<u8>,
    id: [u8; 16],
    written: usize,
    reply: Option<(Reply<()>, Permit)>,
}

impl Job {
    /// `value` comes from [`pack`].
    pub fn new(page: u64, revision: u64, value: Vec<u8>, reply: (Reply<()>, Permit)) -> Self {
        let id = kv::piece_id(space::SNAPSHOTS, &page_key(page, revision), &value);
        Self { page, revision, value, id, written: 0, reply: Some(reply) }
    }

    /// One that replaces what is there, without anybody waiting for it.
    pub fn quiet(page: u64, revision: u64, value: Vec<u8>) -> Self {
        let id = kv::piece_id(space::SNAPSHOTS, &page_key(page, revision), &value);
        Self { page, revision, value, id, written: 0, reply: None }
    }

    /// Writes a slice; true when all is written and the caller has been told.
    pub fn write_some(&mut self, kv: &Kv) -> Result<bool, StoreError> {
        let pieces = kv::pieces(&self.value);
        let stop = pieces.min(self.written + SLICE);
        while self.written < stop {
            kv.put_piece(&self.id, &self.value, self.written)?;
            self.written += 1;
        }
        if self.written < pieces {
            return Ok(false);
        }
        let key = page_key(self.page, self.revision);
        if pieces == 0 {
            kv.put(space::SNAPSHOTS, &key, &self.value)?;
        } else {
            kv.put_head(space::SNAPSHOTS, &key, self.value.len(), &self.id)?;
        }
        prune(kv, self.page)?;
        if let Some((reply, _permit)) = self.reply.take() {
            let _ = reply.send(Ok(()));
        }
        Ok(true)
    }
}

/// Compresses a state, quickly.
pub(super) fn pack(state: &[u8]) -> Vec<u8> {
    let mut value = (state.len() as u32).to_le_bytes().to_vec();
    value.extend_from_slice(&lz4_flex::block::compress(state));
    value
}

/// The same compressed well, which takes some ten times as long; `None` when it cannot be read, or
/// would not come out as it went in.
pub(super) fn pack_well(value: &[u8]) -> Option<Vec<u8>> {
    if is_packed_well(value) {
        return Some(value.to_vec());
    }
    let state = unpack(value)?;
    let mut small = OTHERWISE.to_le_bytes().to_vec();
    small.push(COLUMNS);
    small.extend_from_slice(&packed::pack_update(&state));
    (unpack(&small)? == state).then_some(small)
}

/// Whether [`pack_well`] has been here.
pub(super) fn is_packed_well(value: &[u8]) -> bool {
    value.starts_with(&OTHERWISE.to_le_bytes())
}

fn unpack(value: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(value);
    match reader.u32()? {
        OTHERWISE => match reader.u8()? {
            COLUMNS => packed::unpack_update(reader.0),
            _ => None,
        },
        length => lz4_flex::block::decompress(reader.0, length as usize).ok(),
    }
}

/// Revisions of a page's snapshots in sled, ascending.
pub(super) fn revisions(kv: &Kv, page: u64) -> Result<Vec<u64>, StoreError> {
    let keys = kv.keys(space::SNAPSHOTS, &page.to_be_bytes())?;
    Ok(keys.iter().filter_map(|key| read_page_key(key)).map(|(_, revision)| revision).collect())
}

/// The newest whole snapshot at or before a revision, be it in sled or in a pack.
pub(super) fn find(
    kv: &Kv,
    packs: &Packs,
    page: u64,
    at_most: u64,
) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
    let mut upto = at_most;
    loop {
        let found = kv.last_key(space::SNAPSHOTS, &page.to_be_bytes(), &page_key(page, upto))?;
        let in_sled = found.as_deref().and_then(read_page_key).map(|(_, revision)| revision);
        let in_pack = packs.find_state(kv, page, upto)?;
        let (revision, value) = match (in_sled, in_pack) {
            (None, None) => return Ok(None),
            (Some(revision), place)
                if place.as_ref().is_none_or(|place| place.block.first <= revision) =>
            {
                (revision, kv.get(space::SNAPSHOTS, &page_key(page, revision)))
            }
            (_, Some(place)) => match packs.content(&place) {
                // Not only a shortcut is damaged then.
                Err(StoreError::Damaged(text)) => return Err(StoreError::Damaged(text)),
                content => (place.block.first, content),
            },
            (Some(_), None) => return Ok(None),
        };
        match value {
            Ok(Some(value)) => {
                if let Some(state) = unpack(&value) {
                    return Ok(Some((Revision(revision), state)));
                }
                log::warn!("store: ignoring a broken snapshot of page {page}");
            }
            // Removed meanwhile.
            Ok(None) => {}
            Err(StoreError::Damaged(text) | StoreError::Lost(text)) => {
                log::warn!("store: ignoring a broken snapshot of page {page}: {text}");
            }
            Err(error) => return Err(error),
        }
        let Some(before) = revision.checked_sub(1) else { return Ok(None) };
        upto = before;
    }
}

fn prune(kv: &Kv, page: u64) -> Result<(), StoreError> {
    for revision in superfluous(&revisions(kv, page)?) {
        kv.remove(space::SNAPSHOTS, &page_key(page, revision))?;
    }
    Ok(())
}

/// Of ascending revisions those that need not be kept: beside the newest two, the oldest of each
/// power of two of distance from the newest stays, so that no revision is further from a snapshot
/// before it than from the present.
fn superfluous(revisions: &[u64]) -> Vec<u64> {
    let Some(newest) = revisions.last() else { return Vec::new() };
    let kept = revisions.len().saturating_sub(NEWEST);
    let mut last_bucket = None;
    let mut out = Vec::new();
    for revision in &revisions[..kept] {
        let bucket = Some((newest - revision).ilog2());
        if bucket == last_bucket {
            out.push(*revision);
        }
        last_bucket = bucket;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_thin_out_with_age_but_stay_spread() {
        let mut kept: Vec<u64> = Vec::new();
        for revision in (100..=100_000).step_by(100) {
            kept.push(revision);
            let drop = superfluous(&kept);
            kept.retain(|revision| !drop.contains(revision));
            assert!(kept.len() <= 20, "{} kept at {revision}", kept.len());
        }
        assert_eq!(kept[kept.len() - 2..], [99_900, 100_000]);
        for pair in kept.windows(2) {
            let (gap, age) = (pair[1] - pair[0], 100_000 - pair[0]);
            assert!(gap <= age.max(200), "a gap of {gap} at age {age}");
        }
        assert!(kept[0] <= 50_000, "the oldest kept is {}", kept[0]);
    }
}
