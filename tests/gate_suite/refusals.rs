//! One test per rule, each beside what just passes.

use halley::live::document::Document;
use halley::live::gate::{GateState, Limits, Passed, Refusal};

use crate::wire::{
    Item, collected, deleted, item, number, section, string, text, text_after, text_before, update,
    write,
};

/// Client 7 wrote "hello", client 8 added " 😀!" and 7's "ell" is deleted.
fn known() -> GateState {
    let mut gate = GateState::default();
    let first = write(7, 0, vec![text("hello")]);
    gate.check(&first, &|_| true).unwrap();
    gate.accept(&first);
    let second = update(&[section(8, 0, vec![text_after((7, 4), " 😀!")])], &[(7, &[(1, 3)])]);
    gate.check(&second, &|_| true).unwrap();
    gate.accept(&second);
    gate
}

fn check(bytes: &[u8]) -> Result<Passed, Refusal> {
    known().check(bytes, &|_| true)
}

#[track_caller]
fn passes(bytes: &[u8]) -> Passed {
    let passed = check(bytes).unwrap();
    // Whatever passes here must be fine for yrs, too.
    let mut document = Document::new();
    document.apply(&write(7, 0, vec![text("hello")])).unwrap();
    let second = update(&[section(8, 0, vec![text_after((7, 4), " 😀!")])], &[(7, &[(1, 3)])]);
    document.apply(&second).unwrap();
    assert_eq!(document.text(), "ho 😀!");
    document.apply(bytes).unwrap();
    passed
}

#[track_caller]
fn broken(bytes: &[u8], why: &str) {
    assert_eq!(check(bytes), Err(Refusal::Broken(Box::leak(why.to_owned().into_boxed_str()))));
}

#[track_caller]
fn too_large(bytes: &[u8], why: &str) {
    assert_eq!(check(bytes), Err(Refusal::TooLarge(Box::leak(why.to_owned().into_boxed_str()))));
}

#[test]
fn text_after_text_passes_and_is_counted() {
    let passed = passes(&write(9, 0, vec![text_after((8, 3), "é😀")]));
    assert_eq!(passed, Passed { known: false, inserted: 3, inserted_bytes: 6, structs: 1 });
}

#[test]
fn an_update_over_256_kib_is_too_large() {
    let fits = |length: usize| write(9, 0, vec![text(&"x".repeat(length))]);
    let overhead = fits(200_000).len() - 200_000;
    assert_eq!(passes(&fits(262_144 - overhead)).inserted, (262_144 - overhead) as u64);
    too_large(&fits(262_145 - overhead), "too many bytes");
    let own = known().check_with(&fits(1 << 20), &|_| true, &Limits::SERVER).unwrap();
    assert_eq!(own.inserted_bytes, 1 << 20);
}

#[test]
fn more_than_four_clients_are_too_many() {
    let sections = |count: u64| -> Vec<_> {
        (0..count).map(|client| section(20 + client, 0, vec![text("x")])).collect()
    };
    passes(&update(&sections(4), &[]));
    too_large(&update(&sections(5), &[]), "too many clients");
}

#[test]
fn a_client_without_structs_is_broken() {
    broken(&update(&[section(9, 0, vec![])], &[]), "a client without structs");
}

#[test]
fn a_client_twice_is_broken() {
    let sections = [section(9, 0, vec![text("x")]), section(9, 1, vec![text("y")])];
    broken(&update(&sections, &[]), "a client twice");
}

#[test]
fn more_than_20_000_structs_are_too_many() {
    let structs = |count: u64| {
        let items =
            (0..count).map(|at| if at == 0 { text("x") } else { text_after((9, at - 1), "x") });
        write(9, 0, items.collect())
    };
    passes(&structs(20_000));
    too_large(&structs(20_001), "too many structs");
}

#[test]
fn every_shortened_or_lengthened_update_is_broken() {
    let whole = update(&[section(9, 0, vec![text_after((8, 3), "xyz")])], &[(8, &[(0, 1)])]);
    passes(&whole);
    for length in 0..whole.len() {
        broken(&whole[..length], "ends too early");
    }
    broken(&[&whole[..], &[0]].concat(), "bytes after the end");
}

#[test]
fn a_number_in_a_longer_form_is_broken() {
    for long in [vec![0x80, 0x00], vec![0x81, 0x80, 0x00], vec![0xff; 12]] {
        broken(&[long.clone(), vec![0]].concat(), "a number too long");
    }
    let mut bytes = vec![1, 1, 9, 0x80, 0x80, 0x80, 0x80, 0x10];
    bytes.extend(text("x").0);
    bytes.push(0);
    too_large(&bytes, "a clock");
}

#[test]
fn only_text_deleted_and_collected_pass() {
    passes(&write(9, 0, vec![text("x"), deleted(3), collected(2), text_after((9, 0), "y")]));
    let contents: [(u8, Vec<u8>); 9] = [
        (2, [number(1), string(b"1")].concat()), // JSON
        (3, string(b"bin")),
        (5, string(b"{}")),
        (6, [string(b"bold"), string(b"true")].concat()),
        (7, vec![0]),       // type
        (8, vec![1, 0x7e]), // Any
        (9, [string(b"guid"), vec![0x7e]].concat()),
        (10, number(1)), // Skip
        (11, number(1)), // Move
    ];
    for (kind, content) in contents {
        let bytes = write(9, 0, vec![item(kind, Some((8, 3)), None, content)]);
        broken(&bytes, "something other than text");
    }
}

#[test]
fn flag_bits_that_text_never_has_are_broken() {
    for (kind, content) in [(4, string(b"x")), (1, number(1))] {
        // 0x20 is a map key; 0x10 belongs to the kind for Yjs, but not for yrs.
        for flag in [0x10, 0x20, 0x30] {
            let bytes = write(9, 0, vec![item(kind | flag, Some((8, 3)), None, content.clone())]);
            broken(&bytes, "something other than text");
        }
    }
    for flags in [0x10, 0x20, 0x40, 0x80, 0xc0] {
        let bytes = write(9, 0, vec![Item([vec![flags, 8, 3], number(2)].concat())]);
        broken(&bytes, "something other than text");
    }
}

#[test]
fn only_the_root_named_body_is_a_parent() {
    let with_parent =
        |parent: Vec<u8>| write(9, 0, vec![Item([vec![4], parent, string(b"x")].concat())]);
    passes(&with_parent([vec![1], string(b"body")].concat()));
    for parent in [
        [vec![1], string(b"other")].concat(),
        [vec![1], string(b"")].concat(),
        [vec![1], string(b"Body")].concat(),
        [vec![2], string(b"body")].concat(),
        vec![0, 7, 0],
    ] {
        broken(&with_parent(parent), "a parent other than the page's text");
    }
}

#[test]
fn text_must_be_utf8_and_not_empty() {
    let with = |bytes: &[u8]| write(9, 0, vec![item(4, Some((8, 3)), None, string(bytes))]);
    passes(&with("\u{fffd}\u{0}\u{10ffff}".as_bytes()));
    // An overlong form, a surrogate, half a character, a stray byte.
    for bytes in [&b"\xc0\x80"[..], b"\xed\xa0\xbd", b"\xf0\x9f\x98", b"a\x80", b"\xff"] {
        broken(&with(bytes), "text that is not UTF-8");
    }
    broken(&with(b""), "a struct without length");
}

#[test]
fn lengths_of_nothing_are_broken() {
    broken(&write(9, 0, vec![deleted(0)]), "a range without length");
    broken(&write(9, 0, vec![collected(0)]), "a range without length");
    broken(&update(&[], &[(7, &[(0, 0)])]), "a range without length");
    broken(&update(&[], &[(7, &[])]), "a client without deleted ranges");
}

#[test]
fn a_foreign_client_id_is_forged() {
    let owns = |client: u64| client == 9;
    let gate = known();
    gate.check(&write(9, 0, vec![text("x")]), &owns).unwrap();
    for (client, clock) in [(7, 5), (7, 0), (7, 99), (8, 4), (10, 0)] {
        let bytes = write(client, clock, vec![text("x")]);
        assert_eq!(gate.check(&bytes, &owns), Err(Refusal::Forged(client)));
    }
    let both = update(&[section(9, 0, vec![text("x")]), section(7, 5, vec![text("x")])], &[]);
    assert_eq!(gate.check(&both, &owns), Err(Refusal::Forged(7)));
    // Deleting what others wrote is editing.
    gate.check(&update(&[], &[(7, &[(0, 5)]), (8, &[(0, 4)])]), &owns).unwrap();
}

#[test]
fn client_ids_are_below_two_to_the_32() {
    passes(&write((1 << 32) - 1, 0, vec![text("x")]));
    let wide = 1 << 32;
    assert_eq!(check(&write(wide, 0, vec![text("x")])), Err(Refusal::Forged(wide)));
}

#[test]
fn a_gap_or_an_overlap_is_behind() {
    passes(&write(7, 5, vec![text_after((7, 4), "x")]));
    for (clock, length) in [(6, 1), (99, 1), (0, 6), (4, 2), (4, 9)] {
        let bytes = write(7, clock, vec![text(&"x".repeat(length))]);
        let behind = Refusal::Behind { client: 7, expected: 5, found: clock as u32 };
        assert_eq!(check(&bytes), Err(behind));
    }
    let behind = Refusal::Behind { client: 9, expected: 0, found: 1 };
    assert_eq!(check(&write(9, 1, vec![text("x")])), Err(behind));
}

#[test]
fn clocks_end_at_two_to_the_30() {
    let top = 1_u64 << 30;
    passes(&write(9, 0, vec![collected(top)]));
    too_large(&write(9, 0, vec![collected(top), collected(1)]), "a clock");
    too_large(&write(9, 0, vec![collected(top), text("x")]), "a clock");
    too_large(&write(9, 0, vec![deleted(top + 1)]), "a clock");
    too_large(&write(9, 1 << 31, vec![text("x")]), "a clock");
    too_large(&update(&[], &[(7, &[(top, 1)])]), "a clock");
    too_large(&update(&[], &[(7, &[(0, u64::from(u32::MAX))])]), "a clock");
}

#[test]
fn an_origin_that_is_not_known_is_missing() {
    for missing in [(7, 5), (8, 4), (99, 0)] {
        assert_eq!(check(&write(9, 0, vec![text_after(missing, "x")])), Err(Refusal::Missing));
        assert_eq!(check(&write(9, 0, vec![text_before(missing, "x")])), Err(Refusal::Missing));
    }
    // Nor can anything come after itself or what follows.
    for clock in [0, 1, 2] {
        let bytes = write(9, 0, vec![text_after((9, clock), "x"), text("yz")]);
        assert_eq!(check(&bytes), Err(Refusal::Missing));
    }
}

#[test]
fn clients_of_one_update_may_build_on_each_other_in_any_order() {
    let first = section(9, 0, vec![text("a"), text_after((10, 0), "c")]);
    let second = section(10, 0, vec![text_after((9, 0), "b"), text_before((9, 1), "d")]);
    passes(&update(&[first.clone(), second.clone()], &[]));
    passes(&update(&[second, first], &[(10, &[(1, 1)])]));
}

#[test]
fn clients_of_one_update_may_not_wait_for_each_other() {
    let circle = [
        section(10, 0, vec![text_after((9, 1), "a")]),
        section(9, 0, vec![text_after((11, 0), "b"), text("c")]),
        section(11, 0, vec![text_before((10, 0), "d")]),
    ];
    assert_eq!(check(&update(&circle, &[])), Err(Refusal::Missing));
}

#[test]
fn nothing_is_put_beside_collected_text() {
    // Yjs drops it, yrs may keep it.
    let why = "an origin without a place in the text";
    broken(&write(9, 0, vec![collected(2), text_after((9, 1), "x")]), why);
    let mut gate = known();
    gate.accept(&write(9, 0, vec![collected(2)]));
    for item in [text_after((9, 0), "x"), text_before((9, 1), "x")] {
        let refused = gate.check(&write(10, 0, vec![item]), &|_| true);
        assert_eq!(refused, Err(Refusal::Broken("an origin without a place in the text")));
    }
}

#[test]
fn deletions_out_of_order_or_twice_are_broken() {
    passes(&update(&[], &[(7, &[(0, 1), (1, 2), (4, 1)]), (8, &[(0, 1)])]));
    let order = "deleted ranges out of order";
    broken(&update(&[], &[(7, &[(0, 2), (1, 1)])]), order);
    broken(&update(&[], &[(7, &[(3, 1), (0, 1)])]), order);
    let twice = "deletions of a client twice";
    broken(&update(&[], &[(7, &[(0, 1)]), (7, &[(2, 1)])]), twice);
    broken(&update(&[], &[(7, &[(0, 1)]), (8, &[(0, 1)]), (7, &[(2, 1)])]), twice);
}

#[test]
fn deleting_what_is_not_known_is_missing() {
    for (client, clock, length) in [(7, 0, 6), (7, 5, 1), (8, 4, 1), (99, 0, 1)] {
        let bytes = update(&[], &[(client, &[(clock, length)])]);
        assert_eq!(check(&bytes), Err(Refusal::Missing));
    }
    // What the same update brings is known.
    let own = |length| update(&[section(9, 0, vec![text("xy")])], &[(9, &[(0, length)])]);
    passes(&own(2));
    assert_eq!(check(&own(3)), Err(Refusal::Missing));
}

#[test]
fn more_than_50_000_deleted_ranges_are_too_many() {
    let ranges: Vec<_> = (0..50_001).map(|at| (2 * at, 1)).collect();
    let mut gate = known();
    gate.accept(&write(9, 0, vec![deleted(200_000)]));
    let most = update(&[], &[(9, &ranges[..50_000])]);
    gate.check(&most, &|_| true).unwrap();
    let refused = gate.check(&update(&[], &[(9, &ranges)]), &|_| true);
    assert_eq!(refused, Err(Refusal::TooLarge("too many deleted ranges")));
}

#[test]
fn nothing_comes_or_ends_between_two_surrogates() {
    // " 😀!" of client 8: 0 blank, 1 high, 2 low, 3 sign.
    let why = "an origin splits a surrogate pair";
    broken(&write(9, 0, vec![text_after((8, 1), "x")]), why);
    broken(&write(9, 0, vec![text_before((8, 2), "x")]), why);
    broken(&write(9, 0, vec![text("😀"), text_after((9, 0), "x")]), why);
    let deletion = "a deletion splits a surrogate pair";
    broken(&update(&[], &[(8, &[(0, 2)])]), deletion);
    broken(&update(&[], &[(8, &[(2, 2)])]), deletion);
    broken(&update(&[section(9, 0, vec![text("😀")])], &[(9, &[(1, 1)])]), deletion);
    passes(&write(9, 0, vec![text_after((8, 2), "x"), text_before((8, 1), "y")]));
    passes(&update(&[], &[(8, &[(1, 2)])]));
    passes(&update(&[section(9, 0, vec![text("😀")])], &[(9, &[(0, 2)])]));
}

#[test]
fn a_deleted_pair_is_no_pair_any_more() {
    let mut gate = known();
    gate.accept(&update(&[], &[(8, &[(1, 2)])]));
    gate.check(&write(9, 0, vec![text_after((8, 1), "x")]), &|_| true).unwrap();
    gate.check(&update(&[], &[(8, &[(2, 1)])]), &|_| true).unwrap();
}

#[test]
fn what_is_known_already_is_recognised() {
    let known_text =
        |clock, length: usize| passes(&write(7, clock, vec![text(&"x".repeat(length))])).known;
    assert!(known_text(0, 5) && known_text(2, 2) && !known_text(5, 1));
    assert!(passes(&update(&[], &[])).known);
    assert!(passes(&update(&[section(7, 0, vec![text("hello")])], &[(7, &[(1, 3)])])).known);
    assert!(passes(&update(&[], &[(7, &[(2, 1)])])).known);
    // Known text and a new deletion is new, but inserts nothing.
    let passed = passes(&update(&[section(7, 0, vec![text("hello")])], &[(7, &[(0, 2)])]));
    assert_eq!(passed, Passed::default());
    // Known text of one client and new text of another, as when an answer got lost.
    let both = [section(9, 0, vec![text("!")]), section(7, 0, vec![text("hello")])];
    assert_eq!(passes(&update(&both, &[])).inserted, 1);
}

#[test]
fn a_refused_update_changes_nothing_and_an_unreadable_one_is_not_recorded() {
    let mut gate = known();
    gate.accept(&[1, 1, 9]);
    gate.accept(&write(9, 3, vec![text("gap")]));
    assert_eq!((gate.next_clock(7), gate.next_clock(8), gate.next_clock(9)), (5, 4, 0));
}

#[test]
fn a_state_with_a_gap_or_another_kind_is_refused() {
    let gap = GateState::from_state(&write(9, 1, vec![text("x")]));
    assert_eq!(gap, Err(Refusal::Broken("a state with a gap")));
    let any = GateState::from_state(&write(9, 0, vec![item(8, None, None, vec![1, 0x7e])]));
    assert_eq!(any, Err(Refusal::Broken("something other than text")));
}

/// The three inputs that end a process that decodes them with yrs (`FACTS.md` 3).
#[test]
fn inputs_that_overflow_the_stack_of_yrs_are_refused() {
    // An array in an array in an array, 8,000 deep.
    let nested = [vec![1], [0x75, 1].repeat(8_000), vec![0x7e]].concat();
    broken(&write(9, 0, vec![item(8, None, None, nested)]), "something other than text");

    // 50,000 clients that wrote nothing: 240 KB.
    let empty: Vec<_> = (0..50_000).map(|client| section(client, 0, vec![])).collect();
    let bytes = update(&empty, &[]);
    assert!(bytes.len() < 262_144);
    too_large(&bytes, "too many clients");

    // 20,000 types, each within the one before, and the outermost deleted.
    let types = (0..20_000_u64).map(|at| {
        let parent = if at == 0 {
            [vec![1], string(b"body")].concat()
        } else {
            [vec![0], number(9), number(at - 1)].concat()
        };
        Item([vec![7], parent, vec![0]].concat())
    });
    let bytes = update(&[section(9, 0, types.collect())], &[(9, &[(0, 1)])]);
    assert!(bytes.len() < 262_144);
    broken(&bytes, "something other than text");
}
