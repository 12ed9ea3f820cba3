//! The one thread that writes: group commit.
//!
//! Take everything that waits; check and encode; write; sync once; apply; answer. The next group
//! gathers while this one syncs. Nobody sees or is told anything before the sync. What nobody
//! waits for (snapshots, the results of a compaction) is written in slices between two groups.

mod group;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::applier::Applier;
use super::checkpoint::{self, Made};
use super::compact::{self, Compacted, Install, Packed};
use super::journal::{Journal, NoRoom};
use super::queue::{Patience, Permit};
use super::shared::Shared;
use super::snapshot::Job;
use super::{Change, LogEntry, StoreError};
use crate::page::Revision;
use group::Group;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer can be asked.
pub(super) enum Item {
    Append {
        page: u64,
        entries: Vec<LogEntry>,
        reply: Reply<Revision>,
        permit: Permit,
    },
    Change {
        changes: Vec<Change>,
        reply: Reply<bool>,
        permit: Permit,
    },
    Snapshot(Job),
    Checkpoint(Reply<()>),
    CheckpointDone(Result<Made, StoreError>),
    /// Without a reply: because it is time to look.
    Compact {
        now_ms: u64,
        reply: Option<Reply<Compacted>>,
    },
    Packed(Box<Packed>),
    CompactionDone(Result<Compacted, StoreError>),
    Close,
}

/// Nothing is written for so long: time to write down how far the journal is.
const IDLE: Duration = Duration::from_millis(500);
/// Free bytes without which nothing is written that nobody asked for.
const SPARE_BYTES: u64 = 8 << 20;

/// State of the writer thread.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub journal: Journal,
    pub applier: Applier,
    /// Snapshots that are being written, a slice between two groups.
    snapshots: Vec<Job>,
    checkpoint: Option<JoinHandle<()>>,
    /// Who wants a checkpoint that begins from now on.
    waiting_for_checkpoint: Vec<Reply<()>>,
    /// Who waits for the one that runs.
    served: Vec<Reply<()>>,
    /// Journal position at which the next checkpoint is due.
    checkpoint_at: u64,
    /// Packs that the running checkpoint cannot name any more.
    retired: Vec<u64>,
    compaction: Option<JoinHandle<()>>,
    /// A pack whose records are being made, a slice between two groups.
    install: Option<Install>,
    /// Compactions that are wanted: the time, and who waits.
    waiting_for_compaction: Vec<(u64, Option<Reply<Compacted>>)>,
    /// Who waits for the one that runs.
    compacting_for: Vec<Reply<Compacted>>,
}

impl Writer {
    /// `checkpointed` is position and size of the newest checkpoint.
    pub fn new(
        shared: Arc<Shared>,
        journal: Journal,
        applier: Applier,
        checkpointed: (u64, u64),
    ) -> Self {
        let (position, size) = checkpointed;
        let checkpoint_at = position + size.max(shared.options.checkpoint_bytes);
        shared.checkpoint_bytes.store(size, Ordering::Relaxed);
        let writer = Self {
            shared,
            journal,
            applier,
            snapshots: Vec::new(),
            checkpoint: None,
            waiting_for_checkpoint: Vec::new(),
            served: Vec::new(),
            checkpoint_at,
            retired: Vec::new(),
            compaction: None,
            install: None,
            waiting_for_compaction: Vec::new(),
            compacting_for: Vec::new(),
        };
        writer.publish_numbers();
        writer
    }

    /// Runs until closed or failed.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let result = catch_unwind(AssertUnwindSafe(|| self.work()));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(&error.to_string()),
            Err(_) => shared.fail("the writer panicked"),
        }
        drop(shared.queue.close());
        shared.abandon.store(true, Ordering::Relaxed);
        // The compaction may be waiting for this one.
        self.install = None;
        for thread in self.checkpoint.take().into_iter().chain(self.compaction.take()) {
            let _ = thread.join();
        }
    }

    fn work(&mut self) -> Result<(), StoreError> {
        loop {
            let idle = self.snapshots.is_empty() && self.install.is_none();
            let patience = match (idle, self.applier.is_noted()) {
                (false, _) => Patience::None,
                (true, false) => Patience::UpTo(IDLE),
                (true, true) => Patience::Endless,
            };
            let items = self.shared.queue.take(patience);
            if self.shared.has_failed() {
                return Ok(());
            }
            if items.is_empty() && idle {
                self.note()?;
            }
            let mut group = Group::new();
            let mut closing = false;
            for item in items {
                match item {
                    Item::Append { page, entries, reply, permit } => {
                        group.append(&*self, (page, entries), (reply, permit))?;
                    }
                    Item::Change { changes, reply, permit } => {
                        group.change(&*self, changes, (reply, permit))?;
                    }
                    Item::Snapshot(job) => self.snapshots.push(job),
                    Item::Checkpoint(reply) => self.waiting_for_checkpoint.push(reply),
                    Item::CheckpointDone(made) => self.finish_checkpoint(made)?,
                    Item::Compact { now_ms, reply } => {
                        self.waiting_for_compaction.push((now_ms, reply));
                    }
                    Item::Packed(packed) => self.install = Some(Install::new(*packed)),
                    Item::CompactionDone(done) => self.finish_compaction(&done),
                    Item::Close => closing = true,
                }
            }
            self.commit(group)?;
            let shared = Arc::clone(&self.shared);
            shared.watched(|| self.applier.housekeep())?;
            if closing {
                return self.close();
            }
            self.write_snapshots()?;
            self.install_some()?;
            self.start_checkpoint()?;
            self.start_compaction()?;
        }
    }

    /// Lets sled say how far the journal is. Otherwise nobody could tell, on a wiki where little
    /// is written, that a journal was cut short on the disk.
    fn note(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let free = shared.disk.free_bytes(&shared.dir).unwrap_or(0);
        if free < SPARE_BYTES || !shared.has_space() {
            self.applier.skip_note();
            return Ok(());
        }
        shared.watched(|| self.applier.note())
    }

    /// Writes, syncs, applies and answers a group.
    fn commit(&mut self, group: Group) -> Result<(), StoreError> {
        if group.is_empty() {
            group.answer();
            return Ok(());
        }
        let grows = !self.journal.has_room(group.bytes().len() as u64);
        if grows {
            self.shared.look_again();
        }
        if !self.shared.has_space() {
            group.refuse();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let disk = &*shared.disk;
        match shared.watched(|| self.journal.make_room(group.bytes().len() as u64, disk)) {
            Ok(()) => {}
            Err(NoRoom::Full) => {
                shared.say_full();
                group.refuse();
                return Ok(());
            }
            // Whoever holds thousands of connections must not be able to end the process.
            Err(NoRoom::Crowded) => {
                log::error!("store: too many open files; nothing is written until some are closed");
                group.refuse_crowded();
                return Ok(());
            }
            Err(NoRoom::Broken(error)) => return Err(error.into()),
        }
        // A roll leaves the end where it is, so the positions in the group still hold.
        self.journal.write(group.bytes(), group.prev())?;
        shared.watched(|| self.journal.sync(disk))?;
        shared.durable.store(self.journal.end(), Ordering::Release);
        self.publish_numbers();
        shared.watched(|| group.apply(&mut self.applier))?.answer();
        Ok(())
    }

    fn write_snapshots(&mut self) -> Result<(), StoreError> {
        if let Some(mut job) = self.snapshots.pop()
            && !job.write_some(&self.applier.kv)?
        {
            self.snapshots.push(job);
        }
        Ok(())
    }

    fn install_some(&mut self) -> Result<(), StoreError> {
        if let Some(mut install) = self.install.take()
            && !install.go_on(&self.applier, &self.shared)?
        {
            self.install = Some(install);
        }
        Ok(())
    }

    fn start_checkpoint(&mut self) -> Result<(), StoreError> {
        let due = self.journal.end() >= self.checkpoint_at;
        let wanted = due || !self.waiting_for_checkpoint.is_empty();
        if self.checkpoint.is_some() || !wanted {
            return Ok(());
        }
        if self.compaction.is_some() {
            self.shared.hurry.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !self.shared.has_space() {
            for reply in self.waiting_for_checkpoint.drain(..) {
                let _ = reply.send(Err(StoreError::DiskFull));
            }
            // Looked at again when more is written, which needs space as well.
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        shared.watched(|| self.applier.settle())?;
        match self.journal.roll() {
            Ok(()) => {}
            // Without a new segment less can be cut, which is no reason to stop.
            Err(NoRoom::Full) => self.shared.say_full(),
            Err(NoRoom::Crowded) => {}
            Err(NoRoom::Broken(error)) => return Err(error.into()),
        }
        let plan = checkpoint::Plan {
            position: self.journal.end(),
            sum: self.applier.sum,
            prev: self.journal.prev(),
            kv: Arc::clone(&self.applier.kv),
        };
        self.retired = shared.packs.retired(&plan.kv)?;
        let thread =
            std::thread::Builder::new().name("halley-checkpoint".into()).spawn(move || {
                let made = catch_unwind(AssertUnwindSafe(|| checkpoint::make(&shared, &plan)));
                let made = made
                    .unwrap_or_else(|_| Err(StoreError::Damaged("the checkpoint panicked".into())));
                // Refused only when the store is closing.
                let _ = shared.queue.push(0, Item::CheckpointDone(made));
            })?;
        self.checkpoint = Some(thread);
        self.served = std::mem::take(&mut self.waiting_for_checkpoint);
        Ok(())
    }

    fn finish_checkpoint(&mut self, made: Result<Made, StoreError>) -> Result<(), StoreError> {
        if let Some(thread) = self.checkpoint.take() {
            let _ = thread.join();
        }
        let threshold = self.shared.options.checkpoint_bytes;
        let answer = match made {
            Ok(made) => {
                // sled was made durable up to the position before the checkpoint began.
                let tidied = self.journal.cut(made.position);
                let tidied = tidied
                    .and_then(|()| checkpoint::remove_before(&self.shared.dir, made.position))
                    .map_err(StoreError::from)
                    .and_then(|()| self.shared.packs.bury(&self.applier.kv, &self.retired));
                if let Err(error) = tidied {
                    log::warn!("store: files that are not needed any more stay: {error}");
                }
                self.checkpoint_at = made.position + made.bytes.max(threshold);
                self.shared.checkpoint_bytes.store(made.bytes, Ordering::Relaxed);
                self.publish_numbers();
                None
            }
            Err(error) => {
                log::error!("store: no checkpoint could be made: {error}");
                self.checkpoint_at = self.journal.end() + threshold / 4;
                Some(error.to_string())
            }
        };
        for reply in self.served.drain(..) {
            let _ = reply.send(match &answer {
                None => Ok(()),
                Some(text) => Err(std::io::Error::other(text.clone()).into()),
            });
        }
        Ok(())
    }

    fn start_compaction(&mut self) -> Result<(), StoreError> {
        if self.waiting_for_compaction.is_empty() || self.checkpoint.is_some() {
            return Ok(());
        }
        if self.compaction.is_some() {
            if self.waiting_for_compaction.iter().any(|(_, reply)| reply.is_some()) {
                self.shared.hurry.store(true, Ordering::Relaxed);
            }
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting_for_compaction);
        let now_ms = waiting.iter().map(|(now_ms, _)| *now_ms).max().unwrap_or(0);
        self.compacting_for = waiting.into_iter().filter_map(|(_, reply)| reply).collect();
        if !self.shared.has_space() {
            self.finish_compaction(&Err(StoreError::DiskFull));
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let at_once = !self.compacting_for.is_empty();
        if at_once {
            // Whoever asks for it wants what is in memory packed as well.
            shared.watched(|| self.applier.settle())?;
        }
        shared.hurry.store(false, Ordering::Relaxed);
        let plan = compact::Plan { kv: Arc::clone(&self.applier.kv), now_ms, at_once };
        let thread = std::thread::Builder::new().name("halley-compact".into()).spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(|| compact::make(&shared, &plan)));
            let done = done.unwrap_or_else(|_| Err(std::io::Error::other("it panicked").into()));
            drop(plan);
            // Refused only when the store is closing.
            let _ = shared.queue.push(0, Item::CompactionDone(done));
        });
        match thread {
            Ok(thread) => self.compaction = Some(thread),
            // No threads are left just now: nothing that has to be packed today.
            Err(error) => self.finish_compaction(&Err(error.into())),
        }
        Ok(())
    }

    fn finish_compaction(&mut self, done: &Result<Compacted, StoreError>) {
        if let Some(thread) = self.compaction.take() {
            let _ = thread.join();
        }
        match done {
            Ok(done) if done.packs > 0 => {
                self.shared.note_compacted(*done);
                log::info!("store: {}", done.sentence());
            }
            Ok(_) | Err(StoreError::Stopped) => {}
            Err(error) => log::error!("store: old edits could not be packed: {error}"),
        }
        for reply in self.compacting_for.drain(..) {
            let _ = reply.send(match done {
                Ok(done) => Ok(*done),
                Err(StoreError::DiskFull) => Err(StoreError::DiskFull),
                Err(error) => Err(std::io::Error::other(error.to_string()).into()),
            });
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        while self.install.is_some() {
            self.install_some()?;
        }
        for mut job in self.snapshots.drain(..) {
            while !job.write_some(&self.applier.kv)? {}
        }
        self.applier.settle()
    }

    fn publish_numbers(&self) {
        self.shared.journal_bytes.store(self.journal.bytes(), Ordering::Relaxed);
        self.shared.durable.store(self.journal.end(), Ordering::Release);
    }
}
