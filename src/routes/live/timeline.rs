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

/// A timeline by columns, or that it is the one that the caller has.
pub struct TimelineAnswer {
    tag: String,
    /// `None`: 304.
    body: Option<String>,
}

impl<'r> Responder<'r, 'static> for TimelineAnswer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        // May be kept by the one browser that may see it, which asks each time whether it is new.
        response
            .raw_header("Cache-Control", "private, no-cache")
            .raw_header("ETag", format!("\"{}\"", self.tag))
            .raw_header("X-Content-Type-Options", "nosniff");
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
    live: &State<Live>,
) -> Result<TimelineAnswer, Error> {
    let page = caller.page(live, id, Action::Read)?;
    let timeline = live.timeline(page).await?;
    let names = live.timeline_names(&timeline).await?;
    let tag = timeline.tag(&names);
    if known.0.as_ref() == Some(&tag) {
        return Ok(TimelineAnswer { tag, body: None });
    }
    // A large one takes some milliseconds to write.
    let written = rocket::tokio::task::spawn_blocking(move || timeline.to_json(&names)).await;
    let failed = |error: &dyn std::fmt::Display| Error::new(Kind::Internal).because(error);
    let body = written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(TimelineAnswer { tag, body: Some(body) })
}
