//! A process that writes is killed at random moments; what it had acknowledged must be there.
//!
//! The children are this test binary itself, started with `TEST_CRASH_STORE_DIR`.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod store_support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use halley::page::{PageId, Revision};
use halley::store::{Change, Expect, LogEntry, Options, Store, Table};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store_support::{noise, options, read_all};

const DIR: &str = "TEST_CRASH_STORE_DIR";
const COUNT: &str = "TEST_CRASH_STORE_COUNT";
const TASKS: u64 = 8;

fn crash_options() -> Options {
    // Checkpoints and new segments come often, so that they are hit as well.
    Options { checkpoint_bytes: 1 << 20, ..options() }
}

/// Writes until it is killed, or `TEST_CRASH_STORE_COUNT` times in each task. Does nothing when run
/// as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let count = std::env::var(COUNT).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    let store = Store::open(Path::new(&dir), crash_options()).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move { write(&store, task, count).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(store: &Store, task: u64, count: u64) {
    // Two tasks share a page, so revisions are handed out across tasks.
    let page = PageId(1 + task / 2);
    let start = store.head(page).unwrap().map_or(0, |head| head.revision.0);
    for number in 0..count {
        let op = format!("op-{task}-{start}-{number}z");
        let size = if number % 50 == 49 { 20_000 } else { 60 };
        let entry = LogEntry {
            at_ms: number,
            author: format!("g{task}"),
            op: op.clone(),
            update: noise(number, size),
        };
        let revision = store.append(page, vec![entry]).await.unwrap();
        say(&format!("ack append {page} {revision} {op} ;\n"));
        if number % 5 == 0 {
            let value = format!("{:016}{op}", revision.0);
            let change = Change {
                table: Table::Names,
                key: format!("task {task}").into_bytes(),
                expect: Expect::Anything,
                value: Some(value.clone().into_bytes()),
            };
            assert!(store.change(vec![change]).await.unwrap());
            say(&format!("ack change {task} {} {value} ;\n", revision.0));
        }
        if number % 40 == 0 {
            store.save_snapshot(page, revision, noise(revision.0, 30_000)).await.unwrap();
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a child has said.
#[derive(Default)]
struct Acked {
    /// Op by page and revision.
    appends: HashMap<(u64, u64), String>,
    /// Last value by task.
    changes: HashMap<u64, String>,
    count: u64,
}

impl Acked {
    fn hear(&mut self, line: &str) {
        // The test harness may have written something before.
        let Some(at) = line.find("ack ") else { return };
        let words: Vec<&str> = line[at..].split(' ').collect();
        let [_, kind, first, second, text, ";"] = words[..] else { return };
        let (Ok(first), Ok(second)) = (first.parse(), second.parse()) else { return };
        self.count += 1;
        match kind {
            "append" => drop(self.appends.insert((first, second), text.into())),
            _ => drop(self.changes.insert(first, text.into())),
        }
    }

    /// Acknowledged things that are not there.
    fn lost(&self, store: &Store) -> usize {
        let mut lost = 0;
        for page in 1..=TASKS.div_ceil(2) {
            let log = read_all(store, page, 1 << 20);
            for ((_, revision), op) in self.appends.iter().filter(|((at, _), _)| *at == page) {
                let found = log.get(*revision as usize - 1).map(|entry| &entry.op);
                lost += usize::from(found != Some(op));
            }
            let ops: HashSet<_> = log.iter().map(|entry| &entry.op).collect();
            assert_eq!(ops.len(), log.len(), "an entry of page {page} is there twice");
            if let Some((revision, state)) =
                store.snapshot_at(PageId(page), Revision(u64::MAX)).unwrap()
            {
                assert_eq!(state, noise(revision.0, 30_000));
            }
        }
        for (task, value) in &self.changes {
            let now = store.get(Table::Names, format!("task {task}").as_bytes()).unwrap();
            // The next value may have been written without being acknowledged.
            lost += usize::from(now.is_none_or(|now| now[..16] < value.as_bytes()[..16]));
        }
        lost
    }
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(DIR, dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

const CHILD: [&str; 4] = ["--exact", "child", "--nocapture", "--test-threads=1"];

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = read("TEST_CRASH_STORE_ROUNDS").unwrap_or(10);
    let seed = read("TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut acked = Acked::default();
    let (mut lost, mut slowest, mut repaired) = (0, Duration::ZERO, 0);
    for round in 0..rounds {
        let mut child =
            command(&std::env::current_exe().unwrap(), dir.path()).args(CHILD).spawn().unwrap();
        let (heard, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    return;
                }
            }
        });
        // Some are killed while they open, most while they write.
        let opening = rng.random_ratio(1, 8);
        if !opening {
            let first = lines.recv_timeout(Duration::from_secs(60));
            acked.hear(&first.expect("the child said nothing"));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(100..300_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        lines.try_iter().for_each(|line| acked.hear(&line));
        let start = Instant::now();
        let store = Store::open(dir.path(), crash_options()).unwrap();
        slowest = slowest.max(start.elapsed());
        repaired += u64::from(store.health().recovered.is_some());
        let missing = acked.lost(&store);
        assert_eq!(missing, 0, "round {round} of seed {seed}");
        lost += missing;
    }
    println!(
        "rounds {rounds}, acks {}, lost {lost}, rebuilt {repaired}, max open {} ms, seed {seed}",
        acked.count,
        slowest.as_millis()
    );
    assert!(acked.count > rounds);
}

/// Ops (`op-…z`) named in a line of strace.
fn ops(line: &str) -> Vec<&str> {
    line.match_indices("op-")
        .filter_map(|(at, _)| {
            let rest = &line[at..];
            let end = rest.find('z')?;
            let inner = &rest[3..end];
            inner.chars().all(|c| c.is_ascii_digit() || c == '-').then(|| &rest[..=end])
        })
        .collect()
}

#[test]
fn an_acknowledgement_leaves_only_after_the_sync_behind_its_write() {
    let strace = Path::new("/usr/bin/strace");
    if !strace.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: /usr/bin/strace is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let trace = dir.path().join("trace");
    let done = command(strace, &data)
        .args(["-f", "-y", "-s", "2000000", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(CHILD)
        .env(COUNT, "30")
        .output()
        .unwrap();
    if !done.status.success() {
        // A sandbox may forbid tracing altogether, which says nothing about the store.
        let can_trace =
            Command::new(strace).arg("true").output().is_ok_and(|out| out.status.success());
        assert!(!can_trace, "the traced child failed: {done:?}");
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: strace may not trace here");
        return;
    }
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let mut written: Vec<String> = Vec::new();
    let mut synced: HashSet<String> = HashSet::new();
    // What each thread is syncing: the writes before the call began.
    let mut syncing: HashMap<&str, Vec<String>> = HashMap::new();
    let (mut acks, mut syncs) = (0, 0);
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if call.starts_with("pwrite64(") && call.contains(".journal>") {
            written.extend(ops(call).into_iter().map(str::to_owned));
        } else if call.starts_with("fdatasync(") && call.contains(".journal>") {
            syncing.insert(thread, std::mem::take(&mut written));
        } else if call.starts_with("write(1<") && call.contains("ack ") {
            for op in ops(call) {
                acks += 1;
                assert!(synced.contains(op), "{op} was acknowledged before its sync");
            }
        }
        let finished = call.starts_with("fdatasync(") || call.starts_with("<... fdatasync resumed");
        if finished
            && call.trim_end().ends_with("= 0")
            && let Some(ops) = syncing.remove(thread)
        {
            syncs += 1;
            synced.extend(ops);
        }
    }
    println!("{acks} acknowledgements behind {syncs} syncs");
    assert!(acks >= TASKS * 30, "the trace shows only {acks} acknowledgements");
}
