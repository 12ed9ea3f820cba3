//! What is told about people, and what they tell.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::MAX_CARET_BYTES;
use crate::page::PageId;

/// What a person is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Has the page open.
    Reading,
    /// Has the editor open.
    Writing,
    /// The tab is hidden, or its stream broke.
    Away,
}

/// How a tab gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// One long response.
    Stream,
    /// Held requests.
    Hold,
    /// Periodic requests.
    Poll,
}

/// One tab of one person on one page, as others see it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Tab id.
    pub client: String,
    /// Name of the person.
    pub name: String,
    /// Index into the palette, 0 to 11.
    pub colour: u8,
    /// Not signed in.
    pub guest: bool,
    /// What the person is doing.
    pub mode: Mode,
    /// How the tab gets its events.
    pub rung: Rung,
    /// Caret and selection as Yjs relative positions; opaque here.
    pub caret: Option<Box<RawValue>>,
}

/// What a browser says about itself.
#[derive(Debug)]
pub struct Beat {
    /// Tab id, bound to the first login that used it.
    pub client: String,
    /// Tab id of the stream that carries this tab's events, when one connection serves all tabs
    /// of a browser; otherwise the tab has its own.
    pub via: Option<String>,
    /// The login came with a cookie, and so is the same one when it comes back.
    pub known: bool,
    /// Where the tab is.
    pub page: PageId,
    /// What its person does.
    pub mode: Mode,
    /// How it gets its events.
    pub rung: Rung,
    /// Its pause between polls, for the length of the lease.
    pub interval: Duration,
    /// Caret, at most [`MAX_CARET_BYTES`].
    pub caret: Option<Box<RawValue>>,
}

/// Why a beat is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// The tab id was first used by another login.
    #[error("This tab id belongs to somebody else.")]
    NotYours,
    /// The caret is too large.
    #[error("A caret has at most {MAX_CARET_BYTES} bytes.")]
    CaretTooLarge,
    /// Too many tabs.
    #[error("Too many tabs are open.")]
    TooMany,
}

/// How long one sign of life lasts.
pub(super) fn lease(rung: Rung, interval: Duration, mode: Mode) -> Duration {
    if mode == Mode::Away {
        // Timers of hidden tabs run once a minute.
        return Duration::from_secs(150);
    }
    match rung {
        Rung::Stream => Duration::from_secs(45),
        Rung::Hold => interval.min(Duration::from_secs(25)) + Duration::from_secs(20),
        Rung::Poll => {
            let interval = interval.min(Duration::from_secs(60));
            (2 * interval + Duration::from_secs(10)).max(Duration::from_secs(20))
        }
    }
}
