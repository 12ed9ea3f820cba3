//! The task that accepts a page's updates, in one order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Room, Submission};
use crate::live::gate::{GateState, Limits};
use crate::live::topic::{Topic, encode};
use crate::live::{LiveError, now_ms};
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
    client: u64,
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
            gate.check_within(update, &|client| clients.owns(&author.id, client), &limits)?
        };
        if passed.known {
            return Ok(Some(revision));
        }
        let limit = MAX_TEXT_BYTES as u64;
        if passed.inserted_bytes > 0 && *text_bytes + passed.inserted_bytes > limit {
            *text_bytes = self.text().1.len() as u64;
            if *text_bytes + passed.inserted_bytes > limit {
                return Err(LiveError::PageFull);
            }
        }
        *text_bytes += passed.inserted_bytes;
        gate.accept(update);
        Ok(None)
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
        let first = last.0 + 1 - accepted.len() as u64;
        let mut results = Vec::with_capacity(accepted.len());
        let mut damaged = false;
        {
            let mut state = self.lock();
            let mut events = Vec::with_capacity(accepted.len());
            for (n, submission) in (first..).zip(&accepted) {
                let rev = Revision(n);
                match state.document.apply(&submission.update) {
                    Ok(()) => {
                        state.ops.insert(&submission.author.id, &submission.op, rev);
                        let update = BASE64.encode(&submission.update);
                        let client = gate.first_client(&submission.update);
                        let event = Updated { rev, update, client };
                        events.push(encode(Topic::Doc(self.id), "updated", &event));
                        results.push(Ok(rev));
                    }
                    Err(error) => {
                        log::error!("page {}: update {rev} is quarantined: {error}", self.id);
                        damaged = true;
                        results.push(Err(error.into()));
                        state.restore_document(self.id);
                    }
                }
            }
            state.revision = last;
            state.text = None;
            self.shared.hub.publish_all(Topic::Doc(self.id), events);
        }
        self.shared.pages.edited(self.id, last, at_ms);
        self.dirty.notify_one();
        if damaged {
            self.rebuild_gate(gate, text_bytes);
        }
        for (submission, result) in accepted.into_iter().zip(results) {
            answer(submission, result);
        }
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

impl super::State {
    /// After a failed apply: what the document still holds, in a fresh one.
    fn restore_document(&mut self, page: crate::page::PageId) {
        let restored = self
            .document
            .diff(None)
            .and_then(|state| crate::live::document::Document::from_state(&state));
        match restored {
            Ok(document) => self.document = document,
            Err(error) => log::error!("page {page}: document not restored: {error}"),
        }
    }
}

fn answer(submission: Submission, result: Result<Revision, LiveError>) {
    // Nobody waits any more when the connection has gone; the edit is saved all the same.
    let _ = submission.answer.send(result);
}
