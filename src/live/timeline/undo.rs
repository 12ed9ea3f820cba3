//! Taking back one person's part.

use std::collections::HashMap;

use crate::live::history::{RevisionAuthor, handle};
use crate::live::{Author, Live, LiveError, blocking};
use crate::page::{PageId, Revision};

/// Log read at a time, and at most to find out who wrote in a stretch of it.
const STEP_BYTES: usize = 1 << 20;
const MAX_STEPS: usize = 16;

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
        Ok(Some(self.merge_text(id, now, text, who).await?.revision))
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
