//! The proxy against a tiny server of three bursts, in real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::mode::Mode;
use super::proxy::Proxy;

const LIVE: &str = "/_live/events?mode=stream";

/// A server whose answer says `one`, waits for a word from the test, says `two`, and so on.
struct Origin {
    address: SocketAddr,
    say: mpsc::Sender<&'static str>,
}

impl Origin {
    /// `framing` is the head's last field line; chunks are written where it says so.
    fn start(framing: &'static str) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (say, words) = mpsc::channel::<&'static str>();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => break,
                    }
                }
                let chunked = framing.contains("chunked");
                let start = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
                );
                if stream.write_all(start.as_bytes()).is_err() {
                    continue;
                }
                for word in words.iter() {
                    let end = word == "end";
                    let bytes = match (chunked, end) {
                        (true, true) => "0\r\n\r\n".to_owned(),
                        (true, false) => format!("{:x}\r\n{word}\r\n", word.len()),
                        (false, true) => String::new(),
                        (false, false) => word.to_owned(),
                    };
                    if stream.write_all(bytes.as_bytes()).is_err() || end {
                        break;
                    }
                }
            }
        });
        Self { address, say }
    }

    fn say(&self, word: &'static str) {
        self.say.send(word).unwrap();
    }
}

/// A server and a proxy before it.
struct Stage {
    origin: Origin,
    front: Front,
}

impl Stage {
    fn new(mode: &str, framing: &'static str) -> Self {
        let origin = Origin::start(framing);
        let front = Front::new(origin.address, mode);
        Self { origin, front }
    }

    fn switch(&self, mode: &str) {
        self.front.switch(mode);
    }

    fn get(&self, path: &str) -> Client {
        self.front.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }
}

/// A proxy in a runtime of its own.
pub struct Front {
    mode: watch::Sender<Mode>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Front {
    /// Before a server.
    pub fn new(target: SocketAddr, mode: &str) -> Self {
        let (set, mode) = watch::channel(mode.parse().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(Proxy::new(target.to_string(), mode).serve(listener));
        Self { mode: set, address, _runtime: runtime }
    }

    /// Another mode from now on.
    pub fn switch(&self, mode: &str) {
        self.mode.send_replace(mode.parse().unwrap());
    }

    /// Sends a request as it stands.
    pub fn ask(&self, request: &str) -> Client {
        let mut stream = StdStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Client { stream, seen: String::new() }
    }
}

/// What a client has seen of its answer.
pub struct Client {
    stream: StdStream,
    /// As text.
    pub seen: String,
}

impl Client {
    /// Reads until `text` has come, at most 5 s; false at an end or a reset before it.
    pub fn sees(&mut self, text: &str) -> bool {
        self.within(text, Duration::from_secs(5)) == Outcome::Seen
    }

    /// Nothing of `text` comes for a while. The only wait by the clock, since nothing happens.
    fn never_sees(&mut self, text: &str) -> bool {
        self.within(text, Duration::from_millis(300)) == Outcome::Silence
    }

    /// How the answer ends, within 5 s.
    pub fn ends(&mut self) -> Outcome {
        self.within("\u{0}", Duration::from_secs(5))
    }

    fn within(&mut self, text: &str, limit: Duration) -> Outcome {
        let until = Instant::now() + limit;
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Outcome::Silence;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => return Outcome::Closed,
                Ok(count) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Outcome::Reset;
                }
                Err(_) => return Outcome::Silence,
            }
        }
        Outcome::Seen
    }
}

/// How reading went.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The text has come.
    Seen,
    /// Nothing more came in time.
    Silence,
    /// The connection was closed.
    Closed,
    /// The connection was reset.
    Reset,
}

const CHUNKED: &str = "Transfer-Encoding: chunked";
const CLOSE: &str = "Connection: close";

#[test]
fn off_passes_each_burst_at_once_under_every_framing() {
    for framing in [CHUNKED, CLOSE, "Content-Length: 6"] {
        let stage = Stage::new("off", framing);
        let mut client = stage.get(LIVE);
        stage.origin.say("one");
        assert!(client.sees("one"), "{framing}");
        stage.origin.say("two");
        assert!(client.sees("two"), "{framing}");
        if framing == CHUNKED {
            stage.origin.say("end");
            assert!(client.sees("0\r\n\r\n"));
        }
    }
}

#[test]
fn mute_passes_the_head_and_keeps_the_body_until_the_end_or_the_end_of_the_fault() {
    let stage = Stage::new("mute", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.sees("text/event-stream") && client.never_sees("one"));
    stage.switch("off");
    assert!(client.sees("one"));
    stage.switch("mute");
    stage.origin.say("two");
    assert!(client.never_sees("two"));
    stage.origin.say("end");
    assert!(client.sees("two"));
}

#[test]
fn a_fault_of_the_live_endpoint_leaves_other_paths_alone() {
    let stage = Stage::new("mute", CHUNKED);
    let mut client = stage.get("/wiki/Home");
    stage.origin.say("one");
    assert!(client.sees("one"));
}

#[test]
fn tick_joins_what_came_between_two_ticks() {
    let stage = Stage::new("tick 0.4", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    stage.origin.say("two");
    assert!(client.sees("onetwo"));
}

#[test]
fn thresh_waits_for_its_bytes() {
    let stage = Stage::new("thresh 6", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.never_sees("one"));
    stage.origin.say("two");
    assert!(client.sees("onetwo"));
}

#[test]
fn behind_hands_on_a_burst_with_the_next_one() {
    let stage = Stage::new("behind", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.never_sees("one"));
    stage.origin.say("two");
    assert!(client.sees("one") && client.never_sees("two"));
}

#[test]
fn cut_ends_a_response_cleanly_and_idle_breaks_it_off() {
    let stage = Stage::new("cut 0.3", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.sees("one") && client.sees("0\r\n\r\n"));

    let stage = Stage::new("idle 0.3", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.contains("one") && !client.seen.contains("0\r\n\r\n"));
}

#[test]
fn rst_resets() {
    let stage = Stage::new("rst 0.3", CHUNKED);
    let mut client = stage.get(LIVE);
    assert_eq!(client.ends(), Outcome::Reset);
}

#[test]
fn a_hole_is_silent_until_the_mode_changes() {
    let stage = Stage::new("hole 0.2", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.sees("one"));
    std::thread::sleep(Duration::from_millis(250));
    stage.origin.say("two");
    assert!(client.never_sees("two"));
    stage.switch("off");
    assert!(client.sees("two"));
}

#[test]
fn slow_lets_few_bytes_through_at_a_time() {
    let stage = Stage::new("slow 10", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("0123456789abcdef");
    assert!(client.sees("0123456789") && !client.seen.contains("abcdef"));
    assert!(client.sees("abcdef"));
}

#[test]
fn a_portal_signs_in_whoever_asks_and_ends_what_runs() {
    let stage = Stage::new("off", CHUNKED);
    let mut running = stage.get(LIVE);
    stage.origin.say("one");
    assert!(running.sees("one"));
    stage.switch("portal");
    assert_eq!(running.ends(), Outcome::Closed);
    assert!(stage.get(LIVE).sees("Welcome to the hotel") && stage.get("/").sees("text/html"));
}

#[test]
fn cap_lets_the_next_one_wait() {
    let stage = Stage::new("cap 1", CHUNKED);
    let mut first = stage.get(LIVE);
    stage.origin.say("one");
    assert!(first.sees("one"));
    let mut second = stage.get(LIVE);
    assert!(second.never_sees("HTTP"));
    drop(first);
    // The origin hears of the end only by failing to write, a word or two later.
    let served = (0..50).any(|_| {
        stage.origin.say("more");
        second.within("more", Duration::from_millis(100)) == Outcome::Seen
    });
    assert!(served, "{}", second.seen);
}

#[test]
fn refuse_leaves_no_listener_and_ends_with_the_fault() {
    let stage = Stage::new("off", CHUNKED);
    let mut running = stage.get(LIVE);
    stage.origin.say("one");
    assert!(running.sees("one"));
    stage.switch("refuse");
    assert_eq!(running.ends(), Outcome::Reset);
    // The connections and the listener end each by themselves, in either order.
    let refused = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        StdStream::connect(stage.front.address).is_err()
    });
    assert!(refused);
    stage.switch("off");
    let again = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        StdStream::connect(stage.front.address).ok()
    });
    assert!(again.is_some());
}

#[test]
fn chop_cuts_at_once_into_small_chunks_wherever_that_is() {
    let stage = Stage::new("chop 2", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("a€b");
    // Three bytes of the sign of the euro, cut in two: the wire is no UTF-8 any more.
    assert!(client.sees("2\r\na\u{fffd}\r\n2\r\n\u{fffd}") || client.seen.contains("1\r\nb"));
}

#[test]
fn gzip_holds_a_stream_back_and_lets_go_with_the_fault() {
    let stage = Stage::new("gzip", CHUNKED);
    let mut client = stage
        .front
        .ask(&format!("GET {LIVE} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"));
    stage.origin.say("one");
    assert!(client.sees("Content-Encoding: gzip\r\n"));
    // The head of the format is ten bytes and may leave. Compressed text cannot be looked for.
    assert!(client.never_sees("nothing"));
    let before = client.seen.len();
    stage.origin.say("two");
    assert!(client.never_sees("nothing"));
    assert_eq!(client.seen.len(), before);
    stage.switch("off");
    stage.origin.say("three");
    assert!(client.never_sees("nothing"));
    assert!(client.seen.len() > before);
}

#[test]
fn typed_lets_only_streams_through_that_are_asked_for_as_such() {
    let stage = Stage::new("typed", CHUNKED);
    let mut client = stage
        .front
        .ask(&format!("GET {LIVE} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"));
    stage.origin.say("one");
    assert!(client.sees("one"));
    stage.origin.say("end");
    assert!(client.sees("0\r\n\r\n"));
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.never_sees("one"));
    stage.origin.say("end");
    assert!(client.sees("one"));
}

#[test]
fn age_ends_a_connection_in_the_middle_of_whatever_it_carries() {
    let stage = Stage::new("age 0.3", CHUNKED);
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.contains("one") && !client.seen.contains("0\r\n\r\n"));
}

#[test]
fn two_rules_each_touch_their_own() {
    let stage = Stage::new("mute stream, block poll", CHUNKED);
    assert!(stage.get("/_live/events?mode=poll").sees("403 Changed"));
    let mut client = stage.get(LIVE);
    stage.origin.say("one");
    assert!(client.sees("event-stream") && client.never_sees("one"));
}
