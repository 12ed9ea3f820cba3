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

#[tokio::test]
async fn a_text_that_is_sent_again_is_merged_once_whatever_was_written_meanwhile() {
    let bench = Bench::new().await;
    let base = bench.write("a\nb\nc\n").await;
    let put = async |text: &str| {
        let merged = bench.live.merge_text(bench.page, base, text.into(), &bench.who).await;
        (merged.expect("merged"), bench.text().await.1)
    };
    let (first, _) = put("a\nNEW LINE\nb\nc\n").await;
    bench.write("typed a\nNEW LINE\nb\nc\nend\n").await;
    let (again, text) = put("a\nNEW LINE\nb\nc\n").await;
    assert_eq!((again, &*text), (first, "typed a\nNEW LINE\nb\nc\nend\n"));
    bench.write("typed a\nNEWER LINE\nb\nc\nend\n").await;
    let (_, text) = put("a\nNEW LINE\nb\nc\n").await;
    assert_eq!(text, "typed a\nNEWER LINE\nb\nc\nend\n");
    // What somebody took out again, somebody else may want back.
    bench.write("typed a\nb\nc\nend\n").await;
    let (_, text) = put("a\nNEW LINE\nb\nc\n").await;
    assert_eq!(text, "typed a\nNEW LINE\nb\nc\nend\n");
}

#[tokio::test]
async fn the_answer_to_a_repetition_names_the_same_conflicts() {
    let bench = Bench::new().await;
    let base = bench.write("The brown fox.\n").await;
    bench.write("The red fox.\n").await;
    let put = async || {
        let text = "The green fox.\nMore.\n".to_owned();
        bench.live.merge_text(bench.page, base, text, &bench.who).await.expect("merged")
    };
    let first = put().await;
    assert_eq!(first.conflicts.len(), 1);
    let (_, text) = bench.text().await;
    bench.write(&format!("Before.\n{text}")).await;
    assert_eq!(put().await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_by_two_clicks_is_merged_once() {
    let bench = Bench::new().await;
    let base = bench.write("a\n").await;
    bench.write("a\nsomething else\n").await;
    let clicks = (0..8).map(|_| {
        let (live, page, who) = (bench.live.clone(), bench.page, bench.who.clone());
        tokio::spawn(async move { live.merge_text(page, base, "new\na\n".into(), &who).await })
    });
    let mut revisions = std::collections::BTreeSet::new();
    for click in clicks.collect::<Vec<_>>() {
        revisions.insert(click.await.expect("joins").expect("merged").revision);
    }
    assert_eq!(revisions.len(), 1);
    assert_eq!(bench.text().await.1, "new\na\nsomething else\n");
}

#[tokio::test]
async fn an_operation_id_that_comes_with_another_edit_does_not_call_it_saved() {
    let bench = Bench::new().await;
    let room = bench.room().await;
    let edit = async |text: &str| {
        let client = room.issue_client(&bench.who).await.expect("an id");
        Document::new().merge("", text, client).expect("an edit").update
    };
    let (one, other) = (edit("first ").await, edit("second ").await);
    let send = async |update: &[u8]| {
        bench.live.update(bench.page, &bench.who, "op", update.to_vec()).await.expect("saved")
    };
    let first = send(&one).await;
    assert_eq!(send(&one).await, first, "the same again");
    let second = send(&other).await;
    assert!(second > first);
    let (_, text) = bench.text().await;
    assert!(text.contains("first ") && text.contains("second "), "{text}");
}

impl Bench {
    /// Waits until readers have been told of a link to a page that is there.
    async fn linked(&self, room: &Room) {
        let listener = self.live.hub().listen(vec![Topic::View(self.page)]);
        let linked = || {
            let rendered = room.view().rendered;
            rendered
                .blocks
                .iter()
                .any(|b| b.html.contains(r#"class="wikilink" href="/wiki/Later""#))
        };
        while !linked() {
            let waiting = listener.after(self.live.hub().head());
            if linked() {
                return;
            }
            tokio::time::timeout(std::time::Duration::from_secs(5), waiting)
                .await
                .expect("rendered again");
        }
    }
}

#[tokio::test]
async fn a_page_that_comes_while_one_that_links_to_it_is_being_rendered_is_linked() {
    let bench = Bench::new().await;
    bench.write("see [[Later]]").await;
    bench.rest().await;
    let room = bench.room().await;
    // As in the midst of its first rendering: it has asked, and its links are not known.
    room.pretend_to_render();
    bench.live.create(&"Later".parse().expect("a path"), &bench.who).await.expect("made");
    bench.linked(&room).await;
}

#[tokio::test]
async fn a_page_that_comes_while_one_that_links_to_it_is_being_opened_is_linked() {
    let bench = Bench::new().await;
    bench.write("see [[Later]]").await;
    bench.rest().await;
    // Open, and not to be found yet.
    let shared = Arc::clone(&bench.live.inner.shared);
    let page = bench.page;
    bench.live.tidy().await;
    let room = blocking(move || Room::open(&shared, page)).await.expect("opened");
    bench.live.create(&"Later".parse().expect("a path"), &bench.who).await.expect("made");
    room.catch_up();
    bench.linked(&room).await;
    room.stop();
}
