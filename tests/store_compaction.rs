//! A process that packs its history again and again is killed at random moments: the history must
//! be complete and the texts equal.
//!
//! The children are this test binary itself, started with `TEST_COMPACT_DIR`. `TEST_COMPACT_ROUNDS`
//! says how many are killed (10, with `TEST_LONG` 100), `TEST_SEED` repeats a run (but for the
//! moments, which depend on the machine). What a power failure leaves is in `store_power.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod store_support;
#[path = "store_support/typing.rs"]
mod typing;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use halley::page::{PageId, Revision};
use halley::store::{LogEntry, Options, Store};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store_support::{options, read_all};
use typing::{Typing, kept, replay};

const DIR: &str = "TEST_COMPACT_DIR";
const SEED: &str = "TEST_SEED";
const PAGES: u64 = 3;
/// Edits of each page's life.
const EDITS: usize = 6_000;
/// A compaction takes about so long here.
const PACKING_MICROS: u64 = 12_000;
/// Edits that are handed in together.
const GROUP: usize = 7;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn crash_options() -> Options {
    // Checkpoints come by themselves as well.
    Options { checkpoint_bytes: 1 << 20, ..options() }
}

/// What is typed on a page, by everybody who knows the seed. Client ids are drawn from it, too.
fn life(seed: u64, page: u64) -> Vec<LogEntry> {
    let mut typing = Typing::new(seed + page, 3);
    let mut log = vec![typing.paste(2_000)];
    while log.len() < EDITS {
        log.push(typing.key());
        // As a merge leaves it: this one must never go.
        let number = log.len();
        if number % 50 == 0
            && let Some(last) = log.last_mut()
        {
            last.op = format!("merge:{number:032x}");
        }
    }
    log
}

/// What a child says before it packs.
const BEGINS: &str = "ack 0 0 ;\n";

/// Types and packs until it is killed. Does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(dir), Some(seed)) = (std::env::var(DIR), number(SEED)) else { return };
    let lives: Vec<_> = (1..=PAGES).map(|page| (page, life(seed, page))).collect();
    let store = Store::open(Path::new(&dir), crash_options()).unwrap();
    for (page, log) in lives {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let head = store.head(PageId(page)).unwrap().map_or(0, |head| head.revision.0);
                let rest = log.iter().skip(head as usize).take(GROUP).cloned().collect();
                let revision = store.append(PageId(page), rest).await.unwrap();
                say(&format!("ack {page} {revision} ;\n"));
                if revision.0 as usize == log.len() {
                    return;
                }
                if revision.0 % 100 < GROUP as u64 {
                    let state = revision.0.to_le_bytes().repeat(500);
                    store.save_snapshot(PageId(page), revision, state).await.unwrap();
                }
                // So slowly that many packs are written meanwhile, and joined.
                let pause = rand::rng().random_range(0..8);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
    }
    loop {
        say(BEGINS);
        let done = store.compact(u64::MAX).await.unwrap();
        say(&format!("ack 0 {} ;\n", 1 + done.packs + (done.merged << 32)));
        // Small packs and larger ones.
        let pause = rand::rng().random_range(0..6_u64).pow(2) * 3;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Page and revision of a line that a child said.
fn heard(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line[line.find("ack ")?..].split(' ').collect();
    let [_, page, revision, ";"] = words[..] else { return None };
    Some((page.parse().ok()?, revision.parse().ok()?))
}

/// Checks a page; how many of its entries had been packed.
fn check(store: &Store, page: u64, acked: u64, life: &[LogEntry]) -> usize {
    let log = read_all(store, page, 100_000);
    assert!(log.len() as u64 >= acked, "page {page} has {} of {acked} edits", log.len());
    let mut packed = 0;
    for (number, (found, expected)) in log.iter().zip(life).enumerate() {
        let lost_its_op = found != expected;
        assert!(!lost_its_op || *found == kept(expected), "edit {} of page {page}", number + 1);
        packed += usize::from(lost_its_op);
    }
    if let Some((revision, state)) = store.snapshot_at(PageId(page), Revision(u64::MAX)).unwrap() {
        assert_eq!(state, revision.0.to_le_bytes().repeat(500));
    }
    packed
}

#[test]
fn nothing_of_the_history_is_lost_when_a_compaction_is_killed() {
    let usual = if std::env::var_os("TEST_LONG").is_some() { 100 } else { 10 };
    let rounds = number("TEST_COMPACT_ROUNDS").unwrap_or(usual);
    let seed = number(SEED).unwrap_or_else(|| u64::from(rand::rng().random::<u32>()));
    println!("{rounds} rounds, {SEED}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let lives: Vec<_> = (1..=PAGES).map(|page| life(seed, page)).collect();
    let (mut edits, mut packed, mut unfinished, mut without, mut opening) = (0, 0, 0, 0, 0);
    let (mut packs, mut merged, mut within) = (0, 0, 0);
    let mut slowest = Duration::ZERO;
    let mut dir = tempfile::tempdir().unwrap();
    let mut acked = [0; PAGES as usize + 1];
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (hear, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(heard) = heard(&line)
                    && hear.send(heard).is_err()
                {
                    return;
                }
            }
        });
        let mut packing = false;
        let mut note = |(page, revision): (u64, u64)| {
            let known = &mut acked[page as usize];
            *known = revision.max(*known);
            if page == 0 {
                packing = revision == 0;
                packs += revision.saturating_sub(1) & 0xffff_ffff;
                merged += revision >> 32;
            }
        };
        // Some are killed while they put in order what the one before left, the others soon after
        // they began to pack.
        if round % 4 == 2 {
            opening += 1;
            std::thread::sleep(Duration::from_micros(rng.random_range(100..300_000)));
        } else {
            let wait = Duration::from_millis(rng.random_range(0..400));
            let mut from = None;
            loop {
                let heard =
                    lines.recv_timeout(Duration::from_secs(60)).expect("a child that speaks");
                note(heard);
                let from = *from.get_or_insert_with(Instant::now);
                if heard == (0, 0) && from.elapsed() >= wait {
                    break;
                }
            }
            std::thread::sleep(Duration::from_micros(rng.random_range(0..PACKING_MICROS)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        lines.try_iter().for_each(&mut note);
        within += usize::from(packing);
        let leavings = std::fs::read_dir(dir.path().join("packs"));
        unfinished += leavings.into_iter().flatten().flatten().fold(0, |sum, entry| {
            sum + usize::from(entry.file_name().to_string_lossy().ends_with(".tmp"))
        });
        if round % 4 == 1 && round + 1 < rounds {
            continue;
        }
        // Now and then the database is gone as well, and the checkpoint must do.
        if round % 10 == 9 {
            std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
            without += 1;
        }
        let begun = Instant::now();
        let store = Store::open(dir.path(), crash_options()).unwrap();
        slowest = slowest.max(begun.elapsed());
        let said = store.health().recovered;
        assert!(said.is_none() || round % 10 == 9, "round {round} of seed {seed}: {said:?}");
        packed = 0;
        for (page, life) in (1..).zip(&lives) {
            packed += check(&store, page, acked[page as usize], life);
        }
        let whole = (1..=PAGES).all(|page| {
            store.head(PageId(page)).unwrap().is_some_and(|head| head.revision.0 as usize == EDITS)
        });
        if whole || round + 1 == rounds {
            for (page, life) in (1..).zip(&lives) {
                let log = read_all(&store, page, 1 << 20);
                edits += log.len();
                let found = replay(log.iter().map(|entry| &entry.update[..]));
                let expected = replay(life[..log.len()].iter().map(|entry| &entry.update[..]));
                assert!(found == expected, "round {round} of seed {seed}: text of page {page}");
            }
        }
        drop(store);
        if whole {
            // All is typed: another wiki.
            dir = tempfile::tempdir().unwrap();
            acked = [0; PAGES as usize + 1];
        }
    }
    println!(
        "{rounds} kills, {within} of them within a compaction ({unfinished} while a pack was written) and {opening} soon after the \
         start, {without} times without the database; {packs} packs were finished, {merged} of \
         them joined; {edits} edits and their texts compared, {packed} packed at last, 0 lost, \
         slowest start {} ms",
        slowest.as_millis()
    );
    assert!(edits > 0 && within > 0);
}
