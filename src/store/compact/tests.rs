//! What a compaction moves, what it leaves, and what readers and crashes see of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Options, Store, packed};
use super::*;
use crate::page::{PageId, Revision};

const PAGE: PageId = PageId(7);
const OTHER: PageId = PageId(8);
/// Of the first entry.
const BEGAN_MS: u64 = 1_700_000_000_000;
const LATER_MS: u64 = BEGAN_MS + 1_000 * AGE_MS;

fn entry(number: u64) -> LogEntry {
    let op = match number % 5 {
        0 if number.is_multiple_of(2) => format!("merge:{number:026x}"),
        0 => format!("merge:k:{number}:undo:abcdefghijkl.1.{number}"),
        _ => "abcdefghijklmnopqrst".into(),
    };
    let mut update = number.to_le_bytes().to_vec();
    update.resize(20 + number as usize % 50, number as u8);
    LogEntry { at_ms: BEGAN_MS + number, author: format!("g{}", number % 3), op, update }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

fn options() -> Options {
    Options { free_floor_bytes: 0, reserve_bytes: 0, ..Options::default() }
}

async fn fill(store: &Store, page: PageId, from: u64, to: u64) {
    for first in (from..=to).step_by(100) {
        let entries = (first..=to.min(first + 99)).map(entry).collect();
        store.append(page, entries).await.unwrap();
    }
}

fn read(store: &Store, page: PageId, after: u64, limit: usize) -> Vec<(u64, LogEntry)> {
    let found = store.read_log(page, Revision(after), limit).unwrap();
    found.into_iter().map(|(revision, entry)| (revision.0, entry)).collect()
}

/// Entries of the first revision on, the first `packed` of which have been in a pack.
fn check(store: &Store, page: PageId, packed: u64, last: u64) {
    assert_eq!(store.head(page).unwrap().unwrap().revision, Revision(last));
    for after in [0, 1, 99, 4_095, 4_096, 5_000, packed.saturating_sub(1), packed, last - 1] {
        for limit in [1, 5_000, usize::MAX] {
            let found = read(store, page, after, limit);
            for (at, (revision, found)) in (after + 1..).zip(&found) {
                let expected = if at <= packed { packed::kept(&entry(at)) } else { entry(at) };
                assert!(*revision == at && *found == expected, "{at} after {after} of page {page}");
            }
            let rest = last.saturating_sub(after);
            let least = if limit == usize::MAX { rest } else { rest.min(1) };
            assert!(found.len() as u64 >= least, "after {after} of page {page}");
        }
    }
}

fn packs(dir: &Path) -> Vec<PathBuf> {
    crate::store::disk::files_ending(&dir.join("packs"), ".pack").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_moves_into_packs_and_reads_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, PAGE, 1, 9_000).await;
    fill(&store, OTHER, 1, 150).await;
    let before = store.costs().unwrap();
    assert_eq!(store.compact(BEGAN_MS + AGE_MS).await.unwrap(), Compacted::default(), "too young");
    let done = store.compact(LATER_MS).await.unwrap();
    assert_eq!((done.pages, done.entries, done.packs), (2, 9_150, 1));
    assert!(done.after_bytes < done.before_bytes, "{done:?}");
    check(&store, PAGE, 9_000, 9_000);
    check(&store, OTHER, 150, 150);
    let costs = store.costs().unwrap();
    assert_eq!(costs.pages[0].page, PAGE);
    let unpacked: u64 = costs.pages.iter().map(|cost| cost.unpacked_bytes).sum();
    assert_eq!(unpacked, done.before_bytes);
    assert!(costs.pages[0].saved_bytes() > costs.pages[0].packed_bytes);
    assert_eq!(costs.last.map(|(_, last)| last), Some(done));
    assert_eq!((costs.pages[0].edits, costs.pages[0].packed_edits), (9_000, 9_000));
    assert_eq!((costs.pages[0].stored_bytes, costs.pages[0].recent_bytes), (0, 0));
    assert!(costs.pages[0].bytes() < before.pages[0].bytes());
    assert_eq!(store.compact(LATER_MS).await.unwrap(), Compacted::default(), "nothing is left");

    // What comes after goes into chunks, and then into another pack.
    fill(&store, PAGE, 9_001, 9_500).await;
    check(&store, PAGE, 9_000, 9_500);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.health().recovered, None);
    check(&store, PAGE, 9_000, 9_500);
    let done = store.compact(LATER_MS).await.unwrap();
    assert_eq!((done.pages, done.entries, done.packs), (1, 500, 1));
    check(&store, PAGE, 9_500, 9_500);
    assert_eq!(packs(dir.path()).len(), 2);

    // The checkpoint has only the records of it, and that is enough.
    store.checkpoint().await.unwrap();
    fill(&store, PAGE, 9_501, 9_600).await;
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let store = open(dir.path());
    assert!(store.health().recovered.unwrap().contains("checkpoint"));
    check(&store, PAGE, 9_500, 9_600);
    check(&store, OTHER, 150, 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_or_writes_meanwhile_notices_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, PAGE, 1, 3_000).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (reader, ended) = (store.clone(), Arc::clone(&stop));
    let reading = std::thread::spawn(move || {
        let mut rounds = 0;
        while !ended.load(Ordering::Relaxed) {
            let mut at = 0;
            loop {
                let found = read(&reader, PAGE, at, 3_000);
                for (revision, found) in &found {
                    let whole = *found == entry(*revision);
                    assert!(whole || *found == packed::kept(&entry(*revision)), "{revision}");
                    assert_eq!(*revision, at + 1);
                    at = *revision;
                }
                if found.is_empty() {
                    break;
                }
            }
            assert!(at >= 3_000);
            rounds += 1;
        }
        rounds
    });
    for round in 0..20 {
        let from = 3_001 + round * 100;
        let (filled, packed) =
            tokio::join!(fill(&store, PAGE, from, from + 99), store.compact(LATER_MS));
        let () = filled;
        packed.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reading.join().unwrap() > 0);
    store.compact(LATER_MS).await.unwrap();
    check(&store, PAGE, 5_000, 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_being_asked_only_what_is_worth_it_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, PAGE, 1, 2_500).await;
    fill(&store, OTHER, 1, 1_500).await;
    // Tails stay in memory until they are old or long.
    store.checkpoint().await.unwrap();
    let shared = &store.inner.shared;
    let plan = Plan { kv: shared.kv().unwrap(), now_ms: LATER_MS, at_once: false };
    let (busy, whole) = (Arc::clone(shared), plan);
    let begun = std::time::Instant::now();
    let done = std::thread::spawn(move || make(&busy, &whole)).join().unwrap().unwrap();
    // All of it was read at least once, and the pack written and read back.
    let least = (done.before_bytes + 2 * done.after_bytes) * 1_000 / BYTES_PER_SECOND;
    assert!(begun.elapsed().as_millis() >= u128::from(least), "less than {least} ms");
    assert_eq!((done.pages, done.entries), (1, 2_500));
    check(&store, PAGE, 2_500, 2_500);
    check(&store, OTHER, 0, 1_500);
}

/// Copies a directory as it is.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_is_gone_is_rebuilt_while_something_still_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, PAGE, 1, 3_000).await;
    store.checkpoint().await.unwrap();
    fill(&store, PAGE, 3_001, 4_000).await;
    store.compact(LATER_MS).await.unwrap();
    drop(store);
    for damage in ["gone", "cut", "flipped"] {
        let broken = tempfile::tempdir().unwrap();
        copy(dir.path(), broken.path());
        let pack = packs(broken.path()).remove(0);
        let mut bytes = fs::read(&pack).unwrap();
        match damage {
            "gone" => fs::remove_file(&pack).unwrap(),
            "cut" => fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap(),
            _ => {
                bytes[200] ^= 1;
                fs::write(&pack, bytes).unwrap();
                // Nobody looks at every byte when a store is opened; a reader does, and stops it.
                let store = open(broken.path());
                let found = store.read_log(PAGE, Revision(0), 1);
                assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
                assert!(store.failed().await.contains("pack"));
            }
        }
        let store = open(broken.path());
        let said = store.health().recovered.unwrap_or_default();
        assert!(said.contains("rebuilt"), "{damage}: {said}");
        check(&store, PAGE, 0, 4_000);
        drop(store);
        let store = open(broken.path());
        assert_eq!(store.health().recovered, None, "{damage}");
        assert!(packs(broken.path()).is_empty(), "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_nothing_can_replace_takes_only_its_own_history_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, PAGE, 1, 3_000).await;
    store.save_snapshot(PAGE, Revision(3_000), b"the text".to_vec()).await.unwrap();
    store.compact(LATER_MS).await.unwrap();
    store.checkpoint().await.unwrap();
    fill(&store, PAGE, 3_001, 3_100).await;
    fill(&store, OTHER, 1, 50).await;
    drop(store);
    let pack = packs(dir.path()).remove(0);
    let whole = fs::read(&pack).unwrap();
    fs::remove_file(&pack).unwrap();
    for without_sled in [false, true] {
        if without_sled {
            fs::remove_dir_all(dir.path().join("sled")).unwrap();
        }
        let store = open(dir.path());
        let said = store.health().recovered.unwrap_or_default();
        assert!(said.contains("revisions 1 to 3000 of page 7"), "{said}");
        for after in [0, 2_999] {
            let found = store.read_log(PAGE, Revision(after), 1);
            assert!(matches!(found, Err(StoreError::Lost(_))), "{after}: {found:?}");
        }
        assert_eq!(store.head(PAGE).unwrap().unwrap().revision, Revision(3_100));
        let newest = store.snapshot_at(PAGE, Revision(u64::MAX)).unwrap();
        assert_eq!(newest, Some((Revision(3_000), b"the text".to_vec())));
        assert_eq!(read(&store, PAGE, 3_000, usize::MAX).len(), 100);
        assert_eq!(read(&store, OTHER, 0, usize::MAX).len(), 50);
        // What cannot be had back must not keep the journal from being cut.
        store.checkpoint().await.unwrap();
        store.compact(0).await.unwrap();
    }
    let store = open(dir.path());
    fill(&store, PAGE, 3_101, 3_200).await;
    drop(store);
    fs::write(&pack, whole).unwrap();
    let store = open(dir.path());
    assert_eq!(store.health().recovered, None);
    check(&store, PAGE, 3_000, 3_200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_snapshots_of_a_packed_page_the_newest_and_some_in_packs_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Bytes that do not compress: one in a pack for some 700 edits.
    let state = |revision: u64| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&revision.to_le_bytes());
        let mut bytes = vec![0; 700 * STATE_BYTES_PER_EDIT as usize];
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    };
    for revision in (500..=5_000).step_by(500) {
        fill(&store, PAGE, revision - 499, revision).await;
        store.save_snapshot(PAGE, Revision(revision), state(revision)).await.unwrap();
    }
    store.compact(LATER_MS).await.unwrap();
    let kv = store.inner.shared.kv().unwrap();
    assert_eq!(snapshot::revisions(&kv, PAGE.0).unwrap(), [5_000]);
    let mut found = Vec::new();
    for at in (0..=5_500).step_by(250) {
        if let Some((revision, bytes)) = store.snapshot_at(PAGE, Revision(at)).unwrap() {
            assert!(revision.0 <= at && bytes == state(revision.0), "{revision} for {at}");
            found.push(revision.0);
        }
    }
    found.dedup();
    assert!(found.len() >= 3 && found.last() == Some(&5_000), "{found:?}");
    for pair in found.windows(2) {
        assert!(pair[1] - pair[0] >= 700 || pair[1] == 5_000, "{found:?}");
    }
    store.checkpoint().await.unwrap();
    drop(kv);
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let store = open(dir.path());
    let newest = store.snapshot_at(PAGE, Revision(u64::MAX)).unwrap();
    assert_eq!(newest, Some((Revision(5_000), state(5_000))));
    let older = store.snapshot_at(PAGE, Revision(4_999)).unwrap().unwrap();
    assert_eq!(older.1, state(older.0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_packs_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut merged = 0;
    for round in 0..20 {
        fill(&store, PAGE, round * 100 + 1, round * 100 + 100).await;
        fill(&store, OTHER, round * 10 + 1, round * 10 + 10).await;
        merged += store.compact(LATER_MS).await.unwrap().merged;
        check(&store, PAGE, round * 100 + 100, round * 100 + 100);
    }
    assert_eq!(merged, 16);
    check(&store, OTHER, 200, 200);
    let kv = store.inner.shared.kv().unwrap();
    // 16 became one, and four came after that.
    assert_eq!(kv.keys(space::PACKED, &PAGE.0.to_be_bytes()).unwrap().len(), 5);
    drop(kv);
    // A crash, an old checkpoint: the files of before must still be there.
    assert_eq!(packs(dir.path()).len(), 21);
    drop(store);
    let store = open(dir.path());
    assert_eq!(packs(dir.path()).len(), 21);
    store.checkpoint().await.unwrap();
    assert_eq!(packs(dir.path()).len(), 5);
    check(&store, PAGE, 2_000, 2_000);
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let store = open(dir.path());
    check(&store, PAGE, 2_000, 2_000);
    check(&store, OTHER, 200, 200);
}
