//! A page's history: the list, differences, names, bringing back, wrong input.

#[path = "web/support.rs"]
mod support;

use std::io::Read as _;

use rocket::http::{ContentType, Header, Method};
use support::{Answer, ORIGIN, Wiki, encode, send, with_cookie};

/// Replaces a page's text through the API.
async fn write(wiki: &Wiki, path: &str, base: u64, text: &str) -> u64 {
    let tag = format!("\"{base}\"");
    let answer = wiki.put(path, &[("If-Match", &tag)], text.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["revision"].as_u64().expect("a number")
}

#[rocket::async_test]
async fn a_history_lists_what_was_written_with_ways_to_see_and_to_name_it() {
    let wiki = Wiki::new().await;
    wiki.page("team/handbook", "# Hand\n\none two three\n").await;
    let rev = write(&wiki, "team/handbook", 1, "# Hand\n\none 2 three\n").await;
    let history = wiki.get("/history/team/handbook").await;
    assert_eq!(history.status, 200);
    let diff = format!("/diff/team/handbook?from=0&amp;to={rev}");
    assert!(history.text().contains(&diff), "{}", history.text());
    assert!(history.text().contains("still being written"));

    let named = wiki.post("/history/team/handbook", &[("rev", "1"), ("name", " First  draft ")]);
    let named = named.await;
    assert_eq!((named.status, named.header("Location")), (303, Some("/history/team/handbook")));
    let only = wiki.get("/history/team/handbook?named=1").await;
    assert!(only.text().contains("First draft") && !only.text().contains("still being written"));
    assert!(only.text().contains("/wiki/team/handbook?rev=1"));
    let none = wiki.post("/history/team/handbook", &[("rev", "1"), ("name", "")]).await;
    assert_eq!(none.status, 303);
    let only = wiki.get("/history/team/handbook?named=1").await;
    assert!(only.text().contains("No revision of this page has a name yet"));
    let nobody = wiki.get("/history/team/handbook?author=0123456789ab").await;
    assert!(nobody.text().contains("somebody who wrote nothing here"));
}

#[rocket::async_test]
async fn any_two_revisions_of_the_list_can_be_chosen_and_compared() {
    let wiki = Wiki::new().await;
    wiki.page("team/handbook", "one\n").await;
    let alone = wiki.get("/history/team/handbook").await;
    assert!(!alone.text().contains("type=\"radio\""), "there is nothing to choose");
    let mut rev = 1;
    for text in ["two\n", "three\n"] {
        // To name a revision closes it.
        let fields = [("rev", rev.to_string()), ("name", format!("draft {rev}"))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(wiki.post("/history/team/handbook", &fields).await.status, 303);
        rev = write(&wiki, "team/handbook", rev, text).await;
    }
    let list = wiki.get("/history/team/handbook").await;
    let text = list.text();
    assert!(text.contains("<form id=\"compare\" method=\"get\" action=\"/diff/team/handbook\">"));
    assert_eq!(text.matches("type=\"radio\" name=\"from\"").count(), 3, "{text}");
    assert_eq!(text.matches("type=\"radio\" name=\"to\"").count(), 3, "{text}");
    // At first the newest is compared with the one before.
    let chosen: Vec<_> = text.split("<input ").filter(|tag| tag.contains(" checked>")).collect();
    let values =
        chosen.iter().map(|tag| tag.split("value=\"").nth(1).and_then(|v| v.split('"').next()));
    let (newest, before) = (rev.to_string(), (rev - 1).to_string());
    assert_eq!(values.collect::<Vec<_>>(), [Some(newest.as_str()), Some(before.as_str())]);
}

#[rocket::async_test]
async fn a_difference_is_shown_in_both_forms_and_escapes_what_it_shows() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "same\n\none two three four <b>\n").await;
    let rev = write(&wiki, "Home", 1, "same\n\none 2 three four <b>\nnew\n").await;
    let inline = wiki.get(&format!("/diff/Home?from=1&to={rev}")).await;
    assert_eq!(inline.status, 200);
    let text = inline.text();
    assert!(text.contains("one <del>two</del> three four &lt;b&gt;"), "{text}");
    assert!(text.contains("one <ins>2</ins> three four &lt;b&gt;"), "{text}");
    let split = wiki.get(&format!("/diff/Home?from=1&to={rev}&view=split")).await;
    assert!(split.text().contains("diff-split") && split.text().contains("<ins>2</ins>"));
    let same = wiki.get("/diff/Home?from=1&to=1").await;
    assert!(same.text().contains("This is the same revision on both sides."));
    let reversed = wiki.get(&format!("/diff/Home?from={rev}&to=1")).await;
    let right = format!("/diff/Home?from=1&to={rev}");
    assert_eq!((reversed.status, reversed.header("Location")), (303, Some(right.as_str())));
    let now = wiki.get("/diff/Home?from=0").await;
    assert!(now.text().contains("the newest"));
}

#[rocket::async_test]
async fn an_old_text_is_brought_back_as_a_new_revision() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    let rev = write(&wiki, "Home", 1, "two\n").await;
    let back = wiki.post("/revert/Home", &[("rev", "1")]).await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/wiki/Home")));
    assert_eq!(wiki.get("/raw/Home").await.text(), "one\n");
    assert_eq!(wiki.get(&format!("/raw/Home?rev={rev}")).await.text(), "two\n");
}

#[rocket::async_test]
async fn what_cannot_be_named_or_brought_back_is_refused_with_the_right_words() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    for (path, fields, status) in [
        ("/history/Home", vec![("rev", "99999"), ("name", "x")], 404),
        ("/history/Home", vec![("rev", "1"), ("name", "\u{200b}\u{202e}")], 422),
        ("/revert/Home", vec![("rev", "99999")], 404),
        ("/restore/Home?rev=99", vec![], 404),
    ] {
        assert_eq!(wiki.post(path, &fields).await.status, status, "{path} {fields:?}");
    }
}

#[rocket::async_test]
async fn old_texts_are_not_brought_back_without_end() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    let mut refused = None;
    for n in 0..200 {
        let path = if n % 2 == 0 { "/revert/Home" } else { "/restore/Home?rev=1" };
        let answer = wiki.post(path, &[("rev", "1")]).await;
        if answer.status != 303 {
            refused = Some(answer.status);
            break;
        }
    }
    assert_eq!(refused, Some(429));
}

/// The hidden fields of the form that undoes what the only author of a difference did.
async fn undo_form(wiki: &Wiki, from: u64, to: u64) -> [(&'static str, String); 3] {
    let diff = wiki.get(&format!("/diff/Home?from={from}&to={to}")).await;
    let text = diff.text();
    assert_eq!(text.matches("action=\"/undo/Home\"").count(), 1, "{text}");
    ["author", "from", "to"].map(|name| {
        let before = format!("name=\"{name}\" value=\"");
        let at = text.find("action=\"/undo/Home\"").expect("a form");
        let at = at + text[at..].find(&before).expect("a field") + before.len();
        (name, text[at..].split('"').next().expect("a value").to_owned())
    })
}

#[rocket::async_test]
async fn one_persons_part_is_undone_and_what_others_wrote_meanwhile_stays() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "alpha\nbeta\ngamma\n").await;
    // Each request without a cookie is somebody else.
    let bob = write(&wiki, "Home", 1, "alpha\nspam <b>\ngamma\nmore spam\n").await;
    write(&wiki, "Home", bob, "alpha 1\nspam <b>\ngamma\nmore spam\nnew\n").await;
    let form = undo_form(&wiki, 1, bob).await;
    assert_eq!((form[1].1.as_str(), form[2].1.clone()), ("1", bob.to_string()));
    let fields: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let undone = wiki.post("/undo/Home", &fields).await;
    assert_eq!((undone.status, undone.header("Location")), (303, Some("/wiki/Home")));
    assert_eq!(wiki.get("/raw/Home").await.text(), "alpha 1\nbeta\ngamma\nnew\n");
    // Twice is no error, and nothing of the history is lost.
    assert_eq!(wiki.post("/undo/Home", &fields).await.status, 303);
    assert_eq!(wiki.get("/raw/Home").await.text(), "alpha 1\nbeta\ngamma\nnew\n");
    let old = wiki.get(&format!("/raw/Home?rev={bob}")).await;
    assert_eq!(old.text(), "alpha\nspam <b>\ngamma\nmore spam\n");

    let handle = fields[0].1;
    for (path, author, from, to, status) in [
        ("Home", "0123456789ab", "1", "2", 422),
        ("Home", "<script>", "1", "2", 422),
        ("Home", handle, "0", "1", 422),
        ("Home", handle, "2", "1", 422),
        ("Home", handle, "1", "999", 404),
        ("Home", handle, "x", "2", 400),
        ("Nowhere", handle, "1", "2", 404),
    ] {
        let fields = [("author", author), ("from", from), ("to", to)];
        let answer = wiki.post(&format!("/undo/{path}"), &fields).await;
        assert_eq!(answer.status, status, "{path} {author} {from} {to}");
    }
    let same = wiki.get("/diff/Home?from=1&to=1").await;
    assert!(!same.text().contains("/undo/"));
    assert_eq!(wiki.post("/delete/Home", &[]).await.status, 303);
    assert_eq!(wiki.post("/undo/Home", &fields).await.status, 410);
}

#[rocket::async_test]
async fn a_pages_whole_life_is_sent_by_columns_and_not_again_until_it_changes() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one \u{1f600} two\n").await;
    let rev = write(&wiki, "Home", 1, "one \u{1f600} 2\n").await;
    let id = wiki.get("/api/v1/pages/Home").await.json()["id"].as_u64().expect("a number");
    let path = format!("/_live/pages/{id}/timeline");
    let first = wiki.get(&path).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.header("Content-Type"), Some("application/json"));
    assert_eq!(first.header("Cache-Control"), Some("private, no-cache"));
    let life = first.json();
    assert_eq!((life["page"].as_u64(), life["head"].as_u64()), (Some(id), Some(rev)));
    assert_eq!(life["entries"]["author"], serde_json::json!([0, 1, 1, rev - 1]));
    assert_eq!(life["entries"]["at"].as_array().map(Vec::len), Some(rev as usize));
    assert_eq!(life["authors"].as_array().map(Vec::len), Some(2));
    assert!(life["authors"][0].get("id").is_none(), "a login is nobody's business");
    assert_eq!(life["named"], serde_json::json!([]));
    let text = life["text"].as_str().expect("a text");
    assert!(text.contains("two") && text.contains('2'), "{text}");

    let tag = first.header("ETag").expect("a tag").to_owned();
    let again = wiki.ask(Method::Get, &path).header(Header::new("If-None-Match", tag.clone()));
    let again = send(again).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(again.header("ETag"), Some(tag.as_str()));
    // A name is news as well.
    let named = [("rev", "1"), ("name", "First \"draft\"")];
    assert_eq!(wiki.post("/history/Home", &named).await.status, 303);
    let again = wiki.ask(Method::Get, &path).header(Header::new("If-None-Match", tag.clone()));
    let again = send(again).await;
    assert_eq!(again.status, 200);
    let expected = serde_json::json!([{ "rev": 1, "name": "First \"draft\"" }]);
    assert_eq!(again.json()["named"], expected);

    // A large one is compressed for whoever takes that.
    let newest = write(&wiki, "Home", rev, &"many words ".repeat(300)).await;
    let asked = |takes: &'static str| {
        send(wiki.ask(Method::Get, &path).header(Header::new("Accept-Encoding", takes)))
    };
    let (plain, small) = (asked("gzip;q=0").await, asked("br, gzip").await);
    assert_eq!(plain.header("Content-Encoding"), None);
    assert_eq!(plain.json()["head"].as_u64(), Some(newest));
    assert_eq!(small.header("Content-Encoding"), Some("gzip"));
    assert_eq!(small.header("Vary"), Some("Accept-Encoding"));
    assert!(small.bytes.len() < plain.bytes.len() / 3, "{} bytes", small.bytes.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&small.bytes[..]).read_to_end(&mut unpacked).expect("gzip");
    assert!(unpacked == plain.bytes);

    for missing in ["/_live/pages/99/timeline", "/_live/pages/x/timeline"] {
        assert_eq!(wiki.get(missing).await.error_code(), "no_page", "{missing}");
    }
    assert_eq!(wiki.post("/delete/Home", &[]).await.status, 303);
    // What a page was can still be read, and this is all of it.
    assert_eq!(wiki.get(&path).await.status, 200);
}

#[rocket::async_test]
async fn a_history_of_nothing_and_requests_that_make_no_sense_are_answered() {
    let wiki = Wiki::new().await;
    let empty = wiki.post("/new", &[("path", "Empty")]).await;
    assert_eq!(empty.status, 303);
    assert!(
        wiki.get("/history/Empty").await.text().contains("Nobody has written on this page yet")
    );
    wiki.page("Home", "one\n").await;
    for (path, status) in [
        ("/history/Nowhere", 404),
        ("/diff/Nowhere", 404),
        ("/history/Home?before=x", 400),
        ("/history/Home?before=0", 200),
        ("/diff/Home?from=0&to=99", 404),
        ("/diff/Home?from=-1", 400),
        ("/diff/Home?from=1&to=99999999999999999999", 400),
        ("/diff/Home?to=0", 200),
    ] {
        assert_eq!(wiki.get(path).await.status, status, "{path}");
    }
    let long = "x".repeat(201);
    for (fields, status) in [
        (vec![("rev", "1")], 422),
        (vec![("name", "x")], 422),
        (vec![("rev", "2"), ("name", "x")], 404),
        (vec![("rev", "0"), ("name", "x")], 404),
        (vec![("rev", "1"), ("name", long.as_str())], 422),
    ] {
        assert_eq!(wiki.post("/history/Home", &fields).await.status, status, "{fields:?}");
    }
    assert_eq!(wiki.post("/revert/Home", &[("rev", "7")]).await.status, 404);
    assert_eq!(wiki.post("/revert/Nowhere", &[("rev", "7")]).await.status, 404);
    assert_eq!(wiki.post("/delete/Home", &[]).await.status, 303);
    for path in ["/history/Home", "/diff/Home?from=0&to=1"] {
        assert_eq!(wiki.get(path).await.status, 200, "{path} of a deleted page");
    }
    assert_eq!(wiki.post("/revert/Home", &[("rev", "1")]).await.status, 410);
    assert_eq!(wiki.post("/restore/Home?rev=7", &[]).await.status, 404);
    assert_eq!(wiki.post("/restore/Home?rev=x", &[]).await.status, 400);
    assert_eq!(wiki.post("/restore/Nowhere", &[]).await.status, 404);
    assert_eq!(wiki.get("/raw/Home").await.status, 410, "and nothing was restored");
}

/// A form from somebody with a name. With the cookie of the one who sends it next.
async fn post_as(wiki: &Wiki, name: &str, path: &str) -> Answer {
    let cookie = wiki.get("/name").await.cookie().expect("a cookie");
    let form = |path: &str, cookie: &str, body: String| {
        let request = wiki.ask(Method::Post, path).header(Header::new("Origin", ORIGIN));
        send(with_cookie(request, cookie).header(ContentType::Form).body(body))
    };
    let renamed = form("/name", &cookie, encode(&[("name", name)])).await;
    form(path, &renamed.cookie().expect("a cookie"), String::new()).await
}

/// A page of which two revisions were written, deleted by somebody called Dora.
async fn deleted_page(wiki: &Wiki) -> u64 {
    wiki.page("team/plan", "# Plan\n\nOne two three.\n").await;
    let rev = write(wiki, "team/plan", 1, "# Plan\n\nOne 2 three.\n").await;
    assert_eq!(post_as(wiki, "Dora <b>", "/delete/team/plan").await.status, 303);
    rev
}

#[rocket::async_test]
async fn what_a_deleted_page_was_can_be_read_and_says_that_and_by_whom_it_was_deleted() {
    let wiki = Wiki::new().await;
    let rev = deleted_page(&wiki).await;
    let [history, diff, split, rendered, old, last, playback, blame] = [
        "/history/team/plan".to_owned(),
        format!("/diff/team/plan?from=1&to={rev}"),
        format!("/diff/team/plan?from=1&to={rev}&view=split"),
        format!("/diff/team/plan?from=1&to={rev}&view=rendered"),
        "/wiki/team/plan?rev=1".to_owned(),
        format!("/wiki/team/plan?rev={rev}"),
        "/playback/team/plan".to_owned(),
        "/blame/team/plan".to_owned(),
    ];
    for path in [&history, &diff, &split, &rendered, &old, &last, &playback, &blame] {
        let page = wiki.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        assert!(text.contains("This page was deleted by Dora &lt;b&gt;"), "{path}: {text}");
        assert!(!text.contains("still being written"), "{path}");
        let is_life = path.starts_with("/playback") || path.starts_with("/blame");
        assert_eq!(text.contains("action=\"/restore/team/plan"), !is_life, "{path}");
        for action in ["/edit/", "/revert/", "/undo/", "/delete/"] {
            assert!(!text.contains(&format!("\"{action}team/plan")), "{path}: {action}");
        }
        // Nothing live attaches to what is no more.
        assert!(is_life || !text.contains("data-page-id"), "{path}");
    }
    assert!(wiki.get(&last).await.text().contains("<p>One 2 three.</p>"));
    let old = wiki.get(&old).await;
    assert!(old.text().contains("<p>One two three.</p>"), "{}", old.text());
    assert!(old.text().contains("action=\"/restore/team/plan?rev=1\""));
    let diff = wiki.get(&diff).await;
    assert!(diff.text().contains("One <del>two</del> three."));
    assert!(diff.text().contains("action=\"/restore/team/plan?rev=1\""), "{}", diff.text());
    assert_eq!(wiki.get("/raw/team/plan?rev=1").await.text(), "# Plan\n\nOne two three.\n");
    let api = wiki.get("/api/v1/pages/team/plan?rev=1").await.json();
    assert!(api["deleted"].is_string() && api["revision"] == 1, "{api}");

    // As it is now it is not there, and says where what it was is.
    let now = wiki.get("/wiki/team/plan").await;
    assert_eq!(now.status, 404);
    assert!(now.text().contains("href=\"/history/team/plan\"") && now.text().contains("Dora"));
    for path in ["/raw/team/plan", "/api/v1/pages/team/plan", "/feed.atom?page=team/plan"] {
        assert_eq!(wiki.get(path).await.status, 410, "{path}");
    }
    let name = [("rev", "1"), ("name", "a name")];
    assert_eq!(wiki.post("/history/team/plan", &name).await.status, 410);
    assert_eq!(wiki.get(&format!("/diff/team/plan?from=1&to={}", rev + 1)).await.status, 404);
    assert_eq!(wiki.get("/wiki/team/plan?rev=99").await.status, 404);
}

#[rocket::async_test]
async fn a_deleted_page_comes_back_with_its_history_or_with_an_older_text_as_a_new_edit() {
    let wiki = Wiki::new().await;
    let rev = deleted_page(&wiki).await;
    let back = wiki.post("/restore/team/plan", &[]).await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/wiki/team/plan")));
    assert_eq!(wiki.get("/raw/team/plan").await.text(), "# Plan\n\nOne 2 three.\n");
    let history = wiki.get("/history/team/plan").await;
    assert!(!history.text().contains("was deleted"), "{}", history.text());
    assert!(history.text().contains(&format!("Revision {rev} now")), "no edit was needed");

    assert_eq!(wiki.post("/delete/team/plan", &[]).await.status, 303);
    let back = wiki.post("/restore/team/plan?rev=1", &[]).await;
    assert_eq!((back.status, back.header("Location")), (303, Some("/wiki/team/plan")));
    assert_eq!(wiki.get("/raw/team/plan").await.text(), "# Plan\n\nOne two three.\n");
    let before = wiki.get(&format!("/raw/team/plan?rev={rev}")).await;
    assert_eq!(before.text(), "# Plan\n\nOne 2 three.\n", "it was no rewind");
    assert_eq!(wiki.get(&format!("/raw/team/plan?rev={}", rev + 1)).await.status, 200);
    // Twice is no error, and no other edit.
    assert_eq!(wiki.post("/restore/team/plan?rev=1", &[]).await.status, 303);
    assert_eq!(wiki.get(&format!("/raw/team/plan?rev={}", rev + 2)).await.status, 404);
}

#[rocket::async_test]
async fn recent_changes_say_who_deleted_a_page_and_who_brought_it_back() {
    let wiki = Wiki::new().await;
    let rev = deleted_page(&wiki).await;
    let recent = wiki.get("/recent").await;
    let text = recent.text();
    // What was open was closed by it, and leads to what can be read.
    assert!(text.contains(&format!("/diff/team/plan?from=0&amp;to={rev}")), "{text}");
    assert!(!text.contains("still being written") && !text.contains("href=\"/wiki/team/plan\""));
    assert_eq!(
        (text.matches("Deleted by").count(), text.matches("Dora &lt;b&gt;").count()),
        (1, 1)
    );
    assert_eq!(post_as(&wiki, "Rita", "/restore/team/plan").await.status, 303);
    let recent = wiki.get("/recent").await;
    let text = recent.text();
    let places = ["Brought back by", "Rita", "Deleted by", "Dora", "/diff/team/plan"];
    let places = places.map(|place| text.find(place).unwrap_or_else(|| panic!("{place}: {text}")));
    assert!(places.is_sorted(), "the newest first: {places:?} {text}");
    assert!(text.contains("href=\"/wiki/team/plan\"") && !text.contains(">deleted</span>"));
    // A feed has revisions, and these do not change.
    for feed in feeds(&wiki, "").await {
        assert_eq!(feed.entries.len(), 1);
    }
    for place in ["5-1-1-1", "5-1-1-2", "5-1-1-255"] {
        assert_eq!(wiki.get(&format!("/recent?before={place}")).await.status, 200, "{place}");
    }
    for place in ["5-1-1-", "5-1-1-x", "5-1-1-256", "5-1-1-1-1"] {
        assert_eq!(wiki.get(&format!("/recent?before={place}")).await.status, 400, "{place}");
    }
}

#[rocket::async_test]
async fn a_difference_is_shown_as_people_read_the_page_and_the_ways_keep_what_is_compared() {
    let wiki = Wiki::new().await;
    let old = "# Title\n\nOne two three <i>four</i>.\n\n<script>alert(1)</script>\n\n- a\n- b\n";
    wiki.page("Home", old).await;
    let new = old.replace("two", "2 <b onclick=\"x()\">&amp;</b>").replace("- b", "- b\n- <u>c");
    let rev = write(&wiki, "Home", 1, &new).await;
    let path = format!("/diff/Home?from=1&to={rev}&view=rendered");
    let rendered = wiki.get(&path).await;
    assert_eq!(rendered.status, 200);
    let text = rendered.text();
    assert!(text.contains("<p>One <del>two</del>"), "{text}");
    assert!(text.contains("<li class=\"diff-came\">") && text.contains("<i>"), "{text}");
    assert!(text.contains("Blocks: 2 changed, 0 added, 0 removed"), "{text}");
    for bad in ["onclick", "alert(1)", "id=\"user-", "data-hash", "id=\"page\"", "data-page-id"] {
        assert!(!text.contains(bad), "{bad}: {text}");
    }
    // Two choices, and each way keeps the other one.
    let forms = ["", "split", "rendered", "rendered-split"];
    for (form, [source, page, inline, split]) in [
        ("", ["", "rendered", "", "split"]),
        ("split", ["split", "rendered-split", "", "split"]),
        ("rendered", ["", "rendered", "rendered", "rendered-split"]),
        ("rendered-split", ["split", "rendered-split", "rendered", "rendered-split"]),
    ] {
        let shown = wiki.get(&format!("/diff/Home?from=1&to={rev}&view={form}")).await;
        let text = shown.text();
        let ways =
            [("Source", source), ("Rendered", page), ("Inline", inline), ("Side by side", split)];
        for (label, to) in ways {
            let query = if to.is_empty() { String::new() } else { format!("&amp;view={to}") };
            let current = if to == form { " aria-current=\"true\"" } else { "" };
            let way = format!("<a href=\"?from=1&amp;to={rev}{query}\"{current}>{label}</a>");
            assert!(text.contains(&way), "{way} in {text}");
        }
        assert_eq!(text.matches("aria-current=\"true\"").count(), 2, "{form}");
    }
    let split = wiki.get(&format!("/diff/Home?from=1&to={rev}&view=rendered-split")).await;
    let text = split.text();
    assert!(
        text.contains("<p>One <del>two</del> three") && !text.contains("</del><ins>"),
        "{text}"
    );
    for bad in ["onclick", "alert(1)", "id=\"user-", "data-hash"] {
        assert!(!text.contains(bad), "{bad}: {text}");
    }
    // What is the same stands on both sides, and is read out once.
    let hidden = "<div class=\"diff-block same\" aria-hidden=\"true\" inert>";
    let (silent, read) =
        (text.matches(hidden).count(), text.matches("<div class=\"diff-block same\">").count());
    assert!(silent > 0 && silent == read, "{silent} and {read}: {text}");
    for form in &forms[1..] {
        let reversed = wiki.get(&format!("/diff/Home?from={rev}&to=1&view={form}")).await;
        let right = format!("/diff/Home?from=1&to={rev}&view={form}");
        assert_eq!((reversed.status, reversed.header("Location")), (303, Some(right.as_str())));
    }

    let same = wiki.get("/diff/Home?from=1&to=1&view=rendered").await;
    assert!(same.text().contains("This is the same revision on both sides."));
    let other = write(&wiki, "Home", rev, &new.replace("# Title", "#  Title")).await;
    let source = wiki.get(&format!("/diff/Home?from={rev}&to={other}&view=rendered")).await;
    assert!(source.text().contains("only the source differs"), "{}", source.text());
    assert_eq!(wiki.get("/diff/Home?from=0&to=99&view=rendered").await.status, 404);
    assert_eq!(wiki.get("/diff/Nowhere?view=rendered").await.status, 404);
}

#[rocket::async_test]
async fn recent_changes_list_all_pages_and_those_that_were_deleted_with_ways_to_what_they_were() {
    let wiki = Wiki::new().await;
    assert!(wiki.get("/recent").await.text().contains("Nothing has been written yet"));
    for n in 0..3 {
        wiki.page(&format!("Page%20{n}"), "text\n").await;
    }
    let recent = wiki.get("/recent").await;
    assert_eq!(recent.status, 200);
    assert_eq!(recent.text().matches("still being written").count(), 3, "{}", recent.text());
    // To name a revision closes it.
    for n in 0..3 {
        let path = format!("/history/Page%20{n}");
        assert_eq!(wiki.post(&path, &[("rev", "1"), ("name", "a name")]).await.status, 303);
    }
    let recent = wiki.get("/recent").await;
    assert_eq!(recent.text().matches(">a name<").count(), 3, "{}", recent.text());
    assert!(!recent.text().contains("still being written"));
    assert_eq!(wiki.post("/delete/Page%201", &[]).await.status, 303);
    let recent = wiki.get("/recent").await;
    assert_eq!(recent.text().matches(">a name<").count(), 3, "{}", recent.text());
    assert!(!recent.text().contains("href=\"/wiki/Page%201\""), "{}", recent.text());
    assert!(recent.text().contains("href=\"/history/Page%201\""), "{}", recent.text());
    assert_eq!(wiki.get("/recent?before=x").await.status, 400);
    assert_eq!(wiki.get("/recent?before=5-1-1").await.status, 200);
}

/// Of a page's or the wiki's feed in both forms, the parsed feeds.
async fn feeds(wiki: &Wiki, query: &str) -> [feed_rs::model::Feed; 2] {
    let mut both = Vec::new();
    for form in ["atom", "json"] {
        let path = format!("/feed.{form}{query}");
        let answer = wiki.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let etag = answer.header("ETag").expect("a tag").to_owned();
        let again = wiki.ask(Method::Get, &path).header(Header::new("If-None-Match", etag.clone()));
        let again = send(again).await;
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
        assert_eq!(again.header("ETag"), Some(etag.as_str()));
        both.push(feed_rs::parser::parse(&answer.bytes[..]).expect("a feed"));
    }
    both.try_into().expect("two")
}

#[rocket::async_test]
async fn feeds_of_a_page_and_of_the_wiki_are_valid_and_say_when_nothing_is_new() {
    let wiki = Wiki::new().await;
    for feed in feeds(&wiki, "").await {
        assert!(feed.entries.is_empty());
    }
    wiki.page("a%20%26%20b/c", "# T & \"U\"\n").await;
    wiki.page("Other", "# O\u{1}ther\n").await;
    for (path, name) in [("a%20%26%20b/c", "one & <two>"), ("Other", "three")] {
        let fields = [("rev", "1"), ("name", name)];
        assert_eq!(wiki.post(&format!("/history/{path}"), &fields).await.status, 303);
    }
    for feed in feeds(&wiki, "").await {
        assert_eq!(feed.entries.len(), 2);
        let entry = &feed.entries[1];
        assert_eq!(entry.title.as_ref().expect("a title").content, "T & \"U\": one & <two>");
        let origin = "http://wiki.test:8000";
        assert_eq!(entry.id, format!("{origin}/wiki/a%20%26%20b/c?rev=1"));
        assert_eq!(entry.links[0].href, format!("{origin}/diff/a%20%26%20b/c?from=0&to=1"));
        assert!(!entry.authors.is_empty());
    }
    for feed in feeds(&wiki, "?page=Other").await {
        assert_eq!(feed.entries.len(), 1);
        assert!(feed.title.expect("a title").content.contains("ther · Halley"));
    }
    assert_eq!(wiki.get("/feed.atom?page=Nowhere").await.status, 404);
    assert_eq!(wiki.get("/feed.json?page=..").await.status, 400);
    assert_eq!(wiki.post("/delete/Other", &[]).await.status, 303);
    assert_eq!(wiki.get("/feed.json?page=Other").await.status, 410);
    for feed in feeds(&wiki, "").await {
        assert_eq!(feed.entries.len(), 1);
    }
}

#[rocket::async_test]
async fn playback_and_authors_are_pages_that_say_what_they_need_and_lead_to_the_history() {
    let wiki = Wiki::new().await;
    wiki.page("team/hand%20book", "# Hand\n").await;
    for way in ["playback", "blame"] {
        let page = wiki.get(&format!("/{way}/team/hand%20book")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let text = page.text();
        let noscript = text.split("<noscript>").nth(1).expect("words for browsers without scripts");
        assert!(noscript.contains("JavaScript") && noscript.contains("href=\"/history/team/hand"));
        // The editor's styles need its nonce, and nothing else in the page is inline.
        let policy = page.header("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("style-src 'self' 'nonce-"), "{policy}");
        assert!(!text.contains(" style=\"") && !text.contains("<style"));
        let none = wiki.get(&format!("/{way}/nowhere")).await;
        assert_eq!(none.status, 404);
    }
    let blame = wiki.get("/wiki/team/hand%20book?blame").await;
    assert_eq!(blame.status, 303);
    assert!(blame.header("Location").is_some_and(|to| to.starts_with("/blame/team/hand")));
    let old = wiki.get("/wiki/team/hand%20book?blame&rev=1").await;
    assert!(old.header("Location").is_some_and(|to| to.ends_with("?at=1")));
    let wrong = wiki.get("/wiki/team/hand%20book?blame&rev=x").await;
    assert_eq!(wrong.status, 400);
    let history = wiki.get("/history/team/hand%20book").await;
    assert!(
        history.text().contains("/playback/team/hand")
            && history.text().contains("/blame/team/hand")
    );
    let read = wiki.get("/wiki/team/hand%20book").await;
    assert!(read.text().contains("/playback/team/hand") && read.text().contains("authors-toggle"));
}

#[rocket::async_test]
async fn what_history_takes_is_shown_for_each_page_and_found_from_the_changes() {
    let wiki = Wiki::new().await;
    for at in ["/recent", "/settings/history"] {
        assert_eq!(wiki.get(at).await.status, 200, "{at}");
    }
    wiki.page("team/a&b", "one\n").await;
    wiki.page("Gone", "two\n").await;
    assert_eq!(wiki.post("/delete/Gone", &[]).await.status, 303);
    assert!(wiki.get("/recent").await.text().contains("href=\"/settings/history\""));
    assert!(wiki.get("/history/team/a%26b").await.text().contains("/settings/history"));
    // Nothing is asked of the store again at once, so a wiki of its own shows what is new.
    let costs = wiki.live.history_costs(1, |_| true).await.expect("costs");
    assert_eq!((costs.pages.len(), costs.more), (0, 0), "some seconds old");
    let other = Wiki::new().await;
    other.page("team/a&b", "one\n").await;
    other.page("Gone", "two\n").await;
    assert_eq!(other.post("/delete/Gone", &[]).await.status, 303);
    let shown = other.get("/settings/history").await;
    let text = shown.text();
    assert!(text.contains("team/a&amp;b") && text.contains("/history/team/a%26b"), "{text}");
    assert!(text.contains("2 pages") && text.contains("costs-deleted"), "{text}");
    assert!(text.contains("Nothing has been packed"), "{text}");
    let costs = other.live.history_costs(1, |page| page.deleted_ms.is_none()).await.expect("costs");
    assert_eq!((costs.pages.len(), costs.more), (1, 0), "what may not be read is not counted");
    assert_eq!(costs.all.bytes(), costs.pages[0].1.bytes());
    let all = other.live.history_costs(1, |_| true).await.expect("costs");
    assert_eq!((all.pages.len(), all.more), (1, 1));
    assert!(all.all.bytes() > all.pages[0].1.bytes());
}
