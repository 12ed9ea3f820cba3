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

#[path = "power/disk.rs"]
mod disk;
#[path = "power/image.rs"]
mod image;
mod store_support;
#[path = "power/trace.rs"]
mod trace;
#[path = "power/workload.rs"]
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use disk::Disk;
use halley::store::Store;
use image::Drawing;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use trace::{Call, Event};
use workload::{Acked, DAMAGE, NOTHING, REMOVE, power_options};

const STRACE: &str = "/usr/bin/strace";

/// Does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var("POWER_DIR") else { return };
    let read = |name: &str| std::env::var(name).unwrap();
    let count = read("POWER_COUNT").parse().unwrap();
    workload::run(Path::new(&dir), &read("POWER_BEFORE"), count, read("POWER_CLOSE") == "1").await;
}

/// One start of the process.
struct Run {
    before: &'static str,
    count: u64,
    close: bool,
}

/// Everything that happened to a data directory, over several starts of the process.
struct History {
    /// What was there before.
    base: TempDir,
    /// The place of the copy on which the process worked, which the log speaks of.
    root: PathBuf,
    acked: Acked,
    events: Vec<Event>,
    lines: usize,
}

/// Traces `runs` on the directory `data` in `base`. `None` when nothing can be traced here.
fn record(base: TempDir, acked: Acked, runs: &[Run]) -> Option<History> {
    let work = scratch();
    store_support::copy_all(base.path(), work.path());
    let root = work.path().to_owned();
    let mut history = History { base, root, acked, events: Vec::new(), lines: 0 };
    for run in runs {
        let log = tempfile::NamedTempFile::new().unwrap();
        let done = Command::new(STRACE)
            .args(["-f", "-y", "-xx", "-s", "33554432", "-e", trace::CALLS, "-o"])
            .arg(log.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("POWER_DIR", work.path().join("data"))
            .env("POWER_BEFORE", run.before)
            .env("POWER_COUNT", run.count.to_string())
            .env("POWER_CLOSE", u8::from(run.close).to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !done.status.success() {
            // A sandbox may forbid tracing altogether, which says nothing about the store.
            let can_trace =
                Command::new(STRACE).arg("true").output().is_ok_and(|out| out.status.success());
            assert!(!can_trace, "the traced child failed: {done:?}");
            return None;
        }
        let text = fs::read_to_string(log.path()).unwrap();
        let (events, lines) = trace::read(&text, work.path(), history.lines);
        history.events.extend(events);
        history.lines += lines;
    }
    Some(history)
}

/// Images are small and many: memory is the place for them.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[derive(Default, Debug)]
struct Tally {
    images: usize,
    rebuilt: usize,
    healed: usize,
    bad: Vec<String>,
    slowest: Duration,
}

impl History {
    /// Draws and checks `count` images; stops at the first `enough` bad ones.
    fn check(&self, count: usize, seed: u64, enough: usize) -> Tally {
        let rng = &mut StdRng::seed_from_u64(seed);
        let points = self.points(count, rng);
        let mut tally = Tally::default();
        self.walk(&points, |disk, acked, line| {
            let drawing = Drawing::new(rng);
            let twice = rng.random_ratio(1, 4);
            let image = scratch();
            drawing.write(disk, image.path());
            tally.images += 1;
            let start = Instant::now();
            let verdict = examine(&image.path().join("data"), acked, twice);
            tally.slowest = tally.slowest.max(start.elapsed());
            match verdict {
                Ok(None) => {}
                Ok(Some(repaired)) if repaired.contains("rebuilt") => tally.rebuilt += 1,
                Ok(Some(_)) => tally.healed += 1,
                Err(why) => {
                    let why = format!("after line {line}, {drawing:?}: {why}");
                    println!("BAD {why}");
                    tally.bad.push(why);
                }
            }
            tally.bad.len() < enough
        });
        tally
    }

    /// Moments at which the power may fail. Half of them are beside a call that concerns names,
    /// a sync or an answer: there, orders are wrong if they are.
    fn points(&self, count: usize, rng: &mut StdRng) -> Vec<usize> {
        let special: Vec<_> = self
            .events
            .iter()
            .filter(|event| !matches!(event.call, Call::Write { .. }))
            .flat_map(|event| [event.start.saturating_sub(1), event.start, event.end])
            .filter(|line| *line < self.lines)
            .collect();
        let mut points: Vec<_> = (0..count)
            .map(|_| match rng.random::<bool>() {
                true => special[rng.random_range(0..special.len())],
                false => self.events[rng.random_range(0..self.events.len())].start,
            })
            .collect();
        points.sort_unstable();
        points
    }

    /// Replays the log and stops at each of the sorted lines, until `at` says that it is enough.
    fn walk(&self, points: &[usize], mut at: impl FnMut(&Disk, &Acked, usize) -> bool) {
        let mut disk = Disk::load(self.base.path(), &self.root);
        let mut acked = self.acked.clone();
        let mut ends: Vec<&Event> =
            self.events.iter().filter(|event| event.end < self.lines).collect();
        ends.sort_by_key(|event| event.end);
        let (mut begun, mut ended) = (self.events.iter().peekable(), ends.into_iter().peekable());
        for point in points {
            loop {
                let begin = begun.peek().map(|event| event.start).filter(|line| line <= point);
                let end = ended.peek().map(|event| event.end).filter(|line| line <= point);
                match (begin, end) {
                    (None, None) => break,
                    (Some(begin), end) if end.is_none_or(|end| begin <= end) => {
                        let event = begun.next().unwrap();
                        if let Call::Say { text } = &event.call {
                            acked.hear(text);
                        }
                        disk.begin(event);
                    }
                    _ => disk.end(ended.next().unwrap()),
                }
            }
            if !at(&disk, &acked, *point) {
                return;
            }
        }
    }

    /// The same history with some syncs that were never asked for.
    fn without(mut self, is_dropped: impl Fn(&Path) -> bool) -> Self {
        let root = self.root.clone();
        self.events.retain(|event| match &event.call {
            Call::Sync { path } => !is_dropped(path.strip_prefix(&root).unwrap()),
            _ => true,
        });
        self
    }
}

/// Opens an image and looks for what was acknowledged. Says what the store had to repair.
fn examine(dir: &Path, acked: &Acked, twice: bool) -> Result<Option<String>, String> {
    let opened = |acked: &Acked| -> Result<(Store, Option<String>), String> {
        let store = Store::open(dir, power_options()).map_err(|error| error.to_string())?;
        acked.check(&store)?;
        let repaired = store.health().recovered;
        Ok((store, repaired))
    };
    let (store, repaired) = opened(acked)?;
    if twice {
        let mut acked = acked.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(workload::go_on(&store, &mut acked));
        store.close().map_err(|error| error.to_string())?;
        let (_, again) = opened(&acked).map_err(|why| format!("at the second start: {why}"))?;
        if let Some(again) = again {
            return Err(format!("the second start had to repair as well: {again}"));
        }
    }
    Ok(repaired)
}

fn seed() -> u64 {
    let given = std::env::var("POWER_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| rand::rng().random())
}

fn images(short: usize, long: usize) -> usize {
    let given = std::env::var("POWER_IMAGES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(if std::env::var_os("TEST_LONG").is_some() { long } else { short })
}

fn new_store() -> TempDir {
    scratch()
}

/// First start, a kill, starts without a usable database.
const RUNS: [Run; 4] = [
    Run { before: NOTHING, count: 60, close: true },
    Run { before: NOTHING, count: 50, close: false },
    Run { before: DAMAGE, count: 30, close: false },
    Run { before: REMOVE, count: 30, close: true },
];

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let seed = seed();
    println!("POWER_SEED={seed}");
    let Some(history) = record(new_store(), Acked::default(), &RUNS) else {
        println!("skipped: nothing can be traced here");
        return;
    };
    let begun = Instant::now();
    let tally = history.check(images(100, 2_000), seed, 5);
    let mut acked = history.acked.clone();
    for event in &history.events {
        if let Call::Say { text } = &event.call {
            acked.hear(text);
        }
    }
    println!(
        "{} calls, {} acknowledged, {} images, {} bad, {} rebuilt, {} healed, slowest open {:?}, {:?}",
        history.events.len(),
        acked.count,
        tally.images,
        tally.bad.len(),
        tally.rebuilt,
        tally.healed,
        tally.slowest,
        begun.elapsed()
    );
    assert!(acked.count > 100);
    assert!(tally.bad.is_empty(), "POWER_SEED={seed}: {:#?}", tally.bad);
}
