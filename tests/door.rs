//! The wiki behind its front door: the same answers, whoever gives them.

#[path = "support/live/all.rs"]
mod live;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use live::sse::Sse;
use live::wiki::{LIMIT, Person, Wiki};
use serde_json::{Value, json};

/// Headers without what is new with each answer.
fn headers(answer: &reqwest::Response) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in answer.headers() {
        let value = value.to_str().expect("text").to_owned();
        all.entry(name.to_string()).or_default().push(match name.as_str() {
            "date" => "a date".to_owned(),
            "x-request-id" => format!("{} characters", value.len()),
            _ => value,
        });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_answers_with_the_headers_that_the_route_gives() {
    for origin in ["http://wiki.example.org", "https://wiki.example.org"] {
        let data = tempfile::tempdir().expect("a folder");
        let wiki = Wiki::start_with(data.path(), &[("HALLEY_PUBLIC_ORIGIN", origin)]);
        let http = reqwest::Client::new();
        let cursor = {
            let head: Value =
                ask(&http, &wiki, "mode=poll&topics=site", None).await.json().await.expect("JSON");
            let head = head["to"].as_str().expect("a cursor");
            // Until the welcome page's check has come and its first revision is closed, which both
            // move the position.
            let mut cursor = format!("{}.0", head.split('.').next().expect("an epoch"));
            let mut awaited = vec![r#""checked""#, r#""revised""#];
            loop {
                let query = format!("mode=hold&topics=doc:1,recent&wait=5&cursor={cursor}");
                let batch: Value =
                    ask(&http, &wiki, &query, None).await.json().await.expect("JSON");
                batch["to"].as_str().expect("a cursor").clone_into(&mut cursor);
                let events = batch["events"].to_string();
                awaited.retain(|kind| !events.contains(kind));
                if awaited.is_empty() {
                    break cursor;
                }
            }
        };
        for query in [
            "topics=site".to_owned(),
            "mode=stream&topics=site&nonce=n&client=abcdefgh12345678".to_owned(),
            "mode=poll&topics=site".to_owned(),
            format!("mode=poll&topics=site&cursor={cursor}"),
            format!("mode=hold&topics=site&wait=0&cursor={cursor}"),
        ] {
            for tag in [None, Some(format!("\"{cursor}\""))] {
                let direct = ask(&http, &wiki, &query, tag.as_deref()).await;
                // What the door does not know it leaves to the route.
                let route = ask(&http, &wiki, &format!("{query}&unusual=1"), tag.as_deref()).await;
                assert_eq!(direct.status(), route.status(), "{query}");
                assert_eq!(headers(&direct), headers(&route), "{query}");
                assert!(direct.headers().contains_key("x-request-id"));
                assert_eq!(
                    direct.headers().contains_key("strict-transport-security"),
                    origin.starts_with("https")
                );
            }
        }
        // Errors are the route's.
        for bad in ["topics=nonsense", "mode=fly", "mode=poll&cursor=x", "mode=stream&client=A"] {
            let answer = ask(&http, &wiki, bad, None).await;
            assert_eq!(answer.status(), 400, "{bad}");
            assert_eq!(answer.headers()["content-type"], "application/json");
        }
    }
}

async fn ask(
    http: &reqwest::Client,
    wiki: &Wiki,
    query: &str,
    tag: Option<&str>,
) -> reqwest::Response {
    let mut request = http.get(format!("{}/_live/events?{query}", wiki.base));
    if let Some(tag) = tag {
        request = request.header("If-None-Match", tag);
    }
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_hangs_up_gives_back_the_place_without_a_word_being_sent() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let ann = Person::visit(&wiki, "ann").await;
    let mut streams = Vec::new();
    for n in 0..3 {
        let path = format!("/_live/events?mode=stream&topics=site&client=streamer{n}");
        let mut stream = Sse::open(ann.stream(&path)).await;
        assert_eq!(stream.next().await.expect("hello").event, "hello");
        streams.push(stream);
    }
    assert_eq!(ann.json("/healthz").await["streams"], 3);
    drop(streams);
    // Long before the next heartbeat.
    let began = Instant::now();
    while ann.json("/healthz").await["streams"] != 0 {
        assert!(began.elapsed() < Duration::from_secs(5), "streams are left over");
    }
}

/// Beats for somebody on a page; the answer.
async fn beat(person: &Person, tab: &str, via: Option<&str>, page: u64, rung: &str) -> Value {
    let beat = json!({
        "client": tab, "via": via, "cursor": null, "rung": rung, "interval_ms": 25_000,
        "here": { "page": page, "mode": "reading", "caret": null }, "list": true,
    });
    let answer = person.post("/_live/beat").json(&beat).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tab_that_is_closed_without_a_word_has_left_for_others_within_a_second() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let (ann, bob) = (Person::visit(&wiki, "ann").await, Person::visit(&wiki, "bob").await);
    let (page, _) = ann.put("play", None, "start\n").await;
    let here = format!("here:{page}");
    let mut watching = Sse::open(bob.stream(&bob.events("stream", &here, ""))).await;
    watching.next_of("hello").await;
    let stream = |client: &'static str| {
        ann.stream(&format!("/_live/events?mode=stream&topics={here}&client={client}"))
    };
    // By a stream, by a held request, and two tabs by a connection that they share.
    let cases: [(&str, &[&str], Option<&str>); 3] = [
        ("stream", &["streamtab"], None),
        ("hold", &["holdtab1"], None),
        ("stream", &["sharedtab1", "sharedtab2"], Some("sharedhub")),
    ];
    for (rung, tabs, via) in cases {
        for tab in tabs {
            beat(&ann, tab, via, page, rung).await;
        }
        let client = via.unwrap_or(tabs[0]);
        let (mut open, mut held) = (None, None);
        if rung == "stream" {
            let mut stream = Sse::open(stream(client)).await;
            stream.next_of("probe").await;
            open = Some(stream);
        } else {
            let head = ann.json("/_live/events?mode=poll&topics=site").await;
            let cursor = head["to"].as_str().expect("a cursor").to_owned();
            let query = format!("mode=hold&topics=site&wait=20&client={client}&cursor={cursor}");
            let request = ann.get(&format!("/_live/events?{query}")).send();
            held = Some(tokio::spawn(request));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let closed = Instant::now();
        drop(open);
        if let Some(held) = held {
            held.abort();
        }
        let mut left = Vec::new();
        let mut last = closed;
        while left.len() < tabs.len() {
            let batch = watching.next_of("batch").await;
            for event in batch.data["events"].as_array().expect("events") {
                assert!(event["data"]["mode"] != "away", "{event}");
                if event["kind"] == "left" {
                    left.push(event["data"]["client"].as_str().expect("a tab").to_owned());
                    last = batch.at;
                }
            }
        }
        left.sort();
        assert_eq!(left, tabs);
        let took = last - closed;
        assert!(took < slow(Duration::from_secs(1)), "{rung} {via:?}: {took:?}");
    }
    let list = beat(&bob, &bob.tab, None, page, "stream").await;
    assert_eq!(list["here"].as_array().expect("a list").len(), 1, "{list}");
}

/// A limit, longer on a machine that `TEST_SLOW` calls busy.
fn slow(limit: Duration) -> Duration {
    let factor = std::env::var("TEST_SLOW").ok().and_then(|factor| factor.parse().ok());
    limit.mul_f64(factor.unwrap_or(1.0_f64).max(1.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_those_of_the_address_that_a_trusted_proxy_names() {
    let data = tempfile::tempdir().expect("a folder");
    let settings =
        [("HALLEY_TRUSTED_PROXY", "[\"127.0.0.1\"]"), ("HALLEY_STREAMS_PER_ADDRESS", "1")];
    for (settings, expected) in [(&settings[..], false), (&settings[1..], true)] {
        let wiki = Wiki::start_with(data.path(), settings);
        let http = reqwest::Client::new();
        let open = |address: &str| {
            http.get(format!("{}/_live/events?mode=stream&topics=site", wiki.base))
                .header("X-Forwarded-For", address)
                .header("Halley-Peer", "secret 203.0.113.8:1")
                .send()
        };
        let first = open("203.0.113.7").await.expect("an answer");
        let second = open("203.0.113.7").await.expect("an answer");
        let other = open("203.0.113.9").await.expect("an answer");
        let streams =
            |answer: &reqwest::Response| answer.headers()["content-type"] == "text/event-stream";
        assert!(streams(&first) && streams(&other));
        // Loopback, which it is when nobody is believed, has no limit.
        assert_eq!(streams(&second), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_to_the_inner_port() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let http = reqwest::Client::builder().timeout(LIMIT).build().expect("a client");
    let mut inner = 0;
    for port in wiki.listening_ports() {
        if wiki.base.ends_with(&format!(":{port}")) {
            continue;
        }
        inner += 1;
        for path in ["/", "/healthz", "/api/v1/pages", "/_live/events?mode=poll"] {
            for peer in [None, Some("127.0.0.1:1"), Some("00 127.0.0.1:1")] {
                let mut request = http.get(format!("http://127.0.0.1:{port}{path}"));
                if let Some(peer) = peer {
                    request = request.header("Halley-Peer", peer);
                }
                let answer = request.send().await.expect("an answer");
                assert_eq!(answer.status(), 421, "{path}");
            }
        }
        let answer = http
            .put(format!("http://127.0.0.1:{port}/api/v1/pages/x"))
            .header("Content-Type", "text/markdown")
            .body("text")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 421);
    }
    assert_eq!(inner, 1);
    let pages: Value = http
        .get(format!("{}/api/v1/pages", wiki.base))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(!pages.to_string().contains("\"path\":\"x\""), "{}", json!(pages));
}
