//! How two revisions of a page differ.

use serde::Serialize;

use super::PageView;
use super::history::AuthorView;
use crate::diff::rendered::{Moved, RenderedDiff, Row};
use crate::diff::{self, Diff};
use crate::live::history::RevisionAuthor;
use crate::page::Revision;

/// Authors on the page of a difference whose part can be taken back there.
const MAX_PARTS: usize = 20;

/// Two revisions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The older one.
    pub from: Revision,
    /// The newer one.
    pub to: Revision,
    /// The page's newest.
    pub head: Revision,
}

/// In which form a difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffForm {
    /// The source, what is gone and what came one below the other.
    Inline,
    /// The source, side by side.
    Split,
    /// The page as people read it, in one.
    Rendered,
    /// The page as people read it, side by side.
    RenderedSplit,
}

impl DiffForm {
    /// From an address.
    #[must_use]
    pub fn parse(view: Option<&str>) -> Self {
        match view {
            Some("split") => Self::Split,
            Some("rendered") => Self::Rendered,
            Some("rendered-split") => Self::RenderedSplit,
            _ => Self::Inline,
        }
    }

    /// As the end of an address's query.
    #[must_use]
    pub fn query(self) -> &'static str {
        match self {
            Self::Inline => "",
            Self::Split => "&view=split",
            Self::Rendered => "&view=rendered",
            Self::RenderedSplit => "&view=rendered-split",
        }
    }

    /// Whether the page is shown as people read it.
    #[must_use]
    pub fn is_rendered(self) -> bool {
        matches!(self, Self::Rendered | Self::RenderedSplit)
    }

    /// Whether what was stands beside what is.
    #[must_use]
    pub fn is_split(self) -> bool {
        matches!(self, Self::Split | Self::RenderedSplit)
    }

    fn of(is_rendered: bool, is_split: bool) -> Self {
        match (is_rendered, is_split) {
            (false, false) => Self::Inline,
            (false, true) => Self::Split,
            (true, false) => Self::Rendered,
            (true, true) => Self::RenderedSplit,
        }
    }
}

/// A form for whoever looks at the page, and the way to each other one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FormView {
    /// See [`DiffForm::is_rendered`].
    pub is_rendered: bool,
    /// See [`DiffForm::is_split`].
    pub is_split: bool,
    /// This form, as the end of an address's query.
    pub query: &'static str,
    /// The source, otherwise the same.
    pub source: &'static str,
    /// The page as people read it, otherwise the same.
    pub rendered: &'static str,
    /// One below the other, otherwise the same.
    pub inline: &'static str,
    /// Side by side, otherwise the same.
    pub split: &'static str,
}

impl FormView {
    fn new(form: DiffForm) -> Self {
        let (is_rendered, is_split) = (form.is_rendered(), form.is_split());
        Self {
            is_rendered,
            is_split,
            query: form.query(),
            source: DiffForm::of(false, is_split).query(),
            rendered: DiffForm::of(true, is_split).query(),
            inline: DiffForm::of(is_rendered, false).query(),
            split: DiffForm::of(is_rendered, true).query(),
        }
    }
}

/// A difference, as it was made for a form.
#[derive(Debug)]
pub enum Shown {
    /// Of the sources.
    Source(Diff),
    /// Of the renderings.
    Rendered(RenderedDiff),
}

/// `diff`: how two revisions differ.
#[derive(Debug, Serialize)]
pub struct DiffView {
    /// The page.
    pub page: PageView,
    /// Which revisions.
    pub range: Range,
    /// How it is shown.
    pub form: FormView,
    /// What differs in the source.
    pub rows: Vec<RowView>,
    /// What differs in the rendering.
    pub blocks: Vec<BlockRowView>,
    /// Lines or blocks that came.
    pub added: usize,
    /// Lines or blocks that went.
    pub removed: usize,
    /// Blocks with other words in them.
    pub changed: usize,
    /// Blocks that stand elsewhere.
    pub moved: usize,
    /// See [`Diff::is_coarse`].
    pub is_coarse: bool,
    /// See [`Diff::is_cut`].
    pub is_cut: bool,
    /// See [`Diff::only_ends`].
    pub only_ends: bool,
    /// See [`RenderedDiff::only_source`].
    pub only_source: bool,
    /// True when whoever asks may write the page.
    pub can_write: bool,
    /// True when the page is deleted and whoever asks may bring it back.
    pub can_restore: bool,
    /// Whose part can be taken back, the busiest first.
    pub authors: Vec<AuthorView>,
    /// How many more have a part.
    pub others: usize,
}

/// One row: a line of either side or of both.
#[derive(Debug, Serialize)]
pub struct RowView {
    /// `same`, `changed`, `skipped`.
    pub kind: &'static str,
    /// The line before.
    pub old: Option<LineView>,
    /// The line after.
    pub new: Option<LineView>,
    /// How many are skipped.
    pub skipped: usize,
}

/// A row of the renderings: a block of either side or of both. In one column each has one block,
/// `old` where it is gone and else `new`.
#[derive(Debug, Default, Serialize)]
pub struct BlockRowView {
    /// The block before.
    pub old: Option<BlockView>,
    /// The block after.
    pub new: Option<BlockView>,
    /// How many are skipped; then there is none.
    pub skipped: usize,
}

/// One block of the renderings.
#[derive(Debug, Serialize)]
pub struct BlockView {
    /// `same`, `changed`, `gone`, `came`.
    pub kind: &'static str,
    /// Sanitised, without ids.
    pub html: String,
    /// Which of the blocks that stand elsewhere it is, from 1.
    pub moved: Option<usize>,
    /// True when that one stands further down now.
    pub is_down: bool,
}

impl BlockView {
    fn new(kind: &'static str, html: String, moved: Option<Moved>) -> Self {
        let is_down = moved.is_some_and(|moved| moved.is_down);
        Self { kind, html, moved: moved.map(|moved| moved.number), is_down }
    }
}

/// One line.
#[derive(Debug, Serialize)]
pub struct LineView {
    /// Its number.
    pub number: usize,
    /// Its parts.
    pub parts: Vec<PartView>,
    /// Where it stands on the other side, if it was moved.
    pub moved: Option<MovedView>,
}

/// Where a line that was moved stands.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MovedView {
    /// Its number there.
    pub number: usize,
    /// The last one's that was moved with it, when this is the first of several.
    pub last: Option<usize>,
    /// True for the first of those that were moved together.
    pub is_first: bool,
}

/// A part of a line.
#[derive(Debug, Serialize)]
pub struct PartView {
    /// Its text.
    pub text: String,
    /// True when it differs.
    pub changed: bool,
}

impl DiffView {
    /// The view of a comparison, for somebody who may only read.
    #[must_use]
    pub fn new(page: PageView, range: Range, form: DiffForm, shown: Shown) -> Self {
        let mut view = Self {
            page,
            range,
            form: FormView::new(form),
            rows: Vec::new(),
            blocks: Vec::new(),
            added: 0,
            removed: 0,
            changed: 0,
            moved: 0,
            is_coarse: false,
            is_cut: false,
            only_ends: false,
            only_source: false,
            can_write: false,
            can_restore: false,
            authors: Vec::new(),
            others: 0,
        };
        match shown {
            Shown::Source(diff) => view.show_source(diff),
            Shown::Rendered(diff) => view.show_rendered(diff),
        }
        view
    }

    /// One below the other, all that is gone of a change comes first.
    fn show_source(&mut self, diff: Diff) {
        let Diff { rows, added, removed, is_coarse, is_cut, only_ends } = diff;
        let split = self.form.is_split;
        let mut views = Vec::with_capacity(rows.len());
        let mut waiting = Vec::new();
        for row in rows {
            match row {
                diff::Row::Changed { old, new } if split => {
                    views.push(RowView::of("changed", old.map(line), new.map(line)));
                }
                diff::Row::Changed { old, new } => {
                    if let Some(old) = old {
                        views.push(RowView::of("changed", Some(line(old)), None));
                    }
                    waiting.extend(new.map(line));
                }
                diff::Row::Same { old, new, text } => {
                    give(&mut waiting, &mut views);
                    let side = |number, text| LineView {
                        number,
                        parts: vec![PartView { text, changed: false }],
                        moved: None,
                    };
                    let (old, new) = (side(old, text.clone()), side(new, text));
                    views.push(RowView::of("same", Some(old), Some(new)));
                }
                diff::Row::Skipped(skipped) => {
                    give(&mut waiting, &mut views);
                    views.push(RowView { skipped, ..RowView::of("skipped", None, None) });
                }
            }
        }
        give(&mut waiting, &mut views);
        self.rows = views;
        (self.added, self.removed) = (added, removed);
        (self.is_coarse, self.is_cut, self.only_ends) = (is_coarse, is_cut, only_ends);
    }

    fn show_rendered(&mut self, diff: RenderedDiff) {
        let is_split = self.form.is_split;
        let mut rows: Vec<BlockRowView> = Vec::with_capacity(diff.rows.len());
        for row in diff.rows {
            let mut view = BlockRowView::default();
            match row {
                Row::Skipped(skipped) => view.skipped = skipped,
                Row::Same { html } => {
                    view.old = is_split.then(|| BlockView::new("same", html.clone(), None));
                    view.new = Some(BlockView::new("same", html, None));
                }
                Row::Changed { html, before } => {
                    view.old = before.map(|before| BlockView::new("changed", before, None));
                    view.new = Some(BlockView::new("changed", html, None));
                }
                // Side by side, what is gone and what came in the same place share their rows.
                Row::Gone { html, moved } => {
                    let block = Some(BlockView::new("gone", html, moved));
                    match free(&mut rows, |row| row.old.is_some()).filter(|_| is_split) {
                        Some(row) => {
                            row.old = block;
                            continue;
                        }
                        None => view.old = block,
                    }
                }
                Row::Came { html, moved } => {
                    let block = Some(BlockView::new("came", html, moved));
                    match free(&mut rows, |row| row.new.is_some()).filter(|_| is_split) {
                        Some(row) => {
                            row.new = block;
                            continue;
                        }
                        None => view.new = block,
                    }
                }
            }
            rows.push(view);
        }
        self.blocks = rows;
        (self.added, self.removed) = (diff.added, diff.removed);
        (self.changed, self.moved) = (diff.changed, diff.moved);
        (self.is_coarse, self.is_cut) = (diff.is_coarse, diff.is_cut);
        self.only_source = diff.only_source;
    }

    /// The same with those whose part can be taken back.
    #[must_use]
    pub fn with_authors(mut self, authors: &[RevisionAuthor]) -> Self {
        self.authors = authors.iter().take(MAX_PARTS).map(AuthorView::new).collect();
        self.others = authors.len().saturating_sub(MAX_PARTS);
        self
    }
}

/// The first row at the end of a list that has room on one side.
fn free(
    rows: &mut [BlockRowView],
    is_taken: impl Fn(&BlockRowView) -> bool,
) -> Option<&mut BlockRowView> {
    let last = rows.iter().rposition(|row| row.skipped > 0 || is_taken(row));
    rows.get_mut(last.map_or(0, |last| last + 1))
}

fn give(waiting: &mut Vec<LineView>, views: &mut Vec<RowView>) {
    views.extend(waiting.drain(..).map(|line| RowView::of("changed", None, Some(line))));
}

fn line(line: diff::Line) -> LineView {
    let parts = line.parts.into_iter();
    let parts = parts.map(|part| PartView { text: part.text, changed: part.changed }).collect();
    let moved = line.moved.map(|moved| MovedView {
        number: moved.number,
        last: (moved.lines > 1).then(|| moved.number + moved.lines - 1),
        is_first: moved.lines > 0,
    });
    LineView { number: line.number, parts, moved }
}

impl RowView {
    fn of(kind: &'static str, old: Option<LineView>, new: Option<LineView>) -> Self {
        Self { kind, old, new, skipped: 0 }
    }
}
