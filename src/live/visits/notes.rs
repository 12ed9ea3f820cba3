//! What somebody has seen of a page, and what waits to be written of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::page::{PageId, Revision};

/// After so long away whoever comes back is there for another time: until then "since you were here"
/// means since the time before.
const PAUSE_MS: u64 = 30 * 60_000;

/// A window says that its page is in sight a moment after the page was sent. Within this time it is
/// one look, and what changes in between is seen to change.
const JOIN_MS: u64 = 15_000;

/// Whoever stays is written down this often.
pub(super) const STAYS_MS: u64 = 5 * 60_000;

/// Most notes that wait to be written, some 400 bytes each. More are not taken.
pub(super) const MAX_NOTES: usize = 20_000;

/// Most events of one note; of more, the last are taken as one.
const MAX_EVENTS: usize = 8;

/// A page as somebody has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The newest revision that they saw.
    pub rev: Revision,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What they had seen when this visit began, or what they have seen happen since. Where it is
    /// less than `rev`, they have not been told yet what is between the two, or may ask again.
    pub was: Revision,
    /// When that was.
    pub was_ms: u64,
}

impl Seen {
    pub(super) fn first(rev: Revision, at_ms: u64) -> Self {
        Self { rev, at_ms, was: rev, was_ms: at_ms }
    }

    /// It comes before their eyes as it is at a revision.
    fn shown(&mut self, rev: Revision, at_ms: u64) {
        (self.was, self.was_ms) = self.before(at_ms);
        self.see(rev, at_ms);
    }

    /// It changes before their eyes: of what they see happen nobody needs to tell them.
    fn live(&mut self, rev: Revision, at_ms: u64) {
        let knew_all = self.was >= self.rev;
        self.see(rev, at_ms);
        if knew_all {
            (self.was, self.was_ms) = (self.rev, self.at_ms);
        }
    }

    /// Its window comes into sight (again).
    fn back(&mut self, rev: Revision, at_ms: u64) {
        if at_ms.saturating_sub(self.at_ms) < JOIN_MS {
            self.live(rev, at_ms);
        } else {
            self.shown(rev, at_ms);
        }
    }

    /// They know it up to a revision: they say so, or nobody else wrote it.
    pub(super) fn known(&mut self, rev: Revision, at_ms: u64) {
        self.see(rev, at_ms);
        (self.was, self.was_ms) = (self.was.max(rev), at_ms);
    }

    fn see(&mut self, rev: Revision, at_ms: u64) {
        self.rev = self.rev.max(rev);
        self.at_ms = self.at_ms.max(at_ms);
    }

    /// What they had seen before a look at this time, and when that was.
    #[must_use]
    pub fn before(&self, now_ms: u64) -> (Revision, u64) {
        let is_over = now_ms.saturating_sub(self.at_ms) >= PAUSE_MS;
        let knew_all = self.was >= self.rev;
        if is_over || knew_all { (self.rev, self.at_ms) } else { (self.was, self.was_ms) }
    }

    /// Whatever changed until then counts as seen, of a page seen at a time by a login for which
    /// everything until another counts as seen. Whoever saw the page after that missed whatever they
    /// did not see: the number of the revision tells it, and a change may come within the same
    /// millisecond.
    pub(super) fn all_since(at_ms: u64, all_ms: u64) -> u64 {
        if at_ms >= all_ms { 0 } else { all_ms }
    }
}

/// How a page was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The server sent it, with something that is new to them.
    Shown,
    /// The server sent it, and nothing of it is new to them; or it sent what was new.
    Known,
    /// Its window came into sight.
    Back,
    /// It was in sight until then.
    Live,
}

/// That a page was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub sight: Sight,
    pub rev: Revision,
    pub at_ms: u64,
}

/// What waits to be written of one login and one page.
#[derive(Clone, Debug)]
pub(super) struct Note {
    events: Vec<Event>,
    since_ms: u64,
    /// They have gone from the page: nothing more is to be expected.
    left: bool,
}

impl Note {
    fn new(event: Event) -> Self {
        Self { events: vec![event], since_ms: event.at_ms, left: false }
    }

    fn add(&mut self, event: Event) {
        let is_full = self.events.len() >= MAX_EVENTS;
        match self.events.last_mut() {
            Some(last) if is_full || last.is_one_with(event) => {
                // Who knows it has seen it as well.
                if event.sight == Sight::Known && event.rev >= last.rev {
                    last.sight = Sight::Known;
                }
                last.rev = last.rev.max(event.rev);
                last.at_ms = last.at_ms.max(event.at_ms);
            }
            _ => self.events.push(event),
        }
    }

    /// Since when it waits.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// The newest revision, and when it was seen.
    pub fn newest(&self) -> (Revision, u64) {
        let events = self.events.iter();
        events.fold((Revision(0), 0), |(rev, at_ms), e| (rev.max(e.rev), at_ms.max(e.at_ms)))
    }

    /// How the page is seen after this.
    pub fn applied(&self, before: Option<Seen>) -> Seen {
        let (rev, at_ms) = self.events.first().map_or((Revision(0), 0), |e| (e.rev, e.at_ms));
        let mut seen = before.unwrap_or(Seen::first(rev, at_ms));
        for event in &self.events {
            match event.sight {
                Sight::Shown => seen.shown(event.rev, event.at_ms),
                Sight::Known => seen.known(event.rev, event.at_ms),
                Sight::Back => seen.back(event.rev, event.at_ms),
                Sight::Live => seen.live(event.rev, event.at_ms),
            }
        }
        seen
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.left || now_ms.saturating_sub(self.since_ms) >= STAYS_MS
    }
}

impl Event {
    fn is_one_with(self, next: Self) -> bool {
        let both_live = self.sight == Sight::Live && next.sight == Sight::Live;
        both_live || (self.rev == next.rev && next.at_ms.saturating_sub(self.at_ms) < JOIN_MS)
    }
}

/// What waits to be written, by login and page.
#[derive(Default)]
pub(super) struct Notes {
    by_login: HashMap<String, HashMap<PageId, Note>>,
    count: usize,
}

/// What waits of one login, the oldest first.
pub(super) type Due = (String, Vec<(PageId, Note)>);

impl Notes {
    pub fn add(&mut self, login: &str, page: PageId, event: Event) {
        if let Some(note) = self.get_mut(login, page) {
            note.add(event);
        } else if self.count < MAX_NOTES {
            let notes = self.by_login.entry(login.to_owned()).or_default();
            notes.insert(page, Note::new(event));
            self.count += 1;
        }
    }

    /// The same, and it is to be written now.
    pub fn leave(&mut self, login: &str, page: PageId, event: Event) {
        self.add(login, page, event);
        if let Some(note) = self.get_mut(login, page) {
            note.left = true;
        }
    }

    fn get_mut(&mut self, login: &str, page: PageId) -> Option<&mut Note> {
        self.by_login.get_mut(login)?.get_mut(&page)
    }

    pub fn get(&self, login: &str, page: PageId) -> Option<&Note> {
        self.by_login.get(login)?.get(&page)
    }

    /// All that waits of one login.
    pub fn of(&self, login: &str) -> impl Iterator<Item = (PageId, &Note)> {
        let notes = self.by_login.get(login).into_iter().flatten();
        notes.map(|(page, note)| (*page, note))
    }

    /// Takes out all that waits of one login, the oldest first.
    pub fn take(&mut self, login: &str) -> Vec<(PageId, Note)> {
        let notes = self.by_login.remove(login).unwrap_or_default();
        self.count -= notes.len();
        in_order(notes.into_iter().collect())
    }

    /// Takes out what is to be written, of at most so many logins: those that have waited longest.
    /// Without a time everything is.
    pub fn take_due(&mut self, now_ms: Option<u64>, most: usize) -> Vec<Due> {
        let is_due = |note: &Note| now_ms.is_none_or(|now_ms| note.is_due(now_ms));
        let waits = |notes: &HashMap<PageId, Note>| {
            notes.values().filter(|note| is_due(note)).map(Note::since_ms).min()
        };
        let mut due: Vec<(u64, String)> = self
            .by_login
            .iter()
            .filter_map(|(login, notes)| Some((waits(notes)?, login.clone())))
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let mut taken = Vec::with_capacity(due.len());
        for (_, login) in due {
            let Some(notes) = self.by_login.get_mut(&login) else { continue };
            let mut of_login = Vec::new();
            notes.retain(|page, note| {
                let stays = !is_due(note);
                if !stays {
                    of_login.push((*page, note.clone()));
                }
                stays
            });
            self.count -= of_login.len();
            if notes.is_empty() {
                self.by_login.remove(&login);
            }
            taken.push((login, in_order(of_login)));
        }
        taken
    }
}

fn in_order(mut notes: Vec<(PageId, Note)>) -> Vec<(PageId, Note)> {
    notes.sort_by_key(|(page, note)| (note.since_ms, *page));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUESDAY: u64 = 1_000_000_000;
    const THURSDAY: u64 = TUESDAY + 48 * 3_600_000;
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;

    /// A note of these events.
    fn note(events: &[(Sight, u64, u64)]) -> Note {
        let mut events =
            events.iter().map(|&(sight, rev, at_ms)| Event { sight, rev: Revision(rev), at_ms });
        let mut note = Note::new(events.next().expect("an event"));
        events.for_each(|event| note.add(event));
        note
    }

    /// From which revision on somebody is told, and since when, who saw revision 5 on Tuesday.
    fn told(events: &[(Sight, u64, u64)], now_ms: u64) -> (u64, u64) {
        let seen = note(events).applied(Some(Seen::first(Revision(5), TUESDAY)));
        let (rev, at_ms) = seen.before(now_ms);
        (rev.0, at_ms)
    }

    #[test]
    fn until_a_visit_is_over_one_is_told_what_changed_since_the_one_before() {
        let opened = [(Sight::Shown, 9, THURSDAY), (Sight::Back, 9, THURSDAY + SECOND)];
        assert_eq!(told(&opened, THURSDAY + MINUTE), (5, TUESDAY), "and when it is opened again");
        let later = THURSDAY + SECOND + PAUSE_MS;
        assert_eq!(told(&opened, later - 1), (5, TUESDAY));
        assert_eq!(told(&opened, later), (9, THURSDAY + SECOND));
    }

    #[test]
    fn what_changes_before_their_eyes_is_not_told() {
        let stays = [
            (Sight::Shown, 5, THURSDAY),
            // Between the page and its script somebody has written.
            (Sight::Back, 6, THURSDAY + SECOND),
            (Sight::Live, 8, THURSDAY + 2 * SECOND),
            (Sight::Live, 9, THURSDAY + 200 * MINUTE),
        ];
        let left = THURSDAY + 200 * MINUTE;
        assert_eq!(told(&stays, left + MINUTE), (9, left));
        assert_eq!(told(&stays, left + PAUSE_MS), (9, left));
    }

    #[test]
    fn what_changed_while_a_window_was_out_of_sight_is_told_the_next_time() {
        let left = THURSDAY + 10 * MINUTE;
        let away = [
            (Sight::Shown, 5, THURSDAY),
            (Sight::Live, 7, left),
            (Sight::Back, 9, left + 5 * MINUTE),
            (Sight::Live, 10, left + 6 * MINUTE),
        ];
        assert_eq!(told(&away, left + 7 * MINUTE), (7, left));
    }

    #[test]
    fn what_one_knows_is_not_told_again() {
        let mut seen =
            note(&[(Sight::Shown, 9, THURSDAY)]).applied(Some(Seen::first(Revision(5), TUESDAY)));
        seen.known(Revision(7), THURSDAY + MINUTE);
        assert_eq!(seen.before(THURSDAY + 2 * MINUTE), (Revision(7), THURSDAY + MINUTE));
        seen.known(Revision(9), THURSDAY + 2 * MINUTE);
        seen.known(Revision(8), THURSDAY + 3 * MINUTE);
        assert_eq!((seen.rev, seen.was), (Revision(9), Revision(9)), "and never less");
        let told_at_once = [(Sight::Shown, 9, THURSDAY), (Sight::Known, 9, THURSDAY + SECOND)];
        assert_eq!(told(&told_at_once, THURSDAY + MINUTE), (9, THURSDAY + SECOND));
        // They wrote it themselves, with a form.
        let own = [(Sight::Shown, 9, THURSDAY), (Sight::Known, 10, THURSDAY + PAUSE_MS)];
        let later = THURSDAY + PAUSE_MS + MINUTE;
        assert_eq!(told(&own, later), (10, THURSDAY + PAUSE_MS));
    }

    #[test]
    fn a_first_look_has_nothing_that_is_new() {
        let seen = note(&[(Sight::Shown, 9, THURSDAY)]).applied(None);
        assert_eq!(seen, Seen::first(Revision(9), THURSDAY));
    }

    #[test]
    fn a_note_of_many_events_stays_small_and_ends_as_the_last_says() {
        let mut events = Vec::new();
        for n in 0..100 {
            events.push((Sight::Shown, 5 + n, THURSDAY + n * MINUTE));
        }
        let note = note(&events);
        assert_eq!(note.events.len(), MAX_EVENTS);
        assert_eq!(note.newest(), (Revision(104), THURSDAY + 99 * MINUTE));
        assert_eq!(note.since_ms(), THURSDAY);
    }

    #[test]
    fn those_who_have_waited_longest_are_taken_first_and_no_more_than_asked_for() {
        let mut notes = Notes::default();
        let event = |at_ms| Event { sight: Sight::Live, rev: Revision(1), at_ms };
        for n in 0..10_u64 {
            // Names in another order than times.
            notes.leave(&format!("g{}", (n * 7) % 10), PageId(n), event(100 + n));
        }
        notes.add("stays", PageId(1), event(0));
        let names = |due: &[Due]| due.iter().map(|(login, _)| login.clone()).collect::<Vec<_>>();
        assert_eq!(names(&notes.take_due(Some(200), 3)), ["g0", "g7", "g4"]);
        assert_eq!(notes.take_due(Some(200), 100).len(), 7);
        assert!(notes.take_due(Some(STAYS_MS - 1), 100).is_empty(), "who stays can wait");
        assert_eq!(names(&notes.take_due(Some(STAYS_MS), 100)), ["stays"]);
        assert_eq!((notes.count, notes.by_login.len()), (0, 0));
        for n in 0..=MAX_NOTES as u64 {
            notes.add("one", PageId(n), event(n));
        }
        assert_eq!(notes.count, MAX_NOTES);
        assert_eq!(notes.take_due(None, 1)[0].1.len(), MAX_NOTES, "at the end all of it");
    }
}
