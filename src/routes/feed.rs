//! Feeds of closed revisions, of one page or of the whole wiki: Atom (RFC 4287) and JSON Feed 1.1.
//!
//! An entry is a revision, which does not change any more, so a reader shows each once. What is
//! still being written comes when it is closed.

use atom_syndication as atom;
use rocket::fairing::AdHoc;
use rocket::http::ContentType;
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::{State, get, routes};
use serde_json::json;

use super::connection::Authority;
use super::reply::{is_known, not_modified};
use super::target::find;
use crate::config::Config;
use crate::error::Error;
use crate::identity::Guest;
use crate::live::history::{HistoryQuery, RecentQuery, RecentRow};
use crate::live::{Live, PageInfo};
use crate::page::PagePath;
use crate::rights::{Action, may, require};
use crate::time;
use crate::views::wiki_url;

/// Entries of a feed.
const ENTRIES: usize = 50;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Feeds", |rocket| async { rocket.mount("/", routes![show_atom, show_json]) })
}

/// A feed in the form in which it is sent.
struct Feed {
    body: String,
    kind: ContentType,
}

impl<'r> Responder<'r, 'static> for Feed {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let etag = format!("\"{}\"", &blake3::hash(self.body.as_bytes()).to_hex()[..32]);
        if is_known(request, &etag) {
            return not_modified(etag);
        }
        Response::build()
            .header(self.kind)
            .raw_header("ETag", etag)
            .raw_header("Cache-Control", "private, no-cache")
            .sized_body(self.body.len(), std::io::Cursor::new(self.body))
            .ok()
    }
}

/// What both forms say.
struct Source {
    title: String,
    /// Where a person reads the same.
    home: String,
    /// `https://wiki.example.org`
    origin: String,
    rows: Vec<RecentRow>,
}

#[get("/feed.atom?<page>")]
async fn show_atom(
    page: Option<&str>,
    guest: Guest,
    authority: Authority,
    live: &State<Live>,
    config: &State<Config>,
) -> Result<Feed, Error> {
    let source = gather(page, guest, &authority, live, config).await?;
    let own = source.own_address("atom", page);
    let link = |rel: &str, href: String, mime: &str| atom::Link {
        rel: rel.to_owned(),
        href,
        mime_type: Some(mime.to_owned()),
        ..atom::Link::default()
    };
    let newest = source.rows.first().map_or(0, |row| row.revision.at_ms);
    let entries = source.rows.iter().map(|row| {
        let authors = row.revision.authors.iter();
        atom::Entry {
            id: source.entry_address(row),
            title: atom::Text::plain(legal(&entry_title(row))),
            updated: date(row.revision.at_ms),
            authors: authors
                .map(|author| atom::Person { name: legal(&author.name), ..atom::Person::default() })
                .collect(),
            links: vec![link("alternate", source.diff_address(row), "text/html")],
            summary: Some(atom::Text::plain(legal(&entry_text(row)))),
            ..atom::Entry::default()
        }
    });
    let feed = atom::Feed {
        id: own.clone(),
        title: atom::Text::plain(legal(&source.title)),
        updated: date(newest),
        entries: entries.collect(),
        links: vec![
            link("self", own, "application/atom+xml"),
            link("alternate", source.home.clone(), "text/html"),
        ],
        // An entry may have no author of its own, and then there must be one here.
        authors: vec![atom::Person { name: config.site_name.clone(), ..atom::Person::default() }],
        generator: Some(atom::Generator {
            value: "Halley".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            uri: None,
        }),
        ..atom::Feed::default()
    };
    let kind = ContentType::new("application", "atom+xml").with_params(("charset", "utf-8"));
    Ok(Feed { body: feed.to_string(), kind })
}

#[get("/feed.json?<page>")]
async fn show_json(
    page: Option<&str>,
    guest: Guest,
    authority: Authority,
    live: &State<Live>,
    config: &State<Config>,
) -> Result<Feed, Error> {
    let source = gather(page, guest, &authority, live, config).await?;
    let items = source.rows.iter().map(|row| {
        let authors = row.revision.authors.iter();
        json!({
            "id": source.entry_address(row),
            "url": source.diff_address(row),
            "title": entry_title(row),
            "content_text": entry_text(row),
            "date_published": time::iso(row.revision.at_ms),
            "authors": authors.map(|author| json!({ "name": author.name })).collect::<Vec<_>>(),
        })
    });
    let feed = json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": source.title,
        "home_page_url": source.home,
        "feed_url": source.own_address("json", page),
        "items": items.collect::<Vec<_>>(),
    });
    let kind = ContentType::new("application", "feed+json");
    Ok(Feed { body: feed.to_string(), kind })
}

async fn gather(
    page: Option<&str>,
    guest: Guest,
    authority: &Authority,
    live: &Live,
    config: &Config,
) -> Result<Source, Error> {
    let origin = authority.origin(config);
    let site = &config.site_name;
    let Some(page) = page else {
        require(&guest, Action::List, None)?;
        let allowed = move |page: &_| may(&guest, Action::Read, Some(page));
        let query = RecentQuery { limit: ENTRIES, ..RecentQuery::default() };
        let rows = live.recent(query, allowed).await?.closed;
        let home = format!("{origin}/recent");
        return Ok(Source { title: format!("Recent changes · {site}"), home, origin, rows });
    };
    let path: PagePath = page.parse()?;
    let page = find(live, &path)?;
    require(&guest, Action::Read, Some(&page))?;
    let query = HistoryQuery { limit: ENTRIES, ..HistoryQuery::default() };
    let closed = live.history(page.id, &query).await?.closed;
    let rows = closed.into_iter().map(|revision| RecentRow { page: page.clone(), revision });
    let home = format!("{origin}/history/{}", page.path.to_url());
    Ok(Source { title: format!("{} · {site}", title(&page)), home, origin, rows: rows.collect() })
}

impl Source {
    fn own_address(&self, form: &str, page: Option<&str>) -> String {
        let page = page.and_then(|page| page.parse::<PagePath>().ok());
        let query = page.map(|page| format!("?page={}", page.to_url())).unwrap_or_default();
        format!("{}/feed.{form}{query}", self.origin)
    }

    fn entry_address(&self, row: &RecentRow) -> String {
        format!("{}{}?rev={}", self.origin, wiki_url(&row.page.path), row.revision.last)
    }

    fn diff_address(&self, row: &RecentRow) -> String {
        let (path, revision) = (row.page.path.to_url(), &row.revision);
        let (from, to) = (revision.before(), revision.last);
        format!("{}/diff/{path}?from={from}&to={to}", self.origin)
    }
}

/// Without the characters that XML 1.0 (2.2) has no way to write.
fn legal(text: &str) -> String {
    let is_char = |c: &char| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => *c >= ' ',
    };
    text.chars().filter(is_char).collect()
}

fn title(page: &PageInfo) -> &str {
    page.title.as_deref().unwrap_or_else(|| page.path.name())
}

fn entry_title(row: &RecentRow) -> String {
    let title = title(&row.page);
    row.revision.name.as_ref().map_or_else(|| title.to_owned(), |name| format!("{title}: {name}"))
}

/// `Ann and Bob; 120 bytes more`
fn entry_text(row: &RecentRow) -> String {
    let revision = &row.revision;
    let mut names: Vec<_> = revision.authors.iter().map(|author| author.name.clone()).collect();
    if revision.others > 0 {
        names.push(format!("{} more", revision.others));
    }
    let last = names.pop().unwrap_or_default();
    let who = if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) };
    let size = match (revision.was, revision.bytes) {
        (was, is) if is > was => format!("{} bytes more", is - was),
        (was, is) if is < was => format!("{} bytes less", was - is),
        _ => "as long as before".to_owned(),
    };
    format!("{who}; {size}")
}

fn date(ms: u64) -> atom::FixedDateTime {
    time::iso(ms).parse().unwrap_or_default()
}
