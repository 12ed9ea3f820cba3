//! What is new to whoever comes back, and what they watch.

#[path = "web/support.rs"]
mod support;

use rocket::http::{ContentType, Header, Method};
use support::{Answer, ORIGIN, Wiki, encode, send, with_cookie};

/// Somebody with a cookie.
struct Person<'w> {
    wiki: &'w Wiki,
    cookie: String,
}

impl<'w> Person<'w> {
    async fn new(wiki: &'w Wiki, name: &str) -> Self {
        let cookie = wiki.get("/name").await.cookie().expect("a cookie");
        let new = Self { wiki, cookie };
        let renamed = new.post("/name", &[("name", name)]).await;
        Self { cookie: renamed.cookie().expect("a cookie"), ..new }
    }

    async fn get(&self, path: &str) -> Answer {
        send(with_cookie(self.wiki.ask(Method::Get, path), &self.cookie)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.wiki.ask(Method::Post, path).header(Header::new("Origin", ORIGIN));
        let request = with_cookie(request, &self.cookie).header(ContentType::Form);
        send(request.body(encode(fields))).await
    }

    /// Writes a page's whole text.
    async fn write(&self, path: &str, base: u64, text: &str) -> u64 {
        let path = format!("/api/v1/pages/{path}");
        let request = self.wiki.ask(Method::Put, &path).header(Header::new("Origin", ORIGIN));
        let request = with_cookie(request, &self.cookie);
        let request = request.header(Header::new("If-Match", format!("\"{base}\"")));
        let answer = send(request.body(text)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["revision"].as_u64().expect("a number")
    }

    /// The line above a page's text that says what is new.
    async fn news(&self, path: &str) -> Option<String> {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{}", page.text());
        part(page.text(), "<aside id=\"news\"", "</aside>")
    }
}

/// A part of a text, from one mark to another.
fn part(text: &str, from: &str, to: &str) -> Option<String> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split(to).next().unwrap_or_default().to_owned())
}

/// The words of some HTML.
fn words(html: &str) -> String {
    let texts = html.split('<').map(|tag| tag.rsplit('>').next().unwrap_or_default());
    texts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[rocket::async_test]
async fn who_comes_back_to_a_page_is_told_what_others_changed_until_they_have_seen_it() {
    let wiki = Wiki::new().await;
    wiki.page("team/hand%20book", "one\n").await;
    let (ann, bob) = (Person::new(&wiki, "<b>Ann").await, Person::new(&wiki, "Bob").await);
    let path = "/wiki/team/hand%20book";
    assert_eq!(bob.news(path).await, None, "a first visit");
    let rev = ann.write("team/hand%20book", 1, "one\ntwo\n").await;
    let line = bob.news(path).await.expect("news");
    let said = words(&line);
    assert!(said.contains("1 change by &lt;b&gt;Ann since you were here a moment ago"), "{said}");
    assert!(line.contains("href=\"/diff/team/hand%20book?from=1\""), "{line}");
    assert!(line.contains("action=\"/seen/team/hand%20book\""), "{line}");
    assert!(line.contains(&format!("name=\"rev\" value=\"{rev}\"")), "{line}");
    assert!(!line.contains("<time"), "their words are not those of a sentence");
    assert!(bob.news(path).await.is_some(), "also when it is opened again");
    assert_eq!(bob.news(&format!("{path}?rev=1")).await, None, "an old revision is not the page");
    assert_eq!(ann.news(path).await, None);
    assert!(!wiki.get(path).await.text().contains("id=\"news\""), "without a cookie");

    let rev = rev.to_string();
    let fields = [("rev", rev.as_str()), ("back", path)];
    let seen = bob.post("/seen/team/hand%20book", &fields).await;
    assert_eq!((seen.status, seen.header("Location")), (303, Some(path)));
    assert_eq!(bob.news(path).await, None);
    let own = [("base", rev.as_str()), ("text", "one\ntwo\nthree\n")];
    assert_eq!(bob.post("/edit/team/hand%20book", &own).await.status, 303);
    assert_eq!(bob.news(path).await, None, "their own");
    let last = ann.write("team/hand%20book", 3, "one\n").await;
    let compare = format!("/diff/team/hand%20book?from=3&to={last}");
    let ahead = with_cookie(wiki.ask(Method::Get, &compare), &bob.cookie);
    let ahead = send(ahead.header(Header::new("Sec-Purpose", "prefetch"))).await;
    assert_eq!(ahead.status, 200);
    assert_eq!(wiki.get(&compare).await.status, 200, "without a cookie");
    assert!(bob.news(path).await.is_some());
    assert_eq!(bob.get(&compare).await.status, 200);
    assert_eq!(bob.news(path).await, None, "who looked at what changed has been told");

    for (path, fields, status) in [
        ("/seen/Nowhere", vec![("rev", "1")], 404),
        ("/seen/team/hand%20book", vec![], 422),
        ("/seen/team/hand%20book", vec![("rev", "x")], 400),
        ("/seen/team/hand%20book", vec![("rev", "99999"), ("back", "//evil.test")], 303),
        ("/seen", vec![], 422),
        ("/seen", vec![("until", "-1")], 422),
    ] {
        let answer = bob.post(path, &fields).await;
        assert_eq!(answer.status, status, "{path} {fields:?}");
        assert!(answer.header("Location").is_none_or(|to| to == "/"), "{path} {fields:?}");
    }
    let stranger = wiki.post("/seen/team/hand%20book", &[("rev", "1")]).await;
    assert_eq!(stranger.status, 403);
    assert!(stranger.text().contains("no cookie"), "{}", stranger.text());
}

#[rocket::async_test]
async fn the_front_page_tells_as_well_and_what_a_browser_fetches_ahead_is_nobodys_visit() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    let (ann, bob) = (Person::new(&wiki, "Ann").await, Person::new(&wiki, "Bob").await);
    assert_eq!(bob.news("/").await, None);
    let rev = ann.write("Home", 1, "one\ntwo\n").await;
    let ahead = with_cookie(wiki.ask(Method::Get, "/"), &bob.cookie);
    let ahead = send(ahead.header(Header::new("Sec-Purpose", "prefetch;prerender"))).await;
    assert!(!ahead.text().contains("id=\"news\""));
    assert!(bob.news("/").await.is_some());
    assert_eq!(bob.post("/seen/Home", &[("rev", "2"), ("back", "/")]).await.status, 303);
    ann.write("Home", rev, "one\n").await;
    let line = bob.news("/wiki/Home").await.expect("news");
    assert!(words(&line).contains("1 change by Ann"), "{line}");
}

/// How many rows of a list are marked as new.
fn marks(answer: &Answer) -> usize {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let marks = answer.text().matches("class=\"unseen-mark\"").count();
    let rows = answer.text().matches(" unseen\"").count();
    assert_eq!(marks, rows, "{}", answer.text());
    let form = answer.text().contains("action=\"/seen\"");
    assert_eq!(form, marks > 0, "{}", answer.text());
    marks
}

#[rocket::async_test]
async fn lists_mark_what_somebody_has_not_seen_until_they_open_it_or_say_so() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    wiki.page("Old", "one\n").await;
    let (ann, bob) = (Person::new(&wiki, "Ann").await, Person::new(&wiki, "Bob").await);
    for list in ["/recent", "/pages"] {
        assert_eq!(marks(&bob.get(list).await), 0, "who has never been here has missed nothing");
    }
    bob.get("/wiki/Home").await;
    ann.write("Home", 1, "one\ntwo\n").await;
    wiki.page("Other", "one\n").await;
    for list in ["/recent", "/pages"] {
        assert_eq!(marks(&bob.get(list).await), 2, "{list}");
        assert_eq!(marks(&wiki.get(list).await), 0, "{list} without a cookie");
    }
    bob.get("/wiki/Other").await;
    let recent = bob.get("/recent").await;
    assert_eq!(marks(&recent), 1);
    let until = part(recent.text(), "name=\"until\" value=\"", "\"").expect("a time");
    wiki.page("Third", "one\n").await;
    let all = bob.post("/seen", &[("until", &until), ("back", "/pages")]).await;
    assert_eq!((all.status, all.header("Location")), (303, Some("/pages")));
    for list in ["/recent", "/pages"] {
        assert_eq!(marks(&bob.get(list).await), 1, "{list}: what came after the list was made");
    }
    assert_eq!(bob.news("/wiki/Home").await, None, "all is seen");
    let none = bob.post("/seen", &[("until", "99999999999999")]).await;
    assert_eq!((none.status, none.header("Location")), (303, Some("/recent")));
    assert_eq!(marks(&bob.get("/recent").await), 0);
    assert_eq!(wiki.post("/seen", &[("until", "1")]).await.status, 403, "without a cookie");
}

#[rocket::async_test]
async fn a_page_or_all_below_it_is_watched_and_what_is_new_there_is_listed_until_it_is_seen() {
    let wiki = Wiki::new().await;
    for page in ["team", "team/a", "team/b", "Home"] {
        wiki.page(page, "one\n").await;
    }
    let (ann, bob) = (Person::new(&wiki, "Ann").await, Person::new(&wiki, "Bob").await);
    let empty = bob.get("/watching").await;
    assert_eq!(empty.status, 200);
    assert!(empty.text().contains("You watch no pages yet"), "{}", empty.text());
    assert!(wiki.get("/watching").await.text().contains("You watch no pages yet"));
    assert!(bob.get("/wiki/team").await.text().contains("data-how=\"none\""));

    let watch = bob.post("/watch/TEAM", &[("how", "tree")]).await;
    assert_eq!((watch.status, watch.header("Location")), (303, Some("/wiki/team")));
    let watch = bob.post("/watch/Home", &[("how", "page"), ("back", "/")]).await;
    assert_eq!((watch.status, watch.header("Location")), (303, Some("/")));
    assert!(bob.get("/wiki/team").await.text().contains("data-how=\"tree\""));
    assert!(bob.get("/wiki/Home").await.text().contains("data-how=\"page\""));
    let below = bob.get("/wiki/team/a").await;
    assert!(below.text().contains("data-how=\"none\""));
    assert!(words(below.text()).contains("You watch it as part of team."), "{}", below.text());
    assert!(ann.get("/wiki/team").await.text().contains("data-how=\"none\""), "it is one's own");

    let list = bob.get("/watching").await;
    assert!(list.text().contains("You have seen everything"), "{}", list.text());
    let said = words(list.text());
    assert!(said.contains("Home Stop team and all pages below it Stop"), "{said}");
    for page in ["team/a", "team/b"] {
        ann.write(page, 1, "one\ntwo\n").await;
        // Times have a grain of a millisecond, and the list is in their order.
        rocket::tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let list = bob.get("/watching").await;
    let news = part(list.text(), "<h2>New to you</h2>", "<h2>").expect("a list");
    let said = words(&news);
    assert!(said.contains("1 change by Ann since you were here a moment ago"), "{said}");
    assert!(said.contains("1 change by Ann You have not opened it yet"), "{said}");
    assert!(news.find("team/b").expect("b") < news.find("team/a").expect("a"), "the newest first");
    assert!(news.contains("href=\"/diff/team/a?from=1\""), "{news}");
    bob.get("/wiki/team/a").await;
    let seen = bob.post("/seen/team/b", &[("rev", "2"), ("back", "/watching")]).await;
    assert_eq!((seen.status, seen.header("Location")), (303, Some("/watching")));
    assert!(bob.get("/watching").await.text().contains("You have seen everything"));

    assert_eq!(bob.post("/delete/team", &[]).await.status, 303);
    assert!(bob.get("/watching").await.text().contains("this page is not there now"));
    assert_eq!(bob.post("/watch/team", &[("how", "page")]).await.status, 410);
    for page in ["team", "Home", "Nowhere"] {
        let path = format!("/watch/{page}");
        let stop = bob.post(&path, &[("how", "none"), ("back", "/watching")]).await;
        assert_eq!((stop.status, stop.header("Location")), (303, Some("/watching")), "{page}");
    }
    assert!(bob.get("/watching").await.text().contains("You watch no pages yet"));
}

#[rocket::async_test]
async fn to_watch_needs_a_cookie_a_page_and_a_way_and_cannot_be_done_without_end() {
    let wiki = Wiki::new().await;
    wiki.page("Home", "one\n").await;
    let bob = Person::new(&wiki, "Bob").await;
    for (path, fields, status) in [
        ("/watch/Home", vec![], 422),
        ("/watch/Home", vec![("how", "always")], 422),
        ("/watch/Nowhere", vec![("how", "page")], 404),
        ("/watch/%2e%2e", vec![("how", "page")], 400),
        ("/watch/", vec![("how", "page")], 400),
    ] {
        assert_eq!(bob.post(path, &fields).await.status, status, "{path} {fields:?}");
    }
    let stranger = wiki.post("/watch/Home", &[("how", "page")]).await;
    assert_eq!(stranger.status, 403);
    assert!(stranger.text().contains("no cookie"), "{}", stranger.text());
    let mut refused = 0;
    for _ in 0..150 {
        let answer = bob.post("/watch/Home", &[("how", "none")]).await;
        assert!([303, 429].contains(&answer.status), "{}", answer.text());
        refused += usize::from(answer.status == 429);
    }
    assert!(refused > 0, "more than a hundred at once");
}

/// The pages of a list, by the ways to their histories.
fn listed(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ways = answer.text().split("aria-label=\"History of ").skip(1);
    ways.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
}

/// Addresses of a page, unescaped, that have a text in them.
fn ways(answer: &Answer, with: &str) -> Vec<String> {
    let links = answer.text().split("href=\"").skip(1);
    let links = links.map(|rest| rest.split('"').next().unwrap_or_default());
    let links = links.map(|link| link.replace("&amp;", "&").replace("&#x2f;", "/"));
    links.filter(|link| link.contains(with)).collect()
}

#[rocket::async_test]
async fn recent_changes_are_filtered_by_person_by_name_by_place_and_by_what_somebody_has_not_seen()
{
    let wiki = Wiki::new().await;
    let (ann, bob) = (Person::new(&wiki, "Ann").await, Person::new(&wiki, "Bob").await);
    for path in ["Other", "Team", "team/Plan", "Teamwork"] {
        wiki.page(path, "one\n").await;
        assert_eq!(
            wiki.post(&format!("/history/{path}"), &[("rev", "1"), ("name", "")]).await.status,
            303
        );
        // Whoever has never been here has missed nothing.
        bob.get("/wiki/Other").await;
    }
    ann.write("team/Plan", 1, "by ann\n").await;
    ann.write("Other", 1, "by ann\n").await;
    let named = [("rev", "2"), ("name", "Ready")];
    assert_eq!(ann.post("/history/team/Plan", &named).await.status, 303);

    let get = async |query: &str| bob.get(&format!("/recent?{query}")).await;
    assert_eq!(listed(&get("").await).len(), 6);
    assert_eq!(listed(&get("author=&named=&below=&unseen=").await).len(), 6, "empty fields");
    assert_eq!(listed(&get("named=1").await), ["Plan"]);
    for below in ["Team", "team", "Team/", "%20TEAM%20"] {
        let list = get(&format!("below={below}")).await;
        assert_eq!(listed(&list), ["Plan", "Plan", "Team"], "{below}");
    }
    assert_eq!(listed(&get("unseen=1").await), ["Other", "Plan", "Teamwork", "Plan", "Team"]);
    assert_eq!(listed(&get("unseen=1&below=Other").await), ["Other"]);

    // A name in the list leads to what this person wrote, and keeps the rest of the filter.
    let list = get("below=team&unseen=1").await;
    let own = ways(&get("named=1").await, "author=");
    let [own] = &own[..] else { panic!("{own:?}") };
    let handle = part(own, "author=", "&").expect("a handle");
    let wanted = format!("/recent?author={handle}&below=team&unseen=1");
    assert!(ways(&list, "author=").contains(&wanted), "{wanted}: {}", list.text());
    let by_ann = get(&format!("author={handle}")).await;
    assert_eq!(listed(&by_ann), ["Other", "Plan"]);
    assert!(by_ann.text().contains("<span>By Ann</span>"), "{}", by_ann.text());
    assert_eq!(listed(&get(&format!("author={handle}&below=Team&named=1")).await), ["Plan"]);

    // What became of a page is there as well, where it can be.
    assert_eq!(ann.post("/delete/Other", &[]).await.status, 303);
    for (query, count) in
        [(format!("author={handle}"), 1), ("named=1".into(), 0), ("unseen=1".into(), 0)]
    {
        let list = get(&query).await;
        assert_eq!(list.text().matches("Deleted by").count(), count, "{query}");
    }

    for query in ["author=0123456789ab", "below=Nowhere", "named=1&below=Other"] {
        let none = get(query).await;
        assert!(listed(&none).is_empty(), "{query}");
        assert!(none.text().contains("No change is like this."), "{query}: {}", none.text());
        assert_eq!(ways(&none, "/recent").iter().filter(|way| *way == "/recent").count(), 3);
    }
    let stranger = wiki.get("/recent?unseen=1").await;
    assert!(stranger.text().contains("What you have seen is not known yet."));
    assert!(!wiki.get("/recent").await.text().contains("name=\"unseen\""));
    // All that is new would be marked, also what is not shown.
    assert!(!get("below=team").await.text().contains("action=\"/seen\""));
    assert!(get("unseen=1").await.text().contains("action=\"/seen\""));
}

#[rocket::async_test]
async fn the_filter_of_recent_changes_is_kept_from_one_part_of_the_list_to_the_next() {
    let wiki = Wiki::new().await;
    wiki.page("Other", "text\n").await;
    // To delete a page closes its revision, and is a change as well.
    for n in 0..26 {
        wiki.page(&format!("Much/{n}"), "text\n").await;
        assert_eq!(wiki.post(&format!("/delete/Much/{n}"), &[]).await.status, 303);
    }
    assert_eq!(wiki.post("/history/Other", &[("rev", "1"), ("name", "x")]).await.status, 303);
    let first = wiki.get("/recent?below=Much").await;
    assert_eq!(listed(&first).len(), 50);
    let older = ways(&first, "before=");
    let [older] = &older[..] else { panic!("{older:?}") };
    assert!(older.starts_with("/recent?below=Much&before="), "{older}");
    let second = wiki.get(older).await;
    assert_eq!(listed(&second), ["0"; 2]);
    assert!(ways(&second, "/recent?").contains(&"/recent?below=Much".to_owned()));
}

#[rocket::async_test]
async fn a_filter_of_recent_changes_that_makes_no_sense_is_refused() {
    let wiki = Wiki::new().await;
    let long = format!("below={}", "x".repeat(3_000));
    for query in [
        "author=x",
        "author=0123456789ag",
        "author=0123456789abc",
        "named=2",
        "named=yes",
        "unseen=on",
        "below=/",
        "below=a//b",
        "below=../etc",
        "below=a%3Cb",
        "before=x&named=1",
        &long,
    ] {
        assert_eq!(wiki.get(&format!("/recent?{query}")).await.status, 400, "{query}");
    }
}
