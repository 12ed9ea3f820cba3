//! Pages: reading, writing with a form, the API, wrong input.

#[path = "web/support.rs"]
mod support;

use rocket::http::{Accept, ContentType, Header, Method};
use support::{ORIGIN, Wiki, encode, send};

#[rocket::async_test]
async fn without_javascript_a_page_is_created_written_and_read() {
    let wiki = Wiki::new().await;
    let missing = wiki.get("/wiki/team/handbook").await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("action=\"/new\""), "offers to create it");

    let made = wiki.post("/new", &[("path", " team / handbook ")]).await;
    assert_eq!((made.status, made.header("Location")), (303, Some("/edit/team/handbook")));
    let again = wiki.post("/new", &[("path", "team/handbook")]).await;
    assert_eq!((again.status, again.header("Location")), (303, Some("/edit/team/handbook")));

    let form = wiki.get("/edit/team/handbook").await;
    assert_eq!(form.status, 200);
    assert!(form.text().contains("name=\"base\" value=\"0\""), "{}", form.text());

    let fields = [("base", "0"), ("text", "# Hand\r\n\r\nOne.\r\n")];
    let saved = wiki.post("/edit/team/handbook", &fields).await;
    assert_eq!((saved.status, saved.header("Location")), (303, Some("/wiki/team/handbook")));
    assert_eq!(wiki.get("/raw/team/handbook").await.text(), "# Hand\n\nOne.\n");
    let page = wiki.get("/wiki/team/handbook").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("One.") && page.text().contains("http-equiv=\"refresh\""));
}

#[rocket::async_test]
async fn a_form_that_meets_another_edit_merges_and_keeps_both_of_a_conflict() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n\ntwo\n\nthree\n").await;
    let base =
        wiki.live.view(wiki.live.pages().list()[0].id).await.expect("view").revision.to_string();
    let theirs = [("base", base.as_str()), ("text", "ONE\r\n\r\ntwo\r\n\r\nthree\r\n")];
    assert_eq!(wiki.post("/edit/Home", &theirs).await.status, 303);
    let conflicting = [("base", base.as_str()), ("text", "Eins\r\n\r\ntwo\r\n\r\nthree\r\n")];
    let merged = wiki.post("/edit/Home", &conflicting).await;
    assert_eq!(merged.status, 200);
    assert!(merged.text().contains("ONE") && merged.text().contains("Eins"), "{}", merged.text());
}

#[rocket::async_test]
async fn two_edits_at_different_places_merge_cleanly() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n\ntwo\n\nthree\n").await;
    let base =
        wiki.live.view(wiki.live.pages().list()[0].id).await.expect("view").revision.to_string();
    for text in ["ONE\r\n\r\ntwo\r\n\r\nthree\r\n", "one\r\n\r\ntwo\r\n\r\nTHREE\r\n"] {
        let answer = wiki.post("/edit/Home", &[("base", &base), ("text", text)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    assert_eq!(wiki.get("/raw/Home").await.text(), "ONE\n\ntwo\n\nTHREE\n");
}

#[rocket::async_test]
async fn a_form_that_cannot_be_saved_comes_back_with_its_text() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "old").await;
    let big = "x".repeat((1 << 20) + 1);
    for (base, text, status) in [
        ("999", "typed for an hour", 412),
        ("nonsense", "typed for an hour", 412),
        ("1", big.as_str(), 413),
    ] {
        let answer = wiki.post("/edit/Home", &[("base", base), ("text", text)]).await;
        assert_eq!(answer.status, status, "{base}");
        assert!(answer.text().contains(text) && answer.text().contains("Not saved."), "{base}");
    }
    assert_eq!(wiki.get("/raw/Home").await.text(), "old");
    let request = wiki.ask(Method::Post, "/edit/Home").header(Header::new("Origin", ORIGIN));
    let answer = send(request.header(ContentType::Form).body("base=1&text=%FF%FE")).await;
    assert_eq!(answer.status, 422);
    let request = wiki.ask(Method::Post, "/edit/Home").header(Header::new("Origin", ORIGIN));
    assert_eq!(send(request.header(ContentType::JSON).body("{}")).await.status, 415);
    let huge = vec![b'a'; (4 << 20) + 1];
    let request = wiki.ask(Method::Post, "/edit/Home").header(Header::new("Origin", ORIGIN));
    let answer = send(request.header(ContentType::Form).body(huge)).await;
    assert_eq!(answer.status, 413);
}

#[rocket::async_test]
async fn a_page_has_one_address() {
    let wiki = Wiki::new().await;
    wiki.page("Team/Hand%20book", "x").await;
    wiki.page("caf%C3%A9", "x").await;
    for (asked, expected) in [
        ("/wiki/team/hand%20BOOK", "/wiki/Team/Hand%20book"),
        ("/wiki/Team%2FHand%20book", "/wiki/Team/Hand%20book"),
        ("/wiki/Team/Hand%20%20book/?rev=1&x=%26", "/wiki/Team/Hand%20book?rev=1&x=%26"),
        ("/edit/team/hand%20book?live=poll", "/edit/Team/Hand%20book?live=poll"),
        ("/raw/team/hand%20book", "/raw/Team/Hand%20book"),
        ("/delete/team/hand%20book", "/delete/Team/Hand%20book"),
        ("/wiki/cafe%CC%81", "/wiki/caf%C3%A9"),
        ("/wiki", "/"),
        ("/wiki/", "/"),
        ("/wiki/not%20%20there", "/wiki/not%20there"),
    ] {
        let answer = wiki.get(asked).await;
        assert_eq!((answer.status, answer.header("Location")), (308, Some(expected)), "{asked}");
    }
    for there in
        ["/wiki/Team/Hand%20book", "/wiki/caf%C3%A9", "/wiki/caf%c3%a9", "/edit/Team/Hand%20book"]
    {
        assert_eq!(wiki.get(there).await.status, 200, "{there}");
    }
}

#[rocket::async_test]
async fn a_path_that_is_none_is_refused_everywhere_with_a_sentence() {
    let wiki = Wiki::new().await;
    for bad in [
        "%2e%2e",
        "a/..%2Fb",
        "a%2F%2Fb",
        "%00",
        "a%0Ab",
        "%E2%80%AE",
        "%FF",
        "a%5Cb",
        "%3Cscript%3E",
    ] {
        for prefix in ["/wiki/", "/edit/", "/raw/", "/delete/", "/api/v1/pages/"] {
            let request = wiki.ask(Method::Get, &format!("{prefix}{bad}")).header(Accept::JSON);
            let answer = send(request).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (400, "bad_path"),
                "{prefix}{bad}"
            );
        }
        assert_eq!(wiki.put(bad, &[], b"x").await.status, 400, "{bad}");
    }
    let deep = vec!["a"; 17].join("/");
    assert_eq!(wiki.get(&format!("/wiki/{deep}")).await.status, 400);
    for bad in ["", "..", "a//b", "a\u{202e}b", "<script>alert(1)</script>"] {
        let form = wiki.post("/new", &[("path", bad)]).await;
        assert_eq!(form.status, 422, "{bad:?}");
        assert!(
            form.text().contains("role=\"alert\"") && !form.text().contains("<script>alert"),
            "{bad:?}"
        );
    }
    assert!(wiki.live.pages().list().is_empty());
}

#[rocket::async_test]
async fn remote_text_is_escaped_wherever_it_is_shown() {
    let wiki = Wiki::new().await;
    // Not a name a path may have, but everything that a title, a query or a form can carry.
    let evil = "'\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    wiki.page("R&D%20'x'", "# Fine\n").await;
    let mut shown = vec![
        wiki.get("/pages").await,
        wiki.get(&format!("/pages?q={}", encode(&[("", evil)]).trim_start_matches('='))).await,
        wiki.get(&format!("/new?path={}", encode(&[("", evil)]).trim_start_matches('='))).await,
        wiki.get(&format!("/name?back={}", encode(&[("", evil)]).trim_start_matches('='))).await,
        wiki.get("/wiki/R&D%20'x'").await,
        wiki.get("/edit/R&D%20'x'").await,
        wiki.get("/delete/R&D%20'x'").await,
        wiki.get("/wiki/a&b%20'c'").await,
        wiki.post("/new", &[("path", evil)]).await,
        wiki.post("/name", &[("name", evil)]).await,
    ];
    let id = wiki.live.pages().list()[0].head.to_string();
    shown.push(
        wiki.post("/edit/R&D%20'x'", &[("base", "99"), ("text", &format!("</textarea>{evil}"))])
            .await,
    );
    shown.push(
        wiki.post("/edit/R&D%20'x'", &[("base", &id), ("text", &format!("# {evil}\n"))]).await,
    );
    shown.push(wiki.get("/pages").await);
    shown.push(wiki.get("/edit/R&D%20'x'").await);
    for answer in shown {
        let text = answer.text();
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(!text.contains("<img src=x"), "{text}");
        assert!(!text.contains("</textarea>'"), "{text}");
    }
}

#[rocket::async_test]
async fn deleting_asks_and_can_be_undone() {
    let wiki = Wiki::new().await;
    wiki.page("a/b", "kept").await;
    let asks = wiki.get("/delete/a/b").await;
    assert!(asks.status == 200 && asks.text().contains("action=\"/delete/a/b\""));
    assert_eq!(wiki.get("/wiki/a/b").await.status, 200, "asking deletes nothing");

    let gone = wiki.post("/delete/a/b", &[]).await;
    assert_eq!((gone.status, gone.header("Location")), (303, Some("/wiki/a/b")));
    let page = wiki.get("/wiki/a/b").await;
    assert!(page.status == 404 && page.text().contains("action=\"/restore/a/b\""));
    assert!(wiki.get("/pages").await.text().contains("action=\"/restore/a/b\""));
    assert_eq!(wiki.get("/raw/a/b").await.status, 410);
    assert_eq!(wiki.get("/api/v1/pages/a/b").await.error_code(), "page_deleted");
    assert_eq!(wiki.post("/new", &[("path", "a/b")]).await.header("Location"), Some("/wiki/a/b"));
    assert_eq!(wiki.put("a/b", &[], b"new").await.error_code(), "page_deleted");
    assert_eq!(wiki.post("/delete/a/b", &[]).await.status, 303, "twice is as good as once");

    let back = wiki.post("/restore/a/b", &[]).await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/wiki/a/b")));
    assert_eq!(wiki.get("/raw/a/b").await.text(), "kept");
}

#[rocket::async_test]
async fn the_front_page_is_at_the_root() {
    let wiki = Wiki::new().await;
    assert_eq!(wiki.get("/").await.status, 404);
    assert!(halley::welcome::seed(&wiki.live).await.expect("seeds"));
    assert!(!halley::welcome::seed(&wiki.live).await.expect("only once"));
    let front = wiki.get("/").await;
    assert_eq!(front.status, 200);
    assert!(
        front.text().contains("data-page-path=\"Home\"") && front.text().contains("data-cursor=\"")
    );
    assert_eq!(wiki.post("/delete/Home", &[]).await.status, 303);
    assert!(!halley::welcome::seed(&wiki.live).await.expect("never again"));
}

#[rocket::async_test]
async fn the_list_is_a_tree_and_can_be_filtered() {
    let wiki = Wiki::new().await;
    for path in ["team/a", "team/b", "notes"] {
        wiki.page(path, "x").await;
    }
    let all = wiki.get("/pages").await;
    let at = |needle: &str| {
        all.text().find(needle).unwrap_or_else(|| panic!("{needle}: {}", all.text()))
    };
    assert!(at("/wiki/notes") < at("/new?path=team"), "a level without a page is a row");
    assert!(at("/new?path=team") < at("/wiki/team/a") && at("/wiki/team/a") < at("/wiki/team/b"));
    let some = wiki.get("/pages?q=B").await;
    assert!(some.text().contains("/wiki/team/b") && !some.text().contains("/wiki/team/a"));
}

#[rocket::async_test]
async fn an_old_revision_can_be_read() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "first words\n").await;
    let one = wiki.live.pages().list()[0].head.to_string();
    let put = wiki.put("Home", &[("If-Match", &format!("\"{one}\""))], b"second words\n").await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(wiki.get(&format!("/wiki/Home?rev={one}")).await.text().contains("first words"));
    assert_eq!(wiki.get(&format!("/raw/Home?rev={one}")).await.text(), "first words\n");
    assert_eq!(wiki.get("/raw/Home?rev=0").await.text(), "");
    assert_eq!(wiki.get("/raw/Home?rev=99999").await.status, 404);
    assert_eq!(wiki.get("/wiki/Home?rev=99999").await.status, 404);
    assert_eq!(wiki.get("/raw/Home?rev=x").await.status, 400);
    assert_eq!(wiki.get("/wiki/Home?rev=-1").await.status, 400);
}

#[rocket::async_test]
async fn a_put_says_what_it_starts_from() {
    let wiki = Wiki::new().await;
    let made = wiki
        .put("a/b", &[("If-None-Match", "*"), ("Content-Type", "text/markdown")], b"one\n")
        .await;
    assert_eq!((made.status, made.header("Location")), (201, Some("/api/v1/pages/a/b")));
    let etag = made.header("ETag").expect("an ETag").to_owned();
    assert_eq!(made.json()["path"], "a/b");

    let check = async |headers: &[(&str, &str)], status: u16, code: &str| {
        let answer = wiki.put("a/b", headers, b"two\n").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{headers:?}");
        assert_eq!(wiki.get("/raw/a/b").await.text(), "one\n", "{headers:?}");
    };
    check(&[], 428, "condition_required").await;
    check(&[("If-None-Match", "*")], 412, "precondition_failed").await;
    check(&[("If-Match", "\"999\"")], 412, "unknown_revision").await;
    check(&[("If-Match", "\"abc\"")], 412, "unknown_revision").await;
    check(&[("If-Match", "\"1\", \"2\"")], 400, "bad_request").await;
    check(&[("If-Match", &etag), ("If-None-Match", "*")], 400, "bad_request").await;
    check(&[("If-Match", &etag), ("Content-Type", "text/html")], 415, "wrong_type").await;
    check(&[("If-Match", &etag), ("Content-Type", "nonsense")], 415, "wrong_type").await;
    let utf_16 = ("Content-Type", "text/markdown; charset=utf-16le");
    check(&[("If-Match", &etag), utf_16], 415, "wrong_type").await;
    let absent = wiki.put("none", &[("If-Match", "\"1\"")], b"x").await;
    assert_eq!((absent.status, absent.error_code().as_str()), (412, "precondition_failed"));
    assert_eq!(wiki.get("/wiki/none").await.status, 404);

    let put = wiki
        .put("A/B", &[("If-Match", &etag), ("Content-Type", "text/plain; charset=utf-8")], b"two\n")
        .await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_ne!(put.header("ETag"), Some(etag.as_str()));
    assert_eq!(put.json()["conflicts"], serde_json::json!([]));
    let star = wiki.put("a/b", &[("If-Match", "*")], b"three\n").await;
    assert_eq!(star.status, 200, "{}", star.text());
    assert_eq!(wiki.get("/raw/a/b").await.text(), "three\n");
}

#[rocket::async_test]
async fn what_is_too_large_or_not_text_changes_nothing() {
    let wiki = Wiki::new().await;
    let limit = vec![b'x'; 1 << 20];
    assert_eq!(wiki.put("big", &[], &limit).await.status, 201);
    let mut over = limit.clone();
    over.push(b'x');
    let answer = wiki.put("bigger", &[], &over).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (413, "too_large"));
    let answer = wiki.put("binary", &[], b"a\xff\xfe").await;
    assert_eq!((answer.status, answer.error_code().as_str()), (422, "not_utf8"));
    let paths: Vec<_> = wiki.live.pages().list().iter().map(|p| p.path.to_string()).collect();
    assert_eq!(paths, ["big"], "no empty page is left behind");
}

#[rocket::async_test]
async fn a_page_is_read_as_json_or_markdown_and_not_sent_twice() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "# Hé\n").await;
    let json = wiki.get("/api/v1/pages/home").await;
    assert_eq!(json.status, 200);
    let body = json.json();
    assert_eq!((body["path"].as_str(), body["text"].as_str()), (Some("Home"), Some("# Hé\n")));
    assert_eq!(body["size"], 6);
    let accept: Accept = "text/markdown".parse().expect("valid");
    let text = send(wiki.ask(Method::Get, "/api/v1/pages/Home").header(accept)).await;
    assert_eq!(text.text(), "# Hé\n");
    assert_eq!(text.header("Content-Type"), Some("text/markdown; charset=utf-8"));
    for path in ["/api/v1/pages/Home", "/raw/Home"] {
        let etag = wiki.get(path).await.header("ETag").expect("an ETag").to_owned();
        assert_eq!(etag, format!("\"{}\"", body["revision"]));
        for known in [etag.clone(), format!("W/{etag}"), format!("\"0\", {etag}")] {
            let again =
                send(wiki.ask(Method::Get, path).header(Header::new("If-None-Match", known))).await;
            assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
            assert_eq!(again.header("ETag"), Some(etag.as_str()));
        }
        let other =
            send(wiki.ask(Method::Get, path).header(Header::new("If-None-Match", "\"99\""))).await;
        assert_eq!(other.status, 200);
    }
    let list = wiki.get("/api/v1/pages").await.json();
    assert_eq!(list["pages"][0]["path"], "Home");
}

#[rocket::async_test]
async fn the_api_deletes_and_restores() {
    let wiki = Wiki::new().await;
    wiki.page("a/b", "kept").await;
    let delete = |headers: Vec<Header<'static>>| {
        let mut request = wiki.ask(Method::Delete, "/api/v1/pages/a/b");
        for header in headers {
            request.add_header(header);
        }
        send(request)
    };
    let stale = delete(vec![Header::new("If-Match", "\"0\"")]).await;
    assert_eq!((stale.status, stale.error_code().as_str()), (412, "precondition_failed"));
    assert_eq!(delete(vec![]).await.status, 204);
    assert_eq!(delete(vec![]).await.error_code(), "page_deleted");
    let restored = send(wiki.ask(Method::Post, "/api/v1/pages/a/b/restore")).await;
    assert_eq!((restored.status, restored.json()["path"].as_str()), (200, Some("a/b")));
    assert_eq!(wiki.get("/raw/a/b").await.text(), "kept");
    assert_eq!(send(wiki.ask(Method::Post, "/api/v1/pages/a/b")).await.status, 404);
    assert_eq!(send(wiki.ask(Method::Post, "/api/v1/pages/none/restore")).await.status, 404);
}

#[rocket::async_test]
async fn a_page_that_takes_long_to_render_is_never_shown_as_empty() {
    let wiki = Wiki::new().await;
    // A debug build needs seconds for it.
    let text = "[[a]] *b* `c` ~~d~~ **e** [f](g)\n\n".repeat(12_000);
    wiki.page("Long", &text).await;
    let page = wiki.get("/wiki/Long").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("wikilink"), "{} bytes", page.bytes.len());
    assert!(
        !page.text().contains("This page is empty") || page.text().contains("page-empty\" hidden")
    );
}

#[rocket::async_test]
async fn the_page_connection_has_lines_for_proxies_with_the_name_and_port_of_this_wiki() {
    let wiki = Wiki::with(|s| s.port = Some(8123)).await;
    let page = wiki.get("/connection").await;
    assert_eq!(page.status, 200);
    for expected in [
        "server_name wiki.test;",
        "reverse_proxy 127.0.0.1:8123",
        "ServerName wiki.test",
        "server halley 127.0.0.1:8123",
        "Measuring needs JavaScript",
    ] {
        assert!(page.text().contains(expected), "{expected}");
    }
    assert!(!page.text().contains("wiki.example.org"));
    // Whatever a request calls this wiki, it is no markup and no setting of a proxy.
    for host in ["a;}<b>", "127.0.0.1:8123", "localhost"] {
        let request = wiki.client.get("/connection").header(Header::new("Host", host));
        let page = send(request).await;
        assert!(page.text().contains("server_name wiki.example.org;"), "{host}");
    }
}

#[rocket::async_test]
async fn a_probe_tells_the_time_who_asks_and_what_arrived() {
    let wiki = Wiki::with(|s| s.trusted_proxy = vec!["198.51.100.1".parse().expect("valid")]).await;
    let ask = async |peer: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = wiki.ask(Method::Get, "/_live/probe?nonce=n1");
        for (name, value) in headers {
            request.add_header(Header::new(*name, *value));
        }
        let answer = send(request.remote(peer.parse().expect("valid"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("Cache-Control"), Some("no-store, no-transform"));
        answer.json()
    };
    let before = halley::time::now_ms();
    let plain = ask("203.0.113.9:1000", &[]).await;
    let now = plain["now_ms"].as_u64().expect("a time");
    assert!((before..=halley::time::now_ms()).contains(&now));
    assert_eq!(plain["nonce"], "n1");
    assert_eq!((&plain["address"], &plain["trusted"]), (&"203.0.113.9".into(), &false.into()));
    assert_eq!(
        (&plain["proxies"], &plain["via"]),
        (&serde_json::json!([]), &serde_json::Value::Null)
    );
    assert!(plain["fill"].as_str().expect("text").len() > 1500, "worth compressing");

    let said = [("X-Forwarded-For", "203.0.113.9"), ("Via", "1.1 middle")];
    let behind = ask("198.51.100.1:1000", &said).await;
    assert_eq!((&behind["address"], &behind["trusted"]), (&"203.0.113.9".into(), &true.into()));
    assert_eq!(
        (&behind["proxies"], &behind["via"]),
        (&serde_json::json!(["Via", "X-Forwarded-For"]), &"1.1 middle".into())
    );
    let liar = ask("198.51.100.2:1000", &said).await;
    assert_eq!((&liar["address"], &liar["trusted"]), (&"198.51.100.2".into(), &false.into()));

    for (body, status) in
        [("foobar".to_owned(), 200), ("x".repeat(64 * 1024), 200), ("x".repeat(64 * 1024 + 1), 413)]
    {
        let request =
            wiki.ask(Method::Post, "/_live/probe?nonce=n2").header(Header::new("Origin", ORIGIN));
        let answer = send(request.body(&body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if body == "foobar" {
            assert_eq!(
                answer.json(),
                serde_json::json!({ "nonce": "n2", "length": 6, "hash": "bf9cf968" })
            );
        }
    }
    assert_eq!(wiki.get("/_live/probe?nonce=%3Cb%3E").await.status, 400);
}
