//! A page's history, and how two of its revisions differ.

use serde::Serialize;

use super::{PageView, wiki_url};
use crate::diff::{self, Diff};
use crate::live::history::{
    History, HistoryQuery, Recent, RecentRow, RevisionAuthor, RevisionInfo,
};
use crate::page::Revision;
use crate::time;

/// Authors on the page of a difference whose part can be taken back there.
const MAX_PARTS: usize = 20;

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
    fn new(author: &RevisionAuthor) -> Self {
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
    /// Where older ones are.
    pub older_url: Option<String>,
    /// True when older ones than the newest are shown.
    pub is_older: bool,
    /// When the list was made, where some of it is new to whoever asks; milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// The changes of one day (UTC).
#[derive(Debug, Serialize)]
pub struct RecentDay {
    /// `14 November 2023`.
    pub day: String,
    /// The newest first.
    pub changes: Vec<ChangeView>,
}

/// One revision of some page.
#[derive(Debug, Serialize)]
pub struct ChangeView {
    /// The page's path.
    pub path: String,
    /// Its first heading, or the last level of its path.
    pub title: String,
    /// Its address.
    pub url: String,
    /// The revision.
    pub revision: RevisionView,
    /// Whoever asks has not seen it.
    pub is_new: bool,
}

impl RecentView {
    /// The view of a part of the list, made at `until_ms`, of which some is new to whoever asks.
    #[must_use]
    pub fn new(
        recent: &Recent,
        is_older: bool,
        is_new: impl Fn(&RecentRow) -> bool,
        until_ms: u64,
    ) -> Self {
        let now = time::now_ms();
        let mut days: Vec<RecentDay> = Vec::new();
        for row in &recent.closed {
            let day = time::day(row.revision.at_ms);
            if days.last().is_none_or(|last| last.day != day) {
                days.push(RecentDay { day, changes: Vec::new() });
            }
            if let Some(last) = days.last_mut() {
                last.changes.push(ChangeView::new(row, now, is_new(row)));
            }
        }
        let has_news = recent.open.iter().chain(&recent.closed).any(&is_new);
        let open = recent.open.iter();
        Self {
            open: open.map(|row| ChangeView::new(row, now, is_new(row))).collect(),
            days,
            until_ms: has_news.then_some(until_ms),
            older_url: recent.next.map(|mark| format!("/recent?before={mark}")),
            is_older,
        }
    }
}

impl ChangeView {
    fn new(row: &RecentRow, now_ms: u64, is_new: bool) -> Self {
        let page = &row.page;
        Self {
            path: page.path.to_string(),
            title: page.title.clone().unwrap_or_else(|| page.path.name().to_owned()),
            url: wiki_url(&page.path),
            revision: RevisionView::new(&row.revision, now_ms),
            is_new,
        }
    }
}

/// Two revisions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The older one.
    pub from: Revision,
    /// The newer one.
    pub to: Revision,
    /// The page's newest.
    pub head: Revision,
}

/// `diff`: how two revisions differ.
#[derive(Debug, Serialize)]
pub struct DiffView {
    /// The page.
    pub page: PageView,
    /// Which revisions.
    pub range: Range,
    /// Side by side; otherwise one below the other.
    pub split: bool,
    /// What differs.
    pub rows: Vec<RowView>,
    /// Lines that came.
    pub added: usize,
    /// Lines that went.
    pub removed: usize,
    /// See [`Diff::is_coarse`].
    pub is_coarse: bool,
    /// See [`Diff::is_cut`].
    pub is_cut: bool,
    /// See [`Diff::only_ends`].
    pub only_ends: bool,
    /// True when whoever asks may write the page.
    pub can_write: bool,
    /// Whose part can be taken back, the busiest first.
    pub authors: Vec<AuthorView>,
    /// How many more have a part.
    pub others: usize,
}

/// One row: a line of either side or of both.
#[derive(Debug, Serialize)]
pub struct RowView {
    /// `same`, `changed`, `skipped`.
    pub kind: &'static str,
    /// The line before.
    pub old: Option<LineView>,
    /// The line after.
    pub new: Option<LineView>,
    /// How many are skipped.
    pub skipped: usize,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct LineView {
    /// Its number.
    pub number: usize,
    /// Its parts.
    pub parts: Vec<PartView>,
    /// Its number on the other side, where it stands elsewhere.
    pub moved: Option<usize>,
}

/// A part of a line.
#[derive(Debug, Serialize)]
pub struct PartView {
    /// Its text.
    pub text: String,
    /// True when it differs.
    pub changed: bool,
}

impl DiffView {
    /// The view of a comparison. One below the other, all that is gone of a change comes first.
    #[must_use]
    pub fn new(page: PageView, range: Range, diff: Diff, split: bool, can_write: bool) -> Self {
        let Diff { rows, added, removed, is_coarse, is_cut, only_ends } = diff;
        let mut views = Vec::with_capacity(rows.len());
        let mut waiting = Vec::new();
        for row in rows {
            match row {
                diff::Row::Changed { old, new } if split => {
                    views.push(RowView::of("changed", old.map(line), new.map(line)));
                }
                diff::Row::Changed { old, new } => {
                    if let Some(old) = old {
                        views.push(RowView::of("changed", Some(line(old)), None));
                    }
                    waiting.extend(new.map(line));
                }
                diff::Row::Same { old, new, text } => {
                    give(&mut waiting, &mut views);
                    let side = |number, text| LineView {
                        number,
                        parts: vec![PartView { text, changed: false }],
                        moved: None,
                    };
                    let (old, new) = (side(old, text.clone()), side(new, text));
                    views.push(RowView::of("same", Some(old), Some(new)));
                }
                diff::Row::Skipped(skipped) => {
                    give(&mut waiting, &mut views);
                    views.push(RowView { skipped, ..RowView::of("skipped", None, None) });
                }
            }
        }
        give(&mut waiting, &mut views);
        let rows = views;
        let (authors, others) = (Vec::new(), 0);
        Self {
            page,
            range,
            split,
            rows,
            added,
            removed,
            is_coarse,
            is_cut,
            only_ends,
            can_write,
            authors,
            others,
        }
    }

    /// The same with those whose part can be taken back.
    #[must_use]
    pub fn with_authors(mut self, authors: &[RevisionAuthor]) -> Self {
        self.authors = authors.iter().take(MAX_PARTS).map(AuthorView::new).collect();
        self.others = authors.len().saturating_sub(MAX_PARTS);
        self
    }
}

fn give(waiting: &mut Vec<LineView>, views: &mut Vec<RowView>) {
    views.extend(waiting.drain(..).map(|line| RowView::of("changed", None, Some(line))));
}

fn line(line: diff::Line) -> LineView {
    let parts = line.parts.into_iter();
    let parts = parts.map(|part| PartView { text: part.text, changed: part.changed }).collect();
    LineView { number: line.number, parts, moved: line.moved }
}

impl RowView {
    fn of(kind: &'static str, old: Option<LineView>, new: Option<LineView>) -> Self {
        Self { kind, old, new, skipped: 0 }
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
