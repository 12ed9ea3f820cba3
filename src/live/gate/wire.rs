//! The Yjs update format, version 1, as far as a page of plain text needs it.
//!
//! ```text
//! update  = sections:var { structs:var client:var clock:var struct* }* deletes
//! struct  = 0x00 length:var                                  (collected)
//!         | info:u8 [origin:id] [right:id] [parent] content
//! id      = client:var clock:var
//! parent  = 1:var name:string                (only when neither origin is there)
//! content = string (info & 31 == 4) | length:var (info & 31 == 1, deleted)
//! deletes = clients:var { client:var ranges:var { clock:var length:var }* }*
//! var     = LEB128, string = length:var bytes
//! ```
//!
//! Source: Yjs 13.6 `src/utils/encoding.js` and `src/structs`, yrs 0.28 `update.rs`. The two
//! differ in what they make of flag bits and overlong numbers; what they would read differently
//! is refused here.

use super::ranges::Ranges;
use super::{Limits, Refusal};

/// The root text of every page.
const ROOT: &[u8] = b"body";
/// The largest clock, so that sums of two never pass `i32::MAX` in yrs.
const MAX_CLOCK: u32 = 1 << 30;
/// Client ids are safe integers of JavaScript.
const MAX_CLIENT: u64 = (1 << 53) - 1;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const COLLECTED: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;

/// One unit of text: who wrote it and its place in what they wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) struct Id {
    pub(in crate::live) client: u64,
    pub(in crate::live) clock: u32,
}

/// One struct as it stands in an update.
#[derive(Clone, Copy, Debug)]
pub(in crate::live) struct Struct<'a> {
    /// Its first clock.
    pub(in crate::live) clock: u32,
    /// What it was put right after.
    pub(in crate::live) origin: Option<Id>,
    /// What it was put somewhere before.
    pub(in crate::live) right_origin: Option<Id>,
    pub(in crate::live) content: Content<'a>,
}

/// What a struct brings.
#[derive(Clone, Copy, Debug)]
pub(in crate::live) enum Content<'a> {
    /// Clocks up to this one, without a place in the text.
    Collected(u32),
    /// Clocks up to this one, whose text is gone already.
    Deleted(u32),
    /// Never empty once its end is known.
    Text(&'a str),
}

/// A whole update, struct by struct. Whether it fits the document is not known.
#[derive(Debug, Default)]
pub(in crate::live) struct Contents<'a> {
    /// Clients in the order in which they come, each once, with the end of what is theirs in
    /// `structs`.
    pub(in crate::live) sections: Vec<(u64, usize)>,
    /// Those of one client after those of another; of one client without gaps. With the clock
    /// after each.
    pub(in crate::live) structs: Vec<(Struct<'a>, u32)>,
    /// Per client sorted and non-overlapping; each client comes once.
    pub(in crate::live) deletions: Vec<Deletion>,
}

impl<'a> Contents<'a> {
    /// Reads an update that this server has accepted once, of any size. Memory is bounded by a
    /// small multiple of `bytes`.
    pub(in crate::live) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader { bytes };
        let mut contents = Self::default();
        for _ in 0..reader.number()? {
            let structs = reader.number()?;
            if structs == 0 {
                return Err(Refusal::Broken("a client without structs"));
            }
            let client = reader.client()?;
            let mut clock = reader.clock()?;
            for _ in 0..structs {
                let found = reader.read_struct(clock)?;
                clock = match found.content {
                    Content::Collected(end) | Content::Deleted(end) => end,
                    Content::Text(text) => text_end(text, clock)?.0,
                };
                contents.structs.push((found, clock));
            }
            contents.sections.push((client, contents.structs.len()));
        }
        contents.deletions = reader.read_deletions(usize::MAX)?;
        if !reader.bytes.is_empty() {
            return Err(Refusal::Broken("bytes after the end"));
        }
        let mut clients: Vec<u64> = contents.sections.iter().map(|section| section.0).collect();
        if has_duplicates(&mut clients) {
            return Err(Refusal::Broken("a client twice"));
        }
        Ok(contents)
    }
}

/// Which neighbour an origin names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The struct goes right after the target.
    Left,
    /// The struct goes somewhere before the target.
    Right,
}

/// A reference of the struct at `clock` of section number `section`.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) section: usize,
    pub(super) clock: u32,
    pub(super) target: Id,
    pub(super) side: Side,
}

/// What one client wrote: the clocks `start..end`.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) client: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Clocks of low surrogates, ascending.
    pub(super) lows: Vec<u32>,
    /// Clocks that arrive deleted or collected.
    pub(super) deleted: Ranges,
    /// Clocks that arrive collected.
    pub(super) collected: Ranges,
    pub(super) structs: u64,
    pub(super) units: u64,
    pub(super) bytes: u64,
}

impl Section {
    fn new(client: u64, start: u32) -> Self {
        Self {
            client,
            start,
            end: start,
            lows: Vec::new(),
            deleted: Ranges::default(),
            collected: Ranges::default(),
            structs: 0,
            units: 0,
            bytes: 0,
        }
    }
}

/// A deleted range `start..end` of one client.
#[derive(Debug)]
pub(in crate::live) struct Deletion {
    pub(in crate::live) client: u64,
    pub(in crate::live) start: u32,
    pub(in crate::live) end: u32,
}

/// A well-formed update. Whether it fits the document is not known yet.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) sections: Vec<Section>,
    /// In the order of sections and clocks. Empty when the limits say not to collect them.
    pub(super) origins: Vec<Origin>,
    /// Per client sorted and non-overlapping; each client comes once.
    pub(super) deletions: Vec<Deletion>,
}

impl Update {
    /// Reads an update. Memory is bounded by a small multiple of `bytes`.
    pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        if bytes.len() > limits.bytes {
            return Err(Refusal::TooLarge("too many bytes"));
        }
        let mut reader = Reader { bytes };
        let mut update = Self::default();
        let sections = reader.number()?;
        if sections > limits.clients as u64 {
            return Err(Refusal::TooLarge("too many clients"));
        }
        let mut structs_left = limits.structs as u64;
        for _ in 0..sections {
            update.read_section(&mut reader, &mut structs_left, limits)?;
        }
        update.read_deletions(&mut reader, limits)?;
        if !reader.bytes.is_empty() {
            return Err(Refusal::Broken("bytes after the end"));
        }
        // yrs would join two sections of one client in silence.
        let mut clients: Vec<u64> = update.sections.iter().map(|section| section.client).collect();
        if has_duplicates(&mut clients) {
            return Err(Refusal::Broken("a client twice"));
        }
        Ok(update)
    }

    fn read_section(
        &mut self,
        reader: &mut Reader<'_>,
        structs_left: &mut u64,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let structs = reader.number()?;
        if structs == 0 {
            return Err(Refusal::Broken("a client without structs"));
        }
        *structs_left =
            structs_left.checked_sub(structs).ok_or(Refusal::TooLarge("too many structs"))?;
        let client = reader.client()?;
        let start = reader.clock()?;
        let mut section = Section::new(client, start);
        section.structs = structs;
        for _ in 0..structs {
            self.read_struct(reader, &mut section, limits.origins)?;
        }
        self.sections.push(section);
        Ok(())
    }

    fn read_struct(
        &mut self,
        reader: &mut Reader<'_>,
        section: &mut Section,
        collect_origins: bool,
    ) -> Result<(), Refusal> {
        let clock = section.end;
        let found = reader.read_struct(clock)?;
        for (target, side) in [(found.origin, Side::Left), (found.right_origin, Side::Right)] {
            if let Some(target) = target.filter(|_| collect_origins) {
                let section = self.sections.len();
                self.origins.push(Origin { section, clock, target, side });
            }
        }
        match found.content {
            Content::Collected(end) => {
                section.end = end;
                section.deleted.insert(clock, end);
                section.collected.insert(clock, end);
            }
            Content::Deleted(end) => {
                section.end = end;
                section.deleted.insert(clock, end);
            }
            Content::Text(text) => {
                section.end = push_text(text, clock, &mut section.lows)?;
                section.units += u64::from(section.end - clock);
                section.bytes += text.len() as u64;
            }
        }
        Ok(())
    }

    fn read_deletions(&mut self, reader: &mut Reader<'_>, limits: &Limits) -> Result<(), Refusal> {
        self.deletions = reader.read_deletions(limits.deletions)?;
        Ok(())
    }
}

/// Cuts an update into updates of at most `structs` structs of one client each, the deletions
/// last. `None` for what [`Update::read`] refuses.
pub(super) fn slices(bytes: &[u8], structs: u64) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader { bytes };
    let mut slices = Vec::new();
    // Only to step over structs.
    let mut scratch = Update::default();
    for _ in 0..reader.number().ok()? {
        let mut left = reader.number().ok()?;
        let client = reader.client().ok()?;
        let start = reader.clock().ok()?;
        let mut section = Section::new(client, start);
        while left > 0 {
            let count = left.min(structs);
            let (before, clock) = (reader.bytes, section.end);
            for _ in 0..count {
                scratch.read_struct(&mut reader, &mut section, false).ok()?;
            }
            let mut slice = vec![1];
            for value in [count, client, clock.into()] {
                write_number(value, &mut slice);
            }
            slice.extend_from_slice(&before[..before.len() - reader.bytes.len()]);
            slice.push(0);
            slices.push(slice);
            left -= count;
        }
    }
    slices.push([&[0], reader.bytes].concat());
    Some(slices)
}

fn write_number(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn has_duplicates(clients: &mut [u64]) -> bool {
    clients.sort_unstable();
    clients.windows(2).any(|pair| pair[0] == pair[1])
}

/// The clock after `text` from `clock` on, and how many characters of it take two.
fn text_end(text: &str, clock: u32) -> Result<(u32, usize), Refusal> {
    if text.is_empty() {
        return Err(Refusal::Broken("a struct without length"));
    }
    // A unit per character, and a second one for what takes four bytes.
    let pairs = text.bytes().filter(|&byte| byte >= 0xf0).count();
    let units = text.chars().count() + pairs;
    let end = u32::try_from(units).ok().and_then(|units| clock.checked_add(units));
    let end = end.filter(|&end| end <= MAX_CLOCK).ok_or(Refusal::TooLarge("a clock"))?;
    Ok((end, pairs))
}

/// Counts `text` from `clock` on in UTF-16 units, notes its low surrogates, and returns the clock
/// after it.
fn push_text(text: &str, clock: u32, lows: &mut Vec<u32>) -> Result<u32, Refusal> {
    let (end, pairs) = text_end(text, clock)?;
    if pairs > 0 {
        lows.reserve(pairs);
        let mut at = clock;
        for character in text.chars() {
            if character.len_utf16() == 2 {
                lows.push(at + 1);
                at += 2;
            } else {
                at += 1;
            }
        }
    }
    Ok(end)
}

/// What is left to read.
struct Reader<'a> {
    bytes: &'a [u8],
}

const SHORT: Refusal = Refusal::Broken("ends too early");

impl<'a> Reader<'a> {
    /// One struct at `clock`. The end of a text is for the caller to count.
    fn read_struct(&mut self, clock: u32) -> Result<Struct<'a>, Refusal> {
        let info = self.byte()?;
        let mut found =
            Struct { clock, origin: None, right_origin: None, content: Content::Text("") };
        if info == COLLECTED {
            found.content = Content::Collected(self.range_end(clock)?);
            return Ok(found);
        }
        // Bits 0x20 (a map key) and 0x10 (a kind for Yjs, ignored by yrs) never occur in text.
        let kind = info & !(HAS_ORIGIN | HAS_RIGHT_ORIGIN);
        if kind != STRING && kind != DELETED {
            return Err(Refusal::Broken("something other than text"));
        }
        if info & HAS_ORIGIN != 0 {
            found.origin = Some(Id { client: self.client()?, clock: self.clock()? });
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            found.right_origin = Some(Id { client: self.client()?, clock: self.clock()? });
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0
            && (self.number()? != 1 || self.slice()? != ROOT)
        {
            return Err(Refusal::Broken("a parent other than the page's text"));
        }
        found.content = if kind == DELETED {
            Content::Deleted(self.range_end(clock)?)
        } else {
            let text = std::str::from_utf8(self.slice()?);
            Content::Text(text.map_err(|_| Refusal::Broken("text that is not UTF-8"))?)
        };
        Ok(found)
    }

    /// What is deleted, at most `most` ranges.
    fn read_deletions(&mut self, most: usize) -> Result<Vec<Deletion>, Refusal> {
        // Each client costs bytes, so the loops are bounded by the body.
        let mut clients = Vec::new();
        let mut deletions = Vec::new();
        for _ in 0..self.number()? {
            let client = self.client()?;
            clients.push(client);
            let ranges = self.number()?;
            if ranges == 0 {
                return Err(Refusal::Broken("a client without deleted ranges"));
            }
            let mut previous = 0;
            for _ in 0..ranges {
                if deletions.len() >= most {
                    return Err(Refusal::TooLarge("too many deleted ranges"));
                }
                let start = self.clock()?;
                let end = self.range_end(start)?;
                if start < previous {
                    return Err(Refusal::Broken("deleted ranges out of order"));
                }
                previous = end;
                deletions.push(Deletion { client, start, end });
            }
        }
        // yrs would keep the last of two and forget what the first deleted.
        if has_duplicates(&mut clients) {
            return Err(Refusal::Broken("deletions of a client twice"));
        }
        Ok(deletions)
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        let (&first, rest) = self.bytes.split_first().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A number in its shortest form, at most 53 bits. yrs wraps longer forms into other numbers
    /// than Yjs does.
    fn number(&mut self) -> Result<u64, Refusal> {
        let mut value = 0_u64;
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if (byte == 0 && shift > 0) || value > MAX_CLIENT {
                    break;
                }
                return Ok(value);
            }
        }
        Err(Refusal::Broken("a number too long"))
    }

    fn client(&mut self) -> Result<u64, Refusal> {
        self.number()
    }

    fn clock(&mut self) -> Result<u32, Refusal> {
        let clock = self.number()?;
        u32::try_from(clock)
            .ok()
            .filter(|&clock| clock <= MAX_CLOCK)
            .ok_or(Refusal::TooLarge("a clock"))
    }

    /// Reads a length of at least 1 and adds it to `start`.
    fn range_end(&mut self, start: u32) -> Result<u32, Refusal> {
        let length = self.clock()?;
        if length == 0 {
            return Err(Refusal::Broken("a range without length"));
        }
        // Both are at most 2^30.
        Some(start + length).filter(|&end| end <= MAX_CLOCK).ok_or(Refusal::TooLarge("a clock"))
    }

    fn slice(&mut self) -> Result<&'a [u8], Refusal> {
        let length = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        let (slice, rest) = self.bytes.split_at_checked(length).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(slice)
    }
}
