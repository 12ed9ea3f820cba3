//! A page's whole life, for blame and playback in the browser.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rocket::http::{ContentType, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::tokio::sync::Semaphore;
use rocket::{State, get};

use super::caller::Caller;
use super::events::IfNoneMatch;
use crate::error::{Error, Kind};
use crate::live::{Live, LiveError};
use crate::page::PageId;
use crate::rights::Action;
use crate::routes::gzip::{Gzip, compressed};

/// Answers that are kept for who asks next, in bytes.
const KEPT_BYTES: usize = 16 << 20;
/// Those that are written at the same time: each takes a processor.
const WRITING: usize = 2;

/// The bytes of an answer, of which there is one copy, however many it is being sent to: readers
/// that take nothing would otherwise hold megabytes each.
struct Shared(Arc<Written>);

/// An answer as it is sent.
struct Written {
    page: PageId,
    tag: String,
    /// Whether it was made for those who take gzip; a small one is not compressed all the same.
    for_gzip: bool,
    gzip: bool,
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Answers that were written lately or are being sent.
pub struct Answers {
    turns: Semaphore,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The latest at the end.
    kept: VecDeque<Arc<Written>>,
    sent: Vec<Weak<Written>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { turns: Semaphore::new(WRITING), known: Mutex::default() }
    }
}

impl Answers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, page: PageId, tag: &str, for_gzip: bool) -> Option<Arc<Written>> {
        let mut known = self.known();
        known.sent.retain(|written| written.strong_count() > 0);
        let mut all = known.sent.iter().filter_map(Weak::upgrade);
        all.find(|one| one.page == page && one.tag == tag && one.for_gzip == for_gzip)
    }

    fn keep(&self, written: &Arc<Written>) {
        let mut known = self.known();
        known.sent.push(Arc::downgrade(written));
        // An older answer about the same page has no use any more.
        let is_newer = |old: &Arc<Written>| old.page != written.page || old.tag == written.tag;
        known.kept.retain(is_newer);
        known.kept.push_back(Arc::clone(written));
        let mut total = known.kept.iter().map(|one| one.bytes.len()).sum::<usize>();
        while total > KEPT_BYTES
            && let Some(oldest) = known.kept.pop_front()
        {
            total -= oldest.bytes.len();
        }
    }
}

/// A timeline by columns, or that it is the one that the caller has.
pub struct TimelineAnswer {
    tag: String,
    /// `None`: 304.
    body: Option<Arc<Written>>,
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
        match self.body {
            Some(written) => {
                if written.gzip {
                    response.raw_header("Content-Encoding", "gzip");
                }
                let size = written.bytes.len();
                let body = Cursor::new(Shared(written));
                response.header(ContentType::JSON).sized_body(size, body).ok()
            }
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
    answers: &State<Answers>,
) -> Result<TimelineAnswer, Error> {
    let page = caller.page(live, id, Action::ReadHistory)?;
    let timeline = live.timeline(page).await?;
    let names = live.timeline_names(&timeline).await?;
    let tag = timeline.tag(&names);
    if known.0.as_ref() == Some(&tag) {
        return Ok(TimelineAnswer { tag, body: None });
    }
    if let Some(written) = answers.find(page, &tag, takes.0) {
        return Ok(TimelineAnswer { tag, body: Some(written) });
    }
    let _turn = answers.turns.acquire().await.map_err(|_| LiveError::Busy)?;
    // Somebody may have asked for the same just before.
    if let Some(written) = answers.find(page, &tag, takes.0) {
        return Ok(TimelineAnswer { tag, body: Some(written) });
    }
    // A large one takes some milliseconds to write, and is near a megabyte.
    let written = rocket::tokio::task::spawn_blocking(move || {
        let json = timeline.to_json(&names)?.into_bytes();
        let copy = if takes.0 { compressed(&json) } else { None };
        Ok::<_, serde_json::Error>((copy.is_some(), copy.unwrap_or(json)))
    });
    let failed = |error: &dyn std::fmt::Display| Error::new(Kind::Internal).because(error);
    let written = written.await.map_err(|error| failed(&error))?;
    let (gzip, bytes) = written.map_err(|error| failed(&error))?;
    let written = Arc::new(Written { page, tag: tag.clone(), for_gzip: takes.0, gzip, bytes });
    answers.keep(&written);
    Ok(TimelineAnswer { tag, body: Some(written) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(page: u64, tag: &str, size: usize) -> Arc<Written> {
        let bytes = vec![0; size];
        let tag = tag.to_owned();
        Arc::new(Written { page: PageId(page), tag, for_gzip: false, gzip: false, bytes })
    }

    #[test]
    fn an_answer_that_is_being_sent_is_shared_and_what_is_kept_is_bounded() {
        let answers = Answers::default();
        let large = written(1, "7-a", KEPT_BYTES);
        answers.keep(&large);
        answers.keep(&written(2, "3-a", 10));
        let found = answers.find(PageId(1), "7-a", false).expect("it is being sent");
        assert!(Arc::ptr_eq(&found, &large), "the same bytes");
        assert!(answers.find(PageId(1), "7-a", true).is_none(), "another form");
        assert!(answers.find(PageId(1), "8-a", false).is_none(), "another moment");
        drop((found, large));
        assert!(answers.find(PageId(1), "7-a", false).is_none(), "too large to be kept");
        assert!(answers.find(PageId(2), "3-a", false).is_some());
        answers.keep(&written(2, "4-a", 10));
        assert!(answers.find(PageId(2), "3-a", false).is_none(), "there is a newer one");
    }
}
