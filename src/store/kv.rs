//! Everything that touches sled 0.34, and the rules that make it bearable.
//!
//! - No value above 4 KiB: larger ones go into pieces, and a head written last makes them
//!   visible. A head names its pieces by a hash of key and content, so a torn value is noticed.
//! - At most 128 KiB between two barriers (`flush` and `fdatasync` of our own handle).
//! - No batches, no transactions, no background flusher.
//! - Every call is guarded: sled panics on some kinds of damage.

mod open;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;
use super::codec::Reader;
use super::disk::{Disk, Synced};

pub(super) use open::open;

/// First byte of every key in sled.
pub(super) mod space {
    /// What the store knows about itself.
    pub const STORE: u8 = 0;
    /// First of the spaces of tables; see `Table::space`.
    const TABLES: u8 = 1;
    /// Last of the first tables.
    const LAST_TABLE: u8 = 5;
    /// Chunks of page logs, by page and first revision.
    pub const LOG: u8 = 6;
    /// Snapshots, by page and revision.
    pub const SNAPSHOTS: u8 = 7;
    /// Pieces of large values, by hash and number.
    pub const PIECES: u8 = 8;
    /// Where runs of page logs are in packs, by page and first revision.
    pub const PACKED: u8 = 9;
    /// Where snapshots are in packs, by page and revision.
    pub const STATES: u8 = 10;
    /// Tables since format 3: the numbers between were taken.
    const LATER_TABLES: u8 = 11;
    const LAST: u8 = 11;

    /// Whether records of a table are here, which the sum of the state is made of.
    pub fn is_table(space: u8) -> bool {
        matches!(space, TABLES..=LAST_TABLE | LATER_TABLES..=LAST)
    }

    /// All tables.
    pub fn tables() -> impl Iterator<Item = u8> {
        (TABLES..=LAST).filter(|space| is_table(*space))
    }

    /// All that values are kept in: everything but what they are made of.
    pub fn values() -> impl Iterator<Item = u8> {
        (STORE..=LAST).filter(|space| *space != PIECES)
    }
}

/// Largest content that stays in one value.
const INLINE: usize = 4000;
/// Most bytes between two barriers.
pub(super) const BARRIER_BYTES: u64 = 128 << 10;

const WHOLE: u8 = 0;
const IN_PIECES: u8 = 1;

/// The bytes of a value, or where its pieces are.
struct Head {
    length: usize,
    id: [u8; 16],
}

/// The records in sled. Reading is for any thread; writing for the one that has the journal.
pub(super) struct Kv {
    db: sled::Db,
    /// Our own handle of sled's data file, for `fdatasync`.
    file: File,
    disk: Arc<dyn Disk>,
    /// Bytes written since the last barrier.
    dirty: AtomicU64,
    /// Bytes ever written by this process.
    written: AtomicU64,
    /// Bytes of keys and values when it was opened.
    live: u64,
}

impl Kv {
    /// Writes a value. Idempotent: the same value again changes nothing but the file's size.
    pub fn put(&self, space: u8, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if value.len() > INLINE {
            let id = piece_id(space, key, value);
            for number in 0..pieces(value) {
                self.put_piece(&id, value, number)?;
            }
            return self.put_head(space, key, value.len(), &id);
        }
        let mut stored = Vec::with_capacity(value.len() + 1);
        stored.push(WHOLE);
        stored.extend_from_slice(value);
        let old = self.insert(&full_key(space, key), &stored)?;
        self.drop_pieces(old.as_deref(), None)
    }

    /// Writes one piece of a value ahead of [`Self::put`], which makes it visible. Large values
    /// that are not urgent are written so, a few pieces at a time.
    pub fn put_piece(&self, id: &[u8; 16], value: &[u8], number: usize) -> Result<(), StoreError> {
        match value.chunks(INLINE).nth(number) {
            Some(piece) => self.insert(&piece_key(id, number), piece).map(drop),
            None => Ok(()),
        }
    }

    /// Makes a value visible whose pieces are all written.
    pub fn put_head(
        &self,
        space: u8,
        key: &[u8],
        length: usize,
        id: &[u8; 16],
    ) -> Result<(), StoreError> {
        let mut head = vec![IN_PIECES];
        head.extend_from_slice(&(length as u32).to_le_bytes());
        head.extend_from_slice(id);
        let old = self.insert(&full_key(space, key), &head)?;
        self.drop_pieces(old.as_deref(), Some(id))
    }

    pub fn remove(&self, space: u8, key: &[u8]) -> Result<(), StoreError> {
        let key = full_key(space, key);
        let old = guard(|| self.db.remove(&key))?;
        self.count(key.len())?;
        self.drop_pieces(old.as_deref(), None)
    }

    pub fn get(&self, space: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match guard(|| self.db.get(full_key(space, key)))? {
            Some(stored) => self.load(space, key, &stored),
            None => Ok(None),
        }
    }

    /// Pairs whose key starts with `prefix` and is after `after`, in order, until `each` says no.
    pub fn each(
        &self,
        space: u8,
        prefix: &[u8],
        after: Option<&[u8]>,
        mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = full_key(space, prefix);
        let from = match after {
            Some(after) if after >= prefix => Excluded(full_key(space, after)),
            _ => Included(start.clone()),
        };
        let mut pairs = guard(|| Ok(self.db.range::<Vec<u8>, _>((from, Unbounded))))?;
        while let Some((key, stored)) = guard(|| pairs.next().transpose())? {
            if !key.starts_with(&start) {
                break;
            }
            let key = key[1..].to_vec();
            // None: removed while we looked.
            let Some(value) = self.load(space, &key, &stored)? else { continue };
            if !each(key, value)? {
                break;
            }
        }
        Ok(())
    }

    /// Pairs whose key starts with `prefix` and is before `before`, the greatest first, until `each`
    /// says no.
    pub fn each_back(
        &self,
        space: u8,
        prefix: &[u8],
        before: Option<&[u8]>,
        mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let start = full_key(space, prefix);
        let mut pairs = match before {
            Some(before) => {
                let stop = full_key(space, before);
                if stop <= start {
                    return Ok(());
                }
                guard(|| Ok(self.db.range(start.clone()..stop)))?
            }
            None => guard(|| Ok(self.db.scan_prefix(&start)))?,
        };
        while let Some((key, stored)) = guard(|| pairs.next_back().transpose())? {
            if !key.starts_with(&start) {
                break;
            }
            let key = key[1..].to_vec();
            // None: removed while we looked.
            let Some(value) = self.load(space, &key, &stored)? else { continue };
            if !each(key, value)? {
                break;
            }
        }
        Ok(())
    }

    /// Keys that start with `prefix`, in order, and how long their values are.
    pub fn each_length(
        &self,
        space: u8,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], u64),
    ) -> Result<(), StoreError> {
        let mut pairs = guard(|| Ok(self.db.scan_prefix(full_key(space, prefix))))?;
        while let Some((key, stored)) = guard(|| pairs.next().transpose())? {
            let length = match head(&stored) {
                None => stored.len() - 1,
                Some(head) => head?.length,
            };
            each(&key[1..], length as u64);
        }
        Ok(())
    }

    /// Keys that start with `prefix`, in order.
    pub fn keys(&self, space: u8, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut pairs = guard(|| Ok(self.db.scan_prefix(full_key(space, prefix))))?;
        let mut keys = Vec::new();
        while let Some((key, _)) = guard(|| pairs.next().transpose())? {
            keys.push(key[1..].to_vec());
        }
        Ok(keys)
    }

    /// The greatest key up to `key` that starts with `prefix`.
    pub fn last_key(
        &self,
        space: u8,
        prefix: &[u8],
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (start, stop) = (full_key(space, prefix), full_key(space, key));
        let found = guard(|| self.db.range(start..=stop).next_back().transpose())?;
        Ok(found.map(|(key, _)| key[1..].to_vec()))
    }

    /// The smallest key from `key` on that starts with `prefix`.
    pub fn first_key(
        &self,
        space: u8,
        prefix: &[u8],
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (start, from) = (full_key(space, prefix), full_key(space, key));
        let found = guard(|| self.db.range(from..).next().transpose())?;
        Ok(found.filter(|(key, _)| key.starts_with(&start)).map(|(key, _)| key[1..].to_vec()))
    }

    /// Bytes of all keys and values when the database was opened.
    pub fn live_bytes(&self) -> u64 {
        self.live
    }

    /// Bytes ever written through this handle.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Makes everything written so far durable.
    pub fn barrier(&self) -> Result<(), StoreError> {
        guard(|| self.db.flush())?;
        self.disk.sync(Synced::Records, &self.file)?;
        self.dirty.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Lets go of sled's files. Everything that matters is durable by now.
    pub fn close(self) {
        let closed = guard(|| {
            drop(self.db);
            Ok(())
        });
        if let Err(error) = closed {
            log::warn!("store: closing the database: {error}");
        }
    }

    /// Ids of all values in pieces and how many pieces each has; with a check that all are there
    /// and hash to what the head says. Heads in `forgiving` with torn pieces are removed.
    fn check_pieces(
        &self,
        forgiving: u8,
    ) -> Result<std::collections::HashSet<[u8; 16]>, StoreError> {
        let mut live = std::collections::HashSet::new();
        for space in space::values() {
            let mut torn = Vec::new();
            let mut pairs = guard(|| Ok(self.db.scan_prefix([space])))?;
            while let Some((key, stored)) = guard(|| pairs.next().transpose())? {
                let Some(Ok(head)) = head(&stored) else { continue };
                match self.gather(space, &key[1..], &head)? {
                    Some(_) => {
                        live.insert(head.id);
                    }
                    None if space == forgiving => torn.push(key[1..].to_vec()),
                    None => {
                        return Err(StoreError::Damaged("a large value is incomplete".into()));
                    }
                }
            }
            for key in torn {
                self.remove(space, &key)?;
            }
        }
        Ok(live)
    }

    /// Removes what a crash left: torn snapshots and pieces without a head.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a value other than a snapshot is incomplete.
    pub fn sweep(&self) -> Result<(), StoreError> {
        let live = self.check_pieces(space::SNAPSHOTS)?;
        for key in self.keys(space::PIECES, &[])? {
            let known = key.get(..16).and_then(|id| <[u8; 16]>::try_from(id).ok());
            if known.is_none_or(|id| !live.contains(&id)) {
                self.remove_raw(&full_key(space::PIECES, &key))?;
            }
        }
        Ok(())
    }

    fn load(&self, space: u8, key: &[u8], stored: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut stored = stored.to_vec();
        loop {
            let head = match head(&stored) {
                None => return Ok(Some(stored.split_off(1))),
                Some(head) => head?,
            };
            if let Some(value) = self.gather(space, key, &head)? {
                return Ok(Some(value));
            }
            // Replaced while we read? Then there is another head by now.
            match guard(|| self.db.get(full_key(space, key)))? {
                None => return Ok(None),
                Some(now) if now[..] != stored[..] => stored = now.to_vec(),
                Some(_) => {
                    return Err(StoreError::Damaged("a large value is incomplete".into()));
                }
            }
        }
    }

    fn gather(&self, space: u8, key: &[u8], head: &Head) -> Result<Option<Vec<u8>>, StoreError> {
        let mut value = Vec::new();
        for number in 0..head.length.div_ceil(INLINE) {
            match guard(|| self.db.get(piece_key(&head.id, number)))? {
                Some(piece) => value.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        let whole = value.len() == head.length && piece_id(space, key, &value) == head.id;
        Ok(whole.then_some(value))
    }

    fn drop_pieces(&self, old: Option<&[u8]>, new: Option<&[u8; 16]>) -> Result<(), StoreError> {
        let Some(Ok(old)) = old.and_then(head) else { return Ok(()) };
        if new == Some(&old.id) {
            return Ok(());
        }
        for number in 0..old.length.div_ceil(INLINE) {
            self.remove_raw(&piece_key(&old.id, number))?;
        }
        Ok(())
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let old = guard(|| self.db.insert(key, value))?;
        self.count(key.len() + value.len())?;
        Ok(old)
    }

    fn remove_raw(&self, key: &[u8]) -> Result<(), StoreError> {
        guard(|| self.db.remove(key))?;
        self.count(key.len())
    }

    /// Removes one piece and leaves its head.
    #[cfg(test)]
    pub fn remove_raw_for_test(&self, piece: &[u8]) -> Result<(), StoreError> {
        self.remove_raw(&full_key(space::PIECES, piece))
    }

    fn count(&self, bytes: usize) -> Result<(), StoreError> {
        // What sled adds per item in its log.
        let bytes = bytes as u64 + 32;
        self.written.fetch_add(bytes, Ordering::Relaxed);
        if self.dirty.fetch_add(bytes, Ordering::Relaxed) + bytes >= BARRIER_BYTES {
            self.barrier()?;
        }
        Ok(())
    }
}

/// `None`: the value is the rest of the bytes. `Some`: it is in pieces.
fn head(stored: &[u8]) -> Option<Result<Head, StoreError>> {
    let broken = || Some(Err(StoreError::Damaged("a record has an unknown form".into())));
    let mut reader = Reader(stored);
    match reader.u8() {
        Some(WHOLE) => None,
        Some(IN_PIECES) => {
            let (Some(length), Some(id)) = (reader.u32(), reader.take(16)) else {
                return broken();
            };
            let Ok(id) = id.try_into() else { return broken() };
            Some(Ok(Head { length: length as usize, id }))
        }
        _ => broken(),
    }
}

fn full_key(space: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(space);
    full.extend_from_slice(key);
    full
}

fn piece_key(id: &[u8; 16], number: usize) -> Vec<u8> {
    let mut key = full_key(space::PIECES, id);
    key.extend_from_slice(&(number as u32).to_be_bytes());
    key
}

/// How many pieces a value has; 0 when it is stored whole.
pub(super) fn pieces(value: &[u8]) -> usize {
    if value.len() <= INLINE { 0 } else { value.len().div_ceil(INLINE) }
}

/// What names the pieces of a value: a hash of where it belongs and what it is.
pub(super) fn piece_id(space: u8, key: &[u8], value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[space]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

/// Runs a sled call; its errors and panics become ours.
fn guard<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(error)),
        Err(panic) => Err(panicked(panic.as_ref())),
    }
}

/// Tells a broken file from an environment in which no file could be opened.
///
/// A full disk, a missing right or too many open files say nothing about the data, and setting
/// it aside would make matters worse.
fn translate(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if is_environment(&error) => StoreError::Io(error),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn is_environment(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let too_many_files = matches!(error.raw_os_error(), Some(23 | 24));
    too_many_files
        || matches!(
            error.kind(),
            Kind::StorageFull
                | Kind::QuotaExceeded
                | Kind::PermissionDenied
                | Kind::ReadOnlyFilesystem
                | Kind::OutOfMemory
                | Kind::WouldBlock
                | Kind::Interrupted
        )
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    if text.contains("StorageFull") || text.contains("No space left") {
        return StoreError::Io(io::ErrorKind::StorageFull.into());
    }
    StoreError::Damaged(format!("sled panicked: {text}"))
}

/// Syncs what sled itself never does: its small files and the directories.
fn sync_around(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            File::open(&path)?.sync_all()?;
        } else {
            super::disk::sync_dir(&path)?;
        }
    }
    super::disk::sync_dir(dir)?;
    dir.parent().map_or(Ok(()), super::disk::sync_dir)
}
