//! Browsers as the gate sees them: yrs documents that type at random and exchange updates.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact,
    Update, merge_updates_v1,
};

/// One editor with its own client id.
pub struct Editor {
    pub doc: Doc,
    pub body: TextRef,
    pub client: u64,
    /// Own edits that were not sent yet.
    pending: Vec<Vec<u8>>,
}

impl Editor {
    pub fn new(client: u64) -> Self {
        let mut options = Options::with_client_id(ClientID::new(client));
        options.offset_kind = OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        let body = doc.get_or_insert_text("body");
        Self { doc, body, client, pending: Vec::new() }
    }

    pub fn text(&self) -> String {
        self.body.get_string(&self.doc.transact())
    }

    /// Replaces `delete` units at `at` and returns the update of just that.
    pub fn replace(&mut self, at: u32, delete: u32, insert: &str) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        if delete > 0 {
            self.body.remove_range(&mut transaction, at, delete);
        }
        if !insert.is_empty() {
            self.body.insert(&mut transaction, at, insert);
        }
        transaction.commit();
        let update = transaction.encode_update_v1();
        self.pending.push(update.clone());
        update
    }

    pub fn apply(&mut self, update: &[u8]) {
        let mut transaction = self.doc.transact_mut();
        transaction.apply_update(Update::decode_v1(update).unwrap()).unwrap();
        transaction.commit();
        assert!(!transaction.has_missing_updates());
    }

    /// Types, deletes or replaces something at a border between characters.
    pub fn edit_at_random(&mut self, random: &mut StdRng) -> Vec<u8> {
        let text = self.text();
        let borders: Vec<u32> = std::iter::once(0)
            .chain(text.chars().scan(0, |at, character| {
                *at += character.len_utf16() as u32;
                Some(*at)
            }))
            .collect();
        let from = random.random_range(0..borders.len());
        let to = if random.random_bool(0.4) {
            (from + random.random_range(0..12)).min(borders.len() - 1)
        } else {
            from
        };
        let words = ["a", "word ", "😀", "é", "👩\u{200d}👧", "\r\n", "line\n", "維基", "x😀y", ""];
        let insert = words[random.random_range(0..words.len())];
        self.replace(borders[from], borders[to] - borders[from], insert)
    }

    /// All own edits since the last call in one update, as a browser that was offline sends them.
    pub fn unsent(&mut self) -> Vec<u8> {
        let update = merge_updates_v1(&self.pending).unwrap();
        self.pending.clear();
        update
    }

    /// The whole document.
    pub fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }
}

/// A generator and its printed seed: from the environment, or fresh.
pub fn seeded(name: &str) -> (StdRng, u64) {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("{name}: TEST_SEED={seed}");
    (StdRng::seed_from_u64(seed), seed)
}
