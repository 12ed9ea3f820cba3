//! A page's blocks and its document: reading both, writing the second.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rocket::http::ContentType;
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::{State, get, post};
use serde::Deserialize;

use super::body::{Bytes, Json};
use super::caller::{Caller, client_id, may_follow, op_id};
use super::{LiveJson, beats, forbid_holding_back};
use crate::error::{Error, Kind};
use crate::identity::KnownGuest;
use crate::live::batch::Batch;
use crate::live::cursor::Cursor;
use crate::live::gate::Refusal;
use crate::live::rate::Rate;
use crate::live::room_blocks;
use crate::live::topic::Topic;
use crate::live::{Live, LiveError};
use crate::origin::WriteGuard;
use crate::page::{MAX_TEXT_BYTES, PageId};
use crate::rights::{self, Action};

/// Largest body of an update. The gate's own limit is lower; between the two a caller learns why.
const MAX_UPDATE_BODY: u64 = 1024 * 1024;

/// More than typing makes, in bytes. What is larger may have to be tried on a copy of the page
/// first, and is limited like other changes as a whole.
const LARGE_UPDATE: usize = 2 * 1024;

/// Largest state vector a browser may send: 10 bytes for each of many thousand writers.
const MAX_STATE_VECTOR: u64 = 256 * 1024;

/// A page's blocks now, for whoever cannot apply a change.
#[get("/pages/<id>/view")]
pub async fn read_view(
    id: Option<u64>,
    caller: Caller,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    // Before the look, so that a restoration that comes between is not missed.
    let cursor = live.cursor();
    caller.page(live, id, Action::ReadHistory)?;
    let info = id.and_then(|id| live.pages().get(PageId(id))).ok_or(Kind::NoPage)?;
    let deleted = info.deleted_ms.is_some();
    if deleted {
        let body = serde_json::json!({
            "cursor": cursor, "rev": info.head, "title": null, "blocks": [], "deleted": true,
        });
        return Ok(LiveJson::new(body.to_string()));
    }
    caller.page(live, info.id.0, Action::Read)?;
    let view = live.view(info.id).await?;
    let body = serde_json::json!({
        "cursor": view.cursor,
        "rev": view.rendered_revision,
        "title": view.rendered.title,
        "blocks": room_blocks(&view.rendered),
        "deleted": false,
    });
    Ok(LiveJson::new(body.to_string()))
}

/// A Yjs update, with where to go on from.
pub struct DocAnswer {
    cursor: String,
    revision: u64,
    update: Vec<u8>,
}

impl<'r> Responder<'r, 'static> for DocAnswer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build()
            .header(ContentType::Binary)
            .raw_header("Halley-Cursor", self.cursor)
            .raw_header("Halley-Revision", self.revision.to_string())
            .sized_body(self.update.len(), std::io::Cursor::new(self.update))
            .finalize();
        forbid_holding_back(&mut response);
        Ok(response)
    }
}

/// What a document has beyond a state vector.
#[get("/pages/<id>/doc?<sv>")]
pub async fn read_doc(
    id: Option<u64>,
    sv: Option<&str>,
    caller: Caller,
    live: &State<Live>,
) -> Result<DocAnswer, Error> {
    let sv = sv.filter(|sv| !sv.is_empty()).map(decode_state_vector).transpose()?;
    doc_after(id, sv.as_deref(), &caller, live).await
}

/// The same with the state vector as body: it grows with the number of writers, and proxies
/// take 8 KiB of address at most. Reading changes nothing, so no proof of origin is asked for.
#[post("/pages/<id>/doc", data = "<body>")]
pub async fn post_doc(
    id: Option<u64>,
    caller: Caller,
    body: Bytes<{ MAX_STATE_VECTOR }>,
    live: &State<Live>,
) -> Result<DocAnswer, Error> {
    doc_after(id, Some(&body.0).filter(|sv| !sv.is_empty()).map(Vec::as_slice), &caller, live).await
}

async fn doc_after(
    id: Option<u64>,
    sv: Option<&[u8]>,
    caller: &Caller,
    live: &State<Live>,
) -> Result<DocAnswer, Error> {
    let page = caller.page(live, id, Action::Read)?;
    let diff = live.doc(page, sv).await.map_err(|error| match error {
        LiveError::Document(error) => {
            Error::new(Kind::BadInput).saying("The state vector could not be read.").because(error)
        }
        other => other.into(),
    })?;
    Ok(DocAnswer {
        cursor: diff.cursor.to_string(),
        revision: diff.revision.0,
        update: diff.update,
    })
}

fn decode_state_vector(text: &str) -> Result<Vec<u8>, Error> {
    let bad = || Error::new(Kind::BadInput).saying("sv is a state vector in base64url.");
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| bad())
}

#[derive(Deserialize)]
pub struct SessionBody {
    client: String,
}

/// Issues a Yjs client id for this login and page.
#[post("/pages/<id>/session", data = "<body>")]
pub async fn open_session(
    id: Option<u64>,
    _write: WriteGuard,
    known: KnownGuest,
    caller: Caller,
    body: Json<SessionBody, 1024>,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    caller.spend(live, Rate::Changes, 1)?;
    client_id(&body.0.client)?;
    let page = caller.page(live, id, Action::Write)?;
    let issued = live.issue_client(page, &caller.author()).await?;
    let info = live.pages().get(page).ok_or(Kind::NoPage)?;
    let write = rights::may(&known.0, Action::Write, Some(&info));
    let body = serde_json::json!({
        "client_id": issued,
        "you": beats::you(&caller),
        "rights": { "read": true, "write": write },
        "path": info.path,
        "limits": { "text_bytes": MAX_TEXT_BYTES, "update_bytes": crate::live::gate::Limits::BROWSER.bytes },
    });
    Ok(LiveJson::new(body.to_string()))
}

/// Accepts one update; the answer comes once it is on disk.
#[post("/pages/<id>/updates?<client>&<op>&<cursor>&<topics>", data = "<body>")]
#[expect(clippy::too_many_arguments, reason = "a handler's arguments are its contract")]
pub async fn post_update(
    id: Option<u64>,
    client: Option<&str>,
    op: Option<&str>,
    cursor: Option<&str>,
    topics: Option<&str>,
    _write: WriteGuard,
    caller: Caller,
    body: Bytes<{ MAX_UPDATE_BODY }>,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    let submission = Submission { id, client, op, cursor, topics };
    accept_update(&submission, &caller, body.0, live).await
}

/// What an update comes with.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    pub id: Option<u64>,
    pub client: Option<&'a str>,
    pub op: Option<&'a str>,
    pub cursor: Option<&'a str>,
    pub topics: Option<&'a str>,
}

/// Accepts an update of somebody whose request is not forged.
pub async fn accept_update(
    submission: &Submission<'_>,
    caller: &Caller,
    update: Vec<u8>,
    live: &Live,
) -> Result<LiveJson, Error> {
    let Submission { id, client, op, cursor, topics } = *submission;
    // A parameter that is missing is as wrong as an empty one.
    client_id(client.unwrap_or_default())?;
    let op = op_id(op.unwrap_or_default())?;
    let follow = cursor.map(|cursor| batch_request(cursor, topics, caller, live)).transpose()?;
    caller.spend(live, Rate::Updates, 1)?;
    let page = caller.page(live, id, Action::Write)?;
    caller.spend(live, Rate::UpdateBytes, update.len())?;
    if update.len() > LARGE_UPDATE {
        caller.spend(live, Rate::Changes, 1)?;
    }
    let rev = match live.update(page, &caller.author(), op, update).await {
        Ok(rev) => rev,
        Err(LiveError::Refused(refusal @ (Refusal::Behind { .. } | Refusal::Missing))) => {
            let sv = live.state_vector(page).await?;
            return Err(Error::from(refusal).with("sv", URL_SAFE_NO_PAD.encode(sv)));
        }
        Err(error) => return Err(error.into()),
    };
    let batch = follow.map_or(String::new(), |(cursor, topics)| {
        format!(r#","batch":{{{}}}"#, Batch::read(live.hub(), &topics, cursor).json_fields())
    });
    Ok(LiveJson::new(format!(r#"{{"rev":{rev},"saved":true{batch}}}"#)))
}

/// What a writer that polls wants to have with its answer.
fn batch_request(
    cursor: &str,
    topics: Option<&str>,
    caller: &Caller,
    live: &Live,
) -> Result<(Cursor, Vec<Topic>), Error> {
    let cursor =
        cursor.parse().map_err(|error| Error::new(Kind::BadCursor).saying(format!("{error}")))?;
    let topics = Topic::parse_list(topics.unwrap_or_default())
        .map_err(|error| Error::new(Kind::BadTopic).saying(error.to_string()))?;
    if topics.iter().all(|topic| may_follow(live, &caller.guest, *topic)) {
        Ok((cursor, topics))
    } else {
        Err(Kind::Forbidden.into())
    }
}
