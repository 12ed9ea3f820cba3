//! Offsets in UTF-16 units and in bytes.

/// The byte after the first `units` of a text, or its end. True when that would be inside a
/// surrogate pair; then it is after the pair.
pub(super) fn offset(text: &str, units: usize) -> (usize, bool) {
    let mut left = units;
    for (at, character) in text.char_indices() {
        match left.checked_sub(character.len_utf16()) {
            _ if left == 0 => return (at, false),
            Some(less) => left = less,
            None => return (at + character.len_utf8(), true),
        }
    }
    (text.len(), false)
}

/// [`offset`] for all but the last `units` of a text.
pub(super) fn offset_back(text: &str, units: usize) -> (usize, bool) {
    let mut left = units;
    for (at, character) in text.char_indices().rev() {
        match left.checked_sub(character.len_utf16()) {
            _ if left == 0 => return (at + character.len_utf8(), false),
            Some(less) => left = less,
            None => return (at + character.len_utf8(), true),
        }
    }
    (0, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same_place() {
        for text in ["", "plain", "a\u{e9}\u{1f600}b\u{20ac}\u{1f600}"] {
            let all: Vec<u16> = text.encode_utf16().collect();
            for units in 0..=all.len() {
                let (at, split) = offset(text, units);
                let (back, split_back) = offset_back(text, all.len() - units);
                assert_eq!((back, split_back), (at, split), "{text} {units}");
                let expected = units + usize::from(split);
                assert_eq!(text[..at].encode_utf16().count(), expected, "{text} {units}");
            }
        }
        assert_eq!(offset("ab", 9), (2, false));
    }
}
