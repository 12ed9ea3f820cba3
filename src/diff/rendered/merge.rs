//! Two elements of the same kind as one, or side by side.

use std::cell::Cell;
use std::time::Instant;

use super::html::{Arena, Element, Node};
use super::inline::{self, Mark};
use super::pair::{Step, steps};

/// Where two nodes are written to.
#[derive(Default)]
pub(super) struct Out {
    /// Only what was before, when each side is written for itself.
    pub before: Option<String>,
    /// What is now; with what is gone as well, when both sides are written as one.
    pub now: String,
}

impl Out {
    /// Where what is gone stands.
    pub fn gone(&mut self) -> &mut String {
        self.before.as_mut().unwrap_or(&mut self.now)
    }
}

/// Writes nodes of both sides.
pub(super) struct Merger<'a, 'h> {
    arena: &'a Arena<'h>,
    /// From then on changes are shown as a whole.
    until: Instant,
    is_late: Cell<bool>,
}

impl<'a, 'h> Merger<'a, 'h> {
    pub fn new(arena: &'a Arena<'h>, until: Instant) -> Self {
        Self { arena, until, is_late: Cell::new(false) }
    }

    /// Whether there was no time to look closely at all changes.
    pub fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// Writes what became of a node, with what changed in it marked.
    pub fn changed(&self, old: &Node<'_>, new: &Node<'_>, out: &mut Out) {
        match (old, new) {
            (Node::Element(old), Node::Element(new)) => self.elements(old, new, out),
            (Node::Run(old), Node::Run(new)) => {
                inline::merge(self.arena, (old, new), self.until, out);
                self.look_at_clock();
            }
            _ => {
                self.marked(old, Mark::Gone, out.gone());
                self.marked(new, Mark::Came, &mut out.now);
            }
        }
    }

    fn elements(&self, old: &Element<'_>, new: &Element<'_>, out: &mut Out) {
        if let Some(before) = &mut out.before {
            old.write_open("", before);
        }
        if !new.write_open("", &mut out.now) {
            return;
        }
        let steps = steps(&old.children, &new.children, self.until);
        self.look_at_clock();
        for step in steps {
            match step {
                Step::Same(old_at, new_at) => {
                    if let Some(before) = &mut out.before {
                        self.plain(&old.children[old_at], before);
                    }
                    self.plain(&new.children[new_at], &mut out.now);
                }
                Step::Changed(old_at, new_at) => {
                    self.changed(&old.children[old_at], &new.children[new_at], out);
                }
                Step::Gone(at) => self.marked(&old.children[at], Mark::Gone, out.gone()),
                Step::Came(at) => self.marked(&new.children[at], Mark::Came, &mut out.now),
            }
        }
        if let Some(before) = &mut out.before {
            old.write_close(before);
        }
        new.write_close(&mut out.now);
    }

    fn look_at_clock(&self) {
        if Instant::now() >= self.until {
            self.is_late.set(true);
        }
    }

    /// Writes a node as it is.
    pub fn plain(&self, node: &Node<'_>, out: &mut String) {
        self.whole(node, None, "", out);
    }

    /// Writes a node that stands on one side only.
    fn marked(&self, node: &Node<'_>, mark: Mark, out: &mut String) {
        self.whole(node, Some(mark), mark.class(), out);
    }

    /// `<ins>` and `<del>` stand around words only: they have no place around an item or a cell.
    fn whole(&self, node: &Node<'_>, mark: Option<Mark>, class: &str, out: &mut String) {
        match node {
            Node::Run(run) => inline::write(self.arena, run, mark, out),
            Node::Element(element) => {
                if !element.write_open(class, out) {
                    return;
                }
                for child in &element.children {
                    self.whole(child, mark, "", out);
                }
                element.write_close(out);
            }
        }
    }
}
