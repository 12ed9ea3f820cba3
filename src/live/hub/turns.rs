//! Calling listeners, a few at a time.
//!
//! A page may have thousands of readers, and writing to one costs some microseconds. Were they all
//! woken at once, whatever else the process has to do would stand behind them in the queue: the
//! next keystroke, another page, a request that just came. So one task for each topic calls them
//! in the order in which they came and steps back after every few. Events that are published
//! meanwhile are a reason to go round once more, and whoever comes late in the round gets
//! several in one delivery.
//!
//! To wake a task, to queue it and to switch to it costs nearly as much as what it then does. So
//! a listener may leave an [`Errand`], which the calling task runs there and then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use futures::task::AtomicWaker;

use super::Hub;
use crate::live::topic::Topic;

/// Listeners called before others get their turn: about a tenth of a millisecond. Each pause costs
/// the runtime a look at all sockets, and often the waking of another thread.
const AT_ONCE: usize = 32;

/// Does what the waiting task would do once woken; false when that one is at work, so that it has
/// to be woken to look again. It is run by another task, which holds no locks.
pub type Errand = Weak<dyn Fn() -> bool + Send + Sync>;

/// One who listens.
#[derive(Default)]
pub struct Listening {
    waker: AtomicWaker,
    /// It has looked since it was last called.
    waits: AtomicBool,
    errand: OnceLock<Errand>,
    left: AtomicBool,
}

impl Listening {
    /// Who waits. What was published before may not be told of: look after this.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        self.waits.store(true, Ordering::SeqCst);
    }

    /// Waits again as before. The waker is still there; if another caller took it meanwhile, the
    /// task is on its way and registers anew.
    pub(super) fn wait_again(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    pub(super) fn set_errand(&self, errand: Errand) {
        let _ = self.errand.set(errand);
    }

    /// It listens no more: lets go of the task that waited.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        drop(self.waker.take());
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Wakes the task that waits, if one does.
    pub(super) fn wake(&self) {
        if self.waits.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Has the errand run, if there is one, or else wakes the task.
    fn call(&self) {
        if !self.waits.swap(false, Ordering::SeqCst) {
            return;
        }
        let errand = self.errand.get().and_then(Weak::upgrade);
        // A panic is its task's own, as it would be without this; so is one of what it lets go of.
        let ran = errand.is_some_and(|errand| {
            catch_unwind(AssertUnwindSafe(move || errand())).unwrap_or(false)
        });
        if !ran {
            self.waker.wake();
        }
    }
}

/// Whether somebody calls the listeners of a topic.
#[derive(Default)]
pub(super) struct Calls(AtomicU8);

/// Nobody does.
const QUIET: u8 = 0;
/// A round is under way.
const CALLING: u8 = 1;
/// Something was published since the round began.
const AGAIN: u8 = 2;

impl Hub {
    /// Wakes the listeners of a topic: few at once, many in turns, by a task for that.
    pub(super) fn call(&self, topic: Topic) {
        let inner = self.read_lock();
        let Some(ring) = inner.topics.get(&topic) else { return };
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), Some(hub), true) =
            (runtime, self.me.upgrade(), ring.listeners.len() > AT_ONCE)
        else {
            // Only wakes: whoever publishes may hold locks that an errand needs.
            ring.listeners.wake();
            return;
        };
        if ring.calls.0.swap(AGAIN, Ordering::SeqCst) != QUIET {
            return;
        }
        let calls = Arc::clone(&ring.calls);
        drop(inner);
        runtime.spawn(async move {
            loop {
                // In this order: what is published before the list is taken needs no other round.
                calls.0.store(CALLING, Ordering::SeqCst);
                hub.call_in_turns(topic).await;
                let ended =
                    calls.0.compare_exchange(CALLING, QUIET, Ordering::SeqCst, Ordering::SeqCst);
                if ended.is_ok() {
                    return;
                }
            }
        });
    }

    /// Calls the listeners of a topic a few at a time, so that whoever else has something to do
    /// comes in between: a hundred readers of a rendering must not hold up the next keystroke.
    /// Not to be called with locks held.
    pub async fn call_in_turns(&self, topic: Topic) {
        let places = self.read_lock().topics.get(&topic).map(|ring| ring.listeners.places());
        for some in places.unwrap_or_default().chunks(AT_ONCE) {
            some.iter().for_each(|listener| listener.call());
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use super::*;
    use crate::live::topic::encode;

    #[tokio::test]
    async fn many_listeners_hear_of_everything_and_others_come_in_between() {
        const LISTENERS: usize = 40 * AT_ONCE;
        let hub = Hub::new();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..LISTENERS {
            let (listener, heard) = (hub.listen(vec![Topic::Site]), Arc::clone(&heard));
            let mut cursor = hub.head();
            tasks.push(tokio::spawn(async move {
                while cursor.seq < 2 {
                    poll_fn(|cx| listener.poll_after(cursor, cx)).await;
                    cursor = listener.hub().head();
                    heard.lock().expect("lock").push(n);
                }
            }));
        }
        tokio::task::yield_now().await;
        hub.publish(Topic::Site, encode(Topic::Site, "created", &1));
        let (mut most, mut before, mut again) = (0, 0, false);
        while before < LISTENERS {
            tokio::task::yield_now().await;
            let now = heard.lock().expect("lock").len();
            most = most.max(now - before);
            before = now;
            if now > LISTENERS / 2 && !again {
                again = true;
                hub.publish(Topic::Site, encode(Topic::Site, "created", &2));
            }
        }
        assert!(most <= 6 * AT_ONCE, "{most} before anybody else had a turn");
        for task in tasks {
            task.await.expect("heard of both");
        }
        let heard = heard.lock().expect("lock");
        assert!(heard.len() < 2 * LISTENERS, "the late ones hear of both at once");
        assert!(heard[..LISTENERS / 2].is_sorted(), "in the order in which they came");
    }

    #[tokio::test]
    async fn an_errand_is_run_instead_of_waking_and_its_panic_is_its_own() {
        use std::sync::atomic::AtomicUsize;
        let hub = Hub::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut listeners = Vec::new();
        for n in 0..=AT_ONCE {
            let listener = hub.listen(vec![Topic::Site]);
            let runs = Arc::clone(&runs);
            let errand: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || {
                runs.fetch_add(1, Ordering::SeqCst);
                assert!(n != 3, "as a bug would");
                true
            });
            listener.set_errand(Arc::downgrade(&errand));
            let start = hub.head();
            let waiting = poll_fn(|cx| std::task::Poll::Ready(listener.poll_after(start, cx)));
            assert!(waiting.await.is_pending());
            listeners.push((listener, errand));
        }
        hub.publish(Topic::Site, encode(Topic::Site, "created", &1));
        // Nobody waits any more, so a second round runs nothing.
        hub.publish(Topic::Site, encode(Topic::Site, "created", &2));
        while runs.load(Ordering::SeqCst) <= AT_ONCE {
            tokio::task::yield_now().await;
        }
        hub.call_in_turns(Topic::Site).await;
        assert_eq!(runs.load(Ordering::SeqCst), AT_ONCE + 1);
    }
}
