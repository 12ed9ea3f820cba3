//! Every character a page ever had, in the order of the document.
//!
//! The order that Yjs gives to characters never changes once they are in, deleted ones included.
//! So one list, in which each piece says when it came and when it went, has the page's text at all
//! times. The list is built from the updates of the log alone, by the rules of YATA.
//!
//! Source: Nicolaescu, Jahns, Derntl, Klamma, "Near Real-Time Peer-to-Peer Shared Editing on
//! Extensible Data Types", GROUP 2016, with the refinements of Yjs (its INTERNALS.md: an item
//! names both neighbours that it had when it was typed). A test holds it against yrs.

mod window;

use std::collections::HashMap;

use super::index::Index;
use super::units;
use crate::live::gate::{Content, Contents, Deletion, Id, Struct};

/// No item: the beginning or the end of the list.
const NONE: u32 = u32::MAX;
/// In place of a neighbour: this item came without a place in the text.
const UNPLACED: u32 = u32::MAX - 1;
/// In place of a position in the text: what the item said was gone before it came.
const NO_TEXT: u32 = u32::MAX;

/// Items that may be looked at in search of places, for a whole page. Honest typing needs about
/// one per edit; what is over this took minutes in every browser as well.
const MAX_STEPS: u64 = if cfg!(test) { 1_000_000 } else { 100_000_000 };

/// A character of a client, known by its number in [`Weave::clients`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    client: u32,
    clock: u32,
}

/// Neither neighbour: the beginning or the end of the text.
const EDGE: Place = Place { client: NONE, clock: 0 };

/// Characters that came at once, of one client, side by side.
#[derive(Clone, Copy)]
struct Item {
    id: Place,
    /// UTF-16 units.
    len: u32,
    origin: Place,
    right_origin: Place,
    /// The revision that brought it.
    born: u32,
    /// The revision that deleted it, 0 while it is there.
    died: u32,
    /// Where its text is in [`Weave::text`], in bytes; [`NO_TEXT`].
    text: u32,
    bytes: u32,
    prev: u32,
    next: u32,
    /// Its position among what one search for a place has seen. Only valid if it is found there.
    mark: u32,
}

struct Client {
    id: u64,
    /// All clocks below are known.
    next: u32,
    index: Index,
}

/// A piece of the list as it is handed out.
pub(super) struct Piece<'a> {
    pub(super) len: u32,
    pub(super) born: u32,
    pub(super) died: u32,
    pub(super) text: &'a str,
}

/// The list.
pub(super) struct Weave {
    items: Vec<Item>,
    first: u32,
    clients: Vec<Client>,
    numbers: HashMap<u64, u32>,
    /// The text of all items, in the order in which it came.
    text: String,
    /// What the search for a place has seen so far.
    seen: Vec<u32>,
    steps: u64,
}

impl Default for Weave {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            first: NONE,
            clients: Vec::new(),
            numbers: HashMap::new(),
            text: String::new(),
            seen: Vec::new(),
            steps: 0,
        }
    }
}

impl Weave {
    /// Weaves in the update of a revision. False, and nothing has changed, when it cannot be read
    /// or depends on something that is not here: no document ever had it either.
    pub(super) fn apply(&mut self, update: &[u8], revision: u32) -> bool {
        let Ok(contents) = Contents::read(update) else { return false };
        let Some(order) = self.order(&contents) else { return false };
        for (section, at) in order {
            let (found, end) = &contents.structs[at];
            let client = self.number(contents.sections[section].0);
            self.integrate(client, found, *end, revision);
        }
        for deletion in &contents.deletions {
            self.delete(deletion, revision);
        }
        true
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let index = self.clients.iter().map(|client| client.index.bytes() + 64).sum::<usize>();
        self.items.capacity() * size_of::<Item>() + self.text.capacity() + index
    }

    /// Whether to find places took more work than any honest page needs.
    pub(super) fn is_overworked(&self) -> bool {
        self.steps > MAX_STEPS
    }

    /// All that was ever to be read, in the order of the document.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let item = move |at: u32| self.items.get(at as usize);
        let all = std::iter::successors(item(self.first), move |last| item(last.next));
        all.filter(|item| item.text != NO_TEXT && item.born != item.died).map(|item| Piece {
            len: item.len,
            born: item.born,
            died: item.died,
            text: self.text_of(item),
        })
    }

    fn text_of(&self, item: &Item) -> &str {
        let start = item.text as usize;
        self.text.get(start..start + item.bytes as usize).unwrap_or_default()
    }

    /// The order in which the structs can be integrated, each with its section: those of the
    /// largest client first, as Yjs does, and what one builds on before it. `None` when something
    /// is missing.
    fn order(&self, contents: &Contents<'_>) -> Option<Vec<(usize, usize)>> {
        let Contents { sections, structs, deletions } = contents;
        let mut at: Vec<usize> = Vec::with_capacity(sections.len());
        // Per section, the clock up to which its client is known.
        let mut reached: Vec<u32> = Vec::with_capacity(sections.len());
        let mut by_client: Vec<(u64, usize)> = Vec::with_capacity(sections.len());
        let mut begin = 0;
        for (section, &(client, end)) in sections.iter().enumerate() {
            let next = self.next(client);
            if structs[begin].0.clock > next {
                return None;
            }
            at.push(begin);
            reached.push(next);
            by_client.push((client, section));
            begin = end;
        }
        by_client.sort_unstable();
        let section_of = |client: u64| {
            let found = by_client.binary_search_by_key(&client, |&(client, _)| client);
            found.ok().map(|found| by_client[found].1)
        };
        let mut order = Vec::with_capacity(structs.len());
        let mut stack = Vec::new();
        for &(_, section) in by_client.iter().rev() {
            stack.push(section);
            while let Some(&top) = stack.last() {
                if at[top] == sections[top].1 {
                    // What the one below waits for does not come.
                    if stack.len() > 1 {
                        return None;
                    }
                    stack.pop();
                    continue;
                }
                let (found, end) = &structs[at[top]];
                let missing = |id: &Id| match section_of(id.client) {
                    Some(section) => id.clock >= reached[section],
                    None => id.clock >= self.next(id.client),
                };
                // What is known already is passed over, wherever it was.
                let new = *end > reached[top];
                let wanted = [found.origin, found.right_origin].into_iter().flatten();
                match wanted.into_iter().find(|id| new && missing(id)) {
                    Some(id) => {
                        let section = section_of(id.client)?;
                        // In a circle nobody can go first.
                        if stack.contains(&section) {
                            return None;
                        }
                        stack.push(section);
                    }
                    None => {
                        order.push((top, at[top]));
                        at[top] += 1;
                        reached[top] = reached[top].max(*end);
                        if stack.len() > 1 {
                            stack.pop();
                        }
                    }
                }
            }
        }
        let is_known = |deletion: &Deletion| match section_of(deletion.client) {
            Some(section) => deletion.end <= reached[section],
            None => deletion.end <= self.next(deletion.client),
        };
        deletions.iter().all(is_known).then_some(order)
    }

    /// The next clock of a client.
    fn next(&self, client: u64) -> u32 {
        self.numbers.get(&client).map_or(0, |&number| self.clients[number as usize].next)
    }

    fn number(&mut self, client: u64) -> u32 {
        let clients = &mut self.clients;
        *self.numbers.entry(client).or_insert_with(|| {
            clients.push(Client { id: client, next: 0, index: Index::default() });
            // A page's clients are fewer than its updates.
            clients.len() as u32 - 1
        })
    }

    fn place(&self, id: Option<Id>) -> Place {
        let number = id.and_then(|id| Some((self.numbers.get(&id.client)?, id.clock)));
        number.map_or(EDGE, |(&client, clock)| Place { client, clock })
    }

    /// Puts one struct, whose neighbours are known, into the list.
    fn integrate(&mut self, client: u32, found: &Struct<'_>, end: u32, revision: u32) {
        let next = self.clients[client as usize].next;
        if end <= next {
            return;
        }
        let known = next - found.clock;
        let mut item = Item {
            id: Place { client, clock: next },
            len: end - next,
            origin: self.place(found.origin),
            right_origin: self.place(found.right_origin),
            born: revision,
            died: revision,
            text: NO_TEXT,
            bytes: 0,
            prev: NONE,
            next: NONE,
            mark: 0,
        };
        if known > 0 {
            item.origin = Place { client, clock: next - 1 };
        }
        let mut has_place = true;
        match found.content {
            Content::Collected(_) => has_place = false,
            Content::Deleted(_) => {}
            Content::Text(text) => {
                let (start, split) = units::offset(text, known as usize);
                item.died = 0;
                item.text = self.text.len() as u32;
                if split {
                    self.text.push(char::REPLACEMENT_CHARACTER);
                }
                self.text.push_str(&text[start..]);
                item.bytes = self.text.len() as u32 - item.text;
            }
        }
        let left = (item.origin != EDGE).then(|| self.ending_at(item.origin));
        let right = (item.right_origin != EDGE).then(|| self.starting_at(item.right_origin));
        // Beside what has no place there is none either.
        has_place &= left != Some(None) && right != Some(None);
        let at = self.items.len() as u32;
        if has_place {
            let (left, right) = (left.flatten(), right.flatten());
            let left = self.left_of(&item, left.unwrap_or(NONE), right.unwrap_or(NONE));
            self.link(&mut item, at, left);
        } else {
            (item.prev, item.next, item.died) = (UNPLACED, UNPLACED, revision);
            (item.text, item.bytes) = (NO_TEXT, 0);
        }
        self.items.push(item);
        let client = &mut self.clients[client as usize];
        client.index.insert(next, at);
        client.next = end;
    }

    /// After which item a new one comes. Between the two neighbours that it was typed between may
    /// be others that were typed there at the same time; YATA says which of them stay before it.
    fn left_of(&mut self, new: &Item, mut left: u32, right: u32) -> u32 {
        let mut at = self.after(left);
        self.seen.clear();
        // What was seen since `left` was moved last begins here.
        let mut since = 0;
        while at != NONE && at != right {
            let number = self.seen.len() as u32;
            self.items[at as usize].mark = number;
            self.seen.push(at);
            let other = self.items[at as usize];
            if other.origin == new.origin {
                // Typed at the same place: the smaller client comes first.
                if self.id(other.id.client) < self.id(new.id.client) {
                    left = at;
                    since = number + 1;
                } else if other.right_origin == new.right_origin {
                    break;
                }
            } else if other.origin == EDGE {
                break;
            } else {
                match self.seen_at(other.origin) {
                    // It hangs on something that stays before, so it does, too.
                    Some(mark) if mark < since => {
                        left = at;
                        since = number + 1;
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            at = other.next;
        }
        self.steps += self.seen.len() as u64;
        left
    }

    /// Where this search has seen the item of a character.
    fn seen_at(&self, place: Place) -> Option<u32> {
        let at = self.find(place)?;
        let mark = self.items[at as usize].mark;
        (self.seen.get(mark as usize) == Some(&at)).then_some(mark)
    }

    fn id(&self, client: u32) -> u64 {
        self.clients[client as usize].id
    }

    fn after(&self, item: u32) -> u32 {
        self.items.get(item as usize).map_or(self.first, |item| item.next)
    }

    /// Links an item, which is to be number `at`, after another (or first).
    fn link(&mut self, item: &mut Item, at: u32, left: u32) {
        item.prev = left;
        item.next = self.after(left);
        if let Some(next) = self.items.get_mut(item.next as usize) {
            next.prev = at;
        }
        match self.items.get_mut(left as usize) {
            Some(left) => left.next = at,
            None => self.first = at,
        }
    }

    /// The item that has a character.
    fn find(&self, place: Place) -> Option<u32> {
        self.clients.get(place.client as usize)?.index.find(place.clock)
    }

    /// The placed item that ends with a character, which is known; split off if need be.
    fn ending_at(&mut self, place: Place) -> Option<u32> {
        let at = self.find(place).filter(|&at| self.items[at as usize].next != UNPLACED)?;
        let item = &self.items[at as usize];
        let keep = place.clock + 1 - item.id.clock;
        if keep < item.len {
            self.split(at, keep);
        }
        Some(at)
    }

    /// The placed item that begins with a character, which is known; split off if need be.
    fn starting_at(&mut self, place: Place) -> Option<u32> {
        let at = self.find(place).filter(|&at| self.items[at as usize].next != UNPLACED)?;
        let keep = place.clock - self.items[at as usize].id.clock;
        Some(if keep > 0 { self.split(at, keep) } else { at })
    }

    /// Splits a placed item after `keep` units, less than it has; returns the second part.
    fn split(&mut self, at: u32, keep: u32) -> u32 {
        let item = self.items[at as usize];
        let mut second = item;
        let mut first = item;
        second.id.clock += keep;
        second.len -= keep;
        second.origin = Place { client: item.id.client, clock: second.id.clock - 1 };
        first.len = keep;
        if item.text != NO_TEXT {
            self.split_text(&item, &mut first, &mut second);
        }
        self.items[at as usize] = first;
        let number = self.items.len() as u32;
        self.link(&mut second, number, at);
        self.clients[item.id.client as usize].index.insert(second.id.clock, number);
        self.items.push(second);
        number
    }

    fn split_text(&mut self, item: &Item, first: &mut Item, second: &mut Item) {
        let keep = first.len as usize;
        let (offset, splits_pair) = if item.bytes == item.len {
            (keep, false)
        } else {
            // From the nearer end: else a large text that is edited from its beginning on would
            // be gone through with each edit.
            let text = self.text_of(item);
            match second.len as usize {
                rest if rest < keep => units::offset_back(text, rest),
                _ => units::offset(text, keep),
            }
        };
        if splits_pair {
            // As Yjs does: neither half is a character any more. The gate lets none do so.
            let text = self.text_of(item).to_owned();
            let pair = text[..offset].chars().next_back().map_or(0, char::len_utf8);
            let replaced = char::REPLACEMENT_CHARACTER.to_string();
            let parts = [&text[..offset - pair], &replaced, &replaced, &text[offset..]];
            first.text = self.text.len() as u32;
            first.bytes = (parts[0].len() + replaced.len()) as u32;
            second.text = first.text + first.bytes;
            second.bytes = (parts[3].len() + replaced.len()) as u32;
            parts.into_iter().for_each(|part| self.text.push_str(part));
        } else {
            first.bytes = offset as u32;
            second.text += offset as u32;
            second.bytes -= offset as u32;
        }
    }

    /// Marks a range as deleted. What was deleted before stays so.
    fn delete(&mut self, deletion: &Deletion, revision: u32) {
        let Some(&client) = self.numbers.get(&deletion.client) else { return };
        let mut clock = deletion.start;
        while clock < deletion.end {
            let Some(mut at) = self.find(Place { client, clock }) else { return };
            let item = self.items[at as usize];
            let end = item.id.clock + item.len;
            if item.died == 0 {
                if item.id.clock < clock {
                    at = self.split(at, clock - item.id.clock);
                }
                if deletion.end < end {
                    self.split(at, deletion.end - clock);
                }
                self.items[at as usize].died = revision;
            }
            clock = end;
        }
    }
}
