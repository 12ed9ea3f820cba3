//! The task that accepts a page's updates, in one order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Room, Submission, replay};
use crate::live::document::{Document, DocumentError};
use crate::live::gate::{GateState, Limits, MANY_STRUCTS, Passed};
use crate::live::topic::{Encoded, Topic, encode};
use crate::live::{LiveError, blocking, now_ms};
use crate::page::{MAX_TEXT_BYTES, Revision};
use crate::store::{LogEntry, StoreError};

/// Most updates made durable together.
const GROUP: usize = 256;

/// Most bytes made durable together, well below what the store takes in one call.
const GROUP_BYTES: usize = 4 << 20;

/// Updates between two snapshots of a page that is being written.
const SNAPSHOT_EVERY: u64 = 2_000;

#[derive(Serialize)]
struct Updated {
    rev: Revision,
    update: String,
}

/// What the task keeps between updates.
struct Accepting {
    room: Arc<Room>,
    /// Knows everything accepted, durable or not yet.
    gate: GateState,
    /// An upper bound of the text's size; the exact size is looked up only near the limit.
    text_bytes: u64,
    /// Accepted, not durable yet.
    accepted: Vec<Submission>,
    /// Their size.
    accepted_bytes: usize,
    /// Repetitions of something accepted; answered once that is durable.
    repeated: Vec<Submission>,
}

impl Room {
    pub(super) async fn accept_updates(
        self: Arc<Self>,
        gate: GateState,
        mut submissions: mpsc::Receiver<Submission>,
    ) {
        let mut group = Vec::with_capacity(GROUP);
        let Ok((_, text)) = self.text() else { return };
        let mut accepting = Accepting {
            text_bytes: text.len() as u64,
            // The only reference of this task, see `Room::is_idle`.
            room: self,
            gate,
            accepted: Vec::new(),
            accepted_bytes: 0,
            repeated: Vec::new(),
        };
        loop {
            tokio::select! {
                biased;
                count = submissions.recv_many(&mut group, GROUP) => if count == 0 { return },
                () = accepting.room.stopped() => return,
            }
            let count = group.len();
            for submission in group.drain(..) {
                accepting.take(submission).await;
            }
            accepting.commit().await;
            accepting.room.busy.fetch_sub(count, Ordering::SeqCst);
            if accepting.room.lock().document.is_broken() {
                // The end of the queue tells that this room is over: the next one who comes
                // opens the page anew.
                return;
            }
            if let Err(error) = accepting.room.keep_snapshot(SNAPSHOT_EVERY).await {
                log::warn!("page {}: no snapshot: {error}", accepting.room.id);
            }
        }
    }
}

impl Accepting {
    /// Decides on one update.
    async fn take(&mut self, submission: Submission) {
        let Submission { author, op, .. } = &submission;
        let answered = self.room.lock().ops.get(&author.id, op);
        // Only the same edit again: an id that comes with another one (two tabs that were
        // made from one) must not be told that this one is saved.
        if let Some(revision) = answered
            && self.check(&submission).is_ok_and(|passed| passed.known)
        {
            return answer(submission, Ok(revision));
        }
        match self.judge(&submission).await {
            Ok(true) => {
                self.gate.accept(&submission.update);
                self.accepted_bytes += submission.update.len();
                self.accepted.push(submission);
            }
            Ok(false) => self.repeated.push(submission),
            Err(error) => answer(submission, Err(error)),
        }
    }

    /// Whether an update is new (true) or all known.
    async fn judge(&mut self, submission: &Submission) -> Result<bool, LiveError> {
        let Submission { update, trusted, .. } = submission;
        if self.accepted_bytes + update.len() > GROUP_BYTES {
            self.commit().await;
        }
        let passed = self.check(submission)?;
        if passed.known {
            return Ok(false);
        }
        let limit = MAX_TEXT_BYTES as u64;
        let may_overflow =
            passed.inserted_bytes > 0 && self.text_bytes + passed.inserted_bytes > limit;
        let may_take_long = !trusted && passed.structs > MANY_STRUCTS;
        if may_overflow || may_take_long {
            // Tried on a copy, of which everything accepted so far must be a part.
            self.commit().await;
            // What it builds on is gone again if the disk was full.
            if self.check(submission)?.known {
                return Ok(false);
            }
            let size = self.rehearse(update.clone()).await?;
            if size > limit {
                return Err(LiveError::PageFull);
            }
            self.text_bytes = size;
        } else {
            self.text_bytes += passed.inserted_bytes;
        }
        Ok(true)
    }

    fn check(&self, submission: &Submission) -> Result<Passed, LiveError> {
        let Submission { author, update, trusted, .. } = submission;
        let limits = if *trusted { Limits::SERVER } else { Limits::BROWSER };
        let clients = self.room.clients();
        let owns = |client| clients.owns(&author.id, client);
        Ok(self.gate.check_with(update, &owns, &limits)?)
    }

    /// The size of the text after an update, found on a copy.
    async fn rehearse(&self, update: Vec<u8>) -> Result<u64, LiveError> {
        let (_, _, state) = self.room.diff(None)?;
        blocking(move || {
            let copy = Document::from_state(&state)?;
            Ok(copy.text_after(&update)?.len() as u64)
        })
        .await
    }

    /// Makes what was accepted durable, then applies, publishes and answers it.
    async fn commit(&mut self) {
        let accepted = std::mem::take(&mut self.accepted);
        self.accepted_bytes = 0;
        let repeated = std::mem::take(&mut self.repeated);
        let committed =
            if accepted.is_empty() { Ok(()) } else { self.commit_group(accepted).await };
        let revision = self.room.lock().revision;
        for submission in repeated {
            let result = match &committed {
                Ok(()) => Ok(revision),
                Err(full) => Err(not_written(*full)),
            };
            answer(submission, result);
        }
    }

    /// The inner error is whether the disk is full; everything has been answered then.
    async fn commit_group(&mut self, accepted: Vec<Submission>) -> Result<(), bool> {
        let room = Arc::clone(&self.room);
        let at_ms = now_ms();
        let entries = accepted
            .iter()
            .map(|submission| LogEntry {
                at_ms,
                author: submission.author.id.clone(),
                op: submission.op.clone(),
                update: submission.update.clone(),
            })
            .collect();
        let last = match room.shared.store.append(room.id, entries).await {
            Ok(last) => last,
            Err(error) => {
                // Nothing was written: the gate must forget what it had let through.
                self.rebuild_gate();
                let full = matches!(error, StoreError::DiskFull);
                log::error!("page {}: {} updates not written: {error}", room.id, accepted.len());
                for submission in accepted {
                    answer(submission, Err(not_written(full)));
                }
                return Err(full);
            }
        };
        let mut results = room.apply(last, &accepted);
        if results.len() < accepted.len() {
            room.quarantine(last, &accepted, &mut results).await;
            self.rebuild_gate();
        }
        room.shared.pages.edited(room.id, last, at_ms);
        room.ask_for_render();
        for (submission, result) in accepted.into_iter().zip(results) {
            answer(submission, result);
        }
        Ok(())
    }

    fn rebuild_gate(&mut self) {
        let rebuilt = self
            .room
            .diff(None)
            .and_then(|(_, _, state)| GateState::from_state(&state).map_err(LiveError::Refused));
        match rebuilt {
            Ok(rebuilt) => self.gate = rebuilt,
            // It keeps what it knew, which refuses more than it must and never less.
            Err(error) => log::error!("page {}: gate not rebuilt: {error}", self.room.id),
        }
        if let Ok((_, text)) = self.room.text() {
            self.text_bytes = text.len() as u64;
        }
    }
}

impl Room {
    /// Applies and publishes what is durable, up to the first update that fails.
    fn apply(&self, last: Revision, accepted: &[Submission]) -> Vec<Result<Revision, LiveError>> {
        let mut results = Vec::with_capacity(accepted.len());
        let mut events = Vec::with_capacity(accepted.len());
        let mut state = self.lock();
        for (rev, submission) in revisions(last, accepted) {
            if let Err(error) = state.document.apply(&submission.update) {
                log::error!("page {}: update {rev} failed: {error}", self.id);
                break;
            }
            state.ops.insert(&submission.author.id, &submission.op, rev);
            state.revision = rev;
            events.push(self.event(rev, submission));
            results.push(Ok(rev));
        }
        state.text = None;
        self.shared.hub.publish_all(Topic::Doc(self.id), events);
        results
    }

    /// After a failure: loads the page anew from the log, in which each update that fails is
    /// passed over, and publishes the rest of the group.
    async fn quarantine(
        &self,
        last: Revision,
        accepted: &[Submission],
        results: &mut Vec<Result<Revision, LiveError>>,
    ) {
        let (store, id) = (self.shared.store.clone(), self.id);
        let replayed = blocking(move || replay(&store, id, None)).await;
        let mut state = self.lock();
        match replayed {
            Ok(replayed) => {
                let mut events = Vec::new();
                for (rev, submission) in revisions(last, accepted).skip(results.len()) {
                    if replayed.quarantined.contains(&rev) {
                        let error = DocumentError::Apply("the update was quarantined".into());
                        results.push(Err(error.into()));
                        continue;
                    }
                    state.ops.insert(&submission.author.id, &submission.op, rev);
                    events.push(self.event(rev, submission));
                    results.push(Ok(rev));
                }
                state.document = replayed.document;
                state.revision = last;
                state.text = None;
                self.shared.hub.publish_all(Topic::Doc(self.id), events);
            }
            Err(error) => {
                // It stays broken: every call fails, and the room ends.
                log::error!("page {id}: not loaded again: {error}");
                results.resize_with(accepted.len(), || Err(LiveError::Busy));
            }
        }
    }

    fn event(&self, rev: Revision, submission: &Submission) -> Encoded {
        let update = BASE64.encode(&submission.update);
        encode(Topic::Doc(self.id), "updated", &Updated { rev, update })
    }
}

fn not_written(full: bool) -> LiveError {
    if full { StoreError::DiskFull.into() } else { StoreError::Stopped.into() }
}

/// The revisions of a group whose last one is known.
fn revisions(
    last: Revision,
    group: &[Submission],
) -> impl Iterator<Item = (Revision, &Submission)> {
    let first = last.0 + 1 - group.len() as u64;
    (first..).map(Revision).zip(group)
}

fn answer(submission: Submission, result: Result<Revision, LiveError>) {
    // Nobody waits any more when the connection has gone; the edit is saved all the same.
    let _ = submission.answer.send(result);
}
