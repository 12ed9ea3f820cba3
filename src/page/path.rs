//! The canonical form of a page's name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Most levels a path may have.
pub const MAX_PATH_LEVELS: usize = 16;

/// Longest level of a path, in bytes of UTF-8. Below the 255 bytes that file
/// systems allow, so that an exported page can carry its name and `.md`.
pub const MAX_SEGMENT_BYTES: usize = 200;

/// Longest path, in bytes of UTF-8, separators included.
pub const MAX_PATH_BYTES: usize = 512;

/// A page's name such as `team/handbook`, always in canonical form.
///
/// Canonical means: Unicode normal form C; 1 to [`MAX_PATH_LEVELS`] levels
/// separated by one `/`; white space inside a level is one plain space and
/// none stands at its ends; no level is `.` or `..`; no control, formatting
/// or bidirectional characters and none of ``\ | [ ] < > " # ? * ` ``, which
/// mean something in links, file systems or URLs. Two paths that differ only
/// in case name the same page ([`PagePath::key`]); the case written by its
/// creator is what is shown.
///
/// ```
/// use halley::page::PagePath;
/// let path: PagePath = " team / Hand  book ".parse().unwrap();
/// assert_eq!(path.as_str(), "team/Hand book");
/// assert_eq!(path.to_url(), "team/Hand%20book");
/// assert!("../etc/passwd".parse::<PagePath>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PagePath(String);

/// Why a text is not a page's name. `Display` is a sentence for the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is left after trimming.
    #[error("A page needs a name.")]
    Empty,
    /// `//`, or a slash at an end.
    #[error("A page's name has an empty level between two slashes.")]
    EmptyLevel,
    /// `.` or `..`.
    #[error("“.” and “..” cannot be a level of a page's name.")]
    Dots,
    /// A control, formatting or reserved character.
    #[error("A page's name cannot contain “{}”.", .0.escape_default())]
    Character(char),
    /// More than [`MAX_PATH_LEVELS`] levels.
    #[error("A page's name has at most {MAX_PATH_LEVELS} levels.")]
    TooDeep,
    /// Longer than [`MAX_SEGMENT_BYTES`] or [`MAX_PATH_BYTES`].
    #[error(
        "A page's name has at most {MAX_PATH_BYTES} bytes, and each level at most {MAX_SEGMENT_BYTES}."
    )]
    TooLong,
}

impl PagePath {
    /// The whole path, as shown to people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last level: the page's short name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Levels from the top down.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// What two spellings of the same page share: the path in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase().nfc().collect()
    }

    /// Whether a page is this one or stands below it, whatever their case.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let other = other.key();
        let rest = other.strip_prefix(&self.key());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path percent-encoded for a URL (RFC 3986 `pchar` and `/` stay).
    #[must_use]
    pub fn to_url(&self) -> String {
        let mut url = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    url.push(char::from(byte));
                }
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }
}

/// True for characters that may not be part of a name.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | '|' | '[' | ']' | '<' | '>' | '"' | '#' | '?' | '*' | '`')
        // Formatting characters are invisible or turn text around, so that two names look alike.
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFD}'
            | '\u{E0000}'..='\u{E0FFF}')
}

impl FromStr for PagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Refused before normalising, so that a hostile text costs no more than its length.
        if text.len() > 4 * MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let text: String = text.nfc().collect();
        if text.trim().is_empty() {
            return Err(PathError::Empty);
        }
        let mut levels = Vec::new();
        for level in text.split('/') {
            if let Some(c) = level.chars().find(|&c| is_refused(c)) {
                return Err(PathError::Character(c));
            }
            let level = level.split_whitespace().collect::<Vec<_>>().join(" ");
            match level.as_str() {
                "" => return Err(PathError::EmptyLevel),
                "." | ".." => return Err(PathError::Dots),
                _ if level.len() > MAX_SEGMENT_BYTES => return Err(PathError::TooLong),
                _ => levels.push(level),
            }
        }
        if levels.len() > MAX_PATH_LEVELS {
            return Err(PathError::TooDeep);
        }
        let path = levels.join("/");
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        Ok(Self(path))
    }
}

impl TryFrom<String> for PagePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PagePath> for String {
    fn from(path: PagePath) -> Self {
        path.0
    }
}

impl fmt::Display for PagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, PathError>) {
        let path = input.parse::<PagePath>();
        assert_eq!(path.as_ref().map(PagePath::as_str).map_err(|e| *e), expected, "{input:?}");
        if let Ok(path) = path {
            assert_eq!(path.as_str().parse(), Ok(path.clone()), "canonical form is stable");
        }
    }

    #[test]
    fn a_name_has_one_canonical_form() {
        check("team/handbook", Ok("team/handbook"));
        check("  Team /  hand \u{a0} book ", Ok("Team/hand book"));
        check("cafe\u{301}/日本語", Ok("café/日本語"));
        check("v1.2/…", Ok("v1.2/…"));
    }

    #[test]
    fn a_name_that_could_mislead_or_escape_is_refused() {
        check("", Err(PathError::Empty));
        check("a//b", Err(PathError::EmptyLevel));
        check("/a", Err(PathError::EmptyLevel));
        check("a/", Err(PathError::EmptyLevel));
        check("a/../b", Err(PathError::Dots));
        check(" . ", Err(PathError::Dots));
        check("a\0b", Err(PathError::Character('\0')));
        check("a\\b", Err(PathError::Character('\\')));
        check("user\u{202e}gpj.exe", Err(PathError::Character('\u{202e}')));
        check("a\u{200b}b", Err(PathError::Character('\u{200b}')));
        check("[[x]]", Err(PathError::Character('[')));
        check(&vec!["a"; 17].join("/"), Err(PathError::TooDeep));
        check(&"a".repeat(201), Err(PathError::TooLong));
        check(&vec!["a".repeat(100); 6].join("/"), Err(PathError::TooLong));
        check(&"a".repeat(1 << 20), Err(PathError::TooLong));
    }

    #[test]
    fn names_that_differ_only_in_case_have_one_key() {
        let a: PagePath = "Team/Straße É".parse().expect("valid");
        let b: PagePath = "team/straße é".parse().expect("valid");
        assert_eq!(a.key(), b.key());
        assert_ne!(a, b);
    }
}
