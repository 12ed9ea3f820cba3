//! The clients: each follows one page on its rung, and notes when it got which edit.
//!
//! They do what a browser must: they go on from their cursor, check the interval that each delivery
//! covers, and open what has ended anew. Polling is at its best: kept connections, a tag so that
//! nothing new costs a 304, and clients spread evenly over the interval.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::http::{Connection, Frames, Head, Target, Traffic};
use super::plan::{CONNECT_PAUSE, Delivery};

/// After a failure, before the next try.
const RETRY: Duration = Duration::from_millis(500);

/// A held request that brings nothing within this time was not held.
const NOT_HELD: Duration = Duration::from_millis(400);

/// A client got an edit.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Which client, from 0.
    pub client: usize,
    /// Which revision of the page.
    pub revision: u64,
    /// When its bytes had been read.
    pub at: Instant,
}

/// What all clients of a run noted.
#[derive(Default)]
pub struct Log {
    /// What passed on their connections.
    pub traffic: Arc<Traffic>,
    /// Requests that brought nothing.
    pub empty: AtomicU64,
    /// Connections that failed, deliveries that did not go on from the cursor, resets, refusals.
    pub faults: AtomicU64,
    arrived: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    arrivals: Vec<Arrival>,
    first_fault: Option<String>,
}

impl Log {
    /// Arrivals so far.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Takes the arrivals; those of one client are in the order in which they came.
    pub fn take(&self) -> Vec<Arrival> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.arrivals)
    }

    /// What went wrong first, in words.
    pub fn first_fault(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).first_fault.clone()
    }

    fn fault(&self, what: impl FnOnce() -> String) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.first_fault.get_or_insert_with(what);
    }
}

/// Where clients go, and how.
#[derive(Clone)]
pub struct Crowd {
    /// The server.
    pub target: Arc<Target>,
    /// The page that is followed.
    pub page: u64,
    /// The rung.
    pub delivery: Delivery,
    /// How many there are.
    pub clients: usize,
    /// Where the phases of polling begin, as a share of the distance between two clients, so that
    /// runs differ.
    pub shift: f64,
    /// What they note.
    pub log: Arc<Log>,
}

/// Clients that run until this is dropped.
pub struct Clients {
    _tasks: JoinSet<()>,
    start: watch::Sender<Option<Instant>>,
}

impl Clients {
    /// Connects all, one after the other, and waits until each has had its first answer.
    ///
    /// # Errors
    /// When some have none in time.
    pub async fn open(crowd: &Crowd, patience: Duration) -> Result<Self, String> {
        let (ready, mut readies) = mpsc::unbounded_channel();
        let (start, started) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for n in 0..crowd.clients {
            let client = Client {
                n,
                crowd: crowd.clone(),
                id: format!("compare{n:09}"),
                cursor: String::new(),
                connection: None,
                body: Vec::new(),
                ready: Some(ready.clone()),
                started: started.clone(),
            };
            tasks.spawn(client.run());
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        drop(ready);
        let all = async {
            for _ in 0..crowd.clients {
                readies.recv().await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            let why = crowd.log.first_fault().unwrap_or_else(|| "no answer".to_owned());
            return Err(format!("not all clients could connect: {why}"));
        }
        Ok(Self { _tasks: tasks, start })
    }

    /// Begins the timetable of polling.
    pub fn start(&self, at: Instant) {
        let _ = self.start.send(Some(at));
    }
}

struct Client {
    n: usize,
    crowd: Crowd,
    id: String,
    /// Empty until the first answer.
    cursor: String,
    /// Kept between requests.
    connection: Option<Connection>,
    body: Vec<u8>,
    ready: Option<mpsc::UnboundedSender<()>>,
    started: watch::Receiver<Option<Instant>>,
}

/// An answer to a poll or a held request, and the data of a `batch`, `hello` or `reset`.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, default)]
    from: Option<&'a str>,
    #[serde(borrow, default)]
    to: Option<&'a str>,
    #[serde(borrow, default)]
    events: Vec<Event<'a>>,
    #[serde(default)]
    more: bool,
    #[serde(default)]
    reset: bool,
    /// Of `hello`.
    #[serde(borrow, default)]
    cursor: Option<&'a str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    kind: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The data of `changed`: one of the runs of blocks that lead from `was` to `rev`.
#[derive(Deserialize)]
struct Changed {
    was: u64,
    rev: u64,
    #[serde(default)]
    last: bool,
}

/// The data of `bye`: within which time to come back.
#[derive(Default, Deserialize)]
struct Bye {
    #[serde(default)]
    after_ms: u64,
}

/// No server may send a client away for longer.
const LONGEST_BYE_MS: u64 = 60_000;

/// A change that claims to be of more edits than this counts as one.
const MAX_EDITS: u64 = 10_000;

impl Client {
    async fn run(mut self) {
        loop {
            let outcome = match self.crowd.delivery {
                Delivery::Nobody => return,
                Delivery::Stream => self.stream().await,
                Delivery::Hold => self.hold().await,
                Delivery::Poll(interval) => self.poll(interval).await,
            };
            if let Err(error) = outcome {
                self.connection = None;
                self.crowd.log.fault(|| error.to_string());
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn path(&self, mode: &str) -> String {
        let Self { id, cursor, crowd, .. } = self;
        let page = crowd.page;
        let mut path = format!("/_live/events?mode={mode}&topics=view:{page}&client={id}");
        if !cursor.is_empty() {
            path.push_str("&cursor=");
            path.push_str(cursor);
        }
        path
    }

    /// One stream until it says goodbye; an end without that is an error.
    async fn stream(&mut self) -> io::Result<()> {
        let mut connection = Connection::open(&self.crowd.target, &self.crowd.log.traffic).await?;
        let accept = "Accept: text/event-stream\r\n";
        let head = connection.ask("GET", &self.path("stream"), accept, b"").await?;
        if head.status != 200 || !head.content_type.starts_with("text/event-stream") {
            return Err(refusal(connection, &head).await);
        }
        let mut frames: Frames = connection.into_frames(&head);
        loop {
            let mut bye = None;
            let open = frames
                .next(|frame| {
                    let at = Instant::now();
                    let (mut kind, mut data) = ("", "");
                    for line in frame.lines() {
                        if let Some(text) = line.strip_prefix("event: ") {
                            kind = text;
                        } else if let Some(text) = line.strip_prefix("data: ") {
                            data = text;
                        }
                    }
                    match kind {
                        "hello" | "batch" | "reset" => {
                            self.apply(data, at, kind == "reset");
                        }
                        "bye" => bye = Some(serde_json::from_str(data).unwrap_or_default()),
                        _ => {}
                    }
                })
                .await?;
            if let Some(Bye { after_ms }) = bye {
                // Everybody in their own part of the time, so that nobody comes together.
                let spread = Duration::from_millis(after_ms.min(LONGEST_BYE_MS));
                tokio::time::sleep(spread.mul_f64(self.phase())).await;
                return Ok(());
            }
            if !open {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// This client's own place in what all do in turn, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
    fn phase(&self) -> f64 {
        (self.n as f64 + self.crowd.shift) / self.crowd.clients as f64
    }

    /// Held requests, one after the other.
    async fn hold(&mut self) -> io::Result<()> {
        if self.cursor.is_empty() {
            self.request("poll", "").await?;
        }
        loop {
            let (before, asked) = (self.cursor.clone(), Instant::now());
            self.request("hold&wait=25", "").await?;
            // Over a cap, or behind a proxy that lets nothing wait: asking on would be a storm.
            if self.cursor == before && asked.elapsed() < NOT_HELD {
                return Err(io::Error::other("a held request was answered at once, without news"));
            }
        }
    }

    /// A request at each tick of a timetable of this client's own.
    async fn poll(&mut self, interval: Duration) -> io::Result<()> {
        if self.cursor.is_empty() {
            self.request("poll", "").await?;
        }
        let start = match self.started.wait_for(Option::is_some).await {
            Ok(start) => *start,
            Err(_) => None,
        };
        let start = start.unwrap_or_else(Instant::now);
        let mut first = start + interval.mul_f64(self.phase());
        while first < Instant::now() {
            first += interval;
        }
        let mut ticks = tokio::time::interval_at(first.into(), interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            loop {
                let tag = format!("If-None-Match: \"{}\"\r\n", self.cursor);
                if !self.request("poll", &tag).await? {
                    break;
                }
            }
        }
    }

    /// One request that is answered as a whole; true when there is more.
    async fn request(&mut self, mode: &str, headers: &str) -> io::Result<bool> {
        let path = self.path(mode);
        // Between two polls a server or a proxy may have closed it.
        let kept = self.connection.take().and_then(|mut kept| (!kept.is_stale()).then_some(kept));
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.crowd.target, &self.crowd.log.traffic).await?,
        };
        let head = connection.ask("GET", &path, headers, b"").await?;
        if head.status == 304 {
            self.connection = Some(connection);
            self.crowd.log.empty.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        if head.status != 200 || !head.content_type.starts_with("application/json") {
            return Err(refusal(connection, &head).await);
        }
        let mut body = std::mem::take(&mut self.body);
        connection.read_body(&head, &mut body).await?;
        let at = Instant::now();
        self.connection = Some(connection);
        let text = std::str::from_utf8(&body).unwrap_or_default();
        let more = self.apply(text, at, false);
        body.clear();
        body.shrink_to(4096);
        self.body = body;
        Ok(more)
    }

    /// Takes in a delivery; true when there is more.
    fn apply(&mut self, json: &str, at: Instant, reset: bool) -> bool {
        let log = Arc::clone(&self.crowd.log);
        let batch: Batch<'_> = match serde_json::from_str(json) {
            Ok(batch) => batch,
            Err(error) => {
                log.fault(|| format!("a delivery cannot be read: {error}"));
                return false;
            }
        };
        if reset || batch.reset {
            // A browser would load the page anew; here what was missed counts as missed.
            log.fault(|| "a reset: what was missed could not be delivered".to_owned());
        } else if let Some(from) = batch.from
            && !self.cursor.is_empty()
            && from != self.cursor
        {
            log.fault(|| format!("a delivery begins at {from}, not at {}", self.cursor));
        }
        let mut found = Vec::new();
        for event in batch.events.iter().filter(|event| event.kind == "changed") {
            match serde_json::from_str::<Changed>(event.data.get()) {
                // A page is shown at its new revision when the last run of blocks has come.
                Ok(Changed { last: false, .. }) => {}
                Ok(Changed { was, rev, .. }) => {
                    let first = (was + 1).max(rev.saturating_sub(MAX_EDITS));
                    let client = self.n;
                    found.extend((first..=rev).map(|revision| Arrival { client, revision, at }));
                }
                Err(error) => log.fault(|| format!("an event cannot be read: {error}")),
            }
        }
        if found.is_empty() {
            log.empty.fetch_add(1, Ordering::Relaxed);
        } else {
            let count = found.len() as u64;
            let mut inner = log.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.arrivals.append(&mut found);
            drop(inner);
            log.arrived.fetch_add(count, Ordering::Relaxed);
        }
        if let Some(cursor) = batch.to.or(batch.cursor) {
            cursor.clone_into(&mut self.cursor);
        }
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(());
        }
        batch.more
    }
}

/// Why a client was not served, in words.
async fn refusal(mut connection: Connection, head: &Head) -> io::Error {
    let mut body = Vec::new();
    let _ = connection.read_body(head, &mut body).await;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let why = json["advice"]["why"].as_str().or(json["error"]["message"].as_str());
    let kind = head.content_type.split(';').next().unwrap_or_default();
    io::Error::other(match why {
        Some(why) => format!("the server answered {}: {why}", head.status),
        None => format!("the server answered {} with {kind:?}", head.status),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request at once, with nothing new, and counts them.
    async fn never_holds(listener: TcpListener, asked: Arc<AtomicU64>) {
        let body =
            r#"{"from":"aaaaaaaa.1","to":"aaaaaaaa.1","events":[],"more":false,"reset":false}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        while let Ok((mut socket, _)) = listener.accept().await {
            let (asked, answer) = (Arc::clone(&asked), answer.clone());
            tokio::spawn(async move {
                let (mut bytes, mut head) = ([0; 1024], Vec::new());
                while let Ok(1..) =
                    socket.read(&mut bytes).await.inspect(|n| head.extend(&bytes[..*n]))
                {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        asked.fetch_add(1, Ordering::SeqCst);
                        let _ = socket.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    }

    #[tokio::test]
    async fn who_is_not_held_does_not_ask_without_a_pause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicU64::new(0));
        tokio::spawn(never_holds(listener, Arc::clone(&asked)));
        let crowd = Crowd {
            target: Arc::new(Target::parse(&url).expect("an address")),
            page: 1,
            delivery: Delivery::Hold,
            clients: 1,
            shift: 0.0,
            log: Arc::default(),
        };
        let clients = Clients::open(&crowd, Duration::from_secs(5)).await.expect("answered");
        tokio::time::sleep(3 * RETRY).await;
        drop(clients);
        let asked = asked.load(Ordering::SeqCst);
        assert!((2..=8).contains(&asked), "asked {asked} times");
        assert!(crowd.log.first_fault().is_some_and(|why| why.contains("answered at once")));
    }
}
