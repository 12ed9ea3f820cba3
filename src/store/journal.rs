//! The append-only journal: what "saved" means.
//!
//! A position counts the bytes of all records ever written. A segment file has a header that
//! names its first position; records follow without gaps; behind the last one are zeros that
//! were taken from the disk beforehand. A new segment begins only when the one before is synced.

pub(super) mod record;
pub(super) mod scan;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::{self, Disk, Synced};
use scan::{End, Segment};

/// Bytes before the first record of a segment.
pub(super) const HEADER: u64 = 64;
/// Largest body of a record (one call of `append` or `change`).
pub(super) const MAX_BODY: usize = 20 << 20;
/// End of the name of a segment file.
pub(super) const SUFFIX: &str = ".journal";
/// End of the name of a file with bytes that were cut off.
const TORN_SUFFIX: &str = ".torn";

/// Space is taken in steps, so that a small wiki stays small.
const SMALL_STEP: u64 = 1 << 20;
const LARGE_STEP: u64 = 4 << 20;

/// Why a group could not get its space.
pub(super) enum NoRoom {
    /// The disk is full; nothing has been written and nothing is lost.
    Full,
    /// This process has too many files open, most of them connections; nothing has been written.
    Crowded,
    /// Something is broken; the store must stop.
    Broken(io::Error),
}

impl From<io::Error> for NoRoom {
    fn from(error: io::Error) -> Self {
        match error {
            error if disk::is_full(&error) => Self::Full,
            error if disk::is_crowded(&error) => Self::Crowded,
            error => Self::Broken(error),
        }
    }
}

/// The writing end. One thread has it.
pub(super) struct Journal {
    dir: PathBuf,
    /// The directory, open: syncing it must be possible when no other file can be opened.
    folder: File,
    store: u64,
    segment_bytes: u64,
    file: File,
    segments: Vec<Segment>,
    /// Position behind the last written record.
    end: u64,
    /// Checksum of the last written record.
    prev: u32,
    /// Length of the last segment file.
    allocated: u64,
}

impl Journal {
    /// Makes the journal of a new store.
    pub fn create(dir: &Path, store: u64) -> Result<(), StoreError> {
        Self::begin(dir, store, 0, 0)
    }

    /// Makes a journal that begins at a position, for records that have everything before it.
    pub fn begin(dir: &Path, store: u64, position: u64, prev: u32) -> Result<(), StoreError> {
        disk::create_dir(dir)?;
        new_segment(dir, store, position, prev)?;
        Ok(disk::sync_dir(dir)?)
    }

    /// Goes on at `end`, as [`scan::read`] found it.
    pub fn resume(
        dir: &Path,
        store: u64,
        segment_bytes: u64,
        segments: Vec<Segment>,
        end: End,
    ) -> Result<Self, StoreError> {
        let Some(last) = segments.last() else {
            return Err(StoreError::Damaged(format!("{} has no journal file", dir.display())));
        };
        let file = OpenOptions::new().read(true).write(true).open(&last.path)?;
        if end.torn {
            // What was never acknowledged is cut off, so that it cannot be taken for anything.
            keep_torn(dir, &file, HEADER + (end.position - last.start));
            file.set_len(HEADER + (end.position - last.start))?;
            file.sync_all()?;
        }
        let place = |position: u64| HEADER + position.saturating_sub(last.start);
        write_again(&file, place(end.unproven), place(end.position))?;
        let allocated = file.metadata()?.len();
        Ok(Self {
            dir: dir.to_owned(),
            folder: File::open(dir)?,
            store,
            segment_bytes,
            file,
            segments,
            end: end.position,
            prev: end.prev,
            allocated,
        })
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn prev(&self) -> u32 {
        self.prev
    }

    pub fn store(&self) -> u64 {
        self.store
    }

    /// Bytes of journal on disk.
    pub fn bytes(&self) -> u64 {
        let first = self.segments.first().map_or(self.end, |segment| segment.start);
        let last = self.start();
        (last - first) + HEADER * (self.segments.len() as u64 - 1) + self.allocated
    }

    fn start(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.start)
    }

    fn used(&self) -> u64 {
        HEADER + (self.end - self.start())
    }

    /// Whether the next `bytes` fit into what was taken from the disk already.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.used() + bytes <= self.allocated
    }

    /// Makes sure that the next `bytes` can be written without asking the disk for space.
    pub fn make_room(&mut self, bytes: u64, disk: &dyn Disk) -> Result<(), NoRoom> {
        if self.has_room(bytes) {
            return Ok(());
        }
        if self.used() + bytes > self.segment_bytes && self.end > self.start() {
            self.roll()?;
        }
        let needed = self.used() + bytes;
        let step = if self.allocated < LARGE_STEP { SMALL_STEP } else { LARGE_STEP };
        let length = (self.allocated + step).min(self.segment_bytes).max(needed);
        let grown = disk::preallocate(&self.file, self.allocated, length);
        if let Err(error) = grown {
            // A half-grown file holds only zeros behind the end, so it may stay.
            return Err(error.into());
        }
        self.allocated = length;
        disk.sync(Synced::Journal, &self.file).map_err(NoRoom::Broken)
    }

    /// Begins a new segment at the end, which must be synced.
    ///
    /// When this cannot be done, writing goes on in the old file; so nothing may fail between the
    /// new file's name and the sync of that name, or what the old file gets from now on would be
    /// hidden behind an empty new one that comes back after a power loss. Hence the handles: the
    /// directory's is there beforehand, and the file's is not opened again.
    pub fn roll(&mut self) -> Result<(), NoRoom> {
        if self.end == self.start() {
            return Ok(());
        }
        let (segment, file) = new_segment(&self.dir, self.store, self.end, self.prev)?;
        self.folder.sync_all().map_err(NoRoom::Broken)?;
        // The zeros behind the last record are given back; that this is not synced is harmless.
        let used = self.used();
        if let Err(error) = self.file.set_len(used) {
            log::warn!("store: a full journal file keeps unused space: {error}");
        }
        self.file = file;
        self.segments.push(segment);
        self.allocated = HEADER;
        Ok(())
    }

    /// Writes a group of records that begins at the end. Needs [`Self::make_room`] before and
    /// [`Self::sync`] after.
    pub fn write(&mut self, group: &[u8], prev: u32) -> io::Result<()> {
        self.file.write_all_at(group, self.used())?;
        self.end += group.len() as u64;
        self.prev = prev;
        Ok(())
    }

    pub fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.sync(Synced::Journal, &self.file)
    }

    /// Removes the segments that end at or before `position`. Only for what a checkpoint covers.
    pub fn cut(&mut self, position: u64) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments[1].start <= position {
            std::fs::remove_file(&self.segments[0].path)?;
            self.segments.remove(0);
            // One by one: a power loss must not leave a hole in the middle.
            self.folder.sync_all()?;
        }
        Ok(())
    }
}

/// Makes durable what is in the files and which files there are. A process that was killed left
/// records that a start reads and builds upon, though only the kernel had them so far.
pub(super) fn settle(dir: &Path, segments: &[Segment], disk: &dyn Disk) -> io::Result<()> {
    for segment in segments {
        disk.sync(Synced::Journal, &File::open(&segment.path)?)?;
    }
    disk::sync_dir(dir)
}

/// Keeps the bytes behind the end that are about to be cut off. They are most likely a write that
/// a power cut ended and that nobody was told about; but if they are the damaged last record of
/// something that was acknowledged, they are all there is of it.
fn keep_torn(dir: &Path, file: &File, offset: u64) {
    let keep = || -> io::Result<(PathBuf, usize)> {
        let mut bytes = Vec::new();
        let mut rest = file;
        rest.seek(SeekFrom::Start(offset))?;
        rest.read_to_end(&mut bytes)?;
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for old in disk::files_ending(dir, TORN_SUFFIX)? {
            std::fs::remove_file(old)?;
        }
        let path = dir.join(format!("{offset:016x}{TORN_SUFFIX}"));
        disk::write_whole(&path, &bytes[..length])?;
        Ok((path, length))
    };
    let left_out = "store: what stands behind the last whole record of the journal is left out, \
                    as after a power cut; it was not called saved, unless the disk is damaged";
    match keep() {
        Ok((path, length)) => log::warn!("{left_out} ({length} bytes, {})", path.display()),
        // A full disk must not keep the store from opening.
        Err(error) => log::warn!("{left_out} (it could not be kept: {error})"),
    }
}

fn segment_path(dir: &Path, start: u64) -> PathBuf {
    dir.join(format!("{start:016x}{SUFFIX}"))
}

/// Writes the bytes from `from` to `to` as they are, and syncs them.
///
/// After a failed sync the kernel takes pages for written that it has only in memory. A start
/// reads them as if nothing was wrong, no later sync writes them, and after a power loss there
/// is a hole before everything that was acknowledged since.
fn write_again(file: &File, from: u64, to: u64) -> io::Result<()> {
    if from >= to {
        return Ok(());
    }
    let mut bytes = vec![0; (to - from) as usize];
    file.read_exact_at(&mut bytes, from)?;
    file.write_all_at(&bytes, from)?;
    file.sync_data()
}

/// Makes a segment file, whole and open, under its name. The name is not synced yet.
fn new_segment(dir: &Path, store: u64, start: u64, prev: u32) -> io::Result<(Segment, File)> {
    let path = segment_path(dir, start);
    let temporary = path.with_extension("tmp");
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all_at(&header_bytes(store, start, prev), 0)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    Ok((Segment { path, start, prev }, file))
}

fn header_bytes(store: u64, start: u64, prev: u32) -> Vec<u8> {
    let mut bytes = b"HALLEY JOURNAL 1".to_vec();
    bytes.extend_from_slice(&store.to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&prev.to_le_bytes());
    bytes.resize(HEADER as usize - 4, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}
