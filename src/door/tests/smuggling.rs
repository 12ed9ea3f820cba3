//! Requests that somebody in front of the door may read in another way.

use super::*;

/// What follows, on the same connection and in the same packet.
const AFTER: &str = "GET /after HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends a request and another one behind it. It must be refused, and the other one not seen.
async fn check_refused(house: &House, what: &str, request: &str) {
    let answer = house.send(format!("{request}{AFTER}")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer:?}");
    assert_eq!(house.inner.asked(), [""; 0], "{what}");
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read() {
    let house = House::plain().await;
    for (what, lines) in [
        ("a length before a coding", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
        ("a length after a coding", "Transfer-Encoding: chunked\r\nContent-Length: 3"),
        ("no length before a coding", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        ("a coding in other letters", "TRANSFER-ENCODING: Chunked\r\ncontent-length: 3"),
        ("two lengths", "Content-Length: 1\r\nContent-Length: 2"),
        ("one length twice", "Content-Length: 0\r\nContent-Length: 0"),
        ("a list of lengths", "Content-Length: 1, 1"),
        ("a signed length", "Content-Length: +1"),
        ("a negative length", "Content-Length: -1"),
        ("a length in hex", "Content-Length: 0x1"),
        ("a padded length", &format!("Content-Length: {}1", "0".repeat(80))),
        ("an empty length", "Content-Length:"),
        ("a huge length", "Content-Length: 99999999999999999999"),
        ("an unknown coding", "Transfer-Encoding: gzip"),
        ("a coding that is none", "Transfer-Encoding: identity"),
        ("an empty coding", "Transfer-Encoding:"),
        ("a hidden coding", "Transfer-Encoding: \x0bchunked"),
        ("a coding in quotes", "Transfer-Encoding: \"chunked\""),
        ("a coding with a parameter", "Transfer-Encoding: chunked;a=b"),
        ("chunked that is not last", "Transfer-Encoding: chunked, gzip"),
        ("two codings", "Transfer-Encoding: gzip, chunked"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("chunked twice in a list", "Transfer-Encoding: chunked, chunked"),
        ("another coding before", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
        ("another coding after", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        ("a space before the colon", "Content-Length : 1"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked"),
        ("a space before a name", " Content-Length: 1"),
        ("a folded line", "X: 1\r\n Content-Length: 1"),
        ("a folded coding", "Transfer-Encoding:\r\n chunked"),
        ("a line without a colon", "Content-Length"),
        ("a line without a name", ": 1"),
        ("a bare return", "X: 1\rContent-Length: 1"),
        ("a bare line feed", "X: 1\nContent-Length: 1"),
        ("a bare line feed at the end", "X: 1\n"),
        ("a null", "X: \0"),
        ("a null in a name", "X\0: 1"),
        ("a second host", "Host: y"),
        ("the same host again", "Host: x"),
        ("an unknown expectation", "Expect: miracles"),
    ] {
        for method in ["POST", "GET"] {
            let request = format!("{method} /head HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n");
            check_refused(&house, what, &request).await;
        }
    }
    for (what, request) in [
        ("no host", "GET /head HTTP/1.1\r\n\r\n"),
        ("another host in the address", "GET http://y/head HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("another port in the address", "GET http://x:81/head HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a user in the address", "GET http://x@y/head HTTP/1.1\r\nHost: y\r\n\r\n"),
        ("a tunnel", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
        ("a coding before its time", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("only line feeds", "GET /head HTTP/1.1\nHost: x\n\n"),
        ("a space in the address", "GET /head now HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("no HTTP", "EHLO x\r\n\r\n"),
        ("a version that is none", "GET /head HTTP/1.2\r\nHost: x\r\n\r\n"),
        ("no version", "GET /head\r\n\r\n"),
    ] {
        check_refused(&house, what, request).await;
    }
}

#[tokio::test]
async fn what_is_behind_a_good_request_is_judged_for_itself() {
    let house = House::plain().await;
    let good = "PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nb\n\ny";
    let bad =
        "GET /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = house.send(format!("{good}{good}{bad}{AFTER}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{answer}");
    assert_eq!(house.inner.asked(), ["PUT /swallow", "PUT /swallow"]);
}

#[tokio::test]
async fn chunks_are_taken_strictly_and_nothing_comes_after_them() {
    let house = House::plain().await;
    let head = "POST /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (what, body) in [
        ("chunks", "4\r\nbody\r\n0\r\n\r\n"),
        ("none", "0\r\n\r\n"),
        ("a size with zeros", "0004\r\nbody\r\n0\r\n\r\n"),
        ("an extension", "4;a=b\r\nbody\r\n0\r\n\r\n"),
        ("a trailer", "4\r\nbody\r\n0\r\nX: y\r\n\r\n"),
    ] {
        let answer = house.send(format!("{head}{body}{AFTER}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        assert!(answer.contains("connection: close"), "{what}: {answer}");
        assert_eq!(house.inner.asked(), ["POST /swallow"], "{what}");
    }
    let long = "x".repeat(64 * 1024);
    for (what, body) in [
        ("a huge extension", &*format!("4;{long}\r\nbody\r\n0\r\n\r\n")),
        ("huge extensions", &*format!("1;{}\r\nb\r\n", "x".repeat(2000)).repeat(40)),
        ("a huge trailer", &*format!("0\r\nX: {long}\r\n\r\n")),
        ("many trailers", &*format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000))),
        ("a huge size", "fffffffffffffffff\r\n"),
        ("a negative size", "-1\r\n"),
        ("no size", "\r\nbody\r\n"),
        ("a size in hex notation", "0x4\r\nbody\r\n0\r\n\r\n"),
        ("a bare line feed", "4\nbody\r\n0\r\n\r\n"),
        ("a bare line feed in an extension", "4;a\nb\r\nbody\r\n0\r\n\r\n"),
        ("a bare line feed after the data", "4\r\nbody\n0\r\n\r\n"),
        ("more data than was said", "3\r\nbody\r\n0\r\n\r\n"),
    ] {
        let answer = house.send(format!("{head}{body}{AFTER}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert!(house.inner.asked().iter().all(|asked| asked == "POST /swallow"), "{what}");
    }
}

#[tokio::test]
async fn an_upgrade_is_answered_without_upgrading() {
    let house = House::plain().await;
    let mut socket = house.connect().await;
    for upgrade in ["websocket", "h2c", "TLS/1.0", "HTTP/2.0"] {
        let head = format!(
            "GET /head HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.expect("sends");
        let answer = until(&mut socket, "host: x\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{upgrade}: {answer}");
        assert!(!answer.to_lowercase().contains("upgrade"), "{upgrade}: {answer}");
        assert!(!answer.to_lowercase().contains("http2-settings"), "{upgrade}: {answer}");
    }
    // The other version of HTTP, of which nobody has agreed to speak it.
    let answer = house.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.contains("200"), "{answer}");
}
