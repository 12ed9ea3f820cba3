//! A server that starts anew while everybody is looking.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::live::seed;
use super::live::wiki::{Person, Wiki};
use super::reader::Crowd;
use super::{alone, long};

/// Pages that are read, each with a history.
const PAGES: usize = 5;

/// Within this time after a restart everybody is live again.
const LIMIT: Duration = Duration::from_secs(30);

/// A page is opened once: its snapshot, a part of its log, and the end of the log.
const READS_PER_PAGE: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, by nobody else in it")]
async fn after_a_restart_all_are_live_again_in_good_order_and_nobody_leaves_the_stream() {
    let _alone = alone();
    // What is checked is the rate, so the short form has a low one. A debug build is slower.
    let (readers, rate) = if long() { (5_000, 1_000) } else { (600, 150) };
    let seed = seed();
    let data = tempfile::tempdir().expect("a folder");
    let rate_text = rate.to_string();
    let settings = [("HALLEY_ADMISSIONS_PER_SECOND", rate_text.as_str())];
    let mut wiki = Wiki::start_with(data.path(), &settings);
    let port = wiki.port();
    let ann = Person::visit(&wiki, "ann").await;
    let mut pages = Vec::new();
    for page in 0..PAGES {
        let name = format!("page{page}");
        let (id, mut revision) = ann.put(&name, None, "begun\n").await;
        for n in 0..10 {
            revision = ann.put(&name, Some(revision), &format!("line {n}\n")).await.1;
        }
        pages.push((id, name, revision));
    }
    let crowd = Crowd::new(wiki.authority());
    let begun = Instant::now();
    for n in 0..readers {
        crowd.join(pages[n % PAGES].0, seed.wrapping_add(n as u64));
    }
    wait(&crowd, &ann, readers, begun, rate, "opened").await;

    for way in ["SIGTERM", "kill -9"] {
        let begun = Instant::now();
        if way == "SIGTERM" {
            wiki.terminate();
            wiki.wait(Duration::from_secs(10)).expect("an end");
        } else {
            wiki.kill();
        }
        wiki = Wiki::start_at(port, data.path(), &settings);
        wait(&crowd, &ann, readers, begun, rate, way).await;
        let reads = ann.json("/healthz").await["history_reads"].as_u64().expect("a number");
        println!("{way}: {reads} reads of history for {readers} readers of {PAGES} pages");
        assert!(reads >= PAGES as u64, "they are counted");
        assert!(reads <= (PAGES as u64 + 1) * READS_PER_PAGE, "{reads} reads of history");
    }

    // And it is life, not only a greeting: each hears of an edit of its page.
    let mut changes = crowd.changes.subscribe();
    let before = *changes.borrow_and_update();
    for (_, name, revision) in &pages {
        let (text, now) = ann.text(name).await;
        assert!(now >= *revision, "nothing is lost");
        ann.put(name, Some(now), &format!("{text}more\n")).await;
    }
    let heard = changes.wait_for(|changes| *changes >= before + readers);
    tokio::time::timeout(LIMIT, heard).await.expect("in time").expect("readers");
}

/// Waits until everybody is live and says how it went.
async fn wait(
    crowd: &Arc<Crowd>,
    ann: &Person,
    readers: usize,
    begun: Instant,
    rate: usize,
    what: &str,
) {
    let cursor = ann.poll("site", "").await["to"].as_str().expect("a cursor").to_owned();
    let epoch = cursor.split('.').next().expect("an epoch");
    let all = crowd.all_live(epoch, readers, LIMIT).await;
    let took = begun.elapsed();
    let (busiest, last) = crowd.busiest_second(begun);
    let counts = [&crowd.busy, &crowd.faults, &crowd.demoted];
    let [busy, faults, demoted] = counts.map(|count| count.load(Ordering::SeqCst));
    println!(
        "{what}: {readers} live after {took:.1?}, the last hello after {:.1?}, at most {busiest} \
         within a second ({rate} allowed); so far {busy} sent away, {faults} connections failed",
        last - begun
    );
    assert_eq!(demoted, 0, "nobody is demoted");
    assert!(all && took < LIMIT, "{:?}", *crowd.live.borrow());
    // They are seen by whoever reads them, a moment later than they were sent: those of a second's
    // first moments may be read with those of its end. In the long form it is as good as exact.
    let unsharp = if super::long() { rate / 50 } else { rate / 5 };
    assert!(busiest <= rate + unsharp, "{busiest} within a second");
}
