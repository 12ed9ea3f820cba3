//! Who is on a page: leases renewed by beats, and what they look at.
//!
//! Name, colour and rung come from the server, the mode and the caret from the
//! browser. Somebody who comes shows at once; changes of one person are merged
//! to at most four a second.
//!
//! A tab is gone when it says so, when its lease runs out (a dead connection is noticed late), or
//! shortly after the connection that carries its events has ended without a word: long enough for
//! a client to come back whose connection was merely cut, too short for anybody to see a ghost.
//! Who comes back later is there again at once; see [`carrier`].

pub mod carrier;
mod entry;
#[cfg(test)]
mod tests;

pub use carrier::{HoldLease, StreamLease};
pub use entry::{Beat, BeatError, Entry, Mode, Rung};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use self::carrier::Carriers;
use self::entry::lease;
use super::Author;
use super::hub::Hub;
use super::topic::{Topic, encode};
use crate::page::PageId;

/// Most bytes of a caret. Two relative positions take about 150.
pub const MAX_CARET_BYTES: usize = 2048;

/// Most entries of one login, and in all: presence is memory that anyone can ask for.
const MAX_PER_LOGIN: usize = 64;
const MAX_ENTRIES: usize = 50_000;

/// Most of what [`Presence::take_moves`] has to tell.
const MAX_MOVES: usize = MAX_ENTRIES;

/// Pause between two changes of one person that are told to others.
const CHANGE_PAUSE: Duration = Duration::from_millis(250);

/// One tab, present or just gone.
struct Seat {
    entry: Entry,
    login: String,
    /// See [`Beat::known`].
    known: bool,
    /// The last sweep found that its person has the page in sight.
    sees: bool,
    /// See [`Beat::via`].
    via: Option<String>,
    /// What the tab said last; the entry may show more than it knows.
    mode: Mode,
    rung: Rung,
    interval: Duration,
    expires: Instant,
    told: Instant,
    changed: bool,
    away_at: Option<Instant>,
    leave_at: Option<Instant>,
    /// The others were told that it left. It comes back with its next sign of life.
    gone: bool,
}

/// Somebody has begun or ceased to have a page in sight, in one of their tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub page: PageId,
    pub login: String,
    /// Begun.
    pub came: bool,
}

#[derive(Default)]
struct Inner {
    pages: HashMap<PageId, BTreeMap<String, Seat>>,
    /// Page and login of each tab id.
    clients: HashMap<String, (PageId, String)>,
    carriers: Carriers,
    moves: Vec<Move>,
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
        if inner.clients.contains_key(&beat.client) {
            self.renew_by_beat(&mut inner, who, beat, now);
            return Ok(false);
        }
        let Beat { client, via, known, page, mode, rung, interval, caret } = beat;
        let entry = Entry {
            client: client.clone(),
            name: who.name.clone(),
            colour: who.colour,
            guest: true,
            mode,
            rung,
            caret,
        };
        self.publish(page, "joined", &entry);
        inner.carriers.carry(&who.id, via.as_deref().unwrap_or(&client), &client);
        let seat = Seat {
            entry,
            login: who.id.clone(),
            known,
            sees: false,
            via,
            mode,
            rung,
            interval,
            expires: now + lease(rung, interval, mode),
            told: now,
            changed: false,
            away_at: None,
            leave_at: None,
            gone: false,
        };
        inner.pages.entry(page).or_default().insert(client.clone(), seat);
        inner.clients.insert(client, (page, who.id.clone()));
        Ok(true)
    }

    fn renew_by_beat(&self, inner: &mut Inner, who: &Author, beat: Beat, now: Instant) {
        let Inner { pages, carriers, .. } = inner;
        let seats = pages.get_mut(&beat.page);
        let Some(seat) = seats.and_then(|seats| seats.get_mut(&beat.client)) else { return };
        if seat.via != beat.via {
            carriers.drop_tab(&seat.login, seat.carrier(), &beat.client);
            seat.via = beat.via;
            carriers.carry(&seat.login, seat.carrier(), &beat.client);
        }
        seat.expires = now + lease(beat.rung, beat.interval, beat.mode);
        seat.interval = beat.interval;
        seat.known |= beat.known;
        (seat.mode, seat.rung) = (beat.mode, beat.rung);
        let entry = &mut seat.entry;
        let caret_changed =
            entry.caret.as_deref().map(RawValue::get) != beat.caret.as_deref().map(RawValue::get);
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
        }
        // A tab that is being closed is hidden first and may say so with its last breath.
        if seat.leave_at.is_none() || beat.mode != Mode::Away {
            self.revive(beat.page, seat, now);
        }
        self.tell_if_due(beat.page, seat, now);
    }

    /// Renews the lease of a tab that holds or polls: its request is its beat.
    pub fn renew(&self, client: &str, login: &str, rung: Rung) {
        let now = Instant::now();
        let mut inner = self.lock();
        let Inner { pages, clients, .. } = &mut *inner;
        if let Some((page, seat)) = seat_of(pages, clients, client, login) {
            let lease = lease(rung, seat.interval, seat.entry.mode);
            seat.expires = seat.expires.max(now + lease);
            // Who shares a connection asks for itself now and then, which is not its rung.
            if seat.via.is_none() {
                seat.changed |= seat.entry.rung != rung;
                seat.entry.rung = rung;
            }
            self.revive(page, seat, now);
        }
        inner.carriers.hear(login, client, now);
        self.revive_carried(&mut inner, login, client, now);
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
        let present = seats.filter(|seat| !seat.gone);
        let mut entries: Vec<_> = present.map(|seat| seat.entry.clone()).collect();
        entries.sort_by_key(|entry| entry.mode != Mode::Writing);
        entries
    }

    /// How many tabs have a page open.
    #[must_use]
    pub fn count(&self, page: PageId) -> usize {
        let inner = self.lock();
        let seats = inner.pages.get(&page).into_iter().flat_map(BTreeMap::values);
        seats.filter(|seat| !seat.gone).count()
    }

    /// How many have the page's editor open and in sight.
    pub fn writers(&self, page: PageId) -> usize {
        let inner = self.lock();
        let seats = inner.pages.get(&page).into_iter().flat_map(BTreeMap::values);
        seats.filter(|seat| !seat.gone && seat.mode == Mode::Writing).count()
    }

    /// Pages that somebody has open.
    pub(super) fn pages(&self) -> Vec<PageId> {
        self.lock().pages.keys().copied().collect()
    }

    /// Known logins that have a page in sight, once for each of their tabs.
    pub(super) fn who_sees(&self, page: PageId) -> Vec<String> {
        let inner = self.lock();
        let seats = inner.pages.get(&page).into_iter().flat_map(BTreeMap::values);
        seats.filter(|seat| seat.sees).map(|seat| seat.login.clone()).collect()
    }

    /// Which known logins have begun or ceased to have which page in sight since the last call, in
    /// order; at most 50,000, of more the first. As exact as the sweep is often.
    pub(super) fn take_moves(&self) -> Vec<Move> {
        std::mem::take(&mut self.lock().moves)
    }

    /// Ends leases that ran out and tells what was held back. Called every quarter second.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut inner = self.lock();
        let mut expired = Vec::new();
        let Inner { pages, moves, .. } = &mut *inner;
        for (page, seats) in pages {
            for (client, seat) in seats.iter_mut() {
                if seat.expires <= now {
                    expired.push(client.clone());
                    continue;
                }
                self.leave_if_due(*page, seat, now);
                if seat.away_at.is_some_and(|at| at <= now) {
                    seat.away_at = None;
                    seat.changed |= seat.entry.mode != Mode::Away;
                    seat.entry.mode = Mode::Away;
                }
                self.tell_if_due(*page, seat, now);
                seat.note_sight(*page, moves);
            }
        }
        for client in expired {
            self.remove(&mut inner, &client);
        }
        inner.carriers.forget_old(now);
    }

    fn tell_if_due(&self, page: PageId, seat: &mut Seat, now: Instant) {
        if seat.changed && !seat.gone && now >= seat.told + CHANGE_PAUSE {
            seat.changed = false;
            seat.told = now;
            self.publish(page, "changed", &seat.entry);
        }
    }

    fn leave_if_due(&self, page: PageId, seat: &mut Seat, now: Instant) {
        if seat.leave_at.is_some_and(|at| at <= now) {
            seat.leave_at = None;
            seat.gone = true;
            self.publish(page, "left", &serde_json::json!({ "client": seat.entry.client }));
        }
    }

    /// A sign of life: whatever its silence was about to bring does not come.
    fn revive(&self, page: PageId, seat: &mut Seat, now: Instant) {
        (seat.leave_at, seat.away_at) = (None, None);
        seat.changed |= seat.entry.mode != seat.mode;
        seat.entry.mode = seat.mode;
        if seat.gone {
            seat.gone = false;
            seat.changed = false;
            seat.told = now;
            self.publish(page, "joined", &seat.entry);
        }
    }

    /// The same for all tabs whose events a client carries.
    fn revive_carried(&self, inner: &mut Inner, login: &str, carrier: &str, now: Instant) {
        let Inner { pages, clients, carriers, .. } = inner;
        for tab in carriers.tabs(login, carrier) {
            if let Some((page, seat)) = seat_of(pages, clients, tab, login) {
                self.revive(page, seat, now);
            }
        }
    }

    fn remove(&self, inner: &mut Inner, client: &str) {
        let Some((page, _)) = inner.clients.remove(client) else { return };
        let Some(seats) = inner.pages.get_mut(&page) else { return };
        let seat = seats.remove(client);
        if seats.is_empty() {
            inner.pages.remove(&page);
        }
        let Some(seat) = seat else { return };
        inner.carriers.drop_tab(&seat.login, seat.carrier(), client);
        if seat.sees {
            seat.tell_move(page, false, &mut inner.moves);
        }
        if !seat.gone {
            self.publish(page, "left", &serde_json::json!({ "client": client }));
        }
    }

    fn publish(&self, page: PageId, kind: &'static str, data: &impl serde::Serialize) {
        let topic = Topic::Here(page);
        self.hub.publish(topic, encode(topic, kind, data));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Tab id of the connection that brings its events.
    fn carrier(&self) -> &str {
        self.via.as_deref().unwrap_or(&self.entry.client)
    }

    /// Looks whether its person has the page in sight, and tells when that has changed.
    fn note_sight(&mut self, page: PageId, moves: &mut Vec<Move>) {
        let sees = self.known && !self.gone && self.entry.mode != Mode::Away;
        if sees != self.sees {
            self.sees = sees;
            self.tell_move(page, sees, moves);
        }
    }

    fn tell_move(&self, page: PageId, came: bool, moves: &mut Vec<Move>) {
        if moves.len() < MAX_MOVES {
            moves.push(Move { page, login: self.login.clone(), came });
        }
    }
}

/// A login's own tab.
fn seat_of<'a>(
    pages: &'a mut HashMap<PageId, BTreeMap<String, Seat>>,
    clients: &HashMap<String, (PageId, String)>,
    client: &str,
    login: &str,
) -> Option<(PageId, &'a mut Seat)> {
    let (page, owner) = clients.get(client)?;
    if owner != login {
        return None;
    }
    Some((*page, pages.get_mut(page)?.get_mut(client)?))
}
