//! Yjs client ids: issued by the server, bound to one login on one page.
//!
//! Whoever writes under an id is its author, so an id is stored before its
//! first use and never issued twice. That makes authorship a property of the
//! document itself, which nobody can forge.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::Room;
use crate::live::{Author, LiveError, now_ms};
use crate::page::PageId;
use crate::store::{Change, Expect, Store, StoreError, Table};

/// Records read at a time while loading.
const LOAD_STEP: usize = 4_096;

/// Who an id was issued to, as stored.
#[derive(Serialize, Deserialize)]
struct ClientRecord {
    login: String,
    name: String,
    colour: u8,
    issued_ms: u64,
}

/// Logins by the client id that was issued to them, on one page.
#[derive(Default)]
pub struct Clients {
    owners: HashMap<u64, Arc<str>>,
    /// What each login was called when it last came to write here.
    people: HashMap<Arc<str>, Person>,
}

struct Person {
    name: String,
    colour: u8,
    issued_ms: u64,
}

impl Clients {
    /// Reads the ids of a page. Blocks.
    pub fn load(store: &Store, page: PageId) -> Result<Self, StoreError> {
        let mut clients = Self::default();
        let prefix = page.0.to_be_bytes();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = store.list(Table::Clients, &prefix, after.as_deref(), LOAD_STEP)?;
            for (key, value) in &records {
                let damaged = || {
                    StoreError::Damaged(format!("an author's record of page {page} cannot be read"))
                };
                let id = key.get(8..).and_then(|id| id.try_into().ok()).ok_or_else(damaged)?;
                let record: ClientRecord = serde_json::from_slice(value).map_err(|_| damaged())?;
                clients.add(u32::from_be_bytes(id), record);
            }
            match records.last() {
                Some((key, _)) if records.len() == LOAD_STEP => after = Some(key.clone()),
                _ => return Ok(clients),
            }
        }
    }

    fn add(&mut self, id: u32, record: ClientRecord) {
        let ClientRecord { login, name, colour, issued_ms } = record;
        let known = self.people.get_key_value(login.as_str()).map(|(login, _)| Arc::clone(login));
        let login = known.unwrap_or_else(|| login.into());
        self.owners.insert(u64::from(id), Arc::clone(&login));
        let person = Person { name, colour, issued_ms };
        if self.people.get(&login).is_none_or(|known| known.issued_ms <= issued_ms) {
            self.people.insert(login, person);
        }
    }

    /// What a login was called here last, with its colour.
    pub fn name(&self, login: &str) -> Option<(&str, u8)> {
        self.people.get(login).map(|person| (person.name.as_str(), person.colour))
    }

    /// Whether an id was issued to this login.
    pub fn owns(&self, login: &str, client: u64) -> bool {
        self.owners.get(&client).is_some_and(|owner| **owner == *login)
    }
}

/// The record of somebody who writes nothing and only deletes: under the id 0, which is never
/// issued.
pub(in crate::live) fn client_of(page: PageId, login: &str, name: &str, issued_ms: u64) -> Change {
    let (login, name) = (login.to_owned(), name.to_owned());
    let record = ClientRecord { login, name, colour: 0, issued_ms };
    let mut key = page.0.to_be_bytes().to_vec();
    key.extend(0_u32.to_be_bytes());
    let value = serde_json::to_vec(&record).unwrap_or_default();
    Change { table: Table::Clients, key, expect: Expect::Anything, value: Some(value) }
}

impl Room {
    /// Issues a client id (1 to 2^32 - 1) to a login; durable when it returns.
    pub async fn issue_client(&self, who: &Author) -> Result<u32, LiveError> {
        let record = ClientRecord {
            login: who.id.clone(),
            name: who.name.clone(),
            colour: who.colour,
            issued_ms: now_ms(),
        };
        let value = serde_json::to_vec(&record).unwrap_or_default();
        loop {
            let id = draw_id()?;
            let mut key = self.id.0.to_be_bytes().to_vec();
            key.extend(id.to_be_bytes());
            let change = Change {
                table: Table::Clients,
                key,
                expect: Expect::Absent,
                value: Some(value.clone()),
            };
            // False: drawn before for this page, however unlikely. Draw again.
            if self.shared.store.change(vec![change]).await? {
                self.clients().add(id, record);
                return Ok(id);
            }
        }
    }

    pub(super) fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Yjs 13 draws ids below 2^32; 0 is what it uses for "none" in some places.
fn draw_id() -> Result<u32, LiveError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_| LiveError::Busy)?;
    Ok(u32::from_le_bytes(bytes).max(1))
}
