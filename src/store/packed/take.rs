//! Entries out of columns. Total: columns that nobody wrote give `None`.

use super::super::LogEntry;
use super::super::codec::Reader;
use super::columns::Columns;
use super::model::Model;
use super::update::{self, Content, Id, Range, Section, Struct, Update, number};
use super::*;

/// Gives entries in their order.
pub(super) struct Taker<'a> {
    columns: [Reader<'a>; COLUMNS],
    model: Model,
}

impl<'a> Taker<'a> {
    pub fn new(columns: &'a Columns) -> Self {
        Self { columns: columns.each_ref().map(|column| Reader(column)), model: Model::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.columns.iter().all(Reader::is_empty)
    }

    pub fn entry(&mut self) -> Option<LogEntry> {
        let form = self.column(Column::Forms).u8()?;
        if form & FORM_AUTHOR != 0 {
            let author = usize::try_from(self.number(Column::Authors)?).ok()?;
            if author == self.model.authors.len() {
                let name = self.column(Column::Authors).text()?;
                self.model.meet_author(name);
            }
            self.model.author = author;
        }
        let author = self.model.authors.get(self.model.author)?.name.clone();
        let low = u64::from(self.column(Column::TimeLow).u8()?);
        let passed = unzigzag(self.number(Column::TimeHigh)? << 8 | low);
        self.model.at_ms = self.model.at_ms.wrapping_add(passed);
        let op =
            if form & FORM_OP == 0 { String::new() } else { self.column(Column::Ops).text()? };
        let update = match form & FORM_KIND {
            FORM_RAW => self.column(Column::Raw).bytes()?.to_vec(),
            kind => update::write(&self.update(kind)?),
        };
        Some(LogEntry { at_ms: self.model.at_ms, author, op, update })
    }

    fn update(&mut self, kind: u8) -> Option<Update<'a>> {
        let mut update = Update::default();
        if kind == FORM_ONE {
            let flags = self.column(Column::Flags).u8()?;
            let (client, mut section) = self.section(flags)?;
            section.structs.push(self.one(client, flags)?);
            update.sections.push(section);
            return Some(update);
        }
        if kind == FORM_ERASE {
            let flags = self.column(Column::Flags).u8()?;
            let expected = self.model.authors.get(self.model.author)?.victim;
            let client = self.client(flags, expected)?;
            self.model.authors.get_mut(self.model.author)?.victim = client;
            let range = self.range(client, flags)?;
            update.deletes.push((self.model.clients.get(client)?.id, vec![range]));
            return Some(update);
        }
        // Every section, struct and range costs a byte of the flags, so the loops end with them.
        for _ in 0..self.number(Column::Counts)? {
            let flags = self.column(Column::Flags).u8()?;
            let (client, mut section) = self.section(flags)?;
            for _ in 0..self.number(Column::Counts)? {
                let flags = self.column(Column::Flags).u8()?;
                section.structs.push(self.one(client, flags)?);
            }
            update.sections.push(section);
        }
        for _ in 0..self.number(Column::Counts)? {
            let flags = self.column(Column::Flags).u8()?;
            let client = self.client(flags, usize::MAX)?;
            let mut ranges = Vec::new();
            for _ in 0..self.number(Column::Counts)? {
                let flags = self.column(Column::Flags).u8()?;
                ranges.push(self.range(client, flags)?);
            }
            update.deletes.push((self.model.clients.get(client)?.id, ranges));
        }
        Some(update)
    }

    fn section(&mut self, flags: u8) -> Option<(usize, Section<'a>)> {
        let expected = self.model.authors.get(self.model.author)?.client;
        let number = self.client(flags, expected)?;
        self.model.authors.get_mut(self.model.author)?.client = number;
        if flags & FLAG_CLOCK != 0 {
            let clock = self.number(Column::Clocks)?;
            self.model.clients.get_mut(number)?.next = clock;
        }
        let known = self.model.clients.get(number)?;
        Some((number, Section { client: known.id, clock: known.next, structs: Vec::new() }))
    }

    fn client(&mut self, flags: u8, expected: usize) -> Option<usize> {
        if flags & FLAG_CLIENT == 0 { Some(expected) } else { self.read_client() }
    }

    fn read_client(&mut self) -> Option<usize> {
        let found = usize::try_from(self.number(Column::Clients)?).ok()?;
        if found < self.model.clients.len() {
            return Some(found);
        }
        if found > self.model.clients.len() {
            return None;
        }
        let id = self.number(Column::Clients)?;
        Some(self.model.meet(id))
    }

    fn one(&mut self, client: usize, flags: u8) -> Option<Struct<'a>> {
        let known = *self.model.clients.get(client)?;
        let origin = match flags >> ORIGIN_SHIFT & 3 {
            NOBODY => None,
            USUAL => Some(Id { client: known.id, clock: known.next.wrapping_sub(1) }),
            OTHER => Some(self.id()?),
            _ => return None,
        };
        let right = match flags >> RIGHT_SHIFT & 3 {
            NOBODY => None,
            USUAL => known.right,
            OTHER => Some(self.id()?),
            _ => origin.map(|id| Id { clock: id.clock.wrapping_add(1), ..id }),
        };
        let content = match flags >> CONTENT_SHIFT {
            ONE_CHARACTER => {
                let text = self.column(Column::Text);
                let bytes = match *text.0.first()? {
                    ..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0.. => 4,
                };
                Content::Text(std::str::from_utf8(text.take(bytes)?).ok()?)
            }
            TEXT => {
                let length = usize::try_from(self.number(Column::Counts)?).ok()?;
                Content::Text(std::str::from_utf8(self.column(Column::Text).take(length)?).ok()?)
            }
            DELETED => Content::Deleted(self.number(Column::Counts)?),
            _ => Content::Collected(self.number(Column::Counts)?),
        };
        let known = self.model.clients.get_mut(client)?;
        known.next = known.next.wrapping_add(content.length());
        known.right = right;
        Some(Struct { origin, right, content })
    }

    fn id(&mut self) -> Option<Id> {
        let client = self.read_client()?;
        let clock = self.number(Column::Clocks)?;
        Some(Id { client: self.model.clients.get(client)?.id, clock })
    }

    fn range(&mut self, client: usize, flags: u8) -> Option<Range> {
        let known = *self.model.clients.get(client)?;
        let length = if flags & FLAG_LENGTH == 0 { 1 } else { self.number(Column::Counts)? };
        let place = flags >> PLACE_SHIFT & 3;
        let clock = if place == ELSEWHERE {
            known.deleted.clock.wrapping_add(unzigzag(self.number(Column::Clocks)?))
        } else {
            known.expected(length)[usize::from(place)]
        };
        let range = Range { clock, length };
        self.model.clients.get_mut(client)?.deleted = range;
        Some(range)
    }

    fn number(&mut self, column: Column) -> Option<u64> {
        number(self.column(column))
    }

    fn column(&mut self, column: Column) -> &mut Reader<'a> {
        &mut self.columns[column as usize]
    }
}
