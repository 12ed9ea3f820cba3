//! The power fails: whatever the disk had not been told to keep may be gone, sector by sector.
//!
//! A child process (this test binary itself, started with `POWER_DIR`) writes into a store under
//! strace. From the log of its calls come states in which a power loss at some moment may leave
//! the disk; each is written out and opened, and everything acknowledged before that moment must
//! be in it. See `power/disk.rs` for what a disk may do.
//!
//! `POWER_SEED` repeats a drawing of states (not the run itself: threads go as they like),
//! `POWER_IMAGES` says how many, `TEST_LONG=1` means thousands.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "power/acked.rs"]
mod acked;
#[path = "power/disk.rs"]
mod disk;
#[path = "power/history.rs"]
mod history;
#[path = "power/image.rs"]
mod image;
mod store_support;
#[path = "power/trace.rs"]
mod trace;
#[path = "power/workload.rs"]
mod workload;

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use acked::Acked;
use disk::Disk;
use halley::store::Store;
use history::{Deaf, History, TASK, scratch};
use image::Drawing;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use workload::{FIRST_DAMAGED, PLACE, RUNS, power_options};

/// Of these, what is done on a disk that has lost power once: nothing, then a little.
const AGAIN: [usize; 2] = [2, 8];

/// Recordings until one is explained by its log.
const RECORDINGS: usize = 5;

/// Does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(task), Ok(dir)) = (std::env::var(TASK), std::env::var("POWER_DIR")) else { return };
    workload::work(Path::new(&dir), RUNS[task.parse::<usize>().unwrap()]).await;
}

/// The same recording for all tests; `None` when nothing can be traced here.
fn recorded() -> Option<&'static History> {
    static HISTORY: OnceLock<Option<History>> = OnceLock::new();
    let history = HISTORY.get_or_init(|| {
        let all: Vec<usize> = (0..RUNS.len()).collect();
        // The kill comes at another place each time.
        for attempt in 1.. {
            match History::record(&scratch(), Acked::default(), &all) {
                Ok(history) => return history,
                Err(why) => assert!(attempt < RECORDINGS, "{why}"),
            }
        }
        None
    });
    if history.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: nothing can be traced here");
    }
    history.as_ref()
}

#[derive(Default, Debug)]
struct Tally {
    images: usize,
    /// States from which the database had to be built anew, by run.
    rebuilt: [usize; RUNS.len()],
    /// States in which something else was repaired, by run.
    healed: [usize; RUNS.len()],
    bad: Vec<String>,
    slowest: Duration,
}

/// Draws a state at each of the moments; stops when `enough` were bad.
fn draw(
    history: &History,
    moments: &[usize],
    deaf: Deaf,
    rng: &mut StdRng,
    enough: usize,
) -> Tally {
    let mut tally = Tally::default();
    history.walk(moments, deaf, |disk, acked, line| {
        let run = history.run(line);
        let drawing = Drawing::new(rng);
        let start = Instant::now();
        let verdict = examine(disk, drawing, acked, rng.random_ratio(1, 4));
        tally.slowest = tally.slowest.max(start.elapsed());
        tally.images += 1;
        match verdict {
            Ok(None) => {}
            Ok(Some(repaired)) if repaired.contains("rebuilt") => tally.rebuilt[run] += 1,
            Ok(Some(repaired)) => {
                println!("line {line} of run {run}, {drawing:?}: {repaired}");
                tally.healed[run] += 1;
            }
            Err(why) => tally.bad.push(format!("line {line} of run {run}, {drawing:?}: {why}")),
        }
        tally.bad.len() < enough
    });
    tally
}

/// Opens a state and looks for what was acknowledged. Says what the store had to repair.
fn examine(
    disk: &Disk,
    drawing: Drawing,
    acked: &Acked,
    twice: bool,
) -> Result<Option<String>, String> {
    let image = scratch();
    drawing.write(disk, image.path());
    let open = |acked: &Acked| -> Result<(Store, Option<String>), String> {
        let store = Store::open(&image.path().join(PLACE), power_options());
        let store = store.map_err(|error| error.to_string())?;
        acked.check(&store)?;
        let repaired = store.health().recovered;
        Ok((store, repaired))
    };
    let (store, repaired) = open(acked)?;
    if twice {
        let mut acked = acked.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(workload::go_on(&store, &mut acked));
        store.close().map_err(|error| error.to_string())?;
        let (_, again) = open(&acked).map_err(|why| format!("at the second start: {why}"))?;
        if let Some(again) = again {
            return Err(format!("the second start had to repair something: {again}"));
        }
    }
    Ok(repaired)
}

fn seeded() -> (u64, StdRng) {
    let given = std::env::var("POWER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    println!("POWER_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

fn images() -> usize {
    let given = std::env::var("POWER_IMAGES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(if is_long() { 2_500 } else { 120 })
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let Some(history) = recorded() else { return };
    let (seed, mut rng) = seeded();
    let begun = Instant::now();
    let moments = history.moments(images(), &mut rng);
    let tally = draw(history, &moments, |_| false, &mut rng, 10);
    println!(
        "{} calls, {} images, {} bad, rebuilt {:?}, healed {:?}, slowest {:?}, in {:?}",
        history.events.len(),
        tally.images,
        tally.bad.len(),
        tally.rebuilt,
        tally.healed,
        tally.slowest,
        begun.elapsed()
    );
    assert!(tally.bad.is_empty(), "POWER_SEED={seed}: {:#?}", tally.bad);
    // A power loss alone is nothing that a person should have to read about. From the run on in
    // which a sync fails the disk is at fault as well: bytes that it took and dropped may be missing
    // in a part of the journal that is kept elsewhere, and that is to be said.
    let untouched = [0; FIRST_DAMAGED];
    assert_eq!(tally.rebuilt[..FIRST_DAMAGED], untouched, "POWER_SEED={seed}");
    assert_eq!(tally.healed[..FIRST_DAMAGED], untouched, "POWER_SEED={seed}");
}

#[test]
fn nothing_is_lost_when_the_power_fails_again_while_the_store_recovers() {
    let Some(history) = recorded() else { return };
    let (seed, mut rng) = seeded();
    let generations = if is_long() { 12 } else { 1 };
    let mut moments = history.moments(generations, &mut rng);
    // Not before there is something to lose.
    moments.retain(|line| *line > history.starts[1] / 2);
    let (mut images, mut bad) = (0, Vec::new());
    history.walk(
        &moments,
        |_| false,
        |disk, acked, line| {
            let work = scratch();
            Drawing::new(&mut rng).write(disk, work.path());
            let second = History::record(&work, acked.clone(), &AGAIN).expect("a whole log");
            let Some(second) = second else { return false };
            let moments = second.moments(if is_long() { 100 } else { 30 }, &mut rng);
            let tally = draw(&second, &moments, |_| false, &mut rng, 3);
            images += tally.images;
            bad.extend(tally.bad.into_iter().map(|why| format!("after line {line}: {why}")));
            true
        },
    );
    println!("{images} images of second failures, {} bad", bad.len());
    assert!(bad.is_empty(), "POWER_SEED={seed}: {bad:#?}");
}

#[test]
fn a_sync_that_is_forgotten_would_be_noticed() {
    let Some(history) = recorded() else { return };
    let (seed, mut rng) = seeded();
    let forgotten: [(&str, Deaf); 10] = [
        ("journal files", |path| path.extension().is_some_and(|end| end == "journal")),
        ("new journal files", |path| is_new(path, "journal")),
        ("the journal's directory", |path| path.ends_with("data/journal")),
        ("the data directory", |path| path.ends_with("data")),
        ("the directory above it", |path| path.ends_with("wiki/team")),
        ("the directory that was there", |path| path == Path::new("")),
        ("the format", |path| path.ends_with("data/format.tmp")),
        ("checkpoints", |path| is_new(path, "checkpoints")),
        ("packs", |path| is_new(path, "packs")),
        ("the packs' directory", |path| path.ends_with("data/packs")),
    ];
    for (what, deaf) in forgotten {
        let moments = history.moments_after_forgotten(deaf, 160, &mut rng);
        let tally = draw(history, &moments, deaf, &mut rng, 1);
        println!("without the syncs of {what}, image {} was bad", tally.images);
        assert!(!tally.bad.is_empty(), "POWER_SEED={seed}: nobody needs the syncs of {what}");
    }
}

/// Whether a file is one that gets its name when it is whole.
fn is_new(path: &Path, dir: &str) -> bool {
    path.extension().is_some_and(|end| end == "tmp")
        && path.parent().is_some_and(|parent| parent.ends_with(dir))
}
