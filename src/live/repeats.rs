//! Whole texts that come a second time, because the answer to the first was lost.
//!
//! A form or a PUT has no operation id, and merging the same text into a page on which others
//! have written meanwhile would add its new words once more: nothing tells them from words that
//! two people happen to insert. So a merge leaves a mark in the page's log, made of the base and
//! the text, and one that finds its mark there is answered as the first was. Only what was
//! taken out again since is merged anew: then somebody wants it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::document::repeated_merge;
use super::room::replay;
use super::{LiveError, Merged};
use crate::page::{PageId, Revision};
use crate::store::{Store, StoreError};

/// How much of a log behind the base is searched; a repetition comes soon after the first.
const SEARCHED_BYTES: usize = 4 << 20;

/// What a merge is known by. A colon, so that no browser's operation id is one.
pub(super) fn mark(base: Revision, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&base.0.to_le_bytes()).update(text.as_bytes());
    format!("merge:{}", &hasher.finalize().to_hex()[..32])
}

/// A text that was sent, and what it was made from.
pub(super) struct Sent<'a> {
    /// Revision that it was made from.
    pub base: Revision,
    /// Text at that revision.
    pub old: &'a str,
    pub text: &'a str,
}

/// The answer to the first merge of a text that has been merged since its base and still stands
/// in `now`. Blocks.
pub(super) fn answered(
    store: &Store,
    page: PageId,
    sent: &Sent<'_>,
    mark: &str,
    now: &str,
) -> Result<Option<Merged>, LiveError> {
    let Some(revision) = find(store, page, sent.base, mark)? else { return Ok(None) };
    let before = replay(store, page, Some(Revision(revision.0 - 1)))?.document;
    let after = replay(store, page, Some(revision))?.document;
    let texts = (before.as_str(), after.as_str(), now);
    let conflicts = repeated_merge(sent.old, sent.text, texts);
    Ok(conflicts.map(|conflicts| Merged { revision, conflicts }))
}

/// The newest merge with this mark.
fn find(
    store: &Store,
    page: PageId,
    after: Revision,
    mark: &str,
) -> Result<Option<Revision>, StoreError> {
    let entries = store.read_log(page, after, SEARCHED_BYTES)?;
    let found = entries.iter().rev().find(|(_, entry)| entry.op.starts_with(mark));
    Ok(found.map(|(revision, _)| *revision))
}

type UnderWay = HashMap<(PageId, String), Arc<tokio::sync::Mutex<()>>>;

/// Merges under way: a form that is sent by two clicks comes twice at once.
#[derive(Default)]
pub(super) struct Repeats {
    under_way: Mutex<UnderWay>,
}

impl Repeats {
    /// Waits until no other merge of the same text is under way.
    pub async fn alone(&self, page: PageId, mark: &str) -> OwnedMutexGuard<()> {
        let one = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever waits or works holds one as well.
            under_way.retain(|_, one| Arc::strong_count(one) > 1);
            Arc::clone(under_way.entry((page, mark.to_owned())).or_default())
        };
        one.lock_owned().await
    }
}
