//! The live protocol over HTTP: everything below `/_live`.
//!
//! The rules are in [`crate::live`]; this is how they reach a socket.

mod beats;
mod body;
mod caller;
mod direct;
mod documents;
mod events;
mod names;
mod probe;
mod timeline;

pub(crate) use direct::hook;

use rocket::fairing::AdHoc;
use rocket::http::{ContentType, Header, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};

/// Mounts the live protocol.
#[must_use]
pub fn stage() -> AdHoc {
    AdHoc::on_ignite("live protocol", |rocket| async {
        rocket.manage(timeline::Answers::default()).mount(
            "/_live",
            rocket::routes![
                events::read_events,
                events::post_events,
                beats::post_beat,
                beats::post_leave,
                documents::read_view,
                documents::read_doc,
                documents::post_doc,
                documents::open_session,
                documents::post_update,
                timeline::read_timeline,
                names::complete_name,
                names::post_report,
                probe::read_probe,
                probe::post_probe,
            ],
        )
    })
}

/// JSON that no cache may keep and no middlebox may hold back or change.
struct LiveJson {
    body: String,
    /// Cursor, for the answer to a poll.
    etag: Option<String>,
}

impl LiveJson {
    fn new(body: String) -> Self {
        Self { body, etag: None }
    }
}

impl<'r> Responder<'r, 'static> for LiveJson {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build()
            .header(ContentType::JSON)
            .sized_body(self.body.len(), std::io::Cursor::new(self.body))
            .finalize();
        if let Some(etag) = self.etag {
            response.set_raw_header("ETag", format!("\"{etag}\""));
        }
        forbid_holding_back(&mut response);
        Ok(response)
    }
}

/// Nothing is after the cursor: 304, without a body.
struct NothingNew {
    etag: String,
}

impl<'r> Responder<'r, 'static> for NothingNew {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build().status(Status::NotModified).finalize();
        response.set_raw_header("ETag", format!("\"{}\"", self.etag));
        forbid_holding_back(&mut response);
        Ok(response)
    }
}

/// Headers of every live answer. `Incremental` is RFC 10036, `X-Accel-Buffering` nginx's.
const LIVE_HEADERS: [(&str, &str); 4] = [
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
    ("Incremental", "?1"),
    ("X-Content-Type-Options", "nosniff"),
];

/// The type of a stream. No charset parameter: it is always UTF-8, and the parameter confuses
/// some filters.
const STREAM_TYPE: &str = "text/event-stream";

fn forbid_holding_back(response: &mut Response<'_>) {
    for (name, value) in LIVE_HEADERS {
        response.set_header(Header::new(name, value));
    }
}
