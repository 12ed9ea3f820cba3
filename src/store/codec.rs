//! The byte forms of log entries and records, and the sums that prove a state complete.
//!
//! All numbers are little-endian; lengths are LEB128. Decoding is total: bytes that are not
//! what was written give `None`, never a panic or an allocation by a declared length.

use super::{Change, LogEntry, Table};

/// One change as it stands in the journal: the condition was checked before it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// Reads what the `put_*` functions wrote.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub fn length(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.length()?;
        self.take(count)
    }

    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn put_entry(out: &mut Vec<u8>, entry: &LogEntry) {
    out.extend_from_slice(&entry.at_ms.to_le_bytes());
    put_bytes(out, entry.author.as_bytes());
    put_bytes(out, entry.op.as_bytes());
    put_bytes(out, &entry.update);
}

pub(super) fn read_entry(reader: &mut Reader<'_>) -> Option<LogEntry> {
    Some(LogEntry {
        at_ms: reader.u64()?,
        author: reader.text()?,
        op: reader.text()?,
        update: reader.bytes()?.to_vec(),
    })
}

/// Bytes an entry takes in a tail or a journal record, within a few.
pub(super) fn entry_size(entry: &LogEntry) -> usize {
    24 + entry.author.len() + entry.op.len() + entry.update.len()
}

pub(super) fn put_append(out: &mut Vec<u8>, page: u64, first: u64, entries: &[LogEntry]) {
    out.extend_from_slice(&page.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    put_length(out, entries.len());
    for entry in entries {
        put_entry(out, entry);
    }
}

/// Page, revision of the first entry, entries.
pub(super) fn read_append(body: &[u8]) -> Option<(u64, u64, Vec<LogEntry>)> {
    let mut reader = Reader(body);
    let (page, first, count) = (reader.u64()?, reader.u64()?, reader.length()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(read_entry(&mut reader)?);
    }
    reader.is_empty().then_some((page, first, entries))
}

pub(super) fn put_changes(out: &mut Vec<u8>, changes: &[Change]) {
    put_length(out, changes.len());
    for change in changes {
        out.push(change.table.space());
        put_bytes(out, &change.key);
        out.push(u8::from(change.value.is_some()));
        if let Some(value) = &change.value {
            put_bytes(out, value);
        }
    }
}

pub(super) fn read_changes(body: &[u8]) -> Option<Vec<Write>> {
    let mut reader = Reader(body);
    let count = reader.length()?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let table = Table::from_space(reader.u8()?)?;
        let key = reader.bytes()?.to_vec();
        let value = match reader.u8()? {
            0 => None,
            1 => Some(reader.bytes()?.to_vec()),
            _ => return None,
        };
        writes.push(Write { table, key, value });
    }
    reader.is_empty().then_some(writes)
}

/// What one live record adds to the sum of the state.
///
/// The sum over all live records and all heads of logs is written into every journal record.
/// After a start it is computed again from what is really there, so a record or a log that
/// sled lost, kept or changed without noticing cannot go unseen. Addition is used because it
/// can be taken back when a record changes.
pub(super) fn record_sum(space: u8, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[space]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    first_eight(&hasher.finalize())
}

/// What one page's log adds to the sum of the state; nothing for an empty log.
pub(super) fn head_sum(page: u64, revision: u64) -> u64 {
    if revision == 0 {
        return 0;
    }
    let mut bytes = [0_u8; 17];
    bytes[0] = 0xff;
    bytes[1..9].copy_from_slice(&page.to_le_bytes());
    bytes[9..].copy_from_slice(&revision.to_le_bytes());
    first_eight(&blake3::hash(&bytes))
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let mut bytes = [0_u8; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}
