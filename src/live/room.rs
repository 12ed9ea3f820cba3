//! One open page: its document, its rendered blocks, and the one task that
//! accepts updates for it.
//!
//! The life of an update: gate, then journal, then document, then publish,
//! then answer. The task takes everything that is waiting, judges each update
//! against all that were accepted before it, appends them together and only
//! then applies and publishes them, so nobody is shown what is not on disk.

mod accept;
mod clients;
mod load;
mod render;

pub(super) use clients::client_of;
pub(super) use load::{replay, sizes};
pub use render::SentBlock;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::document::Document;
use super::hub::Hub;
use super::pages::Pages;
use super::render_threads::RenderThreads;
use super::topic::Topic;
use super::{Author, LiveError};
use crate::live::cursor::Cursor;
use crate::markdown::{Rendered, Renderer};
use crate::page::{PageId, Revision};
use crate::store::Store;

/// Updates waiting for a page's task; a full queue answers [`LiveError::Busy`].
const QUEUE: usize = 1_024;

/// Operation ids remembered per page, to answer a retry as the first time.
const REMEMBERED_OPS: usize = 4_096;

/// What rooms share.
pub(super) struct Shared {
    pub store: Store,
    pub hub: Arc<Hub>,
    pub pages: Arc<Pages>,
    pub threads: Arc<RenderThreads>,
}

impl Shared {
    /// The same with another store.
    pub fn with_store(&self, store: Store) -> Self {
        let Self { hub, pages, threads, .. } = self;
        let (hub, pages, threads) = (Arc::clone(hub), Arc::clone(pages), Arc::clone(threads));
        Self { store, hub, pages, threads }
    }
}

/// One open page.
pub(super) struct Room {
    pub id: PageId,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Kept apart from `state`, since a render takes long and edits must not wait for it.
    renderer: Mutex<Renderer>,
    /// Who each Yjs client id was issued to.
    clients: Mutex<clients::Clients>,
    queue: mpsc::Sender<Submission>,
    /// Submissions sent and not answered yet.
    busy: AtomicUsize,
    /// A render is under way. The end of the process does not wait for it.
    rendering: AtomicBool,
    dirty: Notify,
    /// An edit has not been rendered yet. Readers who poll would never hear of it if the room
    /// left memory before.
    unrendered: AtomicBool,
    /// [`Pages::turnover`](super::pages::Pages::turnover) before the first rendering.
    opened_at_turnover: u64,
    /// Set once, at the end of the room.
    stop: watch::Sender<bool>,
}

/// What is durable and applied, and what was made of it.
struct State {
    document: Document,
    revision: Revision,
    snapshot: Revision,
    rendered: Arc<Rendered>,
    rendered_revision: Revision,
    text: Option<Arc<str>>,
    ops: Ops,
}

/// One update on its way in.
struct Submission {
    author: Author,
    op: String,
    update: Vec<u8>,
    /// Made by the server itself: the size limits of a browser's update do not apply.
    trusted: bool,
    answer: oneshot::Sender<Result<Revision, LiveError>>,
}

/// A page as a reader gets it, with the position after which changes follow.
pub(super) struct RoomView {
    pub cursor: Cursor,
    pub revision: Revision,
    pub rendered: Arc<Rendered>,
}

impl Room {
    /// Where the page's log is.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Hands an update to the page's task and waits until it is durable and published.
    pub async fn submit(
        self: &Arc<Self>,
        author: Author,
        op: String,
        update: Vec<u8>,
        trusted: bool,
    ) -> Result<Revision, LiveError> {
        let (answer, answered) = oneshot::channel();
        self.busy.fetch_add(1, Ordering::SeqCst);
        let sent = self.queue.try_send(Submission { author, op, update, trusted, answer });
        if sent.is_err() {
            self.busy.fetch_sub(1, Ordering::SeqCst);
            return Err(LiveError::Busy);
        }
        answered.await.unwrap_or(Err(LiveError::Busy))
    }

    /// The rendered page and the exact position it belongs to.
    pub fn view(&self) -> RoomView {
        let state = self.lock();
        // View events are published under this lock, so none after the cursor is in the blocks
        // already and none before it is missing.
        RoomView {
            cursor: self.shared.hub.head(),
            revision: state.rendered_revision,
            rendered: Arc::clone(&state.rendered),
        }
    }

    /// The text and its revision.
    ///
    /// # Errors
    /// [`LiveError::Busy`] while the document is broken: an empty text would be worse than none.
    pub fn text(&self) -> Result<(Revision, Arc<str>), LiveError> {
        let mut state = self.lock();
        let text = state.text()?;
        Ok((state.revision, text))
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.lock().revision
    }

    /// What a login was last called on this page, and its colour.
    pub fn author(&self, login: &str) -> (String, u8) {
        let clients = self.clients();
        let known = clients.name(login).map(|(name, colour)| (name.to_owned(), colour));
        known.unwrap_or_else(|| ("Somebody".to_owned(), 0))
    }

    /// The document's difference to a state vector, and the position after which updates follow.
    pub fn diff(
        &self,
        state_vector: Option<&[u8]>,
    ) -> Result<(Cursor, Revision, Vec<u8>), LiveError> {
        let state = self.lock();
        let diff = state.document.diff(state_vector)?;
        Ok((self.shared.hub.head(), state.revision, diff))
    }

    /// The state vector, for a client that must find out what it lacks.
    pub fn state_vector(&self) -> Vec<u8> {
        self.lock().document.state_vector()
    }

    /// Renders anew although the text is the same: a page that it links to came or went.
    pub fn links_changed(&self, key: &str) {
        // A render under way may have asked before the page came, and nobody knows its links yet.
        // In this order: a render ends by showing its links and then clears the flag.
        if self.rendering.load(Ordering::SeqCst)
            || self.lock().rendered.links.iter().any(|link| link == key)
        {
            self.ask_for_render();
        }
    }

    /// Renders anew if pages came or went while this one was being opened, when nobody could
    /// find it to tell it. Called once it can be found.
    pub fn catch_up(&self) {
        if self.shared.pages.turnover() != self.opened_at_turnover {
            self.ask_for_render();
        }
    }

    fn ask_for_render(&self) {
        self.unrendered.store(true, Ordering::SeqCst);
        self.dirty.notify_one();
    }

    /// Whether the task that accepts updates has ended: after a failure, and at the end of the
    /// process.
    pub fn is_over(&self) -> bool {
        self.queue.is_closed()
    }

    /// Whether nothing but the map and the room's own tasks holds it, and nobody listens.
    /// Called with the map locked, so no new holder can come.
    pub fn is_idle(room: &Arc<Self>) -> bool {
        /// The map's, and one for each of the two tasks.
        const OWN_REFERENCES: usize = 3;
        // Fewer when a task has ended by a failure.
        Arc::strong_count(room) <= OWN_REFERENCES
            // In this order: a render begins by setting the one and then clears the other.
            && !room.unrendered.load(Ordering::SeqCst)
            && !room.rendering.load(Ordering::SeqCst)
            && room.busy.load(Ordering::SeqCst) == 0
            && room.is_deserted()
    }

    /// Whether nobody listens.
    pub fn is_deserted(&self) -> bool {
        let topics = [Topic::View(self.id), Topic::Doc(self.id), Topic::Here(self.id)];
        topics.iter().all(|topic| self.shared.hub.listeners(*topic) == 0)
    }

    /// Ends the room's tasks. Only for a room that is idle or at the end of the process.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether everything handed in has been answered.
    pub fn is_quiet(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    /// As a bug of yrs would.
    #[cfg(test)]
    pub fn break_document(&self) {
        let mut state = self.lock();
        assert!(state.document.apply(b"not an update").is_err());
        state.text = None;
    }

    /// As while a rendering runs that is the first one.
    #[cfg(test)]
    pub fn pretend_to_render(&self) {
        self.lock().rendered = Arc::default();
        self.rendering.store(true, Ordering::SeqCst);
    }

    async fn stopped(&self) {
        // An error means that the sender is gone, and it lives in `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Keeps the state as a snapshot, if much has happened since the last one.
    pub async fn keep_snapshot(&self, after_updates: u64) -> Result<(), LiveError> {
        let (revision, bytes) = {
            let mut state = self.lock();
            if state.revision.0 < state.snapshot.0 + after_updates.max(1) {
                return Ok(());
            }
            state.snapshot = state.revision;
            (state.revision, state.document.diff(None)?)
        };
        self.shared.store.save_snapshot(self.id, revision, bytes).await?;
        Ok(())
    }

    // A panic under the lock is caught inside `Document`, which then reports an error and is
    // rebuilt; the other fields are plain values.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn text(&mut self) -> Result<Arc<str>, LiveError> {
        let document = &self.document;
        if document.is_broken() {
            return Err(LiveError::Busy);
        }
        Ok(Arc::clone(self.text.get_or_insert_with(|| document.as_str().into())))
    }
}

/// Answers of recent operations, oldest forgotten first.
#[derive(Default)]
struct Ops {
    revisions: HashMap<String, Revision>,
    order: VecDeque<String>,
}

impl Ops {
    fn key(author: &str, op: &str) -> String {
        format!("{author}/{op}")
    }

    fn get(&self, author: &str, op: &str) -> Option<Revision> {
        self.revisions.get(&Self::key(author, op)).copied()
    }

    fn insert(&mut self, author: &str, op: &str, revision: Revision) {
        let key = Self::key(author, op);
        if self.revisions.insert(key.clone(), revision).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED_OPS {
            if let Some(key) = self.order.pop_front() {
                self.revisions.remove(&key);
            }
        }
    }
}
