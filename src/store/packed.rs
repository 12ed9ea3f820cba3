//! Entries of a log in columns: what a keystroke takes when nobody is in a hurry any more.
//!
//! Somebody who types sends updates that are alike: the same author and client, the next clock,
//! the character before as the left neighbour, the same right neighbour as a moment ago. An update
//! is taken apart ([`update`]), what is as expected ([`model`]) costs a few bits, and the rest goes
//! into columns of its kind, each of which is deflated by itself if that helps. An update that
//! does not come out of this byte by byte as it went in is kept as it is.
//!
//! Operation ids that a browser rolled are not kept: see [`is_random`].
//!
//! ```text
//! columns = { length:var*2+deflated [stored:var] bytes }*11
//! FORMS   a byte per entry: what it is, and whether its author or an operation id is written
//! FLAGS   a byte per section, struct or deleted range: which parts are as expected
//! ```

mod columns;
mod mask;
mod model;
mod take;
mod update;
mod write;

use super::LogEntry;
pub use mask::mask_update;

/// Characters of the operation ids that browsers roll (`static/js/lib/id.js`).
const RANDOM_CHARS: usize = 20;

/// Columns of a pack, by what they hold.
#[derive(Clone, Copy)]
enum Column {
    /// A byte per entry.
    Forms,
    /// Numbers and names of authors that differ from the one before.
    Authors,
    /// Lowest eight bits of the milliseconds since the entry before (zigzag).
    TimeLow,
    /// The rest of them.
    TimeHigh,
    /// A byte per section, struct and range.
    Flags,
    /// Numbers of clients, and their ids when new.
    Clients,
    /// Clocks that were not expected.
    Clocks,
    /// Numbers of sections, structs, ranges, and lengths.
    Counts,
    /// What was written.
    Text,
    /// Operation ids that are kept.
    Ops,
    /// Updates that are kept as they are.
    Raw,
}

const COLUMNS: usize = 11;

/// The next entry is by another author.
const FORM_AUTHOR: u8 = 1;
/// The next entry has an operation id.
const FORM_OP: u8 = 2;
/// Bits of [`FORM_ONE`] and so on.
const FORM_KIND: u8 = 12;
/// One struct and no deletions.
const FORM_ONE: u8 = 0;
/// One deleted range and no structs.
const FORM_ERASE: u8 = 4;
/// Any number of both.
const FORM_ANY: u8 = 8;
/// Not understood.
const FORM_RAW: u8 = 12;

/// The client is not the one expected.
const FLAG_CLIENT: u8 = 1;
/// The clock does not follow.
const FLAG_CLOCK: u8 = 2;
const ORIGIN_SHIFT: u8 = 2;
const RIGHT_SHIFT: u8 = 4;
const CONTENT_SHIFT: u8 = 6;

/// No neighbour.
const NOBODY: u8 = 0;
/// Left: the unit before in the client's own. Right: the same as of its struct before.
const USUAL: u8 = 1;
/// Written down.
const OTHER: u8 = 2;
/// Right: the unit behind the left neighbour.
const BEHIND: u8 = 3;

const ONE_CHARACTER: u8 = 0;
const TEXT: u8 = 1;
const DELETED: u8 = 2;
const COLLECTED: u8 = 3;

const PLACE_SHIFT: u8 = 1;
/// The place of a deletion is written down; below it is one of `Client::expected`.
const ELSEWHERE: u8 = 3;
/// The deleted range is not one unit long.
const FLAG_LENGTH: u8 = 8;

/// Whether an operation id is one that a browser rolled.
///
/// These are there so that a retry is answered as the first try was. A page remembers 4,096 of
/// them, and after a start only those behind the newest snapshot; a retry with an older one is
/// recognised by its clocks, which the document has. So they are dropped (20 characters of chance
/// that no compressor makes smaller) when the entry is packed, which is when it is older than
/// an hour. Everything else is kept: a merge finds its mark again in the log.
fn is_random(op: &str) -> bool {
    op.len() == RANDOM_CHARS && op.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// What of an entry is there after packing: everything, or everything but a random operation id.
pub(super) fn kept(entry: &LogEntry) -> LogEntry {
    let mut kept = entry.clone();
    if is_random(&kept.op) {
        kept.op.clear();
    }
    kept
}

/// Packs entries. Without random operation ids.
pub(super) fn pack(entries: &[LogEntry]) -> Vec<u8> {
    let mut writer = write::Writer::default();
    for entry in entries {
        writer.put(entry);
    }
    columns::join(&writer.columns)
}

/// The entries of a pack; `None` when it is damaged.
pub(super) fn unpack(bytes: &[u8], count: u64) -> Option<Vec<LogEntry>> {
    let columns = columns::split(bytes)?;
    let mut taker = take::Taker::new(&columns);
    let mut entries = Vec::new();
    // Each costs a byte of the first column at least.
    for _ in 0..count {
        entries.push(taker.entry()?);
    }
    taker.is_empty().then_some(entries)
}

/// Packs one update, such as the state of a document.
pub(super) fn pack_update(update: &[u8]) -> Vec<u8> {
    let entry =
        LogEntry { at_ms: 0, author: String::new(), op: String::new(), update: update.to_vec() };
    pack(std::slice::from_ref(&entry))
}

/// The update of [`pack_update`]; `None` when it is damaged.
pub(super) fn unpack_update(bytes: &[u8]) -> Option<Vec<u8>> {
    unpack(bytes, 1)?.pop().map(|entry| entry.update)
}

fn zigzag(delta: u64) -> u64 {
    (delta << 1) ^ ((delta as i64 >> 63) as u64)
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests;
