//! `GET /_live/events`: the one way to read, on three rungs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rocket::form::FromForm;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use rocket::{State, get, post};
use tokio::io::{AsyncRead, ReadBuf};

use super::caller::{Caller, client_id, may_follow, op_id};
use super::{LiveJson, NothingNew, STREAM_TYPE, forbid_holding_back};
use crate::error::{Error, Kind};
use crate::live::Live;
use crate::live::batch::Batch;
use crate::live::cursor::{Cursor, random_base32};
use crate::live::presence::Rung;
use crate::live::stream::{Stream, StreamRequest};
use crate::live::topic::Topic;

/// Longest held request. Generally safe behind proxies (RFC 6202, section 5.5).
const MAX_WAIT_SECS: u64 = 25;

/// How often a client that is told to poll should.
const POLL_INTERVAL_MS: u64 = 2_000;

/// A 304 keeps the client's cursor; after this many events elsewhere it is moved along.
const STALE_EVENTS: u64 = 10_000;

/// Where a request begins, by header: set by `EventSource` when it reconnects.
pub struct LastEventId(Option<Cursor>);

/// `If-None-Match`, without its quotes.
pub struct IfNoneMatch(pub(super) Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for LastEventId {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::new(request.headers().get_one("Last-Event-ID")))
    }
}

impl LastEventId {
    /// Reads the header; what is no cursor counts as none.
    pub fn new(header: Option<&str>) -> Self {
        Self(header.and_then(|id| id.parse().ok()))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for IfNoneMatch {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::new(request.headers().get_one("If-None-Match")))
    }
}

impl IfNoneMatch {
    /// Reads the header.
    pub fn new(header: Option<&str>) -> Self {
        Self(header.map(|tag| {
            // An intermediary that compresses makes the tag weak.
            tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
        }))
    }
}

/// The query.
#[derive(FromForm)]
pub struct Query<'r> {
    pub mode: Option<&'r str>,
    pub cursor: Option<&'r str>,
    pub topics: Option<&'r str>,
    pub client: Option<&'r str>,
    pub nonce: Option<&'r str>,
    pub wait: Option<&'r str>,
    pub pad: Option<&'r str>,
    /// A stream on trial beside a lower rung. It is served like any other.
    #[expect(dead_code, reason = "accepted, so that logs on the way can tell trials apart")]
    pub shadow: Option<&'r str>,
}

/// A checked request.
pub struct Asked {
    cursor: Cursor,
    topics: Vec<Topic>,
    client: String,
    nonce: String,
    wait: Duration,
    pad: bool,
}

/// What is answered.
#[derive(Responder)]
pub enum Answer {
    Stream(Box<StreamAnswer>),
    Json(LiveJson),
    NothingNew(NothingNew),
}

/// Events after a cursor.
#[get("/events?<query..>")]
pub async fn read_events(
    query: Query<'_>,
    last: LastEventId,
    tag: IfNoneMatch,
    caller: Caller,
    live: &State<Live>,
) -> Result<Answer, Error> {
    let asked = check(&query, &last, &caller, live)?;
    match query.mode.unwrap_or("stream") {
        "stream" => Ok(open_stream(asked, caller, live)),
        "hold" => hold(asked, &caller, live).await,
        "poll" => Ok(poll(asked, &tag, &caller, live)),
        _ => Err(Error::new(Kind::BadRequest).saying("A mode is stream, hold or poll.")),
    }
}

/// The same for networks whose caches answer a GET themselves. Reading changes nothing, so no
/// proof of origin is asked for.
#[post("/events?<query..>")]
pub async fn post_events(
    query: Query<'_>,
    last: LastEventId,
    caller: Caller,
    live: &State<Live>,
) -> Result<Answer, Error> {
    let asked = check(&query, &last, &caller, live)?;
    match query.mode {
        Some("hold") => hold(asked, &caller, live).await,
        Some("poll") => Ok(poll(asked, &IfNoneMatch(None), &caller, live)),
        _ => Err(Error::new(Kind::BadRequest).saying("By POST a mode is hold or poll.")),
    }
}

pub fn check(
    query: &Query<'_>,
    last: &LastEventId,
    caller: &Caller,
    live: &Live,
) -> Result<Asked, Error> {
    let cursor = match (last.0, query.cursor.filter(|cursor| !cursor.is_empty())) {
        (Some(cursor), _) => cursor,
        (None, Some(cursor)) => cursor
            .parse()
            .map_err(|error| Error::new(Kind::BadCursor).saying(format!("{error}")))?,
        (None, None) => live.hub().head(),
    };
    let topics = Topic::parse_list(query.topics.unwrap_or("site"))
        .map_err(|error| Error::new(Kind::BadTopic).saying(error.to_string()))?;
    for topic in &topics {
        if topic.page().is_some_and(|id| live.pages().get(id).is_none()) {
            return Err(Error::new(Kind::NoPage).saying(format!("There is no page for {topic}.")));
        }
        if !may_follow(live, &caller.guest, *topic) {
            return Err(Kind::Forbidden.into());
        }
    }
    let client = match query.client {
        Some(client) => client_id(client)?.to_owned(),
        None => random_base32::<16>().map(char::from).iter().collect(),
    };
    let nonce = query.nonce.map(op_id).transpose()?.unwrap_or_default().to_owned();
    let wait = match query.wait {
        None => MAX_WAIT_SECS,
        Some(wait) => wait.parse().map_err(|_| {
            Error::new(Kind::BadRequest).saying("wait is a whole number of seconds.")
        })?,
    };
    let wait = Duration::from_secs(wait.min(MAX_WAIT_SECS));
    Ok(Asked { cursor, topics, client, nonce, wait, pad: query.pad == Some("1") })
}

/// Opens a stream, or advises to poll.
pub fn open_stream(asked: Asked, caller: Caller, live: &Live) -> Answer {
    let opened = live.open_stream(asked.topics, caller.browser.as_deref(), Some(caller.address));
    let (listener, permit) = match opened {
        Ok(opened) => opened,
        // Not an error: the same guarantees hold on the rung that is advised.
        Err(why) => {
            // Its tab is there, and polls only after the interval.
            live.presence().renew(&asked.client, &caller.guest.id, Rung::Poll);
            let advice = serde_json::json!({
                "mode": "poll", "interval_ms": POLL_INTERVAL_MS, "why": why,
            });
            let json = format!(
                r#"{{"nonce":"{}","from":"{1}","to":"{1}","events":[],"more":false,"reset":false,"advice":{advice}}}"#,
                asked.nonce, asked.cursor
            );
            return Answer::Json(LiveJson::new(json));
        }
    };
    let lease = live.presence().stream_opened(&asked.client, &caller.guest.id);
    let allowed = {
        let live = live.clone();
        let guest = caller.guest;
        Box::new(move |topic| may_follow(&live, &guest, topic))
    };
    let request = StreamRequest {
        cursor: asked.cursor,
        client: asked.client,
        nonce: asked.nonce,
        pad: asked.pad,
    };
    let stream = Stream::new(listener, request, allowed, lease, permit);
    Answer::Stream(Box::new(StreamAnswer { stream, frame: String::new(), sent: 0 }))
}

/// Waits for events, not for ever.
pub async fn hold(asked: Asked, caller: &Caller, live: &Live) -> Result<Answer, Error> {
    live.presence().renew(&asked.client, &caller.guest.id, Rung::Hold);
    let mut batch = Batch::read(live.hub(), &asked.topics, asked.cursor);
    if batch.is_empty() && !asked.wait.is_zero() {
        // A request that is held costs about as much as a stream.
        let _permit = match live.open_hold(caller.browser.as_deref(), Some(caller.address)) {
            Ok(permit) => permit,
            Err(why) => {
                return Ok(Answer::Json(answer(&batch, &asked.nonce, Some(why))));
            }
        };
        // Dropped when the client goes, where that is noticed.
        let lease = live.presence().hold_opened(&asked.client, &caller.guest.id);
        // The listener comes before the second look, so nothing falls between.
        let listener = live.hub().listen(asked.topics.clone());
        let waiting = listener.after(asked.cursor);
        let _ = tokio::time::timeout(asked.wait, waiting).await;
        lease.answered();
        batch = Batch::read(live.hub(), &asked.topics, asked.cursor);
    }
    for topic in &asked.topics {
        if !may_follow(live, &caller.guest, *topic) {
            return Err(Kind::Forbidden.into());
        }
    }
    Ok(Answer::Json(answer(&batch, &asked.nonce, None)))
}

/// Looks for events.
pub fn poll(asked: Asked, tag: &IfNoneMatch, caller: &Caller, live: &Live) -> Answer {
    live.presence().renew(&asked.client, &caller.guest.id, Rung::Poll);
    let batch = Batch::read(live.hub(), &asked.topics, asked.cursor);
    let known = asked.cursor.to_string();
    if batch.is_empty()
        && tag.0.as_deref() == Some(&known)
        && batch.to.seq - asked.cursor.seq < STALE_EVENTS
    {
        return Answer::NothingNew(NothingNew { etag: known });
    }
    Answer::Json(answer(&batch, &asked.nonce, None))
}

/// `full` says why the client should poll from now on.
fn answer(batch: &Batch, nonce: &str, full: Option<&str>) -> LiveJson {
    let advice = serde_json::json!({
        "mode": full.map(|_| "poll"),
        "wait": MAX_WAIT_SECS,
        "interval_ms": POLL_INTERVAL_MS,
        "why": full,
    });
    let body = format!(r#"{{"nonce":"{nonce}",{},"advice":{advice}}}"#, batch.json_fields());
    LiveJson { body, etag: Some(batch.to.to_string()) }
}

/// The body of a streamed answer.
pub struct StreamAnswer {
    pub stream: Stream,
    frame: String,
    sent: usize,
}

impl AsyncRead for StreamAnswer {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.sent == this.frame.len() {
            this.sent = 0;
            this.frame.clear();
            match ready!(this.stream.poll_frame(cx)) {
                Some(frame) => this.frame = frame,
                None => return Poll::Ready(Ok(())),
            }
        }
        let rest = &this.frame.as_bytes()[this.sent..];
        let part = &rest[..rest.len().min(buffer.remaining())];
        buffer.put_slice(part);
        this.sent += part.len();
        Poll::Ready(Ok(()))
    }
}

impl<'r> Responder<'r, 'static> for Box<StreamAnswer> {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build().streamed_body(*self).finalize();
        response.set_raw_header("Content-Type", STREAM_TYPE);
        forbid_holding_back(&mut response);
        Ok(response)
    }
}
