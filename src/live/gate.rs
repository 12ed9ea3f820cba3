//! The update gate: decides on a Yjs update before anything decodes it.
//!
//! STUB: signatures only, to be replaced by the real module.

use std::collections::BTreeMap;

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
}

/// What is known of a document: enough to judge an update without decoding it.
#[derive(Clone, Debug, Default)]
pub struct GateState {
    _clients: BTreeMap<u64, u32>,
}

#[expect(clippy::unimplemented, unused_variables, reason = "stub")]
impl GateState {
    /// Reads a trusted full state (v1, as `encode_state_as_update_v1` against an empty vector).
    pub fn from_state(state: &[u8]) -> Result<Self, Refusal> {
        unimplemented!()
    }

    /// Judges an update whose sender owns the client ids for which `owns` is true. Changes nothing.
    pub fn check(&self, update: &[u8], owns: &dyn Fn(u64) -> bool) -> Result<Passed, Refusal> {
        unimplemented!()
    }

    /// x
    pub fn check_within(
        &self,
        update: &[u8],
        owns: &dyn Fn(u64) -> bool,
        limits: &Limits,
    ) -> Result<Passed, Refusal> {
        unimplemented!()
    }
    /// x
    pub fn first_client(&self, update: &[u8]) -> u64 {
        unimplemented!()
    }

    /// Records an update that has passed `check` against this very state.
    pub fn accept(&mut self, update: &[u8]) {
        unimplemented!()
    }

    /// The next clock of a client (0 when it has written nothing).
    pub fn next_clock(&self, client: u64) -> u32 {
        unimplemented!()
    }
}

/// x
pub struct Limits;
impl Limits {
    /// x
    pub const BROWSER: Self = Self;
    /// x
    pub const SERVER: Self = Self;
}
