//! Entries into columns.

use super::super::LogEntry;
use super::super::codec::put_bytes;
use super::columns::Columns;
use super::model::Model;
use super::update::{self, Content, Id, Range, Section, Struct, Update, put};
use super::*;

/// Takes entries in their order.
#[derive(Default)]
pub(super) struct Writer {
    pub columns: Columns,
    model: Model,
}

impl Writer {
    pub fn put(&mut self, entry: &LogEntry) {
        let mut form = 0;
        let author = self.model.find_author(&entry.author);
        if author != Some(self.model.author) || self.model.authors.is_empty() {
            form |= FORM_AUTHOR;
            self.model.author = match author {
                Some(author) => {
                    self.number(Column::Authors, author as u64);
                    author
                }
                None => {
                    self.number(Column::Authors, self.model.authors.len() as u64);
                    put_bytes(self.column(Column::Authors), entry.author.as_bytes());
                    self.model.meet_author(entry.author.clone())
                }
            };
        }
        let passed = zigzag(entry.at_ms.wrapping_sub(self.model.at_ms));
        self.model.at_ms = entry.at_ms;
        self.column(Column::TimeLow).push(passed as u8);
        self.number(Column::TimeHigh, passed >> 8);
        if !entry.op.is_empty() && !is_random(&entry.op) {
            form |= FORM_OP;
            put_bytes(self.column(Column::Ops), entry.op.as_bytes());
        }
        let understood = update::read(&entry.update);
        form |= match understood.filter(|update| update::write(update) == entry.update) {
            None => {
                put_bytes(self.column(Column::Raw), &entry.update);
                FORM_RAW
            }
            Some(update) => self.update(&update),
        };
        self.column(Column::Forms).push(form);
    }

    fn update(&mut self, update: &Update<'_>) -> u8 {
        match (&update.sections[..], &update.deletes[..]) {
            ([Section { client, clock, structs }], []) if structs.len() == 1 => {
                let (number, head) = self.section(*client, *clock);
                self.one(number, &structs[0], head);
                FORM_ONE
            }
            ([], [(client, ranges)]) if ranges.len() == 1 => {
                let expected = self.model.authors[self.model.author].victim;
                let (number, flag) = self.client(*client, expected);
                self.model.authors[self.model.author].victim = number;
                self.range(number, ranges[0], flag);
                FORM_ERASE
            }
            (sections, deletes) => {
                self.number(Column::Counts, sections.len() as u64);
                for section in sections {
                    let (number, head) = self.section(section.client, section.clock);
                    self.column(Column::Flags).push(head);
                    self.number(Column::Counts, section.structs.len() as u64);
                    for one in &section.structs {
                        self.one(number, one, 0);
                    }
                }
                self.number(Column::Counts, deletes.len() as u64);
                for (client, ranges) in deletes {
                    let (number, flag) = self.client(*client, usize::MAX);
                    self.column(Column::Flags).push(flag);
                    self.number(Column::Counts, ranges.len() as u64);
                    for range in ranges {
                        self.range(number, *range, 0);
                    }
                }
                FORM_ANY
            }
        }
    }

    /// Number of the client, and flags.
    fn section(&mut self, client: u64, clock: u64) -> (usize, u8) {
        let expected = self.model.authors[self.model.author].client;
        let (number, mut flags) = self.client(client, expected);
        self.model.authors[self.model.author].client = number;
        if self.model.clients[number].next != clock {
            flags |= FLAG_CLOCK;
            self.number(Column::Clocks, clock);
            self.model.clients[number].next = clock;
        }
        (number, flags)
    }

    fn client(&mut self, client: u64, expected: usize) -> (usize, u8) {
        let found = self.model.find(client);
        match found {
            Some(found) if found == expected => (found, 0),
            _ => (self.write_client(client), FLAG_CLIENT),
        }
    }

    fn write_client(&mut self, client: u64) -> usize {
        if let Some(found) = self.model.find(client) {
            self.number(Column::Clients, found as u64);
            return found;
        }
        self.number(Column::Clients, self.model.clients.len() as u64);
        self.number(Column::Clients, client);
        self.model.meet(client)
    }

    fn one(&mut self, client: usize, one: &Struct<'_>, head: u8) {
        let known = self.model.clients[client];
        let before = Id { client: known.id, clock: known.next.wrapping_sub(1) };
        let mut flags = head;
        let origin = match one.origin {
            None => NOBODY,
            Some(id) if id == before => USUAL,
            Some(id) => {
                self.id(id);
                OTHER
            }
        };
        flags |= origin << ORIGIN_SHIFT;
        let behind = one.origin.map(|id| Id { clock: id.clock.wrapping_add(1), ..id });
        let right = match one.right {
            None => NOBODY,
            right if right == known.right => USUAL,
            right if right == behind => BEHIND,
            Some(id) => {
                self.id(id);
                OTHER
            }
        };
        flags |= right << RIGHT_SHIFT;
        let content = match one.content {
            Content::Text(text) => {
                self.column(Column::Text).extend_from_slice(text.as_bytes());
                let mut characters = text.chars();
                if characters.next().is_some() && characters.next().is_none() {
                    ONE_CHARACTER
                } else {
                    self.number(Column::Counts, text.len() as u64);
                    TEXT
                }
            }
            Content::Deleted(length) => {
                self.number(Column::Counts, length);
                DELETED
            }
            Content::Collected(length) => {
                self.number(Column::Counts, length);
                COLLECTED
            }
        };
        flags |= content << CONTENT_SHIFT;
        self.column(Column::Flags).push(flags);
        let known = &mut self.model.clients[client];
        known.next = known.next.wrapping_add(one.content.length());
        known.right = one.right;
    }

    fn id(&mut self, id: Id) {
        self.write_client(id.client);
        self.number(Column::Clocks, id.clock);
    }

    fn range(&mut self, client: usize, range: Range, head: u8) {
        let mut flags = head;
        let expected = self.model.clients[client].expected(range.length);
        let place = match expected.iter().position(|clock| *clock == range.clock) {
            Some(place) => place as u8,
            None => {
                let last = self.model.clients[client].deleted.clock;
                self.number(Column::Clocks, zigzag(range.clock.wrapping_sub(last)));
                ELSEWHERE
            }
        };
        flags |= place << PLACE_SHIFT;
        if range.length != 1 {
            flags |= FLAG_LENGTH;
            self.number(Column::Counts, range.length);
        }
        self.column(Column::Flags).push(flags);
        self.model.clients[client].deleted = range;
    }

    fn number(&mut self, column: Column, number: u64) {
        put(self.column(column), number);
    }

    fn column(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.columns[column as usize]
    }
}
