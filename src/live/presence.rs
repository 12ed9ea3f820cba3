//! Who is on a page: leases renewed by beats, and what they look at.
//!
//! Name, colour and rung come from the server, the mode and the caret from the
//! browser. A lease is needed beside the open stream, since a dead connection
//! is noticed late. Somebody who comes shows at once; changes of one person
//! are merged to at most four a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Author;
use super::hub::Hub;
use super::topic::{Topic, encode};
use crate::page::PageId;

/// Most bytes of a caret. Two relative positions take about 150.
pub const MAX_CARET_BYTES: usize = 2048;

/// Most entries of one login, and in all: presence is memory that anyone can ask for.
const MAX_PER_LOGIN: usize = 64;
const MAX_ENTRIES: usize = 50_000;

/// Pause between two changes of one person that are told to others.
const CHANGE_PAUSE: Duration = Duration::from_millis(250);

/// A stream that ended as a fault turns its person to away after this.
const AWAY_AFTER: Duration = Duration::from_secs(10);

/// Streams of one tab: the old and its successor (make before break).
const STREAMS_PER_CLIENT: usize = 2;

/// What a person is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Has the page open.
    Reading,
    /// Has the editor open.
    Writing,
    /// The tab is hidden, or its stream broke.
    Away,
}

/// How a tab gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// One long response.
    Stream,
    /// Held requests.
    Hold,
    /// Periodic requests.
    Poll,
}

/// One tab of one person on one page, as others see it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Tab id.
    pub client: String,
    /// Name of the person.
    pub name: String,
    /// Index into the palette, 0 to 11.
    pub colour: u8,
    /// Not signed in.
    pub guest: bool,
    /// What the person is doing.
    pub mode: Mode,
    /// How the tab gets its events.
    pub rung: Rung,
    /// Caret and selection as Yjs relative positions; opaque here.
    pub caret: Option<Box<RawValue>>,
}

/// What a browser says about itself.
#[derive(Debug)]
pub struct Beat {
    /// Tab id, bound to the first login that used it.
    pub client: String,
    /// Where the tab is.
    pub page: PageId,
    /// What its person does.
    pub mode: Mode,
    /// How it gets its events.
    pub rung: Rung,
    /// Its pause between polls, for the length of the lease.
    pub interval: Duration,
    /// Caret, at most [`MAX_CARET_BYTES`].
    pub caret: Option<Box<RawValue>>,
}

/// Why a beat is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// The tab id was first used by another login.
    #[error("This tab id belongs to somebody else.")]
    NotYours,
    /// The caret is too large.
    #[error("A caret has at most {MAX_CARET_BYTES} bytes.")]
    CaretTooLarge,
    /// Too many tabs.
    #[error("Too many tabs are open.")]
    TooMany,
}

struct Seat {
    entry: Entry,
    login: String,
    interval: Duration,
    expires: Instant,
    told: Instant,
    changed: bool,
    away_at: Option<Instant>,
}

#[derive(Default)]
struct Inner {
    pages: HashMap<PageId, BTreeMap<String, Seat>>,
    /// Page and login of each tab id.
    clients: HashMap<String, (PageId, String)>,
    streams: HashMap<String, Vec<Arc<StreamMark>>>,
}

/// The people of all pages.
pub struct Presence {
    hub: Arc<Hub>,
    inner: Mutex<Inner>,
}

impl Presence {
    /// Nobody yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { hub, inner: Mutex::default() })
    }

    /// Renews a lease and takes over what changed. Returns whether the tab is new here.
    ///
    /// # Errors
    /// [`BeatError`]; nothing has changed.
    pub fn beat(&self, who: &Author, beat: Beat) -> Result<bool, BeatError> {
        if beat.caret.as_ref().is_some_and(|caret| caret.get().len() > MAX_CARET_BYTES) {
            return Err(BeatError::CaretTooLarge);
        }
        let now = Instant::now();
        let mut inner = self.lock();
        match inner.clients.get(&beat.client) {
            Some((_, login)) if *login != who.id => return Err(BeatError::NotYours),
            Some((page, _)) if *page != beat.page => self.remove(&mut inner, &beat.client),
            Some(_) => {}
            None => {
                let tabs = inner.clients.values().filter(|(_, login)| *login == who.id).count();
                if tabs >= MAX_PER_LOGIN || inner.clients.len() >= MAX_ENTRIES {
                    return Err(BeatError::TooMany);
                }
            }
        }
        let expires = now + lease(beat.rung, beat.interval, beat.mode);
        let seats = inner.pages.entry(beat.page).or_default();
        if let Some(seat) = seats.get_mut(&beat.client) {
            seat.expires = expires;
            seat.interval = beat.interval;
            seat.away_at = None;
            let entry = &mut seat.entry;
            let caret_changed = entry.caret.as_deref().map(RawValue::get)
                != beat.caret.as_deref().map(RawValue::get);
            if caret_changed
                || (entry.mode, entry.rung, entry.colour) != (beat.mode, beat.rung, who.colour)
                || entry.name != who.name
            {
                entry.mode = beat.mode;
                entry.rung = beat.rung;
                entry.caret = beat.caret;
                entry.name.clone_from(&who.name);
                entry.colour = who.colour;
                seat.changed = true;
                self.tell_if_due(beat.page, seat, now);
            }
            return Ok(false);
        }
        let entry = Entry {
            client: beat.client.clone(),
            name: who.name.clone(),
            colour: who.colour,
            guest: true,
            mode: beat.mode,
            rung: beat.rung,
            caret: beat.caret,
        };
        let topic = Topic::Here(beat.page);
        self.hub.publish(topic, encode(topic, "joined", &entry));
        let login = who.id.clone();
        seats.insert(
            beat.client.clone(),
            Seat {
                entry,
                login: login.clone(),
                interval: beat.interval,
                expires,
                told: now,
                changed: false,
                away_at: None,
            },
        );
        inner.clients.insert(beat.client, (beat.page, login));
        Ok(true)
    }

    /// Renews the lease of a tab that holds or polls: its request is its beat.
    pub fn renew(&self, client: &str, login: &str, rung: Rung) {
        let mut inner = self.lock();
        let Some((page, _)) = inner.clients.get(client) else { return };
        let page = *page;
        if let Some(seat) = inner.pages.get_mut(&page).and_then(|seats| seats.get_mut(client))
            && seat.login == login
        {
            let lease = lease(rung, seat.interval, seat.entry.mode);
            seat.expires = seat.expires.max(Instant::now() + lease);
            seat.away_at = None;
            seat.changed |= seat.entry.rung != rung;
            seat.entry.rung = rung;
        }
    }

    /// The tab is closed or goes elsewhere.
    pub fn leave(&self, client: &str, login: &str) {
        let mut inner = self.lock();
        if inner.clients.get(client).is_some_and(|(_, owner)| owner == login) {
            self.remove(&mut inner, client);
        }
    }

    /// Everyone on a page, writers first.
    #[must_use]
    pub fn list(&self, page: PageId) -> Vec<Entry> {
        let inner = self.lock();
        let seats = inner.pages.get(&page).into_iter().flat_map(BTreeMap::values);
        let mut entries: Vec<_> = seats.map(|seat| seat.entry.clone()).collect();
        entries.sort_by_key(|entry| entry.mode != Mode::Writing);
        entries
    }

    /// How many tabs have a page open.
    #[must_use]
    pub fn count(&self, page: PageId) -> usize {
        self.lock().pages.get(&page).map_or(0, BTreeMap::len)
    }

    /// Notes an open stream of a tab. With too many of one tab the oldest is told to end.
    #[must_use]
    pub fn stream_opened(self: &Arc<Self>, client: &str, login: &str) -> StreamLease {
        let mark = Arc::new(StreamMark::default());
        let mut inner = self.lock();
        // Only its owner's streams count for a tab, so that nobody can end somebody else's.
        let key = format!("{login}/{client}");
        let marks = inner.streams.entry(key.clone()).or_default();
        marks.push(Arc::clone(&mark));
        if marks.len() > STREAMS_PER_CLIENT {
            marks.remove(0).supersede();
        }
        if let Some(seat) = seat_of(&mut inner, client, login) {
            seat.away_at = None;
        }
        drop(inner);
        StreamLease {
            presence: Arc::clone(self),
            client: client.to_owned(),
            login: login.to_owned(),
            key,
            mark,
            in_order: false,
        }
    }

    /// Ends leases that ran out and tells what was held back. Called every quarter second.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut inner = self.lock();
        let mut gone = Vec::new();
        for (page, seats) in &mut inner.pages {
            for (client, seat) in seats.iter_mut() {
                if seat.expires <= now {
                    gone.push(client.clone());
                    continue;
                }
                if seat.away_at.is_some_and(|at| at <= now) {
                    seat.away_at = None;
                    seat.changed |= seat.entry.mode != Mode::Away;
                    seat.entry.mode = Mode::Away;
                }
                self.tell_if_due(*page, seat, now);
            }
        }
        for client in gone {
            self.remove(&mut inner, &client);
        }
    }

    fn tell_if_due(&self, page: PageId, seat: &mut Seat, now: Instant) {
        if seat.changed && now >= seat.told + CHANGE_PAUSE {
            seat.changed = false;
            seat.told = now;
            let topic = Topic::Here(page);
            self.hub.publish(topic, encode(topic, "changed", &seat.entry));
        }
    }

    fn remove(&self, inner: &mut Inner, client: &str) {
        let Some((page, _)) = inner.clients.remove(client) else { return };
        if let Some(seats) = inner.pages.get_mut(&page) {
            seats.remove(client);
            if seats.is_empty() {
                inner.pages.remove(&page);
            }
        }
        let topic = Topic::Here(page);
        let left = serde_json::json!({ "client": client });
        self.hub.publish(topic, encode(topic, "left", &left));
    }

    fn stream_ended(&self, lease: &StreamLease) {
        let mut inner = self.lock();
        let mut alone = true;
        if let Some(marks) = inner.streams.get_mut(&lease.key) {
            marks.retain(|mark| !Arc::ptr_eq(mark, &lease.mark));
            alone = marks.is_empty();
            if alone {
                inner.streams.remove(&lease.key);
            }
        }
        if alone
            && !lease.in_order
            && let Some(seat) = seat_of(&mut inner, &lease.client, &lease.login)
            && seat.entry.rung == Rung::Stream
        {
            seat.away_at = Some(Instant::now() + AWAY_AFTER);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seat_of<'a>(inner: &'a mut Inner, client: &str, login: &str) -> Option<&'a mut Seat> {
    let (page, owner) = inner.clients.get(client)?;
    if owner != login {
        return None;
    }
    inner.pages.get_mut(page)?.get_mut(client)
}

/// How long one sign of life lasts.
fn lease(rung: Rung, interval: Duration, mode: Mode) -> Duration {
    if mode == Mode::Away {
        // Timers of hidden tabs run once a minute.
        return Duration::from_secs(150);
    }
    match rung {
        Rung::Stream => Duration::from_secs(45),
        Rung::Hold => interval.min(Duration::from_secs(25)) + Duration::from_secs(20),
        Rung::Poll => {
            let interval = interval.min(Duration::from_secs(60));
            (2 * interval + Duration::from_secs(10)).max(Duration::from_secs(20))
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

/// One open stream of a tab. Dropping it without [`StreamLease::ended_in_order`]
/// is a fault and turns its person to away after a while.
pub struct StreamLease {
    presence: Arc<Presence>,
    client: String,
    login: String,
    key: String,
    mark: Arc<StreamMark>,
    in_order: bool,
}

impl StreamLease {
    /// Ready once newer streams of the same tab have taken over.
    pub fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.mark.waker.register(cx.waker());
        if self.is_superseded() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether newer streams of the same tab have taken over.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.mark.superseded.load(Ordering::SeqCst)
    }

    /// The stream said `bye`: its client knows and comes back.
    pub fn ended_in_order(&mut self) {
        self.in_order = true;
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        let presence = Arc::clone(&self.presence);
        presence.stream_ended(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::hub::Read;

    const PAGE: PageId = PageId(7);

    fn author(id: &str) -> Author {
        Author { id: id.into(), name: format!("Name of {id}"), colour: 3 }
    }

    fn beat(client: &str, caret: Option<&str>) -> Beat {
        Beat {
            client: client.into(),
            page: PAGE,
            mode: Mode::Writing,
            rung: Rung::Stream,
            interval: Duration::ZERO,
            caret: caret.map(|c| RawValue::from_string(c.into()).expect("JSON")),
        }
    }

    fn kinds(hub: &Hub, since: u64) -> Vec<String> {
        let Read::Batch { events, .. } = hub.read(&[Topic::Here(PAGE)], hub.cursor(since), 1 << 20)
        else {
            panic!("no reset is due")
        };
        let kind = |event: &[u8]| {
            let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
            event["kind"].as_str().expect("kind").to_owned()
        };
        events.iter().map(|(_, event)| kind(event)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn someone_who_comes_moves_and_leaves_is_told_at_once() {
        let hub = Hub::new();
        let presence = Presence::new(Arc::clone(&hub));
        let ann = author("ann");
        assert_eq!(presence.beat(&ann, beat("tab-a", None)), Ok(true));
        tokio::time::advance(CHANGE_PAUSE).await;
        assert_eq!(presence.beat(&ann, beat("tab-a", Some("[1]"))), Ok(false));
        presence.leave("tab-a", "ann");
        assert_eq!(kinds(&hub, 0), ["joined", "changed", "left"]);
        assert!(presence.list(PAGE).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn moves_are_merged_and_the_last_one_is_told() {
        let hub = Hub::new();
        let presence = Presence::new(Arc::clone(&hub));
        let ann = author("ann");
        for n in 0..50 {
            presence.beat(&ann, beat("tab-a", Some(&n.to_string()))).expect("beat");
        }
        tokio::time::advance(CHANGE_PAUSE).await;
        presence.sweep();
        assert_eq!(kinds(&hub, 0), ["joined", "changed"]);
        assert_eq!(presence.list(PAGE)[0].caret.as_ref().map(|c| c.get()), Some("49"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_runs_out_ends_and_a_broken_stream_turns_away() {
        let hub = Hub::new();
        let presence = Presence::new(Arc::clone(&hub));
        presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
        let stream = presence.stream_opened("tab-a", "ann");
        drop(stream);
        tokio::time::advance(AWAY_AFTER).await;
        presence.sweep();
        assert_eq!(presence.list(PAGE)[0].mode, Mode::Away);
        tokio::time::advance(Duration::from_secs(45)).await;
        presence.sweep();
        assert_eq!(kinds(&hub, 0), ["joined", "changed", "left"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_can_speak_or_leave_for_somebody_elses_tab() {
        let presence = Presence::new(Hub::new());
        presence.beat(&author("ann"), beat("tab-a", None)).expect("beat");
        assert_eq!(presence.beat(&author("bob"), beat("tab-a", None)), Err(BeatError::NotYours));
        presence.leave("tab-a", "bob");
        let (x, y) =
            (presence.stream_opened("tab-a", "ann"), presence.stream_opened("tab-a", "bob"));
        let z = presence.stream_opened("tab-a", "bob");
        assert!(!x.is_superseded() && !y.is_superseded() && !z.is_superseded());
        assert_eq!(presence.count(PAGE), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_stream_of_a_tab_ends_the_first() {
        let presence = Presence::new(Hub::new());
        let [a, b, c] = [(); 3].map(|()| presence.stream_opened("tab-a", "ann"));
        assert!(a.is_superseded() && !b.is_superseded() && !c.is_superseded());
    }
}
