//! Rooms over a real store: what ends them, and what they must outlive.

use super::document::Document;
use super::hub::Read;
use super::room::Room;
use super::*;
use crate::store::Options;

struct Bench {
    live: Live,
    who: Author,
    page: PageId,
    _data: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let options = Options { free_floor_bytes: 0, ..Options::default() };
        let store = Store::open(data.path(), options).expect("a store");
        let live = Live::open(store, &LiveSettings::default()).expect("live");
        let who = Author { id: "gann".into(), name: "Ann".into(), colour: 1 };
        let path = "play".parse().expect("a path");
        let (page, _) = live.create(&path, &who).await.expect("a page");
        let bench = Self { live, who, page: page.id, _data: data };
        bench.write("one").await;
        bench
    }

    async fn write(&self, text: &str) -> Revision {
        let (base, _) = self.text().await;
        let merged = self.live.merge_text(self.page, base, text.into(), &self.who).await;
        merged.expect("merged").revision
    }

    async fn text(&self) -> (Revision, String) {
        let view = self.live.view(self.page).await.expect("a view");
        (view.revision, view.text.to_string())
    }

    async fn room(&self) -> Arc<Room> {
        self.live.room(self.page).await.expect("a room")
    }

    fn known_idle(&self) -> bool {
        self.live.rooms().get(&self.page).and_then(|cell| cell.get()).is_some_and(Room::is_idle)
    }

    /// Waits until nothing is under way.
    async fn rest(&self) {
        while !self.known_idle() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_room_is_idle_only_when_its_last_edit_has_been_told_to_readers() {
    let bench = Bench::new().await;
    bench.rest().await;
    let room = bench.room().await;
    assert!(!bench.known_idle(), "somebody holds it");
    drop(room);
    assert!(bench.known_idle());

    // No waiting here: the task that renders has not run when the answer is there.
    let before = bench.live.hub().head();
    bench.write("two").await;
    let told = || {
        let read = bench.live.hub().read(&[Topic::View(bench.page)], before, 1 << 20);
        matches!(read, Read::Batch { events, .. } if !events.is_empty())
    };
    while !bench.known_idle() {
        tokio::task::yield_now().await;
    }
    assert!(told(), "a reader who polls would have missed it");

    let listener = bench.live.hub().listen(vec![Topic::Here(bench.page)]);
    assert!(!bench.known_idle(), "somebody listens");
    drop(listener);
    assert!(bench.known_idle());
    bench.live.tidy().await;
    assert!(bench.live.rooms().is_empty());
    assert_eq!(bench.text().await, (Revision(2), "two".into()), "and it opens again");
}

#[tokio::test]
async fn a_document_that_breaks_is_loaded_again_and_never_shown_as_empty() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    room.break_document();
    assert!(room.text().is_err(), "an empty text would be merged as if all had been deleted");
    assert!(bench.live.view(bench.page).await.is_err());

    // What was under way is written first and applied to what the log gives.
    let client = room.issue_client(&bench.who).await.expect("an id");
    let edit = Document::new().merge("", "two ", client).expect("an edit").update;
    let revision = bench.live.update(bench.page, &bench.who, "op", edit).await.expect("saved");
    let (now, text) = bench.text().await;
    assert_eq!(now, revision);
    assert!(text.contains("one") && text.contains("two "), "{text}");
}

#[tokio::test]
async fn a_page_whose_task_has_ended_is_opened_anew_and_its_readers_resynchronise() {
    let bench = Bench::new().await;
    bench.rest().await;
    let cursor = bench.live.hub().head();
    let room = bench.room().await;
    room.stop();
    while !room.is_over() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.text().await, (Revision(1), "one".into()));
    assert_eq!(bench.write("two").await, Revision(2));
    for topic in [Topic::View(bench.page), Topic::Doc(bench.page)] {
        let read = bench.live.hub().read(&[topic], cursor, 1 << 20);
        assert!(matches!(read, Read::Reset { .. }), "{topic}: {read:?}");
    }
    drop(room);
    bench.rest().await;
}
