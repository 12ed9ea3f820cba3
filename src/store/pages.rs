//! What the store keeps in memory of each page, and the chunks its log is kept in.
//!
//! A log is in three places: the oldest part in packs, the next in chunks in sled, the newest in
//! memory (and in the journal).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::codec::{self, Reader};
use super::kv::{Kv, space};
use super::packs::Packs;
use super::{LogEntry, StoreError};
use crate::page::Revision;

/// Entries of one page are kept in memory (and in the journal) until they are this many bytes.
pub(super) const TAIL_BYTES: usize = 6 << 10;
/// A chunk with less than this is rewritten with what comes next.
const SMALL_CHUNK: usize = 1 << 10;
/// Bytes of a chunk before its compressed entries: checksum, count, time, length.
const CHUNK_HEAD: usize = 20;
/// How often a reader looks again for a run that was in no place, since runs move.
const LOOKS: u32 = 4;

/// One page's log, as far as it is in memory.
#[derive(Default)]
pub(super) struct Page {
    /// Last revision.
    pub revision: u64,
    /// Time of the last revision.
    pub at_ms: u64,
    /// Everything up to this revision is in packs, durably.
    pub packed: u64,
    /// First revision of the last chunk when that is small, else 0.
    pub small_chunk: u64,
    /// Newest entries that are in no chunk yet.
    pub tail: Option<Box<Tail>>,
}

/// Entries that are durable in the journal but in no chunk yet.
pub(super) struct Tail {
    /// Journal position of the record of the first entry.
    pub position: u64,
    pub bytes: usize,
    pub entries: Vec<LogEntry>,
}

impl Page {
    /// Last revision that is in a chunk or in a pack.
    pub fn in_chunks(&self) -> u64 {
        self.revision - self.tail.as_ref().map_or(0, |tail| tail.entries.len() as u64)
    }
}

/// All pages that have a log.
#[derive(Default)]
pub(super) struct Pages(RwLock<HashMap<u64, Page>>);

impl Pages {
    pub fn read(&self) -> RwLockReadGuard<'_, HashMap<u64, Page>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, HashMap<u64, Page>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which revision a page is in packs; 0 when it is in none.
    pub fn packed(&self, page: u64) -> u64 {
        self.read().get(&page).map_or(0, |page| page.packed)
    }
}

/// Entries after a revision, in order, up to `limit_bytes` of them (at least one if there is one).
///
/// Packs and chunks are read without the lock of the pages: what was in them when the tail was
/// looked at stays in one of them.
pub(super) fn read(
    kv: &Kv,
    packs: &Packs,
    pages: &Pages,
    page_id: u64,
    after: u64,
    limit_bytes: usize,
) -> Result<Vec<(Revision, LogEntry)>, StoreError> {
    let mut found = Taking { entries: Vec::new(), bytes: 0, limit_bytes };
    let (stored, tail) = {
        let pages = pages.read();
        let Some(page) = pages.get(&page_id) else { return Ok(found.entries) };
        let stored = page.in_chunks();
        let mut tail = Taking { entries: Vec::new(), bytes: 0, limit_bytes };
        let entries = page.tail.as_ref().map_or(&[][..], |tail| &tail.entries);
        for (revision, entry) in (stored + 1..).zip(entries) {
            if revision > after && !tail.take(revision, || entry.clone(), codec::entry_size(entry))
            {
                break;
            }
        }
        (stored, tail.entries)
    };
    let mut next = after.saturating_add(1);
    while next <= stored {
        let Run { first, entries } = run(kv, packs, page_id, next)?;
        let known = usize::try_from(next - first).unwrap_or(usize::MAX);
        for (revision, entry) in (next..=stored).zip(entries.iter().skip(known)) {
            if !found.take(revision, || entry.clone(), codec::entry_size(entry)) {
                return Ok(found.entries);
            }
            next = revision + 1;
        }
    }
    for (revision, entry) in tail {
        let size = codec::entry_size(&entry);
        if !found.take(revision.0, || entry, size) {
            break;
        }
    }
    Ok(found.entries)
}

/// Entries that are stored together.
struct Run {
    first: u64,
    entries: Arc<Vec<LogEntry>>,
}

/// The run with an entry that is in a pack or in a chunk.
fn run(kv: &Kv, packs: &Packs, page: u64, revision: u64) -> Result<Run, StoreError> {
    for _ in 0..LOOKS {
        if let Some(place) = packs.find(kv, page, revision)? {
            if let Some(entries) = packs.entries(&place)? {
                return Ok(Run { first: place.block.first, entries });
            }
        } else if let Some((first, value)) = chunk_at(kv, page, revision)? {
            let entries = read_chunk(&value).ok_or_else(|| broken(page, revision))?;
            if revision - first < entries.len() as u64 {
                return Ok(Run { first, entries: Arc::new(entries) });
            }
        }
        // It was moved after the first look, so the next one finds it.
    }
    Err(broken(page, revision))
}

/// The last chunk that begins at or before a revision, and its first revision.
pub(super) fn chunk_at(
    kv: &Kv,
    page: u64,
    revision: u64,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let key = kv.last_key(space::LOG, &page.to_be_bytes(), &page_key(page, revision))?;
    let Some(key) = key else { return Ok(None) };
    let Some(value) = kv.get(space::LOG, &key)? else { return Ok(None) };
    let (_, first) = read_page_key(&key).ok_or_else(|| broken(page, revision))?;
    Ok(Some((first, value)))
}

pub(super) fn broken(page: u64, revision: u64) -> StoreError {
    StoreError::Damaged(format!("the log of page {page} is broken at {revision}"))
}

struct Taking {
    entries: Vec<(Revision, LogEntry)>,
    bytes: usize,
    limit_bytes: usize,
}

impl Taking {
    /// Takes an entry if it fits.
    fn take(&mut self, revision: u64, entry: impl FnOnce() -> LogEntry, size: usize) -> bool {
        if !self.entries.is_empty() && self.bytes + size > self.limit_bytes {
            return false;
        }
        self.bytes += size;
        self.entries.push((Revision(revision), entry()));
        true
    }
}

/// A run of entries ready to be stored.
pub(super) struct Chunk {
    pub first: u64,
    pub value: Vec<u8>,
}

impl Chunk {
    pub fn is_small(&self) -> bool {
        self.value.len() < SMALL_CHUNK
    }
}

/// Cuts entries, the first of which has revision `first`, into chunks.
pub(super) fn chunks(mut first: u64, entries: &[LogEntry]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut raw = Vec::new();
        let mut count = 0;
        for entry in rest {
            if count > 0 && raw.len() + codec::entry_size(entry) > TAIL_BYTES + TAIL_BYTES / 2 {
                break;
            }
            codec::put_entry(&mut raw, entry);
            count += 1;
        }
        let mut value = vec![0; 4];
        value.extend_from_slice(&(count as u32).to_le_bytes());
        value.extend_from_slice(&rest[count - 1].at_ms.to_le_bytes());
        value.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        value.extend_from_slice(&lz4_flex::block::compress(&raw));
        let crc = crc32c::crc32c(&value[4..]);
        value[..4].copy_from_slice(&crc.to_le_bytes());
        chunks.push(Chunk { first, value });
        first += count as u64;
        rest = &rest[count..];
    }
    chunks
}

/// How many entries a chunk has and when the last was accepted; `None` when it is damaged.
pub(super) fn chunk_head(value: &[u8]) -> Option<(u64, u64)> {
    let mut reader = Reader(value);
    let crc = reader.u32()?;
    if crc32c::crc32c(reader.0) != crc {
        return None;
    }
    Some((u64::from(reader.u32()?), reader.u64()?))
}

/// Whether a stored chunk is to be rewritten with what comes next.
pub(super) fn is_small(value: &[u8]) -> bool {
    value.len() < SMALL_CHUNK
}

/// The entries of a chunk; `None` when it is damaged.
pub(super) fn read_chunk(value: &[u8]) -> Option<Vec<LogEntry>> {
    let (count, _) = chunk_head(value)?;
    let length = Reader(value.get(CHUNK_HEAD - 4..)?).u32()? as usize;
    let raw = lz4_flex::block::decompress(value.get(CHUNK_HEAD..)?, length).ok()?;
    let mut reader = Reader(&raw);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(codec::read_entry(&mut reader)?);
    }
    reader.is_empty().then_some(entries)
}

/// Key of a chunk or a snapshot.
pub(super) fn page_key(page: u64, revision: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&page.to_be_bytes());
    key[8..].copy_from_slice(&revision.to_be_bytes());
    key
}

/// Page and revision of such a key.
pub(super) fn read_page_key(key: &[u8]) -> Option<(u64, u64)> {
    let (page, revision) = key.split_at_checked(8)?;
    let page = u64::from_be_bytes(page.try_into().ok()?);
    Some((page, u64::from_be_bytes(revision.try_into().ok()?)))
}
