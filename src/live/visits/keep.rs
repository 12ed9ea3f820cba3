//! Noticing who has which page in sight, writing it down, and forgetting who does not come any more.
//!
//! A look costs what has happened since the last one: windows that came into sight or went, and who
//! has a page in sight that changed. It writes once, for at most [`LOGINS_PER_LOOK`] logins, however
//! many leave at the same time; the others wait for the next looks, and what waits counts as written
//! for whoever asks.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::notes::{Due, Event, Note, Sight};
use super::records::{self, Records};
use super::{MAX_PAGES, MAX_RECORDS, Visits};
use crate::live::labs::Labs;
use crate::live::presence::Move;
use crate::live::{Live, LiveError, blocking, now_ms};
use crate::page::{PageId, Revision};
use crate::store::{Store, StoreError, Table};

/// How often there is a look. Unit tests look themselves.
pub(in crate::live) const LOOK: Duration = Duration::from_secs(if cfg!(test) { 3_600 } else { 1 });

/// Logins that are written by one look: some 20 KB of journal and one sync a second. Ten thousand who
/// leave at once are written within a minute and a half.
const LOGINS_PER_LOOK: usize = 128;

/// Logins that are written at a time when the process ends.
const LOGINS_AT_END: usize = 2_000;

/// Being there without anything new is written this often.
const SAME_MS: u64 = 10 * 60_000;

/// Whoever does not come for so long is forgotten, and after a shorter time who came on one day only,
/// which is still shorter when there are many.
const DAY_MS: u64 = 86_400_000;
const GONE_MS: u64 = 400 * DAY_MS;
const PASSED_MS: u64 = 30 * DAY_MS;
const PASSED_MANY_MS: u64 = 2 * DAY_MS;

/// Records read at a time, and changes made at a time.
const STEP: usize = 1_000;

impl Visits {
    /// Pages of which somebody had an older revision open at the last look, with their heads now.
    fn changed(&self, heads_now: HashMap<PageId, Revision>) -> Vec<(PageId, Revision)> {
        let mut heads = self.heads();
        let is_newer = |&(page, head): &(&PageId, &Revision)| {
            heads.get(page).is_some_and(|before| before < head)
        };
        let changed =
            heads_now.iter().filter(is_newer).map(|(page, head)| (*page, *head)).collect();
        *heads = heads_now;
        changed
    }
}

impl Live {
    /// Notes what those see who are there, and writes some of what is due.
    pub(in crate::live) async fn look_at_visits(&self) {
        let now = now_ms();
        self.note_sights(now);
        self.write_visits(Some(now), LOGINS_PER_LOOK).await;
    }

    /// Notes what those see who are there.
    pub(super) fn note_sights(&self, at_ms: u64) {
        let (visits, presence) = (&self.inner.visits, &self.inner.presence);
        let head = |page: PageId| match Labs::is_lab(page) {
            true => None,
            false => self.pages().look(page, |page| page.head),
        };
        for Move { page, login, came } in presence.take_moves() {
            if came && let Some(rev) = head(page) {
                let event = Event { sight: Sight::Back, rev, at_ms };
                visits.notes().add(&login, page, event);
            }
            // Whoever has left saw at least what there was at the last look.
            let last = visits.heads().get(&page).copied();
            if !came && let Some(rev) = last {
                let event = Event { sight: Sight::Live, rev, at_ms };
                visits.notes().leave(&login, page, event);
            }
        }
        let open = presence.pages().into_iter();
        let heads = open.filter_map(|page| Some((page, head(page)?))).collect();
        for (page, rev) in visits.changed(heads) {
            let people = presence.who_sees(page);
            let mut notes = visits.notes();
            for login in people {
                notes.add(&login, page, Event { sight: Sight::Live, rev, at_ms });
            }
        }
    }

    /// Writes down all that waits.
    pub(in crate::live) async fn end_visits(&self) {
        while self.write_visits(None, LOGINS_AT_END).await {}
    }

    /// Writes what is due of at most so many logins; without a time everything is. False when
    /// nothing was.
    pub(super) async fn write_visits(&self, now_ms: Option<u64>, most: usize) -> bool {
        let visits = &self.inner.visits;
        let due = visits.notes().take_due(now_ms, most);
        if due.is_empty() {
            return false;
        }
        match self.write_notes(due).await {
            Ok(()) => visits.is_failing.store(false, Ordering::Relaxed),
            // Only what somebody has seen: it is not worth more than a word, once.
            Err(error) if !visits.is_failing.swap(true, Ordering::Relaxed) => {
                log::warn!("what was seen could not be noted: {error}");
            }
            Err(_) => {}
        }
        true
    }

    async fn write_notes(&self, due: Vec<Due>) -> Result<(), LiveError> {
        let visits = &self.inner.visits;
        let _turn = visits.turn.lock().await;
        let (store, count) =
            (self.inner.shared.store.clone(), visits.records.load(Ordering::Relaxed));
        let (changes, count) = blocking(move || {
            let (mut changes, mut count) = (Vec::new(), count);
            for (login, notes) in due {
                let old = Records::read(&store, &login)?;
                let room = MAX_RECORDS.saturating_sub(count);
                if old.login.is_none() && room < 2 {
                    continue;
                }
                let mut new = old.clone();
                for (page, note) in notes {
                    note_one(&mut new, page, &note);
                }
                new.fit(MAX_PAGES.min(old.pages.len() + room));
                count = (count + new.len()).saturating_sub(old.len());
                changes.extend(new.changes_from(&old, &login)?);
            }
            Ok((changes, count))
        })
        .await?;
        if !changes.is_empty() {
            self.inner.shared.store.change(changes).await?;
        }
        visits.records.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Changes the records of a login, one writer at a time, with what waits to be written of it.
    /// The change leaves them as they are when it fails.
    pub(super) async fn change_records(
        &self,
        login: &str,
        change: impl FnOnce(&mut Records) -> Result<(), LiveError>,
    ) -> Result<(), LiveError> {
        let visits = &self.inner.visits;
        let _turn = visits.turn.lock().await;
        let (store, of) = (self.inner.shared.store.clone(), login.to_owned());
        let old = blocking(move || Ok(Records::read(&store, &of)?)).await?;
        let mut new = old.clone();
        let waiting = visits.notes().take(login);
        for (page, note) in waiting {
            note_one(&mut new, page, &note);
        }
        let changed = change(&mut new);
        new.fit(MAX_PAGES);
        let count = visits.records.load(Ordering::Relaxed) + new.len();
        if new.len() > old.len() && count > MAX_RECORDS + old.len() {
            return Err(LiveError::Busy);
        }
        let changes = new.changes_from(&old, login)?;
        if !changes.is_empty() {
            self.inner.shared.store.change(changes).await?;
            visits.records.store(count.saturating_sub(old.len()), Ordering::Relaxed);
        }
        changed
    }

    /// Forgets logins that do not come any more, and counts the records.
    pub(in crate::live) async fn forget_visitors(&self) -> Result<(), LiveError> {
        let visits = &self.inner.visits;
        let _turn = visits.turn.lock().await;
        let (store, now) = (self.inner.shared.store.clone(), now_ms());
        let is_many = visits.records.load(Ordering::Relaxed) > MAX_RECORDS / 2;
        let passed_ms = if is_many { PASSED_MANY_MS } else { PASSED_MS };
        let (count, gone) = blocking(move || Ok(look_through(&store, now, passed_ms)?)).await?;
        let kept = count - gone.len();
        for some in gone.chunks(STEP) {
            let changes = some.iter().map(|key| records::removal(key)).collect();
            self.inner.shared.store.change(changes).await?;
        }
        visits.records.store(kept, Ordering::Relaxed);
        Ok(())
    }
}

fn note_one(records: &mut Records, page: PageId, note: &Note) {
    let (rev, at_ms) = note.newest();
    let login = records.login(note.since_ms());
    if at_ms.saturating_sub(login.came_ms) >= DAY_MS {
        login.came_ms = at_ms;
    }
    let seen = records.pages.get(&page).copied();
    let is_same =
        seen.is_some_and(|seen| seen.rev >= rev && at_ms.saturating_sub(seen.at_ms) < SAME_MS);
    if !is_same {
        records.pages.insert(page, note.applied(seen));
    }
}

/// How many records there are, and the keys of those that are to be forgotten. Blocks.
fn look_through(
    store: &Store,
    now_ms: u64,
    passed_ms: u64,
) -> Result<(usize, Vec<Vec<u8>>), StoreError> {
    let (mut count, mut gone) = (0, Vec::new());
    // Records of a login stand together, its own before the others.
    let mut of_gone: Vec<u8> = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let found = store.list(Table::Visits, &[], after.as_deref(), STEP)?;
        count += found.len();
        for (key, value) in &found {
            let Some((owner, is_login)) = records::owner(key) else { continue };
            if is_login && is_gone(&records::parse_login(value)?, now_ms, passed_ms) {
                of_gone = owner.to_vec();
            }
            if owner == of_gone {
                gone.push(key.clone());
            }
        }
        match found.last() {
            Some((key, _)) if found.len() == STEP => after = Some(key.clone()),
            _ => return Ok((count, gone)),
        }
    }
}

fn is_gone(login: &records::Login, now_ms: u64, passed_ms: u64) -> bool {
    let away = now_ms.saturating_sub(login.came_ms);
    let came_once = login.came_ms.saturating_sub(login.since_ms) < DAY_MS;
    away >= GONE_MS || (came_once && away >= passed_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_once_is_forgotten_sooner_than_who_came_back() {
        let login = |since_ms, came_ms| records::Login { since_ms, came_ms, all_ms: 0 };
        let gone = |login, now_ms| is_gone(&login, now_ms, PASSED_MS);
        assert!(!gone(login(0, 0), PASSED_MS - 1) && gone(login(0, 0), PASSED_MS));
        let back = || login(0, DAY_MS);
        assert!(!gone(back(), DAY_MS + GONE_MS - 1) && gone(back(), DAY_MS + GONE_MS));
        assert!(is_gone(&login(0, 0), PASSED_MANY_MS, PASSED_MANY_MS));
    }
}
