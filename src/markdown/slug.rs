//! Ids of headings.

use std::collections::HashMap;

/// Longest slug, in characters, before a number is added.
const MAX_CHARS: usize = 80;

/// A heading's text as an address: lower case, letters and digits of any script, `-` for white
/// space, as GitHub does it.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.trim().chars().take(MAX_CHARS) {
        match c {
            '-' | '_' => slug.push(c),
            _ if c.is_whitespace() => slug.push('-'),
            _ if c.is_alphanumeric() => slug.extend(c.to_lowercase()),
            _ => {}
        }
    }
    if slug.is_empty() { "section".to_owned() } else { slug }
}

/// The slugs one page has given away.
#[derive(Default)]
pub(super) struct Slugs {
    /// Slug -> the number to try next when it is asked for again.
    used: HashMap<String, u32>,
}

impl Slugs {
    /// A slug for `text` that no other heading of the page has.
    pub(super) fn unique(&mut self, text: &str) -> String {
        let base = slug(text);
        let Some(next) = self.used.get(&base).copied() else {
            self.used.insert(base.clone(), 1);
            return base;
        };
        let mut number = next;
        loop {
            let candidate = format!("{base}-{number}");
            number += 1;
            if !self.used.contains_key(&candidate) {
                self.used.insert(base, number);
                self.used.insert(candidate.clone(), 1);
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_headings_share_a_slug() {
        let mut slugs = Slugs::default();
        let given: Vec<_> = ["A b", "A b", "a-b-1", "A  b!", "", "日本"]
            .iter()
            .map(|text| slugs.unique(text))
            .collect();
        assert_eq!(given, ["a-b", "a-b-1", "a-b-1-1", "a--b", "section", "日本"]);
    }
}
