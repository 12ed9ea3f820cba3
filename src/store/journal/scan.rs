//! Reading a journal: which segments there are, and what is in them from a position on.

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::StoreError;
use super::super::codec::Reader;
use super::super::disk;
use super::record::{self, FRAME, Found, Frame};
use super::{HEADER, MAX_BODY, SUFFIX, header_bytes};

/// One segment file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    /// Position of its first record.
    pub start: u64,
    /// Checksum of the record before it.
    pub prev: u32,
}

/// Where a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub position: u64,
    /// Checksum of the last record.
    pub prev: u32,
    /// Whether bytes of a write that never finished stand behind the end.
    pub torn: bool,
    /// From here on no later record says that what was read is on disk, and not only known to
    /// the kernel.
    pub unproven: u64,
}

/// All segments in order. Checks their headers, not their records.
pub(crate) fn segments(dir: &Path, store: u64) -> Result<Vec<Segment>, StoreError> {
    let mut found = Vec::new();
    for path in disk::files_ending(dir, SUFFIX)? {
        let mut bytes = Vec::new();
        File::open(&path)?.take(HEADER).read_to_end(&mut bytes)?;
        let (start, prev) = read_header(&bytes, store).ok_or_else(|| {
            StoreError::Damaged(format!(
                "the journal file {} does not begin as one of this store; put the file back from \
                 a backup",
                path.display()
            ))
        })?;
        found.push(Segment { path, start, prev });
    }
    found.sort_by_key(|segment| segment.start);
    Ok(found)
}

fn read_header(bytes: &[u8], store: u64) -> Option<(u64, u32)> {
    let mut reader = Reader(bytes.get(..HEADER as usize)?);
    reader.take(16)?;
    let _store = reader.u64()?;
    let (start, prev) = (reader.u64()?, reader.u32()?);
    (header_bytes(store, start, prev) == bytes).then_some((start, prev))
}

/// A record that was read.
pub(crate) struct Passed<'a> {
    /// Where it stands.
    pub from: u64,
    /// Where the next one stands.
    pub to: u64,
    pub frame: &'a Frame,
    pub crc: u32,
    pub body: &'a [u8],
}

/// Calls `each` for every record from `from` (which must be the beginning of one, or the end) up
/// to `to` or the end. When there is none, the checksum in the result means nothing unless
/// `from` is the beginning of a segment.
///
/// # Errors
/// [`StoreError::Damaged`] when a record cannot be read although it was once on disk, when
/// segments are missing, or when the journal does not reach `from`.
pub(crate) fn read(
    segments: &[Segment],
    store: u64,
    from: u64,
    to: Option<u64>,
    mut each: impl FnMut(Passed<'_>) -> Result<(), StoreError>,
) -> Result<End, StoreError> {
    let Some(first) = segments.iter().rposition(|segment| segment.start <= from) else {
        return Err(StoreError::Damaged(format!(
            "the journal begins at position {}, but the records reach only to {from}",
            segments.first().map_or(0, |segment| segment.start)
        )));
    };
    let mut end = End { position: from, prev: segments[first].prev, torn: false, unproven: from };
    for (index, segment) in segments.iter().enumerate().skip(first) {
        if segment.start > end.position {
            return Err(StoreError::Damaged(format!(
                "the journal is missing between positions {} and {} (before {})",
                end.position,
                segment.start,
                segment.path.display()
            )));
        }
        let next = segments.get(index + 1).map(|segment| segment.start);
        end = read_segment(segment, store, end, to, next, &mut each)?;
        if to.is_some_and(|to| end.position >= to) {
            break;
        }
    }
    Ok(end)
}

fn read_segment(
    segment: &Segment,
    store: u64,
    from: End,
    to: Option<u64>,
    next: Option<u64>,
    each: &mut impl FnMut(Passed<'_>) -> Result<(), StoreError>,
) -> Result<End, StoreError> {
    let mut file = File::open(&segment.path)?;
    let length = fs::metadata(&segment.path)?.len();
    let offset = HEADER + (from.position - segment.start);
    let damaged = |position: u64, why: &str| {
        StoreError::Damaged(format!(
            "the journal file {} cannot be read at byte {} ({why}); put the data directory back \
             from a backup, or ask for help before you remove anything",
            segment.path.display(),
            HEADER + (position - segment.start)
        ))
    };
    if offset > length {
        return Err(damaged(from.position, "the file is too short"));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut left = length - offset;
    let mut end = from;
    // The record before `from` was not read when `from` lies inside a segment.
    let mut chained = from.position == segment.start;
    let mut bytes = Vec::new();
    loop {
        if to.is_some_and(|to| end.position >= to) {
            return Ok(end);
        }
        if next == Some(end.position) {
            return Ok(end);
        }
        bytes.clear();
        let count = left.min(FRAME as u64);
        reader.by_ref().take(count).read_to_end(&mut bytes)?;
        let mut found = record::look(&bytes, store, end.position);
        if let Found::Short(length) = found {
            let rest = (length - FRAME) as u64;
            if rest <= left.saturating_sub(FRAME as u64) {
                reader.by_ref().take(rest).read_to_end(&mut bytes)?;
                found = record::look(&bytes, store, end.position);
            }
        }
        match found {
            Found::Record { frame, crc, length } if !chained || frame.prev == end.prev => {
                let after = end.position + length as u64;
                let body = &bytes[FRAME..length];
                each(Passed { from: end.position, to: after, frame: &frame, crc, body })?;
                end = End { position: after, prev: crc, torn: false, unproven: frame.group };
                left -= length as u64;
                chained = true;
            }
            _ => {
                if next.is_some() {
                    return Err(damaged(end.position, "there are later files"));
                }
                let mut rest = bytes;
                reader.read_to_end(&mut rest)?;
                if let Some(position) = later_record(&rest, store, end.position) {
                    return Err(damaged(
                        end.position,
                        &format!(
                            "there is a later record at byte {}",
                            HEADER + (position - segment.start)
                        ),
                    ));
                }
                end.torn = rest.iter().any(|byte| *byte != 0);
                return Ok(end);
            }
        }
    }
}

/// A whole record behind `position` that proves that what stands at `position` was once synced.
fn later_record(rest: &[u8], store: u64, position: u64) -> Option<u64> {
    let mut at = 1;
    while let Some(found) = rest.get(at..).and_then(record::find_magic) {
        at += found;
        let candidate = position + at as u64;
        if let Found::Record { frame, .. } = record::look(&rest[at..], store, candidate)
            && frame.group > position
        {
            return Some(candidate);
        }
        at += 1;
    }
    None
}

const _: () = assert!(MAX_BODY < u32::MAX as usize);
