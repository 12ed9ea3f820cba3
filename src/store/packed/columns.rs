//! Columns to bytes and back, each deflated when that is shorter.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::super::codec::{Reader, put_length};
use super::COLUMNS;

/// No column is larger: the largest state of a document, twice.
const MAX_COLUMN: usize = 96 << 20;
/// Shorter ones are not worth a try.
const SHORTEST: usize = 16;

pub(super) type Columns = [Vec<u8>; COLUMNS];

pub(super) fn join(columns: &Columns) -> Vec<u8> {
    let mut out = Vec::new();
    for column in columns {
        let deflated = deflate(column).filter(|deflated| deflated.len() + 2 < column.len());
        put_length(&mut out, column.len() << 1 | usize::from(deflated.is_some()));
        match deflated {
            Some(deflated) => {
                put_length(&mut out, deflated.len());
                out.extend_from_slice(&deflated);
            }
            None => out.extend_from_slice(column),
        }
    }
    out
}

fn deflate(column: &[u8]) -> Option<Vec<u8>> {
    if column.len() < SHORTEST {
        return None;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail; if it did, the column would be kept as it is.
    encoder.write_all(column).ok()?;
    encoder.finish().ok()
}

/// `None` when the bytes are not what [`join`] gave. Takes no more memory than the columns say,
/// and not before the bytes for it have come.
pub(super) fn split(bytes: &[u8]) -> Option<Columns> {
    let mut reader = Reader(bytes);
    let mut columns = Columns::default();
    for column in &mut columns {
        let head = reader.length()?;
        let length = head >> 1;
        if length > MAX_COLUMN {
            return None;
        }
        if head & 1 == 0 {
            *column = reader.take(length)?.to_vec();
            continue;
        }
        let stored = reader.bytes()?;
        DeflateDecoder::new(stored).take(length as u64 + 1).read_to_end(column).ok()?;
        if column.len() != length {
            return None;
        }
    }
    reader.is_empty().then_some(columns)
}
