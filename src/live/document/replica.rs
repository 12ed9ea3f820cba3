//! A yrs document that holds one text, with its panics caught.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use yrs::types::Delta;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact,
    TransactionMut, Update,
};

use super::DocumentError;
use super::merge::Edit;
use crate::live::gate::{self, Refusal};

/// The root text of every page.
const ROOT: &str = "body";
/// Structs that a rehearsal applies between two looks at the clock.
const SLICE: u64 = 16;
/// yrs walks the clients of an update by recursion, with some 100 bytes of stack each; beyond
/// this many a state is loaded on a stack of its own.
const MANY_CLIENTS: u64 = 2_000;
/// Stack per client, generous for debug builds. It is only mapped, not used.
const STACK_PER_CLIENT: usize = 2 * 1024;

/// The yrs document and its text.
pub(super) struct Replica {
    doc: Doc,
    body: TextRef,
}

impl Replica {
    /// An empty one. `client` is who writes in [`edit`](Self::edit).
    pub(super) fn new(client: Option<u32>) -> Self {
        let mut options = client
            .map_or_else(Options::default, |id| Options::with_client_id(ClientID::new(id.into())));
        options.offset_kind = OffsetKind::Utf16;
        options.skip_gc = false;
        let doc = Doc::with_options(options);
        let body = doc.get_or_insert_text(ROOT);
        Self { doc, body }
    }

    /// Loads a trusted, complete state.
    pub(super) fn load(state: &[u8], client: Option<u32>) -> Result<Self, DocumentError> {
        let load = || Self::new(client).apply(state);
        let clients = first_number(state);
        let loaded = if clients <= MANY_CLIENTS {
            load()
        } else {
            // The state may lie about their number, which only costs address space.
            let clients = usize::try_from(clients).unwrap_or(usize::MAX).min(state.len());
            std::thread::scope(|scope| {
                std::thread::Builder::new()
                    .name("halley-load".to_owned())
                    .stack_size(clients * STACK_PER_CLIENT + 4 * 1024 * 1024)
                    .spawn_scoped(scope, load)
                    .map_err(|error| DocumentError::State(error.to_string()))?
                    .join()
                    .unwrap_or_else(|panic| Err(panicked(&*panic)))
            })
        };
        loaded.map_err(|error| match error {
            DocumentError::Apply(why) => DocumentError::State(why),
            other => other,
        })
    }

    /// Applies an update, or is lost: what yrs leaves behind after an error is in no known state.
    pub(super) fn apply(self, update: &[u8]) -> Result<Self, DocumentError> {
        let decoded = catch_unwind(|| Update::decode_v1(update));
        let update = decoded.map_err(|panic| panicked(&*panic))?.map_err(failed)?;
        self.transact(|transaction, _| transaction.apply_update(update).map_err(failed))?;
        Ok(self)
    }

    /// Applies an update in small steps, and gives up when they take longer than `time`.
    pub(super) fn rehearse(self, update: &[u8], time: Duration) -> Result<Self, DocumentError> {
        let start = Instant::now();
        let slices = gate::slices(update, SLICE)
            .ok_or_else(|| DocumentError::Apply("it cannot be read".to_owned()))?;
        for slice in slices {
            let slice = Update::decode_v1(&slice).map_err(failed)?;
            // Clients may build on each other, so that something is pending in between.
            self.transact_pending(|transaction, _| {
                transaction.apply_update(slice).map_err(failed)
            })?;
            if start.elapsed() > time {
                return Err(Refusal::TooLarge("it takes too long to apply").into());
            }
        }
        self.transact(|_, _| Ok(()))?;
        Ok(self)
    }

    /// Makes the edits of `current`, which is the present text, and returns them as an update,
    /// together with the text after them.
    pub(super) fn edit(
        self,
        current: &str,
        edits: &[Edit],
    ) -> Result<(Vec<u8>, String), DocumentError> {
        let delta = delta_of(current, edits);
        let update = self.transact(|transaction, body| {
            body.apply_delta(transaction, delta);
            // The commit joins what was written in pieces; the update has only this transaction.
            transaction.commit();
            Ok(transaction.encode_update_v1())
        })?;
        Ok((update, self.text()))
    }

    /// Runs `work` and commits, and nothing may be pending then.
    fn transact<T>(
        &self,
        work: impl FnOnce(&mut TransactionMut<'_>, &TextRef) -> Result<T, DocumentError>,
    ) -> Result<T, DocumentError> {
        self.transact_pending(|transaction, body| {
            let value = work(transaction, body)?;
            if transaction.has_missing_updates() {
                return Err(DocumentError::Apply("it depends on something unknown".to_owned()));
            }
            Ok(value)
        })
    }

    /// Runs `work` and commits. On any failure the document is leaked: a transaction that is
    /// dropped would commit what may be half-done, and a panic in that would end the process.
    fn transact_pending<T>(
        &self,
        work: impl FnOnce(&mut TransactionMut<'_>, &TextRef) -> Result<T, DocumentError>,
    ) -> Result<T, DocumentError> {
        let mut transaction = self.doc.try_transact_mut().map_err(failed)?;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let value = work(&mut transaction, &self.body)?;
            transaction.commit();
            Ok(value)
        }));
        let done = done.unwrap_or_else(|panic| Err(panicked(&*panic)));
        if done.is_err() {
            mem::forget(transaction);
        }
        done
    }

    pub(super) fn text(&self) -> String {
        self.read(|transaction| self.body.get_string(transaction)).unwrap_or_default()
    }

    pub(super) fn diff(&self, known: &StateVector) -> Result<Vec<u8>, DocumentError> {
        self.read(|transaction| transaction.encode_state_as_update_v1(known))
    }

    pub(super) fn state_vector(&self) -> Vec<u8> {
        self.read(|transaction| transaction.state_vector().encode_v1()).unwrap_or_else(|_| vec![0])
    }

    fn read<T>(&self, work: impl FnOnce(&yrs::Transaction<'_>) -> T) -> Result<T, DocumentError> {
        let transaction = self.doc.try_transact().map_err(failed)?;
        catch_unwind(AssertUnwindSafe(|| work(&transaction))).map_err(|panic| panicked(&*panic))
    }
}

/// The edits as one pass over the text, in UTF-16 units.
fn delta_of(current: &str, edits: &[Edit]) -> Vec<Delta<yrs::In>> {
    let mut delta = Vec::with_capacity(edits.len() * 3);
    let mut at = 0;
    for edit in edits {
        let kept = units(&current[at..edit.range.start]);
        if kept > 0 {
            delta.push(Delta::retain(kept));
        }
        if !edit.insert.is_empty() {
            delta.push(Delta::insert(edit.insert.as_str()));
        }
        let deleted = units(&current[edit.range.clone()]);
        if deleted > 0 {
            delta.push(Delta::delete(deleted));
        }
        at = edit.range.end;
    }
    delta
}

fn units(text: &str) -> u32 {
    u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX)
}

fn first_number(bytes: &[u8]) -> u64 {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn failed(error: impl std::fmt::Display) -> DocumentError {
    DocumentError::Apply(error.to_string())
}

fn panicked(panic: &(dyn Any + Send)) -> DocumentError {
    let why = panic
        .downcast_ref::<&str>()
        .map(|why| (*why).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_owned());
    DocumentError::Apply(format!("yrs panicked: {why}"))
}
