//! Held against yrs: documents that type at random, at the same time, and exchange what they have
//! only now and then.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{
    Assoc, ClientID, Doc, GetString, IndexedSequence, OffsetKind, ReadTxn, StateVector, Text,
    TextRef, Transact, Update,
};

use super::flat::Growing;
use super::{Names, Timeline};
use crate::page::{PageId, Revision};

mod parts;
mod served;

/// A document with its root text.
struct Replica {
    doc: Doc,
    body: TextRef,
}

impl Replica {
    fn new(client: u64) -> Self {
        let mut options = yrs::Options::with_client_id(ClientID::new(client));
        options.offset_kind = OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        let body = doc.get_or_insert_text("body");
        Self { doc, body }
    }

    fn text(&self) -> String {
        self.body.get_string(&self.doc.transact())
    }

    /// Replaces units; the update of just that.
    fn replace(&self, at: u32, delete: u32, insert: &str) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        if delete > 0 {
            self.body.remove_range(&mut transaction, at, delete);
        }
        if !insert.is_empty() {
            self.body.insert(&mut transaction, at, insert);
        }
        transaction.commit();
        transaction.encode_update_v1()
    }

    fn apply(&self, update: &[u8]) {
        let mut transaction = self.doc.transact_mut();
        let update = Update::decode_v1(update).expect("an update");
        transaction.apply_update(update).expect("applies");
        transaction.commit();
        assert!(!transaction.has_missing_updates());
    }

    /// What it has beyond another, with all that is deleted.
    fn beyond(&self, other: &Self) -> Vec<u8> {
        let known = other.doc.transact().state_vector();
        self.doc.transact().encode_state_as_update_v1(&known)
    }

    fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Who wrote each unit of the text, and as which of theirs: by asking for each place alone.
    fn units(&self) -> Vec<(u64, u32)> {
        let length = self.text().encode_utf16().count() as u32;
        let transaction = self.doc.transact();
        let id = |at| {
            let place = self.body.sticky_index(&transaction, at, Assoc::After).expect("a place");
            let id = *place.id().expect("a unit");
            (id.client.get(), id.clock)
        };
        (0..length).map(id).collect()
    }
}

fn seeded(name: &str) -> StdRng {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("{name}: TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// What was typed, with what yrs and a model of single characters make of it.
#[derive(Default)]
struct Life {
    /// Author and update of each revision, from 1 on.
    log: Vec<(String, Vec<u8>)>,
    texts: Vec<String>,
    /// Per revision from 0 on, the units of its text.
    units: Vec<Vec<(u64, u32)>>,
    /// When each unit was seen for the first time.
    born: HashMap<(u64, u32), u64>,
}

impl Life {
    fn at_ms(rev: u64) -> u64 {
        // The clock is set back now and then.
        1_700_000_000_000 + rev * 137 - (rev % 11) * 900
    }

    fn growing(&self) -> Growing {
        let mut growing = Growing::default();
        for (n, (author, update)) in self.log.iter().enumerate() {
            assert!(growing.add(author, Self::at_ms(n as u64 + 1), update), "update {}", n + 1);
        }
        growing
    }

    fn timeline(&self) -> Timeline {
        self.growing().timeline(PageId(7))
    }

    fn author(&self, rev: u64) -> &str {
        &self.log[rev as usize - 1].0
    }
}

const WORDS: [&str; 9] = ["a", "b", "word ", "😀", "é", "👩\u{200d}👧", "line\n", "維基", "x😀y"];

/// Authors that type, paste, delete across, go back over what they typed, and are offline for long.
fn life(random: &mut StdRng, authors: usize, revisions: usize, with_units: bool) -> Life {
    let server = Replica::new(u64::from(u32::MAX));
    // Their ids are in no order, and some author comes back as another client.
    let mut editors: Vec<Replica> =
        (0..authors).map(|_| Replica::new(random.random_range(1..u64::from(u32::MAX)))).collect();
    let mut life = Life::default();
    let note = |life: &mut Life, server: &Replica| {
        life.texts.push(server.text());
        if with_units {
            let (units, rev) = (server.units(), life.log.len() as u64);
            units.iter().for_each(|unit| {
                life.born.entry(*unit).or_insert(rev);
            });
            life.units.push(units);
        }
    };
    note(&mut life, &server);
    let mut carets = vec![0_u32; authors];
    // Whether an editor has something that the server has not.
    let mut unsent = vec![false; authors];
    while life.log.len() < revisions {
        let who = random.random_range(0..authors);
        if random.random_bool(0.02) {
            editors[who] = Replica::new(random.random_range(1..u64::from(u32::MAX)));
            unsent[who] = false;
        }
        let editor = &editors[who];
        match random.random_range(0..10) {
            0..=2 => editor.apply(&server.state()),
            // From another, past the server.
            3 => {
                let other = random.random_range(0..authors);
                if other != who {
                    editor.apply(&editors[other].state());
                    unsent[who] = true;
                }
            }
            _ => {}
        }
        let mut updates = Vec::new();
        for _ in 0..random.random_range(1..8) {
            updates.push(edit(editor, &mut carets[who], random));
        }
        if random.random_bool(0.4) {
            unsent[who] = true;
            continue;
        }
        // Whoever was offline sends everything at once, with all that they know to be deleted, and
        // perhaps with what others have typed.
        if std::mem::take(&mut unsent[who]) {
            updates = vec![editor.beyond(&server)];
        }
        for update in updates {
            server.apply(&update);
            let name = format!("author {}", who % authors.min(5));
            life.log.push((name, update));
            note(&mut life, &server);
        }
    }
    life
}

fn edit(editor: &Replica, caret: &mut u32, random: &mut StdRng) -> Vec<u8> {
    let text = editor.text();
    let mut borders = vec![0_u32];
    borders.extend(text.chars().scan(0, |at, character| {
        *at += character.len_utf16() as u32;
        Some(*at)
    }));
    if random.random_bool(0.2) {
        *caret = borders[random.random_range(0..borders.len())];
    }
    // Somebody else may have deleted what was there.
    let here = borders.partition_point(|&border| border < *caret).min(borders.len() - 1);
    match random.random_range(0..10) {
        // Typing, and each time before what was typed last.
        how @ 0..=4 => {
            let insert = WORDS[random.random_range(0..2)];
            *caret = borders[here] + u32::from(how < 3);
            editor.replace(borders[here], 0, insert)
        }
        // Going back over it.
        5..=6 if here > 0 => {
            *caret = borders[here - 1];
            editor.replace(borders[here - 1], borders[here] - borders[here - 1], "")
        }
        // Forwards.
        7 if here + 1 < borders.len() => {
            *caret = borders[here];
            editor.replace(borders[here], borders[here + 1] - borders[here], "")
        }
        // Replacing across, perhaps with a paste.
        _ => {
            let to = (here + random.random_range(0..12)).min(borders.len() - 1);
            let words = random.random_range(0..4);
            let insert: String =
                (0..words).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
            *caret = borders[here] + insert.encode_utf16().count() as u32;
            editor.replace(borders[here], borders[to] - borders[here], &insert)
        }
    }
}

#[test]
fn the_text_at_every_revision_is_what_yrs_had_then() {
    let mut random = seeded("texts");
    for round in 0..40 {
        let authors = random.random_range(1..9);
        let revisions = random.random_range(20..400);
        let life = life(&mut random, authors, revisions, false);
        let timeline = life.timeline();
        assert_eq!(timeline.head(), Revision(life.log.len() as u64));
        for (rev, text) in life.texts.iter().enumerate() {
            let found = timeline.text_at(Revision(rev as u64));
            assert_eq!(found.as_ref(), Some(text), "round {round}, revision {rev}");
        }
        assert_eq!(timeline.text_at(timeline.head().next()), None);
    }
}

/// Updates of Yjs itself, each with its client and the text after it
/// (`tests/gate_suite/yjs.mjs`).
#[test]
fn what_yjs_wrote_comes_out_as_yjs_had_it() {
    let decode = |text: &str| BASE64.decode(text).expect("base64");
    let mut growing = Growing::default();
    let mut texts = vec![String::new()];
    for line in include_str!("../../../tests/gate_suite/yjs_updates.txt").lines() {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap_or_default();
        let (client, update, text) = (next(), decode(next()), decode(next()));
        assert!(growing.add(client, 0, &update), "{line}");
        texts.push(String::from_utf8(text).expect("UTF-8"));
    }
    assert!(texts.len() > 100);
    let timeline = growing.timeline(PageId(1));
    for (rev, text) in texts.into_iter().enumerate() {
        assert_eq!(timeline.text_at(Revision(rev as u64)), Some(text), "revision {rev}");
    }
}

#[test]
fn blame_names_the_revision_of_each_character_as_a_model_of_single_characters_does() {
    let mut random = seeded("blame");
    for round in 0..4 {
        let life = life(&mut random, 4, 150, true);
        let timeline = life.timeline();
        for (rev, units) in life.units.iter().enumerate() {
            let blame = timeline.blame_at(Revision(rev as u64)).expect("known");
            let mut found = Vec::new();
            for part in &blame {
                assert_eq!(part.start as usize, found.len(), "round {round}, revision {rev}");
                assert_eq!(timeline.login(part.author), Some(life.author(part.rev.0)));
                assert_eq!(part.at_ms, Life::at_ms(part.rev.0));
                found.extend(std::iter::repeat_n(part.rev.0, part.len as usize));
            }
            let expected: Vec<_> = units.iter().map(|unit| life.born[unit]).collect();
            assert_eq!(found, expected, "round {round}, revision {rev}");
            let joined = blame.windows(2).all(|pair| pair[0].rev != pair[1].rev);
            assert!(joined, "round {round}, revision {rev}");
        }
    }
}

#[test]
fn a_timeline_that_grows_is_at_each_point_the_one_that_is_built_at_once() {
    let mut random = seeded("growing");
    let life = life(&mut random, 3, 300, false);
    let mut growing = Growing::default();
    for (n, (author, update)) in life.log.iter().enumerate() {
        growing.add(author, Life::at_ms(n as u64 + 1), update);
        if n % 37 == 0 {
            let mut again = Growing::default();
            for (n, (author, update)) in life.log[..=n].iter().enumerate() {
                again.add(author, Life::at_ms(n as u64 + 1), update);
            }
            // In pieces of another size, perhaps, but with the same characters and fates.
            let (found, expected) = (growing.timeline(PageId(7)), again.timeline(PageId(7)));
            assert_eq!(found, expected);
            for rev in 0..=found.head().0 {
                assert_eq!(found.text_at(Revision(rev)), Some(life.texts[rev as usize].clone()));
            }
        }
    }
}

#[test]
fn typing_is_one_span_and_so_is_going_back_over_it() {
    let editor = Replica::new(5);
    let mut growing = Growing::default();
    let typed = "typed one by one é".chars();
    let count = typed.clone().count() as u32;
    for (at, character) in typed.enumerate() {
        growing.add("ann", 0, &editor.replace(at as u32, 0, &character.to_string()));
    }
    for back in 1..=4 {
        growing.add("ann", 0, &editor.replace(count - back, 1, ""));
    }
    for _ in 0..3 {
        growing.add("ann", 0, &editor.replace(0, 1, ""));
    }
    growing.add("ann", 0, &editor.replace(0, 2, ""));
    let timeline = growing.timeline(PageId(1));
    let short: Vec<_> = timeline
        .spans()
        .iter()
        .map(|s| (s.len, s.born, s.born_step, s.died, s.died_step))
        .collect();
    let expected = [
        // The first of the two that went at once goes on as the three before.
        (4, 1, 1, count + 5, 1),
        (1, 5, 0, count + 8, 0),
        (count - 9, 6, 1, 0, 0),
        (4, count - 3, 1, count + 4, -1),
    ];
    assert_eq!(short, expected);
    assert_eq!(timeline.all_text(), "typed one by one é");
}

#[test]
fn updates_that_come_again_or_bring_what_is_known_in_part_change_nothing_else() {
    let mut random = seeded("again");
    let editor = Replica::new(9);
    let mut growing = Growing::default();
    let mut texts = vec![String::new()];
    let mut add = |growing: &mut Growing, update: &[u8], text: String| {
        assert!(growing.add("ann", 1, update));
        texts.push(text);
    };
    let mut caret = 0;
    for _ in 0..100 {
        let known = editor.doc.transact().state_vector();
        let first = edit(&editor, &mut caret, &mut random);
        add(&mut growing, &first, editor.text());
        edit(&editor, &mut caret, &mut random);
        // From before the first on: its beginning is known.
        let both = editor.doc.transact().encode_state_as_update_v1(&known);
        add(&mut growing, &both, editor.text());
        add(&mut growing, &first, editor.text());
        add(&mut growing, &editor.state(), editor.text());
    }
    let timeline = growing.timeline(PageId(1));
    for (rev, text) in texts.into_iter().enumerate() {
        assert_eq!(timeline.text_at(Revision(rev as u64)), Some(text), "revision {rev}");
    }
}

#[test]
fn an_update_that_cannot_be_applied_is_passed_over_and_what_is_broken_never_panics() {
    let mut random = seeded("broken");
    let life = life(&mut random, 4, 200, false);
    let mut growing = Growing::default();
    for (author, update) in &life.log {
        // One that depends on what has not come.
        if random.random_bool(0.2) {
            let other = Replica::new(random.random_range(1..1_000));
            let first = other.replace(0, 0, "never sent");
            let second = other.replace(5, 1, "x");
            let before = growing.timeline(PageId(1)).spans().to_vec();
            assert!(!growing.add("eve", 0, &second));
            assert_eq!(growing.timeline(PageId(1)).spans(), before);
            assert!(!growing.add("eve", 0, &first[..first.len() - 1]));
        }
        assert!(growing.add(author, 0, update));
    }
    let timeline = growing.timeline(PageId(1));
    assert_eq!(timeline.text_at(timeline.head()).as_ref(), life.texts.last());

    // Bytes that were changed: whatever comes of it, it comes to an end.
    for _ in 0..200 {
        let mut growing = Growing::default();
        for (author, update) in life.log.iter().take(60) {
            let mut update = update.clone();
            if random.random_bool(0.3) {
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..update.len());
                    update[at] = update[at].wrapping_add(random.random_range(1..=255));
                }
            }
            growing.add(author, 0, &update);
        }
        let timeline = growing.timeline(PageId(1));
        let text = timeline.text_at(timeline.head()).expect("a text");
        let blame = timeline.blame_at(timeline.head()).expect("known");
        let blamed = blame.iter().map(|part| part.len as usize).sum::<usize>();
        assert_eq!(blamed, text.encode_utf16().count());
    }
}

/// What a browser does with the columns, from their documentation alone.
fn seek(json: &serde_json::Value, rev: i64) -> String {
    let text: Vec<u16> = json["text"].as_str().expect("a text").encode_utf16().collect();
    let column = |name: &str| -> Vec<i64> {
        let column = json["spans"][name].as_array().expect("a column");
        column.iter().map(|value| value.as_i64().expect("a number")).collect()
    };
    let [len, born, born_step, died, died_step] =
        ["len", "born", "born_step", "died", "died_step"].map(column);
    let mut out = Vec::new();
    let mut at = 0;
    for span in 0..len.len() {
        for unit in 0..len[span] {
            let born = born[span] + unit * born_step[span];
            let died = if died[span] == 0 { 0 } else { died[span] + unit * died_step[span] };
            if born <= rev && (died == 0 || died > rev) {
                out.push(text[at]);
            }
            at += 1;
        }
    }
    assert_eq!(at, text.len());
    String::from_utf16(&out).expect("whole characters")
}

#[test]
fn the_columns_alone_are_enough_to_seek_to_every_revision() {
    let mut random = seeded("columns");
    let life = life(&mut random, 5, 200, false);
    let timeline = life.timeline();
    let names = Names::for_test(&timeline);
    let json = timeline.to_json(&names).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["page"].as_u64(), json["head"].as_u64()), (Some(7), Some(timeline.head().0)));
    for (rev, text) in life.texts.iter().enumerate() {
        assert_eq!(&seek(&json, rev as i64), text, "revision {rev}");
    }
    let numbers = |value: &serde_json::Value| -> Vec<i64> {
        value.as_array().expect("a column").iter().map(|v| v.as_i64().expect("a number")).collect()
    };
    let mut authors = Vec::new();
    for run in numbers(&json["entries"]["author"]).chunks(2) {
        authors.extend(std::iter::repeat_n(run[0], run[1] as usize));
    }
    let mut at = 0;
    for (n, difference) in numbers(&json["entries"]["at"]).into_iter().enumerate() {
        at += difference;
        let rev = n as u64 + 1;
        assert_eq!(at as u64, Life::at_ms(rev));
        assert_eq!(timeline.login(authors[n] as u32), Some(life.author(rev)));
    }
    assert_eq!(authors.len(), life.log.len());
    let mut again = names.clone();
    assert_eq!(timeline.tag(&names), timeline.tag(&again));
    again.rename_for_test();
    assert_ne!(timeline.tag(&names), timeline.tag(&again));
}

#[test]
fn typing_costs_a_few_bytes_per_keystroke_in_columns() {
    let mut random = seeded("size");
    let editors: Vec<Replica> = (0..10).map(|n| Replica::new(n + 1)).collect();
    let mut growing = Growing::default();
    let mut at = 0;
    let keys = 5_000;
    for n in 0..keys {
        // Somebody else goes on somewhere else after every fifty.
        if n % 50 == 0 {
            at = random.random_range(0..=editors[0].text().len()) as u32;
        }
        let update = editors[n / 50 % 10].replace(at, 0, "x");
        at += 1;
        editors.iter().for_each(|editor| editor.apply(&update));
        growing.add(
            &format!("author {}", n / 50 % 10),
            1_700_000_000_000 + n as u64 * 150,
            &update,
        );
    }
    let timeline = growing.timeline(PageId(1));
    let json = timeline.to_json(&Names::for_test(&timeline)).expect("written");
    println!("{} bytes of JSON for {keys} keystrokes", json.len());
    assert!(json.len() < 8 * keys, "{}", json.len());
    assert!(timeline.spans().len() <= 3 * keys / 50, "{}", timeline.spans().len());
}
