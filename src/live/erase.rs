//! Erasing: the one thing that changes what is in history.
//!
//! Somebody pasted a password, or has the right to be forgotten. What is erased is found by what
//! could once be read ([`Finder`]), and becomes as many black squares in the log, under the same ids
//! and with the same neighbours: so what other browsers hold still fits, and nothing else changes
//! its place. What of it is still in the text is deleted by an edit of its own. Snapshots are made
//! anew, names of revisions and people are masked, and a mark stays for everybody to see
//! ([`Erased`](super::pages::Erased)).
//!
//! All that happens while the wiki is stopped, in a second set of files that takes the place of the
//! first one (`store::rewrite`). The plan that is noted before has ids and no text.

mod finish;
mod names;
mod plan;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::names::Name;
pub use self::plan::{find, holders};
use super::LiveError;
use super::timeline::Ids;
use crate::page::{PageId, PagePath, Revision};
use crate::store::rewrite::{self, Rewrite};
use crate::store::{LogEntry, Options, StoreError, Table, mask_update};

/// Shortest text that may be erased, in UTF-16 units: a shorter one is everywhere.
pub const MIN_UNITS: usize = 3;
/// Longest one, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// Longest reason, and longest name of who erased, in characters.
pub const MAX_WHY_CHARS: usize = 500;
/// Marks of one page.
pub const MAX_MARKS: usize = 1_000;

/// An update that does nothing.
const NOTHING: [u8; 2] = [0, 0];
/// Before the hash of a text in operation ids, and what is behind it is kept from here on.
const MERGE: &str = "merge:";
const UNDO: &str = ":undo:";

/// What is to be erased.
#[derive(Clone, Debug)]
pub struct Order {
    /// From where; `None`: from all pages.
    pub page: Option<PagePath>,
    /// What.
    pub what: What,
    /// Who erases, for the mark.
    pub by: String,
    /// Why, for the mark.
    pub why: String,
}

/// What is to be erased.
#[derive(Clone, Debug)]
pub enum What {
    /// A text, wherever it could ever be read.
    Text(String),
    /// Everything that somebody wrote, and what they were called; see
    /// [`handle`](super::history::handle).
    Author(String),
}

/// Why nothing is erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The order itself, as a sentence.
    #[error("{0}")]
    Order(String),
    /// What was found was changed before it could be erased.
    #[error("something was changed since it was looked through; do it again")]
    Stale,
    /// Something failed.
    #[error(transparent)]
    Live(#[from] LiveError),
}

impl From<StoreError> for EraseError {
    fn from(error: StoreError) -> Self {
        Self::Live(error.into())
    }
}

/// What is to be done, without the text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    at_ms: u64,
    by: String,
    why: String,
    pages: BTreeMap<PageId, PagePlan>,
    names: Vec<Name>,
}

/// The same for one page.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PagePlan {
    /// All that is erased.
    ids: Ids,
    /// What of it is still in the text.
    alive: Ids,
    /// Updates that nobody could ever apply and that have it.
    blank: BTreeSet<Revision>,
    /// Operation ids that have it.
    ops: BTreeSet<Revision>,
    /// The first update that has some of it.
    first: Revision,
}

impl Plan {
    /// Whether there is nothing to be erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.names.is_empty()
    }

    /// Each page with the UTF-16 units that are erased from it.
    pub fn pages(&self) -> impl Iterator<Item = (PageId, u64)> + '_ {
        self.pages.iter().map(|(id, page)| (*id, page.ids.units()))
    }

    /// How many names of people and revisions are masked.
    #[must_use]
    pub fn names(&self) -> usize {
        self.names.iter().filter(|name| name.value.is_some()).count()
    }
}

/// Does what is planned. Nobody may have the directory open. Blocks; must not be called where
/// something asynchronous runs.
///
/// # Errors
/// Those of [`rewrite::begin`], and [`EraseError::Stale`]; nothing was erased then, unless only
/// removals failed, which the next start finishes.
pub fn carry_out(dir: &Path, options: &Options, plan: &Plan) -> Result<(), EraseError> {
    let note = serde_json::to_vec(plan)
        .map_err(|e| EraseError::Order(format!("the plan cannot be written: {e}")))?;
    write_anew(plan, |work| rewrite::begin(dir, options, &note, work))
}

/// Finishes what a crash left of [`carry_out`]; false when there was nothing. To be called before
/// the store is opened. Blocks, as `carry_out`.
///
/// # Errors
/// As [`carry_out`]. The note of what is to be done stays.
pub fn settle(dir: &Path, options: &Options) -> Result<bool, EraseError> {
    let Some(note) = rewrite::pending(dir)? else { return Ok(false) };
    let plan: Plan = serde_json::from_slice(&note).map_err(|_| {
        EraseError::Order(format!(
            "what was to be erased cannot be read in {}",
            dir.join("erasing").display()
        ))
    })?;
    log::warn!("something was being erased when the process ended; going on with it");
    write_anew(&plan, |work| rewrite::go_on(dir, options, &note, work))
}

fn write_anew<T>(
    plan: &Plan,
    write: impl FnOnce(&Rewrite<'_>) -> Result<T, StoreError>,
) -> Result<T, EraseError> {
    let pages: BTreeSet<PageId> = plan.pages.keys().copied().collect();
    let names: HashMap<_, _> =
        plan.names.iter().map(|name| ((name.of.table(), &name.key[..]), name)).collect();
    let is_stale = Cell::new(false);
    let done = write(&Rewrite {
        pages: &pages,
        entry: &|page, revision, entry| {
            Ok(match plan.pages.get(&page) {
                Some(plan) => plan.transform(revision, entry),
                None => entry,
            })
        },
        record: &|table: Table, (key, value)| match names.get(&(table, &key[..])) {
            None => Ok(Some(value)),
            Some(name) if name.is_of(&value) => {
                Ok(name.value.as_ref().map(|masked| masked.as_bytes().to_vec()))
            }
            // What replaces it would undo what was written since.
            Some(_) => {
                is_stale.set(true);
                Err(StoreError::Stopped)
            }
        },
        finish: &|store| finish::finish(store, plan),
    });
    if is_stale.get() { Err(EraseError::Stale) } else { Ok(done?) }
}

impl PagePlan {
    /// Whether nothing was found in the log.
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.blank.is_empty() && self.ops.is_empty()
    }

    fn transform(&self, revision: Revision, mut entry: LogEntry) -> LogEntry {
        if self.ops.contains(&revision) {
            entry.op.clear();
        } else if revision >= self.first && entry.op.starts_with(MERGE) {
            // A hash of the page's text, from which a short secret could be guessed.
            let undo = entry.op.find(UNDO).unwrap_or(entry.op.len());
            entry.op.replace_range(MERGE.len() - 1..undo, "");
        }
        if self.blank.contains(&revision) {
            entry.update = NOTHING.to_vec();
        } else if let Some(update) =
            mask_update(&entry.update, &|client, clock| self.ids.covers(client, clock))
        {
            entry.update = update;
        }
        entry
    }
}
