//! What the traced process writes, and what it says about it.
//!
//! Everything written can be computed from its name, so that a check needs to know only which
//! things were acknowledged.

use std::io::Write as _;
use std::path::Path;

use halley::page::PageId;
use halley::store::{Change, Expect, LogEntry, Options, Store, StoreError, Table};

use super::acked::Acked;
use crate::store_support::{noise, options};

/// Two tasks share a page, so that groups have more than one author.
pub const TASKS: u64 = 4;

/// What one start of the process does.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub before: Before,
    /// How often each task writes.
    pub count: u64,
    pub after: After,
    /// The process has no file descriptors left but one.
    pub crowded: bool,
}

/// What happens to the directory before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// The database is overwritten, so that it must be built anew.
    Damage,
    /// The database is taken away.
    Remove,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// By closing the store.
    Close,
    /// At once.
    Leave,
    /// At once, after nothing was written for a while.
    Idle,
    /// Killed when a thread asks for its so manieth sync.
    Killed(u32),
    /// At once, when the so manieth sync of a thread has failed.
    SyncFails(u32),
}

/// Where the store is, below the directory that is traced: in directories that it has to make.
pub const PLACE: &str = "wiki/team/data";

/// What the process does, one start after the other.
pub const RUNS: [Run; 9] = [
    run(Before::Nothing, 50, After::Close),
    run(Before::Nothing, 50, After::Killed(70)),
    // What was killed had not synced what this one finds.
    run(Before::Nothing, 0, After::Idle),
    Run { crowded: true, ..run(Before::Nothing, 40, After::Leave) },
    run(Before::Nothing, 40, After::SyncFails(40)),
    // This one reads what never reached the disk, and goes on behind it.
    run(Before::Nothing, 8, After::Leave),
    run(Before::Damage, 30, After::Leave),
    run(Before::Remove, 30, After::Killed(40)),
    run(Before::Nothing, 5, After::Close),
];
/// The first run after which the database need not be usable.
pub const FIRST_DAMAGED: usize = 4;

const fn run(before: Before, count: u64, after: After) -> Run {
    Run { before, count, after, crowded: false }
}

pub fn power_options() -> Options {
    // Checkpoints and new segments come often, so that they are hit as well.
    Options { checkpoint_bytes: 192 << 10, segment_bytes: 128 << 10, ..options() }
}

/// Opens the store in `dir` and writes.
pub async fn work(dir: &Path, run: Run) {
    match run.before {
        Before::Nothing => {}
        Before::Damage => {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options().write(true).open(dir.join("sled/db")).unwrap();
            file.write_all_at(&[0x5a; 600 << 10], 0).unwrap();
            file.sync_all().unwrap();
        }
        Before::Remove => std::fs::remove_dir_all(dir.join("sled")).unwrap(),
    }
    let store = Store::open(dir, power_options()).unwrap();
    if run.crowded {
        leave_descriptors(1);
    }
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move { write(&store, task, run.count).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    match run.after {
        After::Close => store.close().unwrap(),
        After::Idle => {
            // The store writes down how far it is when nothing comes for half a second.
            tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
            std::process::exit(0);
        }
        After::Leave | After::Killed(_) | After::SyncFails(_) => std::process::exit(0),
    }
}

/// Lets this process open only so many files more.
fn leave_descriptors(count: u64) {
    use std::os::fd::AsRawFd as _;
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current = Some(next + count);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
}

async fn write(store: &Store, task: u64, count: u64) {
    let page = PageId(1 + task / 2);
    let start = store.head(page).unwrap().map_or(0, |head| head.revision.0);
    let mut key = None;
    for number in 0..count {
        let entries: Vec<_> = (0..=number % 3)
            .map(|part| entry(&format!("op-{task}-{start}-{number}-{part}")))
            .collect();
        let last = entries.last().map(|entry| entry.op.clone()).unwrap();
        let revision = match store.append(page, entries).await {
            Err(StoreError::Crowded) => continue,
            // It must be left alone by now.
            Err(StoreError::Stopped) => std::process::exit(0),
            appended => appended.unwrap(),
        };
        say(&format!("append {page} {revision} {last}"));
        if number % 4 == 0 {
            let change = |table| Change {
                table,
                key: format!("pair {task}").into_bytes(),
                expect: Expect::Anything,
                value: Some(value(revision.0)),
            };
            let both = vec![change(Table::Names), change(Table::Meta)];
            if changed(store, both).await {
                say(&format!("pair {task} {revision} -"));
            }
        }
        if number % 7 == 3 {
            set(store, task, revision.0, true).await;
            if let Some(old) = key.replace(revision.0) {
                set(store, task, old, false).await;
            }
        }
        if number % 11 == 5 {
            // Not urgent, and nothing is said about it.
            let _ = store.save_snapshot(page, revision, noise(revision.0, 30_000)).await;
        }
        // Refused when there are too few file descriptors.
        if task == 0 && number == count / 2 {
            let _ = store.checkpoint().await;
        }
        if task == 1 && number % 16 == 9 {
            let _ = store.compact(u64::MAX).await;
        }
    }
}

async fn set(store: &Store, task: u64, number: u64, there: bool) {
    let change = Change {
        table: Table::Pages,
        key: key_name(task, number),
        expect: Expect::Anything,
        value: there.then(|| value(number)),
    };
    if !there {
        say(&format!("removing {task} {number} -"));
    }
    if changed(store, vec![change]).await {
        say(&format!("{} {task} {number} -", if there { "there" } else { "gone" }));
    }
}

async fn changed(store: &Store, changes: Vec<Change>) -> bool {
    match store.change(changes).await {
        Err(StoreError::Crowded) => false,
        Err(StoreError::Stopped) => std::process::exit(0),
        changed => changed.unwrap(),
    }
}

pub fn key_name(task: u64, number: u64) -> Vec<u8> {
    format!("key {task} {number:016}").into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    let mut value = format!("{number:016}").into_bytes();
    value.extend(noise(number, if number.is_multiple_of(5) { 9_000 } else { 80 }));
    value
}

pub fn entry(op: &str) -> LogEntry {
    let seed = op.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let size = match seed % 29 {
        0 => 9_000,
        1 => 3_000,
        _ => 60,
    };
    let author = format!("g{}", seed % 5);
    LogEntry { at_ms: seed % 1_000_000, author, op: op.into(), update: noise(seed, size) }
}

/// One line in one write, so that the log shows when it left.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("ack {what} ;\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The number in a value, if the rest of the value fits to it.
pub fn number_of(found: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(found.get(..16)?).ok()?.parse().ok()?;
    (value(number) == found).then_some(number)
}

/// Writes a little more into an opened image, as the next day does.
pub async fn go_on(store: &Store, acked: &mut Acked) {
    let page = PageId(1);
    let op = format!("op-later-{}", store.head(page).unwrap().map_or(0, |head| head.revision.0));
    let revision = store.append(page, vec![entry(&op)]).await.unwrap();
    acked.hear(&format!("ack append {page} {revision} {op} ;"));
    let change = Change {
        table: Table::Pages,
        key: key_name(9, revision.0),
        expect: Expect::Anything,
        value: Some(value(revision.0)),
    };
    assert!(store.change(vec![change]).await.unwrap());
    acked.hear(&format!("ack there 9 {revision} - ;"));
    // Whatever was repaired is written out by then.
    store.checkpoint().await.unwrap();
}
