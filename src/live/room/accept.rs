//! The task that accepts a page's updates, in one order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Room, Submission, replay};
use crate::live::document::DocumentError;
use crate::live::gate::{GateState, Limits};
use crate::live::topic::{Encoded, Topic, encode};
use crate::live::{LiveError, blocking, now_ms};
use crate::page::{MAX_TEXT_BYTES, Revision};
use crate::store::{LogEntry, StoreError};

/// Most updates made durable together.
const GROUP: usize = 256;

/// Updates between two snapshots of a page that is being written.
const SNAPSHOT_EVERY: u64 = 2_000;

#[derive(Serialize)]
struct Updated {
    rev: Revision,
    update: String,
}

impl Room {
    pub(super) async fn accept_updates(
        self: Arc<Self>,
        mut gate: GateState,
        mut submissions: mpsc::Receiver<Submission>,
    ) {
        // An upper bound of the text's size; the exact size is looked up only near the limit.
        let mut text_bytes = self.text().1.len() as u64;
        let mut group = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                biased;
                count = submissions.recv_many(&mut group, GROUP) => if count == 0 { return },
                () = self.stopped() => return,
            }
            let count = group.len();
            let mut accepted = Vec::with_capacity(count);
            for submission in group.drain(..) {
                match self.judge(&mut gate, &mut text_bytes, &submission) {
                    Ok(None) => accepted.push(submission),
                    Ok(Some(revision)) => answer(submission, Ok(revision)),
                    Err(error) => answer(submission, Err(error)),
                }
            }
            if !accepted.is_empty() {
                self.commit(&mut gate, &mut text_bytes, accepted).await;
            }
            self.busy.fetch_sub(count, Ordering::SeqCst);
            if let Err(error) = self.keep_snapshot(SNAPSHOT_EVERY).await {
                log::warn!("page {}: no snapshot: {error}", self.id);
            }
        }
    }

    /// Decides on one update: `None` to go on, a revision when it is known already.
    fn judge(
        &self,
        gate: &mut GateState,
        text_bytes: &mut u64,
        submission: &Submission,
    ) -> Result<Option<Revision>, LiveError> {
        let Submission { author, op, update, trusted, .. } = submission;
        let (known_op, revision) = {
            let state = self.lock();
            (state.ops.get(&author.id, op), state.revision)
        };
        if let Some(revision) = known_op {
            return Ok(Some(revision));
        }
        let limits = if *trusted { Limits::SERVER } else { Limits::BROWSER };
        let passed = {
            let clients = self.clients();
            gate.check_with(update, &|client| clients.owns(&author.id, client), &limits)?
        };
        if passed.known {
            return Ok(Some(revision));
        }
        self.fits(text_bytes, update, passed.inserted_bytes)?;
        gate.accept(update);
        Ok(None)
    }

    /// Adds an update to the bound of the text's size, or says that the page is full.
    fn fits(&self, bound: &mut u64, update: &[u8], inserted: u64) -> Result<(), LiveError> {
        let limit = MAX_TEXT_BYTES as u64;
        if inserted == 0 || *bound + inserted <= limit {
            *bound += inserted;
            return Ok(());
        }
        // Near the limit the exact size decides: what is inserted may replace what is deleted.
        // An update that builds on one of the same group cannot be tried alone; its sender
        // tries again.
        let after = self.lock().document.text_after(update).map_err(|_| LiveError::Busy)?;
        if after.len() as u64 > limit {
            return Err(LiveError::PageFull);
        }
        *bound = after.len() as u64;
        Ok(())
    }

    /// Makes a group durable, then applies, publishes and answers it.
    async fn commit(&self, gate: &mut GateState, text_bytes: &mut u64, accepted: Vec<Submission>) {
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
        let appended = self.shared.store.append(self.id, entries).await;
        let last = match appended {
            Ok(last) => last,
            Err(error) => {
                // Nothing was written: the gate must forget what it had let through.
                self.rebuild_gate(gate, text_bytes);
                let full = matches!(error, StoreError::DiskFull);
                log::error!("page {}: {} updates not written: {error}", self.id, accepted.len());
                for submission in accepted {
                    let error = if full { StoreError::DiskFull } else { StoreError::Stopped };
                    answer(submission, Err(error.into()));
                }
                return;
            }
        };
        let mut results = self.apply(last, &accepted);
        if results.len() < accepted.len() {
            self.quarantine(last, &accepted, &mut results).await;
            self.rebuild_gate(gate, text_bytes);
        }
        self.shared.pages.edited(self.id, last, at_ms);
        self.dirty.notify_one();
        for (submission, result) in accepted.into_iter().zip(results) {
            answer(submission, result);
        }
    }

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
                // It stays broken: every call fails until the page is opened again.
                log::error!("page {id}: not loaded again: {error}");
                results.resize_with(accepted.len(), || Err(LiveError::Busy));
            }
        }
    }

    fn event(&self, rev: Revision, submission: &Submission) -> Encoded {
        let update = BASE64.encode(&submission.update);
        encode(Topic::Doc(self.id), "updated", &Updated { rev, update })
    }

    fn rebuild_gate(&self, gate: &mut GateState, text_bytes: &mut u64) {
        let rebuilt = self
            .diff(None)
            .and_then(|(_, _, state)| GateState::from_state(&state).map_err(LiveError::Refused));
        match rebuilt {
            Ok(rebuilt) => *gate = rebuilt,
            // It keeps what it knew, which refuses more than it must and never less.
            Err(error) => log::error!("page {}: gate not rebuilt: {error}", self.id),
        }
        *text_bytes = self.text().1.len() as u64;
    }
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
