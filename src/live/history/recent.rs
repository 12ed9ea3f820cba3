//! What changed lately, anywhere in the wiki.
//!
//! Beside the record of each closed revision stands an entry whose key is the time, under the
//! number of no page, so that the newest of all pages are read without looking at each page. That a
//! page was deleted or restored is such an entry as well, and has no other record.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{RevisionAuthor, RevisionInfo, read, revision_key};
use crate::live::labs::Labs;
use crate::live::visits::Visitor;
use crate::live::{Author, Live, LiveError, PageInfo, blocking};
use crate::page::{PageId, PagePath, Revision};
use crate::store::{Change, Expect, StoreError, Table};

/// Page ids begin at 1.
pub(in crate::live) const NO_PAGE: u64 = 0;

/// Entries read at a time, and at most for one list: all of them may be of pages that are not shown,
/// and a filter may match none of them.
const STEP: usize = 128;
pub(super) const MAX_SCANNED: usize = 2_048;

/// Most pages that are shown as being written.
const MAX_OPEN: usize = 50;

/// A place in the list, which orders by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentMark {
    at_ms: u64,
    page: PageId,
    last: Revision,
    /// What became of the page; 0: a revision was closed. The last byte of the key, where it is not
    /// 0.
    event: u8,
}

impl RecentMark {
    /// When what stands there happened, milliseconds since 1970.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    fn of(page: PageId, revision: &RevisionInfo) -> Self {
        Self { at_ms: revision.at_ms, page, last: revision.last, event: 0 }
    }

    fn key(self) -> Vec<u8> {
        let mut key =
            [NO_PAGE, self.at_ms, self.page.0, self.last.0].map(u64::to_be_bytes).concat();
        if self.event > 0 {
            key.push(self.event);
        }
        key
    }

    fn read(key: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = key.get(8 * at..8 * at + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        };
        let (page, last) = (PageId(number(2)?), Revision(number(3)?));
        let event = key.get(32).copied().unwrap_or_default();
        Some(Self { at_ms: number(1)?, page, last, event })
    }
}

impl fmt::Display for RecentMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.at_ms, self.page, self.last)?;
        if self.event > 0 { write!(f, "-{}", self.event) } else { Ok(()) }
    }
}

/// Not a place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMark;

impl FromStr for RecentMark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let mut numbers = text.splitn(4, '-').map(|number| number.parse().map_err(|_| NoMark));
        let mut next = || numbers.next().unwrap_or(Err(NoMark));
        let (at_ms, page, last) = (next()?, PageId(next()?), Revision(next()?));
        let event = match numbers.next() {
            Some(event) => u8::try_from(event?).map_err(|_| NoMark)?,
            None => 0,
        };
        Ok(Self { at_ms, page, last, event })
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

/// What became of a page as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageEvent {
    /// It was taken away.
    Deleted,
    /// It was brought back.
    Restored,
}

/// The value of an entry that says what became of a page.
#[derive(Serialize, Deserialize)]
struct EventRecord {
    event: PageEvent,
    by: RevisionAuthor,
}

/// The entry for what became of a page, whose newest revision is the one given.
pub(in crate::live) fn event_change(
    (page, last): (PageId, Revision),
    at_ms: u64,
    event: PageEvent,
    who: &Author,
) -> Change {
    let Author { id, name, colour } = who.clone();
    let record = EventRecord { event, by: RevisionAuthor { id, name, colour, edits: 0 } };
    let number = match event {
        PageEvent::Deleted => 1,
        PageEvent::Restored => 2,
    };
    Change {
        table: Table::Revisions,
        key: RecentMark { at_ms, page, last, event: number }.key(),
        expect: Expect::Anything,
        // A plain struct of strings and numbers: serialising it cannot fail.
        value: Some(serde_json::to_vec(&record).unwrap_or_default()),
    }
}

/// A page that was deleted or restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentEvent {
    /// The page as it is now.
    pub page: PageInfo,
    /// What became of it.
    pub event: PageEvent,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who did it, as they were called then.
    pub by: RevisionAuthor,
}

/// A revision and its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRow {
    /// The page as it is now.
    pub page: PageInfo,
    /// The revision.
    pub revision: RevisionInfo,
}

/// What of the list is wanted.
#[derive(Clone, Debug, Default)]
pub struct RecentQuery {
    /// Only what stands behind this place.
    pub before: Option<RecentMark>,
    /// At most so many.
    pub limit: usize,
    /// With what became of pages, which counts as revisions do, and with what is being written.
    pub all: bool,
    /// Only what somebody wrote in or did, see [`RevisionAuthor::handle`].
    pub author: Option<String>,
    /// Only revisions that have a name.
    pub named: bool,
    /// Only this page and those below it.
    pub below: Option<PagePath>,
    /// Only revisions that are news to somebody, see [`Visitor::has_news_in`].
    pub unseen_by: Option<Visitor>,
}

impl RecentQuery {
    fn fits(&self, page: PageId, revision: &RevisionInfo) -> bool {
        let is_by = |wanted: &String| revision.authors.iter().any(|one| one.handle() == *wanted);
        (!self.named || revision.name.is_some())
            && self.author.as_ref().is_none_or(is_by)
            && self.unseen_by.as_ref().is_none_or(|who| who.has_news_in(page, revision))
    }

    fn fits_event(&self, by: &RevisionAuthor) -> bool {
        self.author.as_ref().is_none_or(|wanted| by.handle() == *wanted)
    }

    /// What became of a page has no name, and is not marked as seen.
    fn with_events(&self) -> bool {
        self.all && !self.named && self.unseen_by.is_none()
    }
}

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Pages that have edits in no closed revision, the newest first; only at the beginning.
    pub open: Vec<RecentRow>,
    /// Closed revisions, the newest first.
    pub closed: Vec<RecentRow>,
    /// Pages that were deleted and restored meanwhile, the newest first.
    pub events: Vec<RecentEvent>,
    /// Where to go on with older ones, if there are any.
    pub next: Option<RecentMark>,
}

fn read_event(page: PageId, value: &[u8]) -> Result<EventRecord, StoreError> {
    serde_json::from_slice(value)
        .map_err(|_| StoreError::Damaged(format!("what became of page {page} cannot be read")))
}

impl Live {
    /// What changed lately on pages that are `allowed`, deleted ones among them. Of a filter that
    /// matches little a list may have few rows or none, and yet go on: it looks at a bounded number
    /// of entries.
    ///
    /// # Errors
    /// Store errors.
    pub async fn recent(
        &self,
        query: RecentQuery,
        allowed: impl Fn(&PageInfo) -> bool + Send + 'static,
    ) -> Result<Recent, LiveError> {
        let live = self.clone();
        blocking(move || {
            let shown = |id: PageId| {
                let page = live.pages().get(id)?;
                let is_below = query.below.as_ref().is_none_or(|above| above.covers(&page.path));
                (is_below && allowed(&page)).then_some(page)
            };
            // In this order: what is closed in between is then in the list.
            let open = match query.all && query.before.is_none() && !query.named {
                true => live.recent_open(&shown)?,
                false => Vec::new(),
            };
            let mut recent = live.recent_closed(&query, &shown)?;
            let is_closed = |row: &RecentRow| {
                let newest = recent.closed.iter().find(|closed| closed.page.id == row.page.id);
                newest.is_some_and(|newest| newest.revision.last >= row.revision.first)
            };
            let fits = |row: &RecentRow| query.fits(row.page.id, &row.revision);
            recent.open = open.into_iter().filter(|row| fits(row) && !is_closed(row)).collect();
            Ok(recent)
        })
        .await
    }

    /// Blocks.
    fn recent_closed(
        &self,
        query: &RecentQuery,
        shown: &impl Fn(PageId) -> Option<PageInfo>,
    ) -> Result<Recent, LiveError> {
        let store = &self.inner.shared.store;
        let mut recent = Recent::default();
        let mut before = query.before.map(RecentMark::key);
        let mut scanned = 0;
        loop {
            let prefix = NO_PAGE.to_be_bytes();
            let entries = store.list_back(Table::Revisions, &prefix, before.as_deref(), STEP)?;
            for (n, (key, value)) in entries.iter().enumerate() {
                let Some(mark) = RecentMark::read(key) else { continue };
                let Some(page) = shown(mark.page) else { continue };
                if mark.event > 0 {
                    if !query.with_events() {
                        continue;
                    }
                    let EventRecord { event, by } = read_event(page.id, value)?;
                    if !query.fits_event(&by) {
                        continue;
                    }
                    recent.events.push(RecentEvent { page, event, at_ms: mark.at_ms, by });
                } else {
                    let key = revision_key(mark.page, mark.last);
                    // None: erased.
                    let Some(value) = store.get(Table::Revisions, &key)? else { continue };
                    let revision = read(mark.page, &(key, value))?;
                    if !query.fits(page.id, &revision) {
                        continue;
                    }
                    recent.closed.push(RecentRow { page, revision });
                }
                if recent.closed.len() + recent.events.len() >= query.limit {
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
            .filter(|(room, page)| {
                page.deleted_ms.is_none() && self.inner.closing.is_open(room.id, page.head)
            })
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
