//! Real updates, broken at random: the gate never panics, and what it lets through cannot hurt.
//!
//! `TEST_GATE_MUTANTS` sets how many (200,000), `TEST_SEED` repeats a run, and
//! `HALLEY_GATE_DUMP` names a file that gets every accepted one as a line `state update text`
//! (base64), to be compared with Yjs.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use halley::live::document::Document;
use halley::live::gate::GateState;
use rand::Rng;
use rand::rngs::StdRng;
use yrs::updates::decoder::Decode;
use yrs::{StateVector, Update};

use crate::editors::{Editor, seeded};
use crate::wire;

/// A page, what its gate knows, and updates that fit it.
struct Page {
    state: Vec<u8>,
    gate: GateState,
    updates: Vec<Vec<u8>>,
}

/// Client ids are small, so that a mutated byte often names another one.
const OWNED: [u64; 3] = [5, 6, 7];
const OTHERS: [u64; 2] = [3, 4];

fn pages(random: &mut StdRng) -> Vec<Page> {
    (0..12)
        .map(|number| {
            let mut editors: Vec<_> =
                OTHERS.iter().chain(&OWNED).map(|&client| Editor::new(client)).collect();
            let mut document = Document::new();
            for _ in 0..number * 6 {
                let at = random.random_range(0..editors.len());
                editors[at].edit_at_random(random);
                let update = editors[at].unsent();
                document.apply(&update).unwrap();
                editors.iter_mut().for_each(|editor| editor.apply(&update));
            }
            let state = document.diff(None).unwrap();
            let gate = GateState::from_state(&state).unwrap();
            let mut updates = Vec::new();
            for editor in &mut editors[OTHERS.len()..] {
                for _ in 0..4 {
                    updates.push(editor.edit_at_random(random));
                }
                updates.push(editor.unsent());
            }
            updates.push(yrs::merge_updates_v1(&updates).unwrap());
            let other = &mut editors[0];
            other.edit_at_random(random);
            updates.push(other.unsent());
            updates.push(wire::update(
                &[
                    wire::section(7, gate.next_clock(7).into(), vec![wire::collected(3)]),
                    wire::section(6, gate.next_clock(6).into(), vec![wire::deleted(2)]),
                ],
                &[],
            ));
            Page { state, gate, updates }
        })
        .collect()
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], random: &mut StdRng) {
    const INTERESTING: [u8; 18] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 0x24, 0x3f, 0x44, 0x7f, 0x80, 0x84, 0xc4, 0xff];
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..10) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = INTERESTING[random.random_range(0..INTERESTING.len())],
        2 => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes[at] = bytes[at].wrapping_sub(1),
        4 => drop(bytes.remove(at)),
        5 => bytes.insert(at, INTERESTING[random.random_range(0..INTERESTING.len())]),
        6 => bytes.truncate(at),
        7 => {
            let end = (at + random.random_range(1..9)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        8 => {
            let other = random.random_range(0..bytes.len());
            bytes.swap(at, other);
        }
        _ => {
            let from = random.random_range(0..donor.len());
            let end = (from + random.random_range(1..24)).min(donor.len());
            let until = (at + random.random_range(0..24)).min(bytes.len());
            bytes.splice(at..until, donor[from..end].iter().copied());
        }
    }
}

#[test]
fn mutated_updates_are_refused_or_harmless() {
    let (mut random, seed) = seeded("mutants");
    let count: usize = std::env::var("TEST_GATE_MUTANTS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200_000);
    let pages = pages(&mut random);
    for page in &pages {
        assert_eq!(page.gate, GateState::from_state(&page.state).unwrap());
    }
    let (mut accepted, mut known) = (0, 0);
    let mut dump = std::env::var_os("HALLEY_GATE_DUMP")
        .map(|path| std::io::BufWriter::new(std::fs::File::create(path).unwrap()));
    for mutant in 0..count {
        let page = &pages[random.random_range(0..pages.len())];
        let mut bytes = page.updates[random.random_range(0..page.updates.len())].clone();
        let donor = &page.updates[random.random_range(0..page.updates.len())];
        for _ in 0..random.random_range(1..4) {
            mutate(&mut bytes, donor, &mut random);
        }
        let Ok(passed) = page.gate.check(&bytes, &|client| OWNED.contains(&client)) else {
            continue;
        };
        accepted += 1;
        known += usize::from(passed.known);
        let context = || format!("seed {seed} mutant {mutant}: {bytes:?}");
        let update =
            Update::decode_v1(&bytes).unwrap_or_else(|error| panic!("{error} {}", context()));
        for (client, _) in update.state_vector_lower().iter() {
            assert!(OWNED.contains(&client.get()), "{}", context());
        }
        let mut document = Document::from_state(&page.state).unwrap();
        // An error here is a panic in yrs or something left pending.
        document.apply(&bytes).unwrap_or_else(|error| panic!("{error} {}", context()));
        if accepted % 8 == 0 {
            let fresh = Document::from_state(&page.state).unwrap();
            let after =
                fresh.text_after(&bytes).unwrap_or_else(|error| panic!("{error} {}", context()));
            // The room asks a rehearsal for the size only. The order of texts that a forger puts
            // between neighbours which no editor would name together may depend on how an update
            // is cut; browsers notice by the hash that goes with the updates.
            assert_eq!(after.len(), document.as_str().len(), "{}", context());
        }
        let mut gate = page.gate.clone();
        gate.accept(&bytes);
        let clocks = StateVector::decode_v1(&document.state_vector()).unwrap();
        let expected: StateVector =
            gate.next_clocks().map(|(client, next)| (yrs::ClientID::new(client), next)).collect();
        assert_eq!(clocks, expected, "{}", context());
        for client in OTHERS {
            assert_eq!(gate.next_clock(client), page.gate.next_clock(client), "{}", context());
        }
        let state = document.diff(None).unwrap();
        assert_eq!(gate, GateState::from_state(&state).unwrap(), "{}", context());
        assert!(
            !document.text().contains('\u{fffd}')
                || bytes.windows(3).any(|part| part == [0xef, 0xbf, 0xbd]),
            "{}",
            context()
        );
        if let Some(dump) = &mut dump {
            let parts = [&page.state[..], &bytes, document.as_str().as_bytes()];
            writeln!(dump, "{}", parts.map(|part| BASE64.encode(part)).join(" ")).unwrap();
        }
        if passed.known {
            assert_eq!(state, page.state, "{}", context());
        }
    }
    println!("mutants: {count}, accepted: {accepted}, of these known: {known}");
    assert!(accepted > count / 1_000, "the mutants are too broken to say anything");
}
