//! Names and numbers of pages: plain values, no input or output.
//!
//! [`PagePath`] is what people call a page, [`PageId`] what everything else
//! calls it, and [`Revision`] a position in that page's own log of edits.

mod path;

pub use path::{MAX_PATH_BYTES, MAX_PATH_LEVELS, MAX_SEGMENT_BYTES, PagePath, PathError};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Largest text of one page, in bytes of UTF-8 (1 MiB).
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// The lasting number of a page. It survives renames and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PageId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A position in one page's log: how many updates have been accepted so far.
///
/// 0 is the page before its first edit. The text at a revision is the newest
/// snapshot at or before it plus the log after that.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The position right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
