//! Updates of a text, taken apart and put together again.
//!
//! Only the forms that the gate lets in are known (see `live::gate`, which has the grammar). What
//! is written otherwise (another kind of content, a number in a longer form than needed) is not
//! understood, and whoever packs keeps such an update as it is: [`read`] says `None`, or
//! [`write`] gives other bytes than were read.

use super::super::codec::{Reader, put_bytes, put_length};

/// The root text of every page.
const ROOT: &[u8] = b"body";

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT: u8 = 0x40;
const COLLECTED: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;

/// A character (a UTF-16 unit) by who wrote it and its place in what they wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub client: u64,
    pub clock: u64,
}

/// What a struct holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Text(&'a str),
    /// Deleted text of this length.
    Deleted(u64),
    /// Deleted text of this length without a place.
    Collected(u64),
}

impl Content<'_> {
    /// UTF-16 units.
    pub fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.chars().map(|c| c.len_utf16() as u64).sum(),
            Self::Deleted(length) | Self::Collected(length) => *length,
        }
    }
}

/// A run of text and its neighbours when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Struct<'a> {
    pub origin: Option<Id>,
    pub right: Option<Id>,
    pub content: Content<'a>,
}

/// Runs of one client, the first of which begins at `clock`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub client: u64,
    pub clock: u64,
    pub structs: Vec<Struct<'a>>,
}

/// A deleted range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub clock: u64,
    pub length: u64,
}

/// An update.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Update<'a> {
    pub sections: Vec<Section<'a>>,
    /// By client, in the order of the update.
    pub deletes: Vec<(u64, Vec<Range>)>,
}

/// Safe integers of JavaScript; more would make differences overflow.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Takes an update apart; `None` for what is not understood.
pub(super) fn read(bytes: &[u8]) -> Option<Update<'_>> {
    let mut reader = Reader(bytes);
    let mut update = Update::default();
    for _ in 0..small(&mut reader)? {
        let structs = small(&mut reader)?;
        let (client, clock) = (small(&mut reader)?, small(&mut reader)?);
        let mut section = Section { client, clock, structs: Vec::new() };
        // Each costs a byte at least, so the loop ends with the bytes.
        for _ in 0..structs {
            section.structs.push(read_struct(&mut reader)?);
        }
        update.sections.push(section);
    }
    for _ in 0..small(&mut reader)? {
        let client = small(&mut reader)?;
        let mut ranges = Vec::new();
        for _ in 0..small(&mut reader)? {
            ranges.push(Range { clock: small(&mut reader)?, length: small(&mut reader)? });
        }
        update.deletes.push((client, ranges));
    }
    reader.is_empty().then_some(update)
}

fn read_struct<'a>(reader: &mut Reader<'a>) -> Option<Struct<'a>> {
    let info = reader.u8()?;
    if info == COLLECTED {
        let content = Content::Collected(small(reader)?);
        return Some(Struct { origin: None, right: None, content });
    }
    let mut ids = [None, None];
    for (id, flag) in ids.iter_mut().zip([HAS_ORIGIN, HAS_RIGHT]) {
        if info & flag != 0 {
            *id = Some(Id { client: small(reader)?, clock: small(reader)? });
        }
    }
    let [origin, right] = ids;
    if origin.is_none() && right.is_none() && (reader.u8()? != 1 || reader.bytes()? != ROOT) {
        return None;
    }
    let content = match info & !(HAS_ORIGIN | HAS_RIGHT) {
        STRING => Content::Text(std::str::from_utf8(reader.bytes()?).ok()?),
        DELETED => Content::Deleted(small(reader)?),
        _ => return None,
    };
    Some(Struct { origin, right, content })
}

/// Puts an update together.
pub(super) fn write(update: &Update<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, update.sections.len() as u64);
    for section in &update.sections {
        put(&mut out, section.structs.len() as u64);
        put(&mut out, section.client);
        put(&mut out, section.clock);
        for one in &section.structs {
            write_struct(&mut out, one);
        }
    }
    put(&mut out, update.deletes.len() as u64);
    for (client, ranges) in &update.deletes {
        put(&mut out, *client);
        put(&mut out, ranges.len() as u64);
        for range in ranges {
            put(&mut out, range.clock);
            put(&mut out, range.length);
        }
    }
    out
}

fn write_struct(out: &mut Vec<u8>, one: &Struct<'_>) {
    let kind = match one.content {
        Content::Text(_) => STRING,
        Content::Deleted(_) => DELETED,
        Content::Collected(length) => {
            out.push(COLLECTED);
            put(out, length);
            return;
        }
    };
    let mut info = kind;
    for (id, flag) in [(one.origin, HAS_ORIGIN), (one.right, HAS_RIGHT)] {
        info |= if id.is_some() { flag } else { 0 };
    }
    out.push(info);
    for id in [one.origin, one.right].into_iter().flatten() {
        put(out, id.client);
        put(out, id.clock);
    }
    if one.origin.is_none() && one.right.is_none() {
        out.push(1);
        put_bytes(out, ROOT);
    }
    match one.content {
        Content::Text(text) => put_bytes(out, text.as_bytes()),
        Content::Deleted(length) | Content::Collected(length) => put(out, length),
    }
}

fn small(reader: &mut Reader<'_>) -> Option<u64> {
    number(reader).filter(|number| *number <= MAX_NUMBER)
}

pub(super) fn number(reader: &mut Reader<'_>) -> Option<u64> {
    reader.length().map(|number| number as u64)
}

pub(super) fn put(out: &mut Vec<u8>, number: u64) {
    // The same on every machine this runs on: a file offset is 64 bits wide as well.
    put_length(out, number as usize);
}
