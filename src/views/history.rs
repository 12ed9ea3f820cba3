//! A page's history, and what changed lately anywhere.

use serde::Serialize;

use super::{PageView, wiki_url};
use crate::live::history::{
    History, HistoryQuery, PageEvent, Recent, RecentEvent, RecentQuery, RecentRow, RevisionAuthor,
    RevisionInfo,
};
use crate::live::{Author, PageInfo};
use crate::page::Revision;
use crate::time;

/// `history`: a page's revisions, by day.
#[derive(Debug, Serialize)]
pub struct HistoryView {
    /// The page.
    pub page: PageView,
    /// Edits that are in no closed revision yet.
    pub open: Option<RevisionView>,
    /// The others, the newest day first.
    pub days: Vec<DayView>,
    /// True when only revisions with a name are shown.
    pub named: bool,
    /// Whose revisions are shown, if not all.
    pub author: Option<AuthorView>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// True when older ones than the newest are shown.
    pub is_older: bool,
    /// True when whoever asks may write the page.
    pub can_write: bool,
    /// True when the page is deleted and whoever asks may bring it back.
    pub can_restore: bool,
}

/// The revisions of one day (UTC).
#[derive(Debug, Serialize)]
pub struct DayView {
    /// `14 November 2023`.
    pub day: String,
    /// The newest first.
    pub revisions: Vec<RevisionView>,
}

/// One revision.
#[derive(Debug, Serialize)]
pub struct RevisionView {
    /// By which it is known.
    pub rev: Revision,
    /// The one before it.
    pub before: Revision,
    /// How many updates it has.
    pub edits: u64,
    /// When it ended, in words.
    pub ago: String,
    /// The same as RFC 3339.
    pub iso: String,
    /// How much longer the text became, such as `+1,204`, and what that is: `grew`, `shrank`,
    /// `same`.
    pub change: String,
    /// See `change`.
    pub change_kind: &'static str,
    /// Bytes of the text.
    pub bytes: String,
    /// Who wrote.
    pub authors: Vec<AuthorView>,
    /// How many more did.
    pub others: u64,
    /// What it was called.
    pub name: Option<String>,
}

/// One who did something to a page as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct PersonView {
    /// Their name then.
    pub name: String,
    /// Index into the palette.
    pub colour: u8,
}

impl PersonView {
    /// As they were called then.
    #[must_use]
    pub fn new(who: &Author) -> Self {
        Self { name: who.name.clone(), colour: who.colour }
    }
}

/// One who wrote.
#[derive(Debug, Serialize)]
pub struct AuthorView {
    /// Their name then.
    pub name: String,
    /// Index into the palette.
    pub colour: u8,
    /// For addresses.
    pub handle: String,
}

impl HistoryView {
    /// The view of a part of a history.
    #[must_use]
    pub fn new(page: PageView, history: &History, query: &HistoryQuery, can_write: bool) -> Self {
        let now = time::now_ms();
        let mut days: Vec<DayView> = Vec::new();
        for info in &history.closed {
            let day = time::day(info.at_ms);
            if days.last().is_none_or(|last| last.day != day) {
                days.push(DayView { day, revisions: Vec::new() });
            }
            if let Some(last) = days.last_mut() {
                last.revisions.push(RevisionView::new(info, now));
            }
        }
        let all = history.open.iter().chain(&history.closed).flat_map(|info| &info.authors);
        let author = query.author.as_ref().map(|wanted| {
            let found = all.map(AuthorView::new).find(|author| author.handle == *wanted);
            let nobody = || AuthorView {
                name: "somebody who wrote nothing here".to_owned(),
                colour: 0,
                handle: wanted.clone(),
            };
            found.unwrap_or_else(nobody)
        });
        let older_url = history.next.map(|before| {
            let mut url = format!("?before={before}");
            if query.named {
                url.push_str("&named=1");
            }
            if let Some(author) = &author {
                url.push_str("&author=");
                url.push_str(&author.handle);
            }
            url
        });
        Self {
            page,
            open: history.open.as_ref().map(|info| RevisionView::new(info, now)),
            days,
            named: query.named,
            author,
            older_url,
            is_older: query.before.is_some(),
            can_write,
            can_restore: false,
        }
    }
}

impl RevisionView {
    fn new(info: &RevisionInfo, now_ms: u64) -> Self {
        let (was, is) = (info.was, info.bytes);
        let (change, change_kind) = match is.cmp(&was) {
            std::cmp::Ordering::Greater => (format!("+{}", grouped(is - was)), "grew"),
            std::cmp::Ordering::Less => (format!("\u{2212}{}", grouped(was - is)), "shrank"),
            std::cmp::Ordering::Equal => ("\u{b1}0".to_owned(), "same"),
        };
        Self {
            rev: info.last,
            before: info.before(),
            edits: info.last.0 - info.before().0,
            ago: time::ago(info.at_ms, now_ms),
            iso: time::iso(info.at_ms),
            change,
            change_kind,
            bytes: grouped(is),
            authors: info.authors.iter().map(AuthorView::new).collect(),
            others: info.others,
            name: info.name.clone(),
        }
    }
}

impl AuthorView {
    /// As they were called then.
    #[must_use]
    pub fn new(author: &RevisionAuthor) -> Self {
        Self { name: author.name.clone(), colour: author.colour, handle: author.handle() }
    }
}

/// `1,204,000`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `recent`: what changed lately, by day.
#[derive(Debug, Serialize)]
pub struct RecentView {
    /// Pages that are being written.
    pub open: Vec<ChangeView>,
    /// Closed revisions, the newest day first.
    pub days: Vec<RecentDay>,
    /// What is shown of it.
    pub filter: RecentFilter,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// The day down to which was looked, where the list goes on.
    pub looked_until: Option<String>,
    /// When the list was made, where some of it is new to whoever asks; milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// What is shown of the list of changes.
#[derive(Debug, Serialize)]
pub struct RecentFilter {
    /// Whose changes, if not all.
    pub author: Option<AuthorView>,
    /// True when only revisions with a name are shown.
    pub named: bool,
    /// The page which, with those below it, alone is shown.
    pub below: Option<String>,
    /// True when only what whoever asks has not seen is shown.
    pub unseen: bool,
    /// True when it is known what whoever asks has seen.
    pub is_known: bool,
    /// True when older ones than the newest are shown.
    pub is_older: bool,
    /// True when any of it is set.
    pub is_on: bool,
    /// Such as `author=0123456789ab&named=1`, for addresses; empty when nothing is set.
    pub query: String,
    /// The same without the author, and with `&` before all.
    pub rest: String,
}

impl RecentFilter {
    /// The filter of a query; the author is not yet known by name.
    #[must_use]
    pub fn new(query: &RecentQuery, is_known: bool) -> Self {
        let mut rest = String::new();
        if query.named {
            rest.push_str("&named=1");
        }
        if let Some(below) = &query.below {
            rest.push_str("&below=");
            rest.push_str(&below.to_url());
        }
        if query.unseen_by.is_some() {
            rest.push_str("&unseen=1");
        }
        let author = query.author.as_ref().map(|handle| AuthorView {
            name: "somebody".to_owned(),
            colour: 0,
            handle: handle.clone(),
        });
        let full = match &author {
            Some(author) => format!("author={}{rest}", author.handle),
            None => rest.trim_start_matches('&').to_owned(),
        };
        Self {
            author,
            named: query.named,
            below: query.below.as_ref().map(ToString::to_string),
            unseen: query.unseen_by.is_some(),
            is_known,
            is_older: query.before.is_some(),
            is_on: !full.is_empty(),
            query: full,
            rest,
        }
    }

    fn hides_news(&self) -> bool {
        self.author.is_some() || self.named || self.below.is_some()
    }

    /// Calls the author what they are called in the list, if they are in it.
    pub fn find_author(&mut self, recent: &Recent) {
        let Some(wanted) = &mut self.author else { return };
        let rows = recent.open.iter().chain(&recent.closed);
        let authors = rows.flat_map(|row| &row.revision.authors);
        let mut all = authors.chain(recent.events.iter().map(|event| &event.by));
        if let Some(found) = all.find(|author| author.handle() == wanted.handle) {
            *wanted = AuthorView::new(found);
        }
    }
}

/// The changes of one day (UTC).
#[derive(Debug, Serialize)]
pub struct RecentDay {
    /// `14 November 2023`.
    pub day: String,
    /// The newest first.
    pub changes: Vec<ChangeView>,
}

/// One revision of some page, or what became of the page as a whole.
#[derive(Debug, Serialize)]
pub struct ChangeView {
    /// The page's path.
    pub path: String,
    /// Its first heading, or the last level of its path.
    pub title: String,
    /// Its address; of a deleted page, its history's.
    pub url: String,
    /// True when the page is deleted.
    pub is_deleted: bool,
    /// The revision; none when it is what became of the page.
    pub revision: Option<RevisionView>,
    /// What became of the page.
    pub event: Option<EventView>,
    /// Whoever asks has not seen it.
    pub is_new: bool,
}

/// What became of a page as a whole.
#[derive(Debug, Serialize)]
pub struct EventView {
    /// `deleted`, `restored`.
    pub kind: &'static str,
    /// Who did it.
    pub by: AuthorView,
    /// When, in words.
    pub ago: String,
    /// The same as RFC 3339.
    pub iso: String,
}

impl RecentView {
    /// The view of a part of the list, made at `until_ms`, of which some is new to whoever asks.
    #[must_use]
    pub fn new(
        recent: &Recent,
        filter: RecentFilter,
        is_new: impl Fn(&RecentRow) -> bool,
        until_ms: u64,
    ) -> Self {
        let now = time::now_ms();
        let events = recent.events.iter().map(|event| (event.at_ms, ChangeView::of(event, now)));
        let closed = recent
            .closed
            .iter()
            .map(|row| (row.revision.at_ms, ChangeView::new(row, now, is_new(row))));
        let mut rows: Vec<_> = events.chain(closed).collect();
        // Each of both is in order, and stays so.
        rows.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
        let mut days: Vec<RecentDay> = Vec::new();
        for (at_ms, row) in rows {
            let day = time::day(at_ms);
            if days.last().is_none_or(|last| last.day != day) {
                days.push(RecentDay { day, changes: Vec::new() });
            }
            if let Some(last) = days.last_mut() {
                last.changes.push(row);
            }
        }
        let has_news = recent.open.iter().chain(&recent.closed).any(&is_new);
        let open = recent.open.iter();
        Self {
            open: open.map(|row| ChangeView::new(row, now, is_new(row))).collect(),
            days,
            // It marks all as seen, so it is not offered where only some is shown.
            until_ms: (has_news && !filter.hides_news()).then_some(until_ms),
            older_url: recent.next.map(|mark| match filter.is_on {
                true => format!("/recent?{}&before={mark}", filter.query),
                false => format!("/recent?before={mark}"),
            }),
            looked_until: recent.next.map(|mark| time::day(mark.at_ms())),
            filter,
        }
    }
}

impl ChangeView {
    fn new(row: &RecentRow, now_ms: u64, is_new: bool) -> Self {
        let revision = RevisionView::new(&row.revision, now_ms);
        Self { revision: Some(revision), is_new, ..Self::page(&row.page) }
    }

    fn of(event: &RecentEvent, now_ms: u64) -> Self {
        let kind = match event.event {
            PageEvent::Deleted => "deleted",
            PageEvent::Restored => "restored",
        };
        let by = AuthorView::new(&event.by);
        let (ago, iso) = (time::ago(event.at_ms, now_ms), time::iso(event.at_ms));
        Self { event: Some(EventView { kind, by, ago, iso }), ..Self::page(&event.page) }
    }

    fn page(page: &PageInfo) -> Self {
        let is_deleted = page.deleted_ms.is_some();
        Self {
            path: page.path.to_string(),
            title: page.title.clone().unwrap_or_else(|| page.path.name().to_owned()),
            url: match is_deleted {
                true => format!("/history/{}", page.path.to_url()),
                false => wiki_url(&page.path),
            },
            is_deleted,
            revision: None,
            event: None,
            is_new: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 999, 1_000, 1_204_000].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,204,000"]);
    }
}
