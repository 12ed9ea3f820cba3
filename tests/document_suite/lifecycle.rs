use halley::live::document::{Document, DocumentError};
use rand::Rng;
use yrs::updates::encoder::Encode;
use yrs::{ClientID, StateVector};

use crate::editors::{Editor, seeded};

fn is_shareable<T: Send + Sync>() {}

#[test]
fn a_document_can_be_owned_by_any_thread() {
    is_shareable::<Document>();
}

#[test]
fn the_text_follows_every_update() {
    let mut document = Document::new();
    let mut editor = Editor::new(5);
    assert_eq!(document.text(), "");
    for (at, delete, insert) in [(0, 0, "a😀b"), (1, 2, "é"), (3, 0, "\r\n")] {
        document.apply(&editor.replace(at, delete, insert)).unwrap();
        assert_eq!(document.text(), editor.text());
    }
    assert_eq!(document.as_str(), "aéb\r\n");
}

#[test]
fn a_state_loads_as_the_same_document() {
    let mut editor = Editor::new(5);
    editor.replace(0, 0, "one two");
    editor.replace(3, 2, "");
    let document = Document::from_state(&editor.state()).unwrap();
    assert_eq!(document.text(), "onewo");
    let again = Document::from_state(&document.diff(None).unwrap()).unwrap();
    assert_eq!(again.state_vector(), document.state_vector());
}

#[test]
fn a_damaged_or_incomplete_state_is_an_error() {
    let mut editor = Editor::new(5);
    editor.replace(0, 0, "one");
    let later = editor.replace(3, 0, " two");
    for state in [&editor.state()[..9], &[], &[1], &[0xff; 20], &later] {
        assert!(matches!(Document::from_state(state), Err(DocumentError::State(_))), "{state:?}");
    }
}

#[test]
fn an_update_that_does_not_fit_breaks_only_this_document() {
    let mut editor = Editor::new(5);
    let first = editor.replace(0, 0, "one");
    let second = editor.replace(3, 0, " two");
    let mut document = Document::new();
    assert_eq!(document.text(), "");
    assert!(matches!(document.apply(&second), Err(DocumentError::Apply(_))));
    assert!(document.is_broken());
    assert!(document.apply(&first).is_err() && document.diff(None).is_err());
    assert!(document.merge("", "x", 9).is_err());
    let mut document = Document::new();
    document.apply(&first).unwrap();
    document.apply(&second).unwrap();
    assert_eq!(document.text(), "one two");
}

#[test]
fn a_difference_brings_another_replica_up_to_date() {
    let mut one = Editor::new(5);
    let mut other = Editor::new(6);
    other.apply(&one.replace(0, 0, "hello 😀"));
    let mut document = Document::from_state(&one.state()).unwrap();
    let vector = document.state_vector();
    document.apply(&other.replace(0, 1, "J")).unwrap();
    let difference = document.diff(Some(&vector)).unwrap();
    assert!(difference.len() < 30, "{difference:?}");
    one.apply(&difference);
    assert_eq!(one.text(), "Jello 😀");
    assert_eq!(document.diff(Some(&document.state_vector())).unwrap().len(), 6);
}

#[test]
fn the_text_after_an_update_is_found_without_applying_it() {
    let mut editor = Editor::new(5);
    let mut document = Document::new();
    document.apply(&editor.replace(0, 0, "a long text")).unwrap();
    let update = editor.replace(0, 11, "short");
    assert_eq!(document.text_after(&update).unwrap(), "short");
    assert_eq!(document.text(), "a long text");
    assert!(document.text_after(&[1, 2, 3]).is_err() && !document.is_broken());
}

#[test]
fn a_hostile_state_vector_is_an_error_or_a_difference() {
    let (mut random, seed) = seeded("state vectors");
    let mut editor = Editor::new(5);
    for _ in 0..50 {
        editor.edit_at_random(&mut random);
    }
    let document = Document::from_state(&editor.state()).unwrap();
    for bytes in [
        &[][..],
        &[1],
        &[0, 0],
        &[0xff, 0xff, 0xff, 0x7f],
        &[0xff; 30],
        &[2, 5, 1],
        &[1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ] {
        let refused = document.diff(Some(bytes));
        assert!(matches!(refused, Err(DocumentError::State(_))), "{bytes:?}");
    }
    // Clocks that cut a pair, are ahead, or name strangers.
    for round in 0..2_000 {
        let vector: StateVector = (0..random.random_range(0..4))
            .map(|_| (ClientID::new(random.random_range(4..7)), random.random_range(0..200)))
            .collect();
        let mut bytes = vector.encode_v1();
        if random.random_bool(0.5) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let difference = document.diff(Some(&bytes));
        let fine = matches!(difference, Ok(_) | Err(DocumentError::State(_)));
        assert!(fine, "seed {seed} round {round}: {bytes:?} {difference:?}");
    }
}

#[test]
fn a_state_of_very_many_clients_loads() {
    use halley::live::gate::GateState;
    // Each wrote after the one before, the worst order for yrs: it takes recursion as deep as
    // there are clients, and square time (18 s for 60,000).
    let count = 25_000_u64;
    let mut bytes = number(count);
    for client in (0..count).rev() {
        bytes.extend(number(1));
        bytes.extend(number(client + 1));
        bytes.push(0);
        if client == 0 {
            bytes.extend([4, 1, 4]);
            bytes.extend(b"body");
        } else {
            bytes.push(0x84);
            bytes.extend(number(client));
            bytes.push(0);
        }
        bytes.extend([1, b'x']);
    }
    bytes.push(0);
    assert_eq!(GateState::from_state(&bytes).unwrap().next_clock(count), 1);
    let document = Document::from_state(&bytes).unwrap();
    assert_eq!(document.text().len(), 25_000);
    assert_eq!(document.diff(None).unwrap().len(), bytes.len());
}

fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
