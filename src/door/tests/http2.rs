//! HTTP/2, mostly by hand: a client that keeps to its rules shows nothing about limits.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;

use hyper::body::Frame;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::client::TlsStream;

use super::secure::Secure;
use super::*;
use crate::door::http2::RELAYS;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Names of settings and reasons (RFC 9113, sections 6.5.2 and 7).
const MAX_STREAMS: u16 = 3;
const INITIAL_WINDOW: u16 = 4;
const REFUSED: u32 = 7;
const CANCEL: u32 = 8;

struct Raw {
    socket: TlsStream<TcpStream>,
    read: Vec<u8>,
}

#[derive(Debug)]
struct Got {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Got {
    fn code(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("a code"))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut all = length[1..].to_vec();
    all.extend([kind, flags]);
    all.extend(stream.to_be_bytes());
    all.extend(payload);
    all
}

/// Headers as literals, never indexed and without Huffman's code (RFC 7541, section 6.2.2).
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    block
}

fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut headers =
        vec![(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", path)];
    headers.extend(more);
    block(&headers)
}

impl Raw {
    async fn open(secure: &Secure, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self { socket: secure.connect(b"h2").await, read: Vec::new() };
        raw.socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sends");
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(frame(SETTINGS, 0, 0, &payload)).await;
        raw
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("sends");
        self.socket.flush().await.expect("sends");
    }

    async fn get(&mut self, stream: u32, path: &str) {
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path, &[]))).await;
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Got> {
        loop {
            if let Some((head, rest)) = self.read.split_first_chunk::<9>() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8;
                let length = length | usize::from(head[2]);
                if rest.len() >= length {
                    let got = Got {
                        kind: head[3],
                        flags: head[4],
                        stream: u32::from_be_bytes(head[5..].try_into().expect("four")),
                        payload: rest[..length].to_vec(),
                    };
                    self.read.drain(..9 + length);
                    return Some(got);
                }
            }
            let mut part = [0; 4096];
            match timeout(LIMIT, self.socket.read(&mut part)).await.expect("in time") {
                Ok(n) if n > 0 => self.read.extend(&part[..n]),
                _ => return None,
            }
        }
    }

    /// The next frame of a kind.
    async fn next_of(&mut self, kind: u8) -> Got {
        loop {
            let got = self.next().await.expect("more frames");
            if got.kind == kind {
                return got;
            }
        }
    }

    /// The whole answer on a stream: its data, or the reason of its reset; `MAX` when the
    /// connection ends.
    async fn answer(&mut self, stream: u32) -> Result<String, u32> {
        let mut data = Vec::new();
        loop {
            let Some(got) = self.next().await else { return Err(u32::MAX) };
            if got.stream != stream {
                continue;
            }
            match got.kind {
                RESET => return Err(got.code()),
                DATA => data.extend(&got.payload),
                _ => {}
            }
            if matches!(got.kind, DATA | HEADERS) && got.flags & END_STREAM != 0 {
                return Ok(String::from_utf8(data).expect("text"));
            }
        }
    }
}

#[tokio::test]
async fn one_client_cannot_open_more_streams_than_the_setting() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let limits = Limits { http2_streams: 5, ..Limits::default() };
    let secure = Secure::open(limits, hook(dropped)).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let settings = raw.next_of(SETTINGS).await.payload;
    let told = settings.chunks(6).find(|setting| setting[..2] == MAX_STREAMS.to_be_bytes());
    assert_eq!(told.expect("told")[2..], 5_u32.to_be_bytes());
    let all: Vec<_> = (0..20)
        .flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * n, &get("/quiet", &[])))
        .collect();
    raw.send(all).await;
    let (mut open, mut refused) = (Vec::new(), Vec::new());
    while open.len() + refused.len() < 20 {
        let got = raw.next().await.expect("more frames");
        match got.kind {
            DATA => open.push(got.stream),
            RESET if got.code() == REFUSED => refused.push(got.stream),
            RESET | GOAWAY => panic!("{got:?}"),
            _ => {}
        }
    }
    open.sort_unstable();
    assert_eq!((open, refused.len()), (vec![1, 3, 5, 7, 9], 15));
    // Whoever gives one back may have another one.
    raw.send(frame(RESET, 0, 3, &CANCEL.to_be_bytes())).await;
    timeout(LIMIT, drops.recv()).await.expect("at once").expect("dropped");
    raw.get(101, "/quiet").await;
    assert_eq!(raw.next_of(DATA).await.stream, 101);
    drop(raw);
    for _ in 0..5 {
        timeout(LIMIT, drops.recv()).await.expect("at once").expect("dropped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_has_a_few_requests_at_the_inner_server_and_the_others_wait() {
    let mut secure = Secure::open(Limits::default(), None).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let stream = |n: usize| 2 * u32::try_from(n).expect("few") + 1;
    for n in 0..=RELAYS {
        raw.get(stream(n), "/wait").await;
    }
    let waits = &mut secure.house.inner.waits;
    for _ in 0..RELAYS {
        timeout(LIMIT, waits.recv()).await.expect("in time").expect("one waits");
    }
    assert_eq!(secure.house.inner.connections(), RELAYS);
    assert!(secure.house.inner.waits.try_recv().is_err(), "the last one has no turn yet");
    raw.send(frame(RESET, 0, stream(0), &CANCEL.to_be_bytes())).await;
    let waits = &mut secure.house.inner.waits;
    timeout(LIMIT, waits.recv()).await.expect("in time").expect("its turn has come");
}

#[tokio::test]
async fn a_request_is_written_anew_for_the_inner_server() {
    let (dropped, _keep) = mpsc::unbounded_channel();
    let secure = Secure::open(Limits::default(), hook(dropped)).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let more =
        [("cookie", "a=b"), ("te", "trailers"), ("cookie", "c=d"), ("halley-peer", "me 1:2")];
    let head = get("/head?a=%2F", &more);
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    let told = raw.answer(1).await.expect("an answer");
    assert!(told.starts_with("GET /head?a=%2F HTTP/1.1\n"), "{told}");
    for line in ["host: x\n", "cookie: a=b; c=d\n", "halley-peer: 0707"] {
        assert_eq!(told.matches(line).count(), 1, "{line}: {told}");
    }
    assert!(!told.contains("te:") && !told.contains("me 1:2"), "{told}");
    let peer = raw.socket.get_ref().0.local_addr().expect("bound");
    assert!(told.contains(&Secret::new([7; 32]).header(peer)), "{told}");
    // The hook's answers of all kinds, and all of a stream.
    for (stream, path, wanted) in
        [(3, "/whole", "whole"), (5, "/short", "frame 3\nframe 2\nframe 1\n")]
    {
        raw.get(stream, path).await;
        assert_eq!(raw.answer(stream).await.as_deref(), Ok(wanted));
    }
    raw.get(7, "/empty?304").await;
    assert_eq!(raw.answer(7).await.as_deref(), Ok(""));
}

#[tokio::test]
async fn heads_that_can_be_read_in_two_ways_are_refused_here_as_well() {
    let secure = Secure::open(Limits::default(), None).await;
    let pseudo = |path, authority| {
        vec![(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", authority)]
    };
    let with = |more: (&'static str, &'static str)| {
        let mut headers = pseudo("/head", "x");
        headers.push(more);
        headers
    };
    let cases = [
        with(("connection", "close")),
        with(("connection", "x")),
        with(("keep-alive", "5")),
        with(("proxy-connection", "close")),
        with(("transfer-encoding", "chunked")),
        with(("upgrade", "websocket")),
        with(("te", "gzip")),
        with(("host", "y")),
        with(("content-length", "4")),
        with(("X-Upper", "1")),
        with(("x", "a\r\nb: c")),
        with(("x", "a\0")),
        with((":path", "/again")),
        pseudo("/head", "y@x"),
        pseudo("", "x"),
        pseudo("head", "x"),
        vec![(":method", "GET"), (":scheme", "https"), (":path", "/head")],
        vec![(":method", "GET"), (":path", "/head"), (":authority", "x")],
        vec![(":method", "CONNECT"), (":authority", "x:80")],
    ];
    for headers in &cases {
        let mut raw = Raw::open(&secure, &[]).await;
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(headers))).await;
        match raw.answer(1).await {
            Err(_) => {}
            // A sentence of the door's.
            Ok(said) => assert!(said.ends_with(".\n"), "{headers:?}: {said}"),
        }
        assert_eq!(secure.house.inner.asked(), [""; 0], "{headers:?}");
    }
    // The same name twice, written in both ways, is no contradiction.
    let agreed = block(&with(("host", "x")));
    let mut raw = Raw::open(&secure, &[]).await;
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &agreed)).await;
    assert!(raw.answer(1).await.expect("an answer").contains("host: x\n"));
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let secure = Secure::open(Limits::default(), None).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let long = "y".repeat(120);
    let names: Vec<_> = (0..400).map(|n| format!("x-{n}")).collect();
    let more: Vec<_> = names.iter().map(|name| (&**name, &*long)).collect();
    let head = get("/head", &more);
    let parts: Vec<_> = head.chunks(16_000).collect();
    for (n, part) in parts.iter().enumerate() {
        let kind = if n == 0 { HEADERS } else { CONTINUATION };
        let last = if n + 1 == parts.len() { END_HEADERS } else { 0 };
        let first = if n == 0 { END_STREAM } else { 0 };
        raw.send(frame(kind, last | first, 1, part)).await;
    }
    let _ = raw.answer(1).await;
    assert_eq!(secure.house.inner.asked(), [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_in_is_given_up_and_others_go_on() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let secure = Secure::open(Limits::default(), hook(dropped)).await;
    let mut raw = Raw::open(&secure, &[(INITIAL_WINDOW, 0)]).await;
    raw.get(1, "/quiet").await;
    raw.get(3, "/large").await;
    raw.get(5, "/quiet").await;
    raw.send(frame(WINDOW, 0, 5, &5_u32.to_be_bytes())).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"hello");
    let mut gone = Vec::new();
    while gone.len() < 2 {
        gone.push(raw.next_of(RESET).await.stream);
    }
    gone.sort_unstable();
    assert_eq!(gone, [1, 3]);
    timeout(LIMIT, drops.recv()).await.expect("in time").expect("dropped");
    // The one that is silent because there is nothing to say is still there.
    tokio::time::sleep(2 * super::super::http2::STUCK).await;
    assert!(drops.try_recv().is_err());
    raw.get(7, "/whole").await;
    raw.send(frame(WINDOW, 0, 7, &5_u32.to_be_bytes())).await;
    assert_eq!(raw.answer(7).await.as_deref(), Ok("whole"));
}

#[tokio::test]
async fn an_answer_of_which_only_the_beginning_is_taken_in_is_given_up_too() {
    let (dropped, _drops) = mpsc::unbounded_channel();
    let secure = Secure::open(Limits::default(), hook(dropped)).await;
    let mut raw = Raw::open(&secure, &[(INITIAL_WINDOW, 1)]).await;
    raw.get(1, "/large").await;
    assert_eq!(raw.next_of(DATA).await.payload.len(), 1);
    assert_eq!(raw.next_of(RESET).await.stream, 1);
}

#[tokio::test]
async fn a_refused_upload_may_end_in_peace() {
    let secure = Secure::open(Limits::default(), None).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let post = [(":method", "POST"), (":scheme", "https"), (":authority", "x")];
    let head = block(&[&post[..], &[(":path", "/refuse")]].concat());
    raw.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
    let part = frame(DATA, 0, 1, &[b'~'; 10_000]);
    raw.send(part.repeat(3)).await;
    assert!(raw.answer(1).await.expect("an answer").ends_with("not read."));
    // Some clients overlook the answer when they are told to send no more.
    let mut window = 64 * 1024 - 30_000;
    for _ in 0..20 {
        while window < 10_000 {
            let more = raw.next_of(WINDOW).await;
            window += if more.stream == 1 { more.code() } else { 0 };
        }
        raw.send(&part).await;
        window -= 10_000;
    }
    raw.send(frame(DATA, END_STREAM, 1, b"end")).await;
    raw.get(3, "/head").await;
    loop {
        let got = raw.next().await.expect("more frames");
        assert!(got.kind != RESET && got.kind != GOAWAY, "{got:?}");
        if (got.kind, got.stream) == (HEADERS, 3) {
            break;
        }
    }
}

#[tokio::test]
async fn requests_that_are_begun_and_given_up_in_masses_end_their_connection() {
    let secure = Secure::open(Limits::default(), None).await;
    let mut raw = Raw::open(&secure, &[]).await;
    let flood: Vec<_> = (0..500)
        .flat_map(|n| {
            let stream = 1 + 2 * n;
            let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/wait", &[]));
            both.extend(frame(RESET, 0, stream, &CANCEL.to_be_bytes()));
            both
        })
        .collect();
    raw.send(flood).await;
    let ended = async { while raw.next().await.is_some_and(|got| got.kind != GOAWAY) {} };
    timeout(LIMIT, ended).await.expect("ends");
    assert!(secure.house.inner.asked().len() < 200);
}

#[tokio::test]
async fn silence_ends_a_connection_and_so_does_half_a_head() {
    let limits = Limits {
        head: Duration::from_millis(400),
        idle: Duration::from_millis(400),
        ..Limits::default()
    };
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let secure = Secure::open(limits, hook(dropped)).await;
    for begun in [vec![], frame(HEADERS, END_STREAM, 1, &get("/head", &[]))] {
        let mut raw = Raw::open(&secure, &[]).await;
        raw.send(begun).await;
        while raw.next().await.is_some() {}
    }
    assert_eq!(secure.house.inner.asked(), [""; 0]);
    let mut raw = Raw::open(&secure, &[]).await;
    raw.get(1, "/head").await;
    assert!(raw.answer(1).await.is_ok());
    raw.next_of(GOAWAY).await;
    while raw.next().await.is_some() {}
    // A stream is no silence.
    let mut raw = Raw::open(&secure, &[]).await;
    raw.get(1, "/quiet").await;
    raw.next_of(DATA).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(drops.try_recv().is_err());
}

#[tokio::test]
async fn a_closing_door_says_so_and_lets_requests_end() {
    let mut secure = Secure::open(Limits::default(), None).await;
    let mut idle = Raw::open(&secure, &[]).await;
    idle.get(1, "/head").await;
    assert!(idle.answer(1).await.is_ok());
    secure.house.stop.take().expect("open").send(()).expect("runs");
    idle.next_of(GOAWAY).await;
    timeout(LIMIT, &mut secure.house.door).await.expect("in time").expect("ends");
}

/// Parts of a body, one after the other.
struct Parts(VecDeque<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }
}

#[tokio::test]
async fn a_large_body_passes_both_ways_and_a_refused_one_is_answered() {
    let secure = Secure::open(Limits::default(), None).await;
    let io = TokioIo::new(secure.connect(b"h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("speaks");
    let connection = tokio::spawn(connection);
    let parts: VecDeque<Bytes> =
        (0..50_u8).map(|n| Bytes::from(vec![b'a' + n % 23; 60_000])).collect();
    let sent = parts.iter().flatten().copied().collect::<Vec<_>>();
    let mut answers = HashMap::new();
    for path in ["/echo", "/refuse"] {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("https://x{path}"))
            .body(Parts(parts.clone()))
            .expect("built");
        let answer = timeout(LIMIT, sender.send_request(request)).await.expect("in time");
        let (head, mut body) = answer.expect("an answer").into_parts();
        let mut all = Vec::new();
        let next = async {
            while let Some(frame) =
                std::future::poll_fn(|cx| hyper::body::Body::poll_frame(Pin::new(&mut body), cx))
                    .await
            {
                all.extend(frame.expect("whole").into_data().expect("data"));
            }
        };
        timeout(LIMIT, next).await.expect("in time");
        answers.insert(path, (head.status.as_u16(), all));
    }
    assert!(answers["/echo"] == (200, sent));
    assert_eq!(answers["/refuse"].0, 413);
    connection.abort();
}
