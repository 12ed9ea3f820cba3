//! Reading over real HTTP: stream, hold and poll, their headers, frames and limits.

#[path = "support/live/all.rs"]
mod live;

use std::time::{Duration, Instant};

use live::editor::Editor;
use live::sse::Sse;
use live::wiki::{Person, Wiki, assert_live_headers, error_code};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

struct Scene {
    wiki: Wiki,
    _data: tempfile::TempDir,
    ann: Person,
    page: u64,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let wiki = Wiki::start_with(data.path(), settings);
        let ann = Person::visit(&wiki, "ann").await;
        let (page, _) = ann.put("play", None, "# Play\n\none\n").await;
        Self { wiki, _data: data, ann, page }
    }

    fn topics(&self) -> String {
        format!("doc:{0},view:{0}", self.page)
    }

    async fn head(&self) -> String {
        let path = format!("/_live/pages/{}/view", self.page);
        self.ann.json(&path).await["cursor"].as_str().expect("cursor").to_owned()
    }

    /// Waits until nothing of the first edit is under way any more.
    async fn settled(&self) -> String {
        let head = self.head().await;
        let epoch = head.split('.').next().expect("epoch");
        let checked = |event: &Value| event["kind"] == "checked";
        let start = format!("{epoch}.0");
        // The welcome page's check moves the head as well.
        self.ann.poll_until("doc:1", &start, checked).await;
        self.ann.poll_until(&self.topics(), &start, checked).await;
        // So do their first revisions, which are closed some seconds after the last edit.
        let mut open = vec![json!(1), json!(self.page)];
        let revised = |event: &Value| {
            if event["kind"] == "revised" {
                open.retain(|page| *page != event["data"]["page"]);
            }
            open.is_empty()
        };
        self.ann.poll_until("recent", &start, revised).await;
        self.head().await
    }
}

fn seq(cursor: &str) -> u64 {
    cursor.split('.').nth(1).and_then(|seq| seq.parse().ok()).expect("a cursor")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_says_hello_proves_itself_delivers_and_beats() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let path = format!("{}&nonce=n-1_A", scene.ann.events("stream", &scene.topics(), &head));
    let began = Instant::now();
    let request = scene.ann.stream(&path).header("Accept-Encoding", "gzip, br, zstd");
    let mut stream = Sse::open(request).await;
    assert_live_headers(stream.response.headers());

    let hello = stream.next().await.expect("hello");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((hello.event.as_str(), hello.id.as_deref()), ("hello", Some(&*head)));
    assert_eq!(hello.data["nonce"], "n-1_A");
    assert_eq!(hello.data["client"], scene.ann.tab);
    assert_eq!(hello.data["cursor"], head);
    assert_eq!(hello.data["heartbeat"], 15);
    assert_eq!(hello.data["server"], env!("CARGO_PKG_VERSION"));
    assert!((239..=360).contains(&hello.data["max_age"].as_u64().expect("max_age")));

    let probe = stream.next().await.expect("probe");
    assert_eq!((probe.event.as_str(), &probe.data["nonce"]), ("probe", &json!("n-1_A")));
    let apart = probe.at - hello.at;
    assert!((300..3_000).contains(&apart.as_millis()), "{apart:?}");

    let mut editor = Editor::open(&scene.ann, scene.page).await;
    let typed = editor.insert(0, "x");
    let rev = editor.save(typed).await;
    let batch = stream.next().await.expect("batch");
    assert_eq!(batch.event, "batch");
    assert_eq!(batch.data["from"], head);
    assert_eq!(batch.data["to"].as_str(), batch.id.as_deref());
    assert_eq!(batch.data["events"][0]["topic"], format!("doc:{}", scene.page));
    assert_eq!(batch.data["events"][0]["kind"], "updated");
    assert_eq!(batch.data["events"][0]["data"]["rev"], rev);

    let mut last = batch;
    loop {
        let next = stream.next().await.expect("more");
        assert_eq!(next.event, "batch");
        assert_eq!(next.data["from"], last.data["to"], "no gap between frames");
        if next.data["events"] == json!([]) {
            let silence = next.at - last.at;
            assert!((14_000..17_000).contains(&silence.as_millis()), "{silence:?}");
            break;
        }
        last = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn padding_on_request_pushes_frames_through_buffers() {
    let scene = Scene::new().await;
    let path = format!("{}&pad=1", scene.ann.events("stream", "site", ""));
    let mut stream = Sse::open(scene.ann.stream(&path)).await;
    assert_eq!(stream.next().await.expect("hello").event, "hello");
    assert_eq!(stream.comments, 1, "before hello");
    assert_eq!(stream.next().await.expect("probe").event, "probe");
    assert_eq!(stream.comments, 2, "after hello, before the probe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_event_id_wins_over_the_query() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let epoch = head.split('.').next().expect("epoch");
    let path = scene.ann.events("stream", &scene.topics(), &head);
    let old = format!("{epoch}.0");
    let mut stream = Sse::open(scene.ann.stream(&path).header("Last-Event-ID", &old)).await;
    let batch = stream.next_of("batch").await;
    assert_eq!(batch.data["from"], old);
    assert_ne!(batch.data["events"], json!([]));

    let polled = scene.ann.get(&scene.ann.events("poll", &scene.topics(), &head));
    let polled = polled.header("Last-Event-ID", "not a cursor").send().await.expect("an answer");
    let polled: Value = polled.json().await.expect("JSON");
    assert_eq!(polled["from"], head, "one that is no cursor counts for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_served_is_reset_at_once_on_every_rung() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let epoch = head.split('.').next().expect("epoch");
    let future = format!("{epoch}.{}", seq(&head) + 1_000);
    for cursor in ["aaaaaaaa.0", "aaaaaaaa.99999999", &future] {
        for mode in ["poll", "hold"] {
            let began = Instant::now();
            let answer = scene.ann.json(&scene.ann.events(mode, &scene.topics(), cursor)).await;
            assert!(began.elapsed() < Duration::from_secs(2), "{mode} {cursor}");
            assert_eq!((&answer["reset"], &answer["events"]), (&json!(true), &json!([])));
            assert_eq!(seq(answer["to"].as_str().expect("to")), seq(&head));
        }
        let path = scene.ann.events("stream", &scene.topics(), cursor);
        let began = Instant::now();
        let mut stream = Sse::open(scene.ann.stream(&path)).await;
        let reset = stream.next_of("reset").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{cursor}: {:?}", began.elapsed());
        assert_eq!(reset.data, json!({ "from": null, "to": head }));
        assert_eq!(reset.id.as_deref(), Some(&*head));
    }
    for cursor in ["aaaaaaaa.99999999", "aaaaaaaa.0"] {
        let path = scene.ann.events("stream", &scene.topics(), cursor);
        let began = Instant::now();
        let mut stream = Sse::open(scene.ann.stream(&path)).await;
        stream.next_of("reset").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{cursor}: {:?}", began.elapsed());
        let mut editor = Editor::open(&scene.ann, scene.page).await;
        let typed = editor.insert(0, "z");
        let rev = editor.save(typed).await;
        // The rendering of the round before may come first.
        let updated = loop {
            let batch = stream.next_of("batch").await;
            let events = batch.data["events"].as_array().cloned().unwrap_or_default();
            if let Some(event) = events.into_iter().find(|event| event["kind"] == "updated") {
                break event;
            }
        };
        assert_eq!(updated["data"]["rev"], rev, "and it goes on from there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_off_the_ring_is_reset_and_whoever_is_on_it_is_not() {
    let scene = Scene::new().await;
    let start = scene.settled().await;
    let mut editor = Editor::open(&scene.ann, scene.page).await;
    // Five updates of 240 KB pass 1 MiB of base64.
    let big = "z".repeat(240_000);
    let mut cursors = vec![start.clone()];
    for _ in 0..5 {
        let typed = editor.replace_all(&big);
        editor.save(typed).await;
        cursors.push(scene.head().await);
    }
    let topics = format!("doc:{}", scene.page);
    assert_eq!(scene.ann.poll(&topics, &start).await["reset"], true);
    let last = scene.ann.poll(&topics, &cursors[4]).await;
    assert_eq!(last["reset"], false);
    assert_eq!(last["events"].as_array().expect("events").len(), 1, "one large event comes alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_request_answers_at_once_or_on_an_event_or_after_its_wait() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let epoch = head.split('.').next().expect("epoch");
    let topics = scene.topics();

    let began = Instant::now();
    let path = format!("{}&nonce=N7", scene.ann.events("hold", &topics, &format!("{epoch}.0")));
    let answer = scene.ann.get(&path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_live_headers(answer.headers());
    let answer: Value = answer.json().await.expect("JSON");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(answer["nonce"], "N7");
    assert!(!answer["events"].as_array().expect("events").is_empty());
    assert!(answer["advice"]["wait"].is_u64() && answer["advice"]["interval_ms"].is_u64());
    assert!(answer["advice"]["mode"].is_null());

    let began = Instant::now();
    let path = format!("{}&wait=1", scene.ann.events("hold", &topics, &head));
    let answer = scene.ann.json(&path).await;
    assert!((900..3_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(answer["events"], json!([]));
    // Other pages have events as well, such as the check of the welcome page.
    assert!(seq(answer["to"].as_str().expect("a cursor")) >= seq(&head));

    let mut editor = Editor::open(&scene.ann, scene.page).await;
    let typed = editor.insert(0, "q");
    let waiting = scene.ann.get(&scene.ann.events("hold", &topics, &head)).send();
    let waiting = tokio::spawn(waiting);
    let rev = editor.save(typed).await;
    let answer: Value = waiting.await.expect("a task").expect("answer").json().await.expect("JSON");
    assert_eq!(answer["events"][0]["data"]["rev"], rev);

    // The same by POST, for networks whose caches answer a GET.
    let path = scene.ann.events("hold", &topics, &head);
    let answer = scene.ann.post(&path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["events"][0]["data"]["rev"], rev);
    let stream = scene.ann.post(&scene.ann.events("stream", &topics, &head)).send().await;
    assert_eq!(error_code(stream.expect("an answer")).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_poll_costs_a_304_and_a_changed_one_does_not() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let path = scene.ann.events("poll", &scene.topics(), &head);
    let first = scene.ann.get(&path).send().await.expect("an answer");
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    assert_eq!(tag, format!("\"{head}\""));
    let again = |tag: String| scene.ann.get(&path).header("If-None-Match", tag).send();
    for tag in [tag.clone(), format!("W/{tag}")] {
        let same = again(tag).await.expect("an answer");
        assert_eq!(same.status(), 304);
        assert_live_headers(same.headers());
        assert!(!same.headers().contains_key("set-cookie"), "a poll extends no login");
        assert_eq!(same.bytes().await.expect("a body").len(), 0);
    }
    let mut editor = Editor::open(&scene.ann, scene.page).await;
    let typed = editor.insert(0, "x");
    editor.save(typed).await;
    let changed = again(tag).await.expect("an answer");
    assert_eq!(changed.status(), 200);
    let changed: Value = changed.json().await.expect("JSON");
    assert_eq!(changed["from"], head);
    assert_eq!(changed["events"][0]["kind"], "updated");
    let by_post = scene.ann.post(&path).send().await.expect("an answer");
    assert_eq!(by_post.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_cut_and_says_that_more_is_there() {
    let scene = Scene::new().await;
    let start = scene.settled().await;
    let mut editor = Editor::open(&scene.ann, scene.page).await;
    for _ in 0..4 {
        let typed = editor.insert(0, &"long ".repeat(20_000));
        editor.save(typed).await;
    }
    let topics = format!("doc:{}", scene.page);
    let (mut cursor, mut revisions, mut answers) = (start, Vec::new(), 0);
    loop {
        let path = scene.ann.events("poll", &topics, &cursor);
        let answer = scene.ann.get(&path).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        assert!(text.len() <= 257 * 1024, "{} bytes", text.len());
        let batch: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(batch["from"], cursor);
        batch["to"].as_str().expect("to").clone_into(&mut cursor);
        let updated = batch["events"].as_array().expect("events").iter();
        revisions
            .extend(updated.filter(|e| e["kind"] == "updated").map(|e| e["data"]["rev"].as_u64()));
        answers += 1;
        if batch["more"] == false {
            break;
        }
    }
    assert!(answers > 1);
    assert_eq!(revisions, [Some(2), Some(3), Some(4), Some(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_cap_a_stream_is_advised_to_poll() {
    let scene = Scene::with(&[("HALLEY_STREAMS_PER_BROWSER", "1")]).await;
    let head = scene.settled().await;
    let path = format!("{}&nonce=n2", scene.ann.events("stream", &scene.topics(), &head));
    let mut first = Sse::open(scene.ann.stream(&path)).await;
    assert_eq!(first.next().await.expect("hello").event, "hello");
    let answer = scene.ann.get(&path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_live_headers(answer.headers());
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!((&answer["from"], &answer["to"]), (&json!(head), &json!(head)));
    assert_eq!((&answer["events"], &answer["more"]), (&json!([]), &json!(false)));
    assert_eq!(answer["advice"]["mode"], "poll");
    assert_eq!(answer["nonce"], "n2");
    assert!(answer["advice"]["why"].as_str().expect("why").len() > 10);

    let bob = Person::visit(&scene.wiki, "bob").await;
    let mut his = Sse::open(bob.stream(&bob.events("stream", "site", ""))).await;
    assert_eq!(his.next().await.expect("hello").event, "hello", "another browser is not meant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_requests_have_a_cap_too_and_are_advised_to_poll() {
    let scene = Scene::new().await;
    let head = scene.settled().await;
    let path = format!("{}&wait=3", scene.ann.events("hold", &scene.topics(), &head));
    let holds = (0..9).map(|_| scene.ann.json(&path));
    let answers = futures::future::join_all(holds).await;
    let advised: Vec<_> = answers.iter().filter(|one| one["advice"]["mode"] == "poll").collect();
    assert_eq!(advised.len(), 1, "eight are held for one browser");
    assert_eq!((&advised[0]["to"], &advised[0]["more"]), (&json!(head), &json!(false)));
    assert!(advised[0]["advice"]["why"].is_string());
    let again = scene.ann.json(&path).await;
    assert!(again["advice"]["mode"].is_null(), "places are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_is_named_in_json_and_unknown_pages_are_404() {
    let scene = Scene::new().await;
    // A browser's tabs share a connection, but it carries no more pages than this.
    let too_many = (1..=65).map(|page| format!("view:{page}")).collect::<Vec<_>>().join(",");
    let too_many = format!("topics={too_many}");
    let cases = [
        ("cursor=x", 400, "bad_cursor"),
        ("cursor=abcdefgh.01", 400, "bad_cursor"),
        ("topics=pages:1", 400, "bad_topic"),
        ("topics=", 400, "bad_topic"),
        (&too_many, 400, "bad_topic"),
        ("client=UPPER-CASE", 400, "bad_request"),
        ("client=short", 400, "bad_request"),
        ("nonce=%22,%22x%22:%22", 400, "bad_request"),
        ("wait=long", 400, "bad_request"),
        ("mode=push", 400, "bad_request"),
        ("topics=view:999999", 404, "no_page"),
    ];
    for (query, status, code) in cases {
        let mode = if query.starts_with("mode") { "" } else { "mode=poll&" };
        let answer = scene.ann.get(&format!("/_live/events?{mode}{query}")).send().await;
        let (found, name, _) = error_code(answer.expect("an answer")).await;
        assert_eq!((found, &*name), (status, code), "{query}");
    }
    let page = scene.page;
    let tab = &scene.ann.tab;
    let updates = [
        (format!("/_live/pages/{page}/updates?client=!&op=a"), 400),
        (format!("/_live/pages/{page}/updates?client={tab}&op=a%20b"), 400),
        (format!("/_live/pages/{page}/updates?client={tab}&op={}", "a".repeat(65)), 400),
        (format!("/_live/pages/{page}/updates?client={tab}"), 400),
        (format!("/_live/pages/{page}/updates?op=a"), 400),
        (format!("/_live/pages/{page}/updates?client={tab}&op=a&cursor=x&topics=site"), 400),
        (format!("/_live/pages/{page}/updates?client={tab}&op=a&cursor=aaaaaaaa.1&topics=x"), 400),
        (format!("/_live/pages/999999/updates?client={tab}&op=a"), 404),
        (format!("/_live/pages/none/updates?client={tab}&op=a"), 404),
        ("/_live/pages/999999/session".to_owned(), 404),
        ("/_live/nothing".to_owned(), 404),
    ];
    for (path, status) in updates {
        let body = if path.ends_with("session") {
            format!("{{\"client\":\"{tab}\"}}")
        } else {
            "\0\0".into()
        };
        let answer = scene.ann.post(&path).body(body).send().await.expect("an answer");
        assert_eq!(error_code(answer).await.0, status, "{path}");
    }
    for path in ["/_live/pages/999999/view", "/_live/pages/999999/doc", "/_live/pages/x/view"] {
        let answer = scene.ann.get(path).send().await.expect("an answer");
        assert_eq!(error_code(answer).await.0, 404, "{path}");
    }
    let answer = scene.ann.get(&format!("/_live/pages/{page}/doc?sv=AAAA_w")).send().await;
    assert!(matches!(error_code(answer.expect("an answer")).await.0, 400 | 422));
}

/// One reader that changes its rung with each request, while somebody writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_changes_rung_at_every_request_gets_each_update_once_and_in_order() {
    const EDITS: u64 = 250;
    let mut random = StdRng::seed_from_u64(live::seed());
    let scene = Scene::new().await;
    let mut writer = Editor::open(&scene.ann, scene.page).await;
    let reader = Person::visit(&scene.wiki, "rea").await;
    let copy = Editor::open(&reader, scene.page).await;
    let mut cursor = copy.cursor.clone();
    let first = scene.ann.text("play").await.1 + 1;
    let choices: Vec<u32> = (0..EDITS).map(|_| random.random()).collect();
    let writing = tokio::spawn(async move {
        for choice in choices {
            let length = writer.len();
            let update = if choice % 5 == 4 && length > 12 {
                writer.remove(choice % (length - 10), 1)
            } else {
                writer.insert(
                    choice % (length + 1),
                    ["a", "b\n", "word ", "# h\n"][choice as usize % 4],
                )
            };
            writer.save(update).await;
            // A pause now and then, so that some requests find nothing.
            if choice % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(u64::from(choice % 97))).await;
            }
        }
        writer
    });
    let topics = scene.topics();
    let mut next = first;
    let mut rungs = [0; 3];
    while next < first + EDITS {
        let rung = random.random_range(0..3);
        rungs[rung] += 1;
        let from = cursor.clone();
        let mut take = |batch: &Value| {
            assert_eq!(batch["from"], cursor, "the interval begins where the last one ended");
            assert_ne!(batch["reset"], true);
            for event in batch["events"].as_array().expect("events") {
                if event["kind"] == "updated" {
                    assert_eq!(event["data"]["rev"], next, "none lost, none twice");
                    next += 1;
                    copy.apply_event(event);
                }
            }
            batch["to"].as_str().expect("to").clone_into(&mut cursor);
        };
        if rung == 0 {
            let path = reader.events("stream", &topics, &from);
            let mut stream = Sse::open(reader.stream(&path)).await;
            for _ in 0..random.random_range(1..6) {
                // Left without a word, perhaps in the middle of a frame.
                let limit = Duration::from_millis(random.random_range(1..900));
                match tokio::time::timeout(limit, stream.next()).await {
                    Ok(Some(frame)) if frame.event == "batch" => take(&frame.data),
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ended"),
                    Err(_) => break,
                }
            }
        } else {
            let wait = random.random_range(0..2);
            let mode = ["poll", "hold"][rung - 1];
            let path = format!("{}&wait={wait}", reader.events(mode, &topics, &from));
            take(&reader.json(&path).await);
        }
    }
    let writer = writing.await.expect("the writer");
    assert_eq!(copy.text(), writer.text());
    println!("{next} revisions over {rungs:?} requests by stream, poll and hold");
}
