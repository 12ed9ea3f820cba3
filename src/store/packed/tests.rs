//! What goes in comes out; what nobody put in does no harm.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::LogEntry;
use super::update::{Content, Id, Range, Section, Struct, Update};
use super::*;

fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    seed
}

fn some_id(rng: &mut StdRng) -> Id {
    Id { client: some_client(rng), clock: some_clock(rng) }
}

fn some_client(rng: &mut StdRng) -> u64 {
    [1, 2, 300, 4_000_000_000, (1 << 53) - 1][rng.random_range(0..5)]
}

fn some_clock(rng: &mut StdRng) -> u64 {
    let bits = rng.random_range(0..31);
    rng.random_range(0..=1_u64 << bits)
}

fn some_struct(rng: &mut StdRng) -> Struct<'static> {
    const TEXTS: [&str; 8] = ["", "a", "ß", "日", "🐌", "two", "e\u{301}", "\u{7f}\u{80}\u{ffff}"];
    let content = match rng.random_range(0..5) {
        0 => Content::Deleted(some_clock(rng)),
        1 => {
            let content = Content::Collected(some_clock(rng));
            return Struct { origin: None, right: None, content };
        }
        _ => Content::Text(TEXTS[rng.random_range(0..TEXTS.len())]),
    };
    let origin = rng.random_bool(0.7).then(|| some_id(rng));
    let right = match origin {
        Some(id) if rng.random_bool(0.4) => Some(Id { clock: id.clock + 1, ..id }),
        _ => rng.random_bool(0.5).then(|| some_id(rng)),
    };
    Struct { origin, right, content }
}

fn some_update(rng: &mut StdRng) -> Vec<u8> {
    let mut update = Update::default();
    for _ in 0..[1, 1, 1, 0, 3][rng.random_range(0..5)] {
        let mut section =
            Section { client: some_client(rng), clock: some_clock(rng), structs: Vec::new() };
        for _ in 0..[1, 1, 1, 0, 7][rng.random_range(0..5)] {
            section.structs.push(some_struct(rng));
        }
        update.sections.push(section);
    }
    for _ in 0..[0, 0, 1, 3][rng.random_range(0..4)] {
        let range =
            |rng: &mut StdRng| Range { clock: some_clock(rng), length: rng.random_range(0..3) };
        let ranges = (0..[1, 1, 0, 5][rng.random_range(0..4)]).map(|_| range(rng)).collect();
        update.deletes.push((some_client(rng), ranges));
    }
    update::write(&update)
}

/// Updates of every form, broken ones among them, with wild times.
fn some_entries(rng: &mut StdRng) -> Vec<LogEntry> {
    let count = rng.random_range(0..60);
    (0..count)
        .map(|number| {
            let mut update = some_update(rng);
            if rng.random_bool(0.2) && !update.is_empty() {
                let at = rng.random_range(0..update.len());
                match rng.random_range(0..3) {
                    0 => update[at] = rng.random(),
                    1 => update.truncate(at),
                    _ => update.insert(at, 0x80),
                }
            }
            let at_ms = match rng.random_range(0..10) {
                0 => rng.random(),
                _ => 1_700_000_000_000 + number * 150,
            };
            let op = ["", "op-1", "merge:00ff", "abcdefghijklmnopqrst"][rng.random_range(0..4)];
            let author = ["", "gabc", "gdef", "ümlaut"][rng.random_range(0..4)];
            LogEntry { at_ms, author: author.into(), op: op.into(), update }
        })
        .collect()
}

#[test]
fn any_entries_come_out_as_they_went_in() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..2_000 {
        let entries = some_entries(&mut rng);
        let packed = pack(&entries);
        let expected: Vec<_> = entries.iter().map(kept).collect();
        let found = unpack(&packed, entries.len() as u64);
        assert!(found == Some(expected), "round {round} of seed {seed}");
    }
}

#[test]
fn a_changed_pack_is_refused_or_read_as_something_else_and_never_panics() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut refused = 0;
    for _ in 0..3_000 {
        let entries = some_entries(&mut rng);
        let mut packed = pack(&entries);
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..packed.len());
            packed[at] = rng.random();
        }
        refused += u32::from(unpack(&packed, entries.len() as u64).is_none());
        let noise: Vec<u8> = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        let _ = unpack(&noise, u64::MAX);
    }
    assert!(refused > 100, "{refused} refused");
}

#[test]
fn a_column_that_claims_to_be_huge_takes_no_memory() {
    let mut bytes = Vec::new();
    super::super::codec::put_length(&mut bytes, 1 << 60);
    assert!(unpack(&bytes, 1).is_none());
}

#[test]
fn only_what_a_browser_rolls_counts_as_random() {
    assert!(is_random("abcdefghijklmnopqr27"));
    for op in ["", "merge:0123456789abcde", "abcdefghijklmnopqr2", "Abcdefghijklmnopqr27"] {
        assert!(!is_random(op), "{op}");
    }
}

#[test]
fn typing_takes_little() {
    let mut entries = Vec::new();
    for number in 0..1_000_u64 {
        let content = Content::Text(&"the quick brown fox "[number as usize % 20..][..1]);
        let origin = Some(Id { client: 77, clock: number.wrapping_sub(1).min(1 << 40) });
        let one = Struct { origin, right: Some(Id { client: 5, clock: 9 }), content };
        let section = Section { client: 77, clock: number, structs: vec![one] };
        let update = update::write(&Update { sections: vec![section], deletes: vec![] });
        let op = "abcdefghijklmnopqrst".into();
        entries.push(LogEntry { at_ms: number * 137, author: "gabc".into(), op, update });
    }
    let packed = pack(&entries).len();
    assert!(packed < 300, "{packed} bytes for 1,000 characters typed in one run");
}
