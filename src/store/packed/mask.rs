//! Updates without some of their text.

use super::update::{self, Content};

/// In place of a character that was erased: one UTF-16 unit, so that everything that counts units
/// stays true.
const MASK: char = '\u{2588}';

/// The same update with other text in place of what `covers` (by client and clock) says. Ids, order,
/// neighbours and deletions stay, so whoever has applied the one need not apply the other. `None`
/// when the update is not understood.
#[must_use]
pub fn mask_update(bytes: &[u8], covers: &dyn Fn(u64, u64) -> bool) -> Option<Vec<u8>> {
    let mut update = update::read(bytes)?;
    let mut masked: Vec<(usize, usize, String)> = Vec::new();
    for (at, section) in update.sections.iter().enumerate() {
        let mut clock = section.clock;
        for (number, one) in section.structs.iter().enumerate() {
            let begin = clock;
            clock = clock.checked_add(one.content.length())?;
            let Content::Text(text) = one.content else { continue };
            if (begin..clock).any(|clock| covers(section.client, clock)) {
                masked.push((at, number, mask(text, section.client, begin, covers)));
            }
        }
    }
    if masked.is_empty() {
        return Some(bytes.to_vec());
    }
    for (section, number, text) in &masked {
        update.sections[*section].structs[*number].content = Content::Text(text);
    }
    Some(update::write(&update))
}

fn mask(text: &str, client: u64, begin: u64, covers: &dyn Fn(u64, u64) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut clock = begin;
    for character in text.chars() {
        let end = clock + character.len_utf16() as u64;
        if (clock..end).any(|clock| covers(client, clock)) {
            (clock..end).for_each(|_| out.push(MASK));
        } else {
            out.push(character);
        }
        clock = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::packed::update::{Id, Section, Struct, Update};

    #[test]
    fn only_the_text_of_what_is_covered_changes_and_no_length_does() {
        let origin = Some(Id { client: 9, clock: 3 });
        let one = |content| Struct { origin, right: None, content };
        let update = |texts: [&'static str; 2]| {
            let [a, b] = texts.map(|text| one(Content::Text(text)));
            let structs = vec![a, one(Content::Deleted(4)), b];
            let sections = vec![Section { client: 7, clock: 100, structs }];
            let deletes = vec![(7, vec![update::Range { clock: 100, length: 2 }])];
            update::write(&Update { sections, deletes })
        };
        // Clocks 100 to 105, 106 to 109, 110 to 112; the pair of the picture is 104 and 105.
        let before = update(["abcd\u{1f600}", "xyz"]);
        let covers = |client, clock| client == 7 && matches!(clock, 101 | 102 | 105 | 112);
        let after = mask_update(&before, &covers).unwrap();
        assert_eq!(after, update(["a\u{2588}\u{2588}d\u{2588}\u{2588}", "xy\u{2588}"]));
        assert_eq!(mask_update(&after, &covers), Some(after.clone()), "once more changes nothing");
        assert_eq!(mask_update(&before, &|client, _| client == 8), Some(before));
        assert_eq!(mask_update(&[1, 2], &covers), None);
    }
}
