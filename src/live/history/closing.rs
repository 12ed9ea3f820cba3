//! Closing revisions: when, by whom, and what is known of those that are open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as Turn, MutexGuard as Taken, Semaphore};

use super::pauses::Pauses;
use super::stretch::{self, Stretch};
use super::{QUIET, RevisionInfo, around, change, info, newest, recent, revision_key};
use crate::live::labs::Labs;
use crate::live::room::{Room, sizes};
use crate::live::topic::{Topic, encode};
use crate::live::{Author, Live, LiveError, blocking, now_ms};
use crate::page::{PageId, Revision};
use crate::store::{Expect, StoreError};

/// So long after the last edit a revision is closed if nobody writes the page any more: whoever
/// lost the network for a moment comes back sooner.
const LEFT: Duration = Duration::from_secs(5);

/// With so many updates, or after so long, it is closed while people go on writing.
const MOST_EDITS: u64 = 10_000;
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Pages whose revisions are closed at the same time.
const TURNS: usize = 64;

/// Records of revisions that are written by one call: each call waits for the disk. One record is
/// some 16 KB at most (fifty authors with long names), so that a call has a tenth of what it may.
const RECORDS_PER_CALL: usize = 64;

/// Pause between two pages that are opened for that only, and how often there is a look for them.
const LEFTOVER_PAUSE: Duration = Duration::from_millis(100);
pub(in crate::live) const LEFTOVERS: Duration = Duration::from_secs(300);

/// Closes one revision of a page at a time: each begins where the one before it ends.
pub(in crate::live) struct Closing {
    /// When this process began.
    since_ms: AtomicU64,
    turns: Vec<Turn<()>>,
    /// For whoever compares two texts.
    pub comparing: Semaphore,
    pages: Mutex<HashMap<PageId, Known>>,
    pauses: Mutex<Pauses>,
}

/// What is known of a page.
#[derive(Clone, Default)]
struct Known {
    /// End of its newest closed revision (0: there is none) and bytes of the text there.
    closed: Option<(Revision, u64)>,
    /// What was written since, as far as it was looked at.
    open: Option<Stretch>,
    /// Since when the others know that it is being written.
    writing_ms: Option<u64>,
}

impl Closing {
    pub fn new() -> Self {
        Self {
            since_ms: AtomicU64::new(now_ms()),
            turns: std::iter::repeat_with(Turn::default).take(TURNS).collect(),
            comparing: Semaphore::new(1),
            pages: Mutex::default(),
            pauses: Mutex::default(),
        }
    }

    /// Whether a page may have edits that are in no closed revision.
    pub fn is_open(&self, id: PageId, head: Revision) -> bool {
        let closed = self.pages().get(&id).and_then(|known| known.closed);
        head > Revision(0) && closed.is_none_or(|(end, _)| end < head)
    }

    async fn turn(&self, id: PageId) -> Taken<'_, ()> {
        self.turns[id.0 as usize % TURNS].lock().await
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PageId, Known>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was read, unless somebody knows better.
    fn note_first(&self, id: PageId, closed: (Revision, u64)) -> (Revision, u64) {
        *self.pages().entry(id).or_default().closed.get_or_insert(closed)
    }

    fn note_closed(&self, id: PageId, end: Revision, bytes: u64) {
        let known = Known { closed: Some((end, bytes)), ..Known::default() };
        self.pages().insert(id, known);
    }

    fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    /// As if the process had run for long.
    #[cfg(test)]
    pub fn begin_long_ago(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    /// As after a look that found no record.
    #[cfg(test)]
    pub fn note_none_closed(&self, id: PageId) {
        self.note_first(id, (Revision(0), 0));
    }

    /// Whether this process began a moment ago.
    fn is_rush(&self) -> bool {
        now_ms() < self.since_ms() + QUIET.as_millis() as u64
    }
}

/// Whether a revision is closed: time since its last edit and since its first, people who write the
/// page, and how many edits it has.
fn is_due(age: Duration, length: Duration, writers: usize, edits: u64) -> bool {
    let has_left = writers == 0 && age >= LEFT;
    edits >= MOST_EDITS || length >= LONGEST || age >= QUIET || has_left
}

impl Live {
    /// Closes what is due on open pages. A page whose revision could not be closed is left alone
    /// for a while after `now`.
    pub(in crate::live) async fn close_revisions(&self, now: Instant) {
        // Not the rooms themselves: one that waits here could not leave memory.
        let ids: Vec<_> = self.open_rooms().iter().map(|room| room.id).collect();
        for id in ids {
            let Some((head, updated)) = self.open_since(id) else { continue };
            if self.inner.closing.pauses().hold(id, now) {
                continue;
            }
            let Some(room) = self.open_room(id).filter(|room| !room.is_over()) else { continue };
            let age = Duration::from_millis(now_ms().saturating_sub(updated));
            if let Err(error) = self.close_if_due(&room, head, age).await {
                // The log has it, and a later look tries again.
                log::warn!("page {id}: a revision could not be closed: {error}");
                self.inner.closing.pauses().begin(id, now);
            }
        }
    }

    /// Head of a page that has edits in no closed revision, and when it was changed last; `None`
    /// when it has none, or when they can wait.
    fn open_since(&self, id: PageId) -> Option<(Revision, u64)> {
        let (head, updated) = self.pages().look(id, |page| (page.head, page.updated_ms))?;
        let closing = &self.inner.closing;
        // Everybody comes back after a start, and what an earlier process left is no hurry.
        let can_wait = updated < closing.since_ms() && closing.is_rush();
        let is_open = !Labs::is_lab(id) && !can_wait && closing.is_open(id, head);
        is_open.then_some((head, updated))
    }

    async fn close_if_due(
        &self,
        room: &Arc<Room>,
        head: Revision,
        age: Duration,
    ) -> Result<(), LiveError> {
        let _turn = self.inner.closing.turn(room.id).await;
        let (closed, _) = self.closed_end(room).await?;
        if closed >= head {
            return Ok(());
        }
        let now = now_ms();
        let (since, is_news) = {
            let mut pages = self.inner.closing.pages();
            let known = pages.entry(room.id).or_default();
            let is_news = known.writing_ms.is_none();
            (*known.writing_ms.get_or_insert(now), is_news)
        };
        let writers = self.inner.presence.writers(room.id);
        let length = Duration::from_millis(now.saturating_sub(since));
        if is_due(age, length, writers, head.0 - closed.0) {
            return self.close_until(room, head).await;
        }
        if is_news {
            self.tell("writing", room.id);
        }
        Ok(())
    }

    /// Closes the revision of a page that is about to leave memory: nobody is there any more.
    pub(in crate::live) async fn close_deserted(&self, room: &Arc<Room>) -> Result<(), LiveError> {
        let Some((head, _)) = self.open_since(room.id) else { return Ok(()) };
        let _turn = self.inner.closing.turn(room.id).await;
        self.close_until(room, head).await
    }

    /// Closes the revision of a page that was deleted: nobody writes it any more. What is open on a
    /// page that is not in memory waits until somebody reads its history.
    pub(in crate::live) async fn close_deleted(&self, id: PageId) -> Result<(), LiveError> {
        let Some(room) = self.open_room(id) else { return Ok(()) };
        let _turn = self.inner.closing.turn(id).await;
        let head = room.revision();
        self.close_until(&room, head).await
    }

    /// Closes what is open on pages that nobody has open: an earlier process or a version without
    /// revisions left it, or a full disk. False when something could not be closed.
    pub(in crate::live) async fn close_leftovers(&self) -> bool {
        let mut all = true;
        for page in self.pages().list() {
            if self.hub().is_draining() {
                break;
            }
            if self.open_since(page.id).is_none() {
                continue;
            }
            let was_open = self.open_room(page.id).is_some();
            if let Err(error) = self.close_leftover(page.id).await {
                log::warn!("page {}: its revisions could not be closed: {error}", page.id);
                all = false;
            }
            if !was_open {
                self.let_go(page.id).await;
            }
            // Whoever is there comes first.
            tokio::time::sleep(LEFTOVER_PAUSE).await;
        }
        all
    }

    async fn close_leftover(&self, id: PageId) -> Result<(), LiveError> {
        let store = self.inner.shared.store.clone();
        let newest = blocking(move || Ok(newest(&store, id)?)).await?;
        let Some((head, _)) = self.open_since(id) else { return Ok(()) };
        if let Some(newest) = newest.filter(|newest| newest.last >= head) {
            self.inner.closing.note_first(id, (newest.last, newest.bytes));
            return Ok(());
        }
        let room = self.room(id).await?;
        let _turn = self.inner.closing.turn(id).await;
        self.close_until(&room, head).await
    }

    /// Gives a revision a name, or takes it away (`None`). It becomes the end of a closed revision,
    /// wherever in the page's life it is.
    ///
    /// # Errors
    /// [`LiveError::UnknownRevision`] for one that the page never had, [`LiveError::NoPage`],
    /// [`LiveError::Deleted`] and store errors.
    pub async fn name_revision(
        &self,
        id: PageId,
        at: Revision,
        name: Option<String>,
        who: &Author,
    ) -> Result<(), LiveError> {
        self.writable(id)?;
        let room = self.room(id).await?;
        if Labs::is_lab(id) || at == Revision(0) || at > room.text()?.0 {
            return Err(LiveError::UnknownRevision);
        }
        let _turn = self.inner.closing.turn(id).await;
        self.close_until(&room, at).await?;
        let of_room = Arc::clone(&room);
        let named_by = name.as_ref().map(|_| who.id.clone());
        let changes = blocking(move || {
            let (room, store) = (&of_room, of_room.store());
            let (key, value, found) = around(store, id, at)?;
            let named = RevisionInfo { name, named_by, ..found.clone() };
            if found.last == at {
                return Ok(vec![change(id, &named, Expect::Exactly(value))?]);
            }
            // In the middle of one: that becomes two.
            let cut = stretch::read(store, id, found.before(), at, Duration::MAX)?;
            let rest = stretch::read(store, id, at, found.last, Duration::MAX)?;
            let (Some(cut), Some(rest)) = (cut.first(), rest.first()) else {
                return Err(StoreError::Damaged(format!("the log of page {id} has no {at}")).into());
            };
            let bytes = sizes(store, id, &[at])?[0];
            let first = RevisionInfo {
                name: named.name,
                named_by: named.named_by,
                ..info(room, cut, (found.was, bytes))
            };
            let last = RevisionInfo {
                name: found.name.clone(),
                named_by: found.named_by.clone(),
                ..info(room, rest, (bytes, found.bytes))
            };
            debug_assert_eq!(key, revision_key(id, last.last), "it keeps its end");
            Ok(vec![
                change(id, &first, Expect::Absent)?,
                recent::entry(id, &first),
                change(id, &last, Expect::Exactly(value))?,
            ])
        })
        .await?;
        if !room.store().change(changes).await? {
            return Err(self.other_writer(id));
        }
        self.tell("revised", id);
        Ok(())
    }

    /// Where the newest closed revision of a page ends (0 when there is none), and how large the
    /// text is there.
    async fn closed_end(&self, room: &Room) -> Result<(Revision, u64), LiveError> {
        let known = self.inner.closing.pages().get(&room.id).and_then(|known| known.closed);
        if let Some(closed) = known {
            return Ok(closed);
        }
        let (store, id) = (room.store().clone(), room.id);
        let newest = blocking(move || Ok(newest(&store, id)?)).await?;
        let closed = newest.map_or((Revision(0), 0), |newest| (newest.last, newest.bytes));
        Ok(self.inner.closing.note_first(id, closed))
    }

    /// Closes all between the newest closed revision and `until`. With the page's turn taken.
    async fn close_until(&self, room: &Arc<Room>, until: Revision) -> Result<(), LiveError> {
        let (closed, was) = self.closed_end(room).await?;
        if closed >= until {
            return Ok(());
        }
        let (id, of_room) = (room.id, Arc::clone(room));
        let revisions = blocking(move || {
            let (room, store) = (&of_room, of_room.store());
            let stretches = stretch::read(store, id, closed, until, QUIET)?;
            let ends: Vec<_> = stretches.iter().map(|stretch| stretch.last).collect();
            let (head, text) = room.text()?;
            let sizes = match ends[..] {
                // What is open is here already.
                [end] if end == head => vec![text.len() as u64],
                _ => sizes(store, id, &ends)?,
            };
            let mut was = was;
            let mut revisions = Vec::new();
            for (stretch, bytes) in stretches.iter().zip(sizes) {
                revisions.push(info(room, stretch, (was, bytes)));
                was = bytes;
            }
            Ok(revisions)
        })
        .await?;
        // In groups, so that no number of them is too much for one call.
        for group in revisions.chunks(RECORDS_PER_CALL) {
            let mut changes = Vec::with_capacity(2 * group.len());
            for revision in group {
                changes.push(change(id, revision, Expect::Absent)?);
                changes.push(recent::entry(id, revision));
            }
            if !room.store().change(changes).await? {
                return Err(self.other_writer(id));
            }
            if let Some(last) = group.last() {
                self.inner.closing.note_closed(id, last.last, last.bytes);
            }
        }
        self.tell("revised", id);
        Ok(())
    }

    /// What was written since the newest closed revision. Of a log only what is new since the last
    /// call is read. Blocks.
    pub(in crate::live) fn open_revision(
        &self,
        room: &Room,
    ) -> Result<Option<RevisionInfo>, LiveError> {
        let id = room.id;
        let (head, text) = room.text()?;
        let known = self.inner.closing.pages().get(&id).cloned().unwrap_or_default();
        let (closed, was) = match known.closed {
            Some(closed) => closed,
            None => {
                let closed =
                    newest(room.store(), id)?.map_or((Revision(0), 0), |n| (n.last, n.bytes));
                self.inner.closing.note_first(id, closed)
            }
        };
        let mut open = known.open.filter(|open| open.first == closed.next());
        let read = open.as_ref().map_or(closed, |open| open.last);
        for more in stretch::read(room.store(), id, read, head, Duration::MAX)? {
            match &mut open {
                Some(open) => open.join(more),
                None => open = Some(more),
            }
        }
        if let Some(known) = self.inner.closing.pages().get_mut(&id)
            && known.closed == Some((closed, was))
        {
            known.open.clone_from(&open);
        }
        Ok(open.map(|open| info(room, &open, (was, text.len() as u64))))
    }

    /// Whoever writes records of revisions has the page's turn, so a condition that fails means that
    /// they differ from what this process knows: it looks anew.
    fn other_writer(&self, id: PageId) -> LiveError {
        self.inner.closing.pages().remove(&id);
        log::error!("the revisions of page {id} differ from what was written");
        LiveError::Busy
    }

    /// Tells those who watch the list of what changed lately.
    fn tell(&self, kind: &'static str, id: PageId) {
        let Some(path) = self.pages().look(id, |page| page.path.clone()) else { return };
        let data = serde_json::json!({ "page": id, "path": path });
        self.hub().publish(Topic::Recent, encode(Topic::Recent, kind, &data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_ends_after_a_quiet_minute_when_nobody_writes_or_when_it_is_long() {
        let due = |age, length, writers, edits| {
            is_due(Duration::from_secs(age), Duration::from_secs(length), writers, edits)
        };
        assert!(!due(4, 4, 0, 1) && due(5, 5, 0, 1));
        assert!(!due(59, 59, 1, 1) && due(60, 60, 1, 1));
        assert!(!due(0, 1, 9, 9_999) && due(0, 1, 9, 10_000));
        assert!(!due(0, 1_799, 9, 1) && due(0, 1_800, 9, 1));
    }
}
