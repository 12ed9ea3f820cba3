//! One page of 20 KB, 50 people typing five keys a second, 100 reading; the server on one core.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::{self, Writer, put_page};
use super::fanout::{open_reader, open_reader_at};
use super::server::{self, Server, megabytes};
use super::{Outcome, report};

const WRITERS: usize = 50;
const READERS: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);
const LASTING: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(3);

/// Who got which revision, and when.
type Arrivals = Arc<Mutex<Vec<(usize, u64, Instant)>>>;

/// Measures keystroke to other screens, processor time and memory.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn measure_crowd() -> Outcome {
    report::part(
        "50 writers (5 keys a second each) and 100 readers on one page of 20 KB, one core",
    );
    // The server has the first core for itself, this process the rest.
    let server = Server::start(server::leave_first_core())?;
    let page = put_page(&server.host, "Crowd", &super::storage::page_text(20_000)).await?;
    let arrivals: Arrivals = Arc::default();
    let views = Arc::new(Mutex::new(0_usize));
    let mut readers = Vec::new();
    for n in 0..WRITERS + READERS {
        // Writers follow the document, readers the rendered blocks.
        let topic = if n < WRITERS { "doc" } else { "view" };
        let mut reader = open_reader(&server.host, page, topic).await?;
        let (arrivals, views) = (Arc::clone(&arrivals), Arc::clone(&views));
        let host = server.host.clone();
        readers.push(tokio::spawn(async move {
            while let Ok(bytes) = reader.more().await {
                // A stream ends itself after 1 MiB; the next one goes on after its last position.
                if client::find(&bytes, b"event: bye").is_some() {
                    let cursor = client::last_id(&bytes).unwrap_or_default();
                    match open_reader_at(&host, page, topic, &cursor).await {
                        Ok(next) => reader = next,
                        Err(_) => return,
                    }
                }
                let now = Instant::now();
                let mut found = Vec::new();
                client::revisions(&bytes, |revision| found.push((n, revision, now)));
                if let Ok(mut all) = arrivals.lock() {
                    all.extend(found);
                }
                if client::find(&bytes, br#""kind":"changed""#).is_some()
                    && let Ok(mut views) = views.lock()
                {
                    *views += 1;
                }
            }
        }));
    }
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        writers.push(Writer::open(&server.host, page, n).await?);
    }
    let begun = Instant::now();
    let warm = begun + WARM_UP;
    let end = warm + LASTING;
    let mut tasks = Vec::new();
    for (n, mut writer) in writers.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut sent = Vec::new();
            let share = n as f64 / WRITERS as f64;
            // Spread over the pause, as people are.
            let mut next = tokio::time::Instant::now() + PAUSE.mul_f64(share);
            while Instant::now() < end {
                tokio::time::sleep_until(next).await;
                next += PAUSE;
                let typed = Instant::now();
                match writer.type_at(share).await {
                    Ok(revision) => sent.push((revision, typed)),
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(sent)
        }));
    }
    tokio::time::sleep_until(warm.into()).await;
    let cpu = server.cpu();
    tokio::time::sleep_until(end.into()).await;
    let cpu = server.cpu() - cpu;
    let mut typed = HashMap::new();
    for task in tasks {
        typed.extend(task.await??);
    }
    // The last edits are still on their way.
    let count = || arrivals.lock().map_or(0, |all| all.len());
    let all = typed.len() * WRITERS;
    let patience = Instant::now() + Duration::from_secs(3);
    while count() < all && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let arrivals = arrivals.lock().map_err(|_| "a reader failed")?;
    let latencies: Vec<Duration> = arrivals
        .iter()
        .filter_map(|(_, revision, at)| {
            typed
                .get(revision)
                .filter(|typed| **typed >= warm)
                .map(|typed| at.duration_since(*typed))
        })
        .collect();
    let edits = typed.values().filter(|typed| **typed >= warm).count();
    let expected = edits * WRITERS;
    report::line("edits, each on disk before it is shown", &format!("{edits}"), None);
    report::line(
        "key to other editors, p50 / p95 / p99",
        &report::Latencies::new(latencies).to_text(),
        None,
    );
    let measured: Vec<_> = arrivals
        .iter()
        .filter(|(_, revision, _)| typed.get(revision).is_some_and(|typed| *typed >= warm))
        .map(|(reader, revision, _)| (reader, revision))
        .collect();
    let distinct = measured.iter().collect::<HashSet<_>>().len();
    report::line("deliveries lost", &format!("{} of {expected}", expected - distinct), None);
    report::line("deliveries that came twice", &format!("{}", measured.len() - distinct), None);
    let views = views.lock().map_or(0, |views| *views);
    report::line(
        "changes at each reader's screen a second",
        &format!("{:.1}", views as f64 / READERS as f64 / begun.elapsed().as_secs_f64()),
        None,
    );
    report::line(
        "processor seconds per 1,000 edits",
        &format!("{:.2} s", cpu.as_secs_f64() / edits as f64 * 1e3),
        None,
    );
    report::line("memory, peak", &megabytes(server.peak_memory()), None);
    for reader in readers {
        reader.abort();
    }
    Ok(())
}
