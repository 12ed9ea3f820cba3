//! What the door promises, shown on sockets, before an inner server that tells what it was asked.

mod early;
mod http2;
mod inner;
mod secure;
mod small;
mod smuggling;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::inner::Inner;
use super::*;

/// Longer than this nothing here may take.
const LIMIT: Duration = Duration::from_secs(30);

struct House {
    address: SocketAddr,
    inner: Inner,
    stop: Option<oneshot::Sender<()>>,
    door: tokio::task::JoinHandle<()>,
}

impl House {
    async fn open(limits: Limits, hook: Option<Box<Hook>>) -> Self {
        Self::with(limits, hook, None).await
    }

    async fn with(limits: Limits, hook: Option<Box<Hook>>, tls: Option<Tls>) -> Self {
        let inner = Inner::start().await;
        let door = Door::bind("127.0.0.1:0".parse().expect("an address")).expect("binds");
        let address = door.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let plan = Plan { limits, inner: inner.address, secret: Secret::new([7; 32]), hook, tls };
        let door = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            door.run(plan, stop, Duration::from_millis(200)).await;
        });
        Self { address, inner, stop: Some(stop), door }
    }

    async fn plain() -> Self {
        Self::open(Limits::default(), None).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// Sends bytes on a connection of their own; everything that comes back until it ends.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_ref()).await.expect("sends");
        rest(&mut socket).await
    }
}

/// A certificate for a name, signed by itself, and its key.
pub(super) fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn rest(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(LIMIT, socket.read_to_end(&mut all)).await.expect("ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until the text is there.
async fn until(socket: &mut (impl AsyncRead + Unpin), wanted: &str) -> String {
    let mut all = String::new();
    let mut bytes = [0; 4096];
    while !all.contains(wanted) {
        let n = timeout(LIMIT, socket.read(&mut bytes)).await.expect("in time").expect("reads");
        assert!(n > 0, "ended after {all:?}");
        all.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    all
}

/// One frame, then silence; tells when it is dropped.
struct Quiet {
    said: bool,
    dropped: mpsc::UnboundedSender<()>,
}

impl Frames for Quiet {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<String>> {
        if std::mem::replace(&mut self.said, true) {
            Poll::Pending
        } else {
            Poll::Ready(Some("hello".to_owned()))
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.dropped.send(());
    }
}

/// A number of frames at once, then the end.
struct Short(usize);

impl Frames for Short {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<String>> {
        self.0 -= usize::from(self.0 > 0);
        Poll::Ready((self.0 > 0).then(|| format!("frame {}\n", self.0)))
    }
}

/// What a source that runs its streams itself keeps of one: the way to it, and frames.
#[derive(Default)]
struct Shelf {
    run: Mutex<Option<Run>>,
    frames: Mutex<Vec<Option<String>>>,
}

impl Shelf {
    /// Has the stream take one more frame (`None`: its end) without waking anybody.
    fn deliver(&self, frame: Option<&str>) {
        self.frames.lock().expect("lock").push(frame.map(str::to_owned));
        let run = self.run.lock().expect("lock").clone().expect("attached");
        assert!((run.upgrade().expect("there"))(), "its task sleeps");
    }
}

struct Shelved(Arc<Shelf>);

impl Frames for Shelved {
    fn attach(&mut self, run: Run) {
        *self.0.run.lock().expect("lock") = Some(run);
    }

    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<String>> {
        match self.0.frames.lock().expect("lock").pop() {
            Some(frame) => Poll::Ready(frame),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_source_may_run_its_stream_itself_to_the_end_and_the_connection_goes_on() {
    let shelf = Arc::new(Shelf::default());
    let shelved = Arc::clone(&shelf);
    let hook: Box<Hook> = Box::new(move |parts, _| {
        let stream = Box::new(Shelved(Arc::clone(&shelved)));
        (parts.uri.path() == "/shelved").then(|| Answer::Stream(HeaderMap::new(), stream))
    });
    let house = House::open(Limits::default(), Some(hook)).await;
    let mut socket = house.connect().await;
    socket.write_all(b"GET /shelved HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    until(&mut socket, "\r\n\r\n").await;
    // Waiting for it would wake the stream's task; this thread is the only one.
    shelf.deliver(Some("first"));
    shelf.deliver(Some("second"));
    let mut bytes = [0; 4096];
    let read = socket.read(&mut bytes).await.expect("reads");
    assert_eq!(&bytes[..read], b"5\r\nfirst\r\n6\r\nsecond\r\n");
    shelf.deliver(None);
    until(&mut socket, "0\r\n\r\n").await;
    assert!(shelf.run.lock().expect("lock").take().is_some_and(|run| run.upgrade().is_none()));
    socket.write_all(b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    assert!(until(&mut socket, "/after").await.starts_with("HTTP/1.1 200"));
}

/// More than the kernel takes in for a reader who does not read.
const LARGE: usize = 8 << 20;

fn hook(dropped: mpsc::UnboundedSender<()>) -> Option<Box<Hook>> {
    Some(Box::new(move |parts, _| match parts.uri.path() {
        "/quiet" => {
            let quiet = Quiet { said: false, dropped: dropped.clone() };
            Some(Answer::Stream(HeaderMap::new(), Box::new(quiet)))
        }
        "/whole" => Some(Answer::Whole(Response::new(Bytes::from_static(b"whole")))),
        "/large" => Some(Answer::Whole(Response::new(Bytes::from(vec![b'~'; LARGE])))),
        "/short" => Some(Answer::Stream(HeaderMap::new(), Box::new(Short(4)))),
        _ => None,
    }))
}

#[tokio::test]
async fn the_inner_server_learns_who_asks_and_nothing_about_the_connection() {
    let house = House::plain().await;
    let mut socket = house.connect().await;
    let here = socket.local_addr().expect("bound");
    let head = "GET http://x/head?a=%2F HTTP/1.1\r\nHost: x\r\nHalley-Peer: me 1.2.3.4:5\r\n\
        Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n\
        Cookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("sends");
    let answer = rest(&mut socket).await;
    let secret = Secret::new([7; 32]).header(here);
    assert!(answer.contains(&format!("halley-peer: {secret}\n")), "{answer}");
    assert!(answer.contains("GET /head?a=%2F HTTP/1.1"), "{answer}");
    assert!(answer.contains("cookie: a=b") && answer.contains("x-forwarded-for: 9.9.9.9"));
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    for gone in ["me 1.2.3.4", "x-hop", "keep-alive", "te:", "upgrade", "connection"] {
        assert!(!body.contains(gone), "{gone}: {answer}");
    }
    assert_eq!(Secret::new([7; 32]).peer(&secret), Some(here));
    assert_eq!(Secret::new([8; 32]).peer(&secret), None);
    assert_eq!(Secret::new([7; 32]).peer("127.0.0.1:1"), None);
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order_streams_among_them() {
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house = House::open(Limits::default(), hook(dropped)).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = "GET /head?4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = [get("/head?1"), get("/short"), get("/head?2"), get("/head?3"), last.to_owned()];
    let answer = house.send(all.concat()).await;
    let found: Vec<_> = ["head?1", "frame 3\n", "\r\n0\r\n\r\n", "head?2", "head?3", "head?4"]
        .map(|wanted| answer.find(wanted).unwrap_or_else(|| panic!("{wanted}: {answer}")))
        .into();
    assert!(found.is_sorted(), "{found:?} {answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 5, "{answer}");
}

#[tokio::test]
async fn a_stream_without_chunks_ends_with_its_connection() {
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house = House::open(Limits::default(), hook(dropped)).await;
    let answer = house.send("GET /short HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nframe 3\nframe 2\nframe 1\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn whoever_leaves_ends_what_was_done_for_him_at_once() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let mut house = House::open(Limits::default(), hook(dropped)).await;
    for half in [false, true] {
        let mut reader = house.connect().await;
        reader.write_all(b"GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
        until(&mut reader, "5\r\nhello\r\n").await;
        let mut waiter = house.connect().await;
        waiter.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
        timeout(LIMIT, house.inner.waits.recv()).await.expect("in time").expect("waits");
        if half {
            reader.shutdown().await.expect("shuts");
            waiter.shutdown().await.expect("shuts");
        } else {
            drop((reader, waiter));
        }
        timeout(LIMIT, drops.recv()).await.expect("in time").expect("dropped");
        timeout(LIMIT, house.inner.ends.recv()).await.expect("in time").expect("ended");
    }
}

#[tokio::test]
async fn a_large_body_passes_both_ways_while_it_comes() {
    let house = House::plain().await;
    let body: Vec<u8> = (0..5_000_000_u32).flat_map(|n| [b'a' + (n % 23) as u8]).collect();
    for chunked in [false, true] {
        let (mut read, mut write) = house.connect().await.into_split();
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", body.len())
        };
        let head =
            format!("PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{framing}\r\n\r\n");
        let sent = body.clone();
        let writing = tokio::spawn(async move {
            write.write_all(head.as_bytes()).await.expect("sends");
            for part in sent.chunks(70_000) {
                if chunked {
                    let size = format!("{:x}\r\n", part.len());
                    write.write_all(size.as_bytes()).await.expect("sends");
                }
                write.write_all(part).await.expect("sends");
                if chunked {
                    write.write_all(b"\r\n").await.expect("sends");
                }
            }
            if chunked {
                write.write_all(b"0\r\n\r\n").await.expect("sends");
            }
            write
        });
        let mut all = Vec::new();
        timeout(LIMIT, read.read_to_end(&mut all)).await.expect("in time").expect("reads");
        let _write = writing.await.expect("wrote");
        let text = String::from_utf8(all).expect("text");
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut back = Vec::new();
        let mut rest = rest.as_bytes();
        if head.contains("chunked") {
            while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let size = std::str::from_utf8(&rest[..end]).expect("a size");
                let size = usize::from_str_radix(size, 16).expect("a size");
                back.extend_from_slice(&rest[end + 2..end + 2 + size]);
                rest = &rest[end + 4 + size..];
            }
        } else {
            back.extend_from_slice(rest);
        }
        assert!(back == body, "{} of {} bytes", back.len(), body.len());
    }
}

#[tokio::test]
async fn slow_heads_silent_connections_and_late_bodies_are_cut() {
    let limits = Limits {
        head: Duration::from_millis(200),
        idle: Duration::from_millis(300),
        body: Duration::from_millis(200),
        ..Limits::default()
    };
    let house = House::open(limits, None).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        assert_eq!(house.send(begun).await, "", "{begun:?}");
    }
    let answer = house.send("GET /head HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "and then closed: {answer}");
    let late = "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
    let late = late.replace("/echo", "/swallow");
    let answer = house.send(late).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn who_asks_now_and_then_keeps_the_connection() {
    let limits = Limits { idle: Duration::from_secs(2), ..Limits::default() };
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house = House::open(limits, hook(dropped)).await;
    let mut socket = house.connect().await;
    // Longer than the limit, in pauses shorter than it.
    for _ in 0..6 {
        socket.write_all(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
        until(&mut socket, "whole").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn an_answer_on_its_way_to_a_slow_reader_is_no_silence() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house = House::open(limits, hook(dropped)).await;
    let mut socket = house.connect().await;
    socket.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    // Nothing is read for longer than the limit.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut all = Vec::new();
    timeout(LIMIT, socket.read_to_end(&mut all)).await.expect("in time").expect("reads");
    assert_eq!(all.iter().filter(|byte| **byte == b'~').count(), LARGE);
}

#[tokio::test]
async fn a_connection_may_be_silent_after_a_stream_or_a_body_as_after_anything_else() {
    let head = Duration::from_millis(100);
    let limits = Limits { head, idle: Duration::from_secs(10), ..Limits::default() };
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house = House::open(limits, hook(dropped)).await;
    let mut socket = house.connect().await;
    for (request, body) in [
        ("GET /short HTTP/1.1\r\nHost: x\r\n\r\n", ""),
        ("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", "late"),
    ] {
        socket.write_all(request.as_bytes()).await.expect("sends");
        if !body.is_empty() {
            tokio::time::sleep(head / 2).await;
            socket.write_all(body.as_bytes()).await.expect("sends");
        }
        let end = if body.is_empty() { "\r\n0\r\n\r\n" } else { body };
        until(&mut socket, end).await;
        tokio::time::sleep(4 * head).await;
        socket.write_all(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
        until(&mut socket, "\r\n\r\nwhole").await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_with_431() {
    let house = House::plain().await;
    let long = format!("GET /head HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("GET /head HTTP/1.1\r\n{many}Host: x\r\n\r\n");
    for request in [long, many] {
        let answer = house.send(request).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_crowd_over_the_cap_hears_so_and_makes_room_by_leaving() {
    let house = House::open(Limits { connections_total: 20, ..Limits::default() }, None).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(house.connect().await);
    }
    for _ in 0..50 {
        let answer = house.send("").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("as it may.\n"), "{answer}");
    }
    drop(crowd);
    let get = "GET /head HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let came = async { while !house.send(get).await.starts_with("HTTP/1.1 200") {} };
    timeout(LIMIT, came).await.expect("room");
}

#[tokio::test]
async fn connections_to_the_inner_server_are_kept_and_stale_ones_are_noticed() {
    let house = House::plain().await;
    let get = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    for _ in 0..5 {
        assert!(house.send(get("/head")).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(house.inner.connections(), 1);
    for _ in 0..5 {
        assert!(house.send(get("/close")).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(house.inner.connections(), 5, "the first of them was the kept one");
}

#[tokio::test]
async fn answers_without_a_body_and_asked_for_first_are_whole() {
    let house = House::plain().await;
    let mut socket = house.connect().await;
    for (request, status) in [
        ("HEAD /head HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /empty?204 HTTP/1.1\r\nHost: x\r\n\r\n", "204"),
        ("GET /empty?304 HTTP/1.1\r\nHost: x\r\n\r\n", "304"),
        ("GET /empty?200 HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
    ] {
        socket.write_all(request.as_bytes()).await.expect("sends");
        let answer = until(&mut socket, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
    }
    let put = "PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    socket.write_all(put.as_bytes()).await.expect("sends");
    assert_eq!(until(&mut socket, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"body").await.expect("sends");
    let answer = until(&mut socket, "body").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn without_the_inner_server_there_is_a_sentence() {
    let mut house = House::plain().await;
    house.inner.stop().await;
    let answer = house.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("try again.\n"), "{answer}");
}

#[tokio::test]
async fn a_closing_door_ends_idle_connections_at_once_and_all_others_after_its_grace() {
    let (dropped, _keep) = mpsc::unbounded_channel();
    let mut house = House::open(Limits::default(), hook(dropped)).await;
    let mut idle = house.connect().await;
    idle.write_all(b"GET /head HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    until(&mut idle, "/head").await;
    let mut reader = house.connect().await;
    reader.write_all(b"GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    until(&mut reader, "hello").await;
    house.stop.take().expect("open").send(()).expect("runs");
    assert_eq!(rest(&mut idle).await, "");
    timeout(LIMIT, &mut house.door).await.expect("in time").expect("ends");
    assert!(TcpStream::connect(house.address).await.is_err(), "nobody listens");
}
