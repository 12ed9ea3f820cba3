//! What the traced process has said, and whether a store holds it.

use std::collections::{BTreeMap, HashMap};

use halley::page::{PageId, Revision};
use halley::store::{Store, StoreError, Table};

use super::workload::{TASKS, entry, key_name, number_of};
use crate::store_support::{noise, try_read_all};

/// What the process has said so far.
#[derive(Clone, Default)]
pub struct Acked {
    /// Op by page and revision.
    appends: HashMap<(u64, u64), String>,
    /// Last revision by page.
    heads: BTreeMap<u64, u64>,
    /// Last number by task.
    pairs: HashMap<u64, u64>,
    /// Whether a key must be there (`None`: it is being removed), by task and number.
    keys: HashMap<(u64, u64), Option<bool>>,
    pub count: u64,
}

impl Acked {
    pub fn hear(&mut self, text: &str) {
        for line in text.lines() {
            // The test harness may have written something before.
            let Some(at) = line.find("ack ") else { continue };
            let words: Vec<&str> = line[at..].split(' ').collect();
            let [_, kind, first, second, rest, ";"] = words[..] else { continue };
            let (first, second) = (first.parse().unwrap(), second.parse().unwrap());
            self.count += 1;
            match kind {
                "append" => {
                    self.appends.insert((first, second), rest.to_owned());
                    let head = self.heads.entry(first).or_default();
                    *head = second.max(*head);
                }
                "pair" => drop(self.pairs.insert(first, second)),
                "there" => drop(self.keys.insert((first, second), Some(true))),
                "removing" => drop(self.keys.insert((first, second), None)),
                "gone" => drop(self.keys.insert((first, second), Some(false))),
                _ => {}
            }
        }
    }

    /// Says what is wrong with a store; nothing is missing in it, and nothing is different.
    pub fn check(&self, store: &Store) -> Result<(), String> {
        self.check_logs(store)?;
        self.check_records(store).map_err(|error| error.to_string())?
    }

    fn check_logs(&self, store: &Store) -> Result<(), String> {
        for page in 1..=TASKS.div_ceil(2) {
            let log = try_read_all(store, page, 1 << 20).map_err(|error| error.to_string())?;
            let head = *self.heads.get(&page).unwrap_or(&0);
            if (log.len() as u64) < head {
                return Err(format!("page {page} has {} of {head} revisions", log.len()));
            }
            if let Some(odd) = log.iter().find(|found| **found != entry(&found.op)) {
                return Err(format!("{} of page {page} is not what was written", odd.op));
            }
            for ((_, revision), op) in self.appends.iter().filter(|((at, _), _)| *at == page) {
                let found = &log[*revision as usize - 1].op;
                if found != op {
                    return Err(format!("revision {revision} of page {page}: {found}, not {op}"));
                }
            }
            let last = Revision(u64::MAX);
            match store.snapshot_at(PageId(page), last).map_err(|error| error.to_string())? {
                Some((revision, state)) if state != noise(revision.0, 30_000) => {
                    return Err(format!("snapshot {revision} of page {page} is different"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_records(&self, store: &Store) -> Result<Result<(), String>, StoreError> {
        for task in 0..TASKS {
            let key = format!("pair {task}").into_bytes();
            let (one, two) = (store.get(Table::Names, &key)?, store.get(Table::Meta, &key)?);
            let number = one.as_deref().map_or(Some(0), number_of);
            let least = *self.pairs.get(&task).unwrap_or(&0);
            if one != two || number.is_none_or(|number| number < least) {
                return Ok(Err(format!("pair {task} is {number:?}, should be {least}")));
            }
        }
        for ((task, number), there) in &self.keys {
            let found = store.get(Table::Pages, &key_name(*task, *number))?.is_some();
            if there.is_some_and(|there| there != found) {
                return Ok(Err(format!("key {task} {number}: {found}, should be {there:?}")));
            }
        }
        for (key, found) in store.list(Table::Pages, b"key ", None, usize::MAX)? {
            if number_of(&found).is_none() {
                return Ok(Err(format!("{} is different", String::from_utf8_lossy(&key))));
            }
        }
        Ok(Ok(()))
    }
}
