//! Footnotes: references, definitions, and the ways back.

use std::fmt::Write as _;

use super::Writer;
use crate::markdown::context::Footnote;
use crate::markdown::url::ID_PREFIX;

impl Writer<'_, '_> {
    pub(super) fn footnote_reference(&mut self) {
        let reference = self.decisions.references.get(self.next_reference);
        self.next_reference += 1;
        let Some(&(Footnote { number, .. }, count)) = reference else { return };
        if self.mute.is_some() {
            return;
        }
        let id = reference_id(number, count);
        if self.within("a") {
            let _ = write!(self.out, "<sup class=\"footnote-ref\" id=\"{id}\">{number}</sup>");
        } else {
            let _ = write!(
                self.out,
                "<sup class=\"footnote-ref\"><a id=\"{id}\" href=\"#user-fn-{number}\" \
                 aria-label=\"Footnote {number}\">{number}</a></sup>",
            );
        }
    }

    pub(super) fn footnote_definition(&mut self) {
        let definition = self.decisions.definitions.get(self.next_definition);
        self.next_definition += 1;
        let (note, first) = definition.copied().unwrap_or_default();
        let id = match first {
            true => format!(" id=\"user-fn-{}\"", note.number),
            false => String::new(),
        };
        self.open("div", &format!(" class=\"footnote\"{id}"));
        if self.mute.is_none() {
            let _ = write!(self.out, "<span class=\"footnote-number\">{}.</span> ", note.number);
        }
        // The way back is shown once, at the definition that references lead to.
        self.definition
            .push(Footnote { references: if first { note.references } else { 0 }, ..note });
    }

    pub(super) fn footnote_end(&mut self) {
        /// More ways back than this help nobody.
        const MAX_BACK: usize = 20;
        let Some(Footnote { number, references }) = self.definition.pop() else { return };
        // Raw elements left open in the note must not swallow the way back.
        let height = self.frames.last().map_or(0, |height| height + 1);
        self.close_to(height);
        if self.within("a") {
            return;
        }
        for count in 1..=references.min(MAX_BACK) {
            let id = reference_id(number, count);
            let _ = write!(
                self.out,
                " <a class=\"footnote-back\" href=\"#{id}\" \
                 aria-label=\"Back to reference {count} of footnote {number}\">↩</a>",
            );
        }
    }
}

fn reference_id(number: usize, count: usize) -> String {
    match count {
        0 | 1 => format!("{ID_PREFIX}fnref-{number}"),
        _ => format!("{ID_PREFIX}fnref-{number}-{count}"),
    }
}
