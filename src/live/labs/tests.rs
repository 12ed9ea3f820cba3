//! Laboratories over a real store: they take the way of every edit and leave nothing behind.

use std::net::Ipv4Addr;

use super::*;
use crate::live::LiveSettings;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Bench {
    live: Live,
    data: tempfile::TempDir,
}

fn person(name: &str) -> Author {
    Author { id: name.into(), name: name.into(), colour: 1 }
}

impl Bench {
    fn new() -> Self {
        Self::over(tempfile::tempdir().expect("a folder"))
    }

    fn over(data: tempfile::TempDir) -> Self {
        let options = Options { free_floor_bytes: 0, ..Options::default() };
        let store = Store::open(data.path(), options.clone()).expect("a store");
        let labs = Some((data.path().to_owned(), options));
        let live = Live::open(store, &LiveSettings { labs, ..LiveSettings::default() });
        Self { live: live.expect("live"), data }
    }

    fn has_store(&self) -> bool {
        self.data.path().join(DIRECTORY).exists()
    }

    async fn start(&self, name: &str) -> PageInfo {
        self.live.start_lab(&person(name), HERE).await.expect("a laboratory")
    }
}

#[tokio::test]
async fn a_laboratory_is_written_and_followed_like_a_page_and_is_in_no_list() {
    let bench = Bench::new();
    let ann = person("ann");
    let page = bench.start("ann").await;
    let journal = bench.live.health().journal_bytes;
    let from = bench.live.hub().head();
    let merged = bench.live.merge_text(page.id, Revision(0), "# Hello".into(), &ann).await;
    assert_eq!(merged.expect("merged").revision, Revision(1));
    let view = bench.live.view(page.id).await.expect("a view");
    assert_eq!(&*view.text, "# Hello");
    let listener = bench.live.hub().listen(vec![Topic::View(page.id)]);
    listener.after(from).await;
    assert!(bench.live.pages().find(&page.path).is_some_and(|found| found.id == page.id));
    assert_eq!(bench.live.pages().get(page.id).map(|page| page.head), Some(Revision(1)));
    assert!(bench.live.pages().list().is_empty() && bench.live.pages().deleted().is_empty());
    assert_eq!(bench.live.health().journal_bytes, journal, "the wiki's journal has none of it");
    assert!(bench.live.delete(page.id, &ann).await.is_err(), "it only ends");
}

#[tokio::test]
async fn with_the_last_laboratory_its_store_goes() {
    let bench = Bench::new();
    let (one, two) = (bench.start("ann").await, bench.start("ben").await);
    bench.live.merge_text(two.id, Revision(0), "x".into(), &person("ben")).await.expect("merged");
    assert!(bench.has_store());
    bench.live.end_lab(one.id).await;
    assert!(bench.has_store(), "the other one goes on");
    assert_eq!(&*bench.live.view(two.id).await.expect("a view").text, "x");
    bench.live.end_lab(two.id).await;
    assert!(!bench.has_store());
    assert!(matches!(bench.live.view(two.id).await, Err(LiveError::NoPage)));
    assert!(bench.live.pages().find(&two.path).is_none());
    bench.live.end_lab(two.id).await;
    // And there can be another one.
    let three = bench.start("ann").await;
    assert_eq!(&*bench.live.view(three.id).await.expect("a view").text, "");
}

#[tokio::test]
async fn a_login_has_two_and_all_together_have_eight() {
    let bench = Bench::new();
    let first = bench.start("ann").await;
    bench.start("ann").await;
    let refused = async |name: &str| match bench.live.start_lab(&person(name), HERE).await {
        Err(LabError::TooMany(why)) => why.ends_with('.'),
        _ => false,
    };
    assert!(refused("ann").await);
    for name in ["ben", "ben", "cleo", "cleo", "dan", "dan"] {
        bench.start(name).await;
    }
    assert!(refused("eve").await);
    bench.live.end_lab(first.id).await;
    bench.start("eve").await;
    assert_eq!(bench.live.labs(), MAX_LABS);
}

#[tokio::test]
async fn an_address_cannot_have_all_of_them_by_being_somebody_new_each_time() {
    let bench = Bench::new();
    let far = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
    let mut refused = None;
    for n in 0..6 {
        let who = person(&format!("new{n}"));
        if let Err(error) = bench.live.start_lab(&who, far(n)).await {
            refused.get_or_insert((n, error.to_string()));
        }
    }
    let (n, why) = refused.expect("a cap");
    assert_eq!(n, 4, "{why}");
    assert!(matches!(
        bench.live.start_lab(&person("eve"), far(9)).await,
        Err(LabError::TooMany(_))
    ));
    bench.start("near").await;
}

#[tokio::test]
async fn a_laboratory_that_has_ended_is_never_opened_in_the_wikis_own_store() {
    let bench = Bench::new();
    let page = bench.start("ann").await;
    let journal = bench.live.health().journal_bytes;
    // As in the moment between its end and the end of its page.
    bench.live.inner.labs.running().remove(&page.id);
    let ann = person("ann");
    assert!(bench.live.merge_text(page.id, Revision(0), "x".into(), &ann).await.is_err());
    assert!(matches!(bench.live.view(page.id).await, Err(LiveError::NoPage)));
    assert_eq!(bench.live.health().journal_bytes, journal);
}

#[tokio::test]
async fn a_laboratory_that_nobody_uses_ends_and_one_that_is_used_ends_in_time() {
    let bench = Bench::new();
    let (used, left) = (bench.start("ann").await, bench.start("ann").await);
    let listener = bench.live.hub().listen(vec![Topic::View(used.id)]);
    tokio::time::pause();
    tokio::time::advance(UNUSED - Duration::from_secs(1)).await;
    bench.live.tidy_labs().await;
    assert_eq!(bench.live.labs(), 2);
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    bench.live.tidy_labs().await;
    assert!(bench.live.pages().get(left.id).is_none(), "nobody followed or wrote it");
    assert!(bench.live.pages().get(used.id).is_some(), "somebody follows it");
    tokio::time::pause();
    tokio::time::advance(LIFE).await;
    tokio::time::resume();
    bench.live.tidy_labs().await;
    assert!(bench.live.pages().get(used.id).is_none(), "its time is over");
    assert!(!bench.has_store());
    drop(listener);
}

#[tokio::test]
async fn what_a_crash_left_goes_with_the_next_start_and_the_end_leaves_nothing() {
    let bench = Bench::new();
    bench.start("ann").await;
    bench.live.close().await;
    assert!(!bench.has_store(), "an end in order");
    let Bench { live, data } = bench;
    drop(live);
    std::fs::create_dir_all(data.path().join(DIRECTORY).join("journal")).expect("as after a crash");
    let bench = Bench::over(data);
    assert!(!bench.has_store());
    assert_eq!(bench.live.labs(), 0);
}
