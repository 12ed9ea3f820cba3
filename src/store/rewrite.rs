//! Writing everything anew, without some of the bytes: what erasing something takes.
//!
//! Old bytes are in many places: in the journal, in sled's file (also where nothing refers to them
//! any more), in packs, in checkpoints, in databases that were set aside. So nothing is changed in
//! place. What is to stay is written into a second set of directories, which is opened, checked and
//! given its checkpoint as any store is; then it takes the place of the first set, which is removed
//! as a whole.
//!
//! ```text
//! erasing        what is to be done: there while it is not done, see `pending`
//! erased.part/   the second set while it is being written; of no worth after a crash
//! erased.whole/  the same when it is whole: from this rename on there is no way back, and opening
//!                a store finishes what is left to do before it looks at anything
//! ```
//!
//! Packs that hold nothing of the pages concerned have only a second name in the new set: nobody
//! changes a pack.

mod build;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::disk::{self, RealDisk};
use super::packs;
use super::recover::slim;
use super::{LogEntry, Options, Pair, Store, StoreError, Table};
use crate::page::{PageId, Revision};

const NOTE: &str = "erasing";
pub(super) const PART: &str = "erased.part";
const WHOLE: &str = "erased.whole";
/// What a set consists of.
const PARTS: [&str; 4] = ["journal", packs::DIR, "sled", "checkpoints"];
/// What laboratories keep, which ends with the process that began them.
pub const LAB: &str = "lab";
/// Set aside by recovery.
const DAMAGED: &str = "sled.damaged-";
/// What is the same in both sets, or is made when it is missing.
const OWN: [&str; 3] = ["lock", "format", "reserve"];

/// What becomes of what is stored.
pub struct Rewrite<'a> {
    /// The pages concerned: all their entries are given to `entry`, and their snapshots are left
    /// out.
    pub pages: &'a BTreeSet<PageId>,
    /// An entry as it is to be. Its number and its time stay.
    pub entry: &'a dyn Fn(PageId, Revision, LogEntry) -> Result<LogEntry, StoreError>,
    /// The value of a record as it is to be, `None` to leave it out; called for all records.
    pub record: &'a dyn Fn(Table, Pair) -> Result<Option<Vec<u8>>, StoreError>,
    /// Looks at the new set, which nobody else has open, and adds to it. An error leaves everything
    /// as it was.
    pub finish: &'a dyn Fn(&Store) -> Result<(), StoreError>,
}

/// What was noted and is not done; `None` when everything is done.
///
/// # Errors
/// [`StoreError::Io`].
pub fn pending(dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    // Only some removals are missing, which opening the store does.
    if dir.join(WHOLE).exists() {
        return Ok(None);
    }
    let note = dir.join(NOTE);
    // Also where there is no directory, or none to look into: opening the store explains that.
    if !note.exists() {
        return Ok(None);
    }
    Ok(Some(fs::read(note)?))
}

/// Notes what is to be done, so that a crash on the way is not forgotten, then writes everything anew
/// and removes the old bytes, and the note. Nobody may have the directory open. Blocks.
///
/// # Errors
/// [`StoreError::Locked`]: nothing was noted. As [`Store::open`]; [`StoreError::Lost`] when a pack
/// that concerns the pages cannot be read; [`StoreError::DiskFull`]; those of `finish`. Everything is
/// as it was then and nothing is noted, unless only removals failed, which the next start finishes.
pub fn begin(
    dir: &Path,
    options: &Options,
    note: &[u8],
    work: &Rewrite<'_>,
) -> Result<(), StoreError> {
    // Before the note: what it says must be true of what is there when it is carried out.
    let _lock = disk::lock(dir)?;
    settle(dir)?;
    disk::write_whole(&dir.join(NOTE), note)?;
    let done = rewrite(dir, options, work);
    if done.is_err() && pending(dir)?.is_some() {
        // Whoever asked for it is told; a crash is what the note is for.
        remove(&dir.join(PART))?;
        remove(&dir.join(NOTE))?;
        disk::sync_dir(dir)?;
    }
    done
}

/// Does what was noted before a crash; false when it is not noted any more, because another process
/// did it meanwhile. Blocks.
///
/// # Errors
/// As [`begin`]. The note stays.
pub fn go_on(
    dir: &Path,
    options: &Options,
    note: &[u8],
    work: &Rewrite<'_>,
) -> Result<bool, StoreError> {
    let _lock = disk::lock(dir)?;
    settle(dir)?;
    if pending(dir)?.as_deref() != Some(note) {
        return Ok(false);
    }
    rewrite(dir, options, work).map(|()| true)
}

/// The lock is held.
fn rewrite(dir: &Path, options: &Options, work: &Rewrite<'_>) -> Result<(), StoreError> {
    for name in PARTS.into_iter().chain([LAB]) {
        let path = dir.join(name);
        // What it leads to would stay where it is, with the old bytes.
        if path.is_symlink() {
            return Err(StoreError::Io(io::Error::other(format!(
                "{name} is a link to another place; nothing can be erased before the files \
                 themselves are there"
            ))));
        }
        // Nothing can take its place, and that would turn out when the old bytes are gone already.
        if is_mounted(dir, &path)? {
            return Err(StoreError::Io(io::Error::other(format!(
                "{name} is a file system of its own; nothing can be erased before it is a directory \
                 beside the others"
            ))));
        }
    }
    let part = dir.join(PART);
    remove(&part)?;
    disk::create_dir(&part)?;
    let built = build::build(dir, &part, options, work)?;
    crash(1)?;
    // A store like any other, with limits of its own.
    let options = Options { reserve_bytes: 0, ..options.clone() };
    let store = Store::open(&part, options.clone())?;
    (work.finish)(&store)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(store.checkpoint())?;
    store.close()?;
    drop(store);
    crash(2)?;
    check(&part, options, &built)?;
    for name in OWN {
        remove(&part.join(name))?;
    }
    disk::sync_dir(&part)?;
    crash(3)?;
    disk::rename(&part, &dir.join(WHOLE))?;
    crash(4)?;
    settle(dir)
}

/// Finishes what a crash left when the second set was whole, and removes one that was not. The
/// directory's lock is held.
pub(super) fn settle(dir: &Path) -> Result<(), StoreError> {
    let whole = dir.join(WHOLE);
    if !whole.exists() {
        // With a note it is begun anew, by who can read the note.
        return Ok(remove(&dir.join(PART))?);
    }
    for (step, name) in PARTS.into_iter().enumerate() {
        let (new, place) = (whole.join(name), dir.join(name));
        // Not so when it has been moved already.
        if new.exists() {
            remove(&place)?;
            crash(5 + 2 * step)?;
            disk::rename(&new, &place)?;
            crash(6 + 2 * step)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(DAMAGED) || [slim::OLD, slim::NEW, PART, LAB].contains(&&*name) {
            remove(&path)?;
        }
    }
    remove(&dir.join(NOTE))?;
    disk::sync_dir(dir)?;
    crash(13)?;
    // Last: while it is there, all this is done again.
    remove(&whole)?;
    Ok(disk::sync_dir(dir)?)
}

/// Opens the new set once more, as the next start will, and compares how long the logs are.
fn check(part: &Path, options: Options, built: &build::Built) -> Result<(), StoreError> {
    let store = Store::open(part, options)?;
    let wrong = |why: String| {
        StoreError::Io(io::Error::other(format!(
            "what was written anew is not whole ({why}), so nothing was erased"
        )))
    };
    // What was lost before is not found here either.
    if let Some(why) = store.health().recovered
        && built.was_whole
    {
        return Err(wrong(why));
    }
    for (page, head) in &built.heads {
        let found = store.head(PageId(*page))?.map_or(0, |head| head.revision.0);
        if found < *head {
            return Err(wrong(format!("page {page} ends at {found} instead of {head}")));
        }
    }
    store.close()
}

/// Whether something is mounted at this path, which may be missing, below a directory.
fn is_mounted(dir: &Path, path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if meta.dev() != fs::metadata(dir)?.dev() {
        return Ok(true);
    }
    // A directory of the same file system may be mounted as well. Old kernels cannot say so.
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    Ok(found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn real_disk() -> Arc<dyn disk::Disk> {
    Arc::new(RealDisk)
}

/// Where a test may let the process end.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the one for tests fails")]
fn crash(_step: usize) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
use tests::crash;
