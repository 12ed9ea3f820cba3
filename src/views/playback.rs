//! A page's life, and who wrote it. What both show comes from the page's timeline, in the browser.

use serde::Serialize;

use super::PageView;

/// `playback`: a page's edits as they were typed.
#[derive(Debug, Serialize)]
pub struct PlaybackView {
    /// The page.
    pub page: PageView,
}

/// `blame`: a page's source with who wrote each character.
#[derive(Debug, Serialize)]
pub struct BlameView {
    /// The page.
    pub page: PageView,
}
