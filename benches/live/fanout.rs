//! Many readers: deliveries, memory, and polls that find nothing.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::client::{self, Connection, Writer, put_page};
use super::server::Server;
use super::{Outcome, baseline, report};

const READERS: usize = 1_000;

/// 304 answers a second on one connection.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn measure_poll() -> Outcome {
    const COUNT: usize = 20_000;
    report::part("An unchanged poll (304), one connection");
    let bare = baseline::bare_http(COUNT).await?;
    let server = Server::start(None)?;
    let page = put_page(&server.host, "Bench", "text").await?;
    let mut connection = Connection::open(&server.host).await?;
    let path = format!("/_live/events?mode=poll&topics=view:{page}");
    let answer = connection.send("GET", &path, "", b"").await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let cursor = body["to"].as_str().ok_or("no cursor")?;
    let path = format!("{path}&cursor={cursor}");
    let tag = format!("If-None-Match: \"{cursor}\"\r\n");
    let cpu = server.cpu();
    let begun = Instant::now();
    for _ in 0..COUNT {
        let answer = connection.send("GET", &path, &tag, b"").await?;
        if answer.status != 304 {
            return Err(format!("a poll answered {}", answer.status).into());
        }
    }
    let rate = COUNT as f64 / begun.elapsed().as_secs_f64();
    let cost = (server.cpu() - cpu).as_secs_f64() / COUNT as f64 * 1e6;
    report::line(
        "polls a second",
        &format!("{rate:.0}/s"),
        Some(("bare 304 loop", format!("{bare:.0}/s"), rate / bare)),
    );
    report::line("server processor time a poll", &format!("{cost:.0} µs"), None);
    Ok(())
}

/// Memory of a stream on which nothing happens.
pub async fn measure_idle() -> Outcome {
    report::part("Memory of an idle stream");
    let server = Server::start(None)?;
    let page = put_page(&server.host, "Bench", "text").await?;
    client::get(&server.host, "/").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.memory();
    let mut streams = Vec::new();
    for _ in 0..READERS {
        streams.push(open_reader(&server.host, page, "view").await?);
    }
    // After the probe of the last one, when every stream sleeps.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = server.memory().saturating_sub(before) / READERS as u64;
    report::line(&format!("resident bytes each ({READERS} streams)"), &format!("{each}"), None);
    Ok(())
}

/// Deliveries a second of one writer's updates to many readers.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn measure_fanout() -> Outcome {
    const ROUNDS: usize = 100;
    report::part("Deliveries to 1,000 subscribers");
    let bare = baseline::socket_fanout(READERS, ROUNDS, 260).await?;
    let server = Server::start(None)?;
    let page = put_page(&server.host, "Bench", "text").await?;
    for in_flight in [1_usize, 8] {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut reader = open_reader(&server.host, page, "doc").await?;
            let arrived = arrived.clone();
            readers.push(tokio::spawn(async move {
                while let Ok(bytes) = reader.more().await {
                    let mut count = 0_usize;
                    client::revisions(&bytes, |_| count += 1);
                    if count > 0 && arrived.send(count).is_err() {
                        return;
                    }
                }
            }));
        }
        let mut writers = Vec::new();
        for n in 0..in_flight {
            writers.push(Writer::open(&server.host, page, n).await?);
        }
        let cpu = server.cpu();
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            let typed = writers.iter_mut().map(|writer| writer.type_at(0.5));
            for result in futures::future::join_all(typed).await {
                result?;
            }
            let mut missing = READERS * in_flight;
            while missing > 0 {
                missing -= arrivals.recv().await.ok_or("the readers have gone")?;
            }
        }
        let total = (READERS * ROUNDS * in_flight) as f64;
        let rate = total / begun.elapsed().as_secs_f64();
        let cost = (server.cpu() - cpu).as_secs_f64() / total * 1e6;
        report::line(
            &format!("{in_flight} in flight"),
            &format!("{rate:.0}/s"),
            Some(("bare socket writer", format!("{bare:.0}/s"), rate / bare)),
        );
        report::line("server processor time a delivery", &format!("{cost:.1} µs"), None);
        for reader in readers {
            reader.abort();
        }
    }
    Ok(())
}

/// Opens a stream and reads its `hello`.
pub async fn open_reader(host: &str, page: u64, topic: &str) -> std::io::Result<Connection> {
    open_reader_at(host, page, topic, "").await
}

/// Opens a stream after a cursor (empty: now) and reads its `hello`.
pub async fn open_reader_at(
    host: &str,
    page: u64,
    topic: &str,
    cursor: &str,
) -> std::io::Result<Connection> {
    let path = format!("/_live/events?mode=stream&topics={topic}:{page}&cursor={cursor}");
    let mut reader = Connection::open(host).await?.open_stream(&path).await?;
    let mut begun = Vec::new();
    loop {
        begun.extend(reader.more().await?);
        if let Some(hello) = client::find(&begun, b"event: hello") {
            // What was to be caught up with may have come in the same read.
            let end =
                client::find(&begun[hello..], b"\n\n").map_or(begun.len(), |end| hello + end + 2);
            reader.put_back(&begun[end..]);
            return Ok(reader);
        }
    }
}
