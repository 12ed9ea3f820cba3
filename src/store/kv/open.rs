//! Opening sled: what must be cleared away first, and everything read once.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::super::StoreError;
use super::super::disk::Disk;
use super::{Kv, guard, sync_around};

/// sled's `conf` as 0.34 writes it, without the checksum behind it.
const CONF: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";
/// sled recurses deeply on some files.
const STACK_BYTES: usize = 64 << 20;
/// How long a reader of a store that was just closed may still hold sled's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Opens the database in `dir`, makes its files durable and reads every page of it once.
///
/// # Errors
/// [`StoreError::Damaged`] when it should be set aside, [`StoreError::Io`] when the reason is not
/// in the files (disk full, no rights).
pub(in super::super) fn open(
    dir: &Path,
    cache_bytes: u64,
    disk: Arc<dyn Disk>,
) -> Result<Kv, StoreError> {
    prepare(dir)?;
    let path = dir.to_owned();
    let thread = std::thread::Builder::new()
        .name("halley-open".into())
        .stack_size(STACK_BYTES)
        .spawn(move || open_here(&path, cache_bytes))?;
    let opened = thread.join().unwrap_or_else(|panic| Err(super::panicked(panic.as_ref())));
    let (db, live) = opened?;
    let file = File::open(dir.join("db"))?;
    let (dirty, written) = (AtomicU64::new(0), AtomicU64::new(0));
    let kv = Kv { db, file, disk, dirty, written, live };
    kv.barrier()?;
    sync_around(dir)?;
    if fs::read_dir(dir.join("blobs")).is_ok_and(|mut blobs| blobs.next().is_some()) {
        return Err(StoreError::Damaged("sled has blob files, which nobody wrote".into()));
    }
    Ok(kv)
}

/// The database, and the bytes of all keys and values in it.
fn open_here(dir: &Path, cache_bytes: u64) -> Result<(sled::Db, u64), StoreError> {
    let start = Instant::now();
    loop {
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let opened = guard(|| {
            let db = config.open()?;
            let mut live = 0;
            for pair in db.iter() {
                let (key, value) = pair?;
                live += (key.len() + value.len()) as u64;
            }
            Ok((db, live))
        });
        match opened {
            Err(StoreError::Damaged(text)) if text.contains("could not acquire lock") => {
                if start.elapsed() > LOCK_WAIT {
                    return Err(StoreError::Locked);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Removes what sled left half-written and would stumble over.
fn prepare(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let unfinished = name.starts_with("snap.")
            && (name.ends_with(".generating") || entry.metadata()?.len() == 0);
        let unknown_conf = name == "conf" && !is_known_conf(&entry.path())?;
        if unfinished || unknown_conf {
            log::warn!("store: removing sled's unfinished file {name}");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_known_conf(path: &Path) -> io::Result<bool> {
    let bytes = fs::read(path)?;
    Ok(bytes.len() == CONF.len() + 4 && bytes.starts_with(CONF))
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn the_known_conf_is_what_sled_writes() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), 1 << 20, Arc::new(RealDisk)).unwrap());
        assert!(is_known_conf(&dir.path().join("conf")).unwrap());
    }
}
