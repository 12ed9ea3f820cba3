//! The laboratory over HTTP: its page, who may begin and end one, what is left of it.

#[path = "web/support.rs"]
mod support;

use rocket::http::{Accept, Header, Method};
use support::{Answer, ORIGIN, Wiki, send, with_cookie};

impl Wiki {
    /// As a browser's script sends it.
    async fn call(&self, path: &str, cookie: Option<&str>) -> Answer {
        let request = self.ask(Method::Post, path).header(Accept::JSON);
        let request = request.header(Header::new("Origin", ORIGIN));
        send(match cookie {
            Some(cookie) => with_cookie(request, cookie),
            None => request,
        })
        .await
    }
}

#[rocket::async_test]
async fn the_laboratory_of_a_page_is_for_whoever_may_read_it() {
    let wiki = Wiki::new().await;
    wiki.page("Team/Handbook", "# Hello").await;
    let own = wiki.get("/lab").await;
    assert_eq!(own.status, 200);
    assert!(own.text().contains("id=\"lab-text\"") && own.text().contains("<noscript>"));
    let page = wiki.get("/lab?page=Team/Handbook").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("data-page-path=\"Team/Handbook\""), "{}", page.text());
    assert!(!page.text().contains("id=\"lab-text\""), "nobody types into a page of the wiki");
    assert_eq!(wiki.get("/lab?page=").await.status, 200);
    assert_eq!(wiki.get("/lab?page=Missing").await.status, 404);
    assert_eq!(wiki.get("/lab?page=..").await.status, 400);
    wiki.post("/delete/Team/Handbook", &[]).await;
    assert_eq!(wiki.get("/lab?page=Team/Handbook").await.status, 410);
}

#[rocket::async_test]
async fn a_laboratory_begins_is_capped_and_ends_by_the_hand_that_began_it() {
    let wiki = Wiki::new().await;
    let first = wiki.call("/lab", None).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let cookie = first.cookie().expect("whoever begins one is known from then on");
    let (page, path) = (first.json()["page"].clone(), first.json()["path"].clone());
    let path = path.as_str().expect("a path");
    assert_eq!(wiki.get(&format!("/edit/{path}")).await.status, 200, "in the real editor, too");
    assert!(!wiki.get("/pages").await.text().contains(path), "no list has it");
    assert_eq!(wiki.call("/lab", Some(&cookie)).await.status, 201);
    let third = wiki.call("/lab", Some(&cookie)).await;
    assert_eq!((third.status, third.error_code().as_str()), (429, "too_many_requests"));
    assert!(third.header("Retry-After").is_some());
    assert!(third.text().contains("two laboratories open"), "{}", third.text());

    let end = format!("/lab/{page}/end");
    let other = wiki.call("/name", None).await.cookie();
    assert_eq!(wiki.call(&end, other.as_deref()).await.status, 403, "somebody else's");
    assert_eq!(wiki.call(&end, Some(&cookie)).await.status, 204);
    assert_eq!(wiki.call(&end, Some(&cookie)).await.status, 204, "twice is no error");
    assert_eq!(wiki.get(&format!("/edit/{path}")).await.status, 404);
    assert_eq!(wiki.call("/lab", Some(&cookie)).await.status, 201, "and there is room again");
}

#[rocket::async_test]
async fn whoever_keeps_no_cookie_is_slowed_down_by_address() {
    let wiki = Wiki::new().await;
    for _ in 0..2_000 {
        let answer = wiki.call("/lab", None).await;
        if answer.text().contains("short time") {
            return;
        }
        assert!(answer.status == 201 || answer.text().contains("Eight laboratories"));
    }
    panic!("each request counted as somebody new");
}
