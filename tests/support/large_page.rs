//! A large page and the people who write it: real Yjs updates in the order of a log, with a plain
//! model of what the page is after each.
//!
//! Most of the time one person types, alone at that moment, and the model is told what they did.
//! Now and then several write at once without hearing of each other. What becomes of that is yrs'
//! affair: the model takes it from the changes that a document of yrs announces.
//!
//! [`fill`] has all of it typed into a page of a wiki.
#![allow(clippy::unwrap_used, reason = "for tests and benchmarks, which may panic")]
#![allow(dead_code, reason = "each file that includes this uses its part")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use halley::live::{Author, Live, LiveSettings};
use halley::page::{PageId, Revision};
use halley::store::{LogEntry, Options, Store};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use yrs::types::Delta;
use yrs::updates::decoder::Decode as _;
use yrs::{
    Any, Assoc, ClientID, Doc, GetString as _, IndexedSequence as _, Observable as _, OffsetKind,
    Out, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _, Update,
};

/// English, since what people write compresses like it.
const TEXTS: [&str; 5] = [
    include_str!("../../docs/fault-matrix.md"),
    include_str!("../../README.md"),
    include_str!("../../docs/benchmarks.md"),
    include_str!("../../docs/compare.md"),
    include_str!("../../LICENSE-APACHE"),
];

/// Letters of a browser's operation id.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Who write.
pub const AUTHORS: usize = 10;

/// Sent together, as of many people who type at once: fewer than a page's queue takes.
const GROUP: usize = 500;

/// How often a room keeps a snapshot.
const SNAPSHOT_EVERY: usize = 2_000;

/// The clock when the first key is pressed, milliseconds since 1970.
pub const BEGUN_MS: u64 = 1_780_000_000_000;

/// Where an edit is in the text before it, what it takes and what it puts there, in UTF-16 units.
type Place = (usize, usize, Vec<u16>);

/// One edit.
pub struct Edit {
    /// Number of the person.
    pub who: usize,
    /// When its key was pressed, milliseconds since 1970.
    pub at_ms: u64,
    /// As browsers make them, 20 random letters.
    pub op: String,
    /// Yjs, v1.
    pub update: Vec<u8>,
    /// `None`: others wrote at the same time, so only Yjs can tell.
    place: Option<Place>,
}

/// A page that has been written.
pub struct Filled {
    /// Its number.
    pub page: PageId,
    /// The Yjs client of each author.
    pub clients: Vec<u64>,
    /// All that was typed: the revisions from 1 on.
    pub log: Vec<Edit>,
}

/// The login of an author.
pub fn login(who: usize) -> String {
    format!("glargepageauthor{who}")
}

/// How stores are opened here.
pub fn options() -> Options {
    Options { free_floor_bytes: 0, ..Options::default() }
}

/// The live core over a directory, and its store.
pub async fn open(dir: &Path) -> (Store, Live) {
    let dir = dir.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::open(&dir, options())).await.unwrap();
    let store = store.unwrap();
    (store.clone(), Live::open(store, &LiveSettings::default()).unwrap())
}

/// Has a new page of about `size` units written, through the page's room as browsers do.
pub async fn fill(live: &Live, path: &str, seed: u64, edits: usize, size: usize) -> Filled {
    let author =
        |who: usize| Author { id: login(who), name: format!("Author {who}"), colour: who as u8 };
    let authors: Vec<Author> = (0..AUTHORS).map(author).collect();
    let (page, _) = live.create(&path.parse().unwrap(), &authors[0]).await.unwrap();
    let mut clients = Vec::new();
    for author in &authors {
        clients.push(u64::from(live.issue_client(page.id, author).await.unwrap()));
    }
    let log = People::new(seed, &clients, size).write(edits);
    let mut revision = 0;
    for group in log.chunks(GROUP) {
        let mut sent = Vec::new();
        for edit in group {
            let (author, update) = (&authors[edit.who], edit.update.clone());
            let mut saved = Box::pin(live.update(page.id, author, &edit.op, update));
            // Each stands in the page's queue before the next one is sent.
            assert!((&mut saved).now_or_never().is_none());
            sent.push(saved);
        }
        for saved in sent {
            revision += 1;
            assert_eq!(saved.await.unwrap(), Revision(revision));
        }
    }
    Filled { page: page.id, clients, log }
}

/// The text that a log comes to, as one edit.
pub fn at_once(log: &[Edit]) -> Vec<Edit> {
    let old = Replica::new(u64::from(u32::MAX));
    log.iter().for_each(|edit| old.apply(&edit.update));
    let new: Vec<u16> = old.text().encode_utf16().collect();
    let update = Replica::new(log[0].who as u64 * 7_919 + 11).replace(0, 0, &new);
    let last = &log[log.len() - 1];
    vec![Edit { who: log[0].who, at_ms: last.at_ms, op: last.op.clone(), update, place: None }]
}

/// The same into a new directory, for what a page costs: as if it had been written at the times of
/// the edits. A room would note when they came, which is all within seconds.
pub async fn store_log(dir: &Path, path: &str, log: &[Edit]) -> PageId {
    let (store, live) = open(dir).await;
    let author = Author { id: login(0), name: "Author 0".to_owned(), colour: 0 };
    let (page, _) = live.create(&path.parse().unwrap(), &author).await.unwrap();
    for who in 0..AUTHORS {
        let colour = who as u8;
        let author = Author { id: login(who), name: format!("Author {who}"), colour };
        live.issue_client(page.id, &author).await.unwrap();
    }
    // The room knows nothing of what comes now.
    drop(live);
    let replica = Replica::new(u64::from(u32::MAX));
    for group in log.chunks(SNAPSHOT_EVERY) {
        for some in group.chunks(50) {
            let entry = |edit: &Edit| LogEntry {
                at_ms: edit.at_ms,
                author: login(edit.who),
                op: edit.op.clone(),
                update: edit.update.clone(),
            };
            store.append(page.id, some.iter().map(entry).collect()).await.unwrap();
        }
        group.iter().for_each(|edit| replica.apply(&edit.update));
        let head = store.head(page.id).unwrap().unwrap().revision;
        store.save_snapshot(page.id, head, replica.state()).await.unwrap();
    }
    close(store).await;
    page.id
}

/// Closes a store whose live core is gone.
pub async fn close(store: Store) {
    tokio::task::spawn_blocking(move || store.close()).await.unwrap().unwrap();
}

impl Edit {
    /// Whether others wrote at the same time.
    pub fn is_together(&self) -> bool {
        self.place.is_none()
    }
}

/// A document of yrs that counts in UTF-16 units, as browsers do.
pub struct Replica {
    doc: Doc,
    body: TextRef,
}

impl Replica {
    /// An empty one.
    pub fn new(client: u64) -> Self {
        let mut options = yrs::Options::with_client_id(ClientID::new(client));
        options.offset_kind = OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        let body = doc.get_or_insert_text("body");
        Self { doc, body }
    }

    /// Takes in an update.
    pub fn apply(&self, update: &[u8]) {
        let mut change = self.doc.transact_mut();
        change.apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }

    /// Its text.
    pub fn text(&self) -> String {
        self.body.get_string(&self.doc.transact())
    }

    /// All that it has, as rooms keep it.
    fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// The client that wrote a unit of the text, as yrs has it.
    pub fn client_of(&self, unit: u32) -> u64 {
        let reading = self.doc.transact();
        let place = self.body.sticky_index(&reading, unit, Assoc::After).unwrap();
        place.id().unwrap().client.get()
    }

    fn replace(&self, at: usize, delete: usize, insert: &[u16]) -> Vec<u8> {
        let mut change = self.doc.transact_mut();
        if delete > 0 {
            self.body.remove_range(&mut change, at as u32, delete as u32);
        }
        if !insert.is_empty() {
            self.body.insert(&mut change, at as u32, &String::from_utf16(insert).unwrap());
        }
        change.commit();
        change.encode_update_v1()
    }
}

/// The page after each edit, by two that know nothing of each other's ways: a document of yrs, and
/// a list of units that each know the revision that brought them.
pub struct Model {
    /// The document.
    pub replica: Replica,
    units: Vec<u16>,
    born: Vec<u32>,
    revision: u32,
    heard: Arc<Mutex<Vec<Place>>>,
    /// Whether the document is asked what an edit did: it looks at all it has for the answer.
    asked: Arc<Mutex<bool>>,
}

impl Default for Model {
    fn default() -> Self {
        let replica = Replica::new(u64::from(u32::MAX));
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let asked = Arc::new(Mutex::new(false));
        let (to, wanted) = (Arc::clone(&heard), Arc::clone(&asked));
        replica.body.observe("model", move |change, event| {
            if *wanted.lock().unwrap() {
                *to.lock().unwrap() = places(event.delta(change));
            }
        });
        Self { replica, units: Vec::new(), born: Vec::new(), revision: 0, heard, asked }
    }
}

/// What a document says of a change, from the end of the text on.
fn places(delta: &[Delta]) -> Vec<Place> {
    let (mut found, mut at) = (Vec::new(), 0);
    for part in delta {
        match part {
            Delta::Retain(len, _) => at += *len as usize,
            // Nothing is told of what comes before any more, so the places are of the old text.
            Delta::Deleted(len) => {
                found.push((at, *len as usize, Vec::new()));
                at += *len as usize;
            }
            Delta::Inserted(Out::Any(Any::String(text)), _) => {
                found.push((at, 0, text.encode_utf16().collect()));
            }
            Delta::Inserted(other, _) => panic!("{other:?} in a page of text"),
        }
    }
    found.reverse();
    found
}

impl Model {
    /// Takes in the next edit of the log. False when it does nothing, as when somebody deletes what
    /// another has just deleted: then it has no revision.
    pub fn step(&mut self, edit: &Edit) -> bool {
        *self.asked.lock().unwrap() = edit.place.is_none();
        self.replica.apply(&edit.update);
        let places = match &edit.place {
            Some(place) => vec![place.clone()],
            None => std::mem::take(&mut *self.heard.lock().unwrap()),
        };
        if places.is_empty() {
            return false;
        }
        self.revision += 1;
        for (at, delete, insert) in places {
            self.splice(at, delete, &insert);
        }
        true
    }

    fn splice(&mut self, at: usize, delete: usize, insert: &[u16]) {
        let born = std::iter::repeat_n(self.revision, insert.len());
        self.units.splice(at..at + delete, insert.iter().copied());
        self.born.splice(at..at + delete, born);
    }

    /// The text, in UTF-16 units.
    pub fn units(&self) -> &[u16] {
        &self.units
    }

    /// The text.
    pub fn text(&self) -> String {
        String::from_utf16(&self.units).unwrap()
    }

    /// The revision that brought each unit.
    pub fn born(&self) -> &[u32] {
        &self.born
    }

    /// A border between characters, at this place or the one before.
    fn border(&self, at: usize) -> usize {
        border(&self.units, at)
    }
}

fn border(units: &[u16], at: usize) -> usize {
    let at = at.min(units.len());
    let splits = units.get(at).is_some_and(|unit| (0xdc00..0xe000).contains(unit));
    if splits { at - 1 } else { at }
}

struct Person {
    replica: Replica,
    /// Edits of the log that the document has.
    seen: usize,
    caret: usize,
    /// Where in the source they copy from.
    from: usize,
    /// What they have cut and will paste with their next edit.
    cut: Option<Vec<u16>>,
}

/// People who write a page.
pub struct People {
    rng: StdRng,
    source: Vec<char>,
    people: Vec<Person>,
    log: Vec<Edit>,
    model: Model,
    now_ms: u64,
    /// UTF-16 units about which the page's size stays.
    size: usize,
}

impl People {
    /// One person for each client id. They begin with a page of about `size` units, and keep it so
    /// large.
    pub fn new(seed: u64, clients: &[u64], size: usize) -> Self {
        // No pictures: a browser that shows them would ask for files that are not there.
        let source: Vec<char> =
            TEXTS.concat().chars().filter(|letter| !"!<".contains(*letter)).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        let people = clients.iter().map(|client| Person {
            replica: Replica::new(*client),
            seen: 0,
            caret: 0,
            from: rng.random_range(0..source.len()),
            cut: None,
        });
        let people = people.collect();
        let mut new = Self {
            rng,
            source,
            people,
            log: Vec::new(),
            model: Model::default(),
            now_ms: BEGUN_MS,
            size,
        };
        // An import, of less than an update may have at once.
        while new.model.units.len() < size {
            let left = size - new.model.units.len();
            let text = new.copy(0, left.min(50_000));
            let end = new.model.units.len();
            new.alone(0, end, 0, text);
        }
        new
    }

    /// So many edits in all, the first ones included.
    pub fn write(mut self, edits: usize) -> Vec<Edit> {
        while self.log.len() < edits {
            // Everybody thinks now and then, and once in a while goes to bed.
            let pause = if self.rng.random_ratio(1, 400) { 30_000_000 } else { 6_000 };
            self.now_ms += self.rng.random_range(300..pause);
            if self.people.len() > 1 && self.rng.random_ratio(1, 8) {
                self.together();
            } else {
                let who = self.rng.random_range(0..self.people.len());
                self.burst(who, edits);
            }
        }
        self.log.truncate(edits);
        self.log
    }

    /// One person writes, and nobody else does.
    fn burst(&mut self, who: usize, most: usize) {
        self.hear(who);
        let length = self.model.units.len();
        if self.rng.random_ratio(1, 2) {
            self.people[who].caret = self.rng.random_range(0..=length);
        }
        let mut back = 0;
        for _ in 0..self.rng.random_range(1..90) {
            if self.log.len() >= most {
                break;
            }
            self.key_time();
            let length = self.model.units.len();
            let caret = self.model.border(self.people[who].caret);
            if let Some(cut) = self.people[who].cut.take() {
                // What was cut elsewhere is put in here, by whoever cut it.
                let place = self.rng.random_range(0..=length);
                let at = self.model.border(place);
                self.alone(who, at, 0, cut);
                continue;
            }
            let is_full = length > self.size + self.size / 20;
            match self.rng.random_range(0..1_000) {
                // Cutting, of anybody's text.
                0..4 if length > 0 => {
                    let from = self.rng.random_range(0..length);
                    let from = self.model.border(from);
                    let to = from + self.rng.random_range(1..200);
                    let to = self.model.border(to).max(from);
                    let cut = self.model.units[from..to].to_vec();
                    self.alone(who, from, to - from, Vec::new());
                    self.people[who].cut = Some(cut).filter(|cut| !cut.is_empty());
                }
                // A selection goes, perhaps for something else.
                4..8 => {
                    let to = caret + self.rng.random_range(1..if is_full { 2_000 } else { 120 });
                    let to = self.model.border(to).max(caret);
                    let text = self.rng.random_range(0..30);
                    let text = self.copy(who, text);
                    self.alone(who, caret, to - caret, text);
                }
                // Pasting from somewhere else.
                8..10 if !is_full => {
                    let text = self.rng.random_range(20..400);
                    let text = self.copy(who, text);
                    self.alone(who, caret, 0, text);
                }
                10..40 if back == 0 => {
                    back = self.rng.random_range(1..if is_full { 40 } else { 9 });
                }
                // The key that deletes forwards.
                40..60 if caret < length => {
                    let wide = if self.model.border(caret + 1) == caret { 2 } else { 1 };
                    self.alone(who, caret, wide, Vec::new());
                }
                _ if back > 0 && caret > 0 => {
                    back -= 1;
                    let from = self.model.border(caret - 1);
                    self.alone(who, from, caret - from, Vec::new());
                }
                _ => {
                    let text = self.copy(who, 1);
                    self.alone(who, caret, 0, text);
                }
            }
        }
    }

    /// Several write at the same time, most of them at the same place.
    fn together(&mut self) {
        let count = self.rng.random_range(2..=self.people.len().min(5));
        let place = self.rng.random_range(0..=self.model.units.len());
        let mut waiting = Vec::new();
        for who in rand::seq::index::sample(&mut self.rng, self.people.len(), count) {
            self.hear(who);
            let mut own = self.model.units.clone();
            let mut at = place.saturating_sub(self.rng.random_range(0..4));
            let mut updates = Vec::new();
            for _ in 0..self.rng.random_range(1..12) {
                at = border(&own, at);
                let delete =
                    if self.rng.random_ratio(1, 3) { self.rng.random_range(0..6) } else { 0 };
                let delete = border(&own, at + delete).max(at) - at;
                let letters = self.rng.random_range(0..3);
                let text = self.copy(who, letters);
                if delete == 0 && text.is_empty() {
                    continue;
                }
                own.splice(at..at + delete, text.iter().copied());
                updates.push(self.people[who].replica.replace(at, delete, &text));
                at += text.len();
            }
            updates.reverse();
            waiting.push((who, updates));
        }
        // They come in any order, but each person's own in theirs.
        while !waiting.is_empty() {
            let next = self.rng.random_range(0..waiting.len());
            let (who, updates) = &mut waiting[next];
            match updates.pop() {
                Some(update) => {
                    let who = *who;
                    self.key_time();
                    self.note(who, update, None);
                }
                None => drop(waiting.swap_remove(next)),
            }
        }
    }

    fn key_time(&mut self) {
        let pause: f64 = -self.rng.random_range(0.0001_f64..1.0).ln();
        self.now_ms += 70 + (pause * 90.0) as u64;
    }

    /// The next characters that somebody writes.
    fn copy(&mut self, who: usize, characters: usize) -> Vec<u16> {
        let person = &mut self.people[who];
        let from = person.from;
        person.from += characters;
        let mut text: String =
            self.source.iter().cycle().skip(from % self.source.len()).take(characters).collect();
        if characters > 0 && self.rng.random_ratio(1, 150) {
            text.pop();
            text.push_str(["😀", "é", "維"][self.rng.random_range(0..3)]);
        }
        text.encode_utf16().collect()
    }

    fn alone(&mut self, who: usize, at: usize, delete: usize, insert: Vec<u16>) {
        if delete == 0 && insert.is_empty() {
            return;
        }
        let update = self.people[who].replica.replace(at, delete, &insert);
        self.people[who].caret = at + insert.len();
        self.note(who, update, Some((at, delete, insert)));
    }

    fn note(&mut self, who: usize, update: Vec<u8>, place: Option<Place>) {
        let op = (0..20).map(|_| char::from(LETTERS[self.rng.random_range(0..32)])).collect();
        let edit = Edit { who, at_ms: self.now_ms, op, update, place };
        if self.model.step(&edit) {
            self.log.push(edit);
        }
    }

    /// Takes in what others have written.
    fn hear(&mut self, who: usize) {
        let person = &mut self.people[who];
        for edit in self.log[person.seen..].iter().filter(|edit| edit.who != who) {
            person.replica.apply(&edit.update);
        }
        person.seen = self.log.len();
    }
}
