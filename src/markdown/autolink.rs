//! Bare addresses in running text: `https://…`, `http://…`, `mailto:…` and `www.…`.
//!
//! The rules are those of GitHub's extension (GFM 0.29, section 6.9), without bare e-mail
//! addresses, which would turn half of all chat logs into links.

use std::ops::Range;

/// Longest bare address that becomes a link, in bytes.
const MAX_BYTES: usize = 2048;

/// The first bare address at or after `from`: its place, and what to put before it in the link.
pub(super) fn find(text: &str, from: usize) -> Option<(Range<usize>, &'static str)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        // Every form starts with one of these letters; anything else is skipped at full speed.
        at += text.get(at..)?.find(['h', 'H', 'w', 'W', 'm', 'M'])?;
        let known = [("https://", ""), ("http://", ""), ("mailto:", ""), ("www.", "https://")];
        let found = known.iter().find(|(start, _)| starts(bytes, at, start.as_bytes()));
        let Some(&(scheme, before)) = found else {
            at += 1;
            continue;
        };
        let free = text[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || "*_~([{\"'“‘«,;:—–-/|>".contains(c));
        let end = end_of(text, at);
        let host = text.get(at + scheme.len()..end).unwrap_or_default();
        let valid = match scheme {
            "mailto:" => host.contains('@'),
            "www." => host.contains(char::is_alphanumeric),
            _ => host.starts_with(|c: char| c.is_alphanumeric() || c == '['),
        };
        if free && valid && end - at <= MAX_BYTES {
            return Some((at..end, before));
        }
        // Past the whole word: its inside is not looked at again.
        at = end.max(at + 1);
    }
    None
}

fn starts(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word))
}

/// Where an address that starts at `start` ends: before white space and `<`, without trailing
/// punctuation and without a closing bracket that was not opened inside.
fn end_of(text: &str, start: usize) -> usize {
    let tail = &text[start..];
    let stop = tail.find(|c: char| c.is_whitespace() || c.is_control() || c == '<' || c == '"');
    let word = &tail[..stop.unwrap_or(tail.len())];
    let mut spare = word.matches(')').count().saturating_sub(word.matches('(').count());
    let mut end = word.len();
    while let Some(last) = word[..end].chars().next_back() {
        match last {
            ')' if spare > 0 => spare -= 1,
            '?' | '!' | '.' | ',' | ':' | '*' | '_' | '~' | ';' | '\'' | '…' | '”' | '’' => {}
            ']' | '}' => {}
            _ => break,
        }
        end -= last.len_utf8();
    }
    start + end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(find(text, 0).map(|(range, _)| &text[range]), expected, "{text:?}");
    }

    #[test]
    fn an_address_ends_where_a_reader_would_end_it() {
        check("see https://a.b/c_d?e=f.", Some("https://a.b/c_d?e=f"));
        check("(https://a.b/c_(d))", Some("https://a.b/c_(d)"));
        check("www.example.org, and", Some("www.example.org"));
        check("mailto:a@b.c!", Some("mailto:a@b.c"));
        check("https://", None);
        check("xhttps://a.b", None);
        check("www.", None);
        check("mailto:nobody", None);
        check("日本https://a.b ", None);
        check("", None);
    }
}
