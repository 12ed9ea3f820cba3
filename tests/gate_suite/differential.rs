//! What the gate remembers is what the document holds.

use halley::live::document::Document;
use halley::live::gate::GateState;
use rand::Rng;
use yrs::updates::decoder::Decode;
use yrs::{ClientID, StateVector};

use crate::editors::{Editor, seeded};

#[test]
fn a_gate_kept_up_to_date_equals_one_read_from_the_document() {
    let (mut random, seed) = seeded("differential");
    for run in 0..20 {
        let mut gate = GateState::default();
        let mut document = Document::new();
        let clients = [3_000_000_000, 1, 77_777, 4_000_000_001_u64];
        let mut editors: Vec<_> = clients.iter().map(|&client| Editor::new(client)).collect();
        for step in 0..300 {
            let at = random.random_range(0..editors.len());
            let online = random.random_bool(0.6);
            editors[at].edit_at_random(&mut random);
            if !online {
                continue;
            }
            let update = editors[at].unsent();
            let client = editors[at].client;
            let passed = gate.check(&update, &|id| id == client);
            passed.unwrap_or_else(|refusal| panic!("seed {seed} run {run} step {step}: {refusal}"));
            document.apply(&update).unwrap();
            gate.accept(&update);
            // Some browsers hear of it, and some of everything they have missed.
            for editor in &mut editors {
                if random.random_bool(0.5) {
                    let all = document.diff(None).unwrap();
                    editor.apply(&all);
                }
            }
        }
        let state = document.diff(None).unwrap();
        assert_eq!(gate, GateState::from_state(&state).unwrap(), "seed {seed} run {run}");
        let vector = StateVector::decode_v1(&document.state_vector()).unwrap();
        for client in clients {
            assert_eq!(gate.next_clock(client), vector.get(&ClientID::new(client)));
        }
        let loaded = Document::from_state(&state).unwrap();
        assert_eq!(loaded.text(), document.text(), "seed {seed} run {run}");
    }
}
