//! Positions in the process's sequence of events.

use std::fmt;
use std::str::FromStr;

/// Length of an epoch in characters.
const EPOCH_CHARS: usize = 8;

/// One run of continuous numbering: 8 lower-case base32 characters (RFC 4648),
/// drawn at start. It changes whenever continuity cannot be proved, that is at
/// every restart, so that a cursor of an earlier process is never misread.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; EPOCH_CHARS]);

impl Epoch {
    /// Draws a new epoch.
    ///
    /// # Panics
    /// When the operating system has no randomness to give; nothing secure can run then.
    #[must_use]
    pub fn draw() -> Self {
        Self(random_base32())
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `N` random characters of lower-case base32, 5 bits each.
///
/// # Panics
/// When the operating system has no randomness to give.
#[must_use]
pub fn random_base32<const N: usize>() -> [u8; N] {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes.map(|byte| ALPHABET[usize::from(byte & 31)])
}

/// A position: everything up to and including `seq` has been seen.
///
/// Printed as `<epoch>.<seq>`. It is the SSE id, the poll parameter, the ETag
/// of a poll and the value in each page's HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which run of numbering.
    pub epoch: Epoch,
    /// Number of the last event seen, over all topics; 0 before the first.
    pub seq: u64,
}

/// A text that is not `<epoch>.<seq>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A cursor is 8 characters, a dot and a number.")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.as_str(), self.seq)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, seq) = text.split_once('.').ok_or(CursorError)?;
        let epoch: [u8; EPOCH_CHARS] = epoch.as_bytes().try_into().map_err(|_| CursorError)?;
        if !epoch.iter().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')) {
            return Err(CursorError);
        }
        // `u64::from_str` would also take a sign and leading zeros: one spelling, one cursor.
        let plain =
            seq.bytes().all(|b| b.is_ascii_digit()) && (seq == "0" || !seq.starts_with('0'));
        let seq = seq.parse().ok().filter(|_| plain).ok_or(CursorError)?;
        Ok(Self { epoch: Epoch(epoch), seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_printed() {
        let cursor = Cursor { epoch: Epoch::draw(), seq: 184_467 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "abcdefgh",
            "abcdefgh.",
            "abcdefgh.-1",
            "abcdefgh.+1",
            "abcdefgh.01",
            "ABCDEFGH.1",
            "abcdefg1.1",
            "abcdefghi.1",
            "abcdefgh.18446744073709551616",
            "abcdefgh.1 ",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
    }
}
