//! Markdown to safe HTML, one top-level block at a time.
//!
//! STUB: signatures only, to be replaced by the real module.

use std::sync::Arc;

use crate::page::PagePath;

/// One top-level block of a rendered page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// 16 hex digits over `html`: equal hash, equal block.
    pub hash: String,
    /// Source lines from this block's first line to the next block's first line (or the end).
    pub lines: usize,
    /// Sanitised HTML, complete in itself.
    pub html: Arc<str>,
}

/// A rendered page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Text of the first heading, if there is one.
    pub title: Option<String>,
    /// Top-level blocks in order.
    pub blocks: Vec<Block>,
    /// Keys (`PagePath::key`) of the pages that `[[links]]` point at.
    pub links: Vec<String>,
}

/// Renders one page again and again, remembering blocks that did not change.
#[derive(Default)]
pub struct Renderer {}

#[expect(clippy::unimplemented, unused_variables, reason = "stub")]
impl Renderer {
    /// Renders `text`; `exists` answers whether a page that a `[[link]]` names is there.
    ///
    /// Total: any input renders, in bounded time.
    pub fn render(&mut self, text: &str, exists: &dyn Fn(&PagePath) -> bool) -> Rendered {
        unimplemented!()
    }
}
