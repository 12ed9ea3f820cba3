//! The update gate: decides on a Yjs update before anything decodes it.
//!
//! Decoding a hostile update can kill the process (a stack overflow is no panic), silence another
//! author for ever (a clock far ahead) or make browsers and server show different texts (a gap, a
//! split surrogate pair). So this module reads the wire format itself: total for any input,
//! without recursion and without trusting a declared length, and lets only through what typing in
//! a page of text can produce.
//!
//! A room keeps one [`GateState`] beside its document and calls, in this order and under one lock,
//! [`GateState::check`], the log, the document, [`GateState::accept`].

mod check;
mod ranges;
mod wire;

use std::collections::BTreeMap;

use self::ranges::Ranges;
pub(in crate::live) use self::wire::{Content, Contents, Deletion, Id, Struct};

/// Why an update is refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over a size or count limit.
    #[error("the update is too large: {0}")]
    TooLarge(&'static str),
    /// Not a v1 update, or of a kind that a text page never needs.
    #[error("the update is broken: {0}")]
    Broken(&'static str),
    /// Structs under a client id that was not issued to the sender.
    #[error("the update writes as client {0}, which belongs to somebody else")]
    Forged(u64),
    /// Starts before or after the next clock of that client, so part of it is known or missing.
    #[error("the update of client {client} starts at {found}, expected {expected}")]
    Behind {
        /// Client id.
        client: u64,
        /// Next clock here.
        expected: u32,
        /// First clock of the update.
        found: u32,
    },
    /// Refers to something that is not known here.
    #[error("the update depends on something unknown")]
    Missing,
}

/// What the gate found in an update that may pass.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Passed {
    /// Everything in it was known already: answer as saved, apply nothing.
    pub known: bool,
    /// UTF-16 units of text inserted by it (an upper bound for growth).
    pub inserted: u64,
    /// UTF-8 bytes of text inserted by it.
    pub inserted_bytes: u64,
    /// New structs. Placing one can take as long as the page has structs, so what has more than
    /// [`MANY_STRUCTS`] is to be tried on a copy first
    /// ([`Document::text_after`](crate::live::document::Document::text_after)).
    pub structs: u64,
}

/// More new structs than any burst of typing has. A thousand on top of a thousand at the same
/// place cost yrs (and every browser) 0.1 s, 20,000 on top of 20,000 take 44 s.
pub const MANY_STRUCTS: u64 = 100;

/// Cuts an update that has passed into small ones of at most `structs` structs, to be applied in
/// this order. `None` when it cannot be read.
#[must_use]
pub fn slices(update: &[u8], structs: u64) -> Option<Vec<Vec<u8>>> {
    wire::slices(update, structs.max(1))
}

/// How large an update may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole update.
    pub bytes: usize,
    /// Clients that write in it. Deletions may touch the text of any number of clients.
    pub clients: usize,
    /// Structs of all clients together.
    pub structs: usize,
    /// Deleted ranges of all clients together.
    pub deletions: usize,
    /// Whether references between structs are looked at.
    origins: bool,
}

impl Limits {
    /// What a browser may send: far more than a burst of typing or a large paste, and little
    /// enough that yrs applies it within milliseconds.
    pub const BROWSER: Self =
        Self { bytes: 256 * 1024, clients: 4, structs: 20_000, deletions: 50_000, origins: true };

    /// What this server makes itself of a form or a `PUT`: up to a page of 1 MiB in which every
    /// other word changed. All other rules hold as well.
    pub const SERVER: Self = Self {
        bytes: 16 * 1024 * 1024,
        clients: 1,
        structs: 1_000_000,
        deletions: 1_000_000,
        origins: true,
    };

    /// A document of any size that comes from our own store.
    const TRUSTED: Self = Self {
        bytes: usize::MAX,
        clients: usize::MAX,
        structs: usize::MAX,
        deletions: usize::MAX,
        origins: false,
    };
}

/// What is known of a document: enough to judge an update without decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateState {
    clients: BTreeMap<u64, Client>,
}

/// What is known of one client. The three sets are empty for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Client {
    /// All clocks below are known.
    next: u32,
    /// Clocks of low surrogates in text that is not deleted, ascending: nothing may come or end
    /// right before them.
    lows: Vec<u32>,
    /// Clocks that are deleted.
    deleted: Ranges,
    /// Clocks that arrived without content or place. Yjs drops what is put beside them and yrs
    /// does not always, so nothing may be.
    collected: Ranges,
}

impl GateState {
    /// Reads a trusted full state (v1, as `encode_state_as_update_v1` against an empty vector), of
    /// any size.
    ///
    /// # Errors
    ///
    /// [`Refusal::Broken`] or [`Refusal::TooLarge`] (a clock) when it is not such a state.
    pub fn from_state(state: &[u8]) -> Result<Self, Refusal> {
        let update = wire::Update::read(state, &Limits::TRUSTED)?;
        if update.sections.iter().any(|section| section.start != 0) {
            return Err(Refusal::Broken("a state with a gap"));
        }
        let mut gate = Self::default();
        gate.record(update);
        Ok(gate)
    }

    /// Judges an update whose sender owns the client ids for which `owns` is true. Changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// The first reason found why it may not pass; a foreign client id comes before anything that
    /// depends on what is known here.
    pub fn check(&self, update: &[u8], owns: &dyn Fn(u64) -> bool) -> Result<Passed, Refusal> {
        self.check_with(update, owns, &Limits::BROWSER)
    }

    /// [`check`](Self::check) with other limits, for updates that this server made.
    ///
    /// # Errors
    ///
    /// As `check`.
    pub fn check_with(
        &self,
        update: &[u8],
        owns: &dyn Fn(u64) -> bool,
        limits: &Limits,
    ) -> Result<Passed, Refusal> {
        check::judge(self, &wire::Update::read(update, limits)?, owns)
    }

    /// Records an update that has passed `check` against this very state. What has not passed
    /// leaves no gap: an update that cannot be read is ignored, and so are the clients that do not
    /// go on at their next clock.
    pub fn accept(&mut self, update: &[u8]) {
        if let Ok(update) = wire::Update::read(update, &Limits::TRUSTED) {
            self.record(update);
        }
    }

    /// The next clock of a client (0 when it has written nothing).
    #[must_use]
    pub fn next_clock(&self, client: u64) -> u32 {
        self.clients.get(&client).map_or(0, |client| client.next)
    }

    /// Every client that has written, ascending, with its next clock.
    pub fn next_clocks(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.clients.iter().map(|(&client, known)| (client, known.next))
    }

    fn record(&mut self, update: wire::Update) {
        for section in update.sections {
            let client = self.clients.entry(section.client).or_default();
            if section.start != client.next {
                continue;
            }
            client.next = section.end;
            client.lows.extend(section.lows);
            client.deleted.extend(section.deleted.as_slice());
            client.collected.extend(section.collected.as_slice());
        }
        for deletions in update.deletions.chunk_by(|one, next| one.client == next.client) {
            if let Some(client) = self.clients.get_mut(&deletions[0].client) {
                client.delete(deletions);
            }
        }
    }
}

impl Client {
    /// Deletes sorted ranges. Each step is linear in what is known, whatever the ranges are.
    fn delete(&mut self, deletions: &[Deletion]) {
        let ranges: Vec<_> = deletions
            .iter()
            .map(|deletion| (deletion.start, deletion.end.min(self.next)))
            .filter(|(start, end)| start < end)
            .collect();
        self.deleted.extend(&ranges);
        let (Some(&(start, _)), Some(&(_, end))) = (ranges.first(), ranges.last()) else { return };
        let first = self.lows.partition_point(|&low| low < start);
        if self.lows.get(first).is_some_and(|&low| low < end) {
            let mut rest = ranges.iter().copied().peekable();
            self.lows.retain(|&low| {
                while rest.next_if(|&(_, end)| end <= low).is_some() {}
                rest.peek().is_none_or(|&(start, _)| low < start)
            });
        }
    }
}
