//! What a keystroke takes on disk when nobody is in a hurry any more.
//!
//! `TEST_SEED` repeats a run, `TEST_EDITS` says how many edits (100,000).

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod store_support;
#[path = "store_support/typing.rs"]
mod typing;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use halley::page::{PageId, Revision};
use halley::store::{LogEntry, Options, Store};
use store_support::read_all;
use typing::{Typing, kept, replay};

const PAGE: PageId = PageId(1);
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// How often live pages keep a snapshot.
const SNAPSHOT_EVERY: usize = 2_000;
/// The bar of issue 4.
const MOST_BYTES_PER_EDIT: f64 = 10.0;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, store_options()).unwrap()
}

fn store_options() -> Options {
    Options { free_floor_bytes: 0, ..Options::default() }
}

/// Bytes of each part of a data directory, as the files say and as the disk has them.
fn parts(dir: &Path) -> Vec<(String, u64, u64)> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let (bytes, blocks) = sizes(&path);
        parts.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes, blocks));
    }
    parts.sort();
    parts
}

fn sizes(path: &Path) -> (u64, u64) {
    let meta = fs::metadata(path).unwrap();
    if !meta.is_dir() {
        return (meta.len(), meta.blocks() * 512);
    }
    fs::read_dir(path).unwrap().fold((0, 0), |sum, entry| {
        let (bytes, blocks) = sizes(&entry.unwrap().path());
        (sum.0 + bytes, sum.1 + blocks)
    })
}

fn total(parts: &[(String, u64, u64)]) -> u64 {
    parts.iter().map(|(_, bytes, _)| bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keystroke_takes_ten_bytes_at_most_once_it_is_packed() {
    let (seed, edits) = (number("TEST_SEED", 1), number("TEST_EDITS", 100_000) as usize);
    println!("seed {seed}");
    let nothing = tempfile::tempdir().unwrap();
    open(nothing.path()).close().unwrap();
    let empty = total(&parts(nothing.path()));

    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut typing = Typing::new(seed, 10);
    let begun = Instant::now();
    let mut log: Vec<LogEntry> = vec![typing.paste(60_000)];
    let mut states = Vec::new();
    while log.len() < edits {
        log.push(typing.key());
        if log.len().is_multiple_of(SNAPSHOT_EVERY) {
            states.push((Revision(log.len() as u64), typing.state()));
        }
    }
    let length = typing.text().len();
    println!("{edits} edits made in {:?}, the text has {length} bytes", begun.elapsed());
    let begun = Instant::now();
    let mut states = states.into_iter().peekable();
    for group in log.chunks(50) {
        let last = store.append(PAGE, group.to_vec()).await.unwrap();
        while let Some((at, state)) = states.next_if(|(at, _)| *at <= last) {
            store.save_snapshot(PAGE, at, state).await.unwrap();
        }
    }
    println!("kept in {:?}", begun.elapsed());
    store.close().unwrap();
    let unpacked = parts(dir.path());

    // Nobody has it open, so it becomes as small as it can be.
    let begun = Instant::now();
    let shrunk = Store::shrink(dir.path(), store_options(), log.last().unwrap().at_ms + HOUR_MS);
    let shrunk = shrunk.await.unwrap();
    println!("packed in {:?}: {:?}", begun.elapsed(), shrunk.done);
    assert_eq!((shrunk.done.pages, shrunk.done.entries), (1, edits as u64));
    assert!(shrunk.after.disk_bytes() < shrunk.before.disk_bytes(), "{shrunk:?}");

    let now = parts(dir.path());
    println!("{:<12} {:>10} {:>10} {:>10}", "part", "typed", "packed", "on disk");
    for (name, bytes, blocks) in &now {
        let before = unpacked.iter().find(|part| part.0 == *name).map_or(0, |part| part.1);
        println!("{name:<12} {before:>10} {bytes:>10} {blocks:>10}");
    }
    let per_edit = (total(&now) as f64 - empty as f64) / edits as f64;
    println!(
        "an empty wiki takes {empty} bytes; {:.1} bytes an edit before, {per_edit:.2} after",
        (total(&unpacked) as f64 - empty as f64) / edits as f64
    );

    let store = open(dir.path());
    assert_eq!(store.health().recovered, None);
    println!("{:?}", store.costs().unwrap());
    let begun = Instant::now();
    let found = read_all(&store, PAGE.0, 1 << 20);
    println!("all of it read in {:?}", begun.elapsed());
    let expected: Vec<_> = log.iter().map(kept).collect();
    assert!(found == expected, "the log is not what was typed");
    let begun = Instant::now();
    let (at, state) = store.snapshot_at(PAGE, Revision(u64::MAX)).unwrap().unwrap();
    println!("snapshot of {} bytes at {at} read in {:?}", state.len(), begun.elapsed());
    let rest = found[at.0 as usize..].iter().map(|entry| &entry.update[..]);
    let text = replay(std::iter::once(&state[..]).chain(rest));
    assert!(text == typing.text(), "the text is not what was typed");
    assert!(
        per_edit <= MOST_BYTES_PER_EDIT || edits < 100_000,
        "{per_edit:.2} bytes an edit (seed {seed})"
    );
}
