//! `/api/v1`: pages for programs.
//!
//! An address of the API takes any spelling of a page's path and answers with the right one.

mod condition;

use rocket::data::{Data, ToByteUnit};
use rocket::fairing::AdHoc;
use rocket::http::{MediaType, Status};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::{Responder, State, delete, get, post, put, routes};
use serde_json::{Value, json};

use self::condition::Condition;
use super::body::read_text;
use super::history::spend_change;
use super::read::{matching, parse_revision};
use super::reply::{Api, Markdown, etag_of};
use super::target::{Target, find, find_any};
use crate::error::{Error, Kind, accept, fail};
use crate::identity::Guest;
use crate::live::{Author, Live, PageInfo};
use crate::origin::{ClientAddr, WriteGuard};
use crate::page::{MAX_TEXT_BYTES, Revision};
use crate::rights::{Action, require};
use crate::time;

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("API", |rocket| async {
        rocket.mount("/", routes![list_pages, get_page, put_page, delete_page, restore_page])
    })
}

#[get("/api/v1/pages?<q>", rank = 1)]
fn list_pages(q: Option<&str>, guest: Guest, live: &State<Live>) -> Result<Api, Error> {
    require(&guest, Action::List, None)?;
    let pages = matching(live.pages().list(), q.unwrap_or_default());
    let pages: Vec<_> = pages.iter().map(|page| summary(page, page.head)).collect();
    Ok(Api::ok(json!({ "pages": pages })))
}

fn summary(page: &PageInfo, revision: Revision) -> Value {
    json!({
        "id": page.id,
        "path": page.path,
        "title": page.title.as_deref().unwrap_or_else(|| page.path.name()),
        "revision": revision,
        "updated_ms": page.updated_ms,
        "updated": time::iso(page.updated_ms),
    })
}

#[derive(Responder)]
enum Read {
    Json(Api),
    Text(Markdown),
}

/// True when the text itself is asked for rather than JSON around it.
struct WantsText(bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for WantsText {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let wants = accept(request).is_some_and(|accept| {
            let best = accept.preferred().media_type();
            best.top() == "text" && (best.sub() == "markdown" || best.sub() == "plain")
        });
        Outcome::Success(Self(wants))
    }
}

#[get("/api/v1/pages/<_..>?<rev>", rank = 2)]
async fn get_page(
    target: Target,
    rev: Option<&str>,
    guest: Guest,
    wants: WantsText,
    live: &State<Live>,
) -> Result<Read, Error> {
    // What a deleted page was can still be read.
    let (page, action) = match rev {
        None => (find(live, &target.path)?, Action::Read),
        Some(_) => (find_any(live, &target.path)?, Action::ReadHistory),
    };
    require(&guest, action, Some(&page))?;
    let (text, revision) = match rev.map(parse_revision).transpose()? {
        None => {
            let now = live.view(page.id).await?;
            (now.text, now.revision)
        }
        Some(rev) => (live.text_at(page.id, rev).await?.ok_or(Kind::NoRevision)?, rev),
    };
    let etag = etag_of(&page, revision);
    if wants.0 {
        return Ok(Read::Text(Markdown { text: text.to_string(), etag }));
    }
    let mut body = summary(&page, revision);
    body["size"] = json!(text.len());
    body["text"] = json!(&*text);
    if let Some(deleted_ms) = page.deleted_ms {
        body["deleted"] = json!(time::iso(deleted_ms));
    }
    Ok(Read::Json(Api::ok(body).tagged(etag)))
}

/// The text of a PUT, checked before anything is made.
struct Markup<'r>(&'r Request<'r>);

impl Markup<'_> {
    fn says_its_length(&self) -> bool {
        let headers = self.0.headers();
        headers.contains("Content-Length") || headers.contains("Transfer-Encoding")
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Markup<'r> {
    type Error = Kind;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Kind> {
        let text =
            |t: &MediaType| t.top() == "text" && (t.sub() == "markdown" || t.sub() == "plain");
        let sent = request.headers().contains("Content-Type");
        if sent && !request.content_type().is_some_and(|t| text(t.media_type())) {
            let error = Error::new(Kind::WrongType)
                .saying("A page's text must be sent as text/markdown or text/plain.");
            return fail(request, error);
        }
        // UTF-16 may well be valid UTF-8, and would be kept as nonsense.
        let charset = request.content_type().and_then(|t| t.media_type().param("charset"));
        let is_read =
            |c: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|k| c.eq_ignore_ascii_case(k));
        if charset.is_some_and(|charset| !is_read(charset)) {
            let error = Error::new(Kind::WrongType).saying("A page's text must be sent as UTF-8.");
            return fail(request, error);
        }
        Outcome::Success(Self(request))
    }
}

#[put("/api/v1/pages/<_..>", data = "<data>")]
async fn put_page(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    condition: Condition,
    markup: Markup<'_>,
    live: &State<Live>,
    data: Data<'_>,
) -> Result<Api, Error> {
    let page = live.pages().find(&target.path);
    condition.check(page.as_ref().filter(|page| page.deleted_ms.is_none()))?;
    let action = if page.is_some() { Action::Write } else { Action::Create };
    require(&guest, action, page.as_ref())?;
    let text = read_text(markup.0, data, MAX_TEXT_BYTES.bytes()).await?;
    // A request without a body is not the wish to empty a page.
    if text.is_empty() && page.is_some() && !markup.says_its_length() {
        return Err(Kind::LengthRequired.into());
    }
    let author = Author::from(&guest);
    let (page, made) = match page {
        Some(page) => (page, false),
        None => live.create(&target.path, &author).await?,
    };
    // Somebody made it while the text was on its way.
    condition.check((!made).then_some(&page))?;
    let base = if made { Revision(0) } else { condition.base(&page)? };
    let merged = live.merge_text(page.id, base, text, &author).await?;
    let answer = Api::ok(json!({
        "id": page.id,
        "path": page.path,
        "revision": merged.revision,
        "conflicts": merged.conflicts,
    }))
    .at(merged.revision);
    Ok(if made {
        answer.with_status(Status::Created).located(format!("/api/v1/pages/{}", page.path.to_url()))
    } else {
        answer
    })
}

#[delete("/api/v1/pages/<_..>")]
async fn delete_page(
    _guard: WriteGuard,
    target: Target,
    guest: Guest,
    address: ClientAddr,
    condition: Condition,
    live: &State<Live>,
) -> Result<Status, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Delete, Some(&page))?;
    condition.check_exact(&page)?;
    spend_change(live, &guest, &address)?;
    live.delete(page.id, &Author::from(&guest)).await?;
    Ok(Status::NoContent)
}

/// `POST /api/v1/pages/<path>/restore`: Rocket has no route for what follows a path.
#[post("/api/v1/pages/<_..>")]
async fn restore_page(
    _guard: WriteGuard,
    uri: &rocket::http::uri::Origin<'_>,
    guest: Guest,
    address: ClientAddr,
    live: &State<Live>,
) -> Result<Api, Error> {
    let rest = uri.path().as_str().strip_prefix("/api/v1/pages/").unwrap_or_default();
    let raw = rest.strip_suffix("/restore").ok_or(Kind::NotFound)?;
    let target = Target::parse(raw, None)?;
    let page = live.pages().find(&target.path).ok_or(Kind::NoPage)?;
    require(&guest, Action::Restore, Some(&page))?;
    if page.deleted_ms.is_some() {
        spend_change(live, &guest, &address)?;
        live.restore(page.id, &Author::from(&guest)).await?;
    }
    Ok(Api::ok(summary(&page, page.head)).at(page.head))
}
