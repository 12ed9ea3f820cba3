//! A plain model of what a store must hold, and ways to copy and break its directory.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use halley::page::{PageId, Revision};
use halley::store::{Change, Expect, LogEntry, Options, Store, StoreError, Table};

pub const TABLES: [Table; 6] =
    [Table::Meta, Table::Pages, Table::Names, Table::Clients, Table::Revisions, Table::Visits];

/// What was acknowledged.
#[derive(Clone, Default)]
pub struct Model {
    pub records: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub logs: BTreeMap<u64, Vec<LogEntry>>,
}

impl Model {
    /// Fails unless the store holds exactly this.
    pub fn check(&self, store: &Store, context: &str) {
        for table in TABLES {
            let expected: Vec<_> = self
                .records
                .iter()
                .filter(|((other, _), _)| *other == table)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            let found = store.list(table, &[], None, usize::MAX).unwrap();
            assert!(found == expected, "{context}: {table:?} differs");
        }
        for (page, log) in &self.logs {
            let head = store.head(PageId(*page)).unwrap();
            assert_eq!(
                head.map(|head| (head.revision.0, head.at_ms)),
                log.last().map(|last| (log.len() as u64, last.at_ms)),
                "{context}: head of page {page}"
            );
            assert!(read_all(store, *page, 10_000) == *log, "{context}: log of page {page}");
        }
    }

    pub async fn append(&mut self, store: &Store, page: u64, entries: Vec<LogEntry>) {
        let log = self.logs.entry(page).or_default();
        log.extend(entries.iter().cloned());
        let revision = store.append(PageId(page), entries).await.unwrap();
        assert_eq!(revision.0, log.len() as u64);
    }

    pub async fn set(&mut self, store: &Store, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let change =
            Change { table, key: key.to_vec(), expect: Expect::Anything, value: value.clone() };
        assert!(store.change(vec![change]).await.unwrap());
        match value {
            Some(value) => self.records.insert((table, key.to_vec()), value),
            None => self.records.remove(&(table, key.to_vec())),
        };
    }

    /// A little of everything: small and large records, removed ones, small and large entries.
    pub async fn fill(&mut self, store: &Store, salt: u64, pages: u64) {
        for page in 1..=pages {
            for number in 0..60 {
                self.append(store, page, vec![entry(salt * 1_000 + number, 30)]).await;
            }
            self.append(store, page, vec![entry(salt, 9_000), entry(salt + 1, 10)]).await;
            let name = format!("page {page}");
            self.set(store, Table::Names, name.as_bytes(), Some(noise(page + salt, 20))).await;
            self.set(store, Table::Pages, &page.to_be_bytes(), Some(noise(page * salt, 300))).await;
        }
        // Its number comes after those of logs, snapshots and packs.
        self.set(store, Table::Visits, b"last", Some(noise(salt, 90))).await;
        self.set(store, Table::Meta, b"large", Some(noise(salt, 70_000))).await;
        self.set(store, Table::Meta, b"gone", Some(noise(salt, 50_000))).await;
        self.set(store, Table::Meta, b"gone", None).await;
    }
}

pub fn read_all(store: &Store, page: u64, limit_bytes: usize) -> Vec<LogEntry> {
    try_read_all(store, page, limit_bytes).unwrap()
}

pub fn try_read_all(
    store: &Store,
    page: u64,
    limit_bytes: usize,
) -> Result<Vec<LogEntry>, StoreError> {
    let mut all: Vec<LogEntry> = Vec::new();
    loop {
        let after = Revision(all.len() as u64);
        let some = store.read_log(PageId(page), after, limit_bytes)?;
        if some.is_empty() {
            return Ok(all);
        }
        for (revision, entry) in some {
            all.push(entry);
            assert_eq!(revision.0, all.len() as u64);
        }
    }
}

pub fn entry(number: u64, size: usize) -> LogEntry {
    LogEntry {
        at_ms: 1_700_000_000_000 + number,
        author: format!("g{}", number % 7),
        op: format!("op{number}"),
        update: noise(number, size),
    }
}

/// Bytes that do not compress well and depend on the seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

pub fn options() -> Options {
    Options {
        segment_bytes: 1 << 20,
        cache_bytes: 4 << 20,
        free_floor_bytes: 0,
        reserve_bytes: 0,
        ..Options::default()
    }
}

pub fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

/// Copies a data directory as it is now: what a crash at this moment would leave (of what the
/// kernel has). The records are copied first, as the journal only grows, and before the packs that
/// they name.
pub fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for part in ["sled", "packs", "checkpoints", "journal", "format"] {
        copy_all(&from.join(part), &to.path().join(part));
    }
    to
}

pub fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else if from.exists() {
        fs::copy(from, to).unwrap();
    }
}

/// Journal files, oldest first.
pub fn journal(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "journal"))
        .collect();
    files.sort();
    files
}

/// Length of a file without the zeros at its end.
pub fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}
