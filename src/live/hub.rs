//! The log of recent events: one sequence, a bounded ring per topic, and the
//! wake-ups of those who listen.
//!
//! A listener is a cursor and a wake-up, never a queue. It is woken, reads
//! what is after its cursor in one piece and sleeps again, so batching under
//! load comes by itself and a reader that lags costs nothing. What has left
//! the ring is answered with a reset, never with a part.

mod listeners;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use self::listeners::Listeners;
use self::turns::Calls;
pub use self::turns::{Errand, Listening};
use super::batch::Delivery;
use super::cursor::{Cursor, Epoch};
use super::topic::{Encoded, SEQ_BYTES, Topic};

/// Most events that a ring keeps, and so the most that one may be behind.
///
/// `PROTOCOL.md` started from 1,000; a busy page makes 250 a second, which
/// would have reset every client that polls each 5 s.
pub const RING_EVENTS: usize = 4_096;

/// Most bytes that a ring keeps.
pub const RING_BYTES: usize = 1024 * 1024;

/// Most bytes that all rings keep together. Beyond it the ring that has been quiet for longest
/// is emptied: whoever still needed it resynchronises.
pub const HUB_BYTES: usize = 64 * 1024 * 1024;

/// A delivery longer than this is made anew for each reader rather than kept.
const KEPT_BYTES: usize = 64 * 1024;

/// Deliveries that are kept at the same time, whoever asks for how many different ones.
const KEPT: usize = 64;

/// A topic that nobody published to or listened to for this long leaves memory.
const IDLE_TOPIC: Duration = Duration::from_secs(600);

/// What is after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The events in `(from, to]`, in order.
    Batch {
        /// Where the interval ends: the head, or the last event when `more`.
        to: u64,
        /// Encoded events, each with its position.
        events: Vec<(u64, Encoded)>,
        /// The size limit ended it early; read on from `to`.
        more: bool,
    },
    /// The cursor cannot be served: resynchronise, then go on from `head`.
    Reset {
        /// The newest position.
        head: u64,
    },
}

/// The event log of this process.
pub struct Hub {
    /// For the task that calls listeners.
    me: Weak<Self>,
    epoch: Epoch,
    inner: RwLock<Inner>,
    /// What was made for readers since the last event: most readers of a page ask for the same.
    kept: Mutex<Vec<Arc<Delivery>>>,
    draining: AtomicBool,
}

#[derive(Default)]
struct Inner {
    head: u64,
    topics: HashMap<Topic, Ring>,
    /// Highest event of any ring that has left memory: older cursors are unprovable.
    forgotten: u64,
    /// Of all rings.
    bytes: usize,
}

impl Inner {
    fn publish(&mut self, topic: Topic, events: impl IntoIterator<Item = Encoded>) {
        let forgotten = self.forgotten;
        let ring = self.topics.entry(topic).or_insert_with(|| Ring::new(forgotten));
        let before = ring.bytes;
        for event in events {
            self.head += 1;
            ring.push(self.head, event);
        }
        self.bytes = self.bytes + ring.bytes - before;
        while self.bytes > HUB_BYTES {
            let full = self.topics.iter_mut().filter(|(at, ring)| **at != topic && ring.bytes > 0);
            let Some((_, quiet)) = full.min_by_key(|(_, ring)| ring.last()) else { return };
            self.bytes -= quiet.clear();
        }
    }
}

struct Ring {
    events: VecDeque<(u64, Encoded)>,
    bytes: usize,
    /// Events up to here are no longer held.
    floor: u64,
    /// The newest one. Listeners look at it without a lock.
    last: Arc<AtomicU64>,
    touched: Instant,
    listeners: Listeners,
    calls: Arc<Calls>,
}

impl Ring {
    fn new(floor: u64) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            floor,
            last: Arc::new(AtomicU64::new(floor)),
            touched: Instant::now(),
            listeners: Listeners::default(),
            calls: Arc::default(),
        }
    }

    fn push(&mut self, seq: u64, event: Encoded) {
        self.bytes += event.len();
        self.last.store(seq, Ordering::SeqCst);
        self.touched = Instant::now();
        self.events.push_back((seq, event));
        while self.events.len() > RING_EVENTS || self.bytes > RING_BYTES {
            let Some((seq, event)) = self.events.pop_front() else { break };
            self.bytes -= event.len();
            self.floor = seq;
        }
    }

    fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// Lets go of everything held; returns how many bytes that was.
    fn clear(&mut self) -> usize {
        self.events = VecDeque::new();
        self.floor = self.last();
        std::mem::take(&mut self.bytes)
    }
}

impl Hub {
    /// An empty log with a new epoch.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            epoch: Epoch::draw(),
            inner: RwLock::default(),
            kept: Mutex::default(),
            draining: AtomicBool::new(false),
        })
    }

    /// The newest position.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.cursor(self.read_lock().head)
    }

    /// Of all positions of this process.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A position of this process.
    #[must_use]
    pub fn cursor(&self, seq: u64) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// Appends one event and wakes its listeners. Returns its position.
    pub fn publish(&self, topic: Topic, event: Encoded) -> u64 {
        self.publish_all(topic, [event])
    }

    /// Appends events of one topic, wakes its listeners once, returns the newest position.
    pub fn publish_all(&self, topic: Topic, events: impl IntoIterator<Item = Encoded>) -> u64 {
        let head = {
            let mut inner = self.write_lock();
            inner.publish(topic, events);
            inner.head
        };
        self.call(topic);
        head
    }

    /// Appends events of one topic without waking its listeners; [`Hub::call_in_turns`] is to
    /// follow.
    pub fn append(&self, topic: Topic, events: impl IntoIterator<Item = Encoded>) {
        self.write_lock().publish(topic, events);
    }

    /// Forgets what is held of some topics and makes everyone who follows them resynchronise.
    pub fn break_off(&self, topics: &[Topic]) {
        let mut inner = self.write_lock();
        inner.head += 1;
        let (head, forgotten) = (inner.head, inner.forgotten);
        let mut freed = 0;
        for topic in topics {
            let ring = inner.topics.entry(*topic).or_insert_with(|| Ring::new(forgotten));
            freed += ring.clear();
            ring.floor = head;
            ring.last.store(head, Ordering::SeqCst);
        }
        inner.bytes -= freed;
        drop(inner);
        let inner = self.read_lock();
        for ring in topics.iter().filter_map(|topic| inner.topics.get(topic)) {
            ring.listeners.wake();
        }
    }

    /// What is after `cursor` in these topics, at most about `limit` bytes (at least one event).
    #[must_use]
    pub fn read(&self, topics: &[Topic], cursor: Cursor, limit: usize) -> Read {
        let inner = self.read_lock();
        let head = inner.head;
        if cursor.epoch != self.epoch || cursor.seq > head {
            return Read::Reset { head };
        }
        let after = cursor.seq;
        let mut found: Vec<(u64, &Encoded)> = Vec::new();
        for topic in topics {
            let Some(ring) = inner.topics.get(topic) else {
                if after < inner.forgotten {
                    return Read::Reset { head };
                }
                continue;
            };
            if ring.last() <= after {
                continue;
            }
            if after < ring.floor {
                return Read::Reset { head };
            }
            let start = ring.events.partition_point(|(seq, _)| *seq <= after);
            found.extend(ring.events.range(start..).map(|(seq, event)| (*seq, event)));
        }
        if topics.len() > 1 {
            found.sort_unstable_by_key(|(seq, _)| *seq);
        }
        let mut events = Vec::with_capacity(found.len());
        let mut bytes = 0;
        let mut last = after;
        for (seq, event) in found {
            let size = event.len() + SEQ_BYTES;
            if bytes + size > limit && !events.is_empty() {
                return Read::Batch { to: last, events, more: true };
            }
            bytes += size;
            last = seq;
            events.push((seq, Arc::clone(event)));
        }
        Read::Batch { to: head, events, more: false }
    }

    /// The delivery after a cursor. Readers of the same topics who were equally far get the same
    /// bytes, made once.
    #[must_use]
    pub fn delivery(&self, topics: &[Topic], from: Cursor) -> Arc<Delivery> {
        let head = self.read_lock().head;
        let kept = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |kept: &&Arc<Delivery>| {
                kept.to.seq == head && kept.from == from && kept.topics == topics
            };
            kept.iter().find(fits).cloned()
        };
        kept.unwrap_or_else(|| {
            let delivery = Arc::new(Delivery::read(self, topics, from));
            if delivery.len() <= KEPT_BYTES {
                self.keep(&delivery);
            }
            delivery
        })
    }

    fn keep(&self, delivery: &Arc<Delivery>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What ends before the newest event is never asked for again.
        kept.retain(|other| other.to.seq >= delivery.to.seq);
        if kept.len() < KEPT {
            kept.push(Arc::clone(delivery));
        }
    }

    /// Starts to listen. The listener is told of everything from now on.
    #[must_use]
    pub fn listen(self: &Arc<Self>, topics: Vec<Topic>) -> Listener {
        let listening = Arc::new(Listening::default());
        let mut inner = self.write_lock();
        let forgotten = inner.forgotten;
        let mut newest = Vec::with_capacity(topics.len());
        for topic in &topics {
            let ring = inner.topics.entry(*topic).or_insert_with(|| Ring::new(forgotten));
            ring.listeners.join(&listening);
            newest.push(Arc::clone(&ring.last));
        }
        drop(inner);
        Listener { hub: Arc::clone(self), topics, newest, listening }
    }

    /// How many listen to a topic.
    #[must_use]
    pub fn listeners(&self, topic: Topic) -> usize {
        self.read_lock().topics.get(&topic).map_or(0, |ring| ring.listeners.len())
    }

    /// Tells every listener that the process is about to end. For good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for ring in self.read_lock().topics.values() {
            ring.listeners.wake();
        }
    }

    /// Whether [`Hub::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Forgets rings that nobody has used for a while. Called now and then.
    pub fn forget_idle(&self) {
        let mut inner = self.write_lock();
        let (mut forgotten, mut freed) = (inner.forgotten, 0);
        inner.topics.retain(|_, ring| {
            let keep = !ring.listeners.is_empty() || ring.touched.elapsed() < IDLE_TOPIC;
            if !keep {
                forgotten = forgotten.max(ring.last());
                freed += ring.bytes;
            }
            keep
        });
        inner.forgotten = forgotten;
        inner.bytes -= freed;
    }

    // A panic while the lock is held can only come from running out of memory; the numbers
    // themselves are never left half-changed, so going on is right.
    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A registration with the hub; leaving is dropping it.
pub struct Listener {
    hub: Arc<Hub>,
    topics: Vec<Topic>,
    /// The last event of each. A ring that is listened to is never forgotten.
    newest: Vec<Arc<AtomicU64>>,
    listening: Arc<Listening>,
}

impl Listener {
    /// Topics listened to.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Has this done where many listeners are called one after the other, instead of waking a task
    /// for each. See [`turns`].
    pub fn set_errand(&self, errand: Errand) {
        self.listening.set_errand(errand);
    }

    /// The log listened to.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Has the task woken by whatever happens next, the end of the process too.
    pub fn register(&self, cx: &Context<'_>) {
        self.listening.register(cx.waker());
    }

    /// Ready when something is after `cursor`, when the cursor cannot be served (a reset is due
    /// then, and nothing would ever come after it), or when the process drains.
    ///
    /// The wake-up is registered before the last look, so nothing falls between.
    pub fn poll_after(&self, cursor: Cursor, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_news(cursor) {
            // Whoever is called has news as a rule, and to register costs as much as to look.
            return Poll::Ready(());
        }
        self.listening.register(cx.waker());
        if self.has_news(cursor) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// After an errand that told everything up to `cursor`, a position of this process: listens
    /// again with the waker it had, and says whether something happened meanwhile.
    pub fn is_behind_again(&self, cursor: Cursor) -> bool {
        self.listening.wait_again();
        self.is_behind(cursor) || self.hub.is_draining()
    }

    /// Whether something was published after a position of this process.
    #[must_use]
    pub fn is_behind(&self, cursor: Cursor) -> bool {
        self.newest.iter().any(|last| last.load(Ordering::SeqCst) > cursor.seq)
    }

    fn has_news(&self, cursor: Cursor) -> bool {
        cursor.epoch != self.hub.epoch
            || self.is_behind(cursor)
            || self.hub.is_draining()
            || cursor.seq > self.hub.read_lock().head
    }

    /// Waits until [`Listener::poll_after`] is ready.
    pub async fn after(&self, cursor: Cursor) {
        std::future::poll_fn(|cx| self.poll_after(cursor, cx)).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.hub.write_lock();
        self.listening.leave();
        for topic in &self.topics {
            if let Some(ring) = inner.topics.get_mut(topic) {
                ring.listeners.leave();
            }
        }
    }
}
