//! One group: what was accepted, as bytes for the journal and as what is to be applied after.

use std::collections::HashMap;

use super::super::applier::Applier;
use super::super::codec::{self, Write};
use super::super::journal::record::{self, Frame, Kind};
use super::super::queue::Permit;
use super::super::{Change, Expect, LogEntry, StoreError};
use super::{Reply, Writer};
use crate::page::Revision;

enum Action {
    Append { page: u64, first: u64, entries: Vec<LogEntry> },
    Change(Vec<Write>),
}

struct Accepted {
    action: Action,
    /// Positions before and behind its record.
    from: u64,
    to: u64,
    /// Sum of the state after it.
    sum: u64,
    /// Its checksum.
    crc: u32,
}

enum Answer {
    Append(Reply<Revision>, Revision),
    Change(Reply<bool>, bool),
}

impl Answer {
    fn give(self) {
        // A caller that has gone away does not want to know.
        match self {
            Self::Append(reply, revision) => drop(reply.send(Ok(revision))),
            Self::Change(reply, made) => drop(reply.send(Ok(made))),
        }
    }

    fn refuse(self, why: StoreError) {
        match self {
            Self::Append(reply, _) => drop(reply.send(Err(why))),
            Self::Change(reply, _) => drop(reply.send(Err(why))),
        }
    }
}

type Key = (u8, Vec<u8>);

/// Everything that is written and synced together.
#[derive(Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    /// Checksum of the last record.
    prev: u32,
    /// Sum of the state after the last record.
    sum: u64,
    accepted: Vec<Accepted>,
    answers: Vec<(Answer, Permit)>,
    /// Heads of the logs this group adds to.
    heads: HashMap<u64, u64>,
    /// Records this group changes.
    records: HashMap<Key, Option<Vec<u8>>>,
}

impl Group {
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn prev(&self) -> u32 {
        self.prev
    }

    pub fn append(
        &mut self,
        writer: &Writer,
        (page, entries): (u64, Vec<LogEntry>),
        (reply, permit): (Reply<Revision>, Permit),
    ) -> Result<(), StoreError> {
        let head = match self.heads.get(&page) {
            Some(head) => *head,
            None => writer.applier.pages.read().get(&page).map_or(0, |page| page.revision),
        };
        let last = head + entries.len() as u64;
        if !entries.is_empty() {
            let mut body = Vec::new();
            codec::put_append(&mut body, page, head + 1, &entries);
            let sum = self
                .sum(writer)
                .wrapping_sub(codec::head_sum(page, head))
                .wrapping_add(codec::head_sum(page, last));
            let action = Action::Append { page, first: head + 1, entries };
            self.accept(writer, Kind::Append, &body, sum, action);
            self.heads.insert(page, last);
        }
        self.answers.push((Answer::Append(reply, Revision(last)), permit));
        Ok(())
    }

    pub fn change(
        &mut self,
        writer: &Writer,
        changes: Vec<Change>,
        (reply, permit): (Reply<bool>, Permit),
    ) -> Result<(), StoreError> {
        let mut sum = self.sum(writer);
        let mut mine: HashMap<Key, Option<Vec<u8>>> = HashMap::new();
        let mut made = true;
        for change in &changes {
            let space = change.table.space();
            let key = (space, change.key.clone());
            let now = match mine.get(&key).or_else(|| self.records.get(&key)) {
                Some(value) => value.clone(),
                None => writer.applier.kv.get(space, &change.key)?,
            };
            made = match &change.expect {
                Expect::Anything => true,
                Expect::Absent => now.is_none(),
                Expect::Exactly(bytes) => now.as_ref() == Some(bytes),
            };
            if !made {
                break;
            }
            if let Some(now) = now {
                sum = sum.wrapping_sub(codec::record_sum(space, &change.key, &now));
            }
            if let Some(value) = &change.value {
                sum = sum.wrapping_add(codec::record_sum(space, &change.key, value));
            }
            mine.insert(key, change.value.clone());
        }
        if made && !changes.is_empty() {
            let mut body = Vec::new();
            codec::put_changes(&mut body, &changes);
            let writes = changes
                .into_iter()
                .map(|change| Write { table: change.table, key: change.key, value: change.value })
                .collect();
            self.accept(writer, Kind::Change, &body, sum, Action::Change(writes));
            self.records.extend(mine);
        }
        self.answers.push((Answer::Change(reply, made), permit));
        Ok(())
    }

    /// Makes a synced group visible.
    pub fn apply(mut self, applier: &mut Applier) -> Result<Self, StoreError> {
        for Accepted { action, from, to, sum, crc } in self.accepted.drain(..) {
            match action {
                Action::Append { page, first, entries } => {
                    applier.append(from, page, first, entries)?;
                }
                Action::Change(writes) => applier.change(&writes)?,
            }
            applier.advance(to, sum, crc);
        }
        Ok(self)
    }

    /// Tells everybody.
    pub fn answer(self) {
        for (answer, _permit) in self.answers {
            answer.give();
        }
    }

    /// Tells everybody that the disk is full.
    pub fn refuse(self) {
        for (answer, _permit) in self.answers {
            answer.refuse(StoreError::DiskFull);
        }
    }

    /// Tells everybody that too many files are open.
    pub fn refuse_crowded(self) {
        for (answer, _permit) in self.answers {
            answer.refuse(StoreError::Crowded);
        }
    }

    fn sum(&self, writer: &Writer) -> u64 {
        if self.accepted.is_empty() { writer.applier.sum } else { self.sum }
    }

    fn accept(&mut self, writer: &Writer, kind: Kind, body: &[u8], sum: u64, action: Action) {
        let group = writer.journal.end();
        let from = group + self.bytes.len() as u64;
        let prev = if self.accepted.is_empty() { writer.journal.prev() } else { self.prev };
        let frame = Frame { prev, group, sum, kind };
        self.prev = record::put(&mut self.bytes, writer.journal.store(), from, &frame, body);
        self.sum = sum;
        let to = group + self.bytes.len() as u64;
        self.accepted.push(Accepted { action, from, to, sum, crc: self.prev });
    }
}
