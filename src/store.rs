//! The only code that knows sled: journal, records, page logs, snapshots.
//!
//! STUB: signatures only, to be replaced by the real module.

use std::path::Path;
use std::sync::Arc;

use crate::page::{PageId, Revision};

/// Named sets of small records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Settings of the store itself and counters, by name.
    Meta,
    /// Page records (JSON) by page id (8 bytes, big-endian).
    Pages,
    /// Page ids by the page's name key.
    Names,
    /// Who a Yjs client id was issued to (JSON), by page id and client id (8 + 4 bytes).
    Clients,
    /// Closed revisions (JSON), by page id and revision (8 + 8 bytes).
    Revisions,
}

/// What must be there for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Anything,
    /// The key must not exist.
    Absent,
    /// The key must hold exactly these bytes.
    Exactly(Vec<u8>),
}

/// One change of one record. Several are made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which set.
    pub table: Table,
    /// At most 1 KiB.
    pub key: Vec<u8>,
    /// Condition, checked by the writer against everything accepted before.
    pub expect: Expect,
    /// New bytes (at most 1 MiB; chunked in sled when above 4 KiB), or `None` to remove.
    pub value: Option<Vec<u8>>,
}

/// One accepted update of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was accepted, milliseconds since 1970.
    pub at_ms: u64,
    /// Login (guest id) that sent it.
    pub author: String,
    /// Operation id, so that a retry after a crash is recognised.
    pub op: String,
    /// Yjs update, v1 encoding.
    pub update: Vec<u8>,
}

/// The newest position of a page's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Last revision.
    pub revision: Revision,
    /// When it was accepted, milliseconds since 1970.
    pub at_ms: u64,
}

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one journal segment (64 MiB).
    pub segment_bytes: u64,
    /// sled's page cache in bytes.
    pub cache_bytes: u64,
    /// Below this many free bytes on the disk writes are refused.
    pub free_floor_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, cache_bytes: 16 << 20, free_floor_bytes: 256 << 20 }
    }
}

/// What the store says about itself.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why nothing can be written now (disk full), as a sentence for a person.
    pub read_only: Option<String>,
    /// What had to be repaired at this start, as a sentence for a person.
    pub recovered: Option<String>,
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
}

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has this data open.
    #[error("another process is using this data directory")]
    Locked,
    /// Too little space is left; nothing was written.
    #[error("the disk is full")]
    DiskFull,
    /// A key or value past its limit; nothing was written.
    #[error("the record is too large")]
    TooLarge,
    /// The store has stopped after a failed write or is closing.
    #[error("the store has stopped")]
    Stopped,
    /// Bytes on disk are not what was written, and could not be repaired.
    #[error("the stored data is damaged: {0}")]
    Damaged(String),
    /// The data was written by a newer version.
    #[error("the data has format {found}, this version knows up to {known}")]
    TooNew {
        /// Format found.
        found: u32,
        /// Newest known.
        known: u32,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The store of one wiki. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    _inner: Arc<()>,
}

#[expect(clippy::unimplemented, unused_variables, clippy::unused_async, reason = "stub")]
impl Store {
    /// Opens the data directory, recovering what a crash left. Blocks.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Appends updates to a page's log; returns the revision of the last one once all are on disk.
    pub async fn append(
        &self,
        page: PageId,
        entries: Vec<LogEntry>,
    ) -> Result<Revision, StoreError> {
        unimplemented!()
    }

    /// Makes all changes (true) once they are on disk, or none (false) when a condition failed.
    pub async fn change(&self, changes: Vec<Change>) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// One record.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        unimplemented!()
    }

    /// Records whose key starts with `prefix` and is after `after`, at most `limit`, in key order.
    pub fn list(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        unimplemented!()
    }

    /// Updates of a page after a revision, oldest first, as many as fit `limit_bytes` (at least one).
    pub fn read_log(
        &self,
        page: PageId,
        after: Revision,
        limit_bytes: usize,
    ) -> Result<Vec<(Revision, LogEntry)>, StoreError> {
        unimplemented!()
    }

    /// The newest position of a page's log; `None` when nothing was written.
    pub fn head(&self, page: PageId) -> Result<Option<Head>, StoreError> {
        unimplemented!()
    }

    /// Keeps a state of the document, as a shortcut for reading the log. Not urgent, not synced.
    pub async fn save_snapshot(
        &self,
        page: PageId,
        revision: Revision,
        state: Vec<u8>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// The newest snapshot at or before a revision.
    pub fn snapshot_at(
        &self,
        page: PageId,
        at_most: Revision,
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        unimplemented!()
    }

    /// State of the store.
    pub fn health(&self) -> Health {
        unimplemented!()
    }

    /// Resolves when a sync has failed and the process must exit without acknowledging anything more.
    pub async fn failed(&self) -> String {
        unimplemented!()
    }

    /// Writes everything out and stops the writer. Blocks. Idempotent.
    pub fn close(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
