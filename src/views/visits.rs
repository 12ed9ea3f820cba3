//! What is new to whoever asks, and what they watch.

use serde::Serialize;

use super::wiki_url;
use crate::live::PageInfo;
use crate::live::visits::{News, Watch, Watched};
use crate::page::{PagePath, Revision};
use crate::time;

/// People who are named in one sentence.
const NAMED: usize = 3;

/// What has changed on a page since somebody was there.
#[derive(Debug, Serialize)]
pub struct NewsView {
    /// `7 changes`
    pub changes: String,
    /// `Anna and Ben`; empty when it is not known yet.
    pub who: String,
    /// When they were there; `None`: never.
    pub since: Option<SinceView>,
    /// What they had seen.
    pub from: Revision,
    /// The newest.
    pub to: Revision,
}

/// When somebody was there.
#[derive(Debug, Serialize)]
pub struct SinceView {
    /// `on Tuesday`, of UTC: the script says it in the reader's own time.
    pub words: String,
    /// The same as RFC 3339.
    pub iso: String,
}

impl NewsView {
    /// In words.
    #[must_use]
    pub fn new(news: &News, now_ms: u64) -> Self {
        let changes = match (news.count, news.is_more, news.authors.is_empty()) {
            (_, _, true) => "Changes".to_owned(),
            (count, true, _) => format!("More than {count} changes"),
            (1, false, _) => "1 change".to_owned(),
            (count, false, _) => format!("{count} changes"),
        };
        let since = news
            .since_ms
            .map(|ms| SinceView { words: time::since(ms, now_ms), iso: time::iso(ms) });
        Self { changes, who: who(news), since, from: news.from, to: news.to }
    }
}

/// `Anna, Ben and 2 more`
fn who(news: &News) -> String {
    let mut names: Vec<_> = news.authors.iter().map(|author| author.name.clone()).collect();
    let unnamed = usize::try_from(news.others).unwrap_or(usize::MAX);
    let more = names.len().saturating_sub(NAMED).saturating_add(unnamed);
    names.truncate(NAMED);
    if more > 0 && !names.is_empty() {
        names.push(format!("{more} more"));
    }
    match names.pop() {
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} and {last}", names.join(", ")),
        None => String::new(),
    }
}

/// How somebody watches a page.
#[derive(Debug, Default, Serialize)]
pub struct WatchView {
    /// `page`, `tree`, or nothing.
    pub how: Option<&'static str>,
    /// The page above it by which they watch it.
    pub above: Option<String>,
}

impl WatchView {
    /// From what is known.
    #[must_use]
    pub fn new(watch: Option<&Watch>, above: Option<&PagePath>) -> Self {
        Self {
            how: watch.map(|watch| if watch.tree { "tree" } else { "page" }),
            above: above.map(ToString::to_string),
        }
    }
}

/// `watching`: what somebody watches, and what is new there.
#[derive(Debug, Serialize)]
pub struct WatchingView {
    /// Pages with news, the newest change first.
    pub news: Vec<NewsRow>,
    /// There are more of them.
    pub is_more: bool,
    /// What they watch, by name.
    pub watches: Vec<WatchRow>,
    /// When the list was made, milliseconds since 1970.
    pub until_ms: u64,
}

/// A watched page that has changed.
#[derive(Debug, Serialize)]
pub struct NewsRow {
    /// Its path.
    pub path: String,
    /// Its first heading, or the last level of its path.
    pub title: String,
    /// Its address.
    pub url: String,
    /// When it was changed last, in words.
    pub ago: String,
    /// The same as RFC 3339.
    pub iso: String,
    /// What has changed.
    pub news: NewsView,
}

/// Something that is watched.
#[derive(Debug, Serialize)]
pub struct WatchRow {
    /// The page's path.
    pub path: String,
    /// The page's address.
    pub url: String,
    /// With all pages below it.
    pub tree: bool,
    /// The page is there.
    pub exists: bool,
}

impl WatchingView {
    /// The view of what is watched, looked up at `until_ms`.
    #[must_use]
    pub fn new(watched: &Watched, until_ms: u64) -> Self {
        let now = time::now_ms();
        let row = |(page, news): &(PageInfo, News)| NewsRow {
            path: page.path.to_string(),
            title: page.title.clone().unwrap_or_else(|| page.path.name().to_owned()),
            url: wiki_url(&page.path),
            ago: time::ago(page.updated_ms, now),
            iso: time::iso(page.updated_ms),
            news: NewsView::new(news, now),
        };
        let watch = |(watch, page): &(Watch, Option<PageInfo>)| WatchRow {
            path: watch.path.to_string(),
            url: wiki_url(&watch.path),
            tree: watch.tree,
            exists: page.is_some(),
        };
        Self {
            news: watched.news.iter().map(row).collect(),
            is_more: watched.is_more,
            watches: watched.watches.iter().map(watch).collect(),
            until_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::history::RevisionAuthor;

    #[test]
    fn what_is_new_is_one_sentence() {
        let author = |name: &&str| RevisionAuthor {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            colour: 0,
            edits: 1,
        };
        let check = |names: &[&str], others, count, is_more, expected: (&str, &str)| {
            let news = News {
                from: Revision(1),
                to: Revision(9),
                since_ms: None,
                count,
                is_more,
                authors: names.iter().map(author).collect(),
                others,
            };
            let view = NewsView::new(&news, 0);
            assert_eq!((view.changes.as_str(), view.who.as_str()), expected);
        };
        check(&["Anna"], 0, 1, false, ("1 change", "Anna"));
        check(&["Anna", "Ben"], 0, 7, false, ("7 changes", "Anna and Ben"));
        check(&["A", "B", "C"], 0, 7, false, ("7 changes", "A, B and C"));
        check(&["A", "B", "C", "D"], 1, 100, true, ("More than 100 changes", "A, B, C and 2 more"));
        check(&[], 0, 1, false, ("Changes", ""));
    }
}
