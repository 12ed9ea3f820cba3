//! Which node of one side stands for which of the other.

use std::ops::Range;
use std::time::Instant;

use similar::DiffOp;

use super::ALIKE;
use super::html::Node;
use crate::diff::align::{MAX_PAIRS, Place, align, share};
use crate::diff::changes;

/// Elements that people read by their place: another cell there is the same cell with other words.
const PLACES: &[&str] = &["td", "th", "thead", "tbody", "tfoot", "caption", "summary"];

/// Words from which on a node counts no more: sums of 1,000 times as much for each of
/// [`MAX_PAIRS`] stay below 2³².
const MAX_WEIGHT: usize = 100;

/// What became of a node, by its number on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The same on both sides.
    Same(usize, usize),
    /// Another one stands for it, of the same kind.
    Changed(usize, usize),
    /// Only before.
    Gone(usize),
    /// Only after.
    Came(usize),
}

/// The nodes of both sides in the order in which they are read. After `until` they are looked at
/// more coarsely.
///
/// Where it can be afforded, as much text as possible stays in its place. Myers' way, which is for
/// long lists, counts nodes: to it a heading is worth as much as a page of code.
pub(super) fn steps(old: &[Node<'_>], new: &[Node<'_>], until: Instant) -> Vec<Step> {
    let same = |(old, new): &(&Node<'_>, &Node<'_>)| old.key() == new.key();
    let head = old.iter().zip(new).take_while(same).count();
    let ends = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = ends.take_while(same).count();
    let (before, after) = (head..old.len() - tail, head..new.len() - tail);
    let mut steps: Vec<_> = (0..head).map(|at| Step::Same(at, at)).collect();
    if before.len().saturating_mul(after.len()) <= MAX_PAIRS {
        exchange((old, before.clone()), (new, after.clone()), until, &mut steps);
    } else {
        let keys = |nodes: &[Node<'_>]| nodes.iter().map(Node::key).collect::<Vec<_>>();
        for op in changes(&keys(&old[before.clone()]), &keys(&new[after.clone()]), until) {
            let shift = |range: Range<usize>| range.start + head..range.end + head;
            let (before, after) = (shift(op.old_range()), shift(op.new_range()));
            match op {
                DiffOp::Equal { .. } => {
                    steps.extend(before.zip(after).map(|(i, j)| Step::Same(i, j)));
                }
                _ => exchange((old, before), (new, after), until, &mut steps),
            }
        }
    }
    steps.extend((0..tail).map(|at| Step::Same(before.end + at, after.end + at)));
    steps
}

type Side<'a, 'h> = (&'a [Node<'h>], Range<usize>);

/// Nodes that stand in each other's place.
fn exchange(
    (old, before): Side<'_, '_>,
    (new, after): Side<'_, '_>,
    until: Instant,
    steps: &mut Vec<Step>,
) {
    if before.len().saturating_mul(after.len()) > MAX_PAIRS {
        return by_place((old, before), (new, after), until, steps);
    }
    let likeness = likenesses(&old[before.clone()], &new[after.clone()], until);
    let aligned = align(&likeness, before.len(), after.len());
    steps.extend(aligned.into_iter().map(|place| match place {
        Place::Both(i, j) => {
            let (i, j) = (before.start + i, after.start + j);
            let is_same = old[i].key() == new[j].key();
            if is_same { Step::Same(i, j) } else { Step::Changed(i, j) }
        }
        Place::Old(i) => Step::Gone(before.start + i),
        Place::New(j) => Step::Came(after.start + j),
    }));
}

/// The same for very many: each with the one at the same place, if that is like it.
fn by_place(
    (old, before): Side<'_, '_>,
    (new, after): Side<'_, '_>,
    until: Instant,
    steps: &mut Vec<Step>,
) {
    for k in 0..before.len().max(after.len()) {
        let (i, j) = (before.start + k, after.start + k);
        let (is_before, is_after) = (i < before.end, j < after.end);
        if is_before && is_after && Instant::now() < until {
            let (was, is) = (&old[i], &new[j]);
            if likeness((was, &was.words()), (is, &is.words())) > 0 {
                steps.push(Step::Changed(i, j));
                continue;
            }
        }
        steps.extend(is_before.then_some(Step::Gone(i)));
        steps.extend(is_after.then_some(Step::Came(j)));
    }
}

/// How much text stays in place when each stands for each, row by row: 0 for what is no pair. What
/// there is no time for is a pair only when it is the same.
fn likenesses(old: &[Node<'_>], new: &[Node<'_>], until: Instant) -> Vec<u32> {
    let new_words: Vec<_> = new.iter().map(Node::words).collect();
    let mut all = Vec::with_capacity(old.len() * new.len());
    for before in old {
        let is_late = Instant::now() >= until;
        let old_words = before.words();
        for (after, new_words) in new.iter().zip(&new_words) {
            let alike = match before.key() == after.key() {
                true => 1_000,
                false if is_late => 0,
                false => likeness((before, &old_words), (after, new_words)),
            };
            let weight = old_words.len().min(new_words.len()).min(MAX_WEIGHT);
            all.push(alike * (weight as u32 + 1));
        }
    }
    all
}

/// How much two nodes are alike: 0 for what is no pair, and at most 1,000.
fn likeness((old, old_words): (&Node<'_>, &[u32]), (new, new_words): (&Node<'_>, &[u32])) -> u32 {
    let least = match (old, new) {
        (Node::Run(_), Node::Run(_)) => 0,
        // A task that was done is the same item.
        (Node::Element(old), Node::Element(new))
            if old.has_tag_of(new) || (old.name() == "li" && new.name() == "li") =>
        {
            if PLACES.contains(&old.name()) { 0 } else { ALIKE }
        }
        _ => return 0,
    };
    let alike = share(old_words, new_words);
    if alike >= least { alike.max(1) } else { 0 }
}
