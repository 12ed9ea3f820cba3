//! What can go wrong with the store.

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has this data open.
    #[error("another process is using this data directory")]
    Locked,
    /// Too little space is left; nothing was written.
    #[error("the disk is full")]
    DiskFull,
    /// The process has too many files open; nothing was written.
    #[error("too many files are open")]
    Crowded,
    /// A key or value past its limit; nothing was written.
    #[error("the record is too large")]
    TooLarge,
    /// The store has stopped after a failed write or is closing.
    #[error("the store has stopped")]
    Stopped,
    /// Bytes on disk are not what was written, and could not be repaired.
    #[error("the stored data is damaged: {0}")]
    Damaged(String),
    /// A part of a page's history is in a file that is damaged or gone. Everything else is there.
    #[error("a part of the history cannot be read: {0}; put the file back from a backup")]
    Lost(String),
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
