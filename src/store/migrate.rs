//! The format of a data directory, and the steps from older ones.

use std::fs;
use std::io;
use std::path::Path;

use super::StoreError;
use super::disk;

/// The format this version writes.
///
/// 2: old runs of logs may be in packs. What knows only 1 would find logs without a beginning.
/// 3: there may be records of a table after the packs. What knows only 2 would take them for damage.
pub(super) const FORMAT: u32 = 3;

const FILE: &str = "format";

/// One step: from the format of its place in the list (counted from 1) to the next. It must leave
/// the directory readable by the old version until its last action, and be repeatable.
type Migration = fn(&Path) -> Result<(), StoreError>;

/// In order; `MIGRATIONS[n]` goes from format `n + 1` to `n + 2`.
const MIGRATIONS: &[Migration] = &[
    // Nothing is in packs yet, and what is there may stay where it is.
    |_| Ok(()),
    // Nothing of what is there changes.
    |_| Ok(()),
];

const _: () = assert!(MIGRATIONS.len() as u32 + 1 == FORMAT);

/// What the format file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub version: u32,
    /// Random number of this store, in every journal file and record, so that files of two
    /// stores cannot be mixed.
    pub store: u64,
}

/// Reads the format; `None` when there is no format file.
///
/// # Errors
/// [`StoreError::TooNew`], or [`StoreError::Damaged`] when the file says something else.
pub(super) fn read(dir: &Path) -> Result<Option<Format>, StoreError> {
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut words = text.split_whitespace();
    let known = words.next() == Some("halley-store");
    let version = words.next().and_then(|word| word.parse::<u32>().ok());
    if let (true, Some(version)) = (known, version)
        && version > FORMAT
    {
        return Err(StoreError::TooNew { found: version, known: FORMAT });
    }
    let store = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    match (known, version, store) {
        (true, Some(version), Some(store)) if version > 0 => Ok(Some(Format { version, store })),
        _ => Err(StoreError::Damaged(format!(
            "{} does not say a format; put it back from a backup",
            path.display()
        ))),
    }
}

/// Writes the format file.
pub(super) fn write(dir: &Path, format: Format) -> io::Result<()> {
    let text = format!("halley-store {} {:016x}\n", format.version, format.store);
    disk::write_whole(&dir.join(FILE), text.as_bytes())
}

/// Takes every step that is missing, writing the format down after each.
pub(super) fn run(dir: &Path, mut format: Format) -> Result<Format, StoreError> {
    for step in MIGRATIONS.iter().skip(format.version as usize - 1) {
        log::info!("store: changing the data from format {} to the next", format.version);
        step(dir)?;
        format.version += 1;
        write(dir, format)?;
    }
    Ok(format)
}
