//! A plain HTTP/1.1 client that costs little, so that what is measured is the server.

use std::error::Error;
use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use yrs::updates::decoder::Decode as _;
use yrs::{Doc, GetString as _, OffsetKind, Options, Text as _, TextRef, Transact as _, Update};

/// An answer with its whole body.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, by `Content-Length` or chunked.
    pub body: Vec<u8>,
}

/// One kept connection.
pub struct Connection {
    stream: TcpStream,
    host: String,
    cookie: Option<String>,
    buffer: Vec<u8>,
    /// Body of a stream without its chunk framing, up to a frame that is not whole.
    frames: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host: host.to_owned(),
            cookie: None,
            buffer: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Sends a request and reads the whole answer. The first cookie that comes is kept.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        self.write_request(method, path, headers, body).await?;
        let head = self.read_head().await?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if let Some(cookie) = field("set-cookie") {
            self.cookie.get_or_insert(cookie.split(';').next().unwrap_or_default().to_owned());
        }
        let length = field("content-length").and_then(|l| l.parse::<usize>().ok());
        let body = match (status, length) {
            (204 | 304, _) => Vec::new(),
            (_, Some(length)) => {
                self.fill(length).await?;
                self.buffer.drain(..length).collect()
            }
            (_, None) => self.read_chunked().await?,
        };
        Ok(Answer { status, body })
    }

    /// Sends the request of a stream and reads its head; what follows is read with [`Self::more`].
    pub async fn open_stream(mut self, path: &str) -> io::Result<Self> {
        self.write_request("GET", path, "Accept: text/event-stream\r\n", b"").await?;
        let head = self.read_head().await?;
        if !head.starts_with("HTTP/1.1 200") || !head.contains("text/event-stream") {
            return Err(io::Error::other(format!("no stream: {head}")));
        }
        Ok(self)
    }

    /// The frames of a stream that have come whole since the last call, at least one.
    pub async fn more(&mut self) -> io::Result<Vec<u8>> {
        loop {
            while let Some(chunk) = take_chunk(&mut self.buffer) {
                self.frames.extend(chunk);
            }
            if let Some(end) = self.frames.windows(2).rposition(|pair| pair == b"\n\n") {
                return Ok(self.frames.drain(..end + 2).collect());
            }
            self.fill(self.buffer.len() + 1).await?;
        }
    }

    /// Gives back frames that were read too early.
    pub fn put_back(&mut self, frames: &[u8]) {
        self.frames.splice(..0, frames.iter().copied());
    }

    async fn write_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<()> {
        let host = &self.host;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}");
        if let Some(cookie) = &self.cookie {
            request.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        if method != "GET" {
            request.push_str(&format!(
                "Sec-Fetch-Site: same-origin\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await
    }

    async fn read_head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(io::Error::other);
            }
            self.fill(self.buffer.len() + 1).await?;
        }
    }

    async fn read_chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match find(&self.buffer, b"\r\n") {
                    Some(end) => break end,
                    None => self.fill(self.buffer.len() + 1).await?,
                }
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size = std::str::from_utf8(&line[..end]).ok();
            let size = size.and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
            let size = size.ok_or_else(|| io::Error::other("no chunk"))?;
            self.fill(size + 2).await?;
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            self.buffer.reserve(16 * 1024);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// Takes one whole chunk (RFC 9112, section 7.1) off the front.
fn take_chunk(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let line = find(buffer, b"\r\n")?;
    let size = std::str::from_utf8(&buffer[..line]).ok()?;
    let size = usize::from_str_radix(size.trim(), 16).ok()?;
    if buffer.len() < line + 2 + size + 2 {
        return None;
    }
    let chunk = buffer[line + 2..line + 2 + size].to_vec();
    buffer.drain(..line + 2 + size + 2);
    Some(chunk)
}

/// The position of the last frame.
pub fn last_id(frames: &[u8]) -> Option<String> {
    let frames = std::str::from_utf8(frames).ok()?;
    frames.lines().rev().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned)
}

/// The first place of `needle`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// One request on a connection of its own.
pub async fn get(host: &str, path: &str) -> io::Result<Answer> {
    Connection::open(host).await?.send("GET", path, "", b"").await
}

/// Makes a page with this text and returns its number.
pub async fn put_page(
    host: &str,
    path: &str,
    text: &str,
) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let headers = "Content-Type: text/markdown\r\nIf-None-Match: *\r\n";
    let path = format!("/api/v1/pages/{path}");
    let answer = Connection::open(host).await?.send("PUT", &path, headers, text.as_bytes()).await?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    body["id"].as_u64().ok_or_else(|| format!("no page: {body}").into())
}

/// A person who types: one login, one Yjs client.
pub struct Writer {
    connection: Connection,
    page: u64,
    tab: String,
    doc: Doc,
    text: TextRef,
    ops: u64,
}

impl Writer {
    /// Opens a session and loads the document.
    pub async fn open(
        host: &str,
        page: u64,
        n: usize,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut connection = Connection::open(host).await?;
        let tab = format!("benchwriter{n:05}");
        let json = "Content-Type: application/json\r\n";
        let body = format!(r#"{{"client":"{tab}"}}"#);
        let path = format!("/_live/pages/{page}/session");
        let answer = connection.send("POST", &path, json, body.as_bytes()).await?;
        let session: Value = serde_json::from_slice(&answer.body)?;
        let client =
            session["client_id"].as_u64().ok_or_else(|| format!("no session: {session}"))?;
        let options = Options {
            offset_kind: OffsetKind::Utf16,
            ..Options::with_client_id(yrs::ClientID::new(client))
        };
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text("body");
        let answer = connection.send("GET", &format!("/_live/pages/{page}/doc"), "", b"").await?;
        doc.transact_mut().apply_update(Update::decode_v1(&answer.body)?)?;
        Ok(Self { connection, page, tab, doc, text, ops: 0 })
    }

    /// Types one character at a share (0 to 1) of the text; returns its revision once it is saved.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position in a page of at most 1 MiB"
    )]
    pub async fn type_at(&mut self, share: f64) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let update = {
            let mut transaction = self.doc.transact_mut();
            let length = self.text.len(&transaction);
            let at = (f64::from(length) * share) as u32;
            self.text.insert(&mut transaction, at, "x");
            transaction.encode_update_v1()
        };
        self.ops += 1;
        let path = format!(
            "/_live/pages/{}/updates?client={}&op=b{}-{}",
            self.page, self.tab, self.tab, self.ops
        );
        let answer = self.connection.send("POST", &path, "", &update).await?;
        let body: Value = serde_json::from_slice(&answer.body)?;
        body["rev"].as_u64().ok_or_else(|| format!("not saved: {} {body}", answer.status).into())
    }

    /// The text as this writer has it.
    #[expect(dead_code, reason = "for looking at it while working on the benchmark")]
    pub fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }
}

/// Finds the revisions of `updated` events in what came of a stream or an answer.
pub fn revisions(bytes: &[u8], mut found: impl FnMut(u64)) {
    const MARK: &[u8] = br#""kind":"updated","data":{"rev":"#;
    let mut rest = bytes;
    while let Some(at) = find(rest, MARK) {
        rest = &rest[at + MARK.len()..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if let Ok(Ok(revision)) = std::str::from_utf8(&rest[..digits]).map(str::parse) {
            found(revision);
        }
    }
}
