//! Pages as they are now: rooms, the event log, presence.
//!
//! Nothing under this module knows Rocket or sled. [`Live`] is the door: every
//! way to change a page goes through it, and every way to follow one.
//!
//! # PROTOCOL
//!
//! The contract between a page and the server, version 1. Plain HTTP, same
//! origin, prefix `/_live`. One log, one cursor, one read endpoint; the rung
//! (`stream`, `hold`, `poll`) is only a delivery schedule.
//!
//! **Cursor** `<epoch>.<seq>`, see [`cursor`]. A cursor that cannot be served
//! (other epoch, ahead of the head, off the ring of [`hub::RING_EVENTS`]
//! events or [`hub::RING_BYTES`] bytes) is answered with a *reset* and the
//! current head, never with a part.
//!
//! **Topics** `view:<page>` rendered changes · `doc:<page>` Yjs updates and
//! hashes of the text · `here:<page>` presence · `site` pages created, deleted
//! and restored · `recent` what is being written anywhere. Rights are checked when a topic is opened and again for each
//! batch that is delivered.
//!
//! **Reading** `GET /_live/events?mode=&cursor=&topics=&client=&nonce=[&wait=][&pad=1][&shadow=1]`.
//! `stream` sends the frames `hello`, `probe` (a separate write 700 ms later),
//! `batch` (empty every 15 s as heartbeat), `reset` and `bye`; see [`stream`].
//! `hello`, `probe` and `batch` carry `t`, the stream's age in ms when they were
//! written, by which a client notices a network that delivers late.
//! `hold` and `poll` answer JSON `{"nonce","from","to","events","more","reset",
//! "advice"}`; an unchanged poll with `If-None-Match` is a 304. `POST` of the
//! same is for networks whose caches lie. Over a cap ([`caps`]) a stream is not opened and a
//! request not held: the answer is JSON at once, with `"advice":{"mode":"poll","why"}`.
//! When many streams are opened at once, each waits its turn ([`admission`]): `hello` comes up to
//! a second late, or instead of it `bye` with `"why":"busy"`. After any `bye` a client returns at
//! a time that it draws from 0 to `after_ms`.
//!
//! **Interval cover** every delivery says `(from, to]` and each event in it its own position,
//! `"seq"`. A client that is within the interval applies the events after its own cursor, drops
//! the batch if `to` is behind and asks again on a gap. Duplicates, retries, racing transports
//! and requests for different topics are harmless.
//!
//! **One connection per browser** a stream may carry the topics of many tabs (at most
//! [`topic::MAX_TOPICS`]) under a `client` of its own. Each tab then beats for itself, naming that
//! connection as `via`, keeps a cover of its own topics, and fills by polls what it lacks.
//!
//! **Writing** `POST /_live/pages/<id>/updates?client=&op=[&cursor=&topics=]`
//! with one Yjs update (v1), answered once it is on disk: `{"rev","saved":
//! true}`, with the batch after `cursor` if one was given. 409 `behind` and
//! `missing` carry `sv`, the state vector to send the difference against.
//!
//! **Presence** `POST /_live/beat {client,via,cursor,rung,interval_ms,here:{page,mode,caret},list}`
//! keeps a tab's lease (45 s on a stream, 150 s when hidden) and says what it shows; `via` is the
//! client id of the stream that brings this tab's events when one connection serves all tabs of a
//! browser. `POST /_live/leave` ends it. When a client's last stream or held request ends without
//! an end (no `bye`, no answer), its tabs have left after 0.7 s without a sign of life: a stream,
//! a poll or a held request of the client, or a tab's own beat. Who comes back later is announced
//! again at once. After a second such end within 2 min, and when a hundred end together, tabs turn
//! to away after 10 s instead; see [`presence::carrier`].
//!
//! **Events** `doc updated {rev,update}`, `doc checked {rev,length,
//! hash}` (FNV-1a over UTF-16, [`document::text_hash`]), `view changed {was,
//! rev,last,start,end,total,blocks,title}` (replace blocks `start..end`; one for each run that
//! differs between the revisions `was` and `rev`; a client for which `was` or `total` does not
//! add up fetches `/view`), `view deleted|restored`,
//! `here joined|changed|left`, `site created|deleted|restored`, `recent writing|revised
//! {page,path}` (a page has edits that are in no revision yet; a revision was closed or named).
//!
//! **History** `GET /_live/pages/<id>/timeline` answers a page's whole life by columns, see
//! [`timeline::columns`]; its `ETag` says to which revision, and `If-None-Match` makes it a 304.
//!
//! **Measuring** `GET /_live/probe?nonce=` answers the server's time and whom it takes the client
//! for; `POST` of the same says what has arrived of a body. The page `/connection` uses both.

pub mod admission;
pub mod batch;
pub mod caps;
pub mod costs;
pub mod cursor;
pub mod document;
pub mod erase;
mod error;
pub mod gate;
pub mod history;
pub mod hub;
pub mod labs;
pub mod pages;
pub mod presence;
pub mod rate;
mod render_threads;
mod repeats;
mod room;
mod rooms;
pub mod stream;
pub mod timeline;
pub mod topic;
pub mod visits;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use self::caps::{StreamCaps, StreamCounter, StreamPermit};
use self::cursor::Cursor;
use self::document::{Conflict, Document};
pub use self::error::LiveError;
use self::hub::{Hub, Listener};
pub use self::pages::{PageInfo, Pages};
use self::presence::Presence;
use self::rate::RateLimiter;
use self::render_threads::RenderThreads;
pub use self::room::SentBlock;
use self::room::Shared;
use self::topic::{Topic, encode};
use crate::markdown::{Rendered, Renderer};
use crate::page::{MAX_TEXT_BYTES, PageId, PagePath, Revision};
use crate::store::{Health, Options, Store, StoreError};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Lasting id of the login.
    pub id: String,
    /// Name shown to others.
    pub name: String,
    /// Index into the palette, 0 to 11.
    pub colour: u8,
}

/// Settings of the live core.
#[derive(Clone, Debug, Default)]
pub struct LiveSettings {
    /// Caps on open streams.
    pub caps: StreamCaps,
    /// The wiki's directory and how its store is kept, for laboratories; `None`: there are none.
    pub labs: Option<(PathBuf, Options)>,
}

/// A page as a reader gets it.
#[derive(Clone, Debug)]
pub struct View {
    /// Position after which changes of these blocks follow.
    pub cursor: String,
    /// Title and blocks.
    pub rendered: Arc<Rendered>,
    /// Revision of the blocks, which may be older than the text's.
    pub rendered_revision: Revision,
    /// Markdown.
    pub text: Arc<str>,
    /// Revision of the text: what an edit of it starts from.
    pub revision: Revision,
}

/// What became of a whole text that was merged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Revision that has it.
    pub revision: Revision,
    /// Places where others had changed the same words; both are kept.
    pub conflicts: Vec<Conflict>,
}

/// A document's difference, and where to go on from.
#[derive(Clone, Debug)]
pub struct DocDiff {
    /// Position after which updates follow, taken before the difference.
    pub cursor: Cursor,
    /// Revision of the document.
    pub revision: Revision,
    /// Yjs update, v1.
    pub update: Vec<u8>,
}

/// The live core of one wiki. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    streams: Arc<StreamCounter>,
    holds: Arc<StreamCounter>,
    rates: RateLimiter,
    rooms: rooms::Rooms,
    repeats: repeats::Repeats,
    labs: labs::Labs,
    closing: history::Closing,
    timelines: timeline::Timelines,
    costing: costs::Costing,
    visits: visits::Visits,
}

/// How a whole text meets what others have written since its base.
#[derive(Clone, Copy, Debug)]
enum Meeting<'n> {
    /// Where the same words were changed both versions stay: nobody sees what they overwrite.
    BothStay,
    /// As if it had been typed in the base: what it deletes is deleted, whatever others have typed
    /// in the middle of it stays, character by character, and nothing is there twice. With a note
    /// for the log about what it is, see [`timeline`].
    AsTyped(&'n str),
}

impl Live {
    /// Starts the live core over a store. Blocks while the directory of pages
    /// is read; must run inside a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, settings: &LiveSettings) -> Result<Self, LiveError> {
        let hub = Hub::new();
        let pages = Arc::new(Pages::load(store.clone())?);
        let threads = Arc::new(RenderThreads::start().map_err(StoreError::from)?);
        let inner = Arc::new(Inner {
            presence: Presence::new(Arc::clone(&hub)),
            shared: Arc::new(Shared { store, hub, pages, threads }),
            streams: StreamCounter::new(settings.caps),
            holds: StreamCounter::new(settings.caps.for_holds()),
            rates: RateLimiter::default(),
            rooms: rooms::Rooms::default(),
            repeats: repeats::Repeats::default(),
            labs: labs::Labs::below(settings.labs.clone()),
            closing: history::Closing::new(),
            timelines: timeline::Timelines::default(),
            costing: costs::Costing::default(),
            visits: visits::Visits::default(),
        });
        let live = Self { inner };
        live.start_sweeping();
        Ok(live)
    }

    /// The directory of pages.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.inner.shared.pages
    }

    /// The event log.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.inner.shared.hub
    }

    /// Who is where.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        &self.inner.presence
    }

    /// How often each login may do what.
    #[must_use]
    pub fn rates(&self) -> &RateLimiter {
        &self.inner.rates
    }

    /// The newest position, as text.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.hub().head().to_string()
    }

    /// How many tabs have a page open.
    #[must_use]
    pub fn people(&self, page: PageId) -> usize {
        self.inner.presence.count(page)
    }

    /// How many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.inner.streams.total()
    }

    /// State of the store.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.store.health()
    }

    /// Starts to listen, and takes a place among the open streams.
    ///
    /// # Errors
    /// Which cap is reached, in words.
    pub fn open_stream(
        &self,
        topics: Vec<Topic>,
        browser: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<(Listener, StreamPermit), &'static str> {
        let permit = self.inner.streams.open(browser, address)?;
        Ok((self.hub().listen(topics), permit))
    }

    /// Takes a place among the requests that are held. Without one a request is answered at once.
    ///
    /// # Errors
    /// Which cap is reached, in words.
    pub fn open_hold(
        &self,
        browser: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<StreamPermit, &'static str> {
        self.inner.holds.open(browser, address)
    }

    /// Makes an empty page, or finds the one of that name (false).
    ///
    /// # Errors
    /// [`LiveError::Deleted`] when a deleted page has the name.
    pub async fn create(
        &self,
        path: &PagePath,
        who: &Author,
    ) -> Result<(PageInfo, bool), LiveError> {
        let (page, new) = self.pages().create(path, who).await?;
        if new {
            self.announce("created", &page);
        }
        Ok((page, new))
    }

    /// Deletes a page; it can be restored, and what it was can still be read. Deleting twice is no
    /// error.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn delete(&self, id: PageId, who: &Author) -> Result<(), LiveError> {
        self.set_deleted(id, true, who).await
    }

    /// Restores a deleted page. Restoring twice is no error.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn restore(&self, id: PageId, who: &Author) -> Result<(), LiveError> {
        self.set_deleted(id, false, who).await
    }

    async fn set_deleted(&self, id: PageId, deleted: bool, who: &Author) -> Result<(), LiveError> {
        let (page, changed) = self.pages().set_deleted(id, deleted, who).await?;
        if changed {
            let kind = if deleted { "deleted" } else { "restored" };
            let topic = Topic::View(id);
            self.hub().publish(topic, encode(topic, kind, &serde_json::json!({})));
            self.announce(kind, &page);
            if deleted && let Err(error) = self.close_deleted(id).await {
                // The log has it, and a later look tries again.
                log::warn!("page {id}: a revision could not be closed: {error}");
            }
        }
        Ok(())
    }

    /// Tells the whole site, and renders pages anew that link to the one that came or went.
    fn announce(&self, kind: &'static str, page: &PageInfo) {
        let title = page.title.as_deref().unwrap_or(page.path.name());
        let data = serde_json::json!({ "page": page.id, "path": page.path, "title": title });
        self.hub().publish(Topic::Site, encode(Topic::Site, kind, &data));
        let key = page.path.key();
        for room in self.open_rooms() {
            room.links_changed(&key);
        }
    }

    /// A page's blocks and text.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors. Deleted pages can be viewed.
    pub async fn view(&self, id: PageId) -> Result<View, LiveError> {
        let room = self.room(id).await?;
        let view = room.view();
        let (revision, text) = room.text()?;
        Ok(View {
            cursor: view.cursor.to_string(),
            rendered: view.rendered,
            rendered_revision: view.revision,
            text,
            revision,
        })
    }

    /// The text at a revision; `None` when there is no such revision.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn text_at(&self, id: PageId, at: Revision) -> Result<Option<Arc<str>>, LiveError> {
        let room = self.room(id).await?;
        let (head, text) = room.text()?;
        if at >= head {
            return Ok((at == head).then_some(text));
        }
        let store = room.store().clone();
        let text = blocking(move || {
            let found = room::replay(&store, id, Some(at))?;
            Ok((found.revision == at).then(|| Arc::<str>::from(found.document.as_str())))
        })
        .await?;
        Ok(text)
    }

    /// Renders a text that is not a page's present one.
    pub async fn render_text(&self, text: &str) -> Rendered {
        let shared = Arc::clone(&self.inner.shared);
        let text = text.to_owned();
        let pages = Arc::clone(&shared);
        let work = move || Renderer::default().render(&text, &|path| pages.pages.exists(path));
        shared.threads.run(work).await.unwrap_or_default()
    }

    /// Accepts one update of a browser: durable and published when it returns.
    ///
    /// # Errors
    /// [`LiveError::Refused`] from the gate, [`LiveError::Deleted`],
    /// [`LiveError::PageFull`], [`LiveError::Busy`] and store errors. Nothing
    /// has changed then.
    pub async fn update(
        &self,
        id: PageId,
        who: &Author,
        op: &str,
        update: Vec<u8>,
    ) -> Result<Revision, LiveError> {
        self.writable(id)?;
        let room = self.room(id).await?;
        room.submit(who.clone(), op.to_owned(), update, false).await
    }

    /// Merges a whole text, which was made from revision `base`, into whatever
    /// the page is now. Durable and published when it returns.
    ///
    /// # Errors
    /// [`LiveError::Erased`] for a base from before something was erased,
    /// [`LiveError::UnknownRevision`] for a base that the page never had, and
    /// those of [`Live::update`].
    pub async fn merge_text(
        &self,
        id: PageId,
        base: Revision,
        text: String,
        who: &Author,
    ) -> Result<Merged, LiveError> {
        self.bring_in(id, base, text, who, Meeting::BothStay).await
    }

    /// The same, in one of two ways.
    async fn bring_in(
        &self,
        id: PageId,
        base: Revision,
        text: String,
        who: &Author,
        meeting: Meeting<'_>,
    ) -> Result<Merged, LiveError> {
        self.writable(id)?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(LiveError::PageFull);
        }
        // What was made from an older text has in it what was erased since, and would bring it back.
        let is_erased = |page: &PageInfo| page.erased.last().is_some_and(|mark| base < mark.rev);
        if base > Revision(0) && self.pages().look(id, is_erased) == Some(true) {
            return Err(LiveError::Erased);
        }
        let mark = repeats::mark(base, &text);
        let _alone = self.inner.repeats.alone(id, &mark).await;
        let old = self.text_at(id, base).await?.ok_or(LiveError::UnknownRevision)?;
        let room = self.room(id).await?;
        let (revision, now) = room.text()?;
        if *now == *text {
            return Ok(Merged { revision, conflicts: Vec::new() });
        }
        let (store, looked_for) = (room.store().clone(), mark.clone());
        let (old, text, answered) = blocking(move || {
            let sent = repeats::Sent { base, old: &old, text: &text };
            let answered = if base == revision {
                None
            } else {
                repeats::answered(&store, id, &sent, &looked_for, &now)?
            };
            Ok((old, text, answered))
        })
        .await?;
        if let Some(merged) = answered {
            return Ok(merged);
        }
        let client = room.issue_client(who).await?;
        // Merged against a copy, outside the page's task: whoever types meanwhile is not held
        // up, and the document merges what they type with the result.
        let (_, at, state) = room.diff(None)?;
        let store = room.store().clone();
        let is_older = at != base && matches!(meeting, Meeting::AsTyped(_));
        let edit = blocking(move || {
            let state = match is_older {
                true => room::replay(&store, id, Some(base))?.document.diff(None)?,
                false => state,
            };
            let copy = Document::from_state(&state)?;
            copy.merge(&old, &text, client).map_err(LiveError::from)
        })
        .await?;
        if edit.update.is_empty() {
            return Ok(Merged { revision, conflicts: edit.conflicts });
        }
        let note = match meeting {
            Meeting::BothStay => "",
            Meeting::AsTyped(note) => note,
        };
        let op = format!("{mark}:{client}{note}");
        let revision = room.submit(who.clone(), op, edit.update, true).await?;
        Ok(Merged { revision, conflicts: edit.conflicts })
    }

    /// Issues a Yjs client id to a login for a page.
    ///
    /// # Errors
    /// [`LiveError::NoPage`], [`LiveError::Deleted`] and store errors.
    pub async fn issue_client(&self, id: PageId, who: &Author) -> Result<u32, LiveError> {
        self.writable(id)?;
        self.room(id).await?.issue_client(who).await
    }

    /// The document's difference to a state vector (all of it with `None`).
    ///
    /// # Errors
    /// [`LiveError::NoPage`], store errors, and a vector that does not decode.
    pub async fn doc(&self, id: PageId, state_vector: Option<&[u8]>) -> Result<DocDiff, LiveError> {
        let (cursor, revision, update) = self.room(id).await?.diff(state_vector)?;
        Ok(DocDiff { cursor, revision, update })
    }

    /// The document's state vector.
    ///
    /// # Errors
    /// [`LiveError::NoPage`] and store errors.
    pub async fn state_vector(&self, id: PageId) -> Result<Vec<u8>, LiveError> {
        Ok(self.room(id).await?.state_vector())
    }

    /// Tells every stream and held request to end. For good.
    pub fn drain(&self) {
        self.inner.streams.begin_drain();
        self.hub().drain();
    }

    fn writable(&self, id: PageId) -> Result<(), LiveError> {
        let page = self.pages().get(id).ok_or(LiveError::NoPage)?;
        if page.deleted_ms.is_some() { Err(LiveError::Deleted) } else { Ok(()) }
    }
}

/// Blocks as they are sent to browsers.
#[must_use]
pub fn room_blocks(rendered: &Rendered) -> Vec<SentBlock<'_>> {
    rendered.blocks.iter().map(Into::into).collect()
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Runs work that blocks or computes for long on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LiveError> + Send + 'static,
) -> Result<T, LiveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            log::error!("a task failed: {error}");
            Err(LiveError::Busy)
        }
    }
}

#[cfg(test)]
mod tests;
