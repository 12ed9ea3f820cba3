//! What is to be read around a piece of the list.

use super::{Item, NO_TEXT, Place, UNPLACED, Weave};
use crate::live::gate::Contents;

/// One UTF-16 unit of text.
#[derive(Clone, Copy)]
struct Unit {
    value: u16,
    place: Place,
}

/// What is to be read to one side of a place, as far as somebody has asked.
struct Side<'a> {
    weave: &'a Weave,
    /// The next item to look at.
    at: u32,
    back: bool,
    /// The nearest first.
    units: Vec<Unit>,
    /// Never more is wanted.
    most: usize,
}

impl Side<'_> {
    fn get(&mut self, at: usize) -> Option<Unit> {
        while self.units.len() <= at {
            let item = self.weave.items.get(self.at as usize)?;
            self.at = if self.back { item.prev } else { item.next };
            if item.died == 0 && item.text != NO_TEXT {
                self.weave.read(item, self.back, self.most, &mut self.units);
            }
        }
        self.units.get(at).copied()
    }
}

impl Weave {
    /// Where a text is to be read now that could not be read before an update which has just been
    /// applied as this revision: client and clock of each of its UTF-16 units. What could be read
    /// before as well may be among it.
    pub(in crate::live::timeline) fn appeared(
        &self,
        (contents, revision): (&Contents<'_>, u32),
        pattern: &[u16],
        found: &mut Vec<(u64, u32)>,
    ) {
        let mut begin = 0;
        for &(client, end) in &contents.sections {
            for (one, after) in &contents.structs[begin..end] {
                self.around((client, one.clock, *after), revision, pattern, found);
            }
            begin = end;
        }
        for deletion in &contents.deletions {
            let range = (deletion.client, deletion.start, deletion.end);
            self.around(range, revision, pattern, found);
        }
    }

    /// Of a client's clocks those that can be read now, as ranges.
    pub(in crate::live::timeline) fn alive(
        &self,
        client: u64,
        (start, end): (u32, u32),
    ) -> Vec<(u32, u32)> {
        let mut alive = Vec::new();
        self.items_of(client, start, end, |_, item| {
            let range = (item.id.clock.max(start), (item.id.clock + item.len).min(end));
            if item.died == 0 && item.text != NO_TEXT && range.0 < range.1 {
                alive.push(range);
            }
        });
        alive
    }

    /// The first revision that brought some of a client's clocks; `None` when none did.
    pub(in crate::live::timeline) fn born(
        &self,
        client: u64,
        (start, end): (u32, u32),
    ) -> Option<u32> {
        let mut born = None;
        self.items_of(client, start, end, |_, item| {
            born = Some(born.map_or(item.born, |born: u32| born.min(item.born)));
        });
        born
    }

    fn items_of(&self, client: u64, start: u32, end: u32, mut each: impl FnMut(u32, &Item)) {
        let Some(&client) = self.numbers.get(&client) else { return };
        let mut clock = start;
        while clock < end {
            let Some(at) = self.find(Place { client, clock }) else { return };
            let item = &self.items[at as usize];
            let next = item.id.clock + item.len;
            // Not known: the update could not be applied.
            if next <= clock {
                return;
            }
            each(at, item);
            clock = next;
        }
    }

    fn around(
        &self,
        (client, start, end): (u64, u32, u32),
        revision: u32,
        pattern: &[u16],
        found: &mut Vec<(u64, u32)>,
    ) {
        self.items_of(client, start, end, |at, item| {
            // Of several side by side that have just gone the first one speaks for all.
            let goes_on =
                || self.items.get(item.prev as usize).is_some_and(|before| before.died == revision);
            let has_changed = item.died == 0 || (item.died == revision && !goes_on());
            if item.next != UNPLACED && has_changed {
                self.matches(at, pattern, found);
            }
        });
    }

    /// Looks for the text where it has part in an item, or goes over the place of one that is gone.
    fn matches(&self, at: u32, pattern: &[u16], found: &mut Vec<(u64, u32)>) {
        let item = &self.items[at as usize];
        let mut own = Vec::new();
        if item.died == 0 && item.text != NO_TEXT {
            self.read(item, false, usize::MAX, &mut own);
        }
        let side = |at: u32, back: bool| Side {
            weave: self,
            at,
            back,
            units: Vec::new(),
            most: pattern.len(),
        };
        let (mut left, mut right) = (side(item.prev, true), side(item.next, false));
        let (length, own_length) = (pattern.len() as i64, own.len() as i64);
        let mut unit = |at: i64| match usize::try_from(at) {
            Ok(at) if at < own.len() => own.get(at).copied(),
            Ok(at) => right.get(at - own.len()),
            Err(_) => left.get(usize::try_from(-1 - at).unwrap_or(usize::MAX)),
        };
        let last = if own_length > 0 { own_length - 1 } else { -1 };
        for start in 1 - length..=last {
            // The nearest first: most do not match there.
            let middle = start.max(0);
            let mut fits = |at: i64| {
                let wanted = pattern.get(usize::try_from(at - start).unwrap_or(usize::MAX));
                unit(at).is_some_and(|unit| wanted == Some(&unit.value))
            };
            if (middle..start + length).all(&mut fits) && (start..middle).rev().all(&mut fits) {
                for at in start..start + length {
                    if let Some(unit) = unit(at) {
                        found.push((self.id(unit.place.client), unit.place.clock));
                    }
                }
            }
        }
    }

    /// Reads at most about `most` units of an item, from its beginning or from its end.
    fn read(&self, item: &Item, back: bool, most: usize, units: &mut Vec<Unit>) {
        let text = self.text_of(item);
        let mut pair = [0; 2];
        let Place { client, clock } = item.id;
        let begun = units.len();
        if back {
            let mut clock = clock + item.len;
            for character in text.chars().rev() {
                for &mut value in character.encode_utf16(&mut pair).iter_mut().rev() {
                    clock = clock.wrapping_sub(1);
                    units.push(Unit { value, place: Place { client, clock } });
                }
                if units.len() - begun >= most {
                    return;
                }
            }
        } else {
            let mut clock = clock;
            for character in text.chars() {
                for &mut value in character.encode_utf16(&mut pair) {
                    units.push(Unit { value, place: Place { client, clock } });
                    clock = clock.wrapping_add(1);
                }
                if units.len() - begun >= most {
                    return;
                }
            }
        }
    }
}
