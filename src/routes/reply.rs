//! Answers that several resources give.

use std::io::Cursor;

use rocket::http::{ContentType, Method, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use serde_json::Value;

use crate::live::PageInfo;
use crate::page::Revision;
use crate::views::Html;

/// A page or a way to one.
#[derive(Responder)]
#[expect(clippy::large_enum_variant, reason = "made once per request and moved twice")]
pub enum Reply {
    /// A page.
    Html(Html),
    /// Another address.
    Redirect(Redirect),
}

/// Sends a browser to another address of this wiki.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirect {
    status: Status,
    location: String,
}

impl Redirect {
    /// After a write: 303, so that reloading does not write again.
    #[must_use]
    pub fn see_other(location: impl Into<String>) -> Self {
        Self { status: Status::SeeOther, location: location.into() }
    }

    /// The one right address of the same thing: 308.
    #[must_use]
    pub fn canonical(location: impl Into<String>) -> Self {
        Self { status: Status::PermanentRedirect, location: location.into() }
    }
}

impl<'r> Responder<'r, 'static> for Redirect {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build().status(self.status).raw_header("Location", self.location).ok()
    }
}

/// `"7"`: the entity tag of a page at a revision.
#[must_use]
pub fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// The entity tag of a page at a revision, as it is read. What was erased since has changed an old
/// revision, of which somebody may still have a copy.
#[must_use]
pub fn etag_of(page: &PageInfo, revision: Revision) -> String {
    let erased = page.erased.iter().map(|mark| mark.rev).filter(|rev| *rev > revision).max();
    match erased {
        Some(rev) => format!("\"{revision}-e{rev}\""),
        None => etag(revision),
    }
}

/// True when `If-None-Match` names this tag, so that the client has the answer already
/// (RFC 9110, 13.1.2; weak comparison).
#[must_use]
pub fn is_known(request: &Request<'_>, etag: &str) -> bool {
    request.headers().get("If-None-Match").flat_map(|line| line.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// A JSON answer.
#[derive(Debug)]
pub struct Api {
    status: Status,
    body: Value,
    etag: Option<String>,
    location: Option<String>,
}

impl Api {
    /// 200 with a body.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self { status: Status::Ok, body, etag: None, location: None }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Adds an `ETag`, such as [`etag_of`] one.
    #[must_use]
    pub fn tagged(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self
    }

    /// Adds the page's revision as `ETag`.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.etag = Some(etag(revision));
        self
    }

    /// Says where the new thing is.
    #[must_use]
    pub fn located(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

impl<'r> Responder<'r, 'static> for Api {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let body = self.body.to_string();
        let mut response = Response::build();
        if let Some(etag) = self.etag {
            if self.status == Status::Ok
                && matches!(request.method(), Method::Get | Method::Head)
                && is_known(request, &etag)
            {
                return not_modified(etag);
            }
            response
                .raw_header("ETag", etag)
                .raw_header("Cache-Control", "private, no-cache")
                // The same address gives Markdown as well.
                .raw_header("Vary", "Accept");
        }
        if let Some(location) = self.location {
            response.raw_header("Location", location);
        }
        response
            .status(self.status)
            .header(ContentType::JSON)
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

/// 304.
pub(super) fn not_modified(etag: String) -> response::Result<'static> {
    Response::build()
        .status(Status::NotModified)
        .raw_header("ETag", etag)
        .raw_header("Cache-Control", "private, no-cache")
        .ok()
}

/// A page's Markdown.
#[derive(Debug)]
pub struct Markdown {
    /// The text.
    pub text: String,
    /// See [`etag_of`].
    pub etag: String,
}

impl<'r> Responder<'r, 'static> for Markdown {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let etag = self.etag;
        if is_known(request, &etag) {
            return not_modified(etag);
        }
        Response::build()
            .header(ContentType::new("text", "markdown").with_params(("charset", "utf-8")))
            .raw_header("ETag", etag)
            .raw_header("Cache-Control", "private, no-cache")
            .raw_header("Vary", "Accept")
            .sized_body(self.text.len(), Cursor::new(self.text))
            .ok()
    }
}
