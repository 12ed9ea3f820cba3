//! What the writer promises when the disk is slow, full or broken. Tests of recovery, which need
//! no hand inside, are in `tests/store_*.rs`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures::FutureExt as _;

use super::disk::{Disk, RealDisk, Synced};
use super::kv::{self, Kv, space};
use super::pages::page_key;
use super::{Change, Expect, Head, LogEntry, Options, Store, StoreError, Table};
use crate::page::{PageId, Revision};

/// A disk whose syncs can be held, counted and broken.
#[derive(Default)]
struct TestDisk {
    journal_syncs: AtomicU64,
    fail_journal: AtomicBool,
    fail_records: AtomicBool,
    full: AtomicBool,
    /// Whether journal syncs are held, and how many wait.
    gate: Mutex<(bool, u64)>,
    turned: Condvar,
}

impl TestDisk {
    fn hold(&self) {
        self.gate.lock().unwrap().0 = true;
    }

    fn release(&self) {
        self.gate.lock().unwrap().0 = false;
        self.turned.notify_all();
    }

    fn wait_until_held(&self) {
        let mut gate = self.gate.lock().unwrap();
        while gate.1 == 0 {
            gate = self.turned.wait(gate).unwrap();
        }
    }
}

impl Disk for TestDisk {
    fn sync(&self, what: Synced, file: &File) -> io::Result<()> {
        let broken = match what {
            Synced::Journal => &self.fail_journal,
            Synced::Records => &self.fail_records,
        };
        if what == Synced::Journal {
            let mut gate = self.gate.lock().unwrap();
            gate.1 += 1;
            self.turned.notify_all();
            while gate.0 {
                gate = self.turned.wait(gate).unwrap();
            }
            gate.1 -= 1;
            self.journal_syncs.fetch_add(1, Ordering::SeqCst);
        }
        if broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("broken on purpose"));
        }
        RealDisk.sync(what, file)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(if self.full.load(Ordering::SeqCst) { 0 } else { 1 << 40 })
    }
}

const PAGE: PageId = PageId(7);

fn entry(number: u64) -> LogEntry {
    LogEntry {
        at_ms: 1_000 + number,
        author: "gabc".into(),
        op: format!("op-{number}"),
        update: vec![number as u8; 20],
    }
}

fn put(key: &str, expect: Expect, value: &str) -> Change {
    Change { table: Table::Names, key: key.into(), expect, value: Some(value.as_bytes().to_vec()) }
}

fn open(dir: &Path) -> (Store, Arc<TestDisk>) {
    let disk = Arc::new(TestDisk::default());
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let store = Store::open_with(dir, options, Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
    (store, disk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_or_is_told_anything_before_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.hold();
    let mut append = Box::pin(store.append(PAGE, vec![entry(2)]));
    assert!(append.as_mut().now_or_never().is_none());
    disk.wait_until_held();
    let mut change = Box::pin(store.change(vec![put("a", Expect::Absent, "1")]));
    assert!(change.as_mut().now_or_never().is_none());
    assert!(append.as_mut().now_or_never().is_none());
    assert_eq!(store.head(PAGE).unwrap(), Some(Head { revision: Revision(1), at_ms: 1_001 }));
    assert_eq!(store.read_log(PAGE, Revision(0), 1 << 20).unwrap().len(), 1);
    assert_eq!(store.get(Table::Names, b"a").unwrap(), None);
    disk.release();
    assert_eq!(append.await.unwrap(), Revision(2));
    assert!(change.await.unwrap());
    assert_eq!(store.read_log(PAGE, Revision(0), 1 << 20).unwrap().len(), 2);
    assert_eq!(store.get(Table::Names, b"a").unwrap(), Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_during_a_sync_shares_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.hold();
    let mut first = Box::pin(store.append(PAGE, vec![entry(2)]));
    assert!(first.as_mut().now_or_never().is_none());
    disk.wait_until_held();
    let before = disk.journal_syncs.load(Ordering::SeqCst);
    let mut rest: Vec<_> =
        (3..103).map(|number| Box::pin(store.append(PAGE, vec![entry(number)]))).collect();
    for append in &mut rest {
        assert!(append.as_mut().now_or_never().is_none());
    }
    disk.release();
    first.await.unwrap();
    let mut revisions = Vec::new();
    for append in rest {
        revisions.push(append.await.unwrap().0);
    }
    assert_eq!(revisions, (3..103).collect::<Vec<_>>());
    assert_eq!(disk.journal_syncs.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_see_what_the_same_group_has_already_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.hold();
    let mut first = Box::pin(store.append(PAGE, vec![entry(2)]));
    assert!(first.as_mut().now_or_never().is_none());
    disk.wait_until_held();
    let exactly = |text: &str| Expect::Exactly(text.as_bytes().to_vec());
    let calls = [
        (vec![put("a", Expect::Absent, "1")], true),
        (vec![put("a", Expect::Absent, "2")], false),
        (vec![put("a", exactly("1"), "3")], true),
        // The second change of this call fails, so the first is not made.
        (vec![put("b", Expect::Absent, "x"), put("a", exactly("1"), "4")], false),
        (vec![put("b", Expect::Absent, "y"), put("b", exactly("y"), "z")], true),
    ];
    let mut waiting = Vec::new();
    for (changes, expected) in calls {
        let mut change = Box::pin(store.change(changes));
        assert!(change.as_mut().now_or_never().is_none());
        waiting.push((change, expected));
    }
    disk.release();
    first.await.unwrap();
    for (number, (change, expected)) in waiting.into_iter().enumerate() {
        assert_eq!(change.await.unwrap(), expected, "call {number}");
    }
    assert_eq!(store.get(Table::Names, b"a").unwrap(), Some(b"3".to_vec()));
    assert_eq!(store.get(Table::Names, b"b").unwrap(), Some(b"z".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.fail_journal.store(true, Ordering::SeqCst);
    let refused = store.append(PAGE, vec![entry(2)]).await;
    assert!(matches!(refused, Err(StoreError::Stopped)), "{refused:?}");
    // The disk works again, but the pages of the failed sync may be gone: no second try.
    disk.fail_journal.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.append(PAGE, vec![entry(3)]).await, Err(StoreError::Stopped)));
    }
    assert!(matches!(store.change(vec![]).await, Err(StoreError::Stopped)));
    assert!(store.failed().await.contains("broken on purpose"));
    assert_eq!(store.read_log(PAGE, Revision(0), 1 << 20).unwrap().len(), 1);
    assert!(matches!(store.close(), Err(StoreError::Stopped)));
    assert!(store.close().is_ok());
    let (again, _) = open(dir.path());
    let log = again.read_log(PAGE, Revision(0), 1 << 20).unwrap();
    assert_eq!(log[0], (Revision(1), entry(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_of_the_records_stops_the_store_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    disk.fail_records.store(true, Ordering::SeqCst);
    let mut acked = 0;
    loop {
        let mut big = entry(acked);
        big.update = (0..8_000_u32).map(|n| (n * 7919 % 251) as u8).collect();
        match store.append(PAGE, vec![big]).await {
            Ok(revision) => acked = revision.0,
            Err(StoreError::Stopped) => break,
            Err(other) => panic!("{other}"),
        }
        assert!(acked < 1_000, "the records were never synced");
    }
    assert!(acked > 0);
    assert!(store.failed().await.contains("broken on purpose"));
    drop(store);
    let (again, _) = open(dir.path());
    assert!(again.head(PAGE).unwrap().unwrap().revision.0 >= acked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_writes_are_refused_until_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    // The last look at the disk is believed for a second.
    let mut accepted = 1;
    loop {
        match store.append(PAGE, vec![entry(2)]).await {
            Ok(_) => accepted += 1,
            Err(StoreError::DiskFull) => break,
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.health().read_only.is_some());
    assert!(matches!(
        store.change(vec![put("a", Expect::Anything, "1")]).await,
        Err(StoreError::DiskFull)
    ));
    assert_eq!(store.read_log(PAGE, Revision(0), 1 << 20).unwrap().len(), accepted);
    disk.full.store(false, Ordering::SeqCst);
    while store.health().read_only.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let revision = store.append(PAGE, vec![entry(3)]).await.unwrap();
    assert_eq!(revision.0, accepted as u64 + 1);
}

/// A way to change sled behind the store's back.
type Meddling = (&'static str, fn(&Kv) -> Result<(), StoreError>);

const MEDDLINGS: &[Meddling] = &[
    ("a lost record", |kv| kv.remove(Table::Names.space(), b"a")),
    ("an older record", |kv| kv.put(Table::Names.space(), b"b", b"old")),
    ("a record that was removed", |kv| kv.put(Table::Names.space(), b"c", b"back")),
    ("a lost end of a log", |kv| {
        let last = kv.last_key(space::LOG, &PAGE.0.to_be_bytes(), &page_key(PAGE.0, u64::MAX))?;
        kv.remove(space::LOG, &last.unwrap())
    }),
    ("a lost middle of a log", |kv| {
        let keys = kv.keys(space::LOG, &PAGE.0.to_be_bytes())?;
        kv.remove(space::LOG, &keys[keys.len() / 2])
    }),
    ("a lost log", |kv| {
        for key in kv.keys(space::LOG, &PAGE.0.to_be_bytes())? {
            kv.remove(space::LOG, &key)?;
        }
        Ok(())
    }),
    ("a lost piece", |kv| {
        let pieces = kv.keys(space::PIECES, &[])?;
        kv.remove_raw_for_test(&pieces[3])
    }),
    ("no mark", |kv| kv.remove(space::STORE, b"applied")),
];

#[tokio::test]
async fn what_sled_loses_without_noticing_is_found_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for number in 0..1_000 {
        store.append(PAGE, vec![entry(number)]).await.unwrap();
    }
    for (key, value) in [("a", "1"), ("b", "old"), ("b", "new"), ("c", "x"), ("large", "y")] {
        let value = if key == "large" { &value.repeat(100_000) } else { value };
        store.change(vec![put(key, Expect::Anything, value)]).await.unwrap();
    }
    let gone = Change { value: None, ..put("c", Expect::Anything, "") };
    store.change(vec![gone]).await.unwrap();
    let read = |store: &Store| {
        let records = store.list(Table::Names, &[], None, 100).unwrap();
        (records, store.read_log(PAGE, Revision(0), usize::MAX).unwrap())
    };
    let expected = read(&store);
    drop(store);
    for (name, meddle) in MEDDLINGS {
        let kv = kv::open(&dir.path().join("sled"), 1 << 20, Arc::new(RealDisk)).unwrap();
        meddle(&kv).unwrap();
        kv.barrier().unwrap();
        kv.close();
        let (store, _) = open(dir.path());
        assert!(store.health().recovered.is_some(), "{name} was not noticed");
        assert!(read(&store) == expected, "{name}: not what was written");
    }
    let (store, _) = open(dir.path());
    assert_eq!(store.health().recovered, None);
    assert!(read(&store) == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_lost_its_beginning_was_not_acknowledged_and_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(dir.path());
    let journal = dir.path().join("journal/0000000000000000.journal");
    let used = || {
        let bytes = std::fs::read(&journal).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
    };
    store.append(PAGE, vec![entry(1)]).await.unwrap();
    disk.hold();
    let mut second = Box::pin(store.append(PAGE, vec![entry(2)]));
    assert!(second.as_mut().now_or_never().is_none());
    disk.wait_until_held();
    let start = used();
    // These make one group, written in one piece when the sync of the second is done.
    let mut rest: Vec<_> =
        (3..9).map(|number| Box::pin(store.append(PAGE, vec![entry(number)]))).collect();
    for append in &mut rest {
        assert!(append.as_mut().now_or_never().is_none());
    }
    disk.release();
    second.await.unwrap();
    for append in rest {
        append.await.unwrap();
    }
    // A power cut before the sync may keep the end of the write and not its beginning.
    let crashed = tempfile::tempdir().unwrap();
    std::fs::create_dir(crashed.path().join("journal")).unwrap();
    std::fs::copy(dir.path().join("format"), crashed.path().join("format")).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[start..start + 40].fill(0);
    std::fs::write(crashed.path().join("journal/0000000000000000.journal"), bytes).unwrap();
    let (again, _) = open(crashed.path());
    assert_eq!(again.head(PAGE).unwrap().unwrap().revision, Revision(2));
    assert_eq!(again.append(PAGE, vec![entry(20)]).await.unwrap(), Revision(3));
    again.close().unwrap();
    // The same below what a later group was written behind is damage.
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[start - 40..start].fill(0);
    std::fs::write(crashed.path().join("journal/0000000000000000.journal"), bytes).unwrap();
    std::fs::remove_dir_all(crashed.path().join("sled")).unwrap();
    let options = Options::default();
    assert!(matches!(Store::open(crashed.path(), options), Err(StoreError::Damaged(_))));
}
