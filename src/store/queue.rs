//! The way to the writer: bounded by bytes, closed for good when the writer stops.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// Most bytes that may wait. Who brings more waits before the queue.
const MAX_WAITING_KIB: u32 = 32 << 10;
/// Most bytes and items of one group.
const GROUP_BYTES: usize = 1 << 20;
const GROUP_ITEMS: usize = 4096;

/// Room in the queue; dropped when the item is answered.
pub(super) type Permit = OwnedSemaphorePermit;

struct State<T> {
    items: VecDeque<(usize, T)>,
    closed: bool,
}

/// How long the taker waits while nothing is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// So long.
    UpTo(Duration),
    /// Until something comes or the queue is closed.
    Endless,
}

/// Many senders, one taker.
pub(super) struct Queue<T> {
    /// Guards the waiting items and whether more are let in.
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Arc<Semaphore>,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            ready: Condvar::new(),
            room: Arc::new(Semaphore::new(MAX_WAITING_KIB as usize)),
        }
    }

    /// Waits until there is room for `bytes`.
    pub async fn admit(&self, bytes: usize) -> Result<Permit, StoreError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let kib = kib.clamp(1, MAX_WAITING_KIB);
        Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| StoreError::Stopped)
    }

    /// Hands an item over; gives it back when the queue is closed.
    pub fn push(&self, bytes: usize, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push_back((bytes, item));
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Everything that waits, up to the size of a group. Nothing when patience ends before
    /// something comes, or when the queue is closed.
    pub fn take(&self, patience: Patience) -> Vec<T> {
        let mut state = self.lock();
        let idle = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        state = match patience {
            Patience::None => state,
            Patience::UpTo(time) => {
                let waited = self.ready.wait_timeout_while(state, time, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            Patience::Endless => {
                self.ready.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner)
            }
        };
        let mut bytes = 0;
        let mut taken = Vec::new();
        while taken.len() < GROUP_ITEMS && bytes < GROUP_BYTES {
            let Some((size, item)) = state.items.pop_front() else { break };
            bytes += size;
            taken.push(item);
        }
        taken
    }

    /// Lets nobody in any more; what waits is given back.
    pub fn close(&self) -> Vec<T> {
        self.room.close();
        let mut state = self.lock();
        state.closed = true;
        self.ready.notify_all();
        state.items.drain(..).map(|(_, item)| item).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
