//! Opening a room: the newest snapshot and the log after it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc, watch};

use super::clients::Clients;
use super::{Ops, QUEUE, Room, Shared, State};
use crate::live::LiveError;
use crate::live::document::Document;
use crate::live::gate::GateState;
use crate::markdown::Renderer;
use crate::page::{PageId, Revision};
use crate::store::{Store, StoreError};

/// Log read at a time.
const STEP_BYTES: usize = 4 << 20;

/// A page's document at some revision.
pub(in crate::live) struct Replayed {
    pub document: Document,
    /// Lower than asked for when the log ends earlier.
    pub revision: Revision,
    /// Of the snapshot it began from.
    snapshot: Revision,
    /// Updates that could not be applied, and were not when they came either.
    pub quarantined: BTreeSet<Revision>,
    ops: Ops,
}

/// Replays a page's log up to a revision, the newest one with `None`. Blocks.
pub(in crate::live) fn replay(
    store: &Store,
    page: PageId,
    at: Option<Revision>,
) -> Result<Replayed, LiveError> {
    let at = at.unwrap_or(Revision(u64::MAX));
    let mut quarantined = BTreeSet::new();
    // A failed update breaks the document, so each one found costs another replay. The gate
    // lets none through that is known to fail.
    loop {
        match replay_without(store, page, at, &quarantined)? {
            Ok(replayed) => return Ok(Replayed { quarantined, ..replayed }),
            Err(failed) => {
                quarantined.insert(failed);
            }
        }
    }
}

/// One replay; the inner error is the revision of an update that failed.
fn replay_without(
    store: &Store,
    page: PageId,
    at: Revision,
    skip: &BTreeSet<Revision>,
) -> Result<Result<Replayed, Revision>, LiveError> {
    let mut document = Document::new();
    let mut revision = Revision(0);
    if let Some((found, state)) = store.snapshot_at(page, at)? {
        match Document::from_state(&state) {
            Ok(loaded) => (document, revision) = (loaded, found),
            // The snapshot is only a shortcut: the log has everything.
            Err(error) => {
                log::error!("page {page}: snapshot {found} is unreadable, replaying all: {error}");
            }
        }
    }
    let snapshot = revision;
    let mut ops = Ops::default();
    while revision < at {
        let entries = store.read_log(page, revision, STEP_BYTES)?;
        let Some((next, _)) = entries.first() else { break };
        if *next != revision.next() {
            return Err(StoreError::Damaged(format!(
                "the log of page {page} has {next} where {} should be",
                revision.next()
            ))
            .into());
        }
        for (position, entry) in entries.into_iter().take_while(|(position, _)| *position <= at) {
            revision = position;
            if skip.contains(&position) {
                continue;
            }
            if let Err(error) = document.apply(&entry.update) {
                log::error!("page {page}: update {position} is quarantined: {error}");
                return Ok(Err(position));
            }
            // One that was packed has lost an operation id that was only a random number.
            if !entry.op.is_empty() {
                ops.insert(&entry.author, &entry.op, position);
            }
        }
    }
    Ok(Ok(Replayed { document, revision, snapshot, quarantined: BTreeSet::new(), ops }))
}

/// Bytes of the text at each of some revisions, which ascend. The log is gone through once. Blocks.
pub(in crate::live) fn sizes(
    store: &Store,
    page: PageId,
    at: &[Revision],
) -> Result<Vec<u64>, LiveError> {
    let mut sizes = Vec::with_capacity(at.len());
    let mut now: Option<Replayed> = None;
    for at in at {
        let reached = match now.take() {
            // Nothing is known to fail after what was replayed, and what fails is looked for anew.
            Some(mut before) => go_on(store, page, &mut before, *at)?.then_some(before),
            None => None,
        };
        let reached = match reached {
            Some(reached) => reached,
            None => replay(store, page, Some(*at))?,
        };
        sizes.push(reached.document.as_str().len() as u64);
        now = Some(reached);
    }
    Ok(sizes)
}

/// Replays further; false when an update failed.
fn go_on(
    store: &Store,
    page: PageId,
    replayed: &mut Replayed,
    at: Revision,
) -> Result<bool, LiveError> {
    while replayed.revision < at {
        let entries = store.read_log(page, replayed.revision, STEP_BYTES)?;
        let begun = replayed.revision;
        for (position, entry) in entries.into_iter().take_while(|(position, _)| *position <= at) {
            if replayed.document.apply(&entry.update).is_err() {
                return Ok(false);
            }
            replayed.revision = position;
        }
        if replayed.revision == begun {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Room {
    /// Opens a page and starts its tasks. Blocks; must run inside a tokio runtime.
    pub fn open(shared: &Arc<Shared>, id: PageId) -> Result<Arc<Self>, LiveError> {
        let Replayed { document, revision, snapshot, ops, .. } = replay(&shared.store, id, None)?;
        let gate = GateState::from_state(&document.diff(None)?).map_err(LiveError::Refused)?;
        let clients = Clients::load(&shared.store, id)?;
        let opened_at_turnover = shared.pages.turnover();
        let mut renderer = Renderer::default();
        let rendered =
            Arc::new(renderer.render(&document.text(), &|path| shared.pages.exists(path)));
        renderer.rest();
        shared.pages.titled(id, rendered.title.as_deref());
        let (queue, submissions) = mpsc::channel(QUEUE);
        let room = Arc::new(Self {
            id,
            shared: Arc::clone(shared),
            state: Mutex::new(State {
                document,
                revision,
                snapshot,
                rendered,
                rendered_revision: revision,
                text: None,
                ops,
            }),
            renderer: Mutex::new(renderer),
            clients: Mutex::new(clients),
            queue,
            busy: AtomicUsize::new(0),
            dirty: Notify::new(),
            unrendered: AtomicBool::new(false),
            rendering: AtomicBool::new(false),
            opened_at_turnover,
            stop: watch::Sender::new(false),
        });
        tokio::spawn(Arc::clone(&room).accept_updates(gate, submissions));
        tokio::spawn(Arc::clone(&room).render_changes());
        Ok(room)
    }
}
