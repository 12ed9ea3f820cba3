//! The few calls on which durability stands, behind a trait so that tests can watch and break them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Which file is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    /// A journal segment: after this an acknowledgement may leave.
    Journal,
    /// sled's data file.
    Records,
}

/// What the operating system does for the store.
pub(super) trait Disk: Send + Sync {
    /// `fdatasync`. An error is final: the kernel may have dropped the pages, so nobody retries.
    fn sync(&self, what: Synced, file: &File) -> io::Result<()>;
    /// Bytes that this process may still use on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The real one.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn sync(&self, _: Synced, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Bytes of the whole file system.
pub(super) fn total_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// Whether an error says that no space is left (and not that something is broken).
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that this process or the machine has too many files open.
pub(super) fn is_crowded(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory and those above it that are missing, for the eyes of this user only, and
/// makes their names durable.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    let dir = std::path::absolute(dir)?;
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    let found = missing.last().map_or(Some(&*dir), |top| top.parent());
    if let Some(Err(error)) = found.and_then(Path::parent).map(sync_dir) {
        // A process that was killed may have made it and not come to this. Usually it is there
        // since long, and its parent need not even be ours to read.
        log::debug!("store: the directory around {} is not synced: {error}", dir.display());
    }
    for made in missing.into_iter().rev() {
        if made.exists() {
            let why = format!("{} is a file, and a directory is needed", made.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
        }
        let built = DirBuilder::new().mode(0o700).create(made);
        built.map_err(|error| said(&error, &format!("{} cannot be made", made.display())))?;
        made.parent().map_or(Ok(()), sync_dir)?;
    }
    Ok(())
}

/// An error with a sentence for whoever reads it. Its kind stays, since that is looked at.
fn said(error: &io::Error, sentence: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{sentence}: {error}"))
}

/// Writes a small file so that after a crash it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&temporary, path)
}

/// Renames and syncs the directory.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Takes real space for `file` up to `length` bytes.
///
/// Space from `fallocate` alone would make every later sync also write file system metadata
/// (unwritten extents are converted), so the new part is filled with zeros as well.
pub(super) fn preallocate(file: &File, from: u64, length: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, length - from) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0_u8; 128 << 10];
    let mut at = from;
    while at < length {
        let count = zeros.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// Takes the lock of a data directory. It is held as long as the file is open.
///
/// # Errors
/// [`StoreError::Locked`] when another process (or another open store of this one) has it.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    use fs4::fs_std::FileExt as _;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))
        .map_err(|error| {
            said(&error, "the user who runs this program must be able to write there, and cannot")
        })?;
    if file.try_lock_exclusive()? { Ok(file) } else { Err(StoreError::Locked) }
}

/// Bytes of the files in a directory and below, 0 when it is not there.
pub(super) fn dir_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => dir_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Files of a directory whose name ends with `suffix`, sorted by name.
pub(super) fn files_ending(dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(suffix)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
