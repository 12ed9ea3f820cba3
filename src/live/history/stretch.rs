//! Reading stretches out of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::page::{PageId, Revision};
use crate::store::{LogEntry, Store, StoreError};

/// Log read at a time.
const STEP_BYTES: usize = 1 << 20;

/// Edits that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub first: Revision,
    pub last: Revision,
    pub from_ms: u64,
    pub at_ms: u64,
    /// How many updates each login made.
    pub edits: BTreeMap<String, u64>,
}

impl Stretch {
    fn begin(at: Revision, entry: &LogEntry) -> Self {
        Self {
            first: at,
            last: at,
            from_ms: entry.at_ms,
            at_ms: entry.at_ms,
            edits: BTreeMap::new(),
        }
    }

    /// Adds what follows.
    pub fn join(&mut self, more: Self) {
        self.last = more.last;
        self.at_ms = self.at_ms.max(more.at_ms);
        for (login, edits) in more.edits {
            *self.edits.entry(login).or_default() += edits;
        }
    }

    fn add(&mut self, at: Revision, entry: LogEntry) {
        self.last = at;
        // A clock that was set back must not turn a stretch around.
        self.at_ms = self.at_ms.max(entry.at_ms);
        *self.edits.entry(entry.author).or_default() += 1;
    }
}

/// The edits of `(after, until]`, cut where nobody wrote for `quiet`. Blocks.
pub(super) fn read(
    store: &Store,
    page: PageId,
    after: Revision,
    until: Revision,
    quiet: Duration,
) -> Result<Vec<Stretch>, StoreError> {
    let quiet = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
    let mut found: Vec<Stretch> = Vec::new();
    let mut position = after;
    while position < until {
        let entries = store.read_log(page, position, STEP_BYTES)?;
        if entries.is_empty() {
            break;
        }
        let begun = position;
        for (at, entry) in entries.into_iter().take_while(|(at, _)| *at <= until) {
            position = at;
            let pause = found.last().map(|last| entry.at_ms.saturating_sub(last.at_ms));
            if pause.is_none_or(|pause| pause >= quiet) {
                found.push(Stretch::begin(at, &entry));
            }
            if let Some(stretch) = found.last_mut() {
                stretch.add(at, entry);
            }
        }
        if position == begun {
            // A log with a gap, which opening the page tells.
            break;
        }
    }
    Ok(found)
}

/// Who wrote the edits of `(after, until]` that are newer than a time, and the last one before them.
/// Blocks.
pub(super) fn writers(
    store: &Store,
    page: PageId,
    (after, until): (Revision, Revision),
    after_ms: u64,
) -> Result<(Revision, BTreeSet<String>), StoreError> {
    let (mut before, mut position, mut found) = (after, after, BTreeSet::new());
    while position < until {
        let begun = position;
        let entries = store.read_log(page, position, STEP_BYTES)?.into_iter();
        for (at, entry) in entries.take_while(|(at, _)| *at <= until) {
            position = at;
            if entry.at_ms > after_ms {
                found.insert(entry.author);
            } else if found.is_empty() {
                before = at;
            }
        }
        if position == begun {
            // A log with a gap, which opening the page tells.
            break;
        }
    }
    Ok((before, found))
}
