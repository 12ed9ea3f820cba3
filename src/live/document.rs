//! One page's text as a CRDT: the only code that knows yrs.
//!
//! Nothing here judges an update: what reaches [`Document::apply`] has passed the
//! [gate](crate::live::gate), which is what makes decoding it safe. Panics of yrs are caught all
//! the same, since they must cost one page a reload and not everybody the server.

mod diff;
mod merge;
mod replica;
mod state_vector;
mod tokens;

use std::sync::OnceLock;
use std::time::Duration;

use self::replica::Replica;
use crate::live::gate::Refusal;

/// How long an update may take to apply. Real ones of the largest size take some 20 ms.
const REHEARSAL_TIME: Duration = Duration::from_secs(1);

/// What cannot be done with a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// yrs refused or panicked; the document must be dropped and loaded again.
    #[error("the update could not be applied: {0}")]
    Apply(String),
    /// A state or a state vector that does not decode.
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
    /// What others made of it meanwhile (stays first). Empty when they deleted it.
    pub theirs: String,
    /// What this edit made of it (put right after). Empty when it deleted it: then it stays.
    pub yours: String,
}

/// An edit of the current text as a Yjs update.
#[derive(Clone, Debug)]
pub struct TextEdit {
    /// v1 update, empty when nothing changes. It may be larger than what a browser may send:
    /// check it with [`Limits::SERVER`](crate::live::gate::Limits::SERVER).
    pub update: Vec<u8>,
    /// Where both sides changed the same words.
    pub conflicts: Vec<Conflict>,
    /// The text after it.
    pub text: String,
}

/// A page's document. Offsets are UTF-16; the root text is `body`.
///
/// After an error of [`apply`](Self::apply) it is [broken](Self::is_broken): every other call
/// fails, too, until it is dropped and loaded again.
pub struct Document {
    /// `None` when broken.
    replica: Option<Replica>,
    /// The text, once somebody has asked for it after the last update.
    text: OnceLock<String>,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self { replica: Some(Replica::new(None)), text: OnceLock::new() }
    }

    /// Loads a trusted state (snapshot).
    ///
    /// # Errors
    ///
    /// [`DocumentError::State`] when it is damaged or not complete in itself.
    pub fn from_state(state: &[u8]) -> Result<Self, DocumentError> {
        let replica = Replica::load(state, None)?;
        Ok(Self { replica: Some(replica), text: OnceLock::new() })
    }

    /// Applies an update that has passed the gate. A panic inside yrs is caught and is an error.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Apply`]: the update does not decode, does not fit, or leaves something
    /// pending. The document is broken then.
    pub fn apply(&mut self, update: &[u8]) -> Result<(), DocumentError> {
        let replica = self.replica.take().ok_or_else(broken)?;
        self.replica = Some(replica.apply(update)?);
        self.text.take();
        Ok(())
    }

    /// Whether an update failed half-way, so that this document must be loaded again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.replica.is_none()
    }

    /// The text now. Of a broken document: the last text that was read from it.
    #[must_use]
    pub fn text(&self) -> String {
        self.as_str().to_owned()
    }

    /// [`text`](Self::text) without a copy; computed once after each update.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.get_or_init(|| self.replica.as_ref().map_or_else(String::new, Replica::text))
    }

    /// The text after an update that has passed the gate, found on a copy: exact where the
    /// gate's `inserted_bytes` are only an upper bound, and a rehearsal for updates of
    /// [many structs](crate::live::gate::MANY_STRUCTS), which can be made such that yrs and every
    /// browser work on them for minutes. Costs a reload of the document. The size is exact; for an
    /// update that no editor would make, the order of what it inserts may differ from `apply`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] when applying it takes more than about a second; else as
    /// [`apply`](Self::apply), but this document stays as it is.
    pub fn text_after(&self, update: &[u8]) -> Result<String, DocumentError> {
        let copy = Replica::load(&self.diff(None)?, None)?;
        Ok(copy.rehearse(update, REHEARSAL_TIME)?.text())
    }

    /// Everything after a state vector (v1, both), or all with `None`. The vector may be any
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`DocumentError::State`] when the bytes are no state vector.
    pub fn diff(&self, state_vector: Option<&[u8]>) -> Result<Vec<u8>, DocumentError> {
        let known = match state_vector {
            None => yrs::StateVector::default(),
            Some(bytes) => state_vector::read(bytes)
                .ok_or_else(|| DocumentError::State("not a state vector".to_owned()))?,
        };
        self.replica.as_ref().ok_or_else(broken)?.diff(&known)
    }

    /// The state vector, v1. Of a broken document: that of an empty one.
    #[must_use]
    pub fn state_vector(&self) -> Vec<u8> {
        self.replica.as_ref().map_or_else(|| vec![0], Replica::state_vector)
    }

    /// Three-way merge: what `yours` changed against `base` becomes an update of the current text,
    /// written under `client` (a fresh id with no clock yet). Changes nothing here. Line ends are
    /// text like any other.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Apply`] when the edit cannot be made (a bug here or in yrs), and those of
    /// a broken document.
    pub fn merge(&self, base: &str, yours: &str, client: u32) -> Result<TextEdit, DocumentError> {
        let current = self.as_str();
        let merge::Merged { edits, conflicts } = merge::merge(base, current, yours);
        if edits.is_empty() {
            return Ok(TextEdit { update: Vec::new(), conflicts, text: current.to_owned() });
        }
        let text = merge::apply(current, &edits);
        let scratch = Replica::load(&self.diff(None)?, Some(client))?;
        let (update, written) = scratch.edit(current, &edits)?;
        if written != text {
            return Err(DocumentError::Apply("the merged text came out differently".to_owned()));
        }
        Ok(TextEdit { update, conflicts, text })
    }
}

/// Whether a merge of `yours`, made from `base`, need not be made again: `texts` are the page's
/// before the first merge, after it and now. Its conflicts when some of what it inserted still
/// stands; `None` when all has been taken out since, or when it only deleted, which may be
/// repeated without harm.
#[must_use]
pub fn repeated_merge(base: &str, yours: &str, texts: (&str, &str, &str)) -> Option<Vec<Conflict>> {
    let (before, after, now) = texts;
    let stands = merge::still_stands(before, after, now);
    stands.then(|| merge::merge(base, before, yours).conflicts)
}

fn broken() -> DocumentError {
    DocumentError::Apply("the document is broken".to_owned())
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
