//! `cargo test --release --test gate_suite speed -- --ignored --nocapture` prints what the gate
//! costs.

use std::hint::black_box;
use std::time::Instant;

use halley::live::document::Document;
use halley::live::gate::GateState;

use crate::editors::{Editor, seeded};

fn measure(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut rounds = 1_u32;
    loop {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        let took = start.elapsed();
        if took.as_millis() >= 200 {
            println!("{name}: {:?} for {bytes} bytes", took / rounds);
            return;
        }
        rounds *= 4;
    }
}

#[test]
#[ignore = "prints figures, asserts nothing"]
fn speed() {
    let (mut random, _) = seeded("speed");
    let mut editor = Editor::new(5);
    let mut document = Document::new();
    for _ in 0..20_000 {
        editor.edit_at_random(&mut random);
    }
    document.apply(&editor.unsent()).unwrap();
    let state = document.diff(None).unwrap();
    let mut gate = GateState::from_state(&state).unwrap();
    let keystroke = editor.replace(10, 0, "x");
    let replaced = editor.replace(40, 3, "y");
    let paste = editor.replace(20, 0, &"a line of text\n".repeat(16_000));
    let emoji = editor.replace(20, 0, &"😀 und é\n".repeat(16_000));
    let mut burst = Editor::new(6);
    burst.apply(&state);
    for _ in 0..2_000 {
        burst.edit_at_random(&mut random);
    }
    let burst = burst.unsent();
    measure("state", state.len(), || drop(black_box(GateState::from_state(&state))));
    for (name, update) in [
        ("keystroke", keystroke),
        ("replace", replaced),
        ("paste", paste),
        ("emoji", emoji),
        ("2,000 edits", burst),
    ] {
        gate.check(&update, &|_| true).unwrap();
        measure(name, update.len(), || drop(black_box(gate.check(&update, &|_| true))));
        gate.accept(&update);
    }
}
