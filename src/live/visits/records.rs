//! How it is kept: records of one login stand side by side.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{MAX_PAGES, MAX_WATCHES, Seen, Watch};
use crate::page::PageId;
use crate::store::{Change, Expect, Store, StoreError, Table};

/// Third part of a key, after the login (which has no 0) and a 0.
const LOGIN: u8 = b'l';
const PAGE: u8 = b'p';
const WATCH: u8 = b'w';

/// What is known of a login as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Login {
    /// When it was first noted.
    pub since_ms: u64,
    /// When it came last, to the day.
    pub came_ms: u64,
    /// Everything until then counts as seen.
    pub all_ms: u64,
}

/// All records of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub login: Option<Login>,
    pub pages: BTreeMap<PageId, Seen>,
    /// By the key of their path.
    pub watches: BTreeMap<String, Watch>,
}

impl Records {
    /// Blocks.
    pub fn read(store: &Store, login: &str) -> Result<Self, StoreError> {
        // More than that there are not: whoever writes has the turn, and makes them fit.
        let limit = MAX_PAGES + MAX_WATCHES + 1;
        let mut records = Self::default();
        for (key, value) in store.list(Table::Visits, &prefix(login), None, limit)? {
            match parts(&key).ok_or_else(broken)? {
                (_, LOGIN, _) => records.login = Some(parse(&value)?),
                (_, PAGE, id) => {
                    let id = u64::from_be_bytes(id.try_into().map_err(|_| broken())?);
                    records.pages.insert(PageId(id), parse(&value)?);
                }
                (_, WATCH, _) => {
                    let watch: Watch = parse(&value)?;
                    records.watches.insert(watch.path.key(), watch);
                }
                _ => return Err(broken()),
            }
        }
        Ok(records)
    }

    /// The login's own record, made now if there is none.
    pub fn login(&mut self, now_ms: u64) -> &mut Login {
        let new = Login { since_ms: now_ms, came_ms: now_ms, all_ms: now_ms };
        self.login.get_or_insert(new)
    }

    pub fn len(&self) -> usize {
        usize::from(self.login.is_some()) + self.pages.len() + self.watches.len()
    }

    /// Forgets the pages seen longest ago, until there are at most so many. Whatever had changed
    /// before that counts as seen.
    pub fn fit(&mut self, most: usize) {
        if self.pages.len() <= most {
            return;
        }
        let mut by_age: Vec<_> =
            self.pages.iter().map(|(page, seen)| (seen.at_ms, *page)).collect();
        by_age.sort_unstable();
        by_age.truncate(self.pages.len() - most);
        for (at_ms, page) in by_age {
            self.pages.remove(&page);
            if let Some(login) = &mut self.login {
                login.all_ms = login.all_ms.max(at_ms);
            }
        }
    }

    /// What leads from other records of the login to these.
    pub fn changes_from(&self, old: &Self, login: &str) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        if self.login != old.login {
            let value = self.login.as_ref().map(json).transpose()?;
            changes.push(change(key(login, LOGIN, &[]), value));
        }
        let id = |page: &PageId| key(login, PAGE, &page.0.to_be_bytes());
        differ(&self.pages, &old.pages, id, &mut changes)?;
        let path = |path: &String| key(login, WATCH, path.as_bytes());
        differ(&self.watches, &old.watches, path, &mut changes)?;
        Ok(changes)
    }
}

/// The login's own record. Blocks.
pub(super) fn read_login(store: &Store, login: &str) -> Result<Option<Login>, StoreError> {
    let value = store.get(Table::Visits, &key(login, LOGIN, &[]))?;
    value.as_deref().map(parse).transpose()
}

/// How a login has seen one page. Blocks.
pub(super) fn read_page(
    store: &Store,
    login: &str,
    page: PageId,
) -> Result<Option<Seen>, StoreError> {
    let value = store.get(Table::Visits, &key(login, PAGE, &page.0.to_be_bytes()))?;
    value.as_deref().map(parse).transpose()
}

/// What a login watches, by name. Blocks.
pub(super) fn read_watches(store: &Store, login: &str) -> Result<Vec<Watch>, StoreError> {
    let records = store.list(Table::Visits, &key(login, WATCH, &[]), None, MAX_WATCHES)?;
    records.iter().map(|(_, value)| parse(value)).collect()
}

/// Of a key, what all records of its login begin with, and whether it is the login's own record.
pub(super) fn owner(key: &[u8]) -> Option<(&[u8], bool)> {
    let (prefix, kind, _) = parts(key)?;
    Some((prefix, kind == LOGIN))
}

/// The value of a login's own record.
pub(super) fn parse_login(value: &[u8]) -> Result<Login, StoreError> {
    parse(value)
}

/// A record that goes.
pub(super) fn removal(key: &[u8]) -> Change {
    change(key.to_vec(), None)
}

/// The login with its 0, which kind of record, and the rest.
fn parts(key: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (prefix, rest) = key.split_at(end + 1);
    let (kind, rest) = rest.split_first()?;
    Some((prefix, *kind, rest))
}

fn prefix(login: &str) -> Vec<u8> {
    let mut key = login.as_bytes().to_vec();
    key.push(0);
    key
}

fn key(login: &str, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = prefix(login);
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

/// Adds what leads from one set of records to another.
fn differ<K: Ord, V: PartialEq + Serialize>(
    new: &BTreeMap<K, V>,
    old: &BTreeMap<K, V>,
    key: impl Fn(&K) -> Vec<u8>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    for gone in old.keys().filter(|known| !new.contains_key(known)) {
        changes.push(change(key(gone), None));
    }
    for (known, value) in new {
        if old.get(known) != Some(value) {
            changes.push(change(key(known), Some(json(value)?)));
        }
    }
    Ok(())
}

fn change(key: Vec<u8>, value: Option<Vec<u8>>) -> Change {
    Change { table: Table::Visits, key, expect: Expect::Anything, value }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| broken())
}

fn json(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record)
        .map_err(|error| StoreError::Damaged(format!("a visit cannot be written: {error}")))
}

fn broken() -> StoreError {
    StoreError::Damaged("the record of a visit cannot be read".into())
}
