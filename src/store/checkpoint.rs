//! Checkpoints: all that is in sled, in a plain file of our own that needs no sled to be read.
//!
//! All but two things: of snapshots, which are a shortcut, the newest of each page is enough; and
//! packs are named and not copied, since nobody changes them. That they are there and whole is
//! checked instead.
//!
//! A checkpoint is fuzzy: it is taken while writing goes on, and everything in it is at least as
//! new as its position. Replaying the journal from there makes it exact. It is verified by doing
//! that in memory and comparing the sum of the state with the one in the journal.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::StoreError;
use super::codec;
use super::disk;
use super::journal::record::Kind;
use super::journal::scan;
use super::kv::{Kv, space};
use super::pace::Pace;
use super::packs::{self, Named};
use super::pages;
use super::shared::Shared;

const SUFFIX: &str = ".checkpoint";
const MAGIC: &[u8; 16] = b"HALLEY CHECKPT 1";
/// No key or value in a checkpoint is larger.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes of packs that are read in a second, so that whoever waits for the disk does not notice.
const PACKS_RATE: u64 = 32 << 20;

/// What is to be made.
pub(super) struct Plan {
    /// All records below are in sled, durably.
    pub position: u64,
    /// Sum of the state at the position.
    pub sum: u64,
    /// Checksum of the record before the position.
    pub prev: u32,
    pub kv: Arc<Kv>,
}

/// A verified checkpoint.
pub(super) struct Made {
    pub position: u64,
    pub bytes: u64,
}

/// A checkpoint file, not yet verified.
pub(super) struct Candidate {
    pub path: PathBuf,
    pub position: u64,
    pub bytes: u64,
}

/// What a checkpoint says about itself.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub position: u64,
    pub sum: u64,
    pub prev: u32,
}

/// Writes a checkpoint and verifies it.
pub(super) fn make(shared: &Shared, plan: &Plan) -> Result<Made, StoreError> {
    let dir = shared.dir.join("checkpoints");
    disk::create_dir(&dir)?;
    let needed =
        shared.options.free_floor_bytes / 2 + shared.checkpoint_bytes.load(Ordering::Relaxed);
    if shared.disk.free_bytes(&dir)? < needed {
        return Err(StoreError::DiskFull);
    }
    let path = dir.join(format!("{:016x}{SUFFIX}", plan.position));
    let temporary = path.with_extension("tmp");
    let written = write(shared, plan, &temporary);
    if let Err(error) = written {
        // It would only take space; why it could not be written is what matters.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let kept = verify(shared, plan, &temporary).and_then(|()| {
        disk::rename(&temporary, &path)?;
        Ok(fs::metadata(&path)?.len())
    });
    if kept.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    Ok(Made { position: plan.position, bytes: kept? })
}

fn write(shared: &Shared, plan: &Plan, path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let mut out = Hashing { out: BufWriter::new(file), hasher: blake3::Hasher::new() };
    out.write_all(MAGIC)?;
    for number in [shared.store, plan.position, plan.sum, u64::from(plan.prev)] {
        out.write_all(&number.to_le_bytes())?;
    }
    let mut count = 0_u64;
    let mut put = |space: u8, key: &[u8], value: &[u8]| {
        let mut head = vec![1, space];
        codec::put_bytes(&mut head, key);
        codec::put_length(&mut head, value.len());
        out.write_all(&head)?;
        out.write_all(value)?;
        count += 1;
        Ok::<_, StoreError>(())
    };
    // Packs after chunks: what moves from the one to the other meanwhile is then in both, and not
    // in neither.
    for space in (0..=u8::MAX).filter(|space| is_copied(*space)) {
        let mut before: Option<(Vec<u8>, Vec<u8>)> = None;
        plan.kv.each(space, &[], None, |key, value| {
            if shared.abandon.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            if space != space::SNAPSHOTS {
                return put(space, &key, &value).map(|()| true);
            }
            let page = key.get(..8).map(<[u8]>::to_vec);
            if let Some((key, value)) = before.replace((key, value))
                && key.get(..8) != page.as_deref()
            {
                put(space, &key, &value)?;
            }
            Ok(true)
        })?;
        if let Some((key, value)) = before {
            put(space, &key, &value)?;
        }
    }
    out.write_all(&[0])?;
    out.write_all(&count.to_le_bytes())?;
    let hash = out.hasher.finalize();
    out.out.write_all(hash.as_bytes())?;
    let file = out.out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(())
}

/// Whether what is in this space is in checkpoints.
fn is_copied(space: u8) -> bool {
    space::is_table(space)
        || matches!(space, space::LOG | space::SNAPSHOTS | space::PACKED | space::STATES)
}

/// Checks a file against the journal that has been written meanwhile, and the packs it names.
fn verify(shared: &Shared, plan: &Plan, path: &Path) -> Result<(), StoreError> {
    let mut mirror = Mirror::default();
    read(path, shared.store, |space, key, value| mirror.load(space, key, &value))?;
    mirror.loaded();
    let mut pace = Pace::slow(0, PACKS_RATE, &shared.abandon);
    // A damaged one stops the store: the next start may still be able to rebuild what it held
    // from the checkpoint before this.
    shared.seen(shared.packs.check(&mirror.named, &mut pace))?;
    let to = shared.durable.load(Ordering::Acquire);
    let segments = scan::segments(&shared.dir.join("journal"), shared.store)?;
    let mut sum = plan.sum;
    if to > plan.position {
        scan::read(&segments, shared.store, plan.position, Some(to), |record| {
            sum = record.frame.sum;
            mirror.replay(record.frame.kind, record.body)
        })?;
    }
    if mirror.sum() != sum {
        return Err(StoreError::Damaged(
            "the checkpoint is not what the journal says, so it was thrown away".into(),
        ));
    }
    Ok(())
}

/// Checkpoint files, newest first.
pub(super) fn candidates(dir: &Path) -> io::Result<Vec<Candidate>> {
    let dir = dir.join("checkpoints");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in disk::files_ending(&dir, SUFFIX)? {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let Some(position) = stem.and_then(|stem| u64::from_str_radix(&stem, 16).ok()) else {
            continue;
        };
        let bytes = fs::metadata(&path)?.len();
        found.push(Candidate { path, position, bytes });
    }
    found.reverse();
    Ok(found)
}

/// Removes the checkpoints before a verified one.
pub(super) fn remove_before(dir: &Path, position: u64) -> io::Result<()> {
    for candidate in candidates(dir)? {
        if candidate.position < position {
            fs::remove_file(candidate.path)?;
        }
    }
    Ok(())
}

/// Reads a checkpoint; every pair is given to `each` before the hash of the whole is known, so
/// what `each` did counts only when this returns `Ok`.
pub(super) fn read(
    path: &Path,
    store: u64,
    mut each: impl FnMut(u8, Vec<u8>, Vec<u8>) -> Result<(), StoreError>,
) -> Result<About, StoreError> {
    let broken = || StoreError::Damaged(format!("the checkpoint {} is broken", path.display()));
    let ended = |error: io::Error| {
        if error.kind() == io::ErrorKind::UnexpectedEof { broken() } else { error.into() }
    };
    let mut input = Hashing {
        out: BufReader::with_capacity(256 << 10, File::open(path)?),
        hasher: blake3::Hasher::new(),
    };
    let magic = input.bytes(16).map_err(ended)?;
    let found_store = input.u64().map_err(ended)?;
    if magic != MAGIC || found_store != store {
        return Err(broken());
    }
    let mut number = || input.u64().map_err(ended);
    let (position, sum, prev) = (number()?, number()?, number()?);
    let about = About { position, sum, prev: u32::try_from(prev).map_err(|_| broken())? };
    let mut count = 0_u64;
    while input.bytes(1).map_err(ended)? == [1] {
        let space = input.bytes(1).map_err(ended)?[0];
        if !is_copied(space) {
            return Err(broken());
        }
        let length = input.length().map_err(ended)?;
        let key = input.bytes(length).map_err(ended)?;
        let length = input.length().map_err(ended)?;
        let value = input.bytes(length).map_err(ended)?;
        each(space, key, value)?;
        count += 1;
    }
    let counted = input.u64().map_err(ended)?;
    let hash = input.hasher.finalize();
    let mut stored = [0; 32];
    input.out.read_exact(&mut stored).map_err(ended)?;
    if counted != count || hash != blake3::Hash::from_bytes(stored) {
        return Err(broken());
    }
    Ok(about)
}

/// What a database made of a checkpoint (or of nothing) and the journal would hold: the last
/// revision of each page, and the end of the journal.
pub(super) fn foresee(
    from: Option<&(PathBuf, About)>,
    store: u64,
    segments: &[scan::Segment],
) -> Result<(HashMap<u64, u64>, u64), StoreError> {
    let mut mirror = Mirror::default();
    let mut position = 0;
    if let Some((path, about)) = from {
        position = about.position;
        read(path, store, |space, key, value| mirror.load(space, key, &value))?;
        mirror.loaded();
    }
    let end = scan::read(segments, store, position, None, |record| {
        mirror.replay(record.frame.kind, record.body)
    })?;
    Ok((mirror.heads, end.position))
}

struct Hashing<T> {
    out: T,
    hasher: blake3::Hasher,
}

impl<T: io::Write> Hashing<T> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

impl<T: Read> Hashing<T> {
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > MAX_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = Vec::new();
        self.out.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut number = [0; 8];
        number.copy_from_slice(&self.bytes(8)?);
        Ok(u64::from_le_bytes(number))
    }

    fn length(&mut self) -> io::Result<u64> {
        let mut bytes = Vec::new();
        while bytes.last().is_none_or(|byte| byte & 0x80 != 0) && bytes.len() < 9 {
            bytes.extend(self.bytes(1)?);
        }
        codec::Reader(&bytes)
            .length()
            .map(|length| length as u64)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// As much of the state as its sum needs.
#[derive(Default)]
struct Mirror {
    records: HashMap<(u8, Vec<u8>), u64>,
    heads: HashMap<u64, u64>,
    /// First and last revisions of what is in chunks and packs, by page.
    runs: HashMap<u64, Vec<(u64, u64)>>,
    named: Named,
}

impl Mirror {
    fn load(&mut self, space: u8, key: Vec<u8>, value: &[u8]) -> Result<(), StoreError> {
        match space {
            _ if space::is_table(space) => {
                let sum = codec::record_sum(space, &key, value);
                self.records.insert((space, key), sum);
                return Ok(());
            }
            space::LOG => {
                let (Some((page, first)), Some((count, _))) =
                    (pages::read_page_key(&key), pages::chunk_head(value))
                else {
                    return Err(StoreError::Damaged("a chunk of a log is broken".into()));
                };
                self.run(page, first, first + count - 1);
            }
            space::PACKED => {
                let block = packs::read_record(space, &key, value)?.block;
                self.run(block.page, block.first, block.last());
            }
            _ => {}
        }
        packs::collect(&mut self.named, space, &key, value)
    }

    fn run(&mut self, page: u64, first: u64, last: u64) {
        let runs = self.runs.entry(page).or_default();
        match runs.last_mut() {
            // Most follow each other, so few are kept.
            Some(before) if (before.0..=before.1 + 1).contains(&first) => {
                before.1 = before.1.max(last);
            }
            _ => runs.push((first, last)),
        }
    }

    /// Everything of a checkpoint has been given.
    fn loaded(&mut self) {
        for (page, mut runs) in std::mem::take(&mut self.runs) {
            runs.sort_unstable();
            let mut head = 0;
            for (first, last) in runs {
                // A run behind a gap was written while the checkpoint was; replay closes it.
                if first <= head + 1 {
                    head = last.max(head);
                }
            }
            if head > 0 {
                self.heads.insert(page, head);
            }
        }
    }

    fn replay(&mut self, kind: Kind, body: &[u8]) -> Result<(), StoreError> {
        let broken = || StoreError::Damaged("a journal record has an unknown form".into());
        match kind {
            Kind::Append => {
                let (page, first, entries) = codec::read_append(body).ok_or_else(broken)?;
                let head = self.heads.entry(page).or_default();
                if first > *head + 1 {
                    return Err(StoreError::Damaged("a log has a gap".into()));
                }
                *head = (*head).max(first + entries.len() as u64 - 1);
            }
            Kind::Change => {
                for write in codec::read_changes(body).ok_or_else(broken)? {
                    let space = write.table.space();
                    match write.value {
                        Some(value) => {
                            let sum = codec::record_sum(space, &write.key, &value);
                            self.records.insert((space, write.key), sum);
                        }
                        None => {
                            self.records.remove(&(space, write.key));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn sum(&self) -> u64 {
        let records = self.records.values().fold(0_u64, |sum, one| sum.wrapping_add(*one));
        self.heads
            .iter()
            .fold(records, |sum, (page, head)| sum.wrapping_add(codec::head_sum(*page, *head)))
    }
}
