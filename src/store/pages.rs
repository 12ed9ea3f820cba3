//! What the store keeps in memory of each page, and the chunks its log is kept in.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::codec::{self, Reader};
use super::kv::{Kv, space};
use super::{LogEntry, StoreError};
use crate::page::Revision;

/// Entries of one page are kept in memory (and in the journal) until they are this many bytes.
pub(super) const TAIL_BYTES: usize = 6 << 10;
/// A chunk with less than this is rewritten with what comes next.
const SMALL_CHUNK: usize = 1 << 10;
/// Bytes of a chunk before its compressed entries: checksum, count, time, length.
const CHUNK_HEAD: usize = 20;

/// One page's log, as far as it is in memory.
#[derive(Default)]
pub(super) struct Page {
    /// Last revision.
    pub revision: u64,
    /// Time of the last revision.
    pub at_ms: u64,
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
    /// Last revision that is in a chunk.
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
}

/// Entries after a revision, in order, up to `limit_bytes` of them (at least one if there is one).
///
/// Chunks are read without the lock of the pages: up to what was in chunks when the tail was
/// looked at, they only ever grow.
pub(super) fn read(
    kv: &Kv,
    pages: &Pages,
    page_id: u64,
    after: u64,
    limit_bytes: usize,
) -> Result<Vec<(Revision, LogEntry)>, StoreError> {
    let mut found = Taking { entries: Vec::new(), bytes: 0, limit_bytes };
    let (in_chunks, tail) = {
        let pages = pages.read();
        let Some(page) = pages.get(&page_id) else { return Ok(found.entries) };
        let in_chunks = page.in_chunks();
        let mut tail = Taking { entries: Vec::new(), bytes: 0, limit_bytes };
        let entries = page.tail.as_ref().map_or(&[][..], |tail| &tail.entries);
        for (revision, entry) in (in_chunks + 1..).zip(entries) {
            if revision > after && !tail.take(revision, || entry.clone(), codec::entry_size(entry))
            {
                break;
            }
        }
        (in_chunks, tail.entries)
    };
    if after < in_chunks {
        let prefix = page_id.to_be_bytes();
        let broken =
            || StoreError::Damaged(format!("the log of page {page_id} is broken at {after}"));
        let first =
            kv.last_key(space::LOG, &prefix, &page_key(page_id, after + 1))?.ok_or_else(broken)?;
        let mut next = after + 1;
        let mut more = true;
        let from = first[..].to_vec();
        let mut chunk = |key: &[u8], value: &[u8]| {
            let (_, first) = read_page_key(key).ok_or_else(broken)?;
            let entries = read_chunk(value).ok_or_else(broken)?;
            if first > next {
                return Err(broken());
            }
            for (revision, entry) in (first..).zip(entries) {
                if revision < next {
                    continue;
                }
                if revision > in_chunks {
                    return Ok(false);
                }
                let size = codec::entry_size(&entry);
                more = found.take(revision, || entry, size);
                if !more {
                    return Ok(false);
                }
                next = revision + 1;
            }
            Ok(true)
        };
        let value = kv.get(space::LOG, &from)?.ok_or_else(broken)?;
        if chunk(&from, &value)? {
            kv.each(space::LOG, &prefix, Some(&from), |key, value| chunk(&key, &value))?;
        }
        if !more {
            return Ok(found.entries);
        }
        if next <= in_chunks {
            return Err(broken());
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
