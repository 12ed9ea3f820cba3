//! What the live protocol must outlive: the end of the process, hostile connections, presence
//! that comes and goes, and readers who attach at any moment.

#[path = "support/live/all.rs"]
mod live;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use live::editor::Editor;
use live::sse::Sse;
use live::wiki::{Person, Wiki, error_code};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_every_stream_hears_bye_and_everything_acknowledged_is_kept() {
    let data = tempfile::tempdir().expect("a folder");
    let mut wiki = Wiki::start_with(data.path(), &[("HALLEY_STREAMS_PER_BROWSER", "50")]);
    let ann = Person::visit(&wiki, "ann").await;
    let (page, _) = ann.put("play", None, "start\n").await;
    let topics = format!("doc:{page},view:{page},here:{page},site");
    let mut streams = Vec::new();
    for n in 0..20 {
        let path = format!("/_live/events?mode=stream&topics={topics}&client=streamer{n}");
        let mut stream = Sse::open(ann.stream(&path)).await;
        assert_eq!(stream.next().await.expect("hello").event, "hello");
        streams.push(stream);
    }
    let holds: Vec<_> = (0..5)
        .map(|_| tokio::spawn(ann.get("/_live/events?mode=hold&topics=site&wait=25").send()))
        .collect();
    // One who never reads what comes.
    let mut stuck = TcpStream::connect(wiki.authority()).expect("a connection");
    write!(stuck, "GET /_live/events?mode=stream&topics={topics} HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let ann = ann.clone();
            tokio::spawn(async move {
                let mut editor = Editor::open(&ann, page).await;
                let mut saved = Vec::new();
                for word in 0.. {
                    let word = format!("<{n}-{word}>");
                    let typed = editor.insert(0, &word);
                    let op = editor.next_op();
                    match editor.try_post(&op, "", typed).await {
                        Ok(answer) if answer.status() == 200 => saved.push(word),
                        _ => break,
                    }
                }
                saved
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;

    let began = Instant::now();
    wiki.terminate();
    for mut stream in streams {
        let bye = stream.next_of("bye").await;
        assert_eq!(bye.data["why"], "drain");
        assert!(bye.data["after_ms"].as_u64().expect("after_ms") <= 3_000);
        assert!(bye.id.is_some(), "where to go on");
        assert!(stream.next().await.is_none(), "bye is the last word");
    }
    for hold in holds {
        let answer = hold.await.expect("a task").expect("an answer, not a broken connection");
        assert_eq!(answer.status(), 200);
    }
    let status = wiki.wait(Duration::from_secs(10)).expect("an end");
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(stuck);

    let wiki = Wiki::start(data.path());
    let ann = ann.moved(&wiki);
    let (text, revision) = ann.text("play").await;
    let mut count = 0;
    for writer in writers {
        for word in writer.await.expect("a writer") {
            assert_eq!(text.matches(&word).count(), 1, "{word}");
            count += 1;
        }
    }
    assert!(count > 0 && revision > count, "{count} saved, at {revision}");
    let old = ann.poll("site", "aaaaaaaa.1").await;
    assert_eq!(old["reset"], true, "a cursor of the last process is none of this one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_stuck_connections_do_not_stop_anybody() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let ann = Person::visit(&wiki, "ann").await;
    let (page, _) = ann.put("play", None, "start\n").await;
    let mut sockets = Vec::new();
    for n in 0..200 {
        let mut socket = TcpStream::connect(wiki.authority()).expect("a connection");
        let request = match n % 5 {
            0 => String::new(),
            1 => "GET / HT".into(),
            2 => "GET /wiki/Home HTTP/1.1\r\nHost: x\r\nX-Slow: ".into(),
            3 => format!(
                "POST /_live/pages/{page}/updates?client=slowslow&op=s{n} HTTP/1.1\r\nHost: x\r\n\
                 Content-Length: 1000\r\n\r\nhalf"
            ),
            _ => format!(
                "GET /_live/events?mode=stream&topics=doc:{page} HTTP/1.1\r\nHost: x\r\n\r\n"
            ),
        };
        socket.write_all(request.as_bytes()).expect("sent");
        sockets.push(socket);
    }
    // More than any buffer holds for the forty who do not read.
    let mut editor = Editor::open(&ann, page).await;
    let topic = format!("doc:{page}");
    let mut listener = Sse::open(ann.stream(&ann.events("stream", &topic, &editor.cursor))).await;
    let mut slowest = Duration::ZERO;
    for n in 0..30 {
        let typed = editor.replace_all(&format!("{n}").repeat(20_000));
        let began = Instant::now();
        let revision = editor.save(typed).await;
        loop {
            let frame = listener.next().await.expect("bye before the end");
            if frame.event == "bye" {
                // After 1 MiB, as any stream.
                assert_eq!(frame.data["why"], "recycle");
                let path = ann.events("stream", &topic, &frame.id.expect("a cursor"));
                listener = Sse::open(ann.stream(&path)).await;
                continue;
            }
            let has =
                |event: &Value| event["data"]["rev"] == revision && event["kind"] == "updated";
            if frame.data["events"].as_array().is_some_and(|events| events.iter().any(has)) {
                break;
            }
        }
        slowest = slowest.max(began.elapsed());
    }
    println!("slowest edit until another saw it: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let health = ann.json("/healthz").await;
    assert!(health["streams"].as_u64().expect("streams") >= 1);

    // And those who hang up give back their places.
    drop(sockets);
    drop(listener);
    let began = Instant::now();
    let typed = editor.replace_all("end");
    editor.save(typed).await;
    while ann.json("/healthz").await["streams"] != 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "streams are left over");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_come_move_and_leave_and_speak_only_for_themselves() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let ann = Person::visit(&wiki, "ann").await;
    let bob = Person::visit(&wiki, "bob").await;
    let (page, _) = ann.put("play", None, "start\n").await;
    let topic = format!("here:{page}");
    let beat = |who: &Person, tab: &str, mode: &str, caret: Value| {
        who.post("/_live/beat").json(&json!({
            "client": tab, "cursor": null, "rung": "hold", "interval_ms": 25_000,
            "here": { "page": page, "mode": mode, "caret": caret }, "list": false,
        }))
    };
    let first = beat(&ann, &ann.tab, "writing", json!({ "anchor": 1, "head": 2 })).send().await;
    let first: Value = first.expect("an answer").json().await.expect("JSON");
    let cursor = first["head"].as_str().expect("head").to_owned();
    assert_eq!(first["here"][0]["client"], ann.tab);
    assert_eq!(first["here"][0]["mode"], "writing");
    assert_eq!(first["here"][0]["name"], first["you"]["name"]);
    let second: Value = beat(&bob, &bob.tab, "reading", Value::Null)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(second["here"].as_array().expect("a list").len(), 2);
    let (events, cursor) = ann
        .poll_until(&topic, &cursor, |e| e["kind"] == "joined" && e["data"]["client"] == bob.tab)
        .await;
    assert_eq!(events.last().expect("joined")["data"]["rung"], "hold");

    let again: Value = beat(&bob, &bob.tab, "away", Value::Null)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(again.get("here").is_none(), "only who is new or asks gets the list");
    let (_, cursor) = ann
        .poll_until(&topic, &cursor, |e| e["kind"] == "changed" && e["data"]["mode"] == "away")
        .await;

    let stolen = beat(&bob, &ann.tab, "away", Value::Null).send().await.expect("an answer");
    let (status, code, _) = error_code(stolen).await;
    assert_eq!((status, &*code), (403, "not_yours"));
    let beacon = |who: &Person, tab: &str| {
        who.post("/_live/leave")
            .header("Content-Type", "text/plain;charset=UTF-8")
            .body(json!({ "client": tab }).to_string())
    };
    assert_eq!(beacon(&bob, &ann.tab).send().await.expect("an answer").status(), 204);
    assert_eq!(beacon(&bob, &bob.tab).send().await.expect("an answer").status(), 204);
    let (events, _) = ann.poll_until(&topic, &cursor, |e| e["kind"] == "left").await;
    let left: Vec<_> =
        events.iter().filter(|e| e["kind"] == "left").map(|e| &e["data"]["client"]).collect();
    assert_eq!(left, [&json!(bob.tab)], "ann is still there");

    let large = beat(&ann, &ann.tab, "writing", json!("x".repeat(2_100))).send().await;
    assert_eq!(error_code(large.expect("an answer")).await.0, 413);
    let nowhere = ann.post("/_live/beat").json(&json!({ "client": ann.tab, "rung": "hold", "here": { "page": 99_999, "mode": "reading" } }));
    assert_eq!(error_code(nowhere.send().await.expect("an answer")).await.0, 404);
    for body in ["", "{", "[]", "{\"client\":\"x\"}"] {
        let answer = ann.post("/_live/beat").body(body).send().await.expect("an answer");
        let (status, ..) = error_code(answer).await;
        assert!(matches!(status, 400 | 422), "{body}: {status}");
    }
}

/// Limits are those of the address for everyone whose cookie is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_cookies_do_not_escape_the_limits() {
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let ann = Person::visit(&wiki, "ann").await;
    let http = reqwest::Client::new();
    let mut refused = None;
    for n in 0..400 {
        let answer = http
            .post(format!("{}/_live/beat", wiki.base))
            .header("Cookie", format!("halley_guest=gaaaaaaaaaaaaa{n}.1.20000.QQ.AAAA"))
            .header("Sec-Fetch-Site", "same-origin")
            .body(json!({ "client": "abcdefgh", "rung": "poll" }).to_string())
            .send()
            .await
            .expect("an answer");
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            refused = Some(error_code(answer).await);
            break;
        }
    }
    assert_eq!(refused.expect("a limit").1, "too_many_requests");
    let beat = json!({ "client": ann.tab, "rung": "poll" });
    let hers = ann.post("/_live/beat").json(&beat).send().await.expect("an answer");
    assert_eq!(hers.status(), 200, "whoever has a cookie of ours does not feel it");
}

/// A page's blocks as a browser keeps them.
#[derive(Debug, PartialEq)]
struct Model {
    blocks: Vec<Value>,
    cursor: String,
}

impl Model {
    async fn attach(who: &Person, page: u64) -> Self {
        let view = who.json(&format!("/_live/pages/{page}/view")).await;
        Self {
            blocks: view["blocks"].as_array().expect("blocks").clone(),
            cursor: view["cursor"].as_str().expect("cursor").to_owned(),
        }
    }

    async fn poll(&mut self, who: &Person, page: u64) {
        loop {
            let batch = who.poll(&format!("view:{page}"), &self.cursor).await;
            assert_eq!((&batch["from"], &batch["reset"]), (&json!(self.cursor), &json!(false)));
            for event in batch["events"].as_array().expect("events") {
                let data = &event["data"];
                let at = |name: &str| data[name].as_u64().expect("a number") as usize;
                let new = data["blocks"].as_array().expect("blocks").clone();
                self.blocks.splice(at("start")..at("end"), new);
                assert_eq!(self.blocks.len(), at("total"), "it adds up");
            }
            batch["to"].as_str().expect("to").clone_into(&mut self.cursor);
            if batch["more"] == false {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_blocks_lead_from_any_view_to_the_present_one() {
    const PIECES: [&str; 8] = [
        "word ",
        "\n\n",
        "# head\n\n",
        "- item\n",
        "```\ncode\n```\n\n",
        "> quote\n",
        "*",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    ];
    let mut random = StdRng::seed_from_u64(live::seed());
    let data = tempfile::tempdir().expect("a folder");
    let wiki = Wiki::start(data.path());
    let ann = Person::visit(&wiki, "ann").await;
    let (page, _) = ann.put("play", None, "# Play\n\none\n\ntwo\n").await;
    let mut editor = Editor::open(&ann, page).await;
    let mut models = vec![Model::attach(&ann, page).await];
    for _ in 0..12 {
        for _ in 0..random.random_range(1..8) {
            let length = editor.len();
            let update = if length > 30 && random.random_bool(0.3) {
                let at = random.random_range(0..length - 20);
                editor.remove(at, random.random_range(1..20))
            } else {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                editor.insert(random.random_range(0..=length), piece)
            };
            editor.save(update).await;
            if random.random_bool(0.3) {
                models.push(Model::attach(&ann, page).await);
            }
            let any = random.random_range(0..models.len());
            models[any].poll(&ann, page).await;
        }
        // Once the blocks have caught up with the text, all are the same.
        let revision = ann.text("play").await.1;
        let began = Instant::now();
        while ann.json(&format!("/_live/pages/{page}/view")).await["rev"] != revision {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let now = Model::attach(&ann, page).await;
        for model in &mut models {
            model.poll(&ann, page).await;
            assert_eq!(model.blocks, now.blocks);
        }
        models.truncate(6);
    }
    let mut html = String::new();
    let mut socket = TcpStream::connect(wiki.authority()).expect("a connection");
    write!(
        socket,
        "GET /wiki/play HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        wiki.authority()
    )
    .expect("sent");
    socket.read_to_string(&mut html).expect("the page");
    for block in &models[0].blocks {
        let block = block["html"].as_str().expect("html");
        assert!(html.contains(block), "the page itself has {block}");
    }
}
