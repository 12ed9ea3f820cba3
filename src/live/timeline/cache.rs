//! Timelines are built once, off the async threads, and then grow with the log.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Timeline;
use super::flat::Growing;
use crate::live::{Live, LiveError, blocking};
use crate::page::{PageId, Revision};
use crate::store::{Store, StoreError};

/// Log read at a time.
const STEP_BYTES: usize = 4 << 20;

/// Largest timeline while it is built: about a million edits. More is refused.
const MAX_BYTES: usize = 128 << 20;

/// All that are kept, in bytes. What was asked for the longest time ago goes first.
const CACHE_BYTES: usize = 128 << 20;

/// Those built at the same time: each takes a processor, and memory up to [`MAX_BYTES`].
const BUILDS: usize = 2;

/// How long a build waits for those before it.
const WAIT: Duration = Duration::from_secs(10);

/// One that nobody has asked for in so long is forgotten.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// The timelines in memory.
pub(in crate::live) struct Timelines {
    slots: Mutex<HashMap<PageId, Arc<Slot>>>,
    builds: Arc<Semaphore>,
    /// Counts requests, to tell which slot was used last.
    uses: AtomicU64,
}

impl Default for Timelines {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            builds: Arc::new(Semaphore::new(BUILDS)),
            uses: AtomicU64::new(0),
        }
    }
}

/// What is kept of a page.
struct Slot {
    /// Locked while it is built, so that two who ask do not build it twice.
    growing: Arc<tokio::sync::Mutex<Growing>>,
    newest: Mutex<Newest>,
    bytes: AtomicUsize,
    used: AtomicU64,
}

struct Newest {
    timeline: Option<Arc<Timeline>>,
    /// It was refused: so is all that comes later.
    is_too_long: bool,
    asked: Instant,
}

impl Slot {
    fn new() -> Self {
        Self {
            growing: Arc::default(),
            newest: Mutex::new(Newest {
                timeline: None,
                is_too_long: false,
                asked: Instant::now(),
            }),
            bytes: AtomicUsize::new(0),
            used: AtomicU64::new(0),
        }
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there already, if it has this revision.
    fn ready(&self, head: Revision) -> Result<Option<Arc<Timeline>>, LiveError> {
        let newest = self.newest();
        if newest.is_too_long {
            return Err(LiveError::HistoryTooLong);
        }
        Ok(newest.timeline.clone().filter(|timeline| timeline.head() >= head))
    }
}

impl Timelines {
    fn slots(&self) -> MutexGuard<'_, HashMap<PageId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, id: PageId) -> Arc<Slot> {
        let slot = Arc::clone(self.slots().entry(id).or_insert_with(|| Arc::new(Slot::new())));
        slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        slot.newest().asked = Instant::now();
        slot
    }

    /// Forgets what was used the longest time ago until the rest is small enough.
    fn shrink(&self) {
        let mut slots = self.slots();
        let mut sizes: Vec<_> = slots
            .iter()
            .map(|(&id, slot)| {
                let used = slot.used.load(Ordering::Relaxed);
                (used, id, slot.bytes.load(Ordering::Relaxed))
            })
            .collect();
        let mut total = sizes.iter().map(|&(_, _, bytes)| bytes).sum::<usize>();
        sizes.sort_unstable();
        for (_, id, bytes) in sizes {
            if total <= CACHE_BYTES {
                break;
            }
            slots.remove(&id);
            total -= bytes;
        }
    }

    /// Forgets those that nobody has asked for lately, and those of pages that are gone.
    pub(in crate::live) fn forget_idle(&self, is_page: impl Fn(PageId) -> bool) {
        self.slots().retain(|&id, slot| is_page(id) && slot.newest().asked.elapsed() < IDLE);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.slots().len()
    }
}

impl Live {
    /// A page's whole life, at least up to what is its newest revision now.
    ///
    /// # Errors
    /// [`LiveError::HistoryTooLong`] for more than about a million edits, [`LiveError::Busy`] when
    /// too many are being built, [`LiveError::NoPage`] and store errors.
    pub async fn timeline(&self, id: PageId) -> Result<Arc<Timeline>, LiveError> {
        let room = self.room(id).await?;
        let head = room.revision();
        let slot = self.inner.timelines.slot(id);
        if let Some(ready) = slot.ready(head)? {
            return Ok(ready);
        }
        let builds = Arc::clone(&self.inner.timelines.builds);
        let turn = async {
            let growing = Arc::clone(&slot.growing).lock_owned().await;
            (growing, builds.acquire_owned().await)
        };
        let Ok((mut growing, Ok(turn))) = tokio::time::timeout(WAIT, turn).await else {
            return Err(LiveError::Busy);
        };
        if let Some(ready) = slot.ready(head)? {
            return Ok(ready);
        }
        let live = self.clone();
        blocking(move || {
            let _turn = turn;
            // Taken out: what fails half-way is built anew.
            let mut now = mem::take(&mut *growing);
            if let Err(error) = grow(&mut now, room.store(), id, head) {
                slot.newest().is_too_long = matches!(error, LiveError::HistoryTooLong);
                return Err(error);
            }
            let timeline = Arc::new(now.timeline(id));
            slot.bytes.store(now.bytes() + timeline.bytes(), Ordering::Relaxed);
            slot.newest().timeline = Some(Arc::clone(&timeline));
            *growing = now;
            drop(growing);
            live.inner.timelines.shrink();
            Ok(timeline)
        })
        .await
    }
}

/// Takes in the log up to a revision, which it has.
fn grow(
    growing: &mut Growing,
    store: &Store,
    page: PageId,
    head: Revision,
) -> Result<(), LiveError> {
    while growing.head() < head {
        let expected = growing.head().next();
        let entries = store.read_log(page, growing.head(), STEP_BYTES)?;
        let found = entries.first().map(|(position, _)| *position);
        if found != Some(expected) {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
            return Err(StoreError::Damaged(format!(
                "the log of page {page} has {found} where {expected} should be"
            ))
            .into());
        }
        for (position, entry) in entries.into_iter().take_while(|(position, _)| *position <= head) {
            if !growing.add(&entry.author, entry.at_ms, &entry.update) {
                log::warn!("page {page}: update {position} has no part in the page's history");
            }
            growing.note(&entry.op);
        }
        if growing.bytes() > MAX_BYTES || growing.is_overworked() {
            log::warn!("the history of page {page} is too long for a timeline");
            return Err(LiveError::HistoryTooLong);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_the_longest_time_ago_makes_room_and_what_is_too_large_is_not_kept() {
        let timelines = Timelines::default();
        let keep = |id: u64, bytes: usize| {
            let slot = timelines.slot(PageId(id));
            slot.bytes.store(bytes, Ordering::Relaxed);
            timelines.shrink();
        };
        let kept = || {
            let mut kept: Vec<_> = timelines.slots().keys().map(|id| id.0).collect();
            kept.sort_unstable();
            kept
        };
        let third = CACHE_BYTES / 3;
        (1..=3).for_each(|id| keep(id, third));
        assert_eq!(kept(), [1, 2, 3]);
        timelines.slot(PageId(1));
        keep(4, third);
        assert_eq!(kept(), [1, 3, 4], "2 was used the longest time ago");
        keep(5, CACHE_BYTES + 1);
        assert_eq!(kept(), [] as [u64; 0]);
        keep(6, 1);
        assert_eq!(kept(), [6]);
    }
}
