//! Thousands of readers on one thread that do nothing but count, so that what is measured is the
//! server.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// What each delivered event has once. Its first letter comes once in it.
const MARK: &[u8] = b"updated";

/// How many connections are opened at the same time.
const OPENING: usize = 64;

/// Buckets of a histogram: 16 for each power of two nanoseconds.
const BUCKETS: usize = 64 * 16;

/// How to become a reader.
#[derive(Clone)]
pub struct Invitation {
    /// `127.0.0.1:PORT`
    pub host: String,
    /// What to send.
    pub request: String,
    /// What the answer begins with at the latest when one is a reader.
    pub ready: &'static [u8],
}

/// Open connections that count what comes. Closed when dropped.
pub struct Readers {
    count: usize,
    arrived: Arc<Arrived>,
    stop: Arc<AtomicBool>,
    counting: Option<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(counting) = self.counting.take() {
            let _ = counting.join();
        }
    }
}

struct Arrived {
    zero: Instant,
    /// When what is under way was published, in nanoseconds after `zero`.
    published: AtomicU64,
    missing: AtomicUsize,
    bytes: AtomicUsize,
    all: Notify,
    times: Vec<AtomicU32>,
}

/// How long deliveries took.
pub struct Times(Vec<u32>);

impl Times {
    /// The time that this share of all (0 to 1) does not exceed, within 5 %.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are far below 2^52"
    )]
    pub fn share(&self, share: f64) -> Duration {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted.max(1) {
                return Duration::from_nanos(2_f64.powf(bucket as f64 / 16.0) as u64);
            }
        }
        Duration::ZERO
    }
}

impl Arrived {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of seconds, and the logarithm of that"
    )]
    fn note(&self, events: usize) {
        let now = u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let took = now.saturating_sub(self.published.load(Ordering::Relaxed)).max(1);
        let bucket = ((took as f64).log2() * 16.0) as usize;
        if let Some(count) = self.times.get(bucket) {
            count.fetch_add(u32::try_from(events).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        if self.missing.fetch_sub(events, Ordering::SeqCst) == events {
            self.all.notify_one();
        }
    }
}

impl Readers {
    /// Opens this many, on a thread of their own.
    pub async fn open(count: usize, invitation: &Invitation) -> io::Result<Self> {
        let arrived = Arc::new(Arrived {
            zero: Instant::now(),
            published: AtomicU64::new(0),
            missing: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            all: Notify::new(),
            times: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
        });
        let sockets = open_all(count, invitation).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (counts, ended) = (Arc::clone(&arrived), Arc::clone(&stop));
        let counting = std::thread::spawn(move || {
            if let Err(error) = count_events(&sockets, &counts, &ended) {
                eprintln!("the readers ended: {error}");
            }
        });
        Ok(Self { count, arrived, stop, counting: Some(counting) })
    }

    /// What is published from now on is `events` for each reader.
    pub fn expect(&self, events: usize) {
        let now = u64::try_from(self.arrived.zero.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.arrived.missing.store(self.count * events, Ordering::SeqCst);
        self.arrived.published.store(now, Ordering::SeqCst);
    }

    /// Waits until everybody has everything.
    pub async fn have_all(&self) -> io::Result<()> {
        let all = tokio::time::timeout(Duration::from_secs(30), self.arrived.all.notified());
        all.await.map_err(|_| {
            let missing = self.arrived.missing.load(Ordering::SeqCst);
            io::Error::other(format!("{missing} deliveries of {} readers are missing", self.count))
        })
    }

    /// Bytes that have come since the last call.
    pub fn take_bytes(&self) -> usize {
        self.arrived.bytes.swap(0, Ordering::Relaxed)
    }

    /// How long deliveries took since the last call.
    pub fn take_times(&self) -> Times {
        Times(self.arrived.times.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect())
    }
}

async fn open_all(count: usize, invitation: &Invitation) -> io::Result<Vec<TcpStream>> {
    let mut sockets = Vec::with_capacity(count);
    let mut left = count;
    while left > 0 {
        let some = left.min(OPENING);
        left -= some;
        let opening = (0..some).map(|_| open(invitation));
        sockets.extend(futures::future::try_join_all(opening).await?);
    }
    Ok(sockets)
}

async fn open(invitation: &Invitation) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(&invitation.host).await?;
    socket.set_nodelay(true)?;
    socket.write_all(invitation.request.as_bytes()).await?;
    let mut begun = Vec::new();
    while super::client::find(&begun, invitation.ready).is_none() {
        if socket.read_buf(&mut begun).await? == 0 {
            let text = String::from_utf8_lossy(&begun);
            return Err(io::Error::other(format!("no reader: {text}")));
        }
    }
    Ok(socket)
}

/// Reads whatever comes with as few calls as there can be: a runtime's task for each socket costs
/// as much as the server's part of a delivery, and then it is the readers that are measured.
fn count_events(sockets: &[TcpStream], arrived: &Arrived, stop: &AtomicBool) -> io::Result<()> {
    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (n, socket) in sockets.iter().enumerate() {
        epoll::add(&ready, socket, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)?;
    }
    let mut matched = vec![0; sockets.len()];
    let mut buffer = vec![0; 64 * 1024];
    let mut found = Vec::with_capacity(256);
    while !stop.load(Ordering::SeqCst) {
        found.clear();
        match epoll::wait(&ready, spare_capacity(&mut found), Some(&LOOK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &found {
            let n = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(socket) = sockets.get(n) else { continue };
            let length = match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    epoll::delete(&ready, socket)?;
                    continue;
                }
                Ok((length, _)) => length,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            arrived.bytes.fetch_add(length, Ordering::Relaxed);
            let events = find_marks(&buffer[..length], &mut matched[n]);
            if events > 0 {
                arrived.note(events);
            }
        }
    }
    Ok(())
}

/// How many marks end in these bytes; `matched` is how much of one the bytes before ended with.
fn find_marks(bytes: &[u8], matched: &mut usize) -> usize {
    let mut found = 0;
    for byte in bytes {
        *matched =
            if *byte == MARK[*matched] { *matched + 1 } else { usize::from(*byte == MARK[0]) };
        if *matched == MARK.len() {
            *matched = 0;
            found += 1;
        }
    }
    found
}

/// Requests that are answered at once, a second, by this many connections that each ask again as
/// soon as they are answered.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn ask_at_full_speed(
    count: usize,
    host: &str,
    request: &str,
    lasting: Duration,
) -> io::Result<f64> {
    let (host, request) = (host.to_owned(), request.to_owned());
    let (told, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let rate = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let answered = Arc::new(AtomicUsize::new(0));
                let mut left = count;
                while left > 0 {
                    let some = left.min(OPENING);
                    left -= some;
                    let opening = (0..some).map(|_| TcpStream::connect(&host));
                    for socket in futures::future::try_join_all(opening).await? {
                        tokio::spawn(ask(socket, request.clone(), Arc::clone(&answered)));
                    }
                }
                tokio::time::sleep(lasting / 4).await;
                let (begun, before) = (Instant::now(), answered.load(Ordering::Relaxed));
                tokio::time::sleep(lasting).await;
                let all = answered.load(Ordering::Relaxed) - before;
                Ok(all as f64 / begun.elapsed().as_secs_f64())
            })
        });
        let _ = told.send(rate);
    });
    tokio::task::spawn_blocking(move || outcome.recv().map_err(io::Error::other)).await??
}

async fn ask(mut socket: TcpStream, request: String, answered: Arc<AtomicUsize>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = [0; 1024];
    loop {
        socket.write_all(request.as_bytes()).await?;
        let mut length = 0;
        while !buffer[..length].ends_with(b"\r\n\r\n") {
            match socket.read(&mut buffer[length..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => length += more,
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 304") {
            return Err(io::Error::other("not 304"));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}
