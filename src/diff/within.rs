//! What differs within two lines, and how alike lines are.

use std::collections::HashMap;
use std::time::Instant;

use similar::DiffOp;

use super::align::share;
use super::{Part, changes, words};

/// Longest two lines together, in bytes, within which words are compared.
const MAX_WORDS_BYTES: usize = 64 << 10;

/// Of two lines' words at least so many in a thousand must be the same, or they are shown as two
/// different ones.
const ALIKE: u32 = 350;

/// Words of a line that are looked at to tell whether it is like another.
const MAX_WORDS: usize = 1_000;

/// A word, a sign or white space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Token<'t> {
    text: &'t str,
    is_space: bool,
}

fn tokens(line: &str) -> Vec<Token<'_>> {
    let (mut rest, mut tokens) = (line, Vec::new());
    while !rest.is_empty() {
        let (length, is_space) = words::token_length(rest, true);
        let (text, after) = rest.split_at(length);
        tokens.push(Token { text, is_space });
        rest = after;
    }
    tokens
}

/// How much each line is like each, row by row: 0 for what is no pair, and at most 1,000. What
/// there is no time for is no pair.
pub(super) fn likenesses(old: &[&str], new: &[&str], until: Instant) -> Vec<u32> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut numbered = |line| {
        let words = tokens(line).into_iter().filter(|token| !token.is_space).take(MAX_WORDS);
        let mut found: Vec<_> = words
            .map(|word| {
                let next = numbers.len() as u32;
                *numbers.entry(word.text).or_insert(next)
            })
            .collect();
        found.sort_unstable();
        found
    };
    let new_words: Vec<_> = new.iter().map(|line| numbered(line)).collect();
    let mut all = vec![0; old.len() * new.len()];
    for (i, line) in old.iter().enumerate() {
        if Instant::now() >= until {
            break;
        }
        let words = numbered(line);
        for (j, others) in new_words.iter().enumerate() {
            // An empty line is like none: which of several it became is told by its neighbours.
            if !words.is_empty() && !others.is_empty() {
                let alike = share(&words, others);
                all[i * new.len() + j] = if alike >= ALIKE { alike } else { 0 };
            }
        }
    }
    all
}

/// Words are not looked at in lines so long.
pub(super) fn is_too_long(old: &str, new: &str) -> bool {
    old.len() + new.len() > MAX_WORDS_BYTES
}

/// Both lines in parts; `None` when they have little in common or there is no time.
pub(super) fn parts(old: &str, new: &str, until: Instant) -> Option<(Vec<Part>, Vec<Part>)> {
    if is_too_long(old, new) || Instant::now() >= until {
        return None;
    }
    let (before, after) = (tokens(old), tokens(new));
    let ops = changes(&before, &after, until);
    let words = |tokens: &[Token<'_>]| tokens.iter().filter(|token| !token.is_space).count();
    let same = ops.iter().filter(|op| is_same(op)).map(|op| words(&before[op.old_range()]));
    let (same, all) = (same.sum::<usize>(), words(&before) + words(&after));
    if 2_000 * same < all * ALIKE as usize {
        return None;
    }
    let (mut old_parts, mut new_parts) = (Vec::new(), Vec::new());
    for (n, op) in ops.iter().enumerate() {
        let is_changed = !is_same(op) || is_between(&ops, n, &before);
        push(&mut old_parts, &before[op.old_range()], is_changed);
        push(&mut new_parts, &after[op.new_range()], is_changed);
    }
    Some((old_parts, new_parts))
}

fn is_same(op: &DiffOp) -> bool {
    matches!(op, DiffOp::Equal { .. })
}

/// Whether what is the same is but the space between words each of which became another.
fn is_between(ops: &[DiffOp], n: usize, old: &[Token<'_>]) -> bool {
    let is_exchange = |op: Option<&DiffOp>| matches!(op, Some(DiffOp::Replace { .. }));
    old[ops[n].old_range()].iter().all(|token| token.is_space)
        && is_exchange(n.checked_sub(1).and_then(|before| ops.get(before)))
        && is_exchange(ops.get(n + 1))
}

fn push(parts: &mut Vec<Part>, tokens: &[Token<'_>], changed: bool) {
    for token in tokens {
        match parts.last_mut() {
            Some(last) if last.changed == changed => last.text.push_str(token.text),
            _ => parts.push(Part { text: token.text.to_owned(), changed }),
        }
    }
}
