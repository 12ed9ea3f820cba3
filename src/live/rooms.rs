//! Which pages are open: opened once, kept while somebody uses them, closed in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::labs::Labs;
use super::room::Room;
use super::topic::Topic;
use super::{Live, LiveError, blocking};
use crate::page::PageId;

/// How often presence leases are looked at.
const SWEEP: Duration = Duration::from_millis(250);

/// How often idle rooms and rings are looked for.
const TIDY: Duration = Duration::from_secs(30);

/// How often those who do not come any more are forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// A cell per page, so that two first visitors do not get two documents.
pub(super) type OpenRooms = HashMap<PageId, Arc<OnceCell<Arc<Room>>>>;

/// The open pages.
pub(super) type Rooms = Mutex<OpenRooms>;

impl Live {
    /// Waits for what was handed in, keeps snapshots and closes the store.
    pub async fn close(&self) {
        /// The store answers within milliseconds, or its disk hangs and waiting does not help.
        const PATIENCE: Duration = Duration::from_secs(1);
        /// For the snapshots of all open pages together; the process must end within 5 s.
        const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(1);
        self.drain();
        let rooms = self.open_rooms();
        let quiet = async {
            while !rooms.iter().all(|room| room.is_quiet()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, quiet).await.is_err() {
            log::warn!("edits were still waiting to be written; they were not acknowledged");
        }
        let keep = async {
            for room in &rooms {
                if let Err(error) = room.keep_snapshot(1).await {
                    log::warn!("no snapshot: {error}");
                }
            }
        };
        // They are only a shortcut for the next start: the log has everything.
        if tokio::time::timeout(SNAPSHOT_PATIENCE, keep).await.is_err() {
            log::warn!("not every open page got a snapshot");
        }
        rooms.iter().for_each(|room| room.stop());
        drop(rooms);
        if tokio::time::timeout(PATIENCE, self.end_visits()).await.is_err() {
            log::warn!("not everything that was seen could be noted");
        }
        self.end_labs().await;
        let store = self.inner.shared.store.clone();
        match tokio::task::spawn_blocking(move || store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("the store did not close in order: {error}"),
            Err(error) => log::error!("the store did not close in order: {error}"),
        }
    }

    /// The room of a page, opened once however many ask at the same time.
    pub(super) async fn room(&self, id: PageId) -> Result<Arc<Room>, LiveError> {
        for _ in 0..2 {
            self.pages().get(id).ok_or(LiveError::NoPage)?;
            // A laboratory that has just ended must not be opened in the wiki's own store.
            let shared = match self.inner.labs.shared(id) {
                Some(shared) => shared,
                None if Labs::is_lab(id) => return Err(LiveError::NoPage),
                None => Arc::clone(&self.inner.shared),
            };
            let cell = Arc::clone(self.rooms().entry(id).or_default());
            let mut opened = false;
            let room = cell
                .get_or_try_init(|| {
                    opened = true;
                    blocking(move || Room::open(&shared, id))
                })
                .await?;
            if opened {
                room.catch_up();
                let known = self.rooms().get(&id).is_some_and(|known| Arc::ptr_eq(known, &cell));
                if Labs::is_lab(id) && !known {
                    // It ended while its room was being opened: nobody else can stop that.
                    room.stop();
                    return Err(LiveError::NoPage);
                }
            }
            if !room.is_over() || self.hub().is_draining() {
                return Ok(Arc::clone(room));
            }
            self.give_up(id, &cell, room);
        }
        Err(LiveError::Busy)
    }

    /// Forgets a room that has failed, so that the next call opens the page anew from the log.
    fn give_up(&self, id: PageId, cell: &Arc<OnceCell<Arc<Room>>>, room: &Room) {
        room.stop();
        let mut rooms = self.rooms();
        if rooms.get(&id).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            rooms.remove(&id);
            log::error!("page {id} had failed and is opened anew");
            // Nobody can tell how far its readers had got.
            self.hub().break_off(&[Topic::View(id), Topic::Doc(id)]);
        }
    }

    pub(super) fn rooms(&self) -> MutexGuard<'_, OpenRooms> {
        self.inner.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_room(&self, id: PageId) -> Option<Arc<Room>> {
        self.rooms().get(&id).and_then(|cell| cell.get().cloned())
    }

    pub(super) fn open_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms().values().filter_map(|cell| cell.get().cloned()).collect()
    }

    /// Lets idle rooms leave memory, keeping their state as a snapshot first.
    pub(super) async fn tidy(&self) {
        self.tidy_labs().await;
        for room in self.open_rooms() {
            if room.is_quiet()
                && let Err(error) = room.keep_snapshot(100).await
            {
                log::warn!("no snapshot: {error}");
            }
            if room.is_deserted()
                && self.inner.presence.count(room.id) == 0
                && let Err(error) = self.close_deserted(&room).await
            {
                log::warn!("page {}: a revision could not be closed: {error}", room.id);
            }
        }
        self.rooms().retain(|id, cell| !self.leaves(*id, cell));
        self.inner.timelines.forget_idle(|id| self.pages().get(id).is_some());
        self.hub().forget_idle();
        self.rates().forget_idle();
    }

    /// Lets the room of one page leave memory now if it is idle, as [`Self::tidy`] would later.
    pub(super) async fn let_go(&self, id: PageId) {
        if let Some(room) = self.open_room(id)
            && room.is_quiet()
            && let Err(error) = room.keep_snapshot(100).await
        {
            log::warn!("no snapshot: {error}");
        }
        let mut rooms = self.rooms();
        if rooms.get(&id).is_some_and(|cell| self.leaves(id, cell)) {
            rooms.remove(&id);
        }
    }

    /// Ends a room that is idle; whether it was. Called with the map locked.
    fn leaves(&self, id: PageId, cell: &Arc<OnceCell<Arc<Room>>>) -> bool {
        // Somebody who waits for the room to open holds the cell, not yet the room. Who polls
        // does not listen, but is there.
        let free = Arc::strong_count(cell) == 1
            && cell.get().is_none_or(Room::is_idle)
            && self.inner.presence.count(id) == 0;
        if free && let Some(room) = cell.get() {
            room.stop();
        }
        free
    }

    pub(super) fn start_sweeping(&self) {
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let mut timer = tokio::time::interval(SWEEP);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                inner.presence.sweep();
            }
        });
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(super::history::QUIET).await;
            loop {
                let Some(inner) = weak.upgrade() else { return };
                (Live { inner }).close_leftovers().await;
                tokio::time::sleep(super::history::LEFTOVERS).await;
            }
        });
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let look = super::history::LOOK;
            let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + look, look);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                Live { inner }.close_revisions(Instant::now()).await;
            }
        });
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let look = super::visits::LOOK;
            let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + look, look);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut forgot: Option<tokio::time::Instant> = None;
            loop {
                timer.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                let live = Live { inner };
                live.look_at_visits().await;
                if forgot.is_none_or(|at| at.elapsed() >= FORGET) {
                    forgot = Some(tokio::time::Instant::now());
                    if let Err(error) = live.forget_visitors().await {
                        log::warn!("old visits could not be forgotten: {error}");
                    }
                }
            }
        });
        // Apart, since it waits for snapshots to be written, and leases do not.
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let Some(inner) = weak.upgrade() else { return };
                Live { inner }.tidy().await;
            }
        });
    }
}
