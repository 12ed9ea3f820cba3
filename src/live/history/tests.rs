use super::*;
use crate::live::LiveSettings;
use crate::page::PagePath;
use crate::store::{LogEntry, Options};

struct Bench {
    live: Live,
    store: Store,
    id: PageId,
    _dir: tempfile::TempDir,
}

fn author(id: &str) -> Author {
    Author { id: id.into(), name: id.to_uppercase(), colour: 3 }
}

fn recent_query(before: Option<RecentMark>, limit: usize, all: bool) -> RecentQuery {
    RecentQuery { before, limit, all, ..RecentQuery::default() }
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().to_owned();
        let store = tokio::task::spawn_blocking(move || {
            Store::open(&at, Options { free_floor_bytes: 0, ..Options::default() })
        });
        let store = store.await.expect("joins").expect("opens");
        let live = Live::open(store.clone(), &LiveSettings::default()).expect("opens");
        let path: PagePath = "Home".parse().expect("a path");
        let (page, _) = live.create(&path, &author("ann")).await.expect("made");
        Self { live, store, id: page.id, _dir: dir }
    }

    /// Replaces the whole text; the revision that has it.
    async fn write(&self, who: &str, text: &str) -> Revision {
        let (now, _) = self.live.room(self.id).await.expect("opens").text().expect("a text");
        let merged = self.live.merge_text(self.id, now, text.into(), &author(who)).await;
        merged.expect("merged").revision
    }

    async fn close(&self) {
        let room = self.live.room(self.id).await.expect("opens");
        self.live.inner.closing.begin_long_ago();
        self.live.close_deserted(&room).await.expect("closed");
    }

    async fn history(&self, query: HistoryQuery) -> History {
        let query = HistoryQuery { limit: query.limit.max(1), open: true, ..query };
        self.live.history(self.id, &query).await.expect("a history")
    }
}

/// First and last revision, sizes, and names of authors with their edits.
type Short = (u64, u64, u64, u64, Vec<(String, u64)>);

fn short(info: &RevisionInfo) -> Short {
    let authors = info.authors.iter().map(|a| (a.name.clone(), a.edits)).collect();
    (info.first.0, info.last.0, info.was, info.bytes, authors)
}

#[tokio::test]
async fn edits_are_open_until_they_are_closed_and_each_revision_goes_on_where_the_last_ended() {
    let bench = Bench::new().await;
    let all = HistoryQuery { limit: 10, ..HistoryQuery::default() };
    assert_eq!(bench.history(all.clone()).await, History::default());
    bench.write("ann", "one\n").await;
    bench.write("bob", "one\ntwo\n").await;
    bench.write("bob", "one\ntwo\nthree\n").await;
    let open = bench.history(all.clone()).await;
    let first: Short = (1, 3, 0, 14, vec![("BOB".into(), 2), ("ANN".into(), 1)]);
    assert_eq!((open.open.as_ref().map(short), open.closed.len()), (Some(first.clone()), 0));
    bench.close().await;
    bench.write("ann", "one\n").await;
    let history = bench.history(all.clone()).await;
    let second = (4, 4, 14, 4, vec![("ANN".into(), 1)]);
    assert_eq!(history.open.as_ref().map(short), Some(second.clone()));
    assert_eq!(short(&history.closed[0]), first);
    assert_eq!(history.closed.len(), 1);
    bench.close().await;
    bench.close().await;
    let history = bench.history(all).await;
    assert_eq!(history.open, None);
    assert_eq!(history.closed.iter().map(short).collect::<Vec<_>>(), [second, first]);
}

#[tokio::test]
async fn a_pause_of_a_minute_that_nobody_was_there_to_see_ends_a_revision_all_the_same() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    // As after a crash: the log has edits of another day, which no record has.
    let update = {
        let room = bench.live.room(bench.id).await.expect("opens");
        room.diff(None).expect("a state").2
    };
    let entry = |at_ms: u64, op: &str| LogEntry {
        at_ms,
        author: "bob".into(),
        op: op.into(),
        update: update.clone(),
    };
    let store = bench.store.clone();
    let id = PageId(bench.id.0 + 1);
    let minute = 60_000;
    let entries = vec![
        entry(minute, "a"),
        entry(2 * minute - 1, "b"),
        entry(3 * minute, "c"),
        entry(2 * minute, "d"),
    ];
    store.append(id, entries).await.expect("kept");
    let found = tokio::task::spawn_blocking(move || {
        stretch::read(&store, id, Revision(0), Revision(4), QUIET)
    });
    let found = found.await.expect("joins").expect("read");
    let ends: Vec<_> = found.iter().map(|s| (s.first.0, s.last.0, s.from_ms, s.at_ms)).collect();
    let expected = [(1, 2, minute, 2 * minute - 1), (3, 4, 3 * minute, 3 * minute)];
    assert_eq!(ends, expected, "a clock that is set back ends nothing");
}

#[tokio::test]
async fn any_revision_can_be_named_and_then_ends_one_of_the_list() {
    let bench = Bench::new().await;
    for n in 1..=6 {
        bench.write("ann", &"line\n".repeat(n)).await;
    }
    bench.close().await;
    bench.write("bob", "end\n").await;
    let name = |at: u64, name: Option<&str>| {
        let (live, name) = (bench.live.clone(), name.map(ToOwned::to_owned));
        let id = bench.id;
        async move { live.name_revision(id, Revision(at), name, &author("cid")).await }
    };
    name(7, Some("open")).await.expect("named");
    name(4, Some("middle")).await.expect("named");
    name(6, Some("end")).await.expect("named");
    name(2, Some("early")).await.expect("named");
    let all = HistoryQuery { limit: 10, ..HistoryQuery::default() };
    let history = bench.history(all.clone()).await;
    let rows: Vec<_> = history
        .closed
        .iter()
        .map(|info| (info.first.0, info.last.0, info.was, info.bytes, info.name.as_deref()))
        .collect();
    let expected = [
        (7, 7, 30, 4, Some("open")),
        (5, 6, 20, 30, Some("end")),
        (3, 4, 10, 20, Some("middle")),
        (1, 2, 0, 10, Some("early")),
    ];
    assert_eq!(rows, expected);
    assert_eq!(history.closed[0].named_by.as_deref(), Some("cid"));
    name(4, None).await.expect("unnamed");
    let named = bench.history(HistoryQuery { named: true, ..all.clone() }).await;
    let names: Vec<_> = named.closed.iter().filter_map(|info| info.name.as_deref()).collect();
    assert_eq!(names, ["open", "end", "early"]);
    for unknown in [0, 8, u64::MAX] {
        assert!(matches!(name(unknown, Some("x")).await, Err(LiveError::UnknownRevision)));
    }
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_cut_and_finds_what_one_person_wrote() {
    let bench = Bench::new().await;
    for n in 1..=9_usize {
        bench.write(if n % 3 == 0 { "bob" } else { "ann" }, &"x\n".repeat(n)).await;
        bench.close().await;
    }
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let query = HistoryQuery { before, limit: 4, ..HistoryQuery::default() };
        let part = bench.history(query).await;
        seen.extend(part.closed.iter().map(|info| info.last.0));
        before = part.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let all = bench.history(HistoryQuery { limit: 10, ..HistoryQuery::default() }).await;
    let bob = all.closed[0].authors[0].handle();
    assert_ne!(bob, all.closed[1].authors[0].handle());
    let query = HistoryQuery { author: Some(bob), limit: 10, ..HistoryQuery::default() };
    let of_bob = bench.history(query).await;
    assert_eq!(of_bob.closed.iter().map(|info| info.last.0).collect::<Vec<_>>(), [9, 6, 3]);
}

#[tokio::test]
async fn an_old_text_comes_back_as_a_new_edit() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.write("ann", "two\n").await;
    let back = bench.live.revert_to(bench.id, Revision(1), &author("bob")).await.expect("reverted");
    assert_eq!(back, Revision(3));
    let text = |at| {
        let (live, id) = (bench.live.clone(), bench.id);
        async move { live.text_at(id, Revision(at)).await.expect("read") }
    };
    assert_eq!(text(3).await.as_deref(), Some("one\n"));
    assert_eq!(text(2).await.as_deref(), Some("two\n"), "nothing is lost");
}

#[tokio::test]
async fn what_an_earlier_process_left_open_is_closed_by_the_next_with_a_revision_for_each_session()
{
    let bench = Bench::new().await;
    for n in 1..=3 {
        bench.write("ann", &"line\n".repeat(n)).await;
    }
    let path: PagePath = "Old".parse().expect("a path");
    let (old, _) = bench.live.create(&path, &author("ann")).await.expect("made");
    let entries = bench.store.read_log(bench.id, Revision(0), 1 << 20).expect("read");
    let entries =
        (1_u64..).zip(entries).map(|(n, (_, entry))| LogEntry { at_ms: n * 120_000, ..entry });
    bench.store.append(old.id, entries.collect()).await.expect("kept");
    // So that the clock has moved on.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let next = Live::open(bench.store.clone(), &LiveSettings::default()).expect("opens");
    assert!(
        next.close_leftovers().await
            && next
                .recent(recent_query(None, 9, true), |_| true)
                .await
                .is_ok_and(|r| r.closed.is_empty()),
        "everybody comes back first"
    );
    next.inner.closing.begin_long_ago();
    for _ in 0..2 {
        assert!(next.close_leftovers().await);
        let query = HistoryQuery { open: true, limit: 10, ..HistoryQuery::default() };
        let history = next.history(old.id, &query).await.expect("a history");
        let ends = |info: &RevisionInfo| (info.first.0, info.last.0, info.was, info.bytes);
        let found: Vec<_> = history.closed.iter().map(ends).collect();
        assert_eq!(
            (found, history.open),
            (vec![(3, 3, 10, 15), (2, 2, 5, 10), (1, 1, 0, 5)], None)
        );
        let home = next.history(bench.id, &query).await.expect("a history");
        assert_eq!((home.closed.len(), home.open), (1, None));
    }
    let recent = next.recent(recent_query(None, 10, true), |_| true).await.expect("a list");
    let rows: Vec<_> = recent.closed.iter().map(|row| (row.page.id, row.revision.last.0)).collect();
    assert_eq!(rows, [(bench.id, 3), (old.id, 3), (old.id, 2), (old.id, 1)]);
    assert!(recent.open.is_empty() && recent.next.is_none());
}

impl Bench {
    /// A page that an earlier process left with an edit every two minutes, the first long ago. Known
    /// to the next [`Live::open`].
    async fn left(&self, path: &str, edits: u64) -> PageId {
        let path: PagePath = path.parse().expect("a path");
        let (page, _) = self.live.create(&path, &author("ann")).await.expect("made");
        let log = self.store.read_log(self.id, Revision(0), 1 << 20).expect("read");
        let update = log.into_iter().next().expect("an edit").1.update;
        let entries = (1..=edits).map(|n| LogEntry {
            at_ms: n * 120_000,
            author: "bob".into(),
            op: n.to_string(),
            // The first writes the text; the others have nothing that is new.
            update: update.clone(),
        });
        self.store.append(page.id, entries.collect()).await.expect("kept");
        page.id
    }

    fn next(&self) -> Live {
        Live::open(self.store.clone(), &LiveSettings::default()).expect("opens")
    }
}

#[tokio::test]
async fn a_page_that_was_opened_only_to_close_what_was_left_leaves_memory_at_once() {
    let bench = Bench::new().await;
    bench.write("ann", "line\n").await;
    let (old, used) = (bench.left("Old", 2).await, bench.left("Used", 2).await);
    let next = bench.next();
    next.inner.closing.begin_long_ago();
    let room = next.room(used).await.expect("opens");
    assert!(next.close_leftovers().await);
    for id in [old, used] {
        let found = newest(&bench.store, id).expect("read").map(|newest| newest.last);
        assert_eq!(found, Some(Revision(2)), "page {id}");
    }
    assert!(next.open_room(old).is_none());
    let still = next.open_room(used).expect("somebody has it");
    assert!(std::sync::Arc::ptr_eq(&still, &room) && !still.is_over());
}

#[tokio::test]
async fn a_page_whose_revision_cannot_be_closed_waits_and_does_not_hold_up_the_others() {
    let bench = Bench::new().await;
    bench.write("ann", "line\n").await;
    let (bad, good) = (bench.left("Bad", 1).await, bench.left("Good", 1).await);
    let record = |value: Option<&[u8]>| Change {
        table: Table::Revisions,
        key: revision_key(bad, Revision(1)),
        expect: Expect::Anything,
        value: value.map(<[u8]>::to_vec),
    };
    assert!(bench.store.change(vec![record(Some(b"no record"))]).await.expect("kept"));
    let next = bench.next();
    next.inner.closing.begin_long_ago();
    let ends = || {
        [bad, good].map(|id| newest(&bench.store, id).ok().flatten().map(|newest| newest.last.0))
    };
    let now = std::time::Instant::now();
    next.room(bad).await.expect("opens");
    next.close_revisions(now).await;
    assert_eq!(ends(), [None, None]);
    assert!(bench.store.change(vec![record(None)]).await.expect("kept"));
    next.room(good).await.expect("opens");
    next.close_revisions(now + QUIET / 2).await;
    assert_eq!(ends(), [None, Some(1)]);
    next.close_revisions(now + QUIET).await;
    assert_eq!(ends(), [Some(1), Some(1)]);
}

#[tokio::test]
async fn a_page_with_a_life_of_many_sessions_is_closed_in_groups_and_goes_on_after_one_that_failed()
{
    let bench = Bench::new().await;
    bench.write("ann", "line\n").await;
    let old = bench.left("Old", 150).await;
    let next = bench.next();
    next.inner.closing.begin_long_ago();
    // In the way of the second group; not at the end, where it would count as the newest.
    let in_the_way = |value: Option<&[u8]>| Change {
        table: Table::Revisions,
        key: revision_key(old, Revision(100)),
        expect: Expect::Anything,
        value: value.map(<[u8]>::to_vec),
    };
    let room = next.room(old).await.expect("opens");
    next.inner.closing.note_none_closed(old);
    assert!(bench.store.change(vec![in_the_way(Some(b"x"))]).await.expect("kept"));
    assert!(next.close_deserted(&room).await.is_err());
    assert!(bench.store.change(vec![in_the_way(None)]).await.expect("kept"));
    let end = newest(&bench.store, old).expect("read").map(|newest| newest.last.0);
    assert_eq!(end, Some(64), "a group is kept as a whole or not at all");
    next.close_deserted(&room).await.expect("closed");
    let query = HistoryQuery { limit: 200, open: true, ..HistoryQuery::default() };
    let history = next.history(old, &query).await.expect("a history");
    let ends: Vec<_> = history.closed.iter().rev().map(|one| (one.first.0, one.last.0)).collect();
    assert_eq!(ends, (1..=150).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(history.open, None);
    let recent = next.recent(recent_query(None, 200, false), |_| true).await.expect("a list");
    assert_eq!(recent.closed.len(), 150);
}

#[tokio::test]
async fn what_is_brought_back_or_undone_meets_what_was_typed_since_character_by_character() {
    let bench = Bench::new().await;
    let old = bench.write("ann", "First text.\n\nLast.\n").await;
    let base = bench.write("bob", "First text. Spam and more spam.\n\nLast.\n").await;
    // Somebody types in the middle of it before the edit made from `base` arrives.
    bench.write("ann", "First text. Spam and TYPED more spam.\n\nLast.\n").await;
    let text = bench.live.text_at(bench.id, old).await.expect("no fault").expect("there");
    let typed = Meeting::AsTyped("");
    let back = bench.live.bring_in(bench.id, base, text.to_string(), &author("cid"), typed).await;
    let now = bench.live.view(bench.id).await.expect("a view").text;
    assert_eq!(now.replace(' ', ""), "Firsttext.TYPED\n\nLast.\n", "{now}");
    assert_eq!(back.expect("merged").conflicts, []);
}

#[tokio::test]
async fn who_deleted_and_restored_a_page_is_noted_and_its_history_is_closed_and_goes_on() {
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.live.delete(bench.id, &author("bob")).await.expect("deleted");
    let all = HistoryQuery { limit: 10, ..HistoryQuery::default() };
    let history = bench.history(all.clone()).await;
    assert_eq!((history.open, history.closed.len()), (None, 1), "nobody writes it any more");
    for live in [bench.live.clone(), bench.next()] {
        let page = live.pages().get(bench.id).expect("a page");
        assert_eq!(page.deleted_by, Some(author("bob")));
    }
    // Twice is no other event.
    bench.live.delete(bench.id, &author("eve")).await.expect("deleted");
    bench.live.restore(bench.id, &author("cid")).await.expect("restored");
    let page = bench.live.pages().get(bench.id).expect("a page");
    assert_eq!((page.deleted_ms, page.deleted_by), (None, None));
    bench.write("ann", "two\n").await;

    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let part =
            bench.live.recent(recent_query(before, 1, true), |_| true).await.expect("a list");
        seen.extend(part.events.iter().map(|event| (event.by.name.clone(), Some(event.event))));
        seen.extend(part.closed.iter().map(|row| (row.revision.authors[0].name.clone(), None)));
        assert_eq!(part.open.len(), usize::from(before.is_none()), "what is written now");
        let Some(next) = part.next else { break };
        assert_eq!(next.to_string().parse(), Ok(next));
        before = Some(next);
    }
    let expected = [
        ("CID".to_owned(), Some(PageEvent::Restored)),
        ("BOB".to_owned(), Some(PageEvent::Deleted)),
        ("ANN".to_owned(), None),
    ];
    assert_eq!(seen, expected);
    let without = bench.live.recent(recent_query(None, 10, false), |_| true).await.expect("a list");
    assert_eq!((without.closed.len(), without.events.len()), (1, 0));
    let hidden = bench.live.recent(recent_query(None, 10, true), |_| false).await.expect("a list");
    assert_eq!(hidden, Recent::default(), "not even that it was deleted");
}

#[tokio::test]
async fn renderings_of_two_revisions_are_compared_with_the_pages_that_there_are_now() {
    let bench = Bench::new().await;
    let old = bench.write("ann", "# Title\n\nOne two [[Elsewhere]].\n").await;
    let new = bench.write("ann", "# Title\n\nOne 2 [[Elsewhere]].\n").await;
    let merged = rendered::Layout::Merged;
    let compared =
        bench.live.compare_rendered(bench.id, (old, new), merged).await.expect("compared");
    let rows = compared.expect("both are there").rows;
    let [rendered::Row::Same { html: title }, rendered::Row::Changed { html, .. }] = &rows[..]
    else {
        panic!("{rows:?}")
    };
    assert_eq!(title, "<h1>Title</h1>");
    assert!(
        html.starts_with("<p>One <del>two</del><ins>2</ins> <a href=\"/wiki/Elsewhere\""),
        "{html}"
    );
    assert!(html.contains("class=\"wikilink missing\""), "{html}");
    let unknown = bench.live.compare_rendered(bench.id, (old, Revision(99)), merged).await;
    assert_eq!(unknown.expect("no fault"), None);
}

#[tokio::test]
async fn a_filter_that_matches_little_looks_at_a_bounded_number_of_entries_and_goes_on_from_there()
{
    let bench = Bench::new().await;
    bench.write("ann", "one\n").await;
    bench.close().await;
    let query = |before| RecentQuery {
        author: Some(handle("ann")),
        below: Some("HOME".parse().expect("a path")),
        ..recent_query(before, 10, true)
    };
    let list = async |query| bench.live.recent(query, |_| true).await.expect("a list");
    assert_eq!(list(query(None)).await.closed.len(), 1);

    // Newer ones of somebody else, more than one list looks at.
    let first = bench.history(HistoryQuery::default()).await.closed.remove(0);
    let by_bob = |n: u64| {
        let at_ms = first.at_ms + n;
        let last = Revision(first.last.0 + n);
        let authors = vec![RevisionAuthor { id: "bob".into(), ..first.authors[0].clone() }];
        RevisionInfo { first: last, last, at_ms, authors, ..first.clone() }
    };
    let count = recent::MAX_SCANNED as u64;
    let mut changes = Vec::new();
    for n in 1..=count {
        let revision = by_bob(n);
        changes.push(change(bench.id, &revision, Expect::Anything).expect("a record"));
        changes.push(recent::entry(bench.id, &revision));
    }
    for part in changes.chunks(512) {
        assert!(bench.store.change(part.to_vec()).await.expect("kept"));
    }
    let part = list(query(None)).await;
    assert_eq!((part.closed.len(), part.open.len(), part.events.len()), (0, 0, 0));
    let next = part.next.expect("a place to go on from");
    let part = list(query(Some(next))).await;
    assert_eq!((part.closed.len(), part.next), (1, None));
}
