use std::time::Duration;

use super::notes::{MAX_NOTES, STAYS_MS};
use super::*;
use crate::live::presence::{Beat, Mode, Rung};
use crate::live::{Author, LiveSettings};
use crate::store::{Options, Store, Table};

struct Bench {
    live: Live,
    store: Store,
    page: PageId,
    dir: tempfile::TempDir,
}

fn author(id: &str) -> Author {
    Author { id: id.into(), name: id.to_uppercase(), colour: 3 }
}

fn path(text: &str) -> PagePath {
    text.parse().expect("a path")
}

fn options() -> Options {
    Options { free_floor_bytes: 0, ..Options::default() }
}

/// Time has a grain of a millisecond, and what is noted in the same one as a change counts as later.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// News as: from, to, how many, by whom.
type Told = (u64, u64, usize, Vec<String>);

fn told(news: &News) -> Told {
    let authors = news.authors.iter().map(|author| author.id.clone()).collect();
    (news.from.0, news.to.0, news.count, authors)
}

fn by(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().to_owned();
        let store = tokio::task::spawn_blocking(move || Store::open(&at, options()));
        let store = store.await.expect("joins").expect("opens");
        let live = Live::open(store.clone(), &LiveSettings::default()).expect("opens");
        let (page, _) = live.create(&path("Home"), &author("ann")).await.expect("made");
        Self { live, store, page: page.id, dir }
    }

    async fn write(&self, who: &str, text: &str) {
        self.write_to(self.page, who, text).await;
    }

    async fn write_to(&self, page: PageId, who: &str, text: &str) {
        let (now, _) = self.live.room(page).await.expect("opens").text().expect("a text");
        let merged = self.live.merge_text(page, now, text.into(), &author(who)).await;
        merged.expect("merged");
        a_moment().await;
    }

    /// Closes what is open of the page's history.
    async fn close_revision(&self) {
        let room = self.live.room(self.page).await.expect("opens");
        self.live.inner.closing.begin_long_ago();
        self.live.close_deserted(&room).await.expect("closed");
    }

    fn info(&self) -> PageInfo {
        self.live.pages().get(self.page).expect("a page")
    }

    /// Shows the page to somebody.
    async fn show(&self, who: &str) -> Option<Told> {
        let (page, shown) = (self.info(), self.info().head);
        let visit = self.live.visit(who, &page, shown).await.expect("read");
        a_moment().await;
        visit.news.as_ref().map(told)
    }

    async fn visitor(&self, who: &str) -> Visitor {
        self.live.visitor(who).await.expect("read")
    }

    fn beat(&self, who: &str, mode: Mode) {
        let beat = Beat {
            client: format!("tab-of-{who}"),
            via: None,
            known: true,
            page: self.page,
            mode,
            rung: Rung::Stream,
            interval: Duration::ZERO,
            caret: None,
        };
        self.live.presence().beat(&author(who), beat).expect("a beat");
        self.live.presence().sweep();
    }

    /// As the look that comes every two seconds, without what it writes.
    fn look(&self) {
        self.live.presence().sweep();
        self.live.note_sights(now_ms());
    }

    fn keys(&self) -> usize {
        self.store.list(Table::Visits, &[], None, 100_000).expect("read").len()
    }
}

#[tokio::test]
async fn who_comes_back_is_told_what_others_changed_since_and_until_they_dismiss_it() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    assert_eq!(bench.show("bob").await, None, "the first time nothing is new");
    assert_eq!(bench.show("bob").await, None);
    bench.write("ann", "two\n").await;
    for _ in 0..2 {
        let expected = Some((1, 2, 1, by(&["ann"])));
        assert_eq!(bench.show("bob").await, expected, "also when it is shown again");
        bench.live.end_visits().await;
    }
    let dismiss = async |rev| {
        let page = bench.info();
        bench.live.mark_seen("bob", &page, Revision(rev)).await
    };
    dismiss(2).await.expect("noted");
    assert_eq!(bench.show("bob").await, None);
    bench.write("bob", "three\n").await;
    assert_eq!(bench.show("bob").await, None, "what they did themselves is no news");
    bench.write("cleo", "four\n").await;
    // It is one open revision of three people, of which only the last part is new.
    assert_eq!(bench.show("bob").await, Some((3, 4, 1, by(&["cleo"]))));
    bench.write("ann", "five\n").await;
    dismiss(4).await.expect("noted");
    assert_eq!(bench.show("bob").await, Some((4, 5, 1, by(&["ann"]))), "more than they knew of");
    bench.live.mark_all_seen("bob", now_ms()).await.expect("noted");
    assert_eq!(bench.show("bob").await, None, "all is seen");
    a_moment().await;
    bench.write("ann", "six\n").await;
    assert_eq!(bench.show("bob").await, Some((5, 6, 1, by(&["ann"]))));
}

#[tokio::test]
async fn who_looks_at_what_changed_since_they_were_there_has_been_told() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.show("bob").await;
    let look = async |who: &str, from, to| {
        let range = (Revision(from), Revision(to));
        bench.live.look_at_changes(who, &bench.info(), range).await.expect("read");
        a_moment().await;
    };
    bench.write("ann", "two\n").await;
    bench.write("ann", "three\n").await;
    let news = Some((1, 3, 1, by(&["ann"])));
    assert_eq!(bench.show("bob").await, news);
    for (from, to) in [(2, 3), (3, 3), (3, 1)] {
        look("bob", from, to).await;
        assert_eq!(bench.show("bob").await, news, "{from} to {to} is not all of it");
    }
    look("bob", 1, 2).await;
    assert_eq!(bench.show("bob").await, Some((2, 3, 1, by(&["ann"]))), "as far as they looked");
    look("bob", 0, 3).await;
    assert_eq!(bench.show("bob").await, None, "more than is new has all that is new");
    // A list tells what is new since they opened it last, the page what is new since the visit before.
    bench.write("ann", "four\n").await;
    bench.show("bob").await;
    bench.write("ann", "five\n").await;
    let is_marked = async || bench.visitor("bob").await.has_news(&bench.info());
    assert!(is_marked().await);
    look("bob", 4, 5).await;
    assert!(!is_marked().await);
    assert_eq!(bench.show("bob").await, Some((3, 5, 1, by(&["ann"]))));
    // A page that they have never opened.
    bench.live.watch("cleo", &path("Home"), Some(false)).await.expect("watched");
    a_moment().await;
    bench.write("ann", "six\n").await;
    let rows = async || bench.live.watched("cleo", |_| true).await.expect("read").news.len();
    assert_eq!(rows().await, 1);
    look("cleo", 5, 6).await;
    assert_eq!(rows().await, 0);
    look("nobody", 0, 6).await;
    assert!(!bench.visitor("nobody").await.has_news(&bench.info()));
    assert_eq!(bench.keys(), 2, "only what cleo watches was written at once");
}

#[tokio::test]
async fn closed_revisions_are_counted_and_those_that_one_wrote_alone_are_not() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.close_revision().await;
    bench.show("bob").await;
    for (who, text) in [("ann", "two\n"), ("bob", "three\n"), ("cleo", "four\n")] {
        bench.write(who, text).await;
        bench.close_revision().await;
    }
    bench.write("ann", "five\n").await;
    assert_eq!(bench.show("bob").await, Some((1, 5, 3, by(&["ann", "cleo"]))));
    bench.live.mark_all_seen("bob", 1).await.expect("noted");
    assert_eq!(bench.show("bob").await.map(|news| news.2), Some(3), "a time of long ago");
    assert_eq!(bench.show("ann").await, None, "a first look");
}

#[tokio::test]
async fn what_changes_before_their_eyes_is_not_told_and_what_changed_while_they_were_away_is() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.show("bob").await;
    bench.beat("bob", Mode::Reading);
    bench.look();
    bench.write("ann", "two\n").await;
    bench.look();
    assert_eq!(bench.show("bob").await, None);
    bench.write("ann", "three\n").await;
    bench.look();
    bench.beat("bob", Mode::Away);
    bench.look();
    bench.write("ann", "four\n").await;
    bench.look();
    assert_eq!(bench.visitor("bob").await.seen(bench.page).map(|seen| seen.rev), Some(Revision(3)));
    bench.live.end_visits().await;
    assert_eq!(bench.show("bob").await, Some((3, 4, 1, by(&["ann"]))));
    bench.beat("bob", Mode::Reading);
    bench.look();
    assert!(!bench.live.write_visits(Some(now_ms()), 10).await, "who is there can wait");
    bench.live.presence().leave("tab-of-bob", "bob");
    bench.look();
    assert!(bench.live.write_visits(Some(now_ms()), 10).await, "who has left is written");
    assert!(!bench.live.write_visits(Some(now_ms()), 10).await);
}

#[tokio::test]
async fn a_view_writes_nothing_until_they_have_left_and_the_same_again_writes_nothing() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    for _ in 0..5 {
        bench.show("bob").await;
    }
    assert!(!bench.live.write_visits(Some(now_ms()), 10).await);
    assert_eq!(bench.keys(), 0);
    assert!(bench.live.write_visits(Some(now_ms() + STAYS_MS), 10).await, "who stays, some time");
    assert_eq!(bench.keys(), 2);
    let before = bench.store.stats().journal_bytes;
    bench.show("bob").await;
    bench.live.end_visits().await;
    assert_eq!((bench.keys(), bench.store.stats().journal_bytes), (2, before));
}

#[tokio::test]
async fn thousands_who_leave_at_once_are_written_by_few_calls_and_lose_nothing_by_waiting() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    let people = 2_000;
    let event = |rev| Event { sight: Sight::Live, rev: Revision(rev), at_ms: now_ms() };
    for n in 0..people {
        bench.live.inner.visits.notes().leave(&format!("g{n:05}"), bench.page, event(1));
    }
    let mut looks = 0;
    while bench.live.write_visits(Some(now_ms()), 256).await {
        looks += 1;
        assert_eq!(bench.keys(), 2 * people.min(256 * looks), "each look writes some");
        let last = bench.visitor("g01999").await;
        assert_eq!(last.seen(bench.page).map(|seen| seen.rev), Some(Revision(1)), "look {looks}");
    }
    assert_eq!(looks, people.div_ceil(256));
}

#[tokio::test]
async fn a_page_is_watched_alone_or_with_all_below_it_and_their_number_is_limited() {
    let bench = Bench::new().await;
    let watch = |text: &str, how| {
        let (live, path) = (bench.live.clone(), path(text));
        async move { live.watch("bob", &path, how).await }
    };
    watch("team", Some(true)).await.expect("watched");
    watch("Home", Some(false)).await.expect("watched");
    let watches = bench.visitor("bob").await.watches;
    let covered = |text: &str| watches.iter().any(|watch| watch.covers(&path(text)));
    let expected =
        [("Team", true), ("TEAM/a/b", true), ("teams", false), ("home", true), ("Home/x", false)];
    for (text, is) in expected {
        assert_eq!(covered(text), is, "{text}");
    }
    let visit = bench.live.visit("bob", &bench.info(), Revision(0)).await.expect("read");
    assert_eq!(visit.watch.map(|watch| watch.tree), Some(false));
    assert_eq!(visit.watched_above, None);
    let (below, _) = bench.live.create(&path("Team/x"), &author("ann")).await.expect("made");
    let visit = bench.live.visit("bob", &below, Revision(0)).await.expect("read");
    assert_eq!((visit.watch, visit.watched_above), (None, Some(path("team"))));
    watch("TEAM", Some(false)).await.expect("watched");
    watch("home", None).await.expect("no more");
    watch("never", None).await.expect("is no error");
    let watches = bench.visitor("bob").await.watches;
    assert_eq!((watches.len(), watches[0].tree), (1, false));
    for n in 1..MAX_WATCHES {
        watch(&format!("p{n}"), Some(false)).await.expect("watched");
    }
    let more = watch("one more", Some(false)).await;
    assert!(matches!(more, Err(LiveError::TooManyWatches)));
    watch("TEAM", Some(true)).await.expect("it is one of them");
    assert!(bench.visitor("ann").await.watches.is_empty());
}

#[tokio::test]
async fn watched_pages_with_news_are_listed_once_and_those_that_were_opened_are_not() {
    let bench = Bench::new().await;
    let mut pages = Vec::new();
    for name in ["Team", "Team/a", "Team/b", "Team/mine", "Teams", "Other"] {
        let (page, _) = bench.live.create(&path(name), &author("ann")).await.expect("made");
        bench.write_to(page.id, "ann", "before\n").await;
        pages.push(page);
    }
    for watched in ["Team", "Team/b"] {
        bench.live.watch("bob", &path(watched), Some(true)).await.expect("watched");
    }
    a_moment().await;
    let list = || async {
        let watched = bench.live.watched("bob", |page| page.path.name() != "hidden").await;
        let watched = watched.expect("read");
        let names = watched.news.iter().map(|(page, news)| (page.path.to_string(), news.count));
        names.collect::<Vec<_>>()
    };
    assert_eq!(list().await, [], "what changed before they watched is no news");
    for (n, page) in pages.iter().enumerate() {
        let who = if n == 3 { "bob" } else { "cleo" };
        bench.write_to(page.id, who, "after\n").await;
    }
    let named = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), 1)).collect::<Vec<_>>();
    assert_eq!(list().await, named(&["Team/b", "Team/a", "Team"]), "the newest first");
    let opened = bench.live.pages().get(pages[2].id).expect("a page");
    let visit = bench.live.visit("bob", &opened, opened.head).await.expect("read");
    assert!(visit.news.is_none() && visit.watch.is_some());
    assert_eq!(list().await, named(&["Team/a", "Team"]));
    bench.live.delete(pages[0].id, &author("ann")).await.expect("deleted");
    assert_eq!(list().await, named(&["Team/a"]));
    let watched = bench.live.watched("bob", |page| page.path.as_str() != "Team/b").await;
    let watches = watched.expect("read").watches;
    let there: Vec<_> = watches.iter().map(|(w, page)| (w.path.as_str(), page.is_some())).collect();
    assert_eq!(there, [("Team", false), ("Team/b", false)], "deleted, and not to be seen");
}

#[tokio::test]
async fn of_too_many_pages_those_seen_longest_ago_are_forgotten_and_count_as_seen() {
    let bench = Bench::new().await;
    for n in 0..MAX_PAGES as u64 + 10 {
        let event = Event { sight: Sight::Shown, rev: Revision(1), at_ms: 1_000 + n };
        bench.live.inner.visits.notes().add("bob", PageId(1_000 + n), event);
    }
    bench.live.end_visits().await;
    assert_eq!(bench.keys(), MAX_PAGES + 1);
    let visitor = bench.visitor("bob").await;
    assert_eq!(visitor.seen(PageId(1_009)), None);
    assert!(!visitor.is_news(PageId(1_009), Revision(1), 1_009));
    assert!(visitor.is_news(PageId(1_009), Revision(2), 1_010));
    assert!(visitor.seen(PageId(1_010)).is_some());
    // One who is here now, beside one who came once and long ago.
    bench.live.mark_all_seen("cleo", 0).await.expect("noted");
    assert_eq!(bench.keys(), MAX_PAGES + 2);
    bench.live.forget_visitors().await.expect("forgotten");
    assert_eq!(bench.keys(), 1);
}

#[tokio::test]
async fn notes_that_wait_are_bounded_and_only_known_logins_are_noted() {
    let bench = Bench::new().await;
    let event = Event { sight: Sight::Shown, rev: Revision(1), at_ms: 1 };
    for n in 0..MAX_NOTES + 5 {
        bench.live.inner.visits.notes().add(&format!("g{n}"), bench.page, event);
    }
    let late = format!("g{}", MAX_NOTES + 4);
    assert!(bench.live.inner.visits.notes().get(&late, bench.page).is_none());
    bench.live.inner.visits.notes().take_due(None, usize::MAX);
    let beat = Beat {
        client: "a-robot-1".into(),
        via: None,
        known: false,
        page: bench.page,
        mode: Mode::Reading,
        rung: Rung::Poll,
        interval: Duration::ZERO,
        caret: None,
    };
    bench.live.presence().beat(&author("robot"), beat).expect("a beat");
    bench.look();
    bench.write("ann", "one\n").await;
    bench.look();
    bench.live.presence().leave("a-robot-1", "robot");
    bench.look();
    assert!(!bench.live.write_visits(None, 10).await);
}

#[tokio::test]
async fn what_was_seen_outlives_the_process() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.show("bob").await;
    bench.live.watch("bob", &path("Home"), Some(false)).await.expect("watched");
    let before = bench.visitor("bob").await;
    assert!(before.seen(bench.page).is_some() && before.watches.len() == 1);
    bench.store.checkpoint().await.expect("a checkpoint");
    let Bench { live, store, dir, .. } = bench;
    // Writes what waits.
    live.close().await;
    drop((live, store));
    let at = dir.path().to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::remove_dir_all(at.join("sled")).expect("removed");
        Store::open(&at, options())
    });
    let store = opened.await.expect("joins").expect("opens from the checkpoint");
    let live = Live::open(store, &LiveSettings::default()).expect("opens");
    assert_eq!(live.visitor("bob").await.expect("read"), before);
}
