//! What each login has seen of which page, and which pages it watches.
//!
//! Whoever comes back to a page is told what changed since they were there, so the end of each visit
//! matters, and what changed before their eyes does not ([`Seen`]). Both are noted in memory when a
//! page is sent, when it comes into sight or goes, and when it changes in somebody's sight; they are
//! written a little later, of many at once ([`keep`]). What a crash takes is some minutes of such
//! notes, and no text: then somebody is told once more what they have seen already.
//!
//! All records of a login stand under its name, so that one run of the store reads them. Everything
//! is bounded: pages and watches of a login, logins that come once and never again, records in all,
//! notes in memory and writes in a second. Only logins that came with a cookie are noted, so a robot
//! without one is nobody.

mod keep;
mod news;
mod notes;
mod records;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as Turn;

pub(super) use self::keep::LOOK;
pub use self::news::News;
pub use self::notes::Seen;
use self::notes::{Event, Notes, Sight};
use self::records::Records;
pub use self::watched::Watched;
use super::history::RevisionInfo;
use super::labs::Labs;
use super::{Live, LiveError, PageInfo, blocking, now_ms};
use crate::page::{PageId, PagePath, Revision};
use crate::store::StoreError;

/// Pages that are remembered for one login; of more, those seen longest ago are forgotten, and
/// whatever changed before that counts as seen.
const MAX_PAGES: usize = 500;

/// Most pages that a login watches, those with everything below them counted once.
pub const MAX_WATCHES: usize = 100;

/// Records in all, some 150 bytes each with what keeps them. Above it nobody new is noted, and who is
/// known keeps as many pages as they have.
const MAX_RECORDS: usize = 500_000;

/// A page that somebody watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Its path.
    pub path: PagePath,
    /// With all pages below it.
    pub tree: bool,
    /// Since when, milliseconds since 1970.
    pub at_ms: u64,
}

impl Watch {
    /// Whether a page is watched by this.
    #[must_use]
    pub fn covers(&self, path: &PagePath) -> bool {
        if self.tree { self.path.covers(path) } else { self.path.key() == path.key() }
    }
}

/// What somebody has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// Who.
    login: String,
    /// Everything until then counts as seen; `None`: they have just come for the first time.
    all_ms: Option<u64>,
    /// Pages that they saw.
    pages: HashMap<PageId, Seen>,
    /// What they watch, by name.
    pub watches: Vec<Watch>,
}

impl Visitor {
    /// How they have seen a page.
    #[must_use]
    pub fn seen(&self, page: PageId) -> Option<Seen> {
        self.pages.get(&page).copied()
    }

    /// Whether a page has changed since they saw it.
    #[must_use]
    pub fn has_news(&self, page: &PageInfo) -> bool {
        page.head > Revision(0) && self.is_news(page.id, page.head, page.updated_ms)
    }

    /// Whether a revision of a page is news to them: not seen, and not theirs alone.
    #[must_use]
    pub fn has_news_in(&self, page: PageId, revision: &RevisionInfo) -> bool {
        self.is_news(page, revision.last, revision.at_ms) && !revision.is_only_by(&self.login)
    }

    fn is_news(&self, page: PageId, rev: Revision, at_ms: u64) -> bool {
        let Some(all_ms) = self.all_ms else { return false };
        let seen = self.seen(page);
        let from_ms = seen.map_or(all_ms, |seen| Seen::all_since(seen.at_ms, all_ms));
        seen.is_none_or(|seen| seen.rev < rev) && at_ms > from_ms
    }
}

/// Somebody opens a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// What is new to them.
    pub news: Option<News>,
    /// How they watch the page itself.
    pub watch: Option<Watch>,
    /// The page above it by which they watch it.
    pub watched_above: Option<PagePath>,
}

/// Notes that wait, and the turn of whoever writes.
#[derive(Default)]
pub(super) struct Visits {
    notes: Mutex<Notes>,
    /// Heads of the pages that somebody had open at the last look.
    heads: Mutex<HashMap<PageId, Revision>>,
    turn: Turn<()>,
    /// Records that there are, as far as they were counted.
    records: AtomicUsize,
    /// The last notes could not be written.
    is_failing: AtomicBool,
}

impl Visits {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heads(&self) -> MutexGuard<'_, HashMap<PageId, Revision>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Somebody is shown a page as it is at a revision: what is new to them, taken before this is
    /// noted. Their other pages are not looked at.
    ///
    /// # Errors
    /// Store errors.
    pub async fn visit(
        &self,
        login: &str,
        page: &PageInfo,
        shown: Revision,
    ) -> Result<Visit, LiveError> {
        if Labs::is_lab(page.id) {
            return Ok(Visit::default());
        }
        let (live, of, at) = (self.clone(), login.to_owned(), page.clone());
        let visit = blocking(move || live.read_visit(&of, &at)).await?;
        let sight = if visit.news.is_some() { Sight::Shown } else { Sight::Known };
        let event = Event { sight, rev: shown, at_ms: now_ms() };
        self.inner.visits.notes().add(login, page.id, event);
        Ok(visit)
    }

    /// Blocks.
    fn read_visit(&self, login: &str, page: &PageInfo) -> Result<Visit, LiveError> {
        let store = &self.inner.shared.store;
        let all_ms = records::read_login(store, login)?.map(|login| login.all_ms);
        let before = records::read_page(store, login, page.id)?;
        let note = self.inner.visits.notes().get(login, page.id).cloned();
        let seen = note.as_ref().map_or(before, |note| Some(note.applied(before)));
        let news = match seen {
            // A login is written after its first notes.
            Some(seen) => self.news_before(login, page, seen, all_ms.unwrap_or(0))?,
            None => None,
        };
        let watches = records::read_watches(store, login)?;
        let key = page.path.key();
        let is_own = |watch: &&Watch| watch.path.key() == key;
        let above = |watch: &&Watch| watch.covers(&page.path) && !is_own(watch);
        Ok(Visit {
            news,
            watch: watches.iter().find(is_own).cloned(),
            watched_above: watches.iter().find(above).map(|watch| watch.path.clone()),
        })
    }

    /// Somebody is shown what changed on a page from one revision to another. Where that begins with
    /// what they have seen, they have been told then.
    ///
    /// # Errors
    /// Store errors.
    pub async fn look_at_changes(
        &self,
        login: &str,
        page: &PageInfo,
        (from, to): (Revision, Revision),
    ) -> Result<(), LiveError> {
        if Labs::is_lab(page.id) || from >= to {
            return Ok(());
        }
        let (live, of, at) = (self.clone(), login.to_owned(), page.clone());
        let sight = blocking(move || live.told_by_changes(of, &at, from)).await?;
        if let Some(sight) = sight {
            let event = Event { sight, rev: to, at_ms: now_ms() };
            self.inner.visits.notes().add(login, page.id, event);
        }
        Ok(())
    }

    /// What a comparison that begins there says of what is new: all, only what is new since they
    /// opened the page last, or not all of it. Blocks.
    fn told_by_changes(
        &self,
        login: String,
        page: &PageInfo,
        from: Revision,
    ) -> Result<Option<Sight>, LiveError> {
        let visitor = self.read_visitor(login)?;
        let begins = |news: Option<News>| news.is_some_and(|news| from <= news.from);
        if let (Some(seen), Some(all_ms)) = (visitor.seen(page.id), visitor.all_ms)
            && begins(self.news_before(&visitor.login, page, seen, all_ms)?)
        {
            return Ok(Some(Sight::Known));
        }
        let watches = visitor.watches.iter().filter(|watch| watch.covers(&page.path));
        let since_ms = watches.map(|watch| watch.at_ms).min().unwrap_or(0);
        Ok(begins(self.news_now(&visitor, page, since_ms)?).then_some(Sight::Shown))
    }

    /// What somebody has seen and watches.
    ///
    /// # Errors
    /// Store errors.
    pub async fn visitor(&self, login: &str) -> Result<Visitor, LiveError> {
        let (live, login) = (self.clone(), login.to_owned());
        blocking(move || Ok(live.read_visitor(login)?)).await
    }

    /// With what waits to be written. Blocks.
    fn read_visitor(&self, login: String) -> Result<Visitor, StoreError> {
        let records = Records::read(&self.inner.shared.store, &login)?;
        let mut pages: HashMap<_, _> = records.pages.into_iter().collect();
        let mut all_ms = records.login.map(|login| login.all_ms);
        for (page, note) in self.inner.visits.notes().of(&login) {
            let seen = note.applied(pages.get(&page).copied());
            pages.insert(page, seen);
            if records.login.is_none() {
                all_ms = Some(all_ms.unwrap_or(u64::MAX).min(note.since_ms()));
            }
        }
        let watches = records.watches.into_values().collect();
        Ok(Visitor { login, all_ms, pages, watches })
    }

    /// Somebody knows a page up to a revision.
    ///
    /// # Errors
    /// [`LiveError::Busy`] when too many are known, and store errors.
    pub async fn mark_seen(
        &self,
        login: &str,
        page: &PageInfo,
        rev: Revision,
    ) -> Result<(), LiveError> {
        let (now, id, rev) = (now_ms(), page.id, rev.min(page.head));
        self.change_records(login, move |records| {
            records.login(now);
            let seen = records.pages.entry(id).or_insert(Seen::first(rev, now));
            seen.known(rev, now);
            Ok(())
        })
        .await
    }

    /// Whatever changed until a time, in milliseconds since 1970, counts as seen by somebody.
    ///
    /// # Errors
    /// As [`Live::mark_seen`].
    pub async fn mark_all_seen(&self, login: &str, until_ms: u64) -> Result<(), LiveError> {
        let now = now_ms();
        self.change_records(login, move |records| {
            let login = records.login(now);
            login.all_ms = login.all_ms.max(until_ms.min(now));
            Ok(())
        })
        .await
    }

    /// Watches a page, with all below it (`Some(true)`) or not, or no more (`None`).
    ///
    /// # Errors
    /// [`LiveError::TooManyWatches`] above [`MAX_WATCHES`], and those of [`Live::mark_seen`].
    pub async fn watch(
        &self,
        login: &str,
        path: &PagePath,
        how: Option<bool>,
    ) -> Result<(), LiveError> {
        let now = now_ms();
        self.change_records(login, move |records| {
            let (key, many) = (path.key(), records.watches.len() >= MAX_WATCHES);
            let Some(tree) = how else {
                records.watches.remove(&key);
                return Ok(());
            };
            if let Some(known) = records.watches.get_mut(&key) {
                known.tree = tree;
            } else if many {
                return Err(LiveError::TooManyWatches);
            } else {
                records.login(now);
                records.watches.insert(key, Watch { path: path.clone(), tree, at_ms: now });
            }
            Ok(())
        })
        .await
    }
}
