//! The only code that knows sled: journal, records, page logs, snapshots.
//!
//! A call is answered when what it brought is on disk in the append-only journal (`journal`),
//! and only then can anybody read it. One thread writes (`writer`): it takes all that waits,
//! writes it, syncs once, puts it into sled and memory (`applier`, `kv`, `pages`) and answers.
//! sled may lag behind and may be lost: `recover` replays the journal, or rebuilds everything
//! from a `checkpoint` and the journal, and proves by a sum that nothing is missing.
//!
//! ```text
//! format               version and random number of the store
//! lock                 held while open
//! journal/*.journal    what "saved" means, cut only behind a verified checkpoint
//! sled/                records, chunks of logs, snapshots
//! packs/*.pack         old runs of logs, which left sled; nobody changes them
//! checkpoints/*        all of sled in a plain file
//! sled.damaged-*       a database that could not be read, kept
//! erased.*, erasing    see `rewrite`
//! reserve              space that opening may use when the disk is full
//! ```

mod applier;
mod checkpoint;
mod codec;
mod compact;
mod costs;
mod disk;
mod error;
mod journal;
mod kv;
mod list;
mod migrate;
mod pace;
mod packed;
mod packs;
mod pages;
mod queue;
mod recover;
pub mod rewrite;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::page::{PageId, Revision};
pub use compact::Compacted;
pub use costs::{Costs, PageCost, Shrunk};
use disk::{Disk, RealDisk};
pub use error::StoreError;
pub use packed::mask_update;
use shared::Shared;
use writer::{Item, Reply, Writer};

/// Largest key of a record, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;
/// Largest value of a record, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Largest state of a document that is kept as a snapshot, in bytes.
pub const MAX_SNAPSHOT_BYTES: usize = 48 << 20;
/// Most bytes of one call of [`Store::append`] or [`Store::change`] (16 MiB).
pub const MAX_CALL_BYTES: usize = 16 << 20;

/// Named sets of small records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Settings of the store itself and counters, by name.
    Meta,
    /// Page records (JSON) by page id (8 bytes, big-endian).
    Pages,
    /// Page ids by the page's name key.
    Names,
    /// Who a Yjs client id was issued to (JSON), by page id and client id (8 + 4 bytes).
    Clients,
    /// Closed revisions (JSON), by page id and revision (8 + 8 bytes).
    Revisions,
    /// What each login has seen and watches (JSON), by login; see `live::visits`.
    Visits,
}

impl Table {
    /// First byte of its keys in sled, and its number in the journal. Never changed, and none of
    /// those that logs, snapshots and their parts have there.
    fn space(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::Pages => 2,
            Self::Names => 3,
            Self::Clients => 4,
            Self::Revisions => 5,
            Self::Visits => 11,
        }
    }

    fn from_space(space: u8) -> Option<Self> {
        let tables =
            [Self::Meta, Self::Pages, Self::Names, Self::Clients, Self::Revisions, Self::Visits];
        tables.into_iter().find(|table| table.space() == space)
    }
}

/// What must be there for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Anything,
    /// The key must not exist.
    Absent,
    /// The key must hold exactly these bytes.
    Exactly(Vec<u8>),
}

/// One change of one record. Several are made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which set.
    pub table: Table,
    /// At most 1 KiB.
    pub key: Vec<u8>,
    /// Condition, checked by the writer against everything accepted before.
    pub expect: Expect,
    /// New bytes (at most 1 MiB; chunked in sled when above 4 KiB), or `None` to remove.
    pub value: Option<Vec<u8>>,
}

/// One accepted update of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was accepted, milliseconds since 1970.
    pub at_ms: u64,
    /// Login (guest id) that sent it.
    pub author: String,
    /// Operation id, so that a retry after a crash is recognised.
    pub op: String,
    /// Yjs update, v1 encoding.
    pub update: Vec<u8>,
}

/// The newest position of a page's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Last revision.
    pub revision: Revision,
    /// When it was accepted, milliseconds since 1970.
    pub at_ms: u64,
}

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one journal segment (64 MiB).
    pub segment_bytes: u64,
    /// sled's page cache in bytes.
    pub cache_bytes: u64,
    /// Below this many free bytes on the disk writes are refused. 0 switches the check off. On a
    /// small disk a quarter of it counts, if that is less: it must take something.
    pub free_floor_bytes: u64,
    /// The journal may grow by this much (or the size of the last checkpoint, if that is more)
    /// before a checkpoint is made (64 MiB).
    pub checkpoint_bytes: u64,
    /// Space taken in advance so that a store can be opened on a full disk (64 MiB, and never
    /// more than a 64th of the disk). 0: none.
    pub reserve_bytes: u64,
}

/// Of a small disk one part of so many is kept free.
const SMALL_DISK_PARTS: u64 = 4;

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            cache_bytes: 16 << 20,
            free_floor_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            reserve_bytes: 64 << 20,
        }
    }
}

/// A record: its key and its bytes.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What the store says about itself.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why nothing can be written now (disk full), as a sentence for a person.
    pub read_only: Option<String>,
    /// What had to be repaired at this start, as a sentence for a person.
    pub recovered: Option<String>,
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
    /// How often a page's log or snapshot was read since the start: in proportion to the pages
    /// that are opened, never to the people who open them.
    pub history_reads: u64,
}

/// How large things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
    /// Bytes of sled's files.
    pub record_bytes: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Bytes of the newest checkpoint.
    pub checkpoint_bytes: u64,
    /// Pages that have a log.
    pub pages: u64,
    /// Bytes of log entries that are in memory and in the journal, but not in sled yet.
    pub tail_bytes: u64,
}

/// How long closing waits for readers that are still at work.
const READERS_WAIT: Duration = Duration::from_secs(2);

/// The store of one wiki. Cheap to clone; the last clone closes it when dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Threads and the directory's lock, until closed.
    running: Mutex<Option<Running>>,
}

struct Running {
    writer: JoinHandle<()>,
    watchdog: JoinHandle<()>,
    _lock: File,
}

impl Store {
    /// Opens the data directory, recovering what a crash left. Blocks.
    ///
    /// Everything is read once; the journal behind what sled has is replayed. A directory that is
    /// not there is made.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::TooNew`], [`StoreError::Damaged`] when something that
    /// was acknowledged cannot be had back (nothing is changed then), [`StoreError::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_with(dir, options, Arc::new(RealDisk))
    }

    fn open_with(
        dir: &Path,
        mut options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        disk::create_dir(dir)?;
        let floor = disk::total_bytes(dir)? / SMALL_DISK_PARTS;
        options.free_floor_bytes = options.free_floor_bytes.min(floor);
        let lock = disk::lock(dir)?;
        rewrite::settle(dir)?;
        let recovered = recover::recover(dir, &options, &disk)?;
        let applier = &recovered.applier;
        let parts = (Arc::clone(&applier.kv), Arc::clone(&applier.pages), recovered.packs);
        let place = (dir.to_owned(), recovered.format.store);
        let shared = Arc::new(Shared::new(place, options, disk, parts, recovered.repaired));
        let writer = Writer::new(
            Arc::clone(&shared),
            recovered.journal,
            recovered.applier,
            recovered.checkpointed,
        );
        if recovered.heal {
            let (reply, _) = oneshot::channel();
            // The queue is open: nobody else has it yet.
            let _ = shared.queue.push(0, Item::Checkpoint(reply));
        }
        let threads = std::thread::Builder::new;
        let writer = threads().name("halley-store".into()).spawn(move || writer.run())?;
        let watched = Arc::clone(&shared);
        let watchdog = threads().name("halley-watchdog".into()).spawn(move || watched.watch())?;
        let running = Mutex::new(Some(Running { writer, watchdog, _lock: lock }));
        Ok(Self { inner: Arc::new(Inner { shared, running }) })
    }

    /// Appends updates to a page's log; returns the revision of the last one once all are on disk.
    ///
    /// All entries are kept or none. With no entries: the last revision so far. When the caller
    /// stops waiting, the entries may be kept all the same.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and [`StoreError::TooLarge`] (nothing was written),
    /// [`StoreError::Stopped`] (whether it was written is not known).
    pub async fn append(
        &self,
        page: PageId,
        entries: Vec<LogEntry>,
    ) -> Result<Revision, StoreError> {
        let bytes = entries.iter().map(codec::entry_size).sum::<usize>();
        self.send(bytes, |reply, permit| Item::Append { page: page.0, entries, reply, permit })
            .await
    }

    /// Makes all changes (true) once they are on disk, or none (false) when a condition failed.
    ///
    /// Conditions are checked in order; a later change of the same call sees the earlier ones. A
    /// reader may see the changes of one call appear one after the other.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn change(&self, changes: Vec<Change>) -> Result<bool, StoreError> {
        let mut bytes = 0;
        for change in &changes {
            let value = change.value.as_ref().map_or(0, Vec::len);
            if change.key.len() > MAX_KEY_BYTES || value > MAX_VALUE_BYTES {
                return Err(StoreError::TooLarge);
            }
            bytes += change.key.len() + value + 16;
        }
        self.send(bytes, |reply, permit| Item::Change { changes, reply, permit }).await
    }

    /// One record.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] after closing; [`StoreError::Damaged`], which also stops the store.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let shared = &self.inner.shared;
        shared.seen(shared.kv()?.get(table.space(), key))
    }

    /// Updates of a page after a revision, oldest first, as many as fit `limit_bytes` (at least one).
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn read_log(
        &self,
        page: PageId,
        after: Revision,
        limit_bytes: usize,
    ) -> Result<Vec<(Revision, LogEntry)>, StoreError> {
        let shared = &self.inner.shared;
        let kv = shared.kv()?;
        shared.history_reads.fetch_add(1, Ordering::Relaxed);
        let packs = &shared.packs;
        shared.seen(pages::read(&kv, packs, &shared.pages, page.0, after.0, limit_bytes))
    }

    /// The newest position of a page's log; `None` when nothing was written.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] after closing.
    pub fn head(&self, page: PageId) -> Result<Option<Head>, StoreError> {
        self.inner.shared.kv()?;
        let pages = self.inner.shared.pages.read();
        Ok(pages
            .get(&page.0)
            .map(|page| Head { revision: Revision(page.revision), at_ms: page.at_ms }))
    }

    /// Keeps a state of the document, as a shortcut for reading the log. Not urgent, not synced.
    ///
    /// The newest two of a page are kept, and older ones at doubling distances, until a compaction
    /// leaves the newest and, in packs, one now and then.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::DiskFull`], [`StoreError::Stopped`].
    pub async fn save_snapshot(
        &self,
        page: PageId,
        revision: Revision,
        state: Vec<u8>,
    ) -> Result<(), StoreError> {
        if state.len() > MAX_SNAPSHOT_BYTES {
            return Err(StoreError::TooLarge);
        }
        if !self.inner.shared.has_space() {
            return Err(StoreError::DiskFull);
        }
        let value = snapshot::pack(&state);
        drop(state);
        let bytes = value.len().min(MAX_CALL_BYTES);
        self.send(bytes, |reply, permit| {
            Item::Snapshot(snapshot::Job::new(page.0, revision.0, value, (reply, permit)))
        })
        .await
    }

    /// The newest snapshot at or before a revision.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn snapshot_at(
        &self,
        page: PageId,
        at_most: Revision,
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        let shared = &self.inner.shared;
        shared.history_reads.fetch_add(1, Ordering::Relaxed);
        shared.seen(snapshot::find(&*shared.kv()?, &shared.packs, page.0, at_most.0))
    }

    /// State of the store.
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// How large things are. Looks at the files of sled.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let pages = shared.pages.read();
        let tails = pages.values().filter_map(|page| page.tail.as_ref());
        Stats {
            journal_bytes: shared.journal_bytes.load(Ordering::Relaxed),
            record_bytes: disk::dir_bytes(&shared.dir.join("sled")),
            pack_bytes: shared.packs.bytes(),
            checkpoint_bytes: shared.checkpoint_bytes.load(Ordering::Relaxed),
            pages: pages.len() as u64,
            tail_bytes: tails.map(|tail| tail.bytes as u64).sum(),
        }
    }

    /// Makes a checkpoint now, verifies it, and removes the journal it covers.
    ///
    /// # Errors
    /// [`StoreError::Io`] says why there is none; the store goes on with the older one.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.send(0, |reply, _permit| Item::Checkpoint(reply)).await
    }

    /// Moves what was accepted an hour before `now_ms` (milliseconds since 1970) or earlier from
    /// the database into packs, as fast as possible. Without being asked, the store does the same
    /// slowly, where it is worth it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Stopped`], [`StoreError::Io`] says why not all was
    /// packed; what was not stays where it is.
    pub async fn compact(&self, now_ms: u64) -> Result<Compacted, StoreError> {
        self.send(0, |reply, _permit| Item::Compact { now_ms, reply: Some(reply) }).await
    }

    /// Resolves when a sync has failed and the process must exit without acknowledging anything more.
    pub async fn failed(&self) -> String {
        self.inner.shared.failed().await
    }

    /// Writes everything out and stops the writer. Blocks. Idempotent.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store had failed: the next start replays the journal.
    pub fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }

    async fn send<T>(
        &self,
        bytes: usize,
        item: impl FnOnce(Reply<T>, queue::Permit) -> Item,
    ) -> Result<T, StoreError> {
        if bytes > MAX_CALL_BYTES {
            return Err(StoreError::TooLarge);
        }
        let queue = &self.inner.shared.queue;
        let permit = queue.admit(bytes).await?;
        let (reply, answer) = oneshot::channel();
        queue.push(bytes, item(reply, permit)).map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }
}

impl Inner {
    fn close(&self) -> Result<(), StoreError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { writer, watchdog, _lock }) = running.take() else { return Ok(()) };
        // A queue that is closed already has ended the writer.
        let _ = self.shared.queue.push(0, Item::Close);
        let joined = writer.join();
        self.shared.stop_watching();
        let _ = watchdog.join();
        if let Some(mut kv) = self.shared.take_kv() {
            // sled lets go of its files when the last reader is done.
            let start = Instant::now();
            while let Err(shared) = Arc::try_unwrap(kv).map(kv::Kv::close) {
                kv = shared;
                if start.elapsed() > READERS_WAIT {
                    log::warn!("store: closing while something is still being read");
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if joined.is_err() || self.shared.has_failed() {
            return Err(StoreError::Stopped);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!("store: closing: {error}");
        }
    }
}
