//! One journal record: its frame, and the sum that tells a written record from anything else.

use super::super::codec::Reader;

/// Bytes before a record's body.
pub(crate) const FRAME: usize = 33;

const MAGIC: [u8; 4] = *b"HJR1";

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Updates of one page.
    Append = 1,
    /// Changes of records.
    Change = 2,
}

/// The frame of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Checksum of the record before.
    pub prev: u32,
    /// Position up to which everything was synced when this record was written. A record that
    /// cannot be read below the `group` of a later one was on disk once: it is damage, not the
    /// torn end of a write that nobody was told about.
    pub group: u64,
    /// Sum of the state after this record.
    pub sum: u64,
    pub kind: Kind,
}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole record: its frame, checksum and length with the frame.
    Record { frame: Frame, crc: u32, length: usize },
    /// Zeros, or not enough bytes for a frame.
    Nothing,
    /// Something that is not a whole record.
    Broken,
    /// A plausible frame whose body needs this many bytes in all.
    Short(usize),
}

/// Appends a record to `out`; returns its checksum. `position` is where it will stand.
pub(crate) fn put(out: &mut Vec<u8>, store: u64, position: u64, frame: &Frame, body: &[u8]) -> u32 {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&frame.prev.to_le_bytes());
    out.extend_from_slice(&frame.group.to_le_bytes());
    out.extend_from_slice(&frame.sum.to_le_bytes());
    out.push(frame.kind as u8);
    out.extend_from_slice(body);
    let crc = checksum(store, position, &out[start + 4..start + 8], &out[start + 12..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Looks at the record that starts with `bytes[0]` and stands at `position`.
pub(crate) fn look(bytes: &[u8], store: u64, position: u64) -> Found {
    if bytes.len() < FRAME {
        return if bytes.iter().all(|byte| *byte == 0) { Found::Nothing } else { Found::Broken };
    }
    if bytes[..FRAME].iter().all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    parse(bytes, store, position).unwrap_or(Found::Broken)
}

/// Where the next possible record starts, counted from `bytes[0]`.
pub(crate) fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}

fn parse(bytes: &[u8], store: u64, position: u64) -> Option<Found> {
    let mut reader = Reader(bytes);
    if reader.take(4)? != MAGIC {
        return None;
    }
    let body = reader.u32()? as usize;
    if body > super::MAX_BODY {
        return None;
    }
    let crc = reader.u32()?;
    let frame = Frame {
        prev: reader.u32()?,
        group: reader.u64()?,
        sum: reader.u64()?,
        kind: match reader.u8()? {
            1 => Kind::Append,
            2 => Kind::Change,
            _ => return None,
        },
    };
    let length = FRAME + body;
    let Some(record) = bytes.get(..length) else { return Some(Found::Short(length)) };
    (checksum(store, position, &record[4..8], &record[12..]) == crc).then_some(Found::Record {
        frame,
        crc,
        length,
    })
}

/// CRC-32C over where the record stands and what it says, so that bytes of another store or of
/// another place never pass.
fn checksum(store: u64, position: u64, length: &[u8], rest: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&store.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &position.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, length);
    crc32c::crc32c_append(crc, rest)
}
