//! A timeline as JSON by columns: small to send, and enough for a browser to seek by itself.
//!
//! ```text
//! { "page": 7, "head": 100000,
//!   "authors": [{ "handle": "ab12…", "name": "Anna", "colour": 3 }],
//!   "entries": { "author": [number, count, number, count, …],  run lengths over revisions 1..=head
//!                "at": [first, difference, difference, …] },   milliseconds since 1970
//!   "text": "all characters ever, in the order of the document",
//!   "spans": { "len": […], "born": […], "born_step": […], "died": […], "died_step": […] },
//!   "named": [{ "rev": 12, "name": "First draft" }] }
//! ```
//!
//! The spans are [`Span`](super::Span)s: `len` in UTF-16 units of `text`, one after the other. The
//! text at revision `r` is the units with `born <= r` and `died == 0 || died > r`. Differences of
//! times are negative where the clock was set back.

use std::fmt::Write as _;

use serde::Serialize;

use super::Timeline;
use crate::live::history::{HistoryQuery, handle};
use crate::live::{Live, LiveError};
use crate::page::Revision;

/// Names of revisions that are sent. The newest, if there are more.
const MAX_NAMED: usize = 1_000;

/// One who wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineAuthor {
    /// See [`RevisionAuthor::handle`](crate::live::history::RevisionAuthor::handle).
    pub handle: String,
    /// What they were last called on this page.
    pub name: String,
    /// Index into the palette, 0 to 11.
    pub colour: u8,
}

/// A revision with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Named {
    rev: Revision,
    name: String,
}

/// What the authors and revisions of a timeline are called. These may change when nobody writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Names {
    authors: Vec<TimelineAuthor>,
    /// In the order of the log.
    named: Vec<Named>,
}

impl Live {
    /// What the authors and revisions of a timeline are called now.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn timeline_names(&self, timeline: &Timeline) -> Result<Names, LiveError> {
        let room = self.room(timeline.page()).await?;
        let author = |login: &std::sync::Arc<str>| {
            let (name, colour) = room.author(login);
            TimelineAuthor { handle: handle(login), name, colour }
        };
        let authors = timeline.entries.logins.iter().map(author).collect();
        let mut named = Vec::new();
        let mut query = HistoryQuery { named: true, limit: MAX_NAMED, ..HistoryQuery::default() };
        loop {
            let found = self.history(timeline.page(), &query).await?;
            let closed = found.closed.into_iter().filter(|info| info.last <= timeline.head());
            named.extend(closed.filter_map(|i| Some(Named { rev: i.last, name: i.name? })));
            query.before = found.next;
            if query.before.is_none() || named.len() >= MAX_NAMED {
                break;
            }
        }
        named.truncate(MAX_NAMED);
        named.reverse();
        Ok(Names { authors, named })
    }
}

impl Timeline {
    /// Says which answer this is: the head, and something that changes with the names.
    #[must_use]
    pub fn tag(&self, names: &Names) -> String {
        let mut hasher = blake3::Hasher::new();
        for author in &names.authors {
            hasher.update(&[author.colour]).update(author.name.as_bytes()).update(&[0xff]);
        }
        for Named { rev, name } in &names.named {
            hasher.update(&rev.0.to_le_bytes()).update(name.as_bytes()).update(&[0xff]);
        }
        format!("{}-{}", self.head, &hasher.finalize().to_hex()[..8])
    }

    /// The JSON of the module's documentation.
    ///
    /// # Errors
    /// When it cannot be written, which does not happen.
    pub fn to_json(&self, names: &Names) -> Result<String, serde_json::Error> {
        let mut out = String::with_capacity(self.text.len() + 16 * self.spans.len() + 4096);
        let (page, head) = (self.page, self.head);
        let authors = serde_json::to_string(&names.authors)?;
        // Writing to a string cannot fail.
        let _ = write!(out, r#"{{"page":{page},"head":{head},"authors":{authors},"entries":"#);
        let runs = self.entries.author.chunk_by(|one, next| one == next);
        let runs = runs.flat_map(|run| [run[0].into(), run.len() as i64]);
        column(&mut out, "{\"author\":", runs);
        let times = self.entries.at_ms.iter().scan(0, |before, &at| {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            Some(at - std::mem::replace(before, at))
        });
        column(&mut out, ",\"at\":", times);
        out.push_str("},\"text\":");
        out.push_str(&serde_json::to_string(&self.text)?);
        let spans = || self.spans.iter();
        column(&mut out, ",\"spans\":{\"len\":", spans().map(|span| span.len.into()));
        column(&mut out, ",\"born\":", spans().map(|span| span.born.into()));
        column(&mut out, ",\"born_step\":", spans().map(|span| span.born_step.into()));
        column(&mut out, ",\"died\":", spans().map(|span| span.died.into()));
        column(&mut out, ",\"died_step\":", spans().map(|span| span.died_step.into()));
        out.push_str("},\"named\":");
        out.push_str(&serde_json::to_string(&names.named)?);
        out.push('}');
        Ok(out)
    }
}

fn column(out: &mut String, before: &str, values: impl Iterator<Item = i64>) {
    out.push_str(before);
    out.push('[');
    for (n, value) in values.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{value}");
    }
    out.push(']');
}

#[cfg(test)]
impl Names {
    pub(super) fn for_test(timeline: &Timeline) -> Self {
        let author = |login: &std::sync::Arc<str>| TimelineAuthor {
            handle: handle(login),
            name: login.to_string(),
            colour: 1,
        };
        let authors = timeline.entries.logins.iter().map(author).collect();
        Self { authors, named: vec![Named { rev: Revision(1), name: "a \"name\"".to_owned() }] }
    }

    pub(super) fn rename_for_test(&mut self) {
        self.named[0].name.push('!');
    }
}
