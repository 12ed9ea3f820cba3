//! Saved means saved: the real server is killed, traced and starved of disk while writers write.
//!
//! `TEST_CRASH_ROUNDS` sets the number of kills, `TEST_CRASH_SEED` repeats a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use server::Server;
use writer::{Answer, Writer, create_page, http_client};

#[path = "crash/server.rs"]
mod server;
#[path = "crash/trace.rs"]
mod trace;
#[path = "crash/writer.rs"]
mod writer;

const WRITERS: usize = 8;

/// After so many rounds the writers go to a new page, since a page's text is at most 1 MiB.
const ROUNDS_PER_PAGE: usize = 8;

/// Every edit that waits sends itself again at least this often.
const RETRY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_server_loses_no_acknowledged_edit_when_it_is_killed() {
    let rounds = setting("TEST_CRASH_ROUNDS").unwrap_or(5);
    let seed = setting("TEST_CRASH_SEED").unwrap_or_else(rand::random);
    println!("{rounds} rounds, TEST_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().expect("a folder");
    let mut pages: HashMap<String, Expected> = HashMap::new();
    let mut writers: Vec<Writer> = Vec::new();
    let (mut slowest, mut kills) = (Duration::ZERO, 0);

    for round in 0..rounds as usize {
        let begun = Instant::now();
        let server = Server::start(data.path(), &[]);
        slowest = slowest.max(begun.elapsed());
        let base = server.url("");

        let path = format!("crash-{}", round / ROUNDS_PER_PAGE);
        if round % ROUNDS_PER_PAGE == 0 {
            // Those who waited for an answer get it before they leave the old page.
            settle(&mut writers, &base, &mut rng).await;
            keep(&mut pages, &mut writers);
            verify(&server, &pages, round).await;
            writers.clear();
            let page = create_page(&http_client(), &base, &path).await.expect("a page is created");
            for index in 0..WRITERS {
                let name = format!("r{round}w{index}");
                writers.push(
                    Writer::open(http_client(), &base, &name, page).await.expect("a session"),
                );
            }
            pages.insert(path.clone(), Expected::default());
        }
        // One page in full each round, all of them at the end.
        let current = HashMap::from([(path.clone(), collect(&writers))]);
        verify(&server, &current, round).await;

        let life = Duration::from_millis(rng.random_range(100..900));
        let tasks: Vec<_> = writers
            .drain(..)
            .map(|mut writer| {
                let (base, mut rng) = (base.clone(), StdRng::seed_from_u64(rng.random()));
                tokio::spawn(async move {
                    loop {
                        match writer.step(&base, &mut rng).await {
                            Answer::Saved => {}
                            Answer::Later(_) => tokio::time::sleep(RETRY).await,
                            Answer::Lost => return writer,
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(life).await;
        server.kill();
        kills += 1;
        for task in tasks {
            writers.push(task.await.expect("a writer"));
        }
        if let Some(page) = pages.get_mut(&path) {
            *page = collect(&writers);
        }
    }

    let server = Server::start(data.path(), &[]);
    settle(&mut writers, &server.url(""), &mut rng).await;
    keep(&mut pages, &mut writers);
    verify(&server, &pages, rounds as usize).await;
    let acknowledged: usize = pages.values().map(|page| page.acknowledged.len()).sum();
    println!(
        "{kills} kills, {acknowledged} acknowledged edits, 0 lost, slowest start {} ms",
        slowest.as_millis()
    );
    assert!(acknowledged > rounds as usize, "hardly anything was written");
    assert!(slowest < Duration::from_secs(3), "a start took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_server_answers_only_after_the_journal_is_synced() {
    let Ok(version) = Command::new("strace").arg("--version").output() else {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: there is no strace");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-yy", "-s", "4096", "-e", "signal=none", "-e"])
        .arg("trace=read,readv,recvfrom,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync")
        .arg("-o")
        .arg(&log)
        .arg(Server::program());
    let server = Server::start_under(command, &folder.path().join("data"), &[]);
    let base = server.url("");
    let mut rng = StdRng::seed_from_u64(1);
    let http = http_client();
    let page = create_page(&http, &base, "traced").await.expect("a page is created");
    let mut writer = Writer::open(http, &base, "tracedwriter", page).await.expect("a session");
    let mut answers = 0;
    while answers < 30 {
        match writer.step(&base, &mut rng).await {
            Answer::Saved => answers += 1,
            Answer::Later(_) => tokio::time::sleep(RETRY).await,
            Answer::Lost => panic!("the server went away"),
        }
    }
    // The tracer ends with its child and has then written everything.
    server.kill_children();
    let trace = std::fs::read_to_string(&log).expect("a trace");
    let port = base.rsplit(':').next().and_then(|port| port.trim_matches('/').parse().ok());
    let steps = trace::steps(&trace, port.expect("a port"));
    let judged = trace::judge(&steps).unwrap_or_else(|why| panic!("{why}"));
    println!("{judged} answers, each after a sync of the journal");
    assert_eq!(
        judged,
        30,
        "every answer was seen in the trace: {:?}",
        &steps[..steps.len().min(60)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_server_refuses_writes_on_a_full_disk_and_recovers() {
    let Some(disk) = SmallDisk::mount(512) else {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: mounting a small disk needs root");
        return;
    };
    full_disk(&disk, &[], &[507]).await;
}

/// Without the floor the disk really is full in the middle of a write. The server may end then,
/// rather than promise anything, and a supervisor starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_server_survives_a_disk_without_a_single_free_byte() {
    let Some(disk) = SmallDisk::mount(512) else {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: mounting a small disk needs root");
        return;
    };
    let settings = [("HALLEY_FREE_FLOOR_BYTES", "0"), ("HALLEY_SEGMENT_BYTES", "8MiB")];
    full_disk(&disk, &settings, &[507, 503]).await;
}

/// Writes, fills the disk, reads, frees the disk, writes again; what was acknowledged is there throughout.
async fn full_disk(disk: &SmallDisk, settings: &[(&str, &str)], refusals: &[u16]) {
    let may_end = !settings.is_empty();
    let data = disk.path.join("data");
    let mut server = Server::start(&data, settings);
    let mut rng = StdRng::seed_from_u64(2);
    let http = http_client();
    let page = create_page(&http, &server.url(""), "full").await.expect("a page is created");
    let mut writer =
        Writer::open(http.clone(), &server.url(""), "diskwriter", page).await.expect("a session");
    while writer.acknowledged.len() < 20 {
        assert!(
            !matches!(writer.step(&server.url(""), &mut rng).await, Answer::Lost),
            "the server went away"
        );
    }

    let ballast = disk.fill();
    // The server looks at the free space once a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // What was preallocated may still take some edits; then every one is refused.
    let begun = Instant::now();
    let mut bulky = 0;
    let refused = loop {
        match writer.step(&server.url(""), &mut rng).await {
            Answer::Later(status) if refusals.contains(&status.as_u16()) => break Some(status),
            Answer::Later(_) => tokio::time::sleep(RETRY).await,
            Answer::Saved => {}
            Answer::Lost => break None,
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "no write was refused");
        if may_end {
            bulk(&http, &server.url(""), bulky).await;
            bulky += 1;
        }
    };
    println!(
        "a full disk: {refused:?} after {} edits and {bulky} large pages",
        writer.acknowledged.len()
    );
    let expected = HashMap::from([("full".to_owned(), collect(std::slice::from_ref(&writer)))]);
    // 503: the store has stopped, and the server ends as soon as it has said so.
    let ending = may_end && refused.is_some_and(|status| status.as_u16() == 503);
    let patience = Instant::now() + Duration::from_secs(5);
    while ending && server.alive() && Instant::now() < patience {
        tokio::time::sleep(RETRY).await;
    }
    if refused.is_some() && (!ending || server.alive()) {
        assert!(server.alive(), "reading goes on");
        verify(&server, &expected, 0).await;
    } else {
        assert!(may_end, "the server must refuse, not end");
        match Server::try_start(&data, settings) {
            Some(again) => {
                verify(&again, &expected, 0).await;
                println!("starts and reads on the full disk");
                server = again;
            }
            None => println!("does not start on the full disk"),
        }
    }

    std::fs::remove_file(ballast).expect("the ballast goes");
    let begun = Instant::now();
    let before = writer.acknowledged.len();
    while writer.acknowledged.len() < before + 10 {
        if !server.alive() {
            server = Server::start(&data, settings);
        }
        if !matches!(writer.step(&server.url(""), &mut rng).await, Answer::Saved) {
            tokio::time::sleep(RETRY).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "writing did not come back");
    }
    println!("writing came back after {} ms", begun.elapsed().as_millis());
    let expected = HashMap::from([("full".to_owned(), collect(std::slice::from_ref(&writer)))]);
    verify(&server, &expected, 1).await;
    server.kill();
    let server = Server::start(&data, settings);
    verify(&server, &expected, 2).await;
}

/// A large page, so that a preallocated journal fills up in reasonable time. Its answer does not matter.
async fn bulk(http: &reqwest::Client, base: &str, index: usize) {
    let mut text = vec![0_u8; 500_000];
    let mut rng = StdRng::seed_from_u64(index as u64);
    // Letters that do not compress well.
    text.fill_with(|| rng.random_range(b'!'..=b'~'));
    let _ = http
        .put(format!("{base}/api/v1/pages/bulk-{index}"))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "text/markdown")
        .header("If-None-Match", "*")
        .body(text)
        .send()
        .await;
}

/// What a page must have, and may have.
#[derive(Default, Clone)]
struct Expected {
    acknowledged: Vec<String>,
    written: Vec<String>,
}

fn collect(writers: &[Writer]) -> Expected {
    Expected {
        acknowledged: writers
            .iter()
            .flat_map(|writer| writer.acknowledged.iter().cloned())
            .collect(),
        written: writers.iter().flat_map(|writer| writer.written.iter().cloned()).collect(),
    }
}

/// Books what the present writers achieved under the page on which they are.
fn keep(pages: &mut HashMap<String, Expected>, writers: &mut [Writer]) {
    if let Some(last) = pages.len().checked_sub(1) {
        pages.insert(format!("crash-{last}"), collect(writers));
    }
}

/// Sends what still waits for an answer until all of it is acknowledged.
async fn settle(writers: &mut [Writer], base: &str, rng: &mut StdRng) {
    for writer in writers {
        let begun = Instant::now();
        while writer.waiting() {
            if !matches!(writer.step(base, rng).await, Answer::Saved) {
                tokio::time::sleep(RETRY).await;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "an edit is refused for ever");
        }
    }
}

/// Every acknowledged line is in the page's Markdown, and no line is there twice or broken.
async fn verify(server: &Server, pages: &HashMap<String, Expected>, round: usize) {
    for (path, expected) in pages {
        let answer = reqwest::get(server.url(&format!("/raw/{path}"))).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "round {round}: {path}");
        let text = answer.text().await.expect("a text");
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for line in text.lines() {
            *counts.entry(line).or_default() += 1;
        }
        for line in &expected.acknowledged {
            assert_eq!(
                counts.get(line.as_str()),
                Some(&1),
                "round {round}: acknowledged '{line}' in {path}"
            );
        }
        for line in &expected.written {
            assert!(
                counts.get(line.as_str()).is_none_or(|count| *count == 1),
                "round {round}: '{line}' twice"
            );
        }
        assert!(
            counts.len() <= expected.written.len() + 1,
            "round {round}: {path} has lines that nobody wrote"
        );
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A file system of its own in memory; unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path().join("disk");
        std::fs::create_dir(&path).ok()?;
        let options = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "halley-test"])
            .arg(&path)
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { path, _folder: folder })
    }

    /// Fills all but nothing of the disk with one file; its path.
    fn fill(&self) -> PathBuf {
        let ballast = self.path.join("ballast");
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .stderr(std::process::Stdio::null())
            .status();
        assert!(free(&self.path) < 65_536, "the disk is full");
        ballast
    }
}

fn free(path: &Path) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(path).output().expect("df");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or(u64::MAX)
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
