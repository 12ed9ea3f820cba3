//! What the callers' side and the writer share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::disk::Disk;
use super::kv::Kv;
use super::packs::Packs;
use super::pages::Pages;
use super::queue::Queue;
use super::writer::Item;
use super::{Compacted, Health, Options, StoreError};

/// A sync that takes longer than this is reported.
const SLOW_SYNC: Duration = Duration::from_secs(30);
/// How often the watchdog looks.
const WATCH_EVERY: Duration = Duration::from_secs(10);
/// How often somebody looks for what can be packed.
const COMPACT_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long an answer of the file system about free space is believed.
const SPACE_EVERY: Duration = Duration::from_secs(1);

/// Free space, looked at now and then.
#[derive(Default)]
struct Space {
    looked: Option<Instant>,
    low: bool,
}

/// Shared by all handles, the writer and the threads for checkpoints and compaction.
pub(super) struct Shared {
    pub dir: PathBuf,
    pub store: u64,
    pub options: Options,
    pub disk: Arc<dyn Disk>,
    pub queue: Queue<Item>,
    pub pages: Arc<Pages>,
    pub packs: Arc<Packs>,
    /// Everything below is synced.
    pub durable: AtomicU64,
    pub journal_bytes: AtomicU64,
    pub checkpoint_bytes: AtomicU64,
    /// How often a log or a snapshot was read.
    pub history_reads: AtomicU64,
    /// Tells a running checkpoint or compaction to give up.
    pub abandon: AtomicBool,
    /// Tells a running compaction for which nobody waits to end with the pack it is at.
    pub hurry: AtomicBool,
    /// When something was packed last, and what that did.
    compacted: Mutex<Option<(u64, Compacted)>>,
    /// Empty once closed.
    kv: RwLock<Option<Arc<Kv>>>,
    health: Mutex<Health>,
    space: Mutex<Space>,
    failure: watch::Sender<Option<String>>,
    /// When the sync that runs now began.
    sync_began: Mutex<Option<Instant>>,
    stopping: (Mutex<bool>, Condvar),
}

impl Shared {
    pub fn new(
        (dir, store): (PathBuf, u64),
        options: Options,
        disk: Arc<dyn Disk>,
        (kv, pages, packs): (Arc<Kv>, Arc<Pages>, Arc<Packs>),
        recovered: Option<String>,
    ) -> Self {
        Self {
            dir,
            store,
            options,
            disk,
            queue: Queue::new(),
            pages,
            packs,
            durable: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(0),
            history_reads: AtomicU64::new(0),
            abandon: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            compacted: Mutex::default(),
            kv: RwLock::new(Some(kv)),
            health: Mutex::new(Health { recovered, ..Health::default() }),
            space: Mutex::default(),
            failure: watch::Sender::new(None),
            sync_began: Mutex::new(None),
            stopping: (Mutex::new(false), Condvar::new()),
        }
    }

    /// The records, until the store is closed.
    pub fn kv(&self) -> Result<Arc<Kv>, StoreError> {
        let kv = self.kv.read().unwrap_or_else(PoisonError::into_inner);
        kv.as_ref().map(Arc::clone).ok_or(StoreError::Stopped)
    }

    /// Ends reading.
    pub fn take_kv(&self) -> Option<Arc<Kv>> {
        self.kv.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Passes a result of reading on. Damage that is found while running stops the store, so that
    /// the next start sets the damaged files aside.
    pub fn seen<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(text)) = &result {
            self.fail(&format!("the records are damaged: {text}"));
        }
        result
    }

    /// The process must exit; the first cause is kept.
    pub fn fail(&self, cause: &str) {
        let first = self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| cause.to_owned());
            first
        });
        if first {
            log::error!("store: stopped: {cause}");
        }
        // Whoever waits for an answer gets `Stopped` by the drop of the item.
        drop(self.queue.close());
    }

    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let cause = match failure.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone(),
            Err(_) => None,
        };
        match cause {
            Some(cause) => cause,
            None => std::future::pending().await,
        }
    }

    /// Runs a sync under the watchdog.
    pub fn watched<T>(&self, sync: impl FnOnce() -> T) -> T {
        *lock(&self.sync_began) = Some(Instant::now());
        let result = sync();
        *lock(&self.sync_began) = None;
        result
    }

    /// Whether the free space is above the floor. Asks at most once a second.
    pub fn has_space(&self) -> bool {
        let mut space = lock(&self.space);
        if space.looked.is_none_or(|looked| looked.elapsed() >= SPACE_EVERY) {
            space.looked = Some(Instant::now());
            let floor = self.options.free_floor_bytes;
            match self.disk.free_bytes(&self.dir) {
                Ok(free) => space.low = free < floor,
                Err(error) => log::warn!("store: cannot tell the free space: {error}"),
            }
            if !space.low && lock(&self.health).read_only.take().is_some() {
                log::info!("store: there is space again, writing goes on");
            }
        }
        let low = space.low;
        drop(space);
        if low {
            self.say_full();
        }
        !low
    }

    /// Makes the next [`Self::has_space`] ask the file system, unless it was full a moment ago.
    pub fn look_again(&self) {
        let mut space = lock(&self.space);
        if !space.low {
            space.looked = None;
        }
    }

    /// The disk refused space although the floor was not reached.
    pub fn say_full(&self) {
        let mut space = lock(&self.space);
        if !space.low {
            space.low = true;
            space.looked = Some(Instant::now());
        }
        drop(space);
        let mut health = lock(&self.health);
        if health.read_only.is_none() {
            let text = "The disk is full, so nothing can be saved until there is space again.";
            log::error!("store: too little free space in {}; refusing writes", self.dir.display());
            health.read_only = Some(text.into());
        }
    }

    pub fn health(&self) -> Health {
        if lock(&self.health).read_only.is_some() {
            self.has_space();
        }
        let mut health = lock(&self.health).clone();
        health.journal_bytes = self.journal_bytes.load(Ordering::Relaxed);
        health.history_reads = self.history_reads.load(Ordering::Relaxed);
        if health.read_only.is_none() && self.has_failed() {
            health.read_only = Some("The store has stopped after a failed write.".into());
        }
        health
    }

    /// Takes note of what was packed just now.
    pub fn note_compacted(&self, done: Compacted) {
        *lock(&self.compacted) = Some((now_ms(), done));
    }

    /// When something was packed last since the start, and what that did.
    pub fn compacted(&self) -> Option<(u64, Compacted)> {
        *lock(&self.compacted)
    }

    /// Body of the watchdog thread: says once when a sync hangs, and has an eye on the clock for
    /// compaction.
    pub fn watch(&self) {
        let mut reported = None;
        let mut compacted = Instant::now();
        let mut stopping = lock(&self.stopping.0);
        while !*stopping {
            let waited = self.stopping.1.wait_timeout(stopping, WATCH_EVERY);
            stopping = waited.unwrap_or_else(PoisonError::into_inner).0;
            let began = *lock(&self.sync_began);
            if let Some(began) = began
                && began.elapsed() > SLOW_SYNC
                && reported != Some(began)
            {
                reported = Some(began);
                log::error!("store: the disk has not finished a sync for {:?}", began.elapsed());
            }
            if compacted.elapsed() >= COMPACT_EVERY {
                compacted = Instant::now();
                let now_ms = now_ms();
                // Refused when the store has stopped.
                let _ = self.queue.push(0, Item::Compact { now_ms, reply: None });
            }
        }
    }

    /// Ends the watchdog.
    pub fn stop_watching(&self) {
        *lock(&self.stopping.0) = true;
        self.stopping.1.notify_all();
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
