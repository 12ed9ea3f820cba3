//! Giving back the space that sled does not use any more.
//!
//! sled's file keeps its largest size: what was removed, or moved into packs, leaves holes that it
//! fills again one day. When most of it is holes at a start, everything is written into a new
//! database, which then takes the old one's place. Both are whole at that moment, so a crash may come
//! at any step: without a database of the right name the old one gets its name again, and the old one
//! is removed only when the new one has proved to hold all.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::disk::{self, Disk};
use super::super::kv::{self, Kv, space};
use super::super::{Options, StoreError};

/// The old database while the new one takes its place.
pub(in super::super) const OLD: &str = "sled.old";
/// A new database that is not whole yet.
pub(in super::super) const NEW: &str = "sled.new";

/// A smaller database is left as it is.
const SMALL: u64 = 4 << 20;
/// sled takes up to so many times the bytes of what it holds, also when it is new.
const USUAL: u64 = 3;
/// Key in `space::STORE`: the size after the last time, so that nobody does it again in vain.
const SIZE: &[u8] = b"size when rewritten";

/// Gives the old database its name again, if a crash came between the two renames.
pub(super) fn settle(dir: &Path, records: &Path) -> io::Result<()> {
    let old = dir.join(OLD);
    if records.exists() || !old.exists() {
        return Ok(());
    }
    disk::rename(&old, records)
}

/// Whether more than half of the database's files is likely to be dead.
pub(super) fn is_wasteful(kv: &Kv, records: &Path) -> Result<bool, StoreError> {
    let bytes = disk::dir_bytes(records);
    let known = kv.get(space::STORE, SIZE)?.and_then(|size| size.try_into().ok());
    let least = known.map_or(0, u64::from_le_bytes).max(kv.live_bytes() * USUAL);
    Ok(bytes >= SMALL && bytes > 2 * least)
}

/// Writes all of it into a new database, if there is space for that. False: there is not.
pub(super) fn rewrite(
    kv: &Kv,
    dir: &Path,
    options: &Options,
    disk: &Arc<dyn Disk>,
) -> Result<bool, StoreError> {
    if disk.free_bytes(dir)? < options.free_floor_bytes + 2 * USUAL * kv.live_bytes() {
        return Ok(false);
    }
    let temporary = dir.join(NEW);
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    let new = kv::open(&temporary, options.cache_bytes, Arc::clone(disk))?;
    for space in space::values() {
        kv.each(space, &[], None, |key, value| new.put(space, &key, &value).map(|()| true))?;
    }
    new.barrier()?;
    let size = disk::dir_bytes(&temporary);
    new.put(space::STORE, SIZE, &size.to_le_bytes())?;
    new.barrier()?;
    new.close();
    Ok(true)
}

/// Puts the new database in the place of the old one, which nobody has open.
pub(super) fn swap(dir: &Path, records: &Path) -> io::Result<()> {
    let old = dir.join(OLD);
    if old.exists() {
        fs::remove_dir_all(&old)?;
    }
    disk::rename(records, &old)?;
    disk::rename(&dir.join(NEW), records)
}

/// Takes it back.
pub(super) fn swap_back(dir: &Path, records: &Path) -> io::Result<()> {
    fs::remove_dir_all(records)?;
    disk::rename(&dir.join(OLD), records)
}

/// Removes the old one. That it stays when this fails only costs space.
pub(super) fn forget(dir: &Path) {
    let old = dir.join(OLD);
    if old.exists()
        && let Err(error) = fs::remove_dir_all(&old)
    {
        log::warn!("store: {} stays: {error}", old.display());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::dir_bytes;
    use super::super::super::{Change, Expect, Store, Table};
    use super::*;

    fn options() -> Options {
        Options { free_floor_bytes: 0, reserve_bytes: 0, ..Options::default() }
    }

    fn change(number: u64, round: u64) -> Change {
        let mut value = vec![0; 3_000];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(number + round * 1_000).to_le_bytes()).finalize_xof().fill(&mut value);
        let key = number.to_be_bytes().to_vec();
        let value = (round < 10 || number < 5).then_some(value);
        Change { table: Table::Meta, key, expect: Expect::Anything, value }
    }

    fn check(dir: &Path) {
        let store = Store::open(dir, options()).unwrap();
        assert_eq!(store.health().recovered, None);
        let expected: Vec<_> = (0..5).map(|number| change(number, 10)).collect();
        let found = store.list(Table::Meta, &[], None, 1_000).unwrap();
        assert_eq!(found.len(), expected.len());
        for ((key, value), change) in found.into_iter().zip(expected) {
            assert!(key == change.key && Some(value) == change.value);
        }
        assert!(!dir.join(OLD).exists() && !dir.join(NEW).exists());
    }

    #[tokio::test]
    async fn space_that_is_not_used_any_more_is_given_back_at_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let sled = dir.join("sled");
        let store = Store::open(dir, options()).unwrap();
        for round in 0..=10 {
            let changes = (0..500).map(|number| change(number, round)).collect();
            assert!(store.change(changes).await.unwrap());
        }
        drop(store);
        let before = dir_bytes(&sled);
        assert!(before > SMALL, "{before} bytes");
        // A crash at each step.
        let aside = tempfile::tempdir().unwrap();
        let kept = aside.path().join("sled");
        fs::create_dir(&kept).unwrap();
        for entry in fs::read_dir(&sled).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
            }
        }
        check(dir);
        let after = dir_bytes(&sled);
        println!("{before} bytes became {after}");
        assert!(after * 2 < before, "{before} bytes became {after}");
        check(dir);
        assert!(dir_bytes(&sled) < before / 2, "it stays small");
        // Half-written.
        fs::create_dir(dir.join(NEW)).unwrap();
        fs::write(dir.join(NEW).join("db"), "x").unwrap();
        let store = Store::open(dir, options()).unwrap();
        drop(store);
        fs::remove_dir_all(dir.join(NEW)).unwrap();
        // Between the renames: the new one is not there yet.
        fs::rename(&sled, dir.join(NEW)).unwrap();
        fs::rename(&kept, dir.join(OLD)).or_else(|_| copy(&kept, &dir.join(OLD))).unwrap();
        check(dir);
        // After them: the old one is still there, and the new one is damaged.
        fs::rename(&sled, dir.join(OLD)).unwrap();
        fs::create_dir(&sled).unwrap();
        fs::write(sled.join("db"), vec![7; 1 << 20]).unwrap();
        check(dir);
    }

    fn copy(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }
}
