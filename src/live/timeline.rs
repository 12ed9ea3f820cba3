//! A page's whole life as one structure.
//!
//! The order that Yjs gives to all characters that were ever typed is fixed once they are in,
//! deleted ones included ([`weave`]). So a page's life is a list of characters in the order of the
//! document, each with the revision that brought it and the one that took it away, and the text at
//! revision `r` is those with `born <= r < died`. Who wrote what, who deleted what, playback and
//! taking back one person's part all follow from that, without replaying anything.
//!
//! Characters that were typed one after the other are kept together as a [`Span`]. Who sent which
//! update, and when, is a column beside it: what came with revision `r` was written by the author
//! of `r`.

mod cache;
pub mod columns;
mod finder;
mod flat;
mod index;
#[cfg(test)]
mod tests;
mod undo;
mod units;
mod weave;

use std::ops::Range;
use std::sync::Arc;

pub(super) use self::cache::Timelines;
pub use self::columns::{Names, TimelineAuthor};
pub(super) use self::finder::{Finder, Ids};
use self::undo::Undone;
use crate::page::{PageId, Revision};

/// Characters side by side whose births and deaths follow a rule.
///
/// Unit `i` (UTF-16, from 0) came with revision `born + i * born_step`, and went with revision
/// `died + i * died_step` unless `died` is 0. Where a step is not 0, each character is one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// UTF-16 units, at least 1.
    pub len: u32,
    /// Bytes of the text.
    pub bytes: u32,
    /// The revision that brought the first unit, at least 1.
    pub born: u32,
    /// 0: all came at once. 1: each with the revision after that of the one before it.
    pub born_step: i8,
    /// The revision that deleted the first unit; 0: all are still there.
    pub died: u32,
    /// As `born_step`; -1 when they were deleted backwards.
    pub died_step: i8,
}

/// A stretch of text with who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Where it begins, in UTF-16 units.
    pub start: u32,
    /// UTF-16 units.
    pub len: u32,
    /// Who wrote it, see [`Timeline::login`].
    pub author: u32,
    /// The revision that brought it.
    pub rev: Revision,
    /// When it was accepted, milliseconds since 1970.
    pub at_ms: u64,
}

/// Who sent each update, and when: a column for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entries {
    /// Logins, in the order in which they came.
    logins: Vec<Arc<str>>,
    /// Per revision from 1 on, a number of `logins`.
    author: Vec<u32>,
    /// Per revision, milliseconds since 1970.
    at_ms: Vec<u64>,
    /// Edits that took back somebody's part, in the order of the log.
    undone: Vec<Undone>,
}

/// A page's life up to a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    page: PageId,
    head: Revision,
    /// Everything that was ever to be read, in the order of the document.
    text: String,
    spans: Vec<Span>,
    entries: Entries,
}

impl Timeline {
    /// The page.
    #[must_use]
    pub fn page(&self) -> PageId {
        self.page
    }

    /// The last revision that it has.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.head
    }

    /// All characters that were ever to be read, in the order of the document.
    #[must_use]
    pub fn all_text(&self) -> &str {
        &self.text
    }

    /// When they came and went, in the order of [`all_text`](Self::all_text).
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How many have written.
    #[must_use]
    pub fn authors(&self) -> usize {
        self.entries.logins.len()
    }

    /// The login of an author by number, from 0 on in the order in which they came.
    #[must_use]
    pub fn login(&self, author: u32) -> Option<&str> {
        self.entries.logins.get(author as usize).map(AsRef::as_ref)
    }

    /// The author of a revision; `None` for 0 and after the head.
    #[must_use]
    pub fn author(&self, rev: Revision) -> Option<u32> {
        let at = usize::try_from(rev.0.checked_sub(1)?).ok()?;
        self.entries.author.get(at).copied()
    }

    /// When a revision was accepted, milliseconds since 1970; `None` as for
    /// [`author`](Self::author).
    #[must_use]
    pub fn at_ms(&self, rev: Revision) -> Option<u64> {
        let at = usize::try_from(rev.0.checked_sub(1)?).ok()?;
        self.entries.at_ms.get(at).copied()
    }

    /// The text at a revision; `None` after the head.
    #[must_use]
    pub fn text_at(&self, rev: Revision) -> Option<String> {
        let rev = self.number(rev)?;
        let mut out = String::new();
        for (span, text) in self.texts() {
            let alive = span.alive(rev);
            if !alive.is_empty() {
                out.push_str(span.part(text, alive));
            }
        }
        Some(out)
    }

    /// Who wrote each part of the text at a revision, without gaps; `None` after the head.
    /// Neighbours of one revision are one stretch, whatever was deleted between them.
    #[must_use]
    pub fn blame_at(&self, rev: Revision) -> Option<Vec<Blame>> {
        let rev = self.number(rev)?;
        let mut out: Vec<Blame> = Vec::new();
        let mut start = 0;
        for span in &self.spans {
            let alive = span.alive(rev);
            if alive.is_empty() {
                continue;
            }
            // Where each came with another revision, one unit at a time.
            let step = if span.born_step == 0 { alive.end - alive.start } else { 1 };
            for at in alive.step_by(step as usize) {
                let born = Revision(span.born_of(at).into());
                match out.last_mut() {
                    Some(last) if last.rev == born => last.len += step,
                    _ => out.push(Blame {
                        start,
                        len: step,
                        author: self.author(born)?,
                        rev: born,
                        at_ms: self.at_ms(born)?,
                    }),
                }
                start += step;
            }
        }
        Some(out)
    }

    /// The text at revision `now` without one author's part of the revisions after `from` up to
    /// `to`: what they inserted there and is still there is taken out, and what they deleted there
    /// is put back where it was, unless it was their own of those revisions, or an earlier edit of
    /// this kind has put it back already. `None` when `now` is after the head.
    #[must_use]
    pub fn without(
        &self,
        author: u32,
        from: Revision,
        to: Revision,
        now: Revision,
    ) -> Option<String> {
        let now = self.number(now)?;
        let theirs = |rev: u32| {
            let rev = Revision(rev.into());
            from < rev && rev <= to && self.author(rev) == Some(author)
        };
        let before = undo::before(&self.entries, author, now);
        let is_back =
            |born: u32, died: u32| before.iter().any(|undone| undone.put_back(born, died));
        let stays = |born: u32, died: u32| {
            let is_there = died == 0 || died > now;
            let stays = born <= now && !theirs(born) && (is_there || theirs(died));
            stays && (is_there || !is_back(born, died))
        };
        let mut out = String::new();
        for (span, text) in self.texts() {
            if span.born_step == 0 && span.died_step == 0 {
                if stays(span.born, span.died) {
                    out.push_str(text);
                }
                continue;
            }
            // Each character is one unit here.
            for (at, character) in (0..span.len).zip(text.chars()) {
                if stays(span.born_of(at), span.died_of(at)) {
                    out.push(character);
                }
            }
        }
        Some(out)
    }

    /// The authors of the revisions after `from` up to `to`, the busiest first, with the number of
    /// their updates.
    #[must_use]
    pub fn authors_between(&self, from: Revision, to: Revision) -> Vec<(u32, u64)> {
        let mut edits = vec![0_u64; self.authors()];
        let index = |rev: Revision| usize::try_from(rev.0).unwrap_or(usize::MAX);
        let all = &self.entries.author;
        let end = index(to).min(all.len());
        for &author in all.get(index(from)..end).unwrap_or_default() {
            edits[author as usize] += 1;
        }
        let counted = (0_u32..).zip(edits).filter(|(_, edits)| *edits > 0);
        let mut authors: Vec<_> = counted.collect();
        authors.sort_by_key(|&(author, edits)| (std::cmp::Reverse(edits), author));
        authors
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
            + self.spans.len() * size_of::<Span>()
            + self.entries.author.len() * (size_of::<u32>() + size_of::<u64>())
            + self.entries.logins.len() * 64
    }

    /// Each span with its text.
    fn texts(&self) -> impl Iterator<Item = (&Span, &str)> {
        let mut rest = self.text.as_str();
        self.spans.iter().map(move |span| {
            let (text, after) =
                rest.split_at_checked(span.bytes as usize).unwrap_or((rest, Default::default()));
            rest = after;
            (span, text)
        })
    }

    fn number(&self, rev: Revision) -> Option<u32> {
        u32::try_from(rev.0).ok().filter(|_| rev <= self.head)
    }
}

impl Span {
    /// The revision that brought a unit.
    #[must_use]
    pub fn born_of(&self, unit: u32) -> u32 {
        if self.born_step == 0 { self.born } else { self.born + unit }
    }

    /// The revision that deleted a unit; 0 while it is there.
    #[must_use]
    pub fn died_of(&self, unit: u32) -> u32 {
        match (self.died, self.died_step) {
            (0, _) => 0,
            (died, 0) => died,
            (died, 1..) => died + unit,
            (died, _) => died - unit,
        }
    }

    /// The units that are there at a revision: always side by side.
    #[must_use]
    pub fn alive(&self, rev: u32) -> Range<u32> {
        let mut alive = 0..match rev.checked_sub(self.born) {
            None => 0,
            Some(_) if self.born_step == 0 => self.len,
            Some(after) => self.len.min(after + 1),
        };
        match (self.died, self.died_step) {
            (0, _) => {}
            (died, 0) if died <= rev => alive.end = 0,
            (_, 0) => {}
            // Units whose death is at `rev` or before are the first ones.
            (died, 1..) => alive.start = (rev + 1).saturating_sub(died),
            // And here the last ones.
            (died, _) => alive.end = alive.end.min(died.saturating_sub(rev)),
        }
        alive
    }

    /// Of the span's text, some units.
    fn part<'a>(&self, text: &'a str, units: Range<u32>) -> &'a str {
        if units == (0..self.len) {
            return text;
        }
        let byte = |units: u32| match self.bytes == self.len {
            true => units as usize,
            false => units::offset(text, units as usize).0,
        };
        text.get(byte(units.start)..byte(units.end)).unwrap_or_default()
    }
}
