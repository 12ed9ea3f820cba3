//! People who type: the updates of real documents, made as browsers make them.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]
#![allow(dead_code, reason = "each test file uses its part")]

use halley::store::LogEntry;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use yrs::updates::decoder::Decode as _;
use yrs::{
    Doc, GetString as _, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _, Update,
};

/// English, since what people write compresses like it.
const TEXTS: [&str; 5] = [
    include_str!("../../README.md"),
    include_str!("../../CHANGELOG.md"),
    include_str!("../../docs/compare.md"),
    include_str!("../../docs/benchmarks.md"),
    include_str!("../../LICENSE-APACHE"),
];

/// Letters of a random operation id.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Several people on one page. Each has a document of their own and hears of the others before each
/// keystroke; so none of the updates is concurrent with another, as most are not.
pub struct Typing {
    rng: StdRng,
    text: Vec<char>,
    people: Vec<Person>,
    /// All updates, and who made them.
    updates: Vec<(usize, Vec<u8>)>,
    /// Length of the page.
    length: u32,
}

struct Person {
    login: String,
    doc: Doc,
    body: TextRef,
    /// How many of the updates the document has.
    seen: usize,
    caret: u32,
    /// What is being typed: a place in the text, and how many letters are left of it.
    from: usize,
    left: u32,
    /// Letters that are being taken back.
    back: u32,
    /// When the next key is pressed.
    due: u64,
}

impl Typing {
    /// `people` of them (1 to 10), about to type. The same seed types the same, but for the clients'
    /// ids within the updates.
    pub fn new(seed: u64, people: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let text: Vec<char> = TEXTS.concat().chars().filter(char::is_ascii).collect();
        let people = (0..people)
            .map(|_| {
                let doc = Doc::with_client_id(u64::from(rng.random::<u32>()));
                let body = doc.get_or_insert_text("body");
                let login = format!("g{}", random(&mut rng, 16));
                let due = 1_790_000_000_000 + rng.random_range(0..20_000);
                Person { login, doc, body, seen: 0, caret: 0, from: 0, left: 0, back: 0, due }
            })
            .collect();
        Self { rng, text, people, updates: Vec::new(), length: 0 }
    }

    /// Somebody pastes so many letters.
    pub fn paste(&mut self, letters: usize) -> LogEntry {
        let at = self.rng.random_range(0..self.text.len());
        let text: String = self.text.iter().cycle().skip(at).take(letters).collect();
        let person = &self.people[0];
        let update = {
            let mut change = person.doc.transact_mut();
            person.body.insert(&mut change, 0, &text);
            change.encode_update_v1()
        };
        self.length += letters as u32;
        let due = person.due;
        self.entry(0, due, update)
    }

    /// The next key that somebody presses.
    pub fn key(&mut self) -> LogEntry {
        let who = (0..self.people.len()).min_by_key(|who| self.people[*who].due).unwrap();
        self.hear(who);
        if self.people[who].left == 0 && self.people[who].back == 0 {
            self.begin(who);
        }
        let rng = &mut self.rng;
        let person = &mut self.people[who];
        let due = person.due;
        // Nobody presses keys evenly.
        let pause: f64 = -rng.random_range(0.0001_f64..1.0).ln();
        person.due += 70 + (pause * 90.0) as u64;
        if person.back == 0 && rng.random_ratio(1, 40) {
            person.back = rng.random_range(1..4);
        }
        let mut change = person.doc.transact_mut();
        let (at, taken, given) = if person.back > 0 && person.caret > 0 {
            // Now and then a selection goes at once.
            let many = if rng.random_ratio(1, 60) { 30 } else { 1 };
            let many = many.min(person.caret);
            person.back -= 1;
            person.caret -= many;
            person.body.remove_range(&mut change, person.caret, many);
            (person.caret, many, 0)
        } else {
            person.back = 0;
            let letter = self.text[person.from % self.text.len()];
            person.from += 1;
            person.left = person.left.saturating_sub(1);
            person.body.insert(&mut change, person.caret, &letter.to_string());
            person.caret += 1;
            (person.caret - 1, 0, 1)
        };
        let update = change.encode_update_v1();
        drop(change);
        self.length = self.length + given - taken;
        for (other, person) in self.people.iter_mut().enumerate() {
            if other == who || person.caret < at {
                continue;
            }
            person.caret = (person.caret + given).max(at + taken) - taken;
        }
        self.entry(who, due, update)
    }

    /// Somebody begins to write somewhere, or takes away what is there.
    fn begin(&mut self, who: usize) {
        let (rng, person) = (&mut self.rng, &mut self.people[who]);
        let pause: f64 = -rng.random_range(0.0001_f64..1.0).ln();
        person.due += 800 + (pause * 9_000.0) as u64;
        if rng.random_ratio(2, 5) {
            person.caret = rng.random_range(0..=self.length);
        }
        person.from = rng.random_range(0..self.text.len());
        match rng.random_ratio(1, 8) {
            true => person.back = rng.random_range(3..40),
            false => person.left = rng.random_range(10..160),
        }
    }

    fn hear(&mut self, who: usize) {
        let person = &mut self.people[who];
        for (by, update) in &self.updates[person.seen..] {
            if *by != who {
                let update = Update::decode_v1(update).unwrap();
                person.doc.transact_mut().apply_update(update).unwrap();
            }
        }
        person.seen = self.updates.len();
    }

    fn entry(&mut self, who: usize, at_ms: u64, update: Vec<u8>) -> LogEntry {
        self.updates.push((who, update.clone()));
        let op = random(&mut self.rng, 20);
        LogEntry { at_ms, author: self.people[who].login.clone(), op, update }
    }

    /// The state of the document, as live pages keep it.
    pub fn state(&mut self) -> Vec<u8> {
        self.hear(0);
        self.people[0].doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// The text.
    pub fn text(&mut self) -> String {
        self.hear(0);
        let person = &self.people[0];
        person.body.get_string(&person.doc.transact())
    }
}

/// The text after these updates.
pub fn replay<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> String {
    let doc = Doc::new();
    let body = doc.get_or_insert_text("body");
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    body.get_string(&doc.transact())
}

/// What of an entry must still be there when it has been packed.
pub fn kept(entry: &LogEntry) -> LogEntry {
    let is_random = entry.op.len() == 20 && entry.op.bytes().all(|byte| LETTERS.contains(&byte));
    LogEntry { op: if is_random { String::new() } else { entry.op.clone() }, ..entry.clone() }
}

fn random(rng: &mut StdRng, letters: usize) -> String {
    (0..letters).map(|_| char::from(LETTERS[rng.random_range(0..32)])).collect()
}
