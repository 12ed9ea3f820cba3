//! What the store holds after crashes, damage and full disks.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "store_recovery/disk.rs"]
mod disk;
#[path = "store_recovery/life.rs"]
mod life;
mod store_support;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use halley::page::{PageId, Revision};
use halley::store::{Change, Expect, Options, Store, StoreError, Table};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store_support::{Model, copy, copy_all, entry, journal, noise, open, options, read_all, used};

fn seed() -> u64 {
    let seed = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    println!("seed {seed} (TEST_SEED repeats it)");
    seed
}

#[tokio::test]
async fn a_torn_last_record_is_dropped_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    model.append(&store, 1, vec![entry(1, 40), entry(2, 10)]).await;
    model.set(&store, Table::Names, b"home", Some(b"1".to_vec())).await;
    let before = used(&fs::read(&journal(dir.path())[0]).unwrap());
    store.append(PageId(1), vec![entry(3, 5)]).await.unwrap();
    let crashed = copy(dir.path());
    let file = journal(crashed.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let end = used(&whole);
    assert!(end > before + 20 && end < before + 200);
    for cut in before..end {
        let torn = copy(crashed.path());
        let path = torn.path().join("journal").join(file.file_name().unwrap());
        let mut bytes = whole.clone();
        match cut % 3 {
            0 => bytes.truncate(cut),
            1 => bytes[cut..].fill(0),
            // Its beginning is missing, its end is there.
            _ => bytes[before..=cut].fill(0),
        }
        fs::write(&path, bytes).unwrap();
        let store = open(torn.path());
        model.check(&store, &format!("cut at {cut} of {before}..{end}"));
        let kept = fs::read_dir(torn.path().join("journal")).unwrap().flatten();
        let kept = kept
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "torn"));
        // What is left out is still there for whoever knows better.
        match (cut % 3, kept.map(|path| fs::read(path).unwrap())) {
            (0 | 1, Some(kept)) => assert!(whole[before..cut].starts_with(&kept), "{cut}"),
            (2, Some(kept)) => assert!(kept.ends_with(&whole[cut + 1..end]), "{cut}"),
            (_, None) => assert!(cut == before || cut + 1 == end, "nothing kept of {cut}"),
            _ => unreachable!(),
        }
        let mut after = model.clone();
        after.append(&store, 1, vec![entry(9, 5)]).await;
        let again = copy(torn.path());
        after.check(&open(again.path()), "written on behind the cut");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_is_refused_or_healed_but_never_read() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    for number in 0..200 {
        model.append(&store, number % 3, vec![entry(number, 50)]).await;
    }
    let crashed = copy(dir.path());
    let file = journal(crashed.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    // The last record of all cannot be told from a torn one, so it is left out.
    let end = used(&whole) - 200;
    for _ in 0..40 {
        let (at, bit) = (rng.random_range(0..end), rng.random_range(0..8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        fs::write(&file, bytes).unwrap();
        match Store::open(crashed.path(), options()) {
            Err(StoreError::Damaged(text)) => assert!(text.contains("journal"), "{text}"),
            Err(other) => panic!("byte {at}: {other}"),
            Ok(_) => panic!("byte {at} bit {bit} was not noticed"),
        }
    }
    fs::write(&file, whole).unwrap();
    model.check(&open(crashed.path()), "the file put back");

    // The same damage where all is in the records already: nothing is lost, so it is healed.
    drop(store);
    let file = journal(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[end / 2] ^= 4;
    fs::write(&file, bytes).unwrap();
    let store = open(dir.path());
    assert!(store.health().recovered.unwrap().contains("journal"));
    model.check(&store, "healed");
    store.checkpoint().await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.health().recovered, None);
    model.check(&store, "healed and opened");
}

/// Damages sled in one way.
type Damage = (&'static str, fn(&Path, &mut StdRng));

const DAMAGES: &[Damage] = &[
    ("all of it removed", |sled, _| fs::remove_dir_all(sled).unwrap()),
    ("cut in half", |sled, _| {
        let file = OpenOptions::new().write(true).open(sled.join("db")).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length / 2).unwrap();
    }),
    ("emptied", |sled, _| fs::write(sled.join("db"), b"").unwrap()),
    ("db removed", |sled, _| fs::remove_file(sled.join("db")).unwrap()),
    ("conf is noise", |sled, rng| fs::write(sled.join("conf"), noise(rng.random(), 62)).unwrap()),
    ("empty snapshot", |sled, _| fs::write(sled.join("snap.0000000000009999"), b"").unwrap()),
    ("noise snapshot", |sled, rng| {
        fs::write(sled.join("snap.0000000000009999"), noise(rng.random(), 500)).unwrap();
    }),
    ("unfinished snapshot", |sled, _| {
        fs::write(sled.join("snap.0000000000009999.generating"), b"x").unwrap();
    }),
    ("a piece zeroed", |sled, rng| flip(&sled.join("db"), rng, |bytes| bytes.fill(0), 4096)),
    ("bytes flipped", |sled, rng| {
        flip(&sled.join("db"), rng, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x55), 4);
    }),
];

fn flip(path: &Path, rng: &mut StdRng, change: fn(&mut [u8]), length: usize) {
    let mut bytes = fs::read(path).unwrap();
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = written[rng.random_range(0..written.len())];
    let end = bytes.len().min(at + length);
    change(&mut bytes[at..end]);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn whatever_happens_to_sled_nothing_is_lost() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    model.fill(&store, 1, 3).await;
    let whole_journal = (copy(dir.path()), model.clone());
    store.checkpoint().await.unwrap();
    model.fill(&store, 2, 4).await;
    let kept = (copy(dir.path()), model.clone());
    drop(store);
    let closed = (copy(dir.path()), model.clone());
    assert!(
        !journal(closed.0.path())[0].ends_with("0000000000000000.journal"),
        "the journal was not cut behind the checkpoint"
    );
    let (mut rebuilt, mut untouched) = (0, 0);
    for (state, (dir, model)) in
        [("whole journal", whole_journal), ("checkpoint", kept), ("closed", closed)]
    {
        for (name, damage) in DAMAGES {
            let rounds = if *name == "bytes flipped" { 12 } else { 1 };
            for _ in 0..rounds {
                let broken = copy(dir.path());
                damage(&broken.path().join("sled"), &mut rng);
                let store = open(broken.path());
                model.check(&store, &format!("{state}, {name}"));
                match store.health().recovered {
                    Some(_) => rebuilt += 1,
                    None => untouched += 1,
                }
                drop(store);
                let store = open(broken.path());
                assert_eq!(store.health().recovered, None);
                model.check(&store, &format!("{state}, {name}, opened again"));
            }
        }
    }
    println!("{rebuilt} rebuilt, {untouched} opened as they were");
    assert!(rebuilt > 10);
}

#[tokio::test]
async fn a_store_never_starts_empty_or_with_less_than_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    model.fill(&store, 1, 2).await;
    store.checkpoint().await.unwrap();
    model.fill(&store, 2, 2).await;
    drop(store);
    let refused = |change: &dyn Fn(&Path), what: &str| {
        let broken = copy(dir.path());
        change(broken.path());
        match Store::open(broken.path(), options()) {
            Err(StoreError::Damaged(text)) => println!("{what}: {text}"),
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: opened"),
        }
        assert!(!broken.path().join("sled.new").exists());
    };
    refused(&|dir| fs::remove_dir_all(dir.join("journal")).unwrap(), "no journal");
    refused(&|dir| fs::remove_file(journal(dir).pop().unwrap()).unwrap(), "no journal file");
    refused(&|dir| fs::remove_file(dir.join("format")).unwrap(), "no format");
    refused(&|dir| fs::write(dir.join("format"), "x").unwrap(), "noise in format");
    refused(
        &|dir| {
            for gone in ["sled", "checkpoints", "journal"] {
                fs::remove_dir_all(dir.join(gone)).unwrap();
            }
            fs::remove_file(dir.join("format")).unwrap();
            fs::write(dir.join("reserve"), "").unwrap();
        },
        "everything but the reserve",
    );
    refused(
        &|dir| {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
            fs::write(dir.join("secret.key"), [7; 32]).unwrap();
        },
        "nothing but the key",
    );
    refused(
        &|dir| {
            fs::remove_dir_all(dir.join("sled")).unwrap();
            fs::remove_dir_all(dir.join("checkpoints")).unwrap();
        },
        "neither sled nor checkpoint",
    );
    refused(
        &|dir| {
            fs::remove_dir_all(dir.join("sled")).unwrap();
            for file in fs::read_dir(dir.join("checkpoints")).unwrap() {
                let path = file.unwrap().path();
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }
        },
        "no sled and a flipped checkpoint",
    );
    model.check(&open(dir.path()), "the original");
}

/// The last journal file with everything behind `keep` of its bytes gone or zero.
fn shorten(dir: &Path, keep: u64, zeros: bool) {
    let path = journal(dir).pop().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(keep).unwrap();
    if zeros {
        file.set_len(length).unwrap();
    }
}

#[tokio::test]
async fn a_journal_that_was_cut_short_is_never_taken_for_all_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    // Several barriers' worth, so that the records are ahead of what they say of themselves.
    for salt in 0..10 {
        for page in 1..=8 {
            model.append(&store, page, vec![entry(salt, 9_000)]).await;
        }
    }
    let crashed = copy(dir.path());
    assert_eq!(journal(crashed.path()).len(), 1);
    let end = used(&fs::read(journal(crashed.path()).pop().unwrap()).unwrap()) as u64;
    let mut refused = 0;
    for (tenth, zeros) in (0..10).flat_map(|tenth| [(tenth, false), (tenth, true)]) {
        let broken = copy(crashed.path());
        shorten(broken.path(), 64.max(end * tenth / 10), zeros);
        match Store::open(broken.path(), options()) {
            Err(StoreError::Damaged(_)) => refused += 1,
            Err(other) => panic!("{tenth} {zeros}: {other}"),
            // Nothing in the records is newer than this.
            Ok(store) => {
                assert!(tenth > 4 && store.health().recovered.is_none(), "{tenth} {zeros}");
            }
        }
        assert!(broken.path().join("sled").exists() && !broken.path().join("sled.new").exists());
    }
    println!("{refused} of 20 refused");
    model.check(&open(crashed.path()), "the original");
}

#[tokio::test]
async fn a_beginning_of_the_journal_that_is_gone_is_replaced_while_there_is_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    for salt in 1..=20 {
        model.fill(&store, salt, 4).await;
    }
    drop(store);
    let files = journal(dir.path());
    assert!(files.len() > 1);
    fs::remove_file(&files[0]).unwrap();
    let store = open(dir.path());
    model.check(&store, "without the first file");
    assert!(store.health().recovered.is_some());
    // The checkpoint that replaces it is asked for at the start, so this one comes after it.
    store.checkpoint().await.unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    model.check(&open(dir.path()), "without the records as well");
}

#[tokio::test]
async fn a_small_journal_that_was_cut_short_is_noticed_soon_after_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    model.append(&store, 1, vec![entry(1, 30)]).await;
    let start = std::time::Instant::now();
    loop {
        let broken = copy(dir.path());
        shorten(broken.path(), 64, true);
        if let Err(error) = Store::open(broken.path(), options()) {
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "it still opens empty");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    model.check(&open(copy(dir.path()).path()), "the original");
}

#[tokio::test]
async fn a_checkpoint_taken_while_writing_goes_on_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    // The smallest threshold: checkpoints follow one another by themselves.
    let options = Options { checkpoint_bytes: 200_000, ..options() };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let mut model = Model::default();
    for salt in 1..12 {
        model.fill(&store, salt, 5).await;
    }
    store.checkpoint().await.unwrap();
    model.fill(&store, 50, 5).await;
    assert!(!journal(dir.path())[0].ends_with("0000000000000000.journal"));
    let crashed = copy(dir.path());
    fs::remove_dir_all(crashed.path().join("sled")).unwrap();
    let rebuilt = Store::open(crashed.path(), options).unwrap();
    assert!(rebuilt.health().recovered.unwrap().contains("checkpoint"));
    model.check(&rebuilt, "from the checkpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_agree_with_a_model_across_crashes() {
    let seed = seed();
    for round in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed ^ round);
        let mut dir = tempfile::tempdir().unwrap();
        // Checkpoints by themselves would cut the journal under a copy that runs beside them.
        let moving_copies = round % 2 == 1;
        let checkpoint_bytes = if moving_copies { 1 << 40 } else { 300_000 };
        let options = Options { checkpoint_bytes, ..options() };
        let mut store = Store::open(dir.path(), options.clone()).unwrap();
        let mut model = Model::default();
        for step in 0..400 {
            let context = format!("seed {seed} round {round} step {step}");
            match rng.random_range(0..100) {
                0..50 => {
                    let count = rng.random_range(1..5);
                    let size = if rng.random_ratio(1, 20) { 20_000 } else { 40 };
                    let entries = (0..count)
                        .map(|_| entry(rng.random_range(0..9999), rng.random_range(0..size)))
                        .collect();
                    model.append(&store, rng.random_range(0..6), entries).await;
                }
                50..85 => {
                    let table =
                        store_support::TABLES[rng.random_range(0..store_support::TABLES.len())];
                    let key = vec![rng.random_range(0..12_u8); rng.random_range(1..4)];
                    let size = if rng.random_ratio(1, 10) { 30_000 } else { 300 };
                    let value = rng
                        .random_ratio(3, 4)
                        .then(|| noise(rng.random(), rng.random_range(0..size)));
                    model.set(&store, table, &key, value).await;
                }
                85..88 => {
                    let (page, revision) = (rng.random_range(0..6), rng.random_range(1..50));
                    let state = noise(revision, rng.random_range(0..60_000));
                    store.save_snapshot(PageId(page), Revision(revision), state).await.unwrap();
                }
                88 => store.checkpoint().await.unwrap(),
                89 => drop(store.compact(u64::MAX).await.unwrap()),
                90..94 => {
                    drop(store);
                    store = Store::open(dir.path(), options.clone()).unwrap();
                    model.check(&store, &context);
                }
                94..98 => {
                    let crashed = copy(dir.path());
                    drop(store);
                    dir = crashed;
                    store = Store::open(dir.path(), options.clone()).unwrap();
                    model.check(&store, &context);
                }
                _ if !moving_copies => {}
                _ => {
                    // A copy while nobody stands still: records first, journal after.
                    let page = PageId(1_000 + step);
                    let writing = store.clone();
                    let task = tokio::spawn(async move {
                        for number in 0..200 {
                            writing.append(page, vec![entry(number, 100)]).await.unwrap();
                        }
                    });
                    let from = dir.path().to_owned();
                    let crashed = tokio::task::spawn_blocking(move || copy(&from)).await.unwrap();
                    task.await.unwrap();
                    drop(store);
                    dir = crashed;
                    store = Store::open(dir.path(), options.clone()).unwrap();
                    model.check(&store, &context);
                    let log = read_all(&store, page.0, 1 << 20);
                    let expected: Vec<_> =
                        (0..log.len() as u64).map(|number| entry(number, 100)).collect();
                    assert!(log == expected, "{context}: the running log");
                    model.logs.insert(page.0, log);
                    if model.logs[&page.0].is_empty() {
                        model.logs.remove(&page.0);
                    }
                }
            }
        }
        drop(store);
        let away = tempfile::tempdir().unwrap();
        copy_all(dir.path(), away.path());
        fs::remove_dir_all(away.path().join("sled")).unwrap();
        let store = Store::open(away.path(), options).unwrap();
        model.check(&store, &format!("seed {seed} round {round}: without sled at the end"));
    }
}
