//! One page's text as a CRDT: the only code that knows yrs.
//!
//! STUB: signatures only, to be replaced by the real module.

use crate::live::gate::Refusal;

/// What cannot be done with a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// yrs refused or panicked; the document must be dropped and loaded again.
    #[error("the update could not be applied: {0}")]
    Apply(String),
    /// A state that does not decode.
    #[error("the state could not be read: {0}")]
    State(String),
    /// The gate refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// One place where two people changed the same words: both are kept in the text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    /// What it was before.
    pub base: String,
    /// What others made of it meanwhile (stays first).
    pub theirs: String,
    /// What this edit made of it (put right after).
    pub yours: String,
}

/// An edit of the current text as a Yjs update.
#[derive(Clone, Debug)]
pub struct TextEdit {
    /// v1 update, empty when nothing changes.
    pub update: Vec<u8>,
    /// Where both sides changed the same words.
    pub conflicts: Vec<Conflict>,
}

/// A page's document. Offsets are UTF-16; the root text is `body`.
pub struct Document {}

#[expect(clippy::unimplemented, unused_variables, reason = "stub")]
impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        unimplemented!()
    }

    /// Loads a trusted state (snapshot).
    pub fn from_state(state: &[u8]) -> Result<Self, DocumentError> {
        unimplemented!()
    }

    /// Applies an update that has passed the gate. A panic inside yrs is caught and is an error.
    pub fn apply(&mut self, update: &[u8]) -> Result<(), DocumentError> {
        unimplemented!()
    }

    /// The text now.
    #[must_use]
    pub fn text(&self) -> String {
        unimplemented!()
    }

    /// Everything after a state vector (v1, both), or all with `None`.
    pub fn diff(&self, state_vector: Option<&[u8]>) -> Result<Vec<u8>, DocumentError> {
        unimplemented!()
    }

    /// The state vector, v1.
    #[must_use]
    pub fn state_vector(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Three-way merge: what `yours` changed against `base` becomes an update of the current text,
    /// written under `client` (a fresh id with no clock yet). Changes nothing here.
    pub fn merge(&self, base: &str, yours: &str, client: u32) -> Result<TextEdit, DocumentError> {
        unimplemented!()
    }
}

/// FNV-1a, 32 bit, over the UTF-16 code units of `text` (low byte first) and their number.
#[must_use]
pub fn text_hash(text: &str) -> (u32, u64) {
    let mut hash = 0x811c_9dc5_u32;
    let mut length = 0;
    for unit in text.encode_utf16() {
        for byte in unit.to_le_bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        length += 1;
    }
    (hash, length)
}
