//! The connections that bring tabs their events, and what their ends say about the tabs.
//!
//! A connection that ends in order says nothing: its client knows and comes back. One that just
//! ends was cut by the network, or its tab was closed, or the whole browser; nothing on the wire
//! tells these apart. A client whose stream was cut opens another one within half a second, so a
//! tab that shows no sign of life for [`GRACE`] has left. Where that would be rash (a network that
//! cuts streams again and again, a proxy that ends all of them at once, a client that is just
//! changing to another rung) the tab is shown as away after [`AWAY_AFTER`] instead, and its lease
//! decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::{Inner, MAX_ENTRIES, Presence, Rung, Seat, seat_of};

/// Silence after which a tab whose connection just ended has left. Clients come back in 0 to 0.5 s
/// after their first fault, and a tab that was closed shall be gone within a second.
pub(super) const GRACE: Duration = Duration::from_millis(700);

/// Where that is too rash: silence after which a tab is away.
pub(super) const AWAY_AFTER: Duration = Duration::from_secs(10);

/// A connection that ends a second time within this time is cut by the network.
pub(super) const FAULT_MEMORY: Duration = Duration::from_secs(120);

/// A client that has polled or held a request this shortly before its stream ended is changing
/// its rung; the two arrive on different connections, in any order.
const CHANGING: Duration = Duration::from_secs(1);

/// So many connections that end within [`CROWD_WINDOW`] are the doing of a network or a proxy.
pub(super) const CROWD: u32 = 100;
const CROWD_WINDOW: Duration = Duration::from_secs(1);

/// Streams of one tab: the old and its successor (make before break).
const STREAMS_PER_CLIENT: usize = 2;

/// How often old faults are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// What is known of one client's connections.
#[derive(Default)]
struct Carrier {
    streams: Vec<Arc<StreamMark>>,
    holds: usize,
    /// Tabs whose events come this way: one, or all of a browser.
    tabs: BTreeSet<String>,
    /// When it last polled or held a request.
    heard: Option<Instant>,
    /// When its last connection ended as a fault.
    fault: Option<Instant>,
}

impl Carrier {
    fn is_open(&self) -> bool {
        self.holds > 0 || !self.streams.is_empty()
    }

    fn is_idle(&self) -> bool {
        !self.is_open() && self.tabs.is_empty()
    }
}

/// All clients that have connections or carry tabs, by login and then by tab id: nobody can end
/// or speak for what belongs to another login.
#[derive(Default)]
pub(super) struct Carriers {
    all: HashMap<String, BTreeMap<String, Carrier>>,
    /// How many of them there are.
    count: usize,
    /// Faults since an instant.
    crowd: Option<(Instant, u32)>,
    tidied: Option<Instant>,
}

impl Carriers {
    fn get(&mut self, login: &str, client: &str) -> Option<&mut Carrier> {
        self.all.get_mut(login)?.get_mut(client)
    }

    fn make(&mut self, login: &str, client: &str) -> &mut Carrier {
        let all = self.all.entry(login.to_owned()).or_default();
        if !all.contains_key(client) {
            self.count += 1;
        }
        all.entry(client.to_owned()).or_default()
    }

    /// A tab's events come by this client.
    pub fn carry(&mut self, login: &str, client: &str, tab: &str) {
        self.make(login, client).tabs.insert(tab.to_owned());
    }

    /// A tab's events do not come by this client any more.
    pub fn drop_tab(&mut self, login: &str, client: &str, tab: &str) {
        if let Some(carrier) = self.get(login, client) {
            carrier.tabs.remove(tab);
            self.forget_if_idle(login, client);
        }
    }

    /// A client polls or holds a request.
    pub fn hear(&mut self, login: &str, client: &str, now: Instant) {
        if let Some(carrier) = self.get(login, client) {
            carrier.heard = Some(now);
        }
    }

    /// The tabs that a client carries.
    pub fn tabs(&self, login: &str, client: &str) -> impl Iterator<Item = &String> {
        let carrier = self.all.get(login).and_then(|all| all.get(client));
        carrier.into_iter().flat_map(|carrier| &carrier.tabs)
    }

    /// Faults are remembered for a while, or a network that cuts again and again would be new
    /// each time; but not without limit.
    fn forget_if_idle(&mut self, login: &str, client: &str) {
        let many = self.count > MAX_ENTRIES;
        let Some(all) = self.all.get_mut(login) else { return };
        if all.get(client).is_some_and(|c| c.is_idle() && (c.fault.is_none() || many)) {
            all.remove(client);
            self.count -= 1;
            if all.is_empty() {
                self.all.remove(login);
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        let count = self.all.values().map(BTreeMap::len).sum();
        assert_eq!(self.count, count);
        count
    }

    /// Forgets faults of those who have not come back.
    pub fn forget_old(&mut self, now: Instant) {
        if self.tidied.is_some_and(|at| now - at < FORGET_EVERY) {
            return;
        }
        self.tidied = Some(now);
        self.all.retain(|_, all| {
            all.retain(|_, carrier| {
                if carrier.fault.is_some_and(|at| now - at >= FAULT_MEMORY) {
                    carrier.fault = None;
                }
                !carrier.is_idle() || carrier.fault.is_some()
            });
            !all.is_empty()
        });
        self.count = self.all.values().map(BTreeMap::len).sum();
    }

    /// Counts a fault; whether there are too many at once to be closed tabs.
    fn is_crowd(&mut self, now: Instant) -> bool {
        match &mut self.crowd {
            Some((since, count)) if now - *since < CROWD_WINDOW => {
                *count += 1;
                *count > CROWD
            }
            // One crowd may last longer than the window.
            crowd => {
                let before = crowd
                    .is_some_and(|(since, count)| count > CROWD && now - since < 2 * CROWD_WINDOW);
                *crowd = Some((now, if before { CROWD + 1 } else { 1 }));
                before
            }
        }
    }
}

/// A connection that has ended.
enum Ended<'a> {
    Stream(&'a Arc<StreamMark>),
    Hold { began: Instant },
}

impl Ended<'_> {
    /// Whether a tab lived by it. A trial beside a lower rung may end as it likes.
    fn concerns(&self, seat: &Seat) -> bool {
        match self {
            Self::Stream(_) => seat.rung == Rung::Stream,
            Self::Hold { .. } => seat.rung != Rung::Poll,
        }
    }
}

impl Presence {
    /// Notes an open stream of a client. With too many of one client the oldest is told to end.
    #[must_use]
    pub fn stream_opened(self: &Arc<Self>, client: &str, login: &str) -> StreamLease {
        let mark = Arc::new(StreamMark::default());
        let mut inner = self.lock();
        let streams = &mut inner.carriers.make(login, client).streams;
        streams.push(Arc::clone(&mark));
        if streams.len() > STREAMS_PER_CLIENT {
            streams.remove(0).supersede();
        }
        self.revive_carried(&mut inner, login, client, Instant::now());
        drop(inner);
        StreamLease { open: Open::new(self, client, login), mark }
    }

    /// Notes a held request of a client.
    #[must_use]
    pub fn hold_opened(self: &Arc<Self>, client: &str, login: &str) -> HoldLease {
        self.lock().carriers.make(login, client).holds += 1;
        HoldLease { open: Open::new(self, client, login), began: Instant::now() }
    }

    fn ended(self: &Arc<Self>, open: &Open, ended: &Ended<'_>) {
        let (login, client) = (open.login.as_str(), open.client.as_str());
        let now = Instant::now();
        let mut inner = self.lock();
        let Some(carrier) = inner.carriers.get(login, client) else { return };
        match ended {
            Ended::Stream(mark) => carrier.streams.retain(|other| !Arc::ptr_eq(mark, other)),
            Ended::Hold { .. } => carrier.holds = carrier.holds.saturating_sub(1),
        }
        if open.in_order || carrier.is_open() || carrier.tabs.is_empty() {
            inner.carriers.forget_if_idle(login, client);
            return;
        }
        let again = carrier.fault.is_some_and(|at| now - at < FAULT_MEMORY);
        let changing = carrier.heard.is_some_and(|at| match ended {
            Ended::Stream(_) => now - at < CHANGING,
            Ended::Hold { began } => at > *began,
        });
        carrier.fault = Some(now);
        // Only those who would leave count: one client that breaks off over and over is no crowd.
        let rash = again || changing || inner.carriers.is_crowd(now);
        let Inner { pages, clients, carriers, .. } = &mut *inner;
        for tab in carriers.tabs(login, client) {
            match seat_of(pages, clients, tab, login) {
                Some((_, seat)) if !ended.concerns(seat) => {}
                Some((_, seat)) if rash => seat.away_at = Some(now + AWAY_AFTER),
                Some((_, seat)) => seat.leave_at = Some(now + GRACE),
                None => {}
            }
        }
        drop(inner);
        // Sharper than the sweep, which sees to it when there is no runtime to do so.
        if !rash && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (presence, login, client) =
                (Arc::downgrade(self), login.to_owned(), client.to_owned());
            runtime.spawn(async move {
                tokio::time::sleep_until(now + GRACE).await;
                if let Some(presence) = presence.upgrade() {
                    presence.leave_carried(&login, &client);
                }
            });
        }
    }

    /// Tells of the tabs of a client whose time to come back is over.
    fn leave_carried(&self, login: &str, client: &str) {
        let now = Instant::now();
        let mut inner = self.lock();
        let Inner { pages, clients, carriers, .. } = &mut *inner;
        for tab in carriers.tabs(login, client) {
            if let Some((page, seat)) = seat_of(pages, clients, tab, login) {
                self.leave_if_due(page, seat, now);
            }
        }
    }
}

#[derive(Default)]
struct StreamMark {
    superseded: AtomicBool,
    waker: AtomicWaker,
}

impl StreamMark {
    fn supersede(&self) {
        self.superseded.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

/// Whose connection it is, and how it ended.
struct Open {
    presence: Arc<Presence>,
    client: String,
    login: String,
    in_order: bool,
}

impl Open {
    fn new(presence: &Arc<Presence>, client: &str, login: &str) -> Self {
        Self {
            presence: Arc::clone(presence),
            client: client.to_owned(),
            login: login.to_owned(),
            in_order: false,
        }
    }
}

/// One open stream of a client. Dropping it without [`StreamLease::ended_in_order`] is a fault.
pub struct StreamLease {
    open: Open,
    mark: Arc<StreamMark>,
}

impl StreamLease {
    /// Ready once newer streams of the same client have taken over.
    pub fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.mark.waker.register(cx.waker());
        if self.is_superseded() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether newer streams of the same client have taken over.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.mark.superseded.load(Ordering::SeqCst)
    }

    /// The stream said `bye`: its client knows and comes back.
    pub fn ended_in_order(&mut self) {
        self.open.in_order = true;
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        let presence = Arc::clone(&self.open.presence);
        presence.ended(&self.open, &Ended::Stream(&self.mark));
    }
}

/// One held request of a client. Dropping it without [`HoldLease::answered`] is a fault.
pub struct HoldLease {
    open: Open,
    began: Instant,
}

impl HoldLease {
    /// The request is answered.
    pub fn answered(mut self) {
        self.open.in_order = true;
    }
}

impl Drop for HoldLease {
    fn drop(&mut self) {
        let presence = Arc::clone(&self.open.presence);
        presence.ended(&self.open, &Ended::Hold { began: self.began });
    }
}
