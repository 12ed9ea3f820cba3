//! The proxy itself: one task per connection of a client, one upstream connection per request.
//!
//! Every wait also listens for a change of mode, so a fault begins and ends on
//! responses that are already running.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::http::{Framing, Head, Part, Reader, chunk};
use super::mode::{Asked, Fault, Fields, Mode};
use super::outflow::Outflow;
use super::replay::Replay;
use super::scanner;

/// A reader of this much does not hold up the proxy; more is left in the kernel.
const READ_AHEAD: usize = 256 * 1024;

/// What all connections share.
pub struct Proxy {
    target: String,
    mode: watch::Receiver<Mode>,
    serving: AtomicUsize,
    freed: Notify,
    replay: Replay,
    /// Connections accepted since the start.
    pub connections: AtomicUsize,
    /// Requests begun since the start.
    pub requests: AtomicUsize,
    /// Of these the ones that met a fault when they began.
    pub faulted: AtomicUsize,
}

/// Why a connection is given up.
pub enum End {
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

/// One request on its way, and what is known of it.
struct Exchange {
    asked: Asked,
    started: Instant,
    /// The client wants exactly a stream of events.
    wants_stream: bool,
    /// The client understands gzip.
    takes_gzip: bool,
}

impl Proxy {
    /// A proxy in front of `target` (`host:port`) that follows `mode`.
    pub fn new(target: String, mode: watch::Receiver<Mode>) -> Arc<Self> {
        Arc::new(Self {
            target,
            mode,
            serving: AtomicUsize::new(0),
            freed: Notify::new(),
            replay: Replay::default(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            faulted: AtomicUsize::new(0),
        })
    }

    /// Accepts for ever. While the mode is [`Fault::Refuse`] nobody listens on the port.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        let mut listener = Some(listener);
        let mut mode = self.mode.clone();
        loop {
            if mode.borrow_and_update().of_connections() == Fault::Refuse {
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
            let cap = match mode.borrow_and_update().of_connections() {
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
        let exchange = Exchange {
            asked: Asked { method: request.word(0).to_owned(), path: request.word(1).to_owned() },
            started: Instant::now(),
            wants_stream: request.get("accept") == Some("text/event-stream"),
            takes_gzip: request.get("accept-encoding").is_some_and(|value| value.contains("gzip")),
        };
        let fault = client.mode.borrow().fault_for(&exchange.asked);
        if fault != Fault::Off {
            self.faulted.fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            Fault::Portal(status) => {
                client.sign_in(status).await?;
                return Ok(false);
            }
            Fault::Block => {
                client.filtered(403).await?;
                return Ok(false);
            }
            Fault::Replay if exchange.asked.method == "GET" => {
                if let Some((head, body)) = self.replay.find(&exchange.asked) {
                    client.repeat(&head, &body).await?;
                    return Ok(true);
                }
            }
            Fault::Strip(fields) => strip_request(&mut request, fields),
            Fault::Http10 => request.first = request.first.replace("HTTP/1.1", "HTTP/1.0"),
            _ => {}
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
        let mut opening = request.encode();
        if fault == Fault::Twice && !rechunk {
            while let Some(bytes) = client.reader.body(&mut body).await? {
                opening.extend(bytes);
            }
            scanner::ask_first(&self.target, &opening, exchange.asked.method == "GET").await;
        }
        to.write_all(&opening).await?;

        // The server may answer before it has read the body, and asks for it with 100 where told to.
        let response = loop {
            let deadline = match client.mode.borrow_and_update().fault_for(&exchange.asked) {
                Fault::Cut(age) | Fault::Idle(age) | Fault::First(age) => {
                    Some(exchange.started + age)
                }
                _ => None,
            };
            let (holed, hole_begins, ends) = (client.holed(), client.hole_begins(), client.ends());
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
                () = until(ends) => return Err(End::Close),
                _ = mode.changed() => switched(client)?,
            }
        };
        let done = self.respond(client, &exchange, response, &mut from).await?;
        Ok(done && body == Framing::None)
    }

    /// Hands one response on as the mode has it; whether the connection can be used again.
    async fn respond(
        &self,
        client: &mut Client,
        exchange: &Exchange,
        mut head: Head,
        from: &mut Reader<OwnedReadHalf>,
    ) -> Result<bool, End> {
        let Exchange { asked, started, .. } = exchange;
        let mut framing = Framing::of_response(&head, &asked.method);
        let begun = client.mode.borrow().fault_for(asked);
        head.remove("connection");
        // An idle connection must not keep those that wait from their turn.
        let mut once = matches!(begun, Fault::Cap(_));
        let mut zipped = false;
        let mut recorder = None;
        match begun {
            Fault::Status(status) => {
                client.filtered(status).await?;
                return Ok(false);
            }
            Fault::Strip(fields) => strip_response(&mut head, fields),
            Fault::Gzip => {
                zipped = exchange.takes_gzip
                    && framing != Framing::None
                    && head.get("content-encoding").is_none();
            }
            Fault::Http10 => once = true,
            Fault::Replay if asked.method == "GET" && head.word(1) == "200" => {
                recorder = self.replay.record(asked, &head);
            }
            _ => {}
        }
        if zipped {
            head.remove("content-length");
            head.set("Content-Encoding", "gzip");
        }
        let old = begun == Fault::Http10;
        let chunked = !old && (zipped || matches!(framing, Framing::Chunked | Framing::Close));
        if old {
            head.remove("transfer-encoding");
            head.first = head.first.replace("HTTP/1.1", "HTTP/1.0");
        } else if chunked {
            head.first = head.first.replace("HTTP/1.0", "HTTP/1.1");
            head.set("Transfer-Encoding", "chunked");
        }
        if once {
            head.set("Connection", "close");
        }
        client.writer.write_all(&head.encode()).await?;

        let genuine =
            exchange.wants_stream && head.get("content-type") == Some("text/event-stream");
        let mut outflow = Outflow::new(zipped);
        let mut ended = framing == Framing::None;
        let mut last_byte = Instant::now();
        loop {
            let fault = client.mode.borrow_and_update().fault_for(asked);
            let (holed, hole_begins, ends) = (client.holed(), client.hole_begins(), client.ends());
            let mut wake = None;
            if !holed {
                let out;
                (out, wake) = outflow.release(fault, ended, genuine)?;
                for bytes in Outflow::frame(&out, fault, chunked) {
                    client.writer.write_all(&bytes).await?;
                }
                if ended && outflow.len() == 0 {
                    if chunked {
                        client.writer.write_all(&chunk(b"")).await?;
                    }
                    return Ok(!once);
                }
                let now = Instant::now();
                match fault {
                    Fault::Cut(age) if now >= *started + age => {
                        if chunked {
                            client.writer.write_all(&chunk(b"")).await?;
                        }
                        return Ok(false);
                    }
                    Fault::Idle(age) if now >= last_byte + age => return Ok(false),
                    Fault::Rst(age) if now >= *started + age => return Err(End::Reset),
                    Fault::Cut(age) | Fault::Rst(age) => wake = Some(*started + age),
                    Fault::Idle(age) => wake = Some(last_byte + age),
                    _ => {}
                }
            }
            tokio::select! {
                part = from.body(&mut framing), if !ended && !holed && outflow.len() < READ_AHEAD => match part {
                    Ok(Some(bytes)) => {
                        last_byte = Instant::now();
                        if let Some(key) = &recorder {
                            self.replay.append(key, &bytes);
                        }
                        outflow.push(bytes);
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
                () = until(ends) => return Err(End::Close),
                _ = client.mode.changed() => switched(client)?,
            }
        }
    }
}

/// Some modes end what runs when they begin.
fn switched(client: &Client) -> Result<(), End> {
    match client.of_connections() {
        Fault::Refuse => Err(End::Reset),
        Fault::Portal(_) => Err(End::Close),
        _ => Ok(()),
    }
}

fn strip_request(request: &mut Head, fields: Fields) {
    match fields {
        Fields::Hints => {
            for name in ["last-event-id", "if-none-match", "accept", "cache-control", "pragma"] {
                request.remove(name);
            }
        }
        Fields::Cookies => request.remove("cookie"),
    }
}

fn strip_response(head: &mut Head, fields: Fields) {
    match fields {
        Fields::Hints => {
            for name in ["cache-control", "x-accel-buffering", "incremental", "etag"] {
                head.remove(name);
            }
        }
        Fields::Cookies => head.remove("set-cookie"),
    }
}

/// Waits for a time, or for ever.
pub async fn until(deadline: Option<Instant>) {
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
