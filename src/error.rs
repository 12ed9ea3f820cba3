//! Errors as people and programs see them: one table of statuses, one responder.
//!
//! An [`Error`] has two texts. The sentence goes to whoever asked; what the log needs to know is
//! kept apart and written once, when the response is made. Below `/api` and `/_live`, and where
//! JSON is asked for, an error is `{"error":{"code","message"}}`; elsewhere it is a page.

mod catch;
mod table;

pub(crate) use catch::keep;
pub use catch::{catchers, fail};
pub use table::Kind;

use std::borrow::Cow;

use rocket::http::{Accept, ContentType, MediaType, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use serde_json::{Map, Value, json};

use crate::live::LiveError;
use crate::live::gate::Refusal;
use crate::live::visits::MAX_WATCHES;
use crate::logging::RequestId;
use crate::page::PathError;
use crate::store::StoreError;
use crate::views;

/// Something that was asked for and is not done.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: Cow<'static, str>,
    detail: Option<String>,
    retry_after_secs: Option<u64>,
    allow: Option<String>,
    extra: Map<String, Value>,
}

impl Error {
    /// An error with the usual sentence of its kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            message: Cow::Borrowed(kind.sentence()),
            detail: None,
            retry_after_secs: kind.retry_after_secs(),
            allow: None,
            extra: Map::new(),
        }
    }

    /// The same with a sentence of its own. It is shown to whoever asked.
    #[must_use]
    pub fn saying(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds what only the log should know.
    #[must_use]
    pub fn because(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds a field beside `error` in the JSON answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_secs(mut self, seconds: u64) -> Self {
        self.retry_after_secs = Some(seconds);
        self
    }

    /// Which error it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for whoever asked.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> Status {
        self.kind.status()
    }

    /// When to try again, in seconds.
    #[must_use]
    pub fn try_again_secs(&self) -> Option<u64> {
        self.retry_after_secs
    }

    /// Writes into the log what only it should know, for an answer with this id.
    pub fn note(&self, id: &RequestId) {
        if let Some(detail) = &self.detail {
            let level =
                if self.status().code >= 500 { log::Level::Error } else { log::Level::Info };
            log::log!(level, "{id} {}: {}", self.kind.code(), detail.escape_debug());
        }
    }

    /// The answer to a program.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = self.extra.clone();
        body.insert(
            "error".to_owned(),
            json!({ "code": self.kind.code(), "message": self.message }),
        );
        Value::Object(body)
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::new(Kind::BadPath).saying(error.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::DiskFull => Kind::DiskFull,
            StoreError::TooLarge => Kind::TooLarge,
            StoreError::Stopped | StoreError::Locked | StoreError::Crowded => Kind::Busy,
            StoreError::Damaged(_)
            | StoreError::Lost(_)
            | StoreError::TooNew { .. }
            | StoreError::Io(_) => Kind::Internal,
        };
        let mut made = Self::new(kind);
        if matches!(error, StoreError::Lost(_)) {
            made = made.saying(
                "A part of this page's history is damaged on the server's disk. Whoever runs the \
                 server can put it back from a backup.",
            );
        }
        if kind == Kind::Internal { made.because(error) } else { made }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::TooLarge(_) => Kind::TooLarge,
            Refusal::Broken(_) => Kind::BrokenUpdate,
            Refusal::Forged(_) => Kind::Forged,
            Refusal::Behind { .. } => Kind::Behind,
            Refusal::Missing => Kind::Missing,
        };
        Self::new(kind).because(refusal)
    }
}

impl From<LiveError> for Error {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::NoPage => Kind::NoPage.into(),
            LiveError::Deleted => Kind::PageDeleted.into(),
            LiveError::Erased => Self::new(Kind::UnknownRevision).saying(
                "Something was erased from this page since the text was loaded that this edit \
                 starts from. Load the page again and make the edit there.",
            ),
            LiveError::UnknownRevision => Kind::UnknownRevision.into(),
            LiveError::PageFull => Kind::PageFull.into(),
            LiveError::TooManyWatches => {
                let sentence = format!(
                    "You watch {MAX_WATCHES} pages, and more are not possible. Watch a page with all below it, or stop watching some."
                );
                Self::new(Kind::BadInput).saying(sentence)
            }
            LiveError::Refused(refusal) => refusal.into(),
            LiveError::HistoryTooLong => Kind::HistoryTooLong.into(),
            LiveError::Busy => Kind::Busy.into(),
            LiveError::Store(error) => error.into(),
            LiveError::Document(error) => Self::new(Kind::Internal).because(error),
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"error": ...}`
    Json,
    /// A page.
    Html,
    /// The sentence and nothing else.
    Text,
}

impl Form {
    /// What the asker can read best.
    #[must_use]
    pub fn wanted(request: &Request<'_>) -> Self {
        let path = request.uri().path().as_str();
        let below = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|r| r.is_empty() || r.starts_with('/'))
        };
        if below("/api") || below("/_live") || below("/healthz") || accepts_json(request) {
            return Self::Json;
        }
        let named = accept(request).is_some_and(|a| names(a, &MediaType::HTML));
        if !named && (below("/raw") || below("/static") || path == "/sw.js") {
            return Self::Text;
        }
        Self::Html
    }
}

/// Longest `Accept` that is looked at, in bytes; browsers send about 150.
const MAX_ACCEPT_BYTES: usize = 2048;

/// What a client takes. Nothing when the header is absurdly long: Rocket 0.5 needs time that grows
/// with the square of its length, seconds for what fits into the head of one request.
pub(crate) fn accept<'r>(request: &'r Request<'_>) -> Option<&'r Accept> {
    let length: usize = request.headers().get("Accept").map(str::len).sum();
    if length > MAX_ACCEPT_BYTES { None } else { request.accept() }
}

/// True when JSON is asked for by name, and HTML is not.
#[must_use]
pub fn accepts_json(request: &Request<'_>) -> bool {
    accept(request)
        .is_some_and(|accept| names(accept, &MediaType::JSON) && !names(accept, &MediaType::HTML))
}

fn names(accept: &Accept, wanted: &MediaType) -> bool {
    accept.media_types().any(|t| t.top() == wanted.top() && t.sub() == wanted.sub())
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        self.note(RequestId::of(request));
        let mut response = match Form::wanted(request) {
            Form::Json => (ContentType::JSON, self.to_json().to_string()).respond_to(request)?,
            Form::Text => {
                (ContentType::Plain, format!("{}\n", self.message)).respond_to(request)?
            }
            Form::Html => views::error_page(request, &self).unwrap_or_else(|| self.bare_page()),
        };
        response.set_status(self.status());
        if let Some(seconds) = self.retry_after_secs {
            response.set_raw_header("Retry-After", seconds.to_string());
        }
        if let Some(allow) = self.allow {
            response.set_raw_header("Allow", allow);
        }
        Ok(response)
    }
}

impl Error {
    /// What is shown when even the template for errors cannot be.
    fn bare_page(&self) -> Response<'static> {
        // Every sentence that quotes what was sent goes through the escaping here.
        let message = self.message.replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<!doctype html><title>{0}</title><h1>{0}</h1><p>{message}",
            self.kind.heading()
        );
        Response::build()
            .header(ContentType::HTML)
            .sized_body(page.len(), std::io::Cursor::new(page))
            .finalize()
    }
}
