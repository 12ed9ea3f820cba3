//! Writing over real HTTP: what is saved, what is refused, and what others see of it.

#[path = "support/live/all.rs"]
mod live;

use std::time::Duration;

use live::editor::{Editor, new_doc};
use live::sse::Sse;
use live::wiki::{Person, Wiki, error_code};
use reqwest::Method;
use serde_json::{Value, json};
use yrs::{Text, Transact};

const START: &str = "# Play\n\none\n";

struct Scene {
    wiki: Wiki,
    data: tempfile::TempDir,
    ann: Person,
    bob: Person,
    page: u64,
}

impl Scene {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let wiki = Wiki::start(data.path());
        let ann = Person::visit(&wiki, "ann").await;
        let bob = Person::visit(&wiki, "bob").await;
        let (page, _) = ann.put("play", None, START).await;
        Self { wiki, data, ann, bob, page }
    }

    fn doc(&self) -> String {
        format!("doc:{}", self.page)
    }
}

/// FNV-1a, 32 bit, over UTF-16 units, low byte first; and their number.
fn hash(text: &str) -> (String, u64) {
    let mut hash = 0x811c_9dc5_u32;
    let mut length = 0;
    for unit in text.encode_utf16() {
        for byte in [unit & 0xff, unit >> 8] {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        length += 1;
    }
    (format!("{hash:08x}"), length)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_answered_with_its_revision_and_reaches_the_others_with_the_same() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let bob = Editor::open(&scene.bob, scene.page).await;
    let typed = ann.insert(0, "🦊 and ");
    let rev = ann.save(typed).await;
    assert_eq!(rev, 2);
    let (events, _) =
        scene.bob.poll_until(&scene.doc(), &bob.cursor, |event| event["kind"] == "checked").await;
    assert_eq!(events[0]["data"]["rev"], rev);
    events.iter().for_each(|event| bob.apply_event(event));
    assert_eq!(bob.text(), format!("🦊 and {START}"));
    let checked = &events.last().expect("checked")["data"];
    let (hash, length) = hash(&bob.text());
    assert_eq!(checked, &json!({ "rev": rev, "length": length, "hash": hash }));
    assert_eq!(scene.bob.text("play").await, (bob.text(), rev));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_who_polls_gets_the_batch_with_the_answer() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let mut bob = Editor::open(&scene.bob, scene.page).await;
    let typed = bob.insert(0, "bob ");
    bob.save(typed).await;
    let typed = ann.insert(0, "ann ");
    let more = format!("&cursor={}&topics={}", ann.cursor, scene.doc());
    let op = ann.next_op();
    let answer = ann.post_with(&op, &more, typed).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.expect("JSON");
    let batch = &answer["batch"];
    assert_eq!((&batch["from"], &batch["reset"]), (&json!(ann.cursor), &json!(false)));
    let revisions: Vec<_> = batch["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["kind"] == "updated")
        .map(|event| event["data"]["rev"].as_u64())
        .collect();
    assert_eq!(revisions, [Some(2), Some(3)]);
    assert_eq!((&answer["rev"], &answer["saved"]), (&json!(3), &json!(true)));
    batch["events"].as_array().expect("events").iter().for_each(|event| ann.apply_event(event));
    ann.pull().await;
    assert_eq!(scene.ann.text("play").await.0, ann.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_sent_again_is_answered_again_and_applied_once() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let typed = ann.insert(0, "once ");
    let op = ann.next_op();
    // Twelve times at once: whichever is first, all have the same answer or a later revision.
    let posts = (0..12).map(|_| ann.post(&op, typed.clone()));
    for answer in futures::future::join_all(posts).await {
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!((&answer["rev"], &answer["saved"]), (&json!(2), &json!(true)));
    }
    // Under another operation id it is known by its content.
    assert_eq!(ann.save(typed).await, 2);
    let gone = ann.remove(0, 2);
    assert_eq!(ann.save(gone.clone()).await, 3);
    assert_eq!(ann.save(gone).await, 3, "a deletion as well");
    assert_eq!(scene.bob.text("play").await, (format!("ce {START}"), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_sent_again_after_a_crash_or_a_restart_is_applied_once() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let typed = ann.insert(0, "once ");
    let op = ann.next_op();
    assert_eq!(ann.post(&op, typed.clone()).await.status(), 200);
    scene.wiki.kill();

    let mut wiki = Wiki::start(scene.data.path());
    ann.person = scene.ann.moved(&wiki);
    let again = ann.post(&op, typed.clone()).await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.expect("JSON")["rev"], 2);
    assert_eq!(ann.person.text("play").await, (format!("once {START}"), 2));
    wiki.terminate();
    assert!(wiki.wait(Duration::from_secs(5)).expect("an end in time").success());

    // An orderly end leaves a snapshot behind, after which no operation is remembered.
    let wiki = Wiki::start(scene.data.path());
    ann.person = scene.ann.moved(&wiki);
    let again = ann.post(&op, typed).await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.expect("JSON")["rev"], 2);
    let more = ann.insert(0, "and ");
    assert_eq!(ann.save(more).await, 3, "the client id goes on as well");
    assert_eq!(ann.person.text("play").await, (format!("and once {START}"), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_under_the_id_of_somebody_else() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let mut bob = Editor::open(&scene.bob, scene.page).await;
    let typed = ann.insert(0, "ann ");
    let forged = bob.post("forged", typed.clone()).await;
    assert_eq!(error_code(forged).await.1, "forged");
    let (doc, body) = new_doc(77);
    let never_issued = {
        let mut change = doc.transact_mut();
        body.insert(&mut change, 0, "x");
        change.encode_update_v1()
    };
    let never_issued = bob.post("made-up", never_issued).await;
    let (status, code, _) = error_code(never_issued).await;
    assert_eq!((status, &*code), (409, "forged"));
    // An id is good on its own page only.
    let (other, _) = scene.ann.put("other", None, "").await;
    let on_other = Editor { page: other, ..Editor::open(&scene.ann, scene.page).await };
    let typed_there = on_other.insert(0, "x");
    assert_eq!(error_code(on_other.post("op", typed_there).await).await.1, "forged");

    let his = bob.insert(0, "bob ");
    assert_eq!(bob.save(his).await, 2);
    assert_eq!(ann.save(typed).await, 3, "what was refused to bob is good from ann");
    assert_eq!(scene.ann.text("play").await.0.matches("ann ").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_comes_too_early_is_told_what_to_send() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let first = ann.insert(0, "first ");
    let second = ann.insert(6, "second ");
    let (status, code, body) = error_code(ann.post("early", second).await).await;
    assert_eq!((status, &*code), (409, "behind"));
    let both = ann.since(&body["sv"]);
    assert_eq!(ann.save(both).await, 2);
    assert_eq!(ann.save(first).await, 2, "known by now");
    // Half known, half new.
    let whole_third = ann.insert(0, "abc");
    let mut longer = Editor::open(&scene.ann, scene.page).await;
    assert_eq!(ann.save(whole_third).await, 3);
    longer.pull().await;
    let fourth = longer.insert(0, "d");
    longer.save(fourth).await;
    assert_eq!(scene.bob.text("play").await.0, format!("dabcfirst second {START}"));

    // On top of a text that the server has never seen.
    let bob = Editor::open(&scene.bob, scene.page).await;
    ann.pull().await;
    let unsent = ann.insert(0, "unsent");
    bob.apply(&unsent);
    let on_top = bob.insert(3, "BOB");
    let (status, code, body) = error_code(bob.post("on-top", on_top.clone()).await).await;
    assert_eq!((status, &*code), (409, "missing"));
    assert!(body["sv"].is_string());
    ann.save(unsent).await;
    assert_eq!(bob.post("on-top", on_top).await.status(), 200, "and now it fits");
    assert!(scene.bob.text("play").await.0.starts_with("unsBOBent"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_updates_change_nothing_and_stop_nothing() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let bob = Editor::open(&scene.bob, scene.page).await;
    let typing = tokio::spawn(async move {
        for n in 0..60 {
            let typed = ann.insert(0, &format!("{n} "));
            ann.save(typed).await;
        }
        ann
    });
    let broken: &[&[u8]] = &[b"", b"\xff", b"\x01\x01", b"\x01\x05 an update?", &[0x80; 64]];
    let mut refused = 0;
    while !typing.is_finished() {
        for (n, bytes) in broken.iter().enumerate() {
            let answer = bob.post(&format!("b{refused}-{n}"), bytes.to_vec()).await;
            let (status, code, _) = error_code(answer).await;
            assert_eq!((status, &*code), (422, "broken_update"), "{bytes:?}");
        }
        let gate = bob.post(&format!("g{refused}"), vec![0; 256 * 1024 + 1]).await;
        let (status, code, _) = error_code(gate).await;
        assert_eq!((status, &*code), (413, "too_large"));
        let http = bob.post(&format!("h{refused}"), vec![0; 1024 * 1024 + 1]).await;
        assert_eq!(error_code(http).await.0, 413);
        refused += 1;
    }
    let ann = typing.await.expect("ann types on");
    assert!(refused > 0);
    assert_eq!(scene.bob.text("play").await, (ann.text(), 61));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_page_refuses_more_and_still_takes_less() {
    const LIMIT: usize = 1024 * 1024;
    let scene = Scene::new().await;
    let line = "All work and no play makes a page that is full of text.\n";
    let full = line.repeat(LIMIT / line.len());
    let (page, _) = scene.ann.put("full", None, &full).await;
    let ann = Editor::open(&scene.ann, page).await;
    let room = u32::try_from(LIMIT - full.len()).expect("small");

    let too_much = ann.insert(0, &"x".repeat(room as usize + 1));
    let (status, code, _) = error_code(ann.post("too-much", too_much).await).await;
    assert_eq!((status, &*code), (413, "page_full"));
    let (text, revision) = scene.bob.text("full").await;
    assert_eq!((text.len(), revision), (full.len(), 1), "nothing has changed");

    // Somebody who never had the text that was refused: the last byte fits, and no more.
    let mut bob = Editor::open(&scene.bob, page).await;
    let exact = bob.insert(5, &"y".repeat(room as usize));
    assert_eq!(bob.save(exact).await, 2);
    let one_more = bob.insert(5, "z");
    assert_eq!(error_code(bob.post("one-more", one_more).await).await.1, "page_full");

    let mut cat = Editor::open(&Person::visit(&scene.wiki, "cat").await, page).await;
    let other = "Something else.\n".repeat(12_000);
    let replaced = cat.replace_all(&other);
    assert_eq!(cat.save(replaced).await, 3);
    assert_eq!(scene.bob.text("full").await, (other, 3));
    // And as a whole text, from 1 MiB to another 1 MiB.
    let (_, revision) = scene.ann.put("full", Some(3), &full).await;
    let upper = full.to_uppercase();
    scene.ann.put("full", Some(revision), &upper).await;
    assert!(scene.bob.text("full").await.0 == upper);
    let answer = scene
        .ann
        .send(Method::PUT, "/api/v1/pages/full")
        .header("If-Match", "\"1\"")
        .body(format!("{full}{line}"))
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_page_takes_nothing_until_it_is_restored() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let topics = format!("view:{0},site", scene.page);
    let mut stream =
        Sse::open(scene.bob.stream(&scene.bob.events("stream", &topics, &ann.cursor))).await;
    let answer = scene.bob.send(Method::DELETE, "/api/v1/pages/play").send().await;
    assert_eq!(answer.expect("an answer").status(), 204);
    let batch = stream.next_of("batch").await;
    let mut events = batch.data["events"].as_array().expect("events").clone();
    while events.len() < 2 {
        events.extend(
            stream.next_of("batch").await.data["events"].as_array().expect("events").clone(),
        );
    }
    assert_eq!(
        (&events[0]["topic"], &events[0]["kind"]),
        (&json!(format!("view:{}", scene.page)), &json!("deleted"))
    );
    assert_eq!((&events[1]["topic"], &events[1]["kind"]), (&json!("site"), &json!("deleted")));
    assert_eq!(events[1]["data"], json!({ "page": scene.page, "path": "play", "title": "Play" }));

    let typed = ann.insert(0, "late ");
    let (status, code, _) = error_code(ann.post("late", typed.clone()).await).await;
    assert_eq!((status, &*code), (410, "page_deleted"));
    let session = scene
        .ann
        .post(&format!("/_live/pages/{}/session", scene.page))
        .json(&json!({ "client": scene.ann.tab }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(error_code(session).await.0, 410);
    let view = scene.ann.json(&format!("/_live/pages/{}/view", scene.page)).await;
    assert_eq!((&view["deleted"], &view["blocks"]), (&json!(true), &json!([])));

    let answer = scene.bob.post("/api/v1/pages/play/restore").send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let events = stream.next_of("batch").await.data;
    assert_eq!(events["events"][0]["kind"], "restored", "the stream went on over the deletion");
    assert_eq!(ann.save(typed).await, 2, "the edit that waited comes in");
    assert_eq!(scene.bob.text("play").await.0, format!("late {START}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_from_other_sites_are_refused_and_bare_programs_may_write() {
    let scene = Scene::new().await;
    let ann = Editor::open(&scene.ann, scene.page).await;
    let typed = ann.insert(0, "x");
    let tab = &scene.ann.tab;
    let path = format!("/_live/pages/{}/updates?client={tab}&op=o", scene.page);
    let try_it = |headers: &'static [(&'static str, &'static str)]| {
        let mut request = scene.ann.stream(&path).build().expect("a request");
        *request.method_mut() = Method::POST;
        let (name, value) = ("body", typed.clone());
        let _ = name;
        *request.body_mut() = Some(value.into());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        scene.ann.execute(request)
    };
    for headers in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[],
    ] {
        let (status, code, _) = error_code(try_it(headers).await).await;
        assert_eq!((status, &*code), (403, "foreign_origin"), "{headers:?}");
    }
    for path in [
        "/_live/beat".to_owned(),
        "/_live/leave".into(),
        "/_live/report".into(),
        format!("/_live/pages/{}/session", scene.page),
    ] {
        let answer = scene
            .ann
            .post(&path)
            .header("Sec-Fetch-Site", "cross-site")
            .body("{}")
            .send()
            .await
            .expect("an answer");
        assert_eq!(error_code(answer).await.1, "foreign_origin", "{path}");
    }
    assert_eq!(scene.bob.text("play").await.0, START);
    assert_eq!(try_it(&[("Sec-Fetch-Site", "same-origin")]).await.status(), 200);

    let bare = reqwest::Client::new();
    let url = format!("{}/api/v1/pages/bare", scene.wiki.base);
    let made = bare.put(&url).body("# Bare\n").send().await.expect("an answer");
    assert_eq!(made.status(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_text_is_merged_into_what_is_being_typed() {
    let scene = Scene::new().await;
    let mut ann = Editor::open(&scene.ann, scene.page).await;
    let (start, base) = scene.bob.text("play").await;
    let typing = tokio::spawn(async move {
        for n in 0..120 {
            let at = if n % 2 == 0 { ann.len() } else { 0 };
            let typed = ann.insert(at, &format!("[{n}]"));
            ann.save(typed).await;
        }
        ann
    });
    // Each from the same old base, a line of its own in the middle of the page.
    for n in 0..8 {
        let text = start.replace("\n\none", &format!("\n\nput {n}\n\none"));
        let (_, revision) = scene.bob.put("play", Some(base), &text).await;
        let (now, at) = scene.bob.text("play").await;
        assert!(at >= revision, "what was answered is there: {at} {revision}");
        assert!(now.contains(&format!("put {n}\n")), "{now}");
    }
    let ann = typing.await.expect("ann types on");
    ann.pull().await;
    let (text, _) = scene.bob.text("play").await;
    assert_eq!(text, ann.text());
    for n in 0..120 {
        assert_eq!(text.matches(&format!("[{n}]")).count(), 1, "{n} in {text}");
    }
    for n in 0..8 {
        assert_eq!(text.matches(&format!("put {n}\n")).count(), 1, "{n} in {text}");
    }
}

/// A form, a `PUT` and an `ETag` start from this pair; a text that is newer than its number
/// would be merged as if its reader had typed what others did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_and_its_revision_belong_together_while_somebody_types() {
    let scene = Scene::new().await;
    let (page, _) = scene.ann.put("long", None, &"A line of text.\n\n".repeat(3_000)).await;
    let mut ann = Editor::open(&scene.ann, page).await;
    let typing = tokio::spawn(async move {
        for n in 0..60 {
            let typed = ann.insert(0, &format!("{n} "));
            ann.save(typed).await;
        }
    });
    let mut looks = 0;
    while !typing.is_finished() {
        let (text, revision) = scene.bob.text("long").await;
        let old = scene.bob.json(&format!("/api/v1/pages/long?rev={revision}")).await;
        assert!(old["text"] == text, "revision {revision} is another text");
        looks += 1;
    }
    typing.await.expect("ann types on");
    assert!(looks > 2);
    let whole = scene.bob.text("long").await;
    assert_eq!(whole.1, 61);
    for revision in [0, 1, 2, 30, 60, 61] {
        let old = scene.bob.json(&format!("/api/v1/pages/long?rev={revision}")).await;
        let old = old["text"].as_str().expect("text");
        let typed: String = (0..revision.max(1) - 1).rev().map(|n| format!("{n} ")).collect();
        let expected = if revision == 0 {
            String::new()
        } else {
            format!("{typed}{}", "A line of text.\n\n".repeat(3_000))
        };
        assert!(old == expected, "{revision}");
    }
}
