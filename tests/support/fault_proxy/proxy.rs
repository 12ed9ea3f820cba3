//! The proxy itself: one task per connection of a client, one upstream connection per request.
//!
//! Every wait also listens for a change of mode, so a fault begins and ends on
//! responses that are already running.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::http::{Framing, Head, Part, Reader, chunk};
use super::mode::{Fault, Mode};

/// A reader of this much does not hold up the proxy; more is left in the kernel.
const READ_AHEAD: usize = 256 * 1024;

/// The piece in which `slow` lets bytes go.
const SLOW_PIECE: usize = 64;

/// What a network without sign-in says to every request.
const SIGN_IN: &str = "<!doctype html><title>Sign in</title><h1>Welcome to the hotel</h1>\
    <form method=\"post\"><input name=\"room\"><button>Go online</button></form>";

/// What all connections share.
pub struct Proxy {
    target: String,
    mode: watch::Receiver<Mode>,
    serving: AtomicUsize,
    freed: Notify,
    /// Connections accepted since the start.
    pub connections: AtomicUsize,
    /// Requests begun since the start.
    pub requests: AtomicUsize,
}

/// Why a connection is given up.
enum End {
    /// Closed as TCP does it: what was written arrives.
    Close,
    /// Reset: what was written may be lost.
    Reset,
}

/// What is wrong with a connection ends it quietly: to the client that is one more network fault.
impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Close
    }
}

impl Proxy {
    /// A proxy in front of `target` (`host:port`) that follows `mode`.
    pub fn new(target: String, mode: watch::Receiver<Mode>) -> Arc<Self> {
        Arc::new(Self {
            target,
            mode,
            serving: AtomicUsize::new(0),
            freed: Notify::new(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        })
    }

    /// Accepts for ever. While the mode is [`Fault::Refuse`] nobody listens on the port.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        let mut listener = Some(listener);
        let mut mode = self.mode.clone();
        loop {
            if mode.borrow_and_update().fault == Fault::Refuse {
                listener = None;
                mode.changed().await.map_err(io::Error::other)?;
                continue;
            }
            let open = match listener.take() {
                Some(open) => listener.insert(open),
                None => listener.insert(rebind(address).await?),
            };
            tokio::select! {
                accepted = open.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(Arc::clone(&self).connection(stream));
                }
                changed = mode.changed() => changed.map_err(io::Error::other)?,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let mut client = Client {
            reader: Reader::new(read),
            writer: write,
            since: Instant::now(),
            mode: self.mode.clone(),
        };
        self.admitted(&mut client.mode).await;
        let end = loop {
            match self.exchange(&mut client).await {
                Ok(true) => {}
                Ok(false) => break End::Close,
                Err(end) => break end,
            }
        };
        self.serving.fetch_sub(1, Ordering::SeqCst);
        self.freed.notify_waiters();
        if let Ok(stream) = client.reader.into_inner().reunite(client.writer)
            && matches!(end, End::Reset)
        {
            let _ = stream.set_zero_linger();
        }
    }

    /// Waits until the cap leaves room, and takes it.
    async fn admitted(&self, mode: &mut watch::Receiver<Mode>) {
        loop {
            let freed = self.freed.notified();
            let cap = match mode.borrow_and_update().fault {
                Fault::Cap(cap) => cap,
                _ => usize::MAX,
            };
            let taken = self.serving.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |serving| {
                (serving < cap).then_some(serving + 1)
            });
            if taken.is_ok() {
                return;
            }
            tokio::select! {
                () = freed => {}
                _ = mode.changed() => {}
            }
        }
    }

    /// One request and its response; whether another may follow.
    async fn exchange(&self, client: &mut Client) -> Result<bool, End> {
        let Some(mut request) = client.next_request().await? else { return Ok(false) };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.word(1).to_owned();
        let method = request.word(0).to_owned();
        let started = Instant::now();
        if client.mode.borrow().fault == Fault::Portal {
            client.sign_in().await?;
            return Ok(false);
        }

        let Ok(upstream) = TcpStream::connect(&self.target).await else {
            client.plain("502 Bad Gateway", "The server does not answer.").await?;
            return Ok(false);
        };
        let _ = upstream.set_nodelay(true);
        let (from, mut to) = upstream.into_split();
        let mut from = Reader::new(from);

        let mut body = Framing::of_request(&request);
        let rechunk = body == Framing::Chunked;
        request.set("Connection", "close");
        to.write_all(&request.encode()).await?;

        // The server may answer before it has read the body, and asks for it with 100 where told to.
        let response = loop {
            let deadline = match client.mode.borrow_and_update().fault_for(&path) {
                Fault::Cut(age) | Fault::Idle(age) => Some(started + age),
                _ => None,
            };
            let (holed, hole_begins) = (client.holed(), client.hole_begins());
            let Client { reader, writer, mode, .. } = &mut *client;
            let room = body != Framing::None || reader.kept() < READ_AHEAD;
            tokio::select! {
                head = from.head(), if !holed => {
                    let Some(head) = head? else { return Ok(false) };
                    if head.word(1).starts_with('1') {
                        writer.write_all(&head.encode()).await?;
                        continue;
                    }
                    break head;
                }
                part = reader.body_or_more(&mut body), if !holed && room => {
                    let bytes = match part? {
                        Part::Ended => return Ok(false),
                        Part::More => continue,
                        Part::Body(part) if rechunk => {
                            let mut bytes = part.map(|part| chunk(&part)).unwrap_or_default();
                            if body == Framing::None {
                                bytes.extend(chunk(b""));
                            }
                            bytes
                        }
                        Part::Body(part) => part.unwrap_or_default(),
                    };
                    // A server that has answered and closed is heard above.
                    let _ = to.write_all(&bytes).await;
                }
                () = until(deadline) => {
                    client.plain("504 Gateway Timeout", "The server took too long.").await?;
                    return Ok(false);
                }
                () = until(hole_begins) => {}
                _ = mode.changed() => self.switched(client)?,
            }
        };
        let done = self.respond(client, &path, &method, started, response, &mut from).await?;
        Ok(done && body == Framing::None)
    }

    /// Hands one response on as the mode has it; whether the connection can be used again.
    async fn respond(
        &self,
        client: &mut Client,
        path: &str,
        method: &str,
        started: Instant,
        mut head: Head,
        from: &mut Reader<OwnedReadHalf>,
    ) -> Result<bool, End> {
        let mut framing = Framing::of_response(&head, method);
        let chunked = matches!(framing, Framing::Chunked | Framing::Close);
        head.remove("connection");
        // An idle connection must not keep those that wait from their turn.
        let once = matches!(client.mode.borrow().fault, Fault::Cap(_));
        if once {
            head.set("Connection", "close");
        }
        if chunked {
            head.set("Transfer-Encoding", "chunked");
        }
        client.writer.write_all(&head.encode()).await?;

        let mut held = Held::default();
        let mut ended = framing == Framing::None;
        let (mut last_byte, mut next_tick) = (Instant::now(), None);
        let mut budget_since = Instant::now();
        loop {
            let fault = client.mode.borrow_and_update().fault_for(path);
            let (holed, hole_begins) = (client.holed(), client.hole_begins());
            let now = Instant::now();
            let mut wake = None;
            let mut out = Vec::new();
            if !holed {
                match fault {
                    Fault::Mute if !ended => {}
                    Fault::Tick(every) if !ended => {
                        let tick = *next_tick.get_or_insert(now + every);
                        if now >= tick {
                            next_tick = Some(now + every);
                            out = held.take_all();
                        }
                        wake = next_tick;
                    }
                    Fault::Thresh(size) if !ended => out = held.take(held.len / size * size),
                    Fault::Behind if !ended => out = held.take_but_last(),
                    Fault::Slow(rate) => {
                        let due = (now - budget_since).as_secs_f64() * rate as f64;
                        let piece = SLOW_PIECE.min(rate);
                        if held.len == 0 {
                            budget_since = now;
                        } else if due >= piece as f64 {
                            out = held.take(piece);
                            budget_since = now;
                            wake = Some(now);
                        } else {
                            wake = Some(
                                budget_since + Duration::from_secs_f64(piece as f64 / rate as f64),
                            );
                        }
                    }
                    _ => out = held.take_all(),
                }
                if !out.is_empty() {
                    let bytes = if chunked { chunk(&out) } else { out };
                    client.writer.write_all(&bytes).await?;
                }
                if ended && held.len == 0 {
                    if chunked {
                        client.writer.write_all(&chunk(b"")).await?;
                    }
                    return Ok(!once);
                }
                match fault {
                    Fault::Cut(age) if now >= started + age => {
                        if chunked {
                            client.writer.write_all(&chunk(b"")).await?;
                        }
                        return Ok(false);
                    }
                    Fault::Idle(age) if now >= last_byte + age => return Ok(false),
                    Fault::Rst(age) if now >= started + age => return Err(End::Reset),
                    Fault::Cut(age) | Fault::Rst(age) => wake = Some(started + age),
                    Fault::Idle(age) => wake = Some(last_byte + age),
                    _ => {}
                }
            }
            tokio::select! {
                part = from.body(&mut framing), if !ended && !holed && held.len < READ_AHEAD => match part {
                    Ok(Some(bytes)) => {
                        last_byte = Instant::now();
                        held.push(bytes);
                        ended = framing == Framing::None;
                    }
                    Ok(None) => ended = true,
                    // Broken off by the server: broken off for the client too.
                    Err(_) => return Ok(false),
                },
                read = client.reader.fill(), if !holed && client.reader.kept() < READ_AHEAD => {
                    if read? == 0 {
                        return Ok(false);
                    }
                }
                () = until(wake) => {}
                () = until(hole_begins) => {}
                _ = client.mode.changed() => self.switched(client)?,
            }
        }
    }

    /// Some modes end what runs when they begin.
    fn switched(&self, client: &Client) -> Result<(), End> {
        match client.mode.borrow().fault {
            Fault::Refuse => Err(End::Reset),
            Fault::Portal => Err(End::Close),
            _ => Ok(()),
        }
    }
}

/// The client's side of a connection.
struct Client {
    reader: Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    since: Instant,
    mode: watch::Receiver<Mode>,
}

impl Client {
    /// Waits for a request. A hole hears none until the mode changes.
    async fn next_request(&mut self) -> Result<Option<Head>, End> {
        loop {
            if self.mode.borrow_and_update().fault == Fault::Refuse {
                return Err(End::Reset);
            }
            let (holed, begins) = (self.holed(), self.hole_begins());
            tokio::select! {
                head = self.reader.head(), if !holed => return Ok(head?),
                () = until(begins) => {}
                _ = self.mode.changed() => {}
            }
        }
    }

    fn holed(&self) -> bool {
        matches!(self.mode.borrow().fault, Fault::Hole(age) if self.since.elapsed() >= age)
    }

    /// When this connection will become a hole, if it will and is none yet.
    fn hole_begins(&self) -> Option<Instant> {
        match self.mode.borrow().fault {
            Fault::Hole(age) if self.since.elapsed() < age => Some(self.since + age),
            _ => None,
        }
    }

    async fn sign_in(&mut self) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            SIGN_IN.len()
        );
        self.writer.write_all(head.as_bytes()).await?;
        self.writer.write_all(SIGN_IN.as_bytes()).await
    }

    async fn plain(&mut self, status: &str, text: &str) -> io::Result<()> {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        self.writer.write_all(answer.as_bytes()).await
    }
}

/// Bytes that wait for the mode to let them go, burst by burst.
#[derive(Default)]
struct Held {
    bursts: VecDeque<Vec<u8>>,
    len: usize,
}

impl Held {
    fn push(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len();
        self.bursts.push_back(bytes);
    }

    fn take_all(&mut self) -> Vec<u8> {
        self.take(self.len)
    }

    fn take_but_last(&mut self) -> Vec<u8> {
        self.take(self.len - self.bursts.back().map_or(0, Vec::len))
    }

    fn take(&mut self, mut count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        while count > 0 {
            let Some(mut burst) = self.bursts.pop_front() else { break };
            if burst.len() > count {
                let rest = burst.split_off(count);
                self.bursts.push_front(rest);
            }
            count -= burst.len();
            self.len -= burst.len();
            out.extend(burst);
        }
        out
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// The port may be held for a moment by what was just reset.
async fn rebind(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if tries > 50 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
