//! Puts what the journal says into memory and sled. The writer uses it after each sync, and
//! recovery uses it to replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{self, Reader, Write};
use super::kv::{BARRIER_BYTES, Kv, space};
use super::pages::{self, Pages, Tail};
use super::{LogEntry, StoreError};

/// Most bytes of tails of all pages.
const MAX_TAIL_BYTES: usize = 4 << 20;
/// A tail does not hold back more journal than this, so that a start replays little.
const MAX_LAG: u64 = 16 << 20;

const MARKER: &[u8] = b"applied";

/// How far sled is, kept in sled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Every record below this position is in sled.
    pub safe: u64,
    /// The journal reached at least to here.
    pub position: u64,
    /// Sum of the state at `position`.
    pub sum: u64,
    /// Checksum of the record before `position`.
    pub prev: u32,
}

impl Marker {
    pub fn read(kv: &Kv) -> Result<Option<Self>, StoreError> {
        let Some(value) = kv.get(space::STORE, MARKER)? else { return Ok(None) };
        let mut reader = Reader(&value);
        match (reader.u64(), reader.u64(), reader.u64(), reader.u32()) {
            (Some(safe), Some(position), Some(sum), Some(prev)) => {
                Ok(Some(Self { safe, position, sum, prev }))
            }
            _ => Err(StoreError::Damaged("the mark of the applied journal is broken".into())),
        }
    }

    pub fn write(self, kv: &Kv) -> Result<(), StoreError> {
        let mut value = self.safe.to_le_bytes().to_vec();
        value.extend_from_slice(&self.position.to_le_bytes());
        value.extend_from_slice(&self.sum.to_le_bytes());
        value.extend_from_slice(&self.prev.to_le_bytes());
        kv.put(space::STORE, MARKER, &value)
    }
}

/// State behind the journal. Only one thread applies.
pub(super) struct Applier {
    pub kv: Arc<Kv>,
    pub pages: Arc<Pages>,
    /// Everything below is applied.
    pub position: u64,
    /// Sum of the state at `position`.
    pub sum: u64,
    /// Checksum of the record before `position`.
    pub prev: u32,
    /// Pages with a tail, by the journal position of its first entry.
    tails: BTreeMap<u64, u64>,
    tail_bytes: usize,
    /// Pages whose tail is long enough for a chunk.
    full: Vec<u64>,
    /// [`Kv::written`] at the last mark.
    marked: u64,
    /// Position of the last mark that is durable, or that was given up.
    noted: u64,
}

impl Applier {
    pub fn new(kv: Arc<Kv>, pages: Arc<Pages>, marker: Marker) -> Self {
        let marked = kv.written();
        Self {
            kv,
            pages,
            position: marker.safe,
            sum: marker.sum,
            prev: marker.prev,
            tails: BTreeMap::new(),
            tail_bytes: 0,
            full: Vec::new(),
            marked,
            noted: marker.position,
        }
    }

    /// Adds entries to a page's log. What is there already (a replay) is passed over.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when entries before these are missing.
    pub fn append(
        &mut self,
        position: u64,
        page_id: u64,
        first: u64,
        entries: Vec<LogEntry>,
    ) -> Result<(), StoreError> {
        let mut pages = self.pages.write();
        let page = pages.entry(page_id).or_default();
        if first > page.revision + 1 {
            return Err(StoreError::Damaged(format!(
                "the log of page {page_id} has no entries between {} and {first}",
                page.revision
            )));
        }
        let known = (page.revision + 1 - first) as usize;
        for entry in entries.into_iter().skip(known) {
            let bytes = codec::entry_size(&entry);
            page.revision += 1;
            page.at_ms = entry.at_ms;
            let tail = page.tail.get_or_insert_with(|| {
                self.tails.insert(position, page_id);
                Box::new(Tail { position, bytes: 0, entries: Vec::new() })
            });
            let was_full = tail.bytes >= pages::TAIL_BYTES;
            tail.bytes += bytes;
            self.tail_bytes += bytes;
            if !was_full && tail.bytes >= pages::TAIL_BYTES {
                self.full.push(page_id);
            }
            tail.entries.push(entry);
        }
        Ok(())
    }

    pub fn change(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        for write in writes {
            self.write(write.table.space(), &write.key, write.value.as_deref())?;
        }
        Ok(())
    }

    pub fn write(&self, space: u8, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        match value {
            Some(value) => self.kv.put(space, key, value),
            None => self.kv.remove(space, key),
        }
    }

    /// The record that ends at `position` is applied.
    pub fn advance(&mut self, position: u64, sum: u64, prev: u32) {
        self.position = position;
        self.sum = sum;
        self.prev = prev;
    }

    /// Moves long and old tails into chunks, and marks how far sled is when enough was written.
    pub fn housekeep(&mut self) -> Result<(), StoreError> {
        for page in std::mem::take(&mut self.full) {
            self.flush_page(page)?;
        }
        while let Some((&oldest, &page)) = self.tails.first_key_value() {
            if self.tail_bytes <= MAX_TAIL_BYTES && oldest + MAX_LAG >= self.position {
                break;
            }
            self.flush_page(page)?;
        }
        if self.kv.written() - self.marked >= BARRIER_BYTES {
            self.mark()?;
        }
        Ok(())
    }

    /// Moves all tails into chunks and makes sled durable up to the position.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        while let Some((_, &page)) = self.tails.first_key_value() {
            self.flush_page(page)?;
        }
        self.full.clear();
        self.note()
    }

    /// Whether sled says, durably, that the journal reaches as far as it does.
    pub fn is_noted(&self) -> bool {
        self.noted == self.position
    }

    /// Makes sled say so.
    pub fn note(&mut self) -> Result<(), StoreError> {
        self.mark()?;
        self.kv.barrier()?;
        self.noted = self.position;
        Ok(())
    }

    /// Goes without, until more is applied.
    pub fn skip_note(&mut self) {
        self.noted = self.position;
    }

    /// Makes sled durable, then writes down how far it is (which the next barrier makes durable).
    fn mark(&mut self) -> Result<(), StoreError> {
        self.kv.barrier()?;
        let safe = self.tails.first_key_value().map_or(self.position, |(&position, _)| position);
        Marker { safe, position: self.position, sum: self.sum, prev: self.prev }.write(&self.kv)?;
        self.marked = self.kv.written();
        Ok(())
    }

    fn flush_page(&mut self, page_id: u64) -> Result<(), StoreError> {
        // Only this thread changes pages, so nothing moves between this look and the update.
        let (mut first, small, mut entries) = {
            let pages = self.pages.read();
            let Some(page) = pages.get(&page_id) else { return Ok(()) };
            let Some(tail) = &page.tail else { return Ok(()) };
            (page.in_chunks() + 1, page.small_chunk, tail.entries.clone())
        };
        if small > 0
            && let Some(value) = self.kv.get(space::LOG, &pages::page_key(page_id, small))?
        {
            let mut joined = pages::read_chunk(&value).ok_or_else(|| {
                StoreError::Damaged(format!("a chunk of the log of page {page_id} is broken"))
            })?;
            joined.append(&mut entries);
            entries = joined;
            first = small;
        }
        let chunks = pages::chunks(first, &entries);
        for chunk in &chunks {
            self.kv.put(space::LOG, &pages::page_key(page_id, chunk.first), &chunk.value)?;
        }
        let mut pages = self.pages.write();
        if let Some(page) = pages.get_mut(&page_id) {
            if let Some(tail) = page.tail.take() {
                self.tails.remove(&tail.position);
                self.tail_bytes -= tail.bytes;
            }
            page.small_chunk =
                chunks.last().filter(|chunk| chunk.is_small()).map_or(0, |chunk| chunk.first);
        }
        Ok(())
    }
}
