//! What stands between the network and the wiki: how soon a closed reader is noticed, what a page
//! view costs, and what five hundred requests that are never finished do to everybody else.
//!
//! With `BENCH_BEFORE=/path/to/halley` an older version is measured in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::{self, Connection, Writer, put_page};
use super::fanout::open_reader;
use super::report::{self, Latencies};
use super::server::{self, Server};
use super::{Outcome, baseline};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Readers that close at the same time.
const CLOSING: usize = 20;

/// A version that has not noticed after this long is said not to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Page views, and edits that somebody else waits for.
const VIEWS: usize = 1_000;
const EDITS: usize = 1_000;

/// Requests of which only a part is sent.
const HALF_OPEN: usize = 500;

/// More people than one, so that nobody types faster than a login may.
const WRITERS: usize = 32;

/// Prints all of it.
pub async fn measure_door() -> Outcome {
    report::part("The front door: the server on one core, the clients on the other");
    let core = server::leave_first_core();
    println!("load of the machine before: {}", report::load());
    let bare = baseline::bare_http(VIEWS).await?;
    println!("a bare loop answers {bare:.0} requests a second on one connection");
    if let Some(path) = std::env::var_os("BENCH_BEFORE") {
        measure("before", path.as_ref(), core, bare).await?;
    }
    measure("Halley", env!("CARGO_BIN_EXE_halley").as_ref(), core, bare).await
}

async fn measure(name: &str, program: &Path, core: Option<usize>, bare: f64) -> Outcome {
    let server = Server::start_program(program, core, &[])?;
    let page = put_page(&server.host, "Bench", &super::storage::page_text(4_000)).await?;
    println!("\n{name}");
    let noticed = notice_closed(&server, page).await?;
    let noticed = noticed.map_or(format!("not within {} s", PATIENCE.as_secs()), |noticed| {
        format!("{:.1} ms", noticed.as_secs_f64() * 1e3)
    });
    report::line(&format!("{CLOSING} readers close, all noticed after"), &noticed, None);

    for path in ["/", "/raw/Bench", "/healthz"] {
        let (rate, cpu) = views(&server, path).await?;
        report::line(
            &format!("GET {path}, one connection"),
            &format!("{rate:.0}/s, {:.0} µs of the server", cpu.as_secs_f64() * 1e6),
            Some(("bare loop", String::new(), rate / bare)),
        );
    }

    let mut people = People::gather(&server.host, page).await?;
    // The first edits find nothing in any cache.
    people.edits().await?;
    let usual = people.edits().await?;
    let pages = view_times(&server).await?;
    let half_open = hold_half_open(&server.host).await?;
    let meanwhile = people.edits().await?;
    let pages_meanwhile = view_times(&server).await?;
    if let Some(ended) = half_open.iter().find(|socket| socket.try_read(&mut [0]).is_ok()) {
        return Err(format!("half-open requests ended meanwhile, such as {ended:?}").into());
    }
    drop(half_open);
    let ratio = |now: &Latencies, before: &Latencies| {
        now.share(0.99).as_secs_f64() / before.share(0.99).as_secs_f64()
    };
    report::line("edit to another reader, p50 / p95 / p99", &usual.to_text(), None);
    report::line(
        &format!("beside {HALF_OPEN} half-open requests"),
        &meanwhile.to_text(),
        Some(("p99 of the usual", String::new(), ratio(&meanwhile, &usual))),
    );
    report::line("page view, p50 / p95 / p99", &pages.to_text(), None);
    report::line(
        &format!("beside {HALF_OPEN} half-open requests"),
        &pages_meanwhile.to_text(),
        Some(("p99 of the usual", String::new(), ratio(&pages_meanwhile, &pages))),
    );
    Ok(())
}

/// How long the server keeps the sockets of readers that have gone; `None` beyond [`PATIENCE`].
async fn notice_closed(server: &Server, page: u64) -> Result<Option<Duration>> {
    let before = open_files(server.pid())?;
    let mut readers = Vec::new();
    for _ in 0..CLOSING {
        readers.push(open_reader(&server.host, page, "view").await?);
    }
    // After the probe of the last one, when every stream sleeps.
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(readers);
    let begun = Instant::now();
    while open_files(server.pid())? > before {
        if begun.elapsed() > PATIENCE {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(Some(begun.elapsed()))
}

fn open_files(pid: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Answers a second on one connection, and the server's processor time for each.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
async fn views(server: &Server, path: &str) -> Result<(f64, Duration)> {
    let mut connection = Connection::open(&server.host).await?;
    view(&mut connection, path).await?;
    let (begun, cpu) = (Instant::now(), server.cpu());
    for _ in 0..VIEWS {
        view(&mut connection, path).await?;
    }
    let cpu = (server.cpu() - cpu).div_f64(VIEWS as f64);
    Ok((VIEWS as f64 / begun.elapsed().as_secs_f64(), cpu))
}

async fn view(connection: &mut Connection, path: &str) -> Result<Duration> {
    let begun = Instant::now();
    let answer = connection.send("GET", path, "", b"").await?;
    if answer.status != 200 {
        return Err(format!("{path} answers {}", answer.status).into());
    }
    Ok(begun.elapsed())
}

async fn view_times(server: &Server) -> Result<Latencies> {
    let mut connection = Connection::open(&server.host).await?;
    let mut times = Vec::new();
    for _ in 0..VIEWS {
        times.push(view(&mut connection, "/").await?);
    }
    Ok(Latencies::new(times))
}

/// Opens connections that send a part of a request's head and then nothing.
async fn hold_half_open(host: &str) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut socket = TcpStream::connect(host).await?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ").await?;
        held.push(socket);
    }
    Ok(held)
}

/// People who write, and one who reads.
struct People {
    writers: Vec<Writer>,
    reader: Connection,
}

impl People {
    async fn gather(host: &str, page: u64) -> Result<Self> {
        let mut writers = Vec::new();
        for n in 0..WRITERS {
            writers.push(Writer::open(host, page, n).await?);
        }
        let reader = open_reader(host, page, "doc").await?;
        Ok(Self { writers, reader })
    }

    /// From an edit to the bytes at the reader.
    async fn edits(&mut self) -> Result<Latencies> {
        let mut times = Vec::new();
        for n in 0..EDITS {
            let writer = &mut self.writers[n % WRITERS];
            let begun = Instant::now();
            let (saved, arrived) = futures::future::join(writer.type_at(0.5), async {
                let mut seen = false;
                while !seen {
                    client::revisions(&self.reader.more().await?, |_| seen = true);
                }
                Ok::<_, std::io::Error>(begun.elapsed())
            })
            .await;
            saved?;
            times.push(arrived?);
        }
        Ok(Latencies::new(times))
    }
}
