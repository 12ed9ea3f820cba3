//! Small requests with a body, which a hook may answer.

use super::*;

/// Answers `/small` with its body in capitals, unless that is `no`.
fn hook() -> Option<Box<Hook>> {
    Some(Box::new(|parts, _| {
        (parts.uri.path() == "/small").then(|| {
            Answer::WithBody(Box::new(|body| {
                let body = body.to_ascii_uppercase();
                Box::pin(async move { (body != b"NO").then(|| Response::new(Bytes::from(body))) })
            }))
        })
    }))
}

fn post(path: &str, length: usize, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n")
}

#[tokio::test]
async fn a_hook_answers_a_small_body_that_came_in_parts_and_the_connection_goes_on() {
    let house = House::open(Limits::default(), hook()).await;
    let mut socket = house.connect().await;
    for (parts, answer) in [(&["he", "llo"][..], "HELLO"), (&["", "x"], "X"), (&[], "\r\n\r\n")] {
        let length = parts.iter().map(|part| part.len()).sum();
        socket.write_all(post("/small", length, "").as_bytes()).await.expect("sends");
        for part in parts {
            tokio::task::yield_now().await;
            socket.write_all(part.as_bytes()).await.expect("sends");
        }
        let all = until(&mut socket, answer).await;
        assert!(all.starts_with("HTTP/1.1 200") && all.contains(&format!("length: {length}")));
    }
    assert_eq!(house.inner.asked(), [""; 0], "nobody else was asked");
}

#[tokio::test]
async fn what_a_hook_leaves_reaches_the_inner_server_with_its_body() {
    let house = House::open(Limits::default(), hook()).await;
    let mut socket = house.connect().await;
    let echo = post("/echo", 5, "") + "hello";
    for _ in 0..2 {
        socket.write_all((post("/small", 2, "") + "no").as_bytes()).await.expect("sends");
        socket.write_all(echo.as_bytes()).await.expect("sends");
        until(&mut socket, "hello").await;
    }
    assert_eq!(house.inner.asked(), ["POST /small", "POST /echo"].repeat(2));
}

#[tokio::test]
async fn a_hook_is_not_asked_about_other_bodies_or_one_that_breaks_off_or_is_late() {
    let limits = Limits { body: Duration::from_millis(100), ..Limits::default() };
    let house = House::open(limits, hook()).await;
    let large = "~".repeat(4097);
    for request in [
        post("/small", large.len(), "") + &large,
        post("/small", 5, "Expect: 100-continue\r\n") + "hello",
        post("/small", 5, "Upgrade: h2c\r\n") + "hello",
        "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_owned(),
        post("http://x/small", 5, "") + "hello",
        (post("/small", 5, "") + "hello").replace("POST", "PUT"),
    ] {
        let mut socket = house.connect().await;
        socket.write_all(request.as_bytes()).await.expect("sends");
        until(&mut socket, "/small").await;
        assert!(house.inner.asked().len() == 1, "{request}");
    }
    let late = house.send(post("/small", 5, "") + "hell").await;
    assert!(late.starts_with("HTTP/1.1 408") && late.contains("connection: close"), "{late}");
    let mut socket = house.connect().await;
    socket.write_all((post("/small", 5, "") + "hell").as_bytes()).await.expect("sends");
    socket.shutdown().await.expect("shuts");
    let broken = rest(&mut socket).await;
    assert!(broken.is_empty() || broken.starts_with("HTTP/1.1 400"), "{broken}");
    assert_eq!(house.inner.asked(), [""; 0]);
}
