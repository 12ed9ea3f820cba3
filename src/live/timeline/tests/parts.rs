//! Taking back one person's part.

use super::*;

/// Texts written one after the other, each by somebody who saw the one before.
struct Desk {
    replica: Replica,
    growing: Growing,
}

impl Desk {
    fn new() -> Self {
        Self { replica: Replica::new(3), growing: Growing::default() }
    }

    /// Replaces one part of the text.
    fn write(&mut self, who: &str, old: &str, new: &str) -> u64 {
        let text = self.replica.text();
        let at = text.find(old).expect("it is there");
        let units = |text: &str| text.encode_utf16().count() as u32;
        let update = self.replica.replace(units(&text[..at]), units(old), new);
        assert!(self.growing.add(who, 0, &update));
        self.growing.head().0
    }

    fn without(&self, who: u32, from: u64, to: u64) -> String {
        let timeline = self.growing.timeline(PageId(1));
        let without = timeline.without(who, Revision(from), Revision(to), timeline.head());
        without.expect("known")
    }
}

const ANN: u32 = 0;
const BOB: u32 = 1;

#[test]
fn what_one_inserted_is_taken_out_and_what_they_deleted_comes_back_where_it_was() {
    let mut desk = Desk::new();
    let begun = desk.write("ann", "", "one two three 😀 four");
    desk.write("bob", "two ", "");
    desk.write("bob", "four", "4 and five");
    desk.write("bob", "😀", "");
    let end = desk.write("ann", "five", "more");
    assert_eq!(desk.replica.text(), "one three  4 and more");
    // What Ann wrote over Bob's words stays, and so do her other words.
    assert_eq!(desk.without(BOB, begun, end), "one two three 😀 fourmore");
    assert_eq!(desk.without(BOB, begun, begun + 1), "one two three  4 and more");
    assert_eq!(desk.without(BOB, 0, begun), desk.replica.text());
    // What Ann deleted of Bob's comes back.
    assert_eq!(desk.without(ANN, begun, end), "one three  4 and five");
    assert_eq!(desk.without(9, 0, end), desk.replica.text());
}

#[test]
fn what_somebody_typed_and_deleted_again_stays_away() {
    let mut desk = Desk::new();
    desk.write("ann", "", "base ");
    let from = desk.write("bob", "base ", "base draft ");
    let to = desk.write("bob", "draft", "text");
    assert_eq!(desk.without(BOB, from - 1, to), "base ");
    // Only the second of the two: then the first is what was there.
    assert_eq!(desk.without(BOB, from, to), "base draft ");
}

#[test]
fn at_random_no_character_of_the_others_is_lost_and_none_of_theirs_stays() {
    let mut random = seeded("without");
    for _ in 0..6 {
        let life = life(&mut random, 4, 120, true);
        let timeline = life.timeline();
        let head = timeline.head();
        let from = random.random_range(0..head.0);
        let to = random.random_range(from..=head.0);
        // Of each unit, when it came, when it went, and its text, by the model.
        let mut fates: HashMap<(u64, u32), (u64, u64, u16)> = HashMap::new();
        for (rev, units) in life.units.iter().enumerate() {
            let text: Vec<u16> = life.texts[rev].encode_utf16().collect();
            for (unit, code) in units.iter().zip(text) {
                fates.entry(*unit).or_insert((life.born[unit], 0, code)).1 = rev as u64 + 1;
            }
        }
        for author in 0..timeline.authors() as u32 {
            let name = timeline.login(author).expect("an author");
            let theirs =
                |rev: u64| rev > from && rev <= to && rev <= head.0 && life.author(rev) == name;
            let mut expected = Vec::new();
            for &(born, died, code) in fates.values() {
                let is_there = died > head.0;
                if !theirs(born) && (is_there || theirs(died)) {
                    expected.push(code);
                }
            }
            let found = timeline.without(author, Revision(from), Revision(to), head);
            let mut found: Vec<u16> = found.expect("known").encode_utf16().collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{name} from {from} to {to}");
        }
    }
}

#[test]
fn what_was_put_back_is_not_put_back_again_unless_that_was_taken_back_itself() {
    let mut desk = Desk::new();
    let begun = desk.write("ann", "", "one two three");
    let end = desk.write("bob", "two ", "spam ");
    assert_eq!(desk.without(BOB, begun, end), "one two three");
    // As `Live::undo` does it.
    let undo = desk.write("ann", "spam ", "two ");
    desk.growing
        .note(&format!("merge:x:1:undo:{}.{begun}.{end}", crate::live::history::handle("bob")));
    assert_eq!(desk.without(BOB, begun, end), desk.replica.text());
    assert_eq!(desk.without(BOB, 0, undo), desk.replica.text());
    // To take back the taking back brings Bob's words again.
    assert_eq!(desk.without(ANN, end, undo), "one spam three");
    let again = desk.write("ann", "two ", "spam ");
    desk.growing
        .note(&format!("merge:x:1:undo:{}.{end}.{undo}", crate::live::history::handle("ann")));
    assert_eq!(desk.without(ANN, end, undo), desk.replica.text());
    // And now there is something to take back once more; the words are Ann's now and stay.
    assert_eq!(desk.without(BOB, begun, end), "one two spam three");
    // What others put into an operation id is no such edit.
    for op in ["", "undo", "merge:x:1", ":undo:", ":undo:x.1.2", ":undo:x.y", ":undo:..1"] {
        desk.growing.note(op);
    }
    assert_eq!(desk.without(ANN, again - 1, again), "one two three");
}

#[test]
fn authors_of_a_stretch_are_counted() {
    let mut desk = Desk::new();
    desk.write("ann", "", "a");
    desk.write("bob", "a", "b");
    desk.write("bob", "b", "c");
    desk.write("ann", "c", "d");
    desk.write("bob", "d", "e");
    let timeline = desk.growing.timeline(PageId(1));
    let between = |from, to| timeline.authors_between(Revision(from), Revision(to));
    assert_eq!(between(0, 5), [(BOB, 3), (ANN, 2)]);
    assert_eq!(between(0, 2), [(ANN, 1), (BOB, 1)]);
    assert_eq!(between(3, 4), [(ANN, 1)]);
    assert_eq!(between(5, 99), []);
    assert_eq!(between(9, 4), []);
}
