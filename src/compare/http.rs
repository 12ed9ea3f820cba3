//! A client of HTTP/1.1 that costs little: thousands of them share this process with what is
//! measured. It counts the bytes that pass, heads included.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::socket::{Socket, Tls};

/// Longest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// Longest body, chunk or frame that is kept; a Halley's are at most 1 MiB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Taken from a socket at once.
const READ_BYTES: usize = 16 * 1024;

/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BYTES: usize = 8 * 1024;

/// Where a server is.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// As it stands in `Host`.
    pub authority: String,
    host: String,
    port: u16,
    /// For `https`.
    tls: Option<Tls>,
    /// Lines that each request carries.
    pub headers: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl Target {
    /// Reads an address such as `http://wiki.example.org`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let bad = || format!("{url:?} is not an address such as http://wiki.example.org");
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(bad)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(format!("{url:?} has a path; a Halley is the whole of its host"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if host.is_empty() || !authority.bytes().all(plain) {
            return Err(bad());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if secure { Some(Tls::new(&bare)?) } else { None };
        Ok(Self { authority: authority.to_owned(), host: bare, port, tls, headers: String::new() })
    }

    /// As browsers write it.
    pub fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// What passed on some connections; of TLS the bytes inside it.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests written.
    pub requests: AtomicU64,
    /// Bytes written to sockets.
    pub sent: AtomicU64,
    /// Bytes read from sockets.
    pub received: AtomicU64,
}

/// The head of an answer, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, lower case.
    pub content_type: String,
    framing: Framing,
    closes: bool,
}

/// Where a body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked(Chunk),
    Close,
}

/// Where a chunked body (RFC 9112, section 7.1) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(usize),
    DataEnd,
    Trailer,
    Done,
}

/// One connection.
pub struct Connection {
    socket: Socket,
    target: Arc<Target>,
    traffic: Arc<Traffic>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Arc<Target>, traffic: &Arc<Traffic>) -> io::Result<Self> {
        let socket = TcpStream::connect((target.host.as_str(), target.port)).await?;
        socket.set_nodelay(true)?;
        let socket = match &target.tls {
            None => Socket::Plain(socket),
            Some(tls) => tls.connect(socket).await?,
        };
        Ok(Self {
            socket,
            target: Arc::clone(target),
            traffic: Arc::clone(traffic),
            buffer: Vec::new(),
        })
    }

    /// Sends a request and reads the head of its answer. `headers` are whole lines.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Head> {
        let Target { authority, headers: always, .. } = &*self.target;
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{always}{headers}");
        if method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.socket.write_all(&request).await?;
        self.socket.flush().await?;
        self.traffic.requests.fetch_add(1, Ordering::Relaxed);
        self.traffic.sent.fetch_add(request.len() as u64, Ordering::Relaxed);
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = Head::parse(&self.buffer[..end])?;
                self.buffer.drain(..end + 4);
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(broken("a head without an end"));
            }
            self.fill().await?;
        }
    }

    /// Reads the whole body into `body`, whose former content is gone.
    pub async fn read_body(&mut self, head: &Head, body: &mut Vec<u8>) -> io::Result<()> {
        body.clear();
        let mut framing = head.framing;
        while !decode(&mut framing, &mut self.buffer, body)? {
            if let Err(error) = self.fill().await {
                if error.kind() == io::ErrorKind::UnexpectedEof && framing == Framing::Close {
                    break;
                }
                return Err(error);
            }
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        if head.closes {
            // The next request on it fails, and its sender opens another one.
            let _ = self.socket.shutdown().await;
        }
        Ok(())
    }

    /// A request and its whole answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<(Head, Vec<u8>)> {
        let head = self.ask(method, path, headers, body).await?;
        let mut answer = Vec::new();
        self.read_body(&head, &mut answer).await?;
        Ok((head, answer))
    }

    /// The body of a streamed answer.
    pub fn into_frames(self, head: &Head) -> Frames {
        Frames { connection: self, framing: head.framing, text: Vec::new() }
    }

    /// Whether the other side has closed it while nothing was asked.
    pub fn is_stale(&mut self) -> bool {
        // An end, an error, or bytes that nobody asked for.
        self.poll_fill(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Takes what has come, waiting for it.
    async fn fill(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // On the stack, so that a connection that waits has no buffer.
        let mut space = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
        if space.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.traffic.received.fetch_add(space.filled().len() as u64, Ordering::Relaxed);
        self.buffer.extend_from_slice(space.filled());
        Poll::Ready(Ok(()))
    }
}

/// A stream of events (WHATWG HTML, section 9.2), frame by frame.
pub struct Frames {
    connection: Connection,
    framing: Framing,
    /// Body up to the first frame that is not whole.
    text: Vec<u8>,
}

impl Frames {
    /// Calls `each` with every frame that has come whole, at least one. False when the body has
    /// ended.
    ///
    /// # Errors
    /// When the connection ends within the body.
    pub async fn next(&mut self, mut each: impl FnMut(&str)) -> io::Result<bool> {
        loop {
            let ended = decode(&mut self.framing, &mut self.connection.buffer, &mut self.text)?;
            let mut taken = 0;
            while let Some(end) = find(&self.text[taken..], b"\n\n") {
                let frame = std::str::from_utf8(&self.text[taken..taken + end]);
                each(frame.map_err(|_| broken("a frame that is not UTF-8"))?);
                taken += end + 2;
            }
            self.text.drain(..taken);
            if self.text.is_empty() && self.text.capacity() > KEPT_BYTES {
                self.text = Vec::new();
            }
            if taken > 0 || ended {
                return Ok(!ended);
            }
            if self.text.len() > MAX_BODY {
                return Err(broken("a frame without an end"));
            }
            self.connection.fill().await?;
        }
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| broken("a head that is not ASCII"))?;
        let mut lines = text.split("\r\n");
        let status = lines.next().filter(|line| line.starts_with("HTTP/1."));
        let status = status.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.ok_or_else(|| broken("no answer of HTTP/1"))?;
        let mut head = Self {
            status,
            content_type: String::new(),
            framing: Framing::Close,
            closes: text.starts_with("HTTP/1.0"),
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim().to_ascii_lowercase();
            match name.to_ascii_lowercase().as_str() {
                "content-type" => head.content_type = value,
                "connection" => head.closes = value.contains("close"),
                "transfer-encoding" if value.contains("chunked") => {
                    head.framing = Framing::Chunked(Chunk::Size);
                }
                "content-length" if head.framing == Framing::Close => {
                    let length = value.parse().map_err(|_| broken("a length that is none"))?;
                    head.framing = Framing::Length(length);
                }
                _ => {}
            }
        }
        if matches!(status, 204 | 304) || status < 200 {
            head.framing = Framing::Length(0);
        }
        head.closes |= head.framing == Framing::Close;
        Ok(head)
    }
}

/// Moves what is body from `input` to `body`; true at its end.
fn decode(framing: &mut Framing, input: &mut Vec<u8>, body: &mut Vec<u8>) -> io::Result<bool> {
    if body.len() > MAX_BODY {
        return Err(broken("a body that is too long"));
    }
    match framing {
        Framing::Close => {
            body.append(input);
            Ok(false)
        }
        Framing::Length(left) => {
            let taken = (*left).min(input.len());
            body.extend(input.drain(..taken));
            *left -= taken;
            Ok(*left == 0)
        }
        Framing::Chunked(state) => {
            let mut at = 0;
            let ended = decode_chunks(state, input, &mut at, body)?;
            input.drain(..at);
            Ok(ended)
        }
    }
}

fn decode_chunks(
    state: &mut Chunk,
    input: &[u8],
    at: &mut usize,
    body: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        let rest = &input[*at..];
        match *state {
            Chunk::Done => return Ok(true),
            Chunk::Data(left) => {
                let taken = left.min(rest.len());
                body.extend_from_slice(&rest[..taken]);
                *at += taken;
                *state = if taken == left { Chunk::DataEnd } else { Chunk::Data(left - taken) };
                if taken < left {
                    return Ok(false);
                }
            }
            Chunk::Size | Chunk::DataEnd | Chunk::Trailer => {
                let Some(end) = find(rest, b"\r\n") else {
                    if rest.len() > MAX_HEAD {
                        return Err(broken("a chunk without a size"));
                    }
                    return Ok(false);
                };
                let line = &rest[..end];
                *at += end + 2;
                *state = match *state {
                    Chunk::Size => match chunk_size(line)? {
                        0 => Chunk::Trailer,
                        size => Chunk::Data(size),
                    },
                    Chunk::DataEnd if line.is_empty() => Chunk::Size,
                    Chunk::DataEnd => return Err(broken("a chunk that is longer than its size")),
                    _ if line.is_empty() => Chunk::Done,
                    _ => Chunk::Trailer,
                };
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let size = text.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
    if size > MAX_BODY { Err(broken("a chunk that is too long")) } else { Ok(size) }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

/// The first place of `needle`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    // Most bytes are not the first one of a needle.
    while let Some(at) = bytes[from..].iter().position(|b| *b == first) {
        if bytes[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        let target = Target::parse("http://wiki.example.org/").expect("an address");
        assert_eq!((target.host.as_str(), target.port), ("wiki.example.org", 80));
        let target = Target::parse("http://[::1]:8000").expect("an address");
        assert_eq!((target.host.as_str(), target.port), ("::1", 8000));
        assert_eq!(Target::parse("http://[::1]").expect("an address").port, 80);
        for bad in [
            "wiki",
            "ftp://x",
            "http://",
            "http://a/b",
            "http://a b",
            "http://a:x",
            "http://a\r\nb",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_head_says_how_long_the_body_is() {
        let framing = |text: &str| Head::parse(text.as_bytes()).expect("a head").framing;
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 12"), Framing::Length(12));
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nTransfer-Encoding: chunked"),
            Framing::Chunked(Chunk::Size)
        );
        assert_eq!(framing("HTTP/1.1 304 Not Modified\r\nETag: x"), Framing::Length(0));
        assert_eq!(framing("HTTP/1.0 200 OK"), Framing::Close);
        assert!(Head::parse(b"SSH-2.0-x").is_err());
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: -1").is_err());
    }

    #[test]
    fn a_chunked_body_may_be_split_anywhere() {
        let whole = b"5;x=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
        for split in 0..whole.len() {
            let mut framing = Framing::Chunked(Chunk::Size);
            let (mut input, mut body) = (whole[..split].to_vec(), Vec::new());
            assert!(!decode(&mut framing, &mut input, &mut body).expect("sound"), "at {split}");
            input.extend_from_slice(&whole[split..]);
            assert!(decode(&mut framing, &mut input, &mut body).expect("sound"), "at {split}");
            assert_eq!(body, b"hello world", "at {split}");
        }
        for bad in [&b"x\r\n"[..], b"5\r\nhelloo\r\n", b"ffffffffff\r\n"] {
            let mut framing = Framing::Chunked(Chunk::Size);
            assert!(decode(&mut framing, &mut bad.to_vec(), &mut Vec::new()).is_err());
        }
    }
}
