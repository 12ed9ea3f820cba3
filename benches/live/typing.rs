//! From one editor's key to the other editor, on each rung.

use std::time::{Duration, Instant};

use super::client::{self, Connection, Writer, put_page};
use super::fanout::open_reader;
use super::server::Server;
use super::{Outcome, baseline, report};

const KEYS: usize = 400;

/// As many people as it takes for nobody to type faster than a login may.
const WRITERS: usize = 8;

/// Keystroke of one editor to the bytes at the other.
pub async fn measure_typing() -> Outcome {
    report::part("Keystroke to the other editor, p50 / p95 / p99 (each saved first)");
    let bare = report::Latencies::new(baseline::socket_trips(2_000).await?);
    report::line("two bare socket hops", &bare.to_text(), None);
    let server = Server::start(None)?;
    let page = put_page(&server.host, "Bench", &super::storage::page_text(4_000)).await?;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        writers.push(Writer::open(&server.host, page, n).await?);
    }

    let mut reader = open_reader(&server.host, page, "doc").await?;
    let mut times = Vec::new();
    for n in 0..KEYS {
        let begun = Instant::now();
        let (saved, arrived) = futures::future::join(writers[n % WRITERS].type_at(0.5), async {
            loop {
                let mut seen = false;
                client::revisions(&reader.more().await?, |_| seen = true);
                if seen {
                    return Ok::<_, std::io::Error>(begun.elapsed());
                }
            }
        })
        .await;
        saved?;
        times.push(arrived?);
    }
    print("stream", times, &bare);

    let mut connection = Connection::open(&server.host).await?;
    let mut cursor = head(&mut connection, page).await?;
    let mut times = Vec::new();
    for n in 0..KEYS {
        let begun = Instant::now();
        let (saved, arrived) = futures::future::join(
            writers[n % WRITERS].type_at(0.5),
            read(&mut connection, page, "hold", &cursor),
        )
        .await;
        saved?;
        let mut arrived = arrived?;
        while !arrived.1 {
            arrived = read(&mut connection, page, "hold", &arrived.0).await?;
        }
        cursor = arrived.0;
        times.push(begun.elapsed());
    }
    print("hold", times, &bare);

    // A poll's delay is its interval by design: what is measured is what a poll adds to that.
    let mut times = Vec::new();
    for n in 0..KEYS {
        writers[n % WRITERS].type_at(0.5).await?;
        let begun = Instant::now();
        let arrived = read(&mut connection, page, "poll", &cursor).await?;
        times.push(begun.elapsed());
        if !arrived.1 {
            return Err("a poll after the answer must have the edit".into());
        }
        cursor = arrived.0;
    }
    print("poll, beyond its interval", times, &bare);
    Ok(())
}

fn print(rung: &str, times: Vec<Duration>, bare: &report::Latencies) {
    let times = report::Latencies::new(times);
    let ratio = times.share(0.5).as_secs_f64() / bare.share(0.5).as_secs_f64();
    report::line(rung, &times.to_text(), Some(("of two bare hops", String::new(), ratio)));
}

async fn head(connection: &mut Connection, page: u64) -> std::io::Result<String> {
    let path = format!("/_live/events?mode=poll&topics=doc:{page}");
    let answer = connection.send("GET", &path, "", b"").await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    Ok(body["to"].as_str().unwrap_or_default().to_owned())
}

/// One request; the new cursor, and whether an edit was in it.
async fn read(
    connection: &mut Connection,
    page: u64,
    mode: &str,
    cursor: &str,
) -> std::io::Result<(String, bool)> {
    let path = format!("/_live/events?mode={mode}&topics=doc:{page}&cursor={cursor}");
    let answer = connection.send("GET", &path, "", b"").await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let mut seen = false;
    client::revisions(&answer.body, |_| seen = true);
    Ok((body["to"].as_str().unwrap_or_default().to_owned(), seen))
}
