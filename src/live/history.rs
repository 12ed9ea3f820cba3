//! Revisions: stretches of a page's log that people call one change.
//!
//! The log has every update. A revision is a position in it, kept with what lists show (who, when,
//! how large), so that no list reads logs. It is closed when nobody has written for a minute, when
//! the last writer has left, when it has become long, and when somebody names one ([`closing`]). Its
//! record only repeats what the log says, apart from the name: what a crash kept from being closed
//! is closed when everybody has come back after the next start.

mod closing;
mod pauses;
mod recent;
mod stretch;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::closing::{Closing, LEFTOVERS};
pub(super) use self::recent::{NO_PAGE, event_change};
pub use self::recent::{PageEvent, Recent, RecentEvent, RecentMark, RecentQuery, RecentRow};
use self::stretch::Stretch;
use super::room::Room;
use super::{Author, Live, LiveError, Meeting, blocking};
use crate::diff::rendered::{self, Layout, RenderedDiff, Side};
use crate::diff::{self, Diff};
use crate::markdown::Renderer;
use crate::page::{PageId, PagePath, Revision};
use crate::store::{Change, Expect, Pair, Store, StoreError, Table};

/// After so long without an edit a revision is closed.
pub const QUIET: Duration = Duration::from_secs(60);

/// How often pages are looked at for that.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How long a comparison waits for those before it.
const COMPARE_WAIT: Duration = Duration::from_secs(10);

/// Longest name of a revision, in characters.
pub const MAX_NAME_CHARS: usize = 200;

/// People who are named in a record, those with the most edits.
const MAX_AUTHORS: usize = 50;

/// Records read at a time, and at most for one list: a filter may match none of them.
const STEP: usize = 256;
const MAX_SCANNED: usize = 4_096;

/// One who wrote in a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionAuthor {
    /// Lasting id of the login.
    pub id: String,
    /// What the login was called then.
    pub name: String,
    /// Index into the palette, 0 to 11.
    pub colour: u8,
    /// How many updates are theirs.
    pub edits: u64,
}

impl RevisionAuthor {
    /// What stands for the login in addresses: the same on all pages, and not the login itself.
    #[must_use]
    pub fn handle(&self) -> String {
        handle(&self.id)
    }
}

/// What stands for a login in addresses, see [`RevisionAuthor::handle`].
#[must_use]
pub fn handle(login: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("Halley 2026 author's handle");
    hasher.update(login.as_bytes());
    hasher.finalize().to_hex()[..12].to_owned()
}

/// A stretch of a page's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Its first update.
    pub first: Revision,
    /// Its last update, by which the revision is known.
    pub last: Revision,
    /// When the first was accepted, milliseconds since 1970.
    pub from_ms: u64,
    /// When the last was accepted, milliseconds since 1970.
    pub at_ms: u64,
    /// Bytes of the text before.
    pub was: u64,
    /// Bytes of the text after.
    pub bytes: u64,
    /// Who wrote, the busiest first.
    pub authors: Vec<RevisionAuthor>,
    /// How many more wrote.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
    /// What somebody called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RevisionInfo {
    /// The revision before it.
    #[must_use]
    pub fn before(&self) -> Revision {
        Revision(self.first.0.saturating_sub(1))
    }

    /// Whether nobody else wrote in it.
    #[must_use]
    pub fn is_only_by(&self, login: &str) -> bool {
        self.others == 0 && self.authors.iter().all(|author| author.id == login)
    }
}

/// What of a page's history is wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only what is older than this revision.
    pub before: Option<Revision>,
    /// Only what somebody wrote in, see [`RevisionAuthor::handle`].
    pub author: Option<String>,
    /// Only what has a name.
    pub named: bool,
    /// With what is in no closed revision yet.
    pub open: bool,
    /// At most so many.
    pub limit: usize,
}

/// A part of a page's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Edits that are in no closed revision yet; only at the beginning.
    pub open: Option<RevisionInfo>,
    /// Closed revisions, the newest first.
    pub closed: Vec<RevisionInfo>,
    /// Where to go on with older ones, if there are any.
    pub next: Option<Revision>,
}

impl Live {
    /// A page's history, the newest first.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn history(&self, id: PageId, query: &HistoryQuery) -> Result<History, LiveError> {
        let room = self.room(id).await?;
        let (live, wanted) = (self.clone(), query.clone());
        blocking(move || {
            // In this order: what is closed in between is then in the list.
            let open = match wanted.open && wanted.before.is_none() && !wanted.named {
                true => live.open_revision(&room)?.filter(|open| wanted.fits(open)),
                false => None,
            };
            let mut history = list(room.store(), id, &wanted)?;
            let newest = history.closed.first().map_or(Revision(0), |newest| newest.last);
            history.open = open.filter(|open| open.first > newest);
            Ok(history)
        })
        .await
    }

    /// How the texts of two revisions differ; `None` when the page never had one of them.
    ///
    /// # Errors
    /// [`LiveError::NoPage`], [`LiveError::Busy`] and store errors.
    pub async fn compare(
        &self,
        id: PageId,
        from: Revision,
        to: Revision,
    ) -> Result<Option<Diff>, LiveError> {
        self.compare_by(id, (from, to), diff::compare).await
    }

    /// How two revisions differ once they are rendered, both as they would be now; `None` as for
    /// [`compare`](Self::compare).
    ///
    /// # Errors
    /// As [`compare`](Self::compare).
    pub async fn compare_rendered(
        &self,
        id: PageId,
        range: (Revision, Revision),
        layout: Layout,
    ) -> Result<Option<RenderedDiff>, LiveError> {
        let shared = std::sync::Arc::clone(&self.inner.shared);
        let work = move |old: &str, new: &str| {
            let exists = |path: &PagePath| shared.pages.exists(path);
            // One for both: most blocks are the same.
            let mut renderer = Renderer::default();
            let (was, is) = (renderer.render(old, &exists), renderer.render(new, &exists));
            let before = Side { text: old, blocks: &was.blocks };
            rendered::compare(before, Side { text: new, blocks: &is.blocks }, layout)
        };
        self.compare_by(id, range, work).await
    }

    async fn compare_by<T: Send + 'static>(
        &self,
        id: PageId,
        (from, to): (Revision, Revision),
        work: impl FnOnce(&str, &str) -> T + Send + 'static,
    ) -> Result<Option<T>, LiveError> {
        let Some(old) = self.text_at(id, from).await? else { return Ok(None) };
        let Some(new) = self.text_at(id, to).await? else { return Ok(None) };
        // One at a time: whoever asks for many must not take the threads that render pages.
        let turn = self.inner.closing.comparing.acquire();
        let Ok(Ok(_turn)) = tokio::time::timeout(COMPARE_WAIT, turn).await else {
            return Err(LiveError::Busy);
        };
        // Where it can take as long as it needs without holding up anybody who types.
        let work = move || work(&old, &new);
        self.inner.shared.threads.run(work).await.map(Some).ok_or(LiveError::Busy)
    }

    /// Brings back a text that the page once had, as a new edit that merges with what others write
    /// meanwhile. Returns the revision that has it.
    ///
    /// # Errors
    /// [`LiveError::UnknownRevision`] and those of [`Live::merge_text`].
    pub async fn revert_to(
        &self,
        id: PageId,
        at: Revision,
        who: &Author,
    ) -> Result<Revision, LiveError> {
        self.writable(id)?;
        let old = self.text_at(id, at).await?.ok_or(LiveError::UnknownRevision)?;
        let (now, _) = self.room(id).await?.text()?;
        let typed = Meeting::AsTyped("");
        Ok(self.bring_in(id, now, old.to_string(), who, typed).await?.revision)
    }
}

impl HistoryQuery {
    fn fits(&self, revision: &RevisionInfo) -> bool {
        (!self.named || revision.name.is_some())
            && self.author.as_ref().is_none_or(|wanted| {
                revision.authors.iter().any(|author| author.handle() == *wanted)
            })
    }
}

/// Closed revisions that fit. Blocks.
fn list(store: &Store, id: PageId, query: &HistoryQuery) -> Result<History, StoreError> {
    let mut history = History::default();
    let mut before = query.before.map(|before| revision_key(id, before));
    let mut scanned = 0;
    while scanned < MAX_SCANNED {
        let prefix = id.0.to_be_bytes();
        let records = store.list_back(Table::Revisions, &prefix, before.as_deref(), STEP)?;
        for (n, record) in records.iter().enumerate() {
            let revision = read(id, record)?;
            if !query.fits(&revision) {
                continue;
            }
            history.closed.push(revision);
            if history.closed.len() >= query.limit {
                let more = n + 1 < records.len() || records.len() == STEP;
                history.next = history.closed.last().filter(|_| more).map(|last| last.last);
                return Ok(history);
            }
        }
        scanned += records.len();
        let Some((key, _)) = records.last().filter(|_| records.len() == STEP) else {
            return Ok(history);
        };
        if scanned >= MAX_SCANNED {
            history.next = Some(read(id, &records[records.len() - 1])?.last);
        }
        before = Some(key.clone());
    }
    Ok(history)
}

/// The newest closed revision. Blocks.
fn newest(store: &Store, id: PageId) -> Result<Option<RevisionInfo>, StoreError> {
    let found = store.list_back(Table::Revisions, &id.0.to_be_bytes(), None, 1)?;
    found.first().map(|record| read(id, record)).transpose()
}

impl Live {
    /// The newest closed revisions, as long as they are `wanted`, at most `limit`. Blocks.
    pub(super) fn newest_revisions(
        &self,
        id: PageId,
        limit: usize,
        wanted: impl Fn(&RevisionInfo) -> bool,
    ) -> Result<Vec<RevisionInfo>, StoreError> {
        // Mostly there are a few.
        const STEP: usize = 16;
        let (store, mut before) = (&self.inner.shared.store, None::<Vec<u8>>);
        let mut found = Vec::new();
        loop {
            let prefix = id.0.to_be_bytes();
            let records = store.list_back(Table::Revisions, &prefix, before.as_deref(), STEP)?;
            for record in &records {
                let revision = read(id, record)?;
                if !wanted(&revision) || found.len() == limit {
                    return Ok(found);
                }
                found.push(revision);
            }
            match records.last() {
                Some((key, _)) if records.len() == STEP => before = Some(key.clone()),
                _ => return Ok(found),
            }
        }
    }

    /// Of what came between two revisions, the last that is not newer than a time, and who wrote
    /// what is. Reads the log between the two, and blocks.
    pub(super) fn who_wrote(
        &self,
        id: PageId,
        (after, until): (Revision, Revision),
        after_ms: u64,
    ) -> Result<(Revision, BTreeSet<String>), StoreError> {
        stretch::writers(&self.inner.shared.store, id, (after, until), after_ms)
    }
}

/// The closed revision that a position is in, as it is stored and as it reads. Blocks.
fn around(
    store: &Store,
    id: PageId,
    at: Revision,
) -> Result<(Vec<u8>, Vec<u8>, RevisionInfo), LiveError> {
    let before = revision_key(id, Revision(at.0 - 1));
    let found = store.list(Table::Revisions, &id.0.to_be_bytes(), Some(&before), 1)?;
    let (key, value) = found.into_iter().next().ok_or(LiveError::UnknownRevision)?;
    let revision = read(id, &(key.clone(), value.clone()))?;
    Ok((key, value, revision))
}

fn read(id: PageId, (_, value): &Pair) -> Result<RevisionInfo, StoreError> {
    serde_json::from_slice(value).map_err(|_| {
        StoreError::Damaged(format!("the record of a revision of page {id} cannot be read"))
    })
}

fn change(id: PageId, revision: &RevisionInfo, expect: Expect) -> Result<Change, StoreError> {
    let value = serde_json::to_vec(revision)
        .map_err(|error| StoreError::Damaged(format!("a revision cannot be written: {error}")))?;
    let key = revision_key(id, revision.last);
    Ok(Change { table: Table::Revisions, key, expect, value: Some(value) })
}

fn revision_key(id: PageId, revision: Revision) -> Vec<u8> {
    let mut key = id.0.to_be_bytes().to_vec();
    key.extend(revision.0.to_be_bytes());
    key
}

/// A stretch with what its authors are called, between two sizes of the text.
fn info(room: &Room, stretch: &Stretch, (was, bytes): (u64, u64)) -> RevisionInfo {
    let mut authors: Vec<_> = stretch
        .edits
        .iter()
        .map(|(login, edits)| {
            let (name, colour) = room.author(login);
            RevisionAuthor { id: login.clone(), name, colour, edits: *edits }
        })
        .collect();
    authors.sort_by(|a, b| b.edits.cmp(&a.edits).then_with(|| a.name.cmp(&b.name)));
    let others = authors.len().saturating_sub(MAX_AUTHORS) as u64;
    authors.truncate(MAX_AUTHORS);
    RevisionInfo {
        first: stretch.first,
        last: stretch.last,
        from_ms: stretch.from_ms,
        at_ms: stretch.at_ms,
        was,
        bytes,
        authors,
        others,
        name: None,
        named_by: None,
    }
}
