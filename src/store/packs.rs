//! Packs: files that old runs of page logs leave sled for. Nobody changes one once it is there.
//!
//! sled needs two to three times the bytes of what it holds, and a checkpoint has everything once
//! more. Most of a wiki is history that nobody changes, so it goes into files of its own, written
//! once and named by a small record for each of their blocks (`space::PACKED`, `space::STATES`).
//! Only the records are in checkpoints.
//!
//! The order is what makes this safe: a pack is written, synced, renamed, read back and compared
//! before there is a record of it, and what it replaces is removed from sled only when the record
//! is durable. Whatever a crash leaves is a file without records, which the next start removes, or
//! entries that are in both places, which harms nobody.
//!
//! A pack that is damaged or gone is a part of history that cannot be read. The next start rebuilds
//! from a checkpoint and the journal if these still have the entries. Otherwise the wiki opens all
//! the same, says which revisions of which pages are missing, and refuses to read them
//! ([`StoreError::Lost`]): the newest text of a page is in its snapshot, which is in sled and in the
//! checkpoints, and a pack that is put back from a backup makes everything whole. To refuse to open
//! would take the present from everybody for the sake of the past. What must never happen is that
//! something is missing without being said, and it cannot: the records stay, and so the numbers of
//! revisions do.

mod format;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::kv::{Kv, space};
use super::pace::Pace;
use super::pages::{page_key, read_page_key};
use super::{LogEntry, StoreError};
use super::{disk, packed};
pub(super) use format::{Block, Kind};
pub(super) use write::Builder;

/// The directory, below the data directory.
pub(super) const DIR: &str = "packs";
const SUFFIX: &str = ".pack";
const TEMPORARY: &str = ".tmp";
/// End of the name of a pack that turned out to be damaged.
const DAMAGED: &str = ".damaged";

/// Decoded blocks that are kept, about 1 MiB each: whoever reads a log in steps comes to the same
/// block several times.
const KEPT_BLOCKS: usize = 4;
/// Of what is lost so many runs are named in a message.
const NAMED_RUNS: usize = 5;
/// Key in `space::STORE` of a pack that no record names, but a checkpoint may.
const RETIRED: &[u8] = b"retired pack ";

/// A block and the pack it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub pack: u64,
    pub block: Block,
}

/// The blocks that records name, by pack.
pub(super) type Named = BTreeMap<u64, Vec<Block>>;

/// Why a pack cannot be used, by its number.
pub(super) type Faults = BTreeMap<u64, String>;

/// The packs of a store.
pub(super) struct Packs {
    dir: PathBuf,
    store: u64,
    /// Number of the next pack.
    next: AtomicU64,
    /// Packs that could not be used when the store was opened, and what they held.
    lost: RwLock<Faults>,
    /// How many records name each pack.
    named: Mutex<BTreeMap<u64, u64>>,
    /// The last blocks that were read, by pack and offset, the latest at the end.
    decoded: Mutex<VecDeque<(Spot, Run)>>,
}

/// Pack and offset of a block.
type Spot = (u64, u32);
type Run = Arc<Vec<LogEntry>>;

impl Packs {
    /// The packs below a data directory. Looks at nothing.
    pub fn of(dir: &Path, store: u64) -> Self {
        Self {
            dir: dir.join(DIR),
            store,
            next: AtomicU64::new(1),
            lost: RwLock::default(),
            named: Mutex::default(),
            decoded: Mutex::default(),
        }
    }

    /// Looks at the files of these packs: whether they are there, and whether their indexes hold
    /// what the records name. Reads a few KB of each.
    pub fn look(&self, named: &Named) -> Result<Faults, StoreError> {
        let mut faults = Faults::new();
        for (number, blocks) in named {
            let fault = match self.index(*number) {
                Ok(Some(index)) => {
                    let index: HashSet<_> = index.into_iter().collect();
                    let holds = blocks.iter().all(|block| index.contains(block));
                    (!holds).then_some("does not hold what it should")
                }
                Ok(None) if self.take_back(*number) => None,
                Ok(None) => Some("is missing"),
                Err(StoreError::Damaged(_)) => Some("is damaged"),
                Err(other) => return Err(other),
            };
            if let Some(fault) = fault {
                let path = self.path(*number);
                faults.insert(*number, format!("{} {fault} ({})", path.display(), runs(blocks)));
            }
        }
        Ok(faults)
    }

    /// Takes note of what the records name when the store is opened, and removes what is in no
    /// record. What cannot be used is refused from now on, see [`Self::look`].
    pub fn settle(&self, kv: &Kv, named: &Named, lost: Faults) -> Result<(), StoreError> {
        let mut retired: BTreeSet<u64> = self.retired(kv)?.into_iter().collect();
        for number in named.keys() {
            // A crash came between the mark and the removal of the last record.
            if retired.remove(number) {
                kv.remove(space::STORE, &retired_key(*number))?;
            }
        }
        let mut last = named.keys().chain(&retired).copied().max().unwrap_or(0);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let Some((number, suffix)) = number_of(&path) else { continue };
            last = last.max(number);
            let wanted = named.contains_key(&number) || retired.contains(&number);
            // Beside a pack that can be used, the damaged one it was put back for has no use.
            let replaced = suffix == DAMAGED && !lost.contains_key(&number);
            if suffix == TEMPORARY || !wanted || replaced {
                log::info!("store: removing {}, which nothing refers to", path.display());
                fs::remove_file(&path)?;
            }
        }
        self.next.store(last + 1, Ordering::Relaxed);
        let counts = named.iter().map(|(number, blocks)| (*number, blocks.len() as u64));
        *lock(&self.named) = counts.collect();
        *self.lost.write().unwrap_or_else(PoisonError::into_inner) = lost;
        Ok(())
    }

    /// Numbers those that are written from now on after this one.
    pub fn begin_after(&self, number: u64) {
        self.next.store(number + 1, Ordering::Relaxed);
    }

    /// Where the entry of this revision is; `None` when it is in no pack.
    pub fn find(&self, kv: &Kv, page: u64, revision: u64) -> Result<Option<Place>, StoreError> {
        let place = self.last(kv, Kind::Log, page, revision)?;
        Ok(place.filter(|place| place.block.last() >= revision))
    }

    /// The newest snapshot up to a revision that is in a pack.
    pub fn find_state(&self, kv: &Kv, page: u64, upto: u64) -> Result<Option<Place>, StoreError> {
        self.last(kv, Kind::State, page, upto)
    }

    fn last(&self, kv: &Kv, kind: Kind, page: u64, upto: u64) -> Result<Option<Place>, StoreError> {
        let space = space_of(kind);
        let found = kv.last_key(space, &page.to_be_bytes(), &page_key(page, upto))?;
        let Some(key) = found else { return Ok(None) };
        let Some(value) = kv.get(space, &key)? else { return Ok(None) };
        read_record(space, &key, &value).map(Some)
    }

    /// The entries of a block; `None` when its file is gone: then there is another record by now.
    ///
    /// # Errors
    /// [`StoreError::Lost`] for a pack that could not be used when the store was opened. One that
    /// turns out to be damaged later is set aside, and that is [`StoreError::Damaged`]: it stops
    /// the store, and the next start sees what can be done.
    pub fn entries(&self, place: &Place) -> Result<Option<Run>, StoreError> {
        let spot = (place.pack, place.block.offset);
        {
            let mut decoded = lock(&self.decoded);
            if let Some(at) = decoded.iter().position(|(known, _)| *known == spot)
                && let Some((_, run)) = decoded.remove(at)
            {
                decoded.push_back((spot, Arc::clone(&run)));
                return Ok(Some(run));
            }
        }
        let Some(content) = self.content(place)? else { return Ok(None) };
        let count = place.block.count;
        let run = packed::unpack(&content, count.into()).ok_or_else(|| self.set_aside(place))?;
        let run = Arc::new(run);
        let mut decoded = lock(&self.decoded);
        decoded.push_back((spot, Arc::clone(&run)));
        while decoded.len() > KEPT_BLOCKS {
            decoded.pop_front();
        }
        Ok(Some(run))
    }

    /// The content of a block. Errors as [`Self::entries`].
    pub fn content(&self, place: &Place) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(why) = self.lost().get(&place.pack) {
            return Err(StoreError::Lost(why.clone()));
        }
        let file = match File::open(self.path(place.pack)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if disk::is_crowded(&error) => return Err(StoreError::Crowded),
            Err(error) => return Err(error.into()),
        };
        let Block { offset, length, .. } = place.block;
        let (from, length) = (u64::from(offset), u64::from(length) + format::HEAD as u64);
        if from + length > file.metadata()?.len() {
            return Err(self.set_aside(place));
        }
        let mut bytes = vec![0; length as usize];
        match file.read_exact_at(&mut bytes, from) {
            Ok(()) => {}
            Err(error) if is_unreadable(&error) => return Err(self.set_aside(place)),
            Err(error) => return Err(error.into()),
        }
        match place.block.content(&bytes) {
            Some(content) => Ok(Some(content.to_vec())),
            None => Err(self.set_aside(place)),
        }
    }

    /// Renames a pack that turned out to be damaged, so that the next start does not take it for
    /// a whole one: it looks at indexes only.
    fn set_aside(&self, place: &Place) -> StoreError {
        let path = self.path(place.pack);
        if let Err(error) = disk::rename(&path, &path.with_extension(&DAMAGED[1..])) {
            log::error!("store: {} is damaged and cannot be renamed: {error}", path.display());
        }
        StoreError::Damaged(format!("{} is damaged", path.display()))
    }

    /// Gives a pack that was set aside its name again if it is whole after all: it may have been
    /// the memory that was at fault, and not the disk.
    fn take_back(&self, number: u64) -> bool {
        let path = self.path(number);
        let aside = path.with_extension(&DAMAGED[1..]);
        let whole = self.check_file(&aside, number, &mut Pace::unlimited(), |_, _| true);
        let back = whole.is_ok() && disk::rename(&aside, &path).is_ok();
        if back {
            log::warn!("store: {} can be read again", path.display());
        }
        back
    }

    /// Reads whole files and compares their checksums, and their indexes with the records. What
    /// was lost when the store was opened is passed over: no checkpoint can bring it back.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for the first one that is not whole; it is set aside.
    pub fn check(&self, named: &Named, pace: &mut Pace<'_>) -> Result<(), StoreError> {
        for (number, blocks) in named {
            if self.lost().contains_key(number) {
                continue;
            }
            let index = self.check_file(&self.path(*number), *number, pace, |_, _| true);
            let holds = match index {
                Ok(index) => {
                    let index: HashSet<_> = index.into_iter().collect();
                    blocks.iter().all(|block| index.contains(block))
                }
                Err(StoreError::Damaged(_)) => false,
                Err(other) => return Err(other),
            };
            if !holds && let Some(block) = blocks.first() {
                return Err(self.set_aside(&Place { pack: *number, block: *block }));
            }
        }
        Ok(())
    }

    /// Reads a whole file; its blocks, if it is whole and `each` likes the content of all.
    fn check_file(
        &self,
        path: &Path,
        number: u64,
        pace: &mut Pace<'_>,
        mut each: impl FnMut(&Block, &[u8]) -> bool,
    ) -> Result<Vec<Block>, StoreError> {
        let damaged = || StoreError::Damaged(format!("{} is damaged", path.display()));
        let (file, blocks, index_at) = self.open_index(path, number)?;
        let read = |from: u64, length: usize| {
            let mut bytes = vec![0; length];
            match file.read_exact_at(&mut bytes, from) {
                Ok(()) => Ok(bytes),
                Err(error) if is_unreadable(&error) => Err(damaged()),
                Err(error) => Err(error.into()),
            }
        };
        let mut crc = crc32c::crc32c(&read(0, format::HEADER)?);
        let mut at = format::HEADER as u64;
        for block in &blocks {
            let length = format::HEAD as u64 + u64::from(block.length);
            // One behind the other, without gaps.
            if u64::from(block.offset) != at || at + length > index_at {
                return Err(damaged());
            }
            let bytes = read(at, length as usize)?;
            crc = crc32c::crc32c_append(crc, &bytes);
            let content = block.content(&bytes).ok_or_else(damaged)?;
            if !each(block, content) {
                return Err(damaged());
            }
            at += length;
            if !pace.rest(length) {
                return Err(StoreError::Stopped);
            }
        }
        let rest = read(at, blocks.len() * format::ENTRY + format::TRAILER)?;
        let (covered, _) = rest.split_at(rest.len() - format::UNCOVERED);
        crc = crc32c::crc32c_append(crc, covered);
        let trailer = rest.get(rest.len() - format::TRAILER..).and_then(format::read_trailer);
        let whole = at == index_at && trailer.is_some_and(|(_, _, whole)| whole == crc);
        if whole { Ok(blocks) } else { Err(damaged()) }
    }

    /// The blocks of a pack; `None` when there is no file.
    pub fn index(&self, number: u64) -> Result<Option<Vec<Block>>, StoreError> {
        match self.open_index(&self.path(number), number) {
            Ok((_, blocks, _)) => Ok(Some(blocks)),
            Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Opens a pack: its blocks, and where its index begins.
    fn open_index(&self, path: &Path, number: u64) -> Result<(File, Vec<Block>, u64), StoreError> {
        let damaged = || StoreError::Damaged(format!("{} is damaged", path.display()));
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let read = |from: u64, bytes: &mut [u8]| match file.read_exact_at(bytes, from) {
            Ok(()) => Ok(()),
            Err(error) if is_unreadable(&error) => Err(damaged()),
            Err(error) => Err(error.into()),
        };
        let mut header = [0; format::HEADER];
        let mut trailer = [0; format::TRAILER];
        let trailer_at = length.checked_sub(format::TRAILER as u64).ok_or_else(damaged)?;
        read(0, &mut header)?;
        read(trailer_at, &mut trailer)?;
        let (count, crc, _) = format::read_trailer(&trailer).ok_or_else(damaged)?;
        let size = (count * format::ENTRY) as u64;
        let index_at = trailer_at.checked_sub(size).ok_or_else(damaged)?;
        let mut index = vec![0; size as usize];
        read(index_at, &mut index)?;
        let blocks = format::read_index(&index, crc).ok_or_else(damaged)?;
        if header[..] != format::header(self.store, number)[..] {
            return Err(damaged());
        }
        Ok((file, blocks, index_at))
    }

    /// Writes the record of a block. Only the writer does.
    pub fn put(&self, kv: &Kv, place: &Place) -> Result<(), StoreError> {
        let Place { pack, block } = place;
        let (space, key) = (space_of(block.kind), page_key(block.page, block.first));
        let old = kv.get(space, &key)?.map(|old| read_record(space, &key, &old)).transpose()?;
        *lock(&self.named).entry(*pack).or_default() += 1;
        if let Some(old) = &old {
            self.before_drop(kv, old.pack)?;
        }
        kv.put(space, &key, &format::put_record(*pack, block))?;
        if let Some(old) = old {
            self.dropped(old.pack);
        }
        Ok(())
    }

    /// Removes the record of a block. Only the writer does, when another one is durable.
    pub fn remove(&self, kv: &Kv, kind: Kind, page: u64, first: u64) -> Result<(), StoreError> {
        let (space, key) = (space_of(kind), page_key(page, first));
        let Some(old) = kv.get(space, &key)? else { return Ok(()) };
        let pack = read_record(space, &key, &old)?.pack;
        self.before_drop(kv, pack)?;
        kv.remove(space, &key)?;
        self.dropped(pack);
        Ok(())
    }

    /// Before the last record that names this pack goes, the pack is retired: its file must stay
    /// until a checkpoint without it has been made. Afterwards would be too late: a crash in between
    /// would leave a file that nothing but the newest checkpoint names.
    fn before_drop(&self, kv: &Kv, pack: u64) -> Result<(), StoreError> {
        if lock(&self.named).get(&pack).is_none_or(|count| *count <= 1) {
            kv.put(space::STORE, &retired_key(pack), &[])?;
        }
        Ok(())
    }

    /// A record less names this pack.
    fn dropped(&self, pack: u64) {
        let mut named = lock(&self.named);
        if let Some(count) = named.get_mut(&pack) {
            *count -= 1;
            if *count == 0 {
                named.remove(&pack);
            }
        }
    }

    /// Packs that no record names any more.
    pub fn retired(&self, kv: &Kv) -> Result<Vec<u64>, StoreError> {
        let keys = kv.keys(space::STORE, RETIRED)?;
        let number = |key: &Vec<u8>| key[RETIRED.len()..].try_into().ok().map(u64::from_be_bytes);
        let named = lock(&self.named);
        // One whose last record is about to go is marked already.
        Ok(keys.iter().filter_map(number).filter(|number| !named.contains_key(number)).collect())
    }

    /// Removes the files of packs that had been retired before the newest checkpoint was begun.
    pub fn bury(&self, kv: &Kv, retired: &[u64]) -> Result<(), StoreError> {
        for number in retired {
            match fs::remove_file(self.path(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => kv.remove(space::STORE, &retired_key(*number))?,
            }
        }
        Ok(())
    }

    /// How many packs records name.
    pub fn count(&self) -> usize {
        lock(&self.named).len()
    }

    /// Whether a pack could not be used when the store was opened.
    pub fn is_lost(&self, pack: u64) -> bool {
        self.lost().contains_key(&pack)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        disk::dir_bytes(&self.dir)
    }

    fn lost(&self) -> std::sync::RwLockReadGuard<'_, Faults> {
        self.lost.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}{SUFFIX}"))
    }
}

/// Names that a pack's file may have.
pub(super) fn file_names(number: u64) -> [String; 2] {
    [SUFFIX, DAMAGED].map(|suffix| format!("{number:016x}{suffix}"))
}

/// Where the records of such blocks are.
pub(super) fn space_of(kind: Kind) -> u8 {
    match kind {
        Kind::Log => space::PACKED,
        Kind::State => space::STATES,
    }
}

/// Reads a record of `space::PACKED` or `space::STATES`.
pub(super) fn read_record(space: u8, key: &[u8], value: &[u8]) -> Result<Place, StoreError> {
    let kind = if space == space::PACKED { Kind::Log } else { Kind::State };
    let found = read_page_key(key).and_then(|key| format::read_record(kind, key, value));
    let broken = || StoreError::Damaged("the record of a pack is broken".into());
    found.map(|(pack, block)| Place { pack, block }).ok_or_else(broken)
}

/// Adds a pair to what is named, if it is a record of a pack.
pub(super) fn collect(
    named: &mut Named,
    space: u8,
    key: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    if matches!(space, space::PACKED | space::STATES) {
        let Place { pack, block } = read_record(space, key, value)?;
        named.entry(pack).or_default().push(block);
    }
    Ok(())
}

/// What a person should know of blocks: revisions and pages.
fn runs(blocks: &[Block]) -> String {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    let mut sorted: Vec<_> = blocks.iter().filter(|block| block.kind == Kind::Log).collect();
    sorted.sort_by_key(|block| (block.page, block.first));
    for block in sorted {
        match runs.last_mut() {
            Some((page, _, last)) if *page == block.page && *last + 1 == block.first => {
                *last = block.last();
            }
            _ => runs.push((block.page, block.first, block.last())),
        }
    }
    let mut texts: Vec<String> = runs
        .iter()
        .take(NAMED_RUNS)
        .map(|(page, first, last)| format!("revisions {first} to {last} of page {page}"))
        .collect();
    match runs.len().saturating_sub(NAMED_RUNS) {
        0 if runs.is_empty() => "no revisions, only a shortcut to some".into(),
        0 => texts.join(", "),
        more => {
            texts.push(format!("{more} more"));
            texts.join(", ")
        }
    }
}

fn retired_key(number: u64) -> Vec<u8> {
    let mut key = RETIRED.to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in the name of a file of ours, and the end of the name.
fn number_of(path: &Path) -> Option<(u64, &'static str)> {
    let name = path.file_name()?.to_str()?;
    let suffix = [SUFFIX, TEMPORARY, DAMAGED].into_iter().find(|end| name.ends_with(end))?;
    let number = u64::from_str_radix(name.strip_suffix(suffix)?, 16).ok()?;
    Some((number, suffix))
}

/// Whether an error says that the bytes cannot be had from the disk: too few, or a bad sector.
fn is_unreadable(error: &io::Error) -> bool {
    let bad_sector = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO);
    bad_sector || error.kind() == io::ErrorKind::UnexpectedEof
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
