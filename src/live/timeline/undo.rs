//! Taking back one person's part.
//!
//! What they deleted comes back as new text, so to take the same part back once more would put it
//! there twice. The operation id in the log therefore says what was taken back
//! (`merge:…:undo:<handle>.<from>.<to>`; no browser's operation id has a colon), and what an
//! earlier one has put back is left alone, unless that one was taken back itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::Entries;
use crate::live::history::{RevisionAuthor, handle};
use crate::live::{Author, Live, LiveError, Meeting, blocking};
use crate::page::{PageId, Revision};

/// Log read at a time, and at most to find out who wrote in a stretch of it.
const STEP_BYTES: usize = 1 << 20;
const MAX_STEPS: usize = 16;

/// Before what was taken back, in an operation id.
const NOTE: &str = ":undo:";

/// Earlier ones that are looked at, of the whole page and of one author: the newest. Each costs
/// time for each character.
const MAX_UNDONE: usize = 1_000;
const MAX_BEFORE: usize = 64;

/// An edit that took back somebody's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undone {
    /// Its revision.
    rev: u32,
    /// Whose part, by number.
    author: u32,
    /// Of the revisions after this one
    from: u32,
    /// up to this one.
    to: u32,
}

impl Undone {
    /// From the operation id of a revision. The author has written before.
    pub(super) fn read(op: &str, rev: u32, logins: &[Arc<str>]) -> Option<Self> {
        let (_, note) = op.split_once(NOTE)?;
        let mut parts = note.split('.');
        let (wanted, from, to) = (parts.next()?, parts.next()?, parts.next()?);
        let author = logins.iter().position(|login| handle(login) == wanted)?;
        Some(Self { rev, author: author as u32, from: from.parse().ok()?, to: to.parse().ok()? })
    }

    /// Whether it put back what came and went with these revisions, the second by its author.
    pub(super) fn put_back(&self, born: u32, died: u32) -> bool {
        self.has(died) && !self.has(born)
    }

    fn has(&self, rev: u32) -> bool {
        self.from < rev && rev <= self.to
    }
}

/// The edits up to a revision that took back parts of an author and were not taken back
/// themselves.
pub(super) fn before(entries: &Entries, author: u32, now: u32) -> Vec<Undone> {
    let end = entries.undone.partition_point(|undone| undone.rev <= now);
    let mut stand: Vec<Undone> = Vec::new();
    // The newest first: whether one stands depends on those after it alone.
    for undone in entries.undone[..end].iter().rev().take(MAX_UNDONE) {
        let by = entries.author.get(undone.rev as usize - 1);
        if !stand.iter().any(|later| Some(&later.author) == by && later.has(undone.rev)) {
            stand.push(*undone);
        }
    }
    stand.retain(|undone| undone.author == author);
    stand.truncate(MAX_BEFORE);
    stand
}

impl Live {
    /// Takes back what one person did in the revisions after `from` up to `to`, as a new edit that
    /// merges with what others write meanwhile: see [`Timeline::without`](super::Timeline::without).
    /// The person is named by [`handle`]. Returns the revision that has it; `None` when they wrote
    /// nothing there.
    ///
    /// # Errors
    /// [`LiveError::UnknownRevision`] for a stretch that is none or that the page never had, and
    /// those of [`Live::timeline`] and [`Live::merge_text`].
    pub async fn undo(
        &self,
        id: PageId,
        author: &str,
        (from, to): (Revision, Revision),
        who: &Author,
    ) -> Result<Option<Revision>, LiveError> {
        self.writable(id)?;
        let timeline = self.timeline(id).await?;
        if from >= to || to > timeline.head() {
            return Err(LiveError::UnknownRevision);
        }
        let wanted = author.to_owned();
        let found = blocking(move || {
            let now = timeline.head();
            let mut authors = timeline.authors_between(from, to).into_iter();
            let author = authors
                .find(|&(author, _)| timeline.login(author).map(handle).as_ref() == Some(&wanted));
            let text = author.and_then(|(author, _)| timeline.without(author, from, to, now));
            Ok(text.map(|text| (now, text)))
        })
        .await?;
        let Some((now, text)) = found else { return Ok(None) };
        let note = format!("{NOTE}{author}.{from}.{to}");
        Ok(Some(self.bring_in(id, now, text, who, Meeting::AsTyped(&note)).await?.revision))
    }

    /// Who wrote in the revisions after `from` up to `to`, the busiest first. Only the log is
    /// looked at; `None` when that stretch of it is too large to look at for a page that shows
    /// something else.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn authors_between(
        &self,
        id: PageId,
        from: Revision,
        to: Revision,
    ) -> Result<Option<Vec<RevisionAuthor>>, LiveError> {
        let room = self.room(id).await?;
        blocking(move || {
            let mut edits: HashMap<String, u64> = HashMap::new();
            let mut at = from;
            for _ in 0..MAX_STEPS {
                if at >= to {
                    break;
                }
                let entries = room.store().read_log(id, at, STEP_BYTES)?;
                let Some((last, _)) = entries.last() else { break };
                at = *last;
                for (_, entry) in entries.into_iter().take_while(|(position, _)| *position <= to) {
                    *edits.entry(entry.author).or_default() += 1;
                }
            }
            if at < to {
                return Ok(None);
            }
            let mut authors: Vec<_> = edits
                .into_iter()
                .map(|(id, edits)| {
                    let (name, colour) = room.author(&id);
                    RevisionAuthor { id, name, colour, edits }
                })
                .collect();
            authors.sort_by(|a, b| b.edits.cmp(&a.edits).then_with(|| a.name.cmp(&b.name)));
            Ok(Some(authors))
        })
        .await
    }
}
