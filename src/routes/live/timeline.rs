//! A page's whole life, for blame and playback in the browser.

use rocket::http::{ContentType, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::{State, get};

use super::caller::Caller;
use super::events::IfNoneMatch;
use crate::error::{Error, Kind};
use crate::live::Live;
use crate::rights::Action;
use crate::routes::gzip::{Gzip, compressed};

/// A timeline by columns, or that it is the one that the caller has.
pub struct TimelineAnswer {
    tag: String,
    /// `None`: 304.
    body: Option<Vec<u8>>,
    gzip: bool,
}

impl<'r> Responder<'r, 'static> for TimelineAnswer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        // May be kept by the one browser that may see it, which asks each time whether it is new.
        response
            .raw_header("Cache-Control", "private, no-cache")
            .raw_header("ETag", format!("\"{}\"", self.tag))
            .raw_header("Vary", "Accept-Encoding")
            .raw_header("X-Content-Type-Options", "nosniff");
        if self.gzip {
            response.raw_header("Content-Encoding", "gzip");
        }
        match self.body {
            Some(body) => response
                .header(ContentType::JSON)
                .sized_body(body.len(), std::io::Cursor::new(body))
                .ok(),
            None => response.status(Status::NotModified).ok(),
        }
    }
}

/// See [`crate::live::timeline::columns`].
#[get("/pages/<id>/timeline")]
pub async fn read_timeline(
    id: Option<u64>,
    caller: Caller,
    known: IfNoneMatch,
    takes: Gzip,
    live: &State<Live>,
) -> Result<TimelineAnswer, Error> {
    let page = caller.page(live, id, Action::ReadHistory)?;
    let timeline = live.timeline(page).await?;
    let names = live.timeline_names(&timeline).await?;
    let tag = timeline.tag(&names);
    if known.0.as_ref() == Some(&tag) {
        return Ok(TimelineAnswer { tag, body: None, gzip: false });
    }
    // A large one takes some milliseconds to write, and is near a megabyte.
    let written = rocket::tokio::task::spawn_blocking(move || {
        let json = timeline.to_json(&names)?.into_bytes();
        let copy = if takes.0 { compressed(&json) } else { None };
        Ok::<_, serde_json::Error>((copy.is_some(), copy.unwrap_or(json)))
    });
    let failed = |error: &dyn std::fmt::Display| Error::new(Kind::Internal).because(error);
    let written = written.await.map_err(|error| failed(&error))?;
    let (gzip, body) = written.map_err(|error| failed(&error))?;
    Ok(TimelineAnswer { tag, body: Some(body), gzip })
}
