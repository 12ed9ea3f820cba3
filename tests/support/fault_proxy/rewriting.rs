//! What the proxy changes in requests and answers, against a server that says what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::tests::{Front, Outcome};

/// Answers each request with its number and its head, in a thread for each.
struct Mirror {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Mirror {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || reflect(stream.unwrap(), &count));
            }
        });
        Self { address, asked }
    }
}

fn reflect(mut stream: TcpStream, count: &AtomicUsize) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
    let body = format!("number {number} {}", String::from_utf8_lossy(&head));
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nETag: \"x\"\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

const GET: &str = "GET /_live/events?mode=poll&nonce=1 HTTP/1.1\r\nHost: x\r\nCookie: me\r\n\
    If-None-Match: \"x\"\r\nLast-Event-ID: a.1\r\n\r\n";
const POST: &str = "POST /_live/beat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn block_answers_in_the_servers_place() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "block post");
    let mut client = front.ask(POST);
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.starts_with("HTTP/1.1 403") && client.seen.contains("text/html"));
    assert!(front.ask(GET).sees("number 1"));
}

#[test]
fn status_lets_the_server_act_and_hides_its_answer() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "status 502 post");
    let mut client = front.ask(POST);
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.starts_with("HTTP/1.1 502") && client.seen.contains("not available"));
    assert_eq!(mirror.asked.load(Ordering::SeqCst), 1);
    front.switch("status 204 all");
    let mut client = front.ask(GET);
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.starts_with("HTTP/1.1 204") && client.seen.ends_with("\r\n\r\n"));
}

#[test]
fn replay_gives_everybody_the_first_answer_to_a_path() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "replay");
    assert!(front.ask(GET).sees("number 1"));
    let mut second = front.ask(&GET.replace("nonce=1", "nonce=2"));
    assert!(second.sees("nonce=1") && second.seen.contains("number 1"));
    assert!(front.ask(&GET.replace("mode=poll", "mode=hold")).sees("number 2"));
    assert!(front.ask(&GET.replace("GET", "POST")).sees("number 3"));
}

#[test]
fn twice_asks_for_the_same_before_the_client_does() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "twice all");
    assert!(front.ask(GET).sees("number 2"));
    assert!(front.ask(POST).sees("number 4"));
}

#[test]
fn strip_takes_fields_out_both_ways() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "strip cookies all");
    let mut client = front.ask(GET);
    assert!(client.sees("Last-Event-ID"));
    assert!(!client.seen.contains("Cookie: me") && !client.seen.contains("Set-Cookie"));
    front.switch("strip hints all");
    let mut client = front.ask(GET);
    assert!(client.sees("Cookie: me"));
    assert!(!client.seen.contains("Last-Event-ID") && !client.seen.contains("ETag"));
}

#[test]
fn http10_is_spoken_on_both_sides_and_ends_with_the_connection() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "http10");
    let mut client = front.ask(GET);
    assert_eq!(client.ends(), Outcome::Closed);
    assert!(client.seen.starts_with("HTTP/1.0 200"));
    assert!(client.seen.contains("nonce=1 HTTP/1.0") && !client.seen.contains("chunked"));
}

#[test]
fn a_portal_may_redirect_or_ask_for_a_password() {
    let mirror = Mirror::start();
    let front = Front::new(mirror.address, "portal 302");
    assert!(front.ask(GET).sees("Location: http://sign-in.invalid/"));
    front.switch("portal 407");
    assert!(front.ask(POST).sees("Proxy-Authenticate"));
    front.switch("portal 511");
    assert!(front.ask(GET).sees("511 Network Authentication Required"));
    assert_eq!(mirror.asked.load(Ordering::SeqCst), 0);
}
