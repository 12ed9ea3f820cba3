//! A crash at each step.

use std::cell::Cell;

use super::super::pace::Pace;
use super::super::{Change, Expect, kv};
use super::*;

thread_local! {
    /// The step at which the process "ends".
    static AT: Cell<Option<usize>> = const { Cell::new(None) };
}

const LAST: usize = 13;
/// From this one on it is done at the next start by itself.
const DECIDED: usize = 4;

pub(super) fn crash(step: usize) -> Result<(), StoreError> {
    match AT.get() == Some(step) {
        true => Err(StoreError::Stopped),
        false => Ok(()),
    }
}

const SECRET: &[u8] = b"correct horse battery staple";
const MASKED: &[u8] = b"******* ***** ******* ******";

fn options() -> Options {
    Options { free_floor_bytes: 0, reserve_bytes: 0, segment_bytes: 1 << 20, ..Options::default() }
}

fn entry(page: u64, number: u64) -> LogEntry {
    let mut update = format!("page {page} entry {number} ").into_bytes();
    if page == 1 && number.is_multiple_of(10) {
        update.extend_from_slice(SECRET);
    }
    LogEntry {
        at_ms: 1_700_000_000_000 + number,
        author: format!("g{}", number % 3),
        op: format!("op{number}"),
        update,
    }
}

fn masked(entry: LogEntry) -> LogEntry {
    let text = String::from_utf8(entry.update).unwrap();
    let from = std::str::from_utf8(SECRET).unwrap();
    let update = text.replace(from, std::str::from_utf8(MASKED).unwrap()).into_bytes();
    LogEntry { update, ..entry }
}

async fn append(store: &Store, from: u64, to: u64) {
    for page in [1, 2] {
        for number in from..to {
            store.append(PageId(page), vec![entry(page, number)]).await.unwrap();
        }
    }
}

/// The secret in the journal, in chunks, in packs, in a record, in snapshots, in a checkpoint and
/// in what was set aside, and in a laboratory.
async fn fill(dir: &Path) {
    let store = Store::open(dir, options()).unwrap();
    append(&store, 0, 300).await;
    store.save_snapshot(PageId(1), Revision(300), SECRET.repeat(3)).await.unwrap();
    store.save_snapshot(PageId(2), Revision(300), b"of the other".to_vec()).await.unwrap();
    store.compact(u64::MAX).await.unwrap();
    append(&store, 300, 500).await;
    let value = Some(SECRET.to_vec());
    let (key, expect) = (b"name".to_vec(), Expect::Anything);
    let change = Change { table: Table::Revisions, key, expect, value };
    let gone = Change { key: b"gone".to_vec(), ..change.clone() };
    store.change(vec![change, gone]).await.unwrap();
    store.checkpoint().await.unwrap();
    append(&store, 500, 600).await;
    store.close().unwrap();
    let lab = dir.join(LAB).join("journal");
    fs::create_dir_all(&lab).unwrap();
    fs::write(lab.join("0.log"), SECRET).unwrap();
    let aside = dir.join(format!("{DAMAGED}1"));
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("db"), SECRET).unwrap();
}

/// Begins, or goes on with what is noted; as if the process ended at the step that is set.
fn run(dir: &Path) -> Result<(), StoreError> {
    let pages = BTreeSet::from([PageId(1)]);
    let record = |_: Table, (key, value): Pair| {
        let value = if value == SECRET { MASKED.to_vec() } else { value };
        Ok((key != b"gone").then_some(value))
    };
    let finish = |store: &Store| {
        assert_eq!(store.head(PageId(1))?.map(|head| head.revision), Some(Revision(600)));
        Ok(())
    };
    let entry = |_, _, entry| Ok(masked(entry));
    let work = Rewrite { pages: &pages, entry: &entry, record: &record, finish: &finish };
    match pending(dir)? {
        Some(note) => go_on(dir, &options(), &note, &work).map(drop),
        None => begin(dir, &options(), b"a note", &work),
    }
}

fn check(dir: &Path) {
    let store = Store::open(dir, options()).unwrap();
    assert_eq!(store.health().recovered, None);
    for page in [1, 2] {
        let found = store.read_log(PageId(page), Revision(0), usize::MAX).unwrap();
        assert_eq!(found.len(), 600);
        for (number, (_, found)) in (0..).zip(found) {
            let expected = LogEntry { op: found.op.clone(), ..masked(entry(page, number)) };
            assert_eq!(found, expected);
        }
    }
    assert_eq!(store.get(Table::Revisions, b"name").unwrap().as_deref(), Some(MASKED));
    assert_eq!(store.get(Table::Revisions, b"gone").unwrap(), None);
    assert_eq!(store.snapshot_at(PageId(1), Revision(900)).unwrap(), None);
    let other = store.snapshot_at(PageId(2), Revision(900)).unwrap();
    assert_eq!(other, Some((Revision(300), b"of the other".to_vec())));
    store.close().unwrap();
}

/// Everything is there, and the bytes are nowhere.
fn check_erased(dir: &Path) {
    check(dir);
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.starts_with("eras") && !name.starts_with(DAMAGED), "{name} is left");
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{name}");
        }
    }
    // The database from the new checkpoint alone.
    fs::remove_dir_all(dir.join("sled")).unwrap();
    let store = Store::open(dir, options()).unwrap();
    assert!(store.health().recovered.is_some());
    store.close().unwrap();
    check(dir);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => fs::copy(entry.path(), to).map(drop).unwrap(),
        }
    }
}

#[test]
fn old_bytes_are_gone_from_every_file_whatever_step_a_crash_ends() {
    let filled = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(filled.path()));
    for step in 0..=LAST {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        copy(filled.path(), dir);
        if step > 0 {
            disk::write_whole(&dir.join(NOTE), b"a note").unwrap();
        }
        AT.set(Some(step));
        let done = run(dir);
        AT.set(None);
        assert_eq!(done.is_ok(), step == 0, "step {step} is there");
        let noted = pending(dir).unwrap();
        if (1..DECIDED).contains(&step) {
            assert_eq!(noted.as_deref(), Some(&b"a note"[..]), "step {step}");
            run(dir).unwrap();
        } else {
            assert_eq!(noted, None, "step {step}");
        }
        assert_eq!(pending(dir).unwrap(), None);
        check_erased(dir);
    }
}

#[test]
fn what_a_pack_holds_beside_what_records_name_is_gone_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(dir));
    // As a merge that was killed between two packs leaves it: what records name of the first page is
    // in another pack by now, and the old one stays for the sake of the second page.
    let old = {
        let recovered = super::super::recover::recover(dir, &options(), &real_disk()).unwrap();
        let (packs, kv) = (&recovered.packs, &recovered.applier.kv);
        let mut places = Vec::new();
        for space in [kv::space::PACKED, kv::space::STATES] {
            kv.each(space, &[], None, |key, value| {
                places.push(packs::read_record(space, &key, &value)?);
                Ok(true)
            })
            .unwrap();
        }
        let old = places.iter().find(|place| place.block.page == 2).unwrap().pack;
        let moved: Vec<_> = places
            .into_iter()
            .filter(|place| place.pack == old && place.block.page == 1)
            .map(|place| (place.block, packs.content(&place).unwrap().unwrap(), place))
            .collect();
        assert!(!moved.is_empty(), "both pages are in one pack");
        let mut builder = packs::Builder::begin(packs).unwrap();
        for (block, content, place) in &moved {
            match block.kind {
                packs::Kind::Log => {
                    let entries = packs.entries(place).unwrap().unwrap();
                    builder.add_run(1, block.first, &entries, block.was.into()).unwrap();
                }
                packs::Kind::State => {
                    builder.add_state(1, block.first, content).unwrap();
                }
            }
        }
        for place in builder.finish(&mut Pace::unlimited()).unwrap() {
            packs.put(kv, &place).unwrap();
        }
        kv.barrier().unwrap();
        old
    };
    run(dir).unwrap();
    check(dir);
    let left = dir.join(packs::DIR).join(&packs::file_names(old)[0]);
    assert!(!left.exists(), "{} has the old bytes", left.display());
}

#[test]
fn when_it_fails_or_was_not_wanted_everything_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(dir));
    let fails = |_: PageId, _: Revision, _: LogEntry| Err(StoreError::TooLarge);
    let pages = BTreeSet::from([PageId(1)]);
    let record = |_: Table, (_, value): Pair| Ok(Some(value));
    let work =
        Rewrite { pages: &pages, entry: &fails, record: &record, finish: &|_: &Store| Ok(()) };
    let begin = || begin(dir, &options(), b"a note", &work);
    assert!(matches!(begin(), Err(StoreError::TooLarge)));
    assert_eq!(pending(dir).unwrap(), None);
    let store = Store::open(dir, options()).unwrap();
    assert!(!dir.join(PART).exists());
    let found = store.read_log(PageId(1), Revision(0), usize::MAX).unwrap();
    assert_eq!((found.len(), &found[590].1), (600, &entry(1, 590)));
    assert!(matches!(begin(), Err(StoreError::Locked)));
    assert_eq!(pending(dir).unwrap(), None, "whoever has it open may change what was found");
    store.close().unwrap();
    drop(store);
    // Done by another process, or another note by now.
    assert!(!go_on(dir, &options(), b"a note", &work).unwrap());
    disk::write_whole(&dir.join(NOTE), b"b note").unwrap();
    assert!(!go_on(dir, &options(), b"a note", &work).unwrap());
}
