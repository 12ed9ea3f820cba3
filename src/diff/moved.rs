//! Lines that are gone in one place and came in another.

use std::collections::{HashMap, VecDeque};

use super::{Line, Moved, Row};

/// Shortest line, in bytes, that is recognised where it was moved to: shorter ones come more than
/// once. With its neighbours a shorter one is.
const MOVED_BYTES: usize = 16;

/// Marks lines that were moved, each with one other, and those beside them that went along.
pub(super) fn mark(rows: &mut [Row]) {
    let (old, new) = (side(rows, true), side(rows, false));
    let mut gone: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (at, (_, text)) in old.iter().enumerate().filter(|(_, line)| line.1.len() >= MOVED_BYTES) {
        gone.entry(text).or_default().push_back(at);
    }
    // For each line of one side the one of the other.
    let (mut to, mut from) = (vec![None; old.len()], vec![None; new.len()]);
    for (j, (row, text)) in new.iter().enumerate() {
        let Some(places) = gone.get_mut(text.as_str()) else { continue };
        // One in the same row is only indented anew.
        if let Some(at) = places.iter().position(|i| old[*i].0 != *row)
            && let Some(i) = places.remove(at)
        {
            (to[i], from[j]) = (Some(j), Some(i));
        }
    }
    for j in 0..new.len() {
        if let Some(i) = from[j] {
            grow((&old, &mut to), (&new, &mut from), (i, j));
        }
    }
    let numbers = |rows: &[Row], side: &[Known], is_old| {
        side.iter()
            .map(|(row, _)| line(&rows[*row], is_old).map_or(0, |line| line.number))
            .collect()
    };
    let (old_numbers, new_numbers): (Vec<usize>, Vec<usize>) =
        (numbers(rows, &old, true), numbers(rows, &new, false));
    let (old_moves, new_moves) =
        (moves(&to, &old_numbers, &new_numbers), moves(&from, &new_numbers, &old_numbers));
    for (side, moves, is_old) in [(&old, old_moves, true), (&new, new_moves, false)] {
        for ((row, _), moved) in side.iter().zip(moves) {
            if let Row::Changed { old, new } = &mut rows[*row]
                && let Some(line) = if is_old { old } else { new }
            {
                line.moved = moved;
            }
        }
    }
}

/// A line that differs: its row, and its text without indentation.
type Known = (usize, String);

fn line(row: &Row, is_old: bool) -> Option<&Line> {
    match row {
        Row::Changed { old, new } => if is_old { old } else { new }.as_ref(),
        Row::Same { .. } | Row::Skipped(_) => None,
    }
}

/// All lines of one side that differ, from top to bottom.
fn side(rows: &[Row], is_old: bool) -> Vec<Known> {
    let lines = rows.iter().enumerate();
    let known = lines.filter_map(|(row, it)| line(it, is_old).map(|line| (row, text(line))));
    known.collect()
}

fn text(line: &Line) -> String {
    let text: String = line.parts.iter().map(|part| part.text.as_str()).collect();
    text.trim().to_owned()
}

/// Takes the lines before and after a pair along as far as they are the same.
fn grow(
    (old, to): (&[Known], &mut [Option<usize>]),
    (new, from): (&[Known], &mut [Option<usize>]),
    (i, j): (usize, usize),
) {
    for forward in [false, true] {
        let (mut i, mut j) = (i, j);
        loop {
            let next = |at: usize| if forward { at.checked_add(1) } else { at.checked_sub(1) };
            let (Some(next_i), Some(next_j)) = (next(i), next(j)) else { break };
            let (Some(was), Some(is)) = (old.get(next_i), new.get(next_j)) else { break };
            let is_free = to[next_i].is_none() && from[next_j].is_none();
            // Rows in between would be of lines that stayed.
            let is_beside = was.0.abs_diff(old[i].0) == 1 && is.0.abs_diff(new[j].0) == 1;
            if !is_free || !is_beside || was.1 != is.1 || was.0 == is.0 {
                break;
            }
            (i, j) = (next_i, next_j);
            (to[i], from[j]) = (Some(j), Some(i));
        }
    }
}

/// For each line of a side where it stands on the other, told apart by what was moved together.
fn moves(to: &[Option<usize>], here: &[usize], there: &[usize]) -> Vec<Option<Moved>> {
    let goes_on = |at: usize| match (to.get(at - 1), to.get(at)) {
        (Some(Some(last)), Some(Some(this))) => {
            last + 1 == *this && here[at - 1] + 1 == here[at] && there[*last] + 1 == there[*this]
        }
        _ => false,
    };
    let mut moves = Vec::with_capacity(to.len());
    for (at, place) in to.iter().enumerate() {
        let Some(place) = place else {
            moves.push(None);
            continue;
        };
        let is_first = at == 0 || !goes_on(at);
        let more =
            if is_first { (at + 1..to.len()).take_while(|at| goes_on(*at)).count() } else { 0 };
        let lines = if is_first { more + 1 } else { 0 };
        moves.push(Some(Moved { number: there[*place], lines }));
    }
    moves
}
