//! Opening a room: the newest snapshot and the log after it.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc, watch};

use super::clients::Clients;
use super::{Ops, QUEUE, Room, Shared, State};
use crate::live::LiveError;
use crate::live::document::Document;
use crate::live::gate::GateState;
use crate::markdown::Renderer;
use crate::page::{PageId, Revision};
use crate::store::Store;

/// Log read at a time.
const STEP_BYTES: usize = 4 << 20;

/// Replays a page's log up to a revision, the newest one with `None`. Blocks.
///
/// Returns the document and the revision it is at, which is lower than asked
/// for when the log ends earlier.
pub(in crate::live) fn replay(
    store: &Store,
    page: PageId,
    at: Option<Revision>,
) -> Result<(Document, Revision, Revision), LiveError> {
    let mut ops = Ops::default();
    replay_with(store, page, at, &mut ops)
}

fn replay_with(
    store: &Store,
    page: PageId,
    at: Option<Revision>,
    ops: &mut Ops,
) -> Result<(Document, Revision, Revision), LiveError> {
    let at = at.unwrap_or(Revision(u64::MAX));
    let mut document = Document::new();
    let mut revision = Revision(0);
    if let Some((found, state)) = store.snapshot_at(page, at)? {
        match Document::from_state(&state) {
            Ok(loaded) => (document, revision) = (loaded, found),
            // The snapshot is only a shortcut: the log has everything.
            Err(error) => {
                log::error!("page {page}: snapshot {found} is unreadable, replaying all: {error}")
            }
        }
    }
    let snapshot = revision;
    while revision < at {
        let entries = store.read_log(page, revision, STEP_BYTES)?;
        if entries.is_empty() {
            break;
        }
        for (position, entry) in entries {
            if position > at {
                break;
            }
            if let Err(error) = document.apply(&entry.update) {
                // It was refused when it came, too, and nobody saw it. The rest goes on.
                log::error!("page {page}: update {position} is quarantined: {error}");
                let state = document.diff(None)?;
                document = Document::from_state(&state)?;
            }
            ops.insert(&entry.author, &entry.op, position);
            revision = position;
        }
    }
    Ok((document, revision, snapshot))
}

impl Room {
    /// Opens a page and starts its tasks. Blocks; must run inside a tokio runtime.
    pub fn open(shared: &Arc<Shared>, id: PageId) -> Result<Arc<Self>, LiveError> {
        let mut ops = Ops::default();
        let (document, revision, snapshot) = replay_with(&shared.store, id, None, &mut ops)?;
        let gate = GateState::from_state(&document.diff(None)?).map_err(LiveError::Refused)?;
        let clients = Clients::load(&shared.store, id)?;
        let mut renderer = Renderer::default();
        let rendered =
            Arc::new(renderer.render(&document.text(), &|path| shared.pages.exists(path)));
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
            stop: watch::Sender::new(false),
        });
        tokio::spawn(Arc::clone(&room).accept_updates(gate, submissions));
        tokio::spawn(Arc::clone(&room).render_changes());
        Ok(room)
    }
}
