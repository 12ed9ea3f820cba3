//! What packer and unpacker expect next. Both keep one and tell it the same, so only what was not
//! expected has to be written down.

use std::collections::HashMap;

use super::update::{Id, Range};

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub id: u64,
    /// Clock behind the last that was seen.
    pub next: u64,
    /// Right neighbour of its last struct.
    pub right: Option<Id>,
    /// The range of it that was deleted last.
    pub deleted: Range,
}

/// What is known of an author.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub name: String,
    /// Number of the client that wrote last.
    pub client: usize,
    /// Number of the client of whose text something was deleted last.
    pub victim: usize,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub clients: Vec<Client>,
    numbers: HashMap<u64, usize>,
    pub authors: Vec<Author>,
    names: HashMap<String, usize>,
    /// Author of the last entry.
    pub author: usize,
    /// Time of the last entry.
    pub at_ms: u64,
}

impl Model {
    /// The number of a client, if it was seen.
    pub fn find(&self, client: u64) -> Option<usize> {
        self.numbers.get(&client).copied()
    }

    /// Takes a new client up; returns its number.
    pub fn meet(&mut self, id: u64) -> usize {
        let number = self.clients.len();
        let deleted = Range { clock: 0, length: 0 };
        self.clients.push(Client { id, next: 0, right: None, deleted });
        self.numbers.insert(id, number);
        number
    }

    /// The number of an author, if one of that name was seen.
    pub fn find_author(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Takes a new author up.
    pub fn meet_author(&mut self, name: String) -> usize {
        let number = self.authors.len();
        self.names.insert(name.clone(), number);
        self.authors.push(Author { name, client: usize::MAX, victim: usize::MAX });
        number
    }
}

impl Client {
    /// Where a deletion of this length is expected to begin: before the last (backspace), behind
    /// it, or at the end of what the client wrote.
    pub fn expected(&self, length: u64) -> [u64; 3] {
        [
            self.deleted.clock.wrapping_sub(length),
            self.deleted.clock.wrapping_add(self.deleted.length),
            self.next.wrapping_sub(length),
        ]
    }
}
