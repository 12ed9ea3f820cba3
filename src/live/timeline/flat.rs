//! From the list of pieces to spans.

use super::undo::Undone;
use super::weave::{Piece, Weave};
use super::{Entries, Span, Timeline};
use crate::page::{PageId, Revision};

/// A page's life as it grows with the log.
#[derive(Default)]
pub(super) struct Growing {
    weave: Weave,
    entries: Entries,
    /// Logins by number.
    numbers: std::collections::HashMap<std::sync::Arc<str>, u32>,
}

impl Growing {
    /// The last revision that is in it.
    pub(super) fn head(&self) -> Revision {
        Revision(self.entries.author.len() as u64)
    }

    /// Takes in the next update of the log. False when it was passed over, as the document passed
    /// it over; it has its revision all the same.
    pub(super) fn add(&mut self, login: &str, at_ms: u64, update: &[u8]) -> bool {
        let author = self.numbers.get(login).copied().unwrap_or_else(|| {
            let number = self.entries.logins.len() as u32;
            let login: std::sync::Arc<str> = login.into();
            self.entries.logins.push(login.clone());
            self.numbers.insert(login, number);
            number
        });
        self.entries.author.push(author);
        self.entries.at_ms.push(at_ms);
        self.weave.apply(update, self.entries.author.len() as u32)
    }

    /// Takes in the operation id of the last update, which says when that took back somebody's
    /// part.
    pub(super) fn note(&mut self, op: &str) {
        let rev = self.entries.author.len() as u32;
        if let Some(undone) = Undone::read(op, rev, &self.entries.logins) {
            self.entries.undone.push(undone);
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.weave.bytes() + self.entries.author.capacity() * (size_of::<u32>() + size_of::<u64>())
    }

    /// See [`Weave::is_overworked`].
    pub(super) fn is_overworked(&self) -> bool {
        self.weave.is_overworked()
    }

    /// All of it as it is now.
    pub(super) fn timeline(&self, page: PageId) -> Timeline {
        let mut text = String::new();
        let mut spans: Vec<Span> = Vec::new();
        for piece in self.weave.pieces() {
            text.push_str(piece.text);
            if !spans.last_mut().is_some_and(|last| join(last, &piece)) {
                spans.push(Span {
                    len: piece.len,
                    bytes: piece.text.len() as u32,
                    born: piece.born,
                    born_step: 0,
                    died: piece.died,
                    died_step: 0,
                });
            }
        }
        spans.shrink_to_fit();
        Timeline { page, head: self.head(), text, spans, entries: self.entries.clone() }
    }
}

/// Adds a piece to a span if it goes on as the span does.
fn join(span: &mut Span, piece: &Piece<'_>) -> bool {
    let after = i64::from(span.len);
    // The step with which a column would go on. A span of one unit may still take any, and more
    // than one unit at once never has one: such as the two of a surrogate pair.
    let step = |first: u32, step: i8, next: u32, steps: &[i64]| {
        let moved = i64::from(next) - i64::from(first);
        let found = if after == 1 { moved } else { i64::from(step) };
        let fits = moved == found * after && steps.contains(&found);
        (fits && (found == 0 || piece.len == 1)).then_some(found as i8)
    };
    let born = step(span.born, span.born_step, piece.born, &[0, 1]);
    let died = match (span.died, piece.died) {
        (0, 0) => Some(0),
        (0, _) | (_, 0) => None,
        (died, next) => step(died, span.died_step, next, &[-1, 0, 1]),
    };
    let (Some(born), Some(died)) = (born, died) else { return false };
    (span.born_step, span.died_step) = (born, died);
    span.len += piece.len;
    span.bytes += piece.text.len() as u32;
    true
}
