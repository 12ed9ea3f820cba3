//! The finder held against a search in every text that the page ever had.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{
    Assoc, ClientID, Doc, GetString, IndexedSequence, OffsetKind, ReadTxn, Text, TextRef, Transact,
    Update,
};

use super::*;
use crate::live::document::Document;
use crate::live::gate::{Content, Contents};
use crate::live::timeline::Finder;
use crate::store::{Change, Expect, Store};

struct Editor {
    doc: Doc,
    body: TextRef,
}

impl Editor {
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

    fn replace(&self, at: u32, delete: u32, insert: &str) {
        let mut transaction = self.doc.transact_mut();
        if delete > 0 {
            self.body.remove_range(&mut transaction, at, delete);
        }
        if !insert.is_empty() {
            self.body.insert(&mut transaction, at, insert);
        }
    }

    fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    fn beyond(&self, other: &Self) -> Vec<u8> {
        let known = other.doc.transact().state_vector();
        self.doc.transact().encode_state_as_update_v1(&known)
    }

    fn units(&self) -> Vec<(u64, u64)> {
        let length = self.text().encode_utf16().count() as u32;
        let transaction = self.doc.transact();
        let id = |at| {
            let place = self.body.sticky_index(&transaction, at, Assoc::After).unwrap();
            let id = *place.id().unwrap();
            (id.client.get(), u64::from(id.clock))
        };
        (0..length).map(id).collect()
    }
}

/// Short enough that the letters below make it often.
const SECRET: &str = "ab😀a";

fn seeded() -> StdRng {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Boundaries of characters, in units.
fn places(text: &str) -> Vec<u32> {
    let mut at = 0;
    let mut places = vec![0];
    for character in text.chars() {
        at += character.len_utf16() as u32;
        places.push(at);
    }
    places
}

/// Every unit that came as text, by client and clock, in this order.
fn written(log: &[Vec<u8>]) -> Vec<(u64, u64, u16)> {
    let mut written = BTreeSet::new();
    for update in log {
        let contents = Contents::read(update).unwrap();
        let mut begin = 0;
        for &(client, end) in &contents.sections {
            for (one, _) in &contents.structs[begin..end] {
                if let Content::Text(text) = one.content {
                    let clocks = u64::from(one.clock)..;
                    written.extend(clocks.zip(text.encode_utf16()).map(|(at, u)| (client, at, u)));
                }
            }
            begin = end;
        }
    }
    written.into_iter().collect()
}

#[test]
fn every_character_that_was_ever_part_of_the_text_is_found_and_can_be_masked() {
    let mut random = seeded();
    let secret: Vec<u16> = SECRET.encode_utf16().collect();
    let mut ever = 0;
    for _ in 0..60 {
        let server = Editor::new(1);
        let editors: Vec<_> = (0..3).map(|n| Editor::new(1_000 - n)).collect();
        let mut log: Vec<Vec<u8>> = Vec::new();
        let mut expected: BTreeSet<(u64, u64)> = BTreeSet::new();
        for _ in 0..120 {
            let editor = &editors[random.random_range(0..editors.len())];
            for _ in 0..random.random_range(1..3) {
                let text = editor.text();
                let places = places(&text);
                let at = random.random_range(0..places.len());
                let end = (at + random.random_range(0..3)).min(places.len() - 1);
                let delete = if random.random_bool(0.4) { places[end] - places[at] } else { 0 };
                let insert =
                    ["a", "b", "😀", "ab", "😀a", SECRET, "x", ""][random.random_range(0..8)];
                editor.replace(places[at], delete, insert);
            }
            if random.random_bool(0.7) {
                let update = editor.beyond(&server);
                server.apply(&update);
                log.push(update);
                editor.apply(&server.beyond(editor));
                let (text, units) = (server.text(), server.units());
                let text: Vec<u16> = text.encode_utf16().collect();
                for (at, window) in text.windows(secret.len()).enumerate() {
                    if window == secret.as_slice() {
                        expected.extend(&units[at..at + secret.len()]);
                    }
                }
            }
        }
        ever += expected.len();
        let written = written(&log);
        for window in written.windows(secret.len()) {
            // Side by side in what one client wrote.
            let is_run = window
                .iter()
                .zip(&window[1..])
                .all(|(one, next)| (one.0, one.1 + 1) == (next.0, next.1));
            if is_run && window.iter().map(|unit| unit.2).eq(secret.iter().copied()) {
                expected.extend(window.iter().map(|unit| (unit.0, unit.1)));
            }
        }
        let mut finder = Finder::new(SECRET);
        for update in &log {
            assert!(finder.add(update, false));
        }
        let (ids, alive, _) = finder.finish();
        for (client, clock, _) in &written {
            let is_expected = expected.contains(&(*client, *clock));
            assert_eq!(ids.covers(*client, *clock), is_expected, "{client} {clock}");
        }
        assert_eq!(ids.units(), expected.len() as u64);
        // Masked, no text has it; the last one loses what is still there.
        let mut document = Document::new();
        let plain = Editor::new(2);
        for update in &log {
            let masked = mask_update(update, &|client, clock| ids.covers(client, clock)).unwrap();
            document.apply(&masked).unwrap();
            plain.apply(update);
            let (found, was) = (document.text(), plain.text());
            assert!(!found.contains(SECRET), "{found}");
            assert_eq!(found.encode_utf16().count(), was.encode_utf16().count());
            for (found, was) in found.encode_utf16().zip(was.encode_utf16()) {
                assert!(found == was || found == 0x2588);
            }
        }
        let is_left = document.text().contains('\u{2588}');
        assert_eq!(is_left, !alive.is_empty());
        document.apply(&alive.deletion()).unwrap();
        assert!(!document.text().contains('\u{2588}'));
        // An editor that holds the old characters shows the same after that.
        plain.apply(&alive.deletion());
        assert_eq!(plain.text(), document.text());
    }
    assert!(ever > 500, "the text came about {ever} times only");
}

#[test]
fn what_one_client_typed_is_found_also_when_it_was_never_to_be_read_in_one_piece() {
    let (ann, ben) = (Editor::new(7), Editor::new(9));
    let mut log = Vec::new();
    let mut send = |from: &Editor, to: &Editor| {
        let update = from.beyond(to);
        to.apply(&update);
        log.push(update);
    };
    ann.replace(0, 0, "hun");
    send(&ann, &ben);
    ben.replace(3, 0, "-");
    send(&ben, &ann);
    // As if she had not seen it.
    ann.replace(4, 0, "ter2");
    send(&ann, &ben);
    assert_eq!(ann.text(), "hun-ter2");
    let mut finder = Finder::new("hunter2");
    log.iter().for_each(|update| assert!(finder.add(update, false)));
    let (ids, alive, first) = finder.finish();
    assert_eq!((ids.units(), alive.units(), first), (7, 7, Revision(1)));
    assert!(!ids.covers(9, 0));
    // Typed and deleted before it was sent: never to be read by others, but in the log.
    let cid = Editor::new(3);
    cid.replace(0, 0, "hunter2");
    let update = cid.doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
    let mut both = update.clone();
    both.truncate(update.len() - 1);
    both.extend([1, 3, 1, 0, 7]);
    let mut finder = Finder::new("hunter2");
    assert!(finder.add(&both, false));
    let (ids, alive, _) = finder.finish();
    assert_eq!((ids.units(), alive.units()), (7, 0));
}

#[test]
fn everything_that_somebody_wrote_is_found_by_the_revisions_that_are_theirs() {
    let (ann, ben) = (Editor::new(7), Editor::new(9));
    ann.replace(0, 0, "one two");
    let first = ann.beyond(&ben);
    ben.apply(&first);
    ben.replace(3, 1, "-and-");
    let second = ben.beyond(&ann);
    ann.apply(&second);
    ann.replace(0, 0, "yes ");
    let third = ann.beyond(&ben);
    let mut finder = Finder::new("");
    for (update, is_ann) in [(first, true), (second, false), (third, true)] {
        finder.add(&update, is_ann);
    }
    let (ids, alive, _) = finder.finish();
    assert_eq!((ids.units(), alive.units()), (11, 10));
    assert!((0..5).all(|clock| !ids.covers(9, clock)));
}

#[test]
fn hashes_of_texts_that_had_it_go_from_operation_ids_and_what_was_undone_stays() {
    let plan = PagePlan {
        first: Revision(3),
        blank: BTreeSet::from([Revision(8)]),
        ops: BTreeSet::from([Revision(9)]),
        ..PagePlan::default()
    };
    let after = |revision: u64, op: &str| {
        let op = op.to_owned();
        let entry = LogEntry { at_ms: 5, author: "g1".into(), op, update: vec![1, 2, 3] };
        let entry = plan.transform(Revision(revision), entry);
        assert_eq!((entry.at_ms, &*entry.author), (5, "g1"));
        (entry.op, entry.update)
    };
    let kept = vec![1, 2, 3];
    assert_eq!(after(2, "merge:0f3a"), ("merge:0f3a".into(), kept.clone()));
    assert_eq!(after(3, "merge:0f3a"), ("merge".into(), kept.clone()));
    assert_eq!(after(4, "merge:0f3a:undo:ab.1.2"), ("merge:undo:ab.1.2".into(), kept.clone()));
    assert_eq!(after(5, "of a browser"), ("of a browser".into(), kept.clone()));
    assert_eq!(after(8, "x"), ("x".into(), NOTHING.to_vec()));
    assert_eq!(after(9, "x hunter2"), (String::new(), kept));
}

#[test]
fn a_record_that_changed_since_it_was_found_is_not_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { free_floor_bytes: 0, reserve_bytes: 0, ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let key = [7_u64.to_be_bytes(), 1_u64.to_be_bytes()].concat();
    let write = |name: &str| {
        let store = Store::open(dir.path(), options.clone()).unwrap();
        let value = serde_json::json!({"login": "g1", "name": name}).to_string().into_bytes();
        let (expect, value) = (Expect::Anything, Some(value));
        let change = Change { table: Table::Clients, key: key.clone(), expect, value };
        assert!(runtime.block_on(store.change(vec![change])).unwrap());
        let mut names = Vec::new();
        names::find(&store, PageId(7), &names::Wanted::Text("s3cret"), &mut names).unwrap();
        store.close().unwrap();
        names
    };
    let names = write("Ann s3cret");
    assert_eq!(names.len(), 1);
    let (by, why) = (String::new(), String::new());
    let plan = Plan { at_ms: 5, by, why, pages: BTreeMap::new(), names };
    // Whoever started the wiki in between has another name by now.
    write("Ben");
    assert!(matches!(carry_out(dir.path(), &options, &plan), Err(EraseError::Stale)));
    assert_eq!(rewrite::pending(dir.path()).unwrap(), None);
    let name = || {
        let store = Store::open(dir.path(), options.clone()).unwrap();
        let found = store.get(Table::Clients, &key).unwrap().unwrap();
        store.close().unwrap();
        String::from_utf8(found).unwrap()
    };
    assert!(name().contains("Ben"));
    write("Ann s3cret");
    carry_out(dir.path(), &options, &plan).unwrap();
    assert!(name().contains("Ann \u{2588}") && !name().contains("s3cret"));
}

#[test]
fn what_is_noted_of_visits_goes_with_its_login_and_with_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { free_floor_bytes: 0, reserve_bytes: 0, ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let keys = [&b"g1\0l"[..], b"g1\0p\0\0\0\0\0\0\0\x07", b"g12\0l"];
    let changes = keys.map(|key| {
        let (key, value) = (key.to_vec(), Some(b"{}".to_vec()));
        Change { table: Table::Visits, key, expect: Expect::Anything, value }
    });
    assert!(runtime.block_on(store.change(changes.to_vec())).unwrap());
    let mut names = Vec::new();
    names::visits(&store, &crate::live::history::handle("g1"), &mut names).unwrap();
    store.close().unwrap();
    drop(store);
    let (by, why) = (String::new(), String::new());
    let plan = Plan { at_ms: 5, by, why, pages: BTreeMap::new(), names };
    assert!(!plan.is_empty() && plan.names() == 0);
    carry_out(dir.path(), &options, &plan).unwrap();
    let store = Store::open(dir.path(), options).unwrap();
    let left = store.list(Table::Visits, &[], None, 10).unwrap();
    assert_eq!(left, [(b"g12\0l".to_vec(), b"{}".to_vec())]);
}
