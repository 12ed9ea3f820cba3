use std::time::{Duration, Instant};

use halley::live::document::{Conflict, Document, TextEdit};
use halley::live::gate::{GateState, Limits};
use rand::Rng;
use rand::rngs::StdRng;

use crate::editors::{Editor, seeded};

/// A document that became `text` in a few steps.
fn document(text: &str) -> Document {
    let mut editor = Editor::new(3);
    editor.replace(0, 0, "draft 😀");
    editor.replace(0, 8, "");
    editor.replace(0, 0, text);
    Document::from_state(&editor.state()).unwrap()
}

/// Merges, checks that the gate lets it pass, applies it, and returns what came out.
#[track_caller]
fn merge(base: &str, current: &str, yours: &str) -> TextEdit {
    let mut document = document(current);
    let edit = document.merge(base, yours, 9).unwrap();
    assert_eq!(document.text(), current);
    if edit.update.is_empty() {
        assert_eq!(edit.text, current);
        return edit;
    }
    let gate = GateState::from_state(&document.diff(None).unwrap()).unwrap();
    let passed = gate.check_with(&edit.update, &|client| client == 9, &Limits::SERVER).unwrap();
    assert!(!passed.known);
    document.apply(&edit.update).unwrap();
    assert_eq!(document.text(), edit.text);
    edit
}

#[track_caller]
fn clean(base: &str, current: &str, yours: &str, expected: &str) {
    let edit = merge(base, current, yours);
    assert_eq!((edit.text.as_str(), &edit.conflicts[..]), (expected, &[][..]));
}

#[track_caller]
fn conflict(base: &str, current: &str, yours: &str, expected: &str, parts: (&str, &str, &str)) {
    let edit = merge(base, current, yours);
    let conflict = Conflict {
        base: parts.0.to_owned(),
        theirs: parts.1.to_owned(),
        yours: parts.2.to_owned(),
    };
    assert_eq!((edit.text.as_str(), edit.conflicts), (expected, vec![conflict]));
}

#[test]
fn nothing_changed_is_an_empty_update() {
    assert!(merge("a b", "a b c", "a b").update.is_empty());
    assert!(merge("", "", "").update.is_empty());
    assert!(merge("a", "b", "b").update.is_empty());
}

#[test]
fn alone_yours_is_what_comes_out() {
    for (base, yours) in [
        ("", "new"),
        ("all of it", ""),
        ("one two\nthree", "one 2\nthree\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("😀😁", "😁"),
        ("e\u{301}", "e"),
        ("x\ny\nz\n", "z\nx\ny\n"),
    ] {
        clean(base, base, yours, yours);
    }
}

#[test]
fn changes_at_different_places_are_both_there() {
    clean("one two three", "1 two three", "one two 3", "1 two 3");
    clean("one two three", "one two three four", "zero one two three", "zero one two three four");
    clean("a\nb\nc\n", "a\nc\n", "a\nb\nC\n", "a\nC\n");
    clean("the cat sat", "the dog sat", "the black cat sat", "the black dog sat");
    clean("x 😀 y", "x 😁 y", "x 😀 z", "x 😁 z");
    clean(
        "# T\n\npara one\n\npara two\n",
        "# T\n\npara 1\n\npara two\n",
        "# Title\n\npara one\n\npara two!\n",
        "# Title\n\npara 1\n\npara two!\n",
    );
}

#[test]
fn the_same_change_is_made_once() {
    clean("one two", "one 2", "one 2!", "one 2!");
    clean("colour", "color", "color", "color");
    clean("a b c d", "a B c d", "a B c D", "a B c D");
    clean("one two", "one 2!", "one 2", "one 2!");
    clean("a cat", "a dog", "a big dog", "a big dog");
    clean("x\n", "x\nnew\n", "x\nnew\n", "x\nnew\n");
    clean("a b c d e", "a e", "a b e", "a e");
}

#[test]
fn insertions_at_one_place_are_both_kept_theirs_first() {
    clean("a\n", "a\ntheirs\n", "a\nyours\n", "a\ntheirs\nyours\n");
    clean("the cat", "the big cat", "the red cat", "the big red cat");
    clean("", "theirs", "yours", "theirsyours");
    clean("a", "a\r\nb", "a\r\nc", "a\r\nb\r\nc");
    // The same lines sent twice, with more.
    clean("a\n", "a\n- x\n", "a\n- x\n- y\n", "a\n- x\n- y\n");
    clean("a\n", "a\n- x\n- y\n", "a\n- x\n", "a\n- x\n- y\n");
}

#[test]
fn the_same_words_changed_differently_stay_both() {
    conflict("one cat", "one dog", "one cow", "one dog cow", ("cat", "dog", "cow"));
    conflict("x\n", "y\n", "z\n", "y z\n", ("x", "y", "z"));
    conflict("見る", "見た", "見て", "見た て", ("る", "た", "て"));
    conflict("a 😀 b", "a 😁 b", "a 😂 b", "a 😁 😂 b", ("😀", "😁", "😂"));
    conflict(
        "one\n\nold line\n\nend\n",
        "one\n\nnew\nlines\n\nend\n",
        "one\n\nother\n\nend\n",
        "one\n\nnew\nlines\nother\n\nend\n",
        ("old line", "new\nlines", "other"),
    );
    conflict(
        "a\r\nold line\r\nb\r\n",
        "a\r\nx\r\ny\r\nb\r\n",
        "a\r\nz\r\nb\r\n",
        "a\r\nx\r\ny\r\nz\r\nb\r\n",
        ("old line", "x\r\ny", "z"),
    );
}

#[test]
fn an_edit_of_what_the_other_deleted_is_kept_and_said() {
    conflict(
        "keep this word",
        "keep word",
        "keep that word",
        "keep that word",
        ("this ", "", "that "),
    );
    conflict(
        "keep this word",
        "keep that word",
        "keep word",
        "keep that word",
        ("this ", "that ", ""),
    );
}

#[test]
fn line_ends_are_kept_as_they_are() {
    clean("a\r\nb\r\nc\r\n", "a\r\nB\r\nc\r\n", "a\r\nb\r\nC\r\n", "a\r\nB\r\nC\r\n");
    clean("a\r\nb\r\n", "a\r\nb\r\n", "a\r\nb\nc\r\n", "a\r\nb\nc\r\n");
    clean("a\nb\n", "A\nb\n", "a\r\nb\r\n", "A\r\nb\r\n");
}

#[test]
fn only_what_differs_is_written() {
    let document = document("a long page of text\n".repeat(2_000).as_str());
    let yours = document.text().replacen("page", "pages", 1);
    let edit = document.merge(document.as_str(), &yours, 9).unwrap();
    assert!(edit.update.len() < 24, "{:?}", edit.update);
}

#[test]
fn an_edit_under_a_client_that_wrote_before_goes_on_at_its_clock() {
    let mut document = document("one two");
    let mut gate = GateState::from_state(&document.diff(None).unwrap()).unwrap();
    for yours in ["one 2", "1 2", "1 2 3", ""] {
        let edit = document.merge(&document.text(), yours, 9).unwrap();
        gate.check(&edit.update, &|client| client == 9).unwrap();
        document.apply(&edit.update).unwrap();
        gate.accept(&edit.update);
        assert_eq!(document.text(), yours);
    }
}

/// Words that occur nowhere else.
fn noise(random: &mut StdRng, bytes: usize, line: bool) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(&format!("{:x}", random.random::<u32>()));
        text.push(if line && random.random_bool(0.1) { '\n' } else { ' ' });
    }
    text
}

#[test]
fn unrelated_texts_of_a_mebibyte_merge_in_bounded_time() {
    let (mut random, _) = seeded("unrelated");
    let size = (1 << 20) - 16;
    for line in [true, false] {
        let [base, current, yours] = [(); 3].map(|()| noise(&mut random, size, line));
        for (base, current) in [(&base, &base), (&base, &current)] {
            let document = document(current);
            let start = Instant::now();
            let edit = document.merge(base, &yours, 9).unwrap();
            let took = start.elapsed();
            println!("lines: {line}, {} conflicts, {took:?}", edit.conflicts.len());
            // Without optimisation and on a busy machine it is the order of magnitude that counts.
            let bound = if cfg!(debug_assertions) { 8 } else { 1 };
            assert!(took < Duration::from_secs(bound), "{took:?}");
            let gate = GateState::from_state(&document.diff(None).unwrap()).unwrap();
            gate.check_with(&edit.update, &|client| client == 9, &Limits::SERVER).unwrap();
            if base == current {
                assert_eq!(edit.text, yours);
            }
        }
    }
    // Every other word changed.
    let base = "word same ".repeat(100_000);
    let yours = "other same ".repeat(90_000);
    let document = document(&base);
    let start = Instant::now();
    let edit = document.merge(&base, &yours, 9).unwrap();
    println!("every other word: {:?}, {} bytes", start.elapsed(), edit.update.len());
    assert_eq!(edit.text, yours);
    let gate = GateState::from_state(&document.diff(None).unwrap()).unwrap();
    gate.check_with(&edit.update, &|client| client == 9, &Limits::SERVER).unwrap();
}

const WORDS: [&str; 12] =
    ["a", "bb", "ccc", "wiki", "é", "😀", "維", "x,", "-", "\n", "\r\n", "\n\n"];

fn words(random: &mut StdRng, most: usize) -> Vec<String> {
    (0..random.random_range(0..most))
        .map(|_| WORDS[random.random_range(0..WORDS.len())].to_owned())
        .collect()
}

fn change(words: &[String], random: &mut StdRng) -> Vec<String> {
    let mut changed = words.to_vec();
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..=changed.len());
        let end = (at + random.random_range(0..4)).min(changed.len());
        changed.splice(at..end, self::words(random, 4));
    }
    changed
}

#[test]
fn random_merges_hold_what_they_promise() {
    let (mut random, seed) = seeded("merges");
    for round in 0..1_500 {
        let base = words(&mut random, 30);
        let [current, yours] = [(); 2].map(|()| change(&base, &mut random).join(" "));
        let base = base.join(" ");
        println!("seed {seed} round {round}: {base:?} {current:?} {yours:?}");
        assert_eq!(merge(&base, &base, &yours).text, yours);
        assert!(merge(&base, &current, &base).update.is_empty());
        assert!(merge(&base, &current, &current).update.is_empty());
        let merged = merge(&base, &current, &yours);
        // Theirs is never taken away by a conflict.
        for conflict in &merged.conflicts {
            assert!(merged.text.contains(&conflict.theirs));
            assert!(merged.text.contains(&conflict.yours));
        }
    }
}

#[test]
fn every_word_edit_of_both_sides_that_does_not_conflict_is_in_the_result() {
    let (mut random, seed) = seeded("word edits");
    for round in 0..500 {
        let count = random.random_range(1..200);
        let base: Vec<_> = (0..count).map(|at| format!("word{at}")).collect();
        let [mut current, mut yours, mut both] = [(); 3].map(|()| base.clone());
        let mut expected = Vec::new();
        let mut at = 0;
        while at < count {
            let word = match random.random_range(0..4) {
                0 => format!("their{at}"),
                1 => format!("{} more{at}", base[at]),
                2 => format!("before{at} {}", base[at]),
                _ => String::new(),
            };
            let side = if random.random_bool(0.5) { &mut current } else { &mut yours };
            side[at].clone_from(&word);
            both[at].clone_from(&word);
            expected.push(word);
            // Unchanged words between the edits.
            at += random.random_range(2..9);
        }
        let separator = if random.random_bool(0.5) { " " } else { "\n" };
        let merged = merge(&base.join(separator), &current.join(separator), &yours.join(separator));
        assert_eq!(merged.text, both.join(separator), "seed {seed} round {round}");
        assert_eq!(merged.conflicts, [], "seed {seed} round {round}");
        assert!(expected.iter().all(|word| merged.text.contains(word)));
    }
}
