//! What a pack holds, and what is noticed when it does not.

use std::fs;

use super::super::disk::RealDisk;
use super::super::kv;
use super::*;

const STORE: u64 = 0xabcd;

fn entry(number: u64) -> LogEntry {
    LogEntry {
        at_ms: 1_000 + number,
        author: format!("g{}", number % 3),
        op: format!("op-{number}"),
        update: vec![number as u8; 20 + number as usize % 7],
    }
}

fn entries(from: u64, to: u64) -> Vec<LogEntry> {
    (from..=to).map(entry).collect()
}

/// A pack with runs of two pages and a snapshot.
fn write(packs: &Packs) -> Vec<Place> {
    let mut builder = Builder::begin(packs).unwrap();
    builder.add_run(7, 1, &entries(1, 100), 5_000).unwrap();
    builder.add_run(7, 101, &entries(101, 250), 7_000).unwrap();
    builder.add_state(7, 200, b"a snapshot").unwrap();
    builder.add_run(9, 1, &entries(1, 3), 90).unwrap();
    builder.finish(&mut Pace::unlimited()).unwrap()
}

fn named(places: &[Place]) -> Named {
    let mut named = Named::new();
    for place in places {
        named.entry(place.pack).or_default().push(place.block);
    }
    named
}

fn database(dir: &Path) -> Kv {
    kv::open(&dir.join("sled"), 1 << 20, Arc::new(RealDisk)).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let found = disk::files_ending(&dir.join(DIR), "").unwrap();
    found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_is_written_is_found_by_its_record_and_reads_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (packs, kv) = (Packs::of(dir.path(), STORE), database(dir.path()));
    let places = write(&packs);
    for place in &places {
        packs.put(&kv, place).unwrap();
    }
    assert!(packs.look(&named(&places)).unwrap().is_empty());
    packs.check(&named(&places), &mut Pace::unlimited()).unwrap();
    for (revision, expected) in [(1, 0), (100, 0), (101, 1), (250, 1)] {
        let found = packs.find(&kv, 7, revision).unwrap();
        assert_eq!(found, Some(places[expected]), "revision {revision}");
    }
    for (page, revision) in [(7, 251), (7, 0), (8, 1), (9, 4), (10, 1)] {
        assert_eq!(packs.find(&kv, page, revision).unwrap(), None, "{revision} of {page}");
    }
    for round in 0..3 {
        for (at, expected) in [(0, entries(1, 100)), (1, entries(101, 250)), (3, entries(1, 3))] {
            let found = packs.entries(&places[at]).unwrap().unwrap();
            assert!(*found == expected, "block {at} in round {round}");
        }
    }
    assert_eq!(packs.find_state(&kv, 7, 199).unwrap(), None);
    let state = packs.find_state(&kv, 7, u64::MAX).unwrap().unwrap();
    assert_eq!(
        (state, packs.content(&state).unwrap().as_deref()),
        (places[2], Some(&b"a snapshot"[..]))
    );
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_nothing_else_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let packs = Packs::of(dir.path(), STORE);
    let places = write(&packs);
    let path = packs.path(places[0].pack);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let checked = packs.check(&named(&places), &mut Pace::unlimited());
        assert!(matches!(checked, Err(StoreError::Damaged(_))), "byte {at}: {checked:?}");
        assert!(!path.exists(), "byte {at}: it was not set aside");
        let fresh = Packs::of(dir.path(), STORE);
        fs::write(&path, &bytes).unwrap();
        for (place, expected) in [(&places[0], entries(1, 100)), (&places[1], entries(101, 250))] {
            match fresh.entries(place) {
                Ok(Some(found)) => assert!(*found == expected, "byte {at}"),
                Ok(None) | Err(StoreError::Damaged(_)) => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let faults = packs.look(&named(&places)).unwrap();
        assert_eq!(faults.len(), 1, "cut to {length} bytes");
        assert!(faults.values().all(|fault| fault.contains("1 to 250 of page 7")), "{faults:?}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(packs.look(&named(&places)).unwrap().is_empty());
}

#[test]
fn what_no_record_names_goes_and_what_is_whole_after_all_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (packs, kv) = (Packs::of(dir.path(), STORE), database(dir.path()));
    let (kept, gone) = (write(&packs), write(&packs));
    let mut unfinished = Builder::begin(&packs).unwrap();
    unfinished.add_run(7, 1, &entries(1, 9), 400).unwrap();
    drop(unfinished);
    assert_eq!(files(dir.path()).len(), 2, "what is not finished leaves nothing");
    fs::write(dir.path().join(DIR).join("0000000000000009.tmp"), "x").unwrap();
    // Damaged in memory, say.
    fs::rename(packs.path(kept[0].pack), packs.path(kept[0].pack).with_extension("damaged"))
        .unwrap();

    let packs = Packs::of(dir.path(), STORE);
    let faults = packs.look(&named(&kept)).unwrap();
    assert_eq!(faults, Faults::new());
    packs.settle(&kv, &named(&kept), faults).unwrap();
    assert_eq!(files(dir.path()), ["0000000000000001.pack"]);
    assert!(write(&packs)[0].pack > 9, "a number is used once");

    // A pack of another store, or under another's number, is none.
    assert!(Packs::of(dir.path(), STORE + 1).look(&named(&kept)).unwrap().len() == 1);
    fs::copy(packs.path(1), packs.path(gone[0].pack)).unwrap();
    assert_eq!(packs.look(&named(&gone)).unwrap().len(), 1);
}

#[test]
fn a_pack_that_was_rewritten_stays_until_no_checkpoint_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (packs, kv) = (Packs::of(dir.path(), STORE), database(dir.path()));
    let old = write(&packs);
    for place in &old {
        packs.put(&kv, place).unwrap();
    }
    let mut builder = Builder::begin(&packs).unwrap();
    builder.add_run(7, 1, &entries(1, 250), 12_000).unwrap();
    builder.add_run(9, 1, &entries(1, 3), 90).unwrap();
    let new = builder.finish(&mut Pace::unlimited()).unwrap();
    for place in &new {
        packs.put(&kv, place).unwrap();
    }
    assert!(packs.retired(&kv).unwrap().is_empty());
    packs.remove(&kv, Kind::Log, 7, 101).unwrap();
    packs.remove(&kv, Kind::State, 7, 200).unwrap();
    packs.remove(&kv, Kind::State, 7, 200).unwrap();
    assert_eq!(packs.retired(&kv).unwrap(), [old[0].pack]);
    assert_eq!(packs.find(&kv, 7, 200).unwrap(), Some(new[0]));
    // A crash came before the last record of it was gone.
    kv.put(space::STORE, &retired_key(new[0].pack), &[]).unwrap();
    assert_eq!(packs.retired(&kv).unwrap(), [old[0].pack], "what is named is not retired");
    let again = Packs::of(dir.path(), STORE);
    again.settle(&kv, &named(&new), Faults::new()).unwrap();
    assert_eq!(kv.keys(space::STORE, RETIRED).unwrap().len(), 1, "the mark of it is dropped");
    assert_eq!(files(dir.path()).len(), 2);
    again.bury(&kv, &again.retired(&kv).unwrap()).unwrap();
    assert!(again.retired(&kv).unwrap().is_empty());
    assert_eq!(files(dir.path()), ["0000000000000002.pack"]);
}
