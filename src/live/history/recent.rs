//! What changed lately, anywhere in the wiki.
//!
//! Beside the record of each closed revision stands an entry whose key is the time, under the
//! number of no page, so that the newest of all pages are read without looking at each page.

use std::fmt;
use std::str::FromStr;

use super::{RevisionInfo, read, revision_key};
use crate::live::labs::Labs;
use crate::live::{Live, LiveError, PageInfo, blocking};
use crate::page::{PageId, Revision};
use crate::store::{Change, Expect, Table};

/// Page ids begin at 1.
const NO_PAGE: u64 = 0;

/// Entries read at a time, and at most for one list: all of them may be of deleted pages.
const STEP: usize = 128;
const MAX_SCANNED: usize = 2_048;

/// Most pages that are shown as being written.
const MAX_OPEN: usize = 50;

/// A place in the list, which orders by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentMark {
    at_ms: u64,
    page: PageId,
    last: Revision,
}

impl RecentMark {
    fn of(page: PageId, revision: &RevisionInfo) -> Self {
        Self { at_ms: revision.at_ms, page, last: revision.last }
    }

    fn key(self) -> Vec<u8> {
        [NO_PAGE, self.at_ms, self.page.0, self.last.0].map(u64::to_be_bytes).concat()
    }

    fn read(key: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = key.get(8 * at..8 * at + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        };
        Some(Self { at_ms: number(1)?, page: PageId(number(2)?), last: Revision(number(3)?) })
    }
}

impl fmt::Display for RecentMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.at_ms, self.page, self.last)
    }
}

/// Not a place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMark;

impl FromStr for RecentMark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let mut numbers = text.splitn(3, '-').map(|number| number.parse().map_err(|_| NoMark));
        let mut next = || numbers.next().unwrap_or(Err(NoMark));
        Ok(Self { at_ms: next()?, page: PageId(next()?), last: Revision(next()?) })
    }
}

/// The entry of a closed revision.
pub(super) fn entry(page: PageId, revision: &RevisionInfo) -> Change {
    Change {
        table: Table::Revisions,
        key: RecentMark::of(page, revision).key(),
        expect: Expect::Anything,
        // All that there is to say is in the key.
        value: Some(Vec::new()),
    }
}

/// A revision and its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRow {
    /// The page as it is now.
    pub page: PageInfo,
    /// The revision.
    pub revision: RevisionInfo,
}

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Pages that have edits in no closed revision, the newest first; only at the beginning.
    pub open: Vec<RecentRow>,
    /// Closed revisions, the newest first.
    pub closed: Vec<RecentRow>,
    /// Where to go on with older ones, if there are any.
    pub next: Option<RecentMark>,
}

impl Live {
    /// What changed lately on pages that are `allowed`, at most `limit` closed revisions before a
    /// mark, and with `open` what is being written. Deleted pages are left out.
    ///
    /// # Errors
    /// Store errors.
    pub async fn recent(
        &self,
        before: Option<RecentMark>,
        limit: usize,
        open: bool,
        allowed: impl Fn(&PageInfo) -> bool + Send + 'static,
    ) -> Result<Recent, LiveError> {
        let live = self.clone();
        blocking(move || {
            let shown = |id: PageId| {
                let page = live.pages().get(id)?;
                (page.deleted_ms.is_none() && allowed(&page)).then_some(page)
            };
            // In this order: what is closed in between is then in the list.
            let open =
                if open && before.is_none() { live.recent_open(&shown)? } else { Vec::new() };
            let mut recent = live.recent_closed(before, limit, &shown)?;
            let is_closed = |row: &RecentRow| {
                let newest = recent.closed.iter().find(|closed| closed.page.id == row.page.id);
                newest.is_some_and(|newest| newest.revision.last >= row.revision.first)
            };
            recent.open = open.into_iter().filter(|row| !is_closed(row)).collect();
            Ok(recent)
        })
        .await
    }

    /// Blocks.
    fn recent_closed(
        &self,
        before: Option<RecentMark>,
        limit: usize,
        shown: &impl Fn(PageId) -> Option<PageInfo>,
    ) -> Result<Recent, LiveError> {
        let store = &self.inner.shared.store;
        let mut recent = Recent::default();
        let mut before = before.map(RecentMark::key);
        let mut scanned = 0;
        loop {
            let prefix = NO_PAGE.to_be_bytes();
            let entries = store.list_back(Table::Revisions, &prefix, before.as_deref(), STEP)?;
            for (n, (key, _)) in entries.iter().enumerate() {
                let Some(mark) = RecentMark::read(key) else { continue };
                let Some(page) = shown(mark.page) else { continue };
                let key = revision_key(mark.page, mark.last);
                // None: erased.
                let Some(value) = store.get(Table::Revisions, &key)? else { continue };
                let revision = read(mark.page, &(key, value))?;
                recent.closed.push(RecentRow { page, revision });
                if recent.closed.len() >= limit {
                    let more = n + 1 < entries.len() || entries.len() == STEP;
                    recent.next = Some(mark).filter(|_| more);
                    return Ok(recent);
                }
            }
            scanned += entries.len();
            let Some((key, _)) = entries.last().filter(|_| entries.len() == STEP) else {
                return Ok(recent);
            };
            if scanned >= MAX_SCANNED {
                recent.next = RecentMark::read(key);
                return Ok(recent);
            }
            before = Some(key.clone());
        }
    }

    /// Blocks.
    fn recent_open(
        &self,
        shown: &impl Fn(PageId) -> Option<PageInfo>,
    ) -> Result<Vec<RecentRow>, LiveError> {
        let mut written: Vec<_> = self
            .open_rooms()
            .into_iter()
            .filter(|room| !Labs::is_lab(room.id))
            .filter_map(|room| shown(room.id).map(|page| (room, page)))
            .filter(|(room, page)| self.inner.closing.is_open(room.id, page.head))
            .collect();
        written.sort_by_key(|(_, page)| std::cmp::Reverse(page.updated_ms));
        written.truncate(MAX_OPEN);
        let mut rows = Vec::new();
        for (room, page) in written {
            if let Some(revision) = self.open_revision(&room)? {
                rows.push(RecentRow { page, revision });
            }
        }
        Ok(rows)
    }
}
