//! A page with 100,000 edits: its text and its authors at any moment of its life, and what that
//! takes on disk.
//!
//! `SEED` repeats a run, `TEST_EDITS` says how many edits, `TEST_UNITS` how long the page is.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/large_page.rs"]
mod large_page;

use std::path::Path;
use std::time::Instant;

use halley::live::Live;
use halley::live::timeline::Timeline;
use halley::page::{PageId, Revision};
use halley::store::Store;
use large_page::{Edit, Filled, Model, close, fill, login, open, options, store_log};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Moments at which all is compared.
const MOMENTS: usize = 1_000;
/// The bar of issue 4, for everything that is on the disk.
const MOST_BYTES_PER_EDIT: f64 = 10.0;
/// Fewer may cost more: a page has text as well, and a database its first segment.
const MANY_EDITS: usize = 100_000;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Revisions in order at which all is compared: the first and the last, and some between.
fn moments(random: &mut StdRng, head: usize) -> Vec<usize> {
    let mut moments =
        rand::seq::index::sample(random, head - 1, (head - 1).min(MOMENTS - 2)).into_vec();
    moments.iter_mut().for_each(|moment| *moment += 1);
    moments.extend([0, head]);
    moments.sort_unstable();
    moments
}

/// Fails unless text and authors are as the models have them.
fn compare(timeline: &Timeline, model: &Model, log: &[Edit], at: usize, has_times: bool) {
    let rev = Revision(at as u64);
    let text = model.replica.text();
    assert!(model.text() == text, "the two models differ at {at}");
    assert!(timeline.text_at(rev).as_deref() == Some(&*text), "the text at {at}");
    let mut end = 0;
    for part in timeline.blame_at(rev).unwrap() {
        assert_eq!(part.start as usize, end, "blame at {at}");
        end += part.len as usize;
        let born = &model.born()[part.start as usize..end];
        assert!(born.iter().all(|born| u64::from(*born) == part.rev.0), "blame at {at}: {part:?}");
        let edit = &log[part.rev.0 as usize - 1];
        assert_eq!(timeline.login(part.author), Some(&*login(edit.who)), "blame at {at}");
        assert!(!has_times || part.at_ms == edit.at_ms, "blame at {at}: {part:?}");
    }
    assert_eq!(end, model.units().len(), "blame at {at}");
}

/// The page in a directory that was packed.
struct Packed {
    _dir: tempfile::TempDir,
    store: Store,
    live: Live,
    timeline: std::sync::Arc<Timeline>,
    bytes_per_edit: f64,
}

impl Packed {
    async fn new(log: &[Edit]) -> Self {
        let nothing = tempfile::tempdir().unwrap();
        close(open(nothing.path()).await.0).await;
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let page: PageId = store_log(dir.path(), "Large", log).await;
        let before = bytes_in(dir.path());
        println!("kept once more, at the times of the edits, in {:.1?}", begun.elapsed());
        let begun = Instant::now();
        let shrunk = Store::shrink(dir.path(), options(), u64::MAX).await.unwrap();
        println!("packed in {:.1?}: {:?}", begun.elapsed(), shrunk.done);
        // An empty wiki has a journal, and space that is kept for a full disk.
        let more = |bytes: u64| (bytes - bytes_in(nothing.path())) as f64 / log.len() as f64;
        println!("{:.1} bytes on disk for each edit before it", more(before));
        let bytes_per_edit = more(bytes_in(dir.path()));
        let (store, live) = open(dir.path()).await;
        let begun = Instant::now();
        let timeline = live.timeline(page).await.unwrap();
        println!("its timeline built in {:.1?}", begun.elapsed());
        Self { _dir: dir, store, live, timeline, bytes_per_edit }
    }
}

/// Bytes of all files of a directory.
fn bytes_in(dir: &Path) -> u64 {
    let sizes = std::fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { bytes_in(&entry.path()) } else { meta.len() }
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_page_is_known_to_the_character_at_every_moment_of_its_life() {
    let seed = number("SEED", rand::random::<u32>().into());
    let edits = number("TEST_EDITS", 100_000) as usize;
    let size = number("TEST_UNITS", 100_000) as usize;
    println!("SEED={seed} TEST_EDITS={edits} TEST_UNITS={size}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let (store, live) = open(dir.path()).await;
    let begun = Instant::now();
    let Filled { page, clients, log } = fill(&live, "Large", seed, edits, size).await;
    let together = log.iter().filter(|edit| edit.is_together()).count();
    println!(
        "{} edits made and sent in {:.1?}, {together} of them at the same time",
        log.len(),
        begun.elapsed()
    );

    let begun = Instant::now();
    let timeline = live.timeline(page).await.unwrap();
    println!("timeline built in {:.1?}: {} spans", begun.elapsed(), timeline.spans().len());
    let packed = Packed::new(&log).await;
    println!("{:.2} bytes on disk for each edit (SEED={seed})", packed.bytes_per_edit);
    assert!(packed.bytes_per_edit <= MOST_BYTES_PER_EDIT || edits < MANY_EDITS);

    let begun = Instant::now();
    let mut model = Model::default();
    let mut done = 0;
    for at in moments(&mut random, log.len()) {
        log[done..at].iter().for_each(|edit| assert!(model.step(edit)));
        done = at;
        // A room notes when an edit came, and these all came within seconds.
        compare(&timeline, &model, &log, at, false);
        compare(&packed.timeline, &model, &log, at, true);
        // What a reader of an old revision gets is made in another way, and takes longer.
        if at % 25 == 0 {
            let text = live.text_at(page, Revision(at as u64)).await.unwrap();
            assert!(text.is_some_and(|text| *text == *model.text()), "what is read at {at}");
        }
        // Whose it is, by what yrs itself says of some characters.
        let length = model.units().len();
        for _ in 0..10.min(length) {
            let unit = random.random_range(0..length);
            let who = log[model.born()[unit] as usize - 1].who;
            assert_eq!(model.replica.client_of(unit as u32), clients[who], "unit {unit} at {at}");
        }
    }
    println!(
        "{MOMENTS} moments compared in {:.1?}, {} units at the end",
        begun.elapsed(),
        model.units().len()
    );
    assert!(model.units().len() > size * 9 / 10, "{} units", model.units().len());
    drop((live, packed.live));
    close(store).await;
    close(packed.store).await;
}
