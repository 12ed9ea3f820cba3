//! How memory, deliveries and polls change from a hundred clients to ten thousand.
//!
//! Each server has the first core to itself, the clients the others. Beside Halley stand a bare
//! loop that only writes, and nginx with nchan, measured within the same minute. With
//! `BENCH_BEFORE=/path/to/halley` an older version stands there too.

use std::time::{Duration, Instant};

use super::client::{self, Connection, Writer, put_page};
use super::readers::{Invitation, Readers, Times, ask_at_full_speed};
use super::rivals::{Rival, nchan_publish, nchan_readers};
use super::server::{self, Server};
use super::{Outcome, report};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Clients at a time, unless `BENCH_CLIENTS=100,1000` says otherwise. Two processes have a file for each, and a port is one of 28,000.
const CLIENTS: [usize; 4] = [100, 1_000, 5_000, 10_000];

/// Bytes of a message on the wire, about what a keystroke is.
pub const MESSAGE_BYTES: usize = 260;

/// Messages published together.
const IN_FLIGHT: [usize; 2] = [1, 8];

/// Deliveries that are counted, about: some seconds, so that a moment of the machine decides nothing.
const DELIVERIES: usize = 2_000_000;

/// Events that a reader gets for each number in flight: a stream of Halley's ends itself after 1 MiB.
const MOST_EVENTS: usize = 2_000;

/// Rounds that are not counted.
const WARM_UP: usize = 5;

/// More people than messages in flight, so that nobody types faster than a login may.
const WRITERS: usize = 16;

const POLLING: Duration = Duration::from_secs(2);

/// Who has messages sent to all readers.
enum Publisher {
    Halley(Vec<Writer>),
    Bare(tokio::net::TcpStream),
    Nchan(Vec<Connection>),
}

impl Publisher {
    async fn publish(&mut self, round: usize, messages: usize) -> Result<()> {
        match self {
            Self::Halley(writers) => {
                // Each writes in its turn.
                let first = (round * messages) % writers.len();
                let typed = writers[first..first + messages].iter_mut().map(|w| w.type_at(0.5));
                for saved in futures::future::join_all(typed).await {
                    saved?;
                }
            }
            Self::Bare(control) => {
                tokio::io::AsyncWriteExt::write_all(control, &vec![b'x'; messages]).await?;
            }
            Self::Nchan(connections) => nchan_publish(&mut connections[..messages]).await?,
        }
        Ok(())
    }
}

/// What was measured of one server with one number of clients.
struct Row {
    name: &'static str,
    /// Bytes for each idle stream.
    user: u64,
    kernel: u64,
    rates: Vec<Deliveries>,
}

struct Deliveries {
    in_flight: usize,
    a_second: f64,
    times: Times,
    bytes: usize,
    /// Of the server.
    cpu: Duration,
}

/// Prints the table.
pub async fn measure_scale() -> Outcome {
    report::part("Many clients: the server on one core, the clients on the other");
    let core = server::leave_first_core();
    println!("load of the machine before: {}", report::load());
    let wanted = std::env::var("BENCH_CLIENTS").ok();
    let wanted = wanted.map(|list| list.split(',').filter_map(|n| n.parse().ok()).collect());
    for clients in wanted.unwrap_or_else(|| CLIENTS.to_vec()) {
        let before = match std::env::var_os("BENCH_BEFORE") {
            Some(path) => {
                let server = Server::start_program(path.as_ref(), core, &[])?;
                Some(measure_halley("Halley before", clients, &server).await?)
            }
            None => None,
        };
        let halley = measure_halley("Halley", clients, &Server::start(core)?).await?;
        let bare = measure_bare(clients, core).await?;
        let nchan = measure_nchan(clients, core).await?;
        println!("\n{clients} clients");
        let all = [before.as_ref(), Some(&halley), nchan.as_ref(), Some(&bare)];
        for row in all.into_iter().flatten() {
            row.print();
        }
        for ((ours, bare), n) in halley.rates.iter().zip(&bare.rates).zip(0..) {
            let nchan = nchan.as_ref().map_or(String::from("not installed"), |nchan| {
                format!("{:.2}", ours.a_second / nchan.rates[n].a_second)
            });
            println!(
                "  deliveries, {} in flight: {:.2} of the bare loop, of nginx + nchan: {nchan}",
                ours.in_flight,
                ours.a_second / bare.a_second
            );
        }
        measure_polls(clients, core).await?;
    }
    println!("\nload of the machine after: {}", report::load());
    Ok(())
}

async fn measure_halley(name: &'static str, clients: usize, server: &Server) -> Result<Row> {
    let page = put_page(&server.host, "Bench", "text").await?;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        writers.push(Writer::open(&server.host, page, n).await?);
    }
    let path = format!("/_live/events?mode=stream&topics=doc:{page}");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {0}\r\nAccept: text/event-stream\r\n\r\n",
        server.host
    );
    let readers = Invitation { host: server.host.clone(), request, ready: b"event: hello" };
    measure(name, clients, server.pid(), &readers, Publisher::Halley(writers)).await
}

async fn measure_bare(clients: usize, core: Option<usize>) -> Result<Row> {
    let bare = Rival::bare(core)?;
    let mut control = tokio::net::TcpStream::connect(&bare.host).await?;
    tokio::io::AsyncWriteExt::write_all(&mut control, b"C").await?;
    control.set_nodelay(true)?;
    let readers = Invitation { host: bare.host.clone(), request: "R".into(), ready: b"ready" };
    measure("bare loop", clients, bare.pid, &readers, Publisher::Bare(control)).await
}

async fn measure_nchan(clients: usize, core: Option<usize>) -> Result<Option<Row>> {
    let Some(nchan) = Rival::nchan(core).await? else { return Ok(None) };
    let mut connections = Vec::new();
    for _ in IN_FLIGHT.iter().max().map_or(0..1, |most| 0..*most) {
        connections.push(Connection::open(&nchan.host).await?);
    }
    let readers = nchan_readers(&nchan.host);
    let publisher = Publisher::Nchan(connections);
    measure("nginx + nchan", clients, nchan.pid, &readers, publisher).await.map(Some)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
async fn measure(
    name: &'static str,
    clients: usize,
    pid: u32,
    invitation: &Invitation,
    mut publisher: Publisher,
) -> Result<Row> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (user, kernel) = (server::memory_of(pid), kernel_memory());
    let readers = Readers::open(clients, invitation).await?;
    // After the probe of the last one, when every stream sleeps.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = |now: u64, before: u64| now.saturating_sub(before) / clients as u64;
    let user = each(server::memory_of(pid), user);
    // Both ends are on this machine.
    let kernel = each(kernel_memory(), kernel) / 2;
    let mut rates = Vec::new();
    for in_flight in IN_FLIGHT {
        let rounds = (DELIVERIES / clients / in_flight).clamp(30, MOST_EVENTS / in_flight);
        let (mut begun, mut cpu) = (Instant::now(), Duration::ZERO);
        for round in 0..WARM_UP + rounds {
            if round == WARM_UP {
                drop((readers.take_times(), readers.take_bytes()));
                (begun, cpu) = (Instant::now(), server::cpu_of(pid));
            }
            readers.expect(in_flight);
            publisher.publish(round, in_flight).await?;
            readers.have_all().await?;
        }
        let count = clients * rounds * in_flight;
        rates.push(Deliveries {
            in_flight,
            a_second: count as f64 / begun.elapsed().as_secs_f64(),
            times: readers.take_times(),
            bytes: readers.take_bytes() / count,
            cpu: (server::cpu_of(pid) - cpu).div_f64(count as f64),
        });
    }
    Ok(Row { name, user, kernel, rates })
}

/// Bytes that the kernel holds for all sockets; what waits in them only, where nobody but root may
/// see its objects.
fn kernel_memory() -> u64 {
    halley::compare::socket_memory().map_or(0, |(bytes, _)| bytes)
}

impl Row {
    fn print(&self) {
        println!(
            "  {:<14} idle stream: {:>6} bytes in the process, {:>6} in the kernel",
            self.name, self.user, self.kernel
        );
        for Deliveries { in_flight, a_second, times, bytes, cpu } in &self.rates {
            let ms = |share| times.share(share).as_secs_f64() * 1e3;
            println!(
                "  {:<14} {in_flight} in flight: {a_second:>9.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  \
                 {:>4.1} µs of the server each  {bytes} bytes each",
                "",
                ms(0.5),
                ms(0.99),
                cpu.as_secs_f64() * 1e6
            );
        }
    }
}

async fn measure_polls(clients: usize, core: Option<usize>) -> Result<()> {
    let bare = Rival::bare(core)?;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"x\"\r\n\r\n";
    let plain = ask_at_full_speed(clients, &bare.host, request, POLLING).await?;
    drop(bare);
    let server = Server::start(core)?;
    let page = put_page(&server.host, "Bench", "text").await?;
    let path = format!("/_live/events?mode=poll&topics=view:{page}");
    let answer = client::get(&server.host, &path).await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let cursor = body["to"].as_str().ok_or("no cursor")?;
    let request = format!(
        "GET {path}&cursor={cursor} HTTP/1.1\r\nHost: {}\r\nIf-None-Match: \"{cursor}\"\r\n\r\n",
        server.host
    );
    let ours = ask_at_full_speed(clients, &server.host, &request, POLLING).await?;
    println!(
        "  polls that are answered 304: {ours:.0}/s, the bare loop {plain:.0}/s, ratio {:.2}",
        ours / plain
    );
    Ok(())
}
