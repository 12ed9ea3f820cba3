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
pub(super) struct Id {
    pub(super) client: u64,
    pub(super) clock: u32,
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
pub(super) struct Deletion {
    pub(super) client: u64,
    pub(super) start: u32,
    pub(super) end: u32,
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
        let info = reader.byte()?;
        if info == COLLECTED {
            section.end = reader.range_end(clock)?;
            section.deleted.insert(clock, section.end);
            section.collected.insert(clock, section.end);
            return Ok(());
        }
        // Bits 0x20 (a map key) and 0x10 (a kind for Yjs, ignored by yrs) never occur in text.
        let kind = info & !(HAS_ORIGIN | HAS_RIGHT_ORIGIN);
        if kind != STRING && kind != DELETED {
            return Err(Refusal::Broken("something other than text"));
        }
        for (flag, side) in [(HAS_ORIGIN, Side::Left), (HAS_RIGHT_ORIGIN, Side::Right)] {
            if info & flag != 0 {
                let target = Id { client: reader.client()?, clock: reader.clock()? };
                if collect_origins {
                    let section = self.sections.len();
                    self.origins.push(Origin { section, clock, target, side });
                }
            }
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0
            && (reader.number()? != 1 || reader.slice()? != ROOT)
        {
            return Err(Refusal::Broken("a parent other than the page's text"));
        }
        if kind == DELETED {
            section.end = reader.range_end(clock)?;
            section.deleted.insert(clock, section.end);
            return Ok(());
        }
        let text = std::str::from_utf8(reader.slice()?)
            .map_err(|_| Refusal::Broken("text that is not UTF-8"))?;
        section.end = push_text(text, clock, &mut section.lows)?;
        section.units += u64::from(section.end - clock);
        section.bytes += text.len() as u64;
        Ok(())
    }

    fn read_deletions(&mut self, reader: &mut Reader<'_>, limits: &Limits) -> Result<(), Refusal> {
        // Each client costs bytes, so the loops are bounded by the body.
        let mut clients = Vec::new();
        for _ in 0..reader.number()? {
            let client = reader.client()?;
            clients.push(client);
            let ranges = reader.number()?;
            if ranges == 0 {
                return Err(Refusal::Broken("a client without deleted ranges"));
            }
            let mut previous = 0;
            for _ in 0..ranges {
                if self.deletions.len() >= limits.deletions {
                    return Err(Refusal::TooLarge("too many deleted ranges"));
                }
                let start = reader.clock()?;
                let end = reader.range_end(start)?;
                if start < previous {
                    return Err(Refusal::Broken("deleted ranges out of order"));
                }
                previous = end;
                self.deletions.push(Deletion { client, start, end });
            }
        }
        // yrs would keep the last of two and forget what the first deleted.
        if has_duplicates(&mut clients) {
            return Err(Refusal::Broken("deletions of a client twice"));
        }
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

/// Counts `text` from `clock` on in UTF-16 units, notes its low surrogates, and returns the clock
/// after it.
fn push_text(text: &str, clock: u32, lows: &mut Vec<u32>) -> Result<u32, Refusal> {
    if text.is_empty() {
        return Err(Refusal::Broken("a struct without length"));
    }
    // A unit per character, and a second one for what takes four bytes.
    let pairs = text.bytes().filter(|&byte| byte >= 0xf0).count();
    let units = text.chars().count() + pairs;
    let end = u32::try_from(units).ok().and_then(|units| clock.checked_add(units));
    let end = end.filter(|&end| end <= MAX_CLOCK).ok_or(Refusal::TooLarge("a clock"))?;
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
