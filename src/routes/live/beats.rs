//! Presence: beats and leaving.

use std::time::Duration;

use rocket::http::Status;
use rocket::{State, post};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::LiveJson;
use super::body::Json;
use super::caller::{Caller, client_id};
use crate::error::{Error, Kind};
use crate::identity::KnownGuest;
use crate::live::Live;
use crate::live::presence::{Beat, BeatError, MAX_CARET_BYTES, Mode, Rung};
use crate::live::rate::Rate;
use crate::origin::WriteGuard;
use crate::rights::Action;

/// A beat is a caret and a few short fields.
const MAX_BEAT_BYTES: u64 = MAX_CARET_BYTES as u64 + 2048;

#[derive(Deserialize)]
pub struct BeatBody {
    client: String,
    /// Tab id of the connection that all tabs of this browser share, if they do.
    #[serde(default)]
    via: Option<String>,
    rung: Rung,
    #[serde(default)]
    interval_ms: u64,
    here: Option<Here>,
    #[serde(default)]
    list: bool,
}

#[derive(Deserialize)]
struct Here {
    page: u64,
    mode: Mode,
    #[serde(default)]
    caret: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub struct LeaveBody {
    client: String,
}

/// Renews a tab's lease. The answer's `head` is proof, out of band, of how far a stream should be.
#[post("/beat", data = "<body>")]
pub fn post_beat(
    _write: WriteGuard,
    _remember: KnownGuest,
    caller: Caller,
    body: Json<BeatBody, { MAX_BEAT_BYTES }>,
    live: &State<Live>,
) -> Result<LiveJson, Error> {
    caller.spend(live, Rate::Beats, 1)?;
    let body = body.0;
    let client = client_id(&body.client)?.to_owned();
    let via = body.via.as_deref().map(client_id).transpose()?.filter(|via| *via != client);
    let via = via.map(ToOwned::to_owned);
    let mut answer = serde_json::json!({ "you": you(&caller) });
    if let Some(here) = body.here {
        let page = caller.page(live, here.page, Action::Read)?;
        let beat = Beat {
            client,
            via,
            known: caller.browser.is_some(),
            page,
            mode: here.mode,
            rung: body.rung,
            interval: Duration::from_millis(body.interval_ms),
            caret: here.caret.filter(|caret| caret.get() != "null"),
        };
        let joined = live.presence().beat(&caller.author(), beat).map_err(|error| {
            let kind = match error {
                BeatError::NotYours => Kind::NotYours,
                BeatError::CaretTooLarge => Kind::TooLarge,
                BeatError::TooMany => Kind::TooMany,
            };
            Error::new(kind).saying(error.to_string())
        })?;
        if joined || body.list {
            // The head is taken before the list: who comes between is in both, which is harmless.
            answer["head"] = live.cursor().into();
            answer["here"] = serde_json::to_value(live.presence().list(page)).unwrap_or_default();
        }
    }
    if answer.get("head").is_none() {
        answer["head"] = live.cursor().into();
    }
    Ok(LiveJson::new(answer.to_string()))
}

/// The tab closes or goes elsewhere. Sent as a beacon, so the type of its body is not looked at.
#[post("/leave", data = "<body>")]
pub fn post_leave(
    _write: WriteGuard,
    caller: Caller,
    body: Json<LeaveBody, { MAX_BEAT_BYTES }>,
    live: &State<Live>,
) -> Result<Status, Error> {
    live.presence().leave(client_id(&body.0.client)?, &caller.guest.id);
    Ok(Status::NoContent)
}

/// How a caller is told who it is.
pub fn you(caller: &Caller) -> serde_json::Value {
    let guest = &caller.guest;
    serde_json::json!({ "id": guest.id, "name": guest.name, "colour": guest.colour, "guest": true })
}
