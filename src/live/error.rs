//! What can go wrong with a live page.

use super::document::DocumentError;
use super::gate::Refusal;
use crate::store::StoreError;

/// What can go wrong with a live page.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No page has that number.
    #[error("there is no such page")]
    NoPage,
    /// The page was deleted; it can be restored.
    #[error("the page is deleted")]
    Deleted,
    /// The page has no such revision.
    #[error("the page has no such revision")]
    UnknownRevision,
    /// A text made from one that had in it what has been erased since.
    #[error("something was erased from the page since")]
    Erased,
    /// The text would pass [`MAX_TEXT_BYTES`](crate::page::MAX_TEXT_BYTES).
    #[error("the page is full")]
    PageFull,
    /// The page's history is too long to be taken apart, see [`timeline`](super::timeline).
    #[error("the history of the page is too long")]
    HistoryTooLong,
    /// See [`MAX_WATCHES`](super::visits::MAX_WATCHES).
    #[error("too many pages are watched")]
    TooManyWatches,
    /// Too much is waiting; try again.
    #[error("too much is waiting")]
    Busy,
    /// The gate refused an update.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document failed.
    #[error(transparent)]
    Document(DocumentError),
}

impl From<DocumentError> for LiveError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Document(other),
        }
    }
}
