//! Finding every character that was ever part of a text, or that somebody wrote.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::weave::Weave;
use crate::live::gate::{Content, Contents};
use crate::page::Revision;

/// Characters by client and clock, as ranges (client, first clock, clock behind the last).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::live) struct Ids(Vec<(u64, u32, u32)>);

impl Ids {
    fn push(&mut self, client: u64, start: u32, end: u32) {
        match self.0.last_mut() {
            Some(last) if last.0 == client && (last.1..=last.2).contains(&start) => {
                last.2 = last.2.max(end);
            }
            _ => self.0.push((client, start, end)),
        }
    }

    /// Puts them in order, each once.
    fn settle(&mut self) {
        self.0.sort_unstable();
        let mut settled = Self::default();
        for &(client, start, end) in &self.0 {
            settled.push(client, start, end);
        }
        *self = settled;
    }

    /// Whether a character is among them. They are in order.
    pub(in crate::live) fn covers(&self, client: u64, clock: u64) -> bool {
        let Ok(clock) = u32::try_from(clock) else { return false };
        let after = self.0.partition_point(|&(other, start, _)| (other, start) <= (client, clock));
        let found = after.checked_sub(1).map(|at| self.0[at]);
        found.is_some_and(|(other, _, end)| other == client && clock < end)
    }

    pub(in crate::live) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// UTF-16 units.
    pub(in crate::live) fn units(&self) -> u64 {
        self.0.iter().map(|(_, start, end)| u64::from(end - start)).sum()
    }

    /// An update that deletes them. They are in order.
    pub(in crate::live) fn deletion(&self) -> Vec<u8> {
        let mut clients: BTreeMap<u64, Vec<(u32, u32)>> = BTreeMap::new();
        for &(client, start, end) in &self.0 {
            clients.entry(client).or_default().push((start, end));
        }
        let mut out = vec![0];
        put(&mut out, clients.len() as u64);
        for (client, ranges) in clients {
            put(&mut out, client);
            put(&mut out, ranges.len() as u64);
            for (start, end) in ranges {
                put(&mut out, start.into());
                put(&mut out, (end - start).into());
            }
        }
        out
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Goes through a page's life.
pub(in crate::live) struct Finder {
    /// UTF-16; empty when nothing is looked for by its text.
    pattern: Vec<u16>,
    weave: Weave,
    /// What each client wrote last, shorter than the text.
    last: HashMap<u64, Typed>,
    ids: Ids,
    revision: u32,
}

/// Units that a client wrote one after the other.
#[derive(Default)]
struct Typed {
    /// The clock behind them.
    next: u32,
    units: Vec<u16>,
}

impl Finder {
    /// Looks for every moment at which a text was to be read. Besides for what one client wrote one
    /// after the other, since it was to be read where it was written, even if somebody else's
    /// character came between.
    pub(in crate::live) fn new(text: &str) -> Self {
        Self {
            pattern: text.encode_utf16().collect(),
            weave: Weave::default(),
            last: HashMap::new(),
            ids: Ids::default(),
            revision: 0,
        }
    }

    /// Takes in the next update of the log; with `all`, everything that it brought is found. False
    /// when it cannot be read.
    pub(in crate::live) fn add(&mut self, update: &[u8], all: bool) -> bool {
        self.revision += 1;
        let Ok(contents) = Contents::read(update) else { return false };
        self.read(&contents, all);
        if self.weave.apply(update, self.revision) && !self.pattern.is_empty() {
            let mut found = Vec::new();
            self.weave.appeared((&contents, self.revision), &self.pattern, &mut found);
            for (client, clock) in found {
                self.ids.push(client, clock, clock + 1);
            }
        }
        true
    }

    /// Looks at what is written in an update, wherever it belongs.
    fn read(&mut self, contents: &Contents<'_>, all: bool) {
        let Self { pattern, last, ids, .. } = self;
        let mut begin = 0;
        for &(client, end) in &contents.sections {
            let typed = last.entry(client).or_default();
            for (one, after) in &contents.structs[begin..end] {
                if one.clock != typed.next {
                    typed.units.clear();
                }
                typed.next = *after;
                let Content::Text(text) = one.content else {
                    typed.units.clear();
                    continue;
                };
                if all {
                    ids.push(client, one.clock, *after);
                }
                if pattern.is_empty() {
                    continue;
                }
                typed.units.extend(text.encode_utf16());
                let first = after - typed.units.len() as u32;
                for (at, window) in typed.units.windows(pattern.len()).enumerate() {
                    if window == pattern.as_slice() {
                        let start = first + at as u32;
                        ids.push(client, start, start + pattern.len() as u32);
                    }
                }
                let keep = pattern.len() - 1;
                typed.units.drain(..typed.units.len().saturating_sub(keep));
            }
            begin = end;
        }
    }

    /// What was found, what of it can be read now, and the first revision that has some of it (the
    /// last one when none has).
    pub(in crate::live) fn finish(mut self) -> (Ids, Ids, Revision) {
        self.ids.settle();
        let mut alive = Ids::default();
        for &(client, start, end) in &self.ids.0 {
            for (start, end) in self.weave.alive(client, (start, end)) {
                alive.push(client, start, end);
            }
        }
        let first = self
            .ids
            .0
            .iter()
            .map(|&(client, start, end)| self.weave.born(client, (start, end)).unwrap_or(0));
        let first = Revision(first.min().unwrap_or(self.revision).into());
        (self.ids, alive, first)
    }
}
