//! The bytes of a pack, and of the records that say what is where.
//!
//! ```text
//! pack    = "HALLEY PACK    1" store:u64 number:u64 block* index trailer
//! block   = kind:u8 page:u64 first:u64 count:u32 at_ms:u64 was:u32 length:u32 crc:u32 bytes
//! index   = (kind page first count at_ms was length crc offset:u32)*
//! trailer = blocks:u32 index_crc:u32 whole_crc:u32 "PACK"
//! ```
//!
//! Numbers are little-endian. The checksum of a block covers its head and its bytes, the one of
//! the index the index, and the last one everything before it.

use super::super::codec::{Reader, put_length};

const MAGIC: &[u8; 16] = b"HALLEY PACK    1";
const END: &[u8; 4] = b"PACK";

/// Bytes before the first block.
pub(super) const HEADER: usize = 32;
/// Bytes before the content of a block.
pub(super) const HEAD: usize = 41;
/// Bytes of a block in the index.
pub(super) const ENTRY: usize = HEAD + 4;
/// Bytes behind the index.
pub(super) const TRAILER: usize = 16;
/// Bytes of the trailer that the last checksum does not cover: itself and what is behind it.
pub(super) const UNCOVERED: usize = 8;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Kind {
    /// Entries of a page's log, in the columns of `packed`.
    Log,
    /// A snapshot, as it would stand in sled.
    State,
}

/// A block: the same in its head, in the index and in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Block {
    pub kind: Kind,
    pub page: u64,
    /// First revision, or the one of the snapshot.
    pub first: u64,
    /// Entries; 1 for a snapshot.
    pub count: u32,
    /// When the last entry was accepted, milliseconds since 1970; 0 for a snapshot.
    pub at_ms: u64,
    /// Bytes that the entries took in the database, for whoever asks what packing has saved; 0 for
    /// a snapshot.
    pub was: u32,
    /// Bytes behind its head.
    pub length: u32,
    pub crc: u32,
    /// Where in the file its head is.
    pub offset: u32,
}

impl Block {
    /// Last revision.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count).saturating_sub(1))
    }

    /// Bytes in the file, with its head and its place in the index.
    pub fn bytes(&self) -> u64 {
        u64::from(self.length) + (HEAD + ENTRY) as u64
    }

    fn put_fields(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            Kind::Log => 0,
            Kind::State => 1,
        });
        out.extend_from_slice(&self.page.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.at_ms.to_le_bytes());
        out.extend_from_slice(&self.was.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }

    /// The same with the checksum for this content, and the length.
    pub(super) fn sealed(mut self, content: &[u8]) -> Self {
        self.length = content.len() as u32;
        let mut fields = Vec::with_capacity(HEAD);
        self.put_fields(&mut fields);
        self.crc = crc32c::crc32c_append(crc32c::crc32c(&fields), content);
        self
    }

    pub(super) fn put_head(&self, out: &mut Vec<u8>) {
        self.put_fields(out);
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn read_head(reader: &mut Reader<'_>, offset: u32) -> Option<Self> {
        let kind = match reader.u8()? {
            0 => Kind::Log,
            1 => Kind::State,
            _ => return None,
        };
        Some(Self {
            kind,
            page: reader.u64()?,
            first: reader.u64()?,
            count: reader.u32()?,
            at_ms: reader.u64()?,
            was: reader.u32()?,
            length: reader.u32()?,
            crc: reader.u32()?,
            offset,
        })
    }

    fn put_entry(&self, out: &mut Vec<u8>) {
        self.put_head(out);
        out.extend_from_slice(&self.offset.to_le_bytes());
    }

    fn read_entry(reader: &mut Reader<'_>) -> Option<Self> {
        let block = Self::read_head(reader, 0)?;
        Some(Self { offset: reader.u32()?, ..block })
    }

    /// The content of this block, when these bytes (from its head on) are it.
    pub(super) fn content<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader(bytes);
        let found = Self::read_head(&mut reader, self.offset)?;
        (found == *self && found.sealed(reader.0).crc == self.crc).then_some(reader.0)
    }
}

/// The value of a record: which pack, and the block without what the key says.
pub(super) fn put_record(pack: u64, block: &Block) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    let Block { count, offset, length, was, at_ms, .. } = *block;
    for number in [pack, count.into(), offset.into(), length.into(), was.into(), at_ms] {
        put_length(&mut out, number as usize);
    }
    out.extend_from_slice(&block.crc.to_le_bytes());
    out
}

/// Pack and block of a record; `None` when it is none.
pub(super) fn read_record(
    kind: Kind,
    (page, first): (u64, u64),
    value: &[u8],
) -> Option<(u64, Block)> {
    let mut reader = Reader(value);
    let mut number = || reader.length().map(|number| number as u64);
    let (pack, count, offset, length, was, at_ms) =
        (number()?, number()?, number()?, number()?, number()?, number()?);
    let block = Block {
        kind,
        page,
        first,
        count: count.try_into().ok()?,
        at_ms,
        was: was.try_into().ok()?,
        length: length.try_into().ok()?,
        crc: reader.u32()?,
        offset: offset.try_into().ok()?,
    };
    let good = reader.is_empty() && block.count > 0 && first > 0;
    good.then_some((pack, block))
}

pub(super) fn header(store: u64, number: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&store.to_le_bytes());
    header.extend_from_slice(&number.to_le_bytes());
    header
}

/// Index and trailer, but for the last checksum and what is behind it.
pub(super) fn footer(blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.len() * ENTRY + TRAILER);
    for block in blocks {
        block.put_entry(&mut out);
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// What is behind everything that the last checksum covers.
pub(super) fn end(whole_crc: u32) -> Vec<u8> {
    let mut out = whole_crc.to_le_bytes().to_vec();
    out.extend_from_slice(END);
    out
}

/// Number of blocks, checksum of the index, checksum of the whole.
pub(super) fn read_trailer(bytes: &[u8]) -> Option<(usize, u32, u32)> {
    let mut reader = Reader(bytes);
    let numbers = (reader.u32()? as usize, reader.u32()?, reader.u32()?);
    (reader.0 == END).then_some(numbers)
}

/// The blocks of an index of which the checksum is known.
pub(super) fn read_index(bytes: &[u8], crc: u32) -> Option<Vec<Block>> {
    if crc32c::crc32c(bytes) != crc {
        return None;
    }
    let mut reader = Reader(bytes);
    let mut blocks = Vec::new();
    while !reader.is_empty() {
        blocks.push(Block::read_entry(&mut reader)?);
    }
    Some(blocks)
}
