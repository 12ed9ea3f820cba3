//! Answers that come before their request has ended.

use super::*;

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let house = House::plain().await;
    for round in 0..12 {
        for size in [100_000, 3_000_000, 12_000_000] {
            let chunked = round % 2 == 1;
            let mut socket = house.connect().await;
            let framing = match chunked {
                true => "Transfer-Encoding: chunked".to_owned(),
                false => format!("Content-Length: {size}"),
            };
            let head = format!("PUT /refuse HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
            let mut sent = head.into_bytes();
            if chunked {
                sent.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            }
            sent.resize(sent.len() + size, b'~');
            if chunked {
                sent.extend_from_slice(b"\r\n0\r\n\r\n");
            }
            // A client that looks for an answer only when it has sent all of it.
            socket.write_all(&sent).await.unwrap_or_else(|e| panic!("{round} {size}: {e}"));
            let answer = until(&mut socket, "and it was not read.").await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{round} {size}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_doors_own_reaches_a_client_that_is_still_sending() {
    let house = House::plain().await;
    for head in [
        "PUT /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 9000000\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "~".repeat(9_000_000)),
    ] {
        let mut socket = house.connect().await;
        let mut sent = head.into_bytes();
        sent.resize(9_000_000, b'~');
        socket.write_all(&sent).await.expect("sends all");
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
        assert!(answer.contains("connection: close"), "{answer:?}");
    }
}

#[tokio::test]
async fn whoever_expects_a_word_before_sending_gets_the_refusal() {
    let house = House::plain().await;
    let head = "PUT /refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
        Content-Length: 9000000\r\n\r\n";
    let answer = house.send(head).await;
    assert!(answer.contains("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_ends_its_request() {
    let mut house = House::plain().await;
    let mut socket = house.connect().await;
    let head = "PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nhalf";
    socket.write_all(head.as_bytes()).await.expect("sends");
    drop(socket);
    timeout(LIMIT, house.inner.ends.recv()).await.expect("in time").expect("ended");
}

#[tokio::test]
async fn the_door_waits_for_a_client_to_end_but_not_for_long() {
    let (dropped, _keep) = mpsc::unbounded_channel();
    let house =
        House::open(Limits { connections_total: 1, ..Limits::default() }, hook(dropped)).await;
    let mut socket = house.connect().await;
    let last = b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(last).await.expect("sends");
    assert!(rest(&mut socket).await.ends_with("whole"));
    // Its end of the connection stays open; its place is free all the same.
    let came = async {
        while !house.send(&last[..]).await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, came).await.expect("room");
}

#[tokio::test]
async fn ranges_and_conditions_pass_as_they_are() {
    let house = House::plain().await;
    let answer = house
        .send(
            "GET /head HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9, -3\r\nIf-Range: \"7\"\r\n\
             If-None-Match: \"8\"\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
        )
        .await;
    for line in
        ["range: bytes=5-9, -3", "if-range: \"7\"", "if-none-match: \"8\"", "accept-encoding: gzip"]
    {
        assert!(answer.contains(line), "{line}: {answer}");
    }
}
