//! Writing a pack.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, IntoInnerError, Write as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::super::codec;
use super::super::pace::Pace;
use super::super::{LogEntry, StoreError, disk, packed};
use super::format::{self, Block, HEADER, Kind};
use super::{Packs, Place, TEMPORARY};

/// Blocks of one file: their offsets are numbers of 32 bits.
const MAX_BYTES: u64 = 1 << 31;

/// A pack that is being written, under a name that the next start removes. Removed when dropped
/// before it is finished.
pub(in super::super) struct Builder<'a> {
    packs: &'a Packs,
    number: u64,
    path: PathBuf,
    out: Option<BufWriter<File>>,
    at: u64,
    crc: u32,
    blocks: Vec<Block>,
    /// What each block must say when it is read back.
    digests: Vec<blake3::Hash>,
}

impl<'a> Builder<'a> {
    /// Begins the next pack.
    pub fn begin(packs: &'a Packs) -> Result<Self, StoreError> {
        disk::create_dir(&packs.dir)?;
        let number = packs.next.fetch_add(1, Ordering::Relaxed);
        let path = packs.dir.join(format!("{number:016x}{TEMPORARY}"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let mut builder = Self {
            packs,
            number,
            path,
            out: Some(BufWriter::with_capacity(64 << 10, file)),
            at: 0,
            crc: 0,
            blocks: Vec::new(),
            digests: Vec::new(),
        };
        builder.put(&format::header(packs.store, number))?;
        Ok(builder)
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// The block that was added last.
    pub fn last(&self) -> Option<Place> {
        self.blocks.last().map(|block| Place { pack: self.number, block: *block })
    }

    /// Adds a run of a page's log, which took `was` bytes in the database; the bytes it takes.
    /// Without random operation ids, see `packed`.
    pub fn add_run(
        &mut self,
        page: u64,
        first: u64,
        entries: &[LogEntry],
        was: u64,
    ) -> Result<u64, StoreError> {
        let Some(last) = entries.last() else { return Ok(0) };
        let block = Block {
            kind: Kind::Log,
            page,
            first,
            count: u32::try_from(entries.len()).map_err(|_| StoreError::TooLarge)?,
            at_ms: last.at_ms,
            was: u32::try_from(was).unwrap_or(u32::MAX),
            length: 0,
            crc: 0,
            offset: 0,
        };
        self.digests.push(digest(entries.iter().map(packed::kept)));
        self.add(block, &packed::pack(entries))
    }

    /// Adds a snapshot as it would stand in sled; the bytes it takes.
    pub fn add_state(&mut self, page: u64, revision: u64, value: &[u8]) -> Result<u64, StoreError> {
        let block = Block {
            kind: Kind::State,
            page,
            first: revision,
            count: 1,
            at_ms: 0,
            was: 0,
            length: 0,
            crc: 0,
            offset: 0,
        };
        self.digests.push(blake3::hash(value));
        self.add(block, value)
    }

    fn add(&mut self, block: Block, content: &[u8]) -> Result<u64, StoreError> {
        if self.at + content.len() as u64 > MAX_BYTES {
            return Err(StoreError::TooLarge);
        }
        let block = Block { offset: self.at as u32, ..block }.sealed(content);
        let mut head = Vec::new();
        block.put_head(&mut head);
        self.put(&head)?;
        self.put(content)?;
        self.blocks.push(block);
        Ok(block.bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(out) = &mut self.out else { return Err(StoreError::Stopped) };
        out.write_all(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Makes the pack durable under its name, reads it back and compares. The places of its
    /// blocks, of which records may be made now.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it does not read as it was written, [`StoreError::Stopped`]
    /// when the store is closing, [`StoreError::Io`]. There is no file then.
    pub fn finish(mut self, pace: &mut Pace<'_>) -> Result<Vec<Place>, StoreError> {
        debug_assert!(self.at >= HEADER as u64);
        let footer = format::footer(&self.blocks);
        self.put(&footer)?;
        let end = format::end(self.crc);
        self.put(&end)?;
        let Some(out) = self.out.take() else { return Err(StoreError::Stopped) };
        let file = out.into_inner().map_err(IntoInnerError::into_error)?;
        file.sync_all()?;
        let path = self.packs.path(self.number);
        disk::rename(&self.path, &path)?;
        // From here on it is this name that must go when something is wrong.
        self.path = path;
        // So that it is the disk that is read, and not only what the kernel has in memory. Where
        // that cannot be asked for, the comparison is worth less, and no worse than none.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        let mut digests = self.digests.iter();
        self.packs.check_file(&self.path, self.number, pace, |block, content| {
            let found = match block.kind {
                Kind::State => Some(blake3::hash(content)),
                Kind::Log => packed::unpack(content, block.count.into())
                    .map(|entries| digest(entries.into_iter())),
            };
            found.as_ref() == digests.next()
        })?;
        let pack = self.number;
        let places = self.blocks.iter().map(|block| Place { pack, block: *block }).collect();
        // It stays.
        self.path = PathBuf::new();
        Ok(places)
    }
}

impl Drop for Builder<'_> {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = fs::remove_file(&self.path)
        {
            // The next start removes it.
            log::warn!("store: {} stays: {error}", self.path.display());
        }
    }
}

/// A hash of entries, all of each.
fn digest(entries: impl Iterator<Item = LogEntry>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.clear();
        codec::put_entry(&mut bytes, &entry);
        hasher.update(&bytes);
    }
    hasher.finalize()
}
