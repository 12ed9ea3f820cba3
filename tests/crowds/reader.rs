//! A browser tab that reads a page, reduced to what the ladder prescribes for its stream.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A stream that has not said `hello` by then is taken for mute, which costs its rung.
const MUTE: Duration = Duration::from_secs(4);

/// After this long without a fault the next one is a first one again.
const STABLE: Duration = Duration::from_secs(60);

/// What a crowd of readers has seen.
pub struct Crowd {
    authority: String,
    /// How many are live, by the epoch of the server's process.
    pub live: watch::Sender<HashMap<String, usize>>,
    /// When each `hello` came.
    pub hellos: Mutex<Vec<Instant>>,
    /// Told by `bye` that the server is busy.
    pub busy: AtomicUsize,
    /// Connections that failed or ended without `bye`.
    pub faults: AtomicUsize,
    /// Anything that costs a reader its rung: advice to poll, no `hello` in time, a refusal.
    pub demoted: AtomicUsize,
    /// Changes of pages that came.
    pub changes: watch::Sender<usize>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(authority: &str) -> Arc<Self> {
        Arc::new(Self {
            authority: authority.to_owned(),
            live: watch::Sender::default(),
            hellos: Mutex::default(),
            busy: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            demoted: AtomicUsize::new(0),
            changes: watch::Sender::default(),
        })
    }

    /// One more reader of a page, for ever.
    pub fn join(self: &Arc<Self>, page: u64, seed: u64) {
        let crowd = Arc::clone(self);
        let mut reader = Reader {
            crowd,
            page,
            client: format!("crowd{:0>11}", seed % 100_000_000_000),
            cursor: String::new(),
            random: StdRng::seed_from_u64(seed),
            failures: 0,
        };
        tokio::spawn(async move { reader.read_for_ever().await });
    }

    /// Waits until this many are live in an epoch; false when it takes longer.
    pub async fn all_live(&self, epoch: &str, count: usize, limit: Duration) -> bool {
        let mut live = self.live.subscribe();
        let all = live.wait_for(|live| live.get(epoch) == Some(&count));
        matches!(tokio::time::timeout(limit, all).await, Ok(Ok(_)))
    }

    /// Most `hello`s that came within any second since `from`, and when the last came.
    pub fn busiest_second(&self, from: Instant) -> (usize, Instant) {
        let mut hellos = self.hellos.lock().expect("lock").clone();
        hellos.retain(|at| *at >= from);
        hellos.sort_unstable();
        let second = Duration::from_secs(1);
        let within = |(n, first): (usize, &Instant)| {
            hellos[n..].iter().take_while(|at| **at - *first < second).count()
        };
        let most = hellos.iter().enumerate().map(within).max().unwrap_or(0);
        (most, hellos.last().copied().unwrap_or(from))
    }
}

struct Reader {
    crowd: Arc<Crowd>,
    page: u64,
    client: String,
    cursor: String,
    random: StdRng,
    failures: u32,
}

/// How a stream ended.
enum End {
    /// With leave to return at any time within this.
    Bye(Duration),
    Demoted,
}

impl Reader {
    async fn read_for_ever(&mut self) {
        loop {
            let begun = Instant::now();
            let most = match self.read_stream().await {
                Ok(End::Bye(within)) => within,
                Ok(End::Demoted) => {
                    self.crowd.demoted.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Err(_) => {
                    self.crowd.faults.fetch_add(1, Ordering::SeqCst);
                    if begun.elapsed() > STABLE {
                        self.failures = 0;
                    }
                    let grown = Duration::from_millis(500) * 2_u32.pow(self.failures.min(10));
                    self.failures += 1;
                    grown.min(Duration::from_secs(30))
                }
            };
            tokio::time::sleep(most.mul_f64(self.random.random_range(0.0..1.0))).await;
        }
    }

    async fn read_stream(&mut self) -> io::Result<End> {
        let mut socket = TcpStream::connect(&self.crowd.authority).await?;
        let (page, client, cursor) = (self.page, &self.client, &self.cursor);
        let request = format!(
            "GET /_live/events?mode=stream&topics=view:{page},here:{page},site&client={client}\
             &nonce=n&cursor={cursor} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.crowd.authority
        );
        socket.write_all(request.as_bytes()).await?;
        let mut frames = Frames { socket, buffer: Vec::new() };
        let first = tokio::time::timeout(MUTE, async {
            let head = frames.next("\r\n\r\n").await?;
            let stream = head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream");
            if stream { frames.next("\n\n").await.map(Some) } else { Ok(None) }
        });
        let Ok(first) = first.await else { return Ok(End::Demoted) };
        let Some(first) = first? else { return Ok(End::Demoted) };
        if let Some(within) = goodbye(&first) {
            self.crowd.busy.fetch_add(1, Ordering::SeqCst);
            return Ok(End::Bye(within));
        }
        self.crowd.hellos.lock().expect("lock").push(Instant::now());
        if self.cursor.is_empty() {
            self.cursor = field(&first, "id: ").unwrap_or_default().to_owned();
        }
        let mut place = Place::take(&self.crowd, &self.cursor);
        loop {
            let frame = frames.next("\n\n").await?;
            if let Some(within) = goodbye(&frame) {
                return Ok(End::Bye(within));
            }
            if let Some(cursor) = field(&frame, "id: ") {
                self.cursor = cursor.to_owned();
            }
            if frame.contains("event: reset") {
                // Another process: what the page is now, and on from there.
                drop(place);
                self.fetch_view().await?;
                place = Place::take(&self.crowd, &self.cursor);
            }
            if frame.contains(r#""kind":"changed","data":{"was""#) {
                self.crowd.changes.send_modify(|changes| *changes += 1);
            }
        }
    }

    async fn fetch_view(&self) -> io::Result<()> {
        let mut socket = TcpStream::connect(&self.crowd.authority).await?;
        let request = format!(
            "GET /_live/pages/{}/view HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.page, self.crowd.authority
        );
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let whole = answer.starts_with("HTTP/1.1 200") && answer.contains(r#""blocks":"#);
        if whole { Ok(()) } else { Err(io::Error::other(answer.into_owned())) }
    }
}

/// One who is live, in the count.
struct Place {
    crowd: Arc<Crowd>,
    epoch: String,
}

impl Place {
    fn take(crowd: &Arc<Crowd>, cursor: &str) -> Self {
        let epoch = cursor.split('.').next().unwrap_or_default().to_owned();
        crowd.live.send_modify(|live| *live.entry(epoch.clone()).or_default() += 1);
        Self { crowd: Arc::clone(crowd), epoch }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.live.send_modify(|live| {
            if let Some(count) = live.get_mut(&self.epoch) {
                *count -= 1;
            }
        });
    }
}

/// What comes on a stream, with the sizes of chunks still between.
struct Frames {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Frames {
    /// Everything up to the next `end`.
    async fn next(&mut self, end: &str) -> io::Result<String> {
        loop {
            let found = self.buffer.windows(end.len()).position(|bytes| bytes == end.as_bytes());
            if let Some(at) = found {
                let frame: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&frame).into_owned());
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The rest of the line that begins so.
fn field<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    frame.lines().find_map(|line| line.strip_prefix(name))
}

/// Within which time to come back, if the frame is `bye`.
fn goodbye(frame: &str) -> Option<Duration> {
    if !frame.contains("event: bye") {
        return None;
    }
    let after = frame.split(r#""after_ms":"#).nth(1)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_millis)
}
