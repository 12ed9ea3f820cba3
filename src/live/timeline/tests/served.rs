//! Timelines over a real store.

use std::sync::Arc;

use super::Replica;
use crate::live::history::handle;
use crate::live::{Author, Live, LiveError, LiveSettings};
use crate::page::{PageId, Revision};
use crate::store::{LogEntry, Options, Store};

struct Bench {
    live: Live,
    store: Store,
    id: PageId,
    dir: tempfile::TempDir,
}

fn author(id: &str) -> Author {
    Author { id: id.into(), name: id.to_uppercase(), colour: 3 }
}

impl Bench {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().expect("a directory")).await
    }

    /// With what is in the directory.
    async fn open(dir: tempfile::TempDir) -> Self {
        let at = dir.path().to_owned();
        let store = tokio::task::spawn_blocking(move || {
            Store::open(&at, Options { free_floor_bytes: 0, ..Options::default() })
        });
        let store = store.await.expect("joins").expect("opens");
        let live = Live::open(store.clone(), &LiveSettings::default()).expect("opens");
        let path = "Home".parse().expect("a path");
        let (page, _) = live.create(&path, &author("ann")).await.expect("made");
        Self { live, store, id: page.id, dir }
    }

    /// Merges a text made from a revision.
    async fn merge(&self, who: &str, base: u64, text: &str) -> u64 {
        let base = Revision(base);
        let merged = self.live.merge_text(self.id, base, text.into(), &author(who)).await;
        merged.expect("merged").revision.0
    }

    async fn text(&self) -> String {
        self.live.view(self.id).await.expect("a view").text.to_string()
    }
}

#[tokio::test]
async fn a_timeline_is_built_once_and_then_goes_on_with_the_log() {
    let bench = Bench::new().await;
    let empty = bench.live.timeline(bench.id).await.expect("built");
    assert_eq!((empty.head(), empty.all_text()), (Revision(0), ""));
    let mut rev = bench.merge("ann", 0, "one two three\n").await;
    for n in 0..5 {
        rev = bench.merge("bob", rev, &format!("one {n} three\n")).await;
        let timeline = bench.live.timeline(bench.id).await.expect("built");
        assert_eq!(timeline.head(), Revision(rev));
        let again = bench.live.timeline(bench.id).await.expect("built");
        assert!(Arc::ptr_eq(&timeline, &again), "built twice");
        for rev in 0..=rev {
            let expected = bench.live.text_at(bench.id, Revision(rev)).await.expect("a text");
            let found = timeline.text_at(Revision(rev));
            assert_eq!(found.as_deref(), expected.as_deref(), "revision {rev}");
        }
    }
    let together: [_; 8] = std::array::from_fn(|_| bench.live.timeline(bench.id));
    for timeline in futures::future::join_all(together).await {
        assert_eq!(timeline.expect("built").head(), Revision(rev));
    }
    assert_eq!(bench.live.inner.timelines.kept(), 1);
    bench.live.inner.timelines.forget_idle(|_| false);
    assert_eq!(bench.live.inner.timelines.kept(), 0);
    let anew = bench.live.timeline(bench.id).await.expect("built");
    assert_eq!(anew.head(), Revision(rev));
    assert!(matches!(bench.live.timeline(PageId(99)).await, Err(LiveError::NoPage)));
}

#[tokio::test]
async fn one_persons_part_is_taken_back_while_others_go_on() {
    let bench = Bench::new().await;
    let first = bench.merge("ann", 0, "alpha\nbeta\ngamma\n").await;
    let second = bench.merge("bob", first, "alpha\nspam spam\ngamma\nbought here\n").await;
    bench.merge("ann", second, "alpha\nspam spam\ngamma\nbought here\ndelta\n").await;
    let bob = handle("bob");
    let stretch = (Revision(first), Revision(second));
    let undone = bench.live.undo(bench.id, &bob, stretch, &author("ann")).await.expect("undone");
    assert!(undone.is_some_and(|undone| undone.0 > second));
    assert_eq!(bench.text().await, "alpha\nbeta\ngamma\ndelta\n");
    // Again, as with a second click: there is nothing of it left.
    bench.live.undo(bench.id, &bob, stretch, &author("ann")).await.expect("undone");
    assert_eq!(bench.text().await, "alpha\nbeta\ngamma\ndelta\n");

    let nobody = bench.live.undo(bench.id, &handle("eve"), stretch, &author("ann")).await;
    assert_eq!(nobody.expect("answered"), None);
    for (from, to) in [(1, 1), (2, 1), (1, 99), (7_000_000_000, 8_000_000_000)] {
        let stretch = (Revision(from), Revision(to));
        let wrong = bench.live.undo(bench.id, &bob, stretch, &author("ann")).await;
        assert!(matches!(wrong, Err(LiveError::UnknownRevision)), "{from} to {to}");
    }
    let authors = bench.live.authors_between(bench.id, Revision(0), Revision(second)).await;
    let authors = authors.expect("read").expect("small enough");
    let short: Vec<_> = authors.iter().map(|a| (a.name.as_str(), a.edits)).collect();
    assert_eq!(short, [("ANN", 1), ("BOB", 1)]);
}

#[tokio::test]
async fn a_history_that_takes_too_long_is_refused_and_the_page_can_be_read_all_the_same() {
    let bench = Bench::new().await;
    // All at the same place without knowing of each other: each is compared with all before it.
    let entries = (1..=1_500).map(|client| LogEntry {
        at_ms: client,
        author: "eve".into(),
        op: client.to_string(),
        update: Replica::new(client).replace(0, 0, "x"),
    });
    bench.store.append(bench.id, entries.collect()).await.expect("written");
    for _ in 0..2 {
        let refused = bench.live.timeline(bench.id).await;
        assert!(matches!(refused, Err(LiveError::HistoryTooLong)));
    }
    let stretch = (Revision(0), Revision(1));
    let undone = bench.live.undo(bench.id, &handle("eve"), stretch, &author("ann")).await;
    assert!(matches!(undone, Err(LiveError::HistoryTooLong)));
    assert_eq!(bench.text().await, "x".repeat(1_500));
}

#[tokio::test]
async fn what_was_packed_is_the_same_history_and_an_undone_part_stays_undone() {
    let bench = Bench::new().await;
    let first = bench.merge("ann", 0, "alpha\nbeta\ngamma\n").await;
    let second = bench.merge("bob", first, "alpha\nspam spam\ngamma\nbought here\n").await;
    bench.merge("ann", second, "alpha\nspam spam\ngamma\nbought here\ndelta\n").await;
    let (bob, stretch) = (handle("bob"), (Revision(first), Revision(second)));
    bench.live.undo(bench.id, &bob, stretch, &author("ann")).await.expect("undone");
    let before = bench.live.timeline(bench.id).await.expect("built");
    let names = bench.live.timeline_names(&before).await.expect("named");
    let written = before.to_json(&names).expect("written");

    let done = bench.store.compact(u64::MAX).await.expect("packed");
    assert_eq!((done.pages, done.entries), (1, before.head().0));
    let Bench { live, store, dir, .. } = bench;
    drop((live, before));
    store.close().expect("closed");
    drop(store);
    let bench = Bench::open(dir).await;
    let after = bench.live.timeline(bench.id).await.expect("built");
    let names = bench.live.timeline_names(&after).await.expect("named");
    assert_eq!(after.to_json(&names).expect("written"), written);
    assert_eq!(bench.text().await, "alpha\nbeta\ngamma\ndelta\n");
    bench.live.undo(bench.id, &bob, stretch, &author("ann")).await.expect("undone");
    assert_eq!(bench.text().await, "alpha\nbeta\ngamma\ndelta\n", "nothing of it is left");
    assert_eq!(bench.store.costs().expect("read").pages[0].packed_edits, after.head().0);
}
