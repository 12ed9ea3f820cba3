//! What is kept while nothing is damaged: values, logs, snapshots, closing and opening.

use super::*;

#[tokio::test]
async fn everything_is_there_after_closing_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let store = open(dir.path());
    model.fill(&store, 1, 3).await;
    model.check(&store, "running");
    let crashed = copy(dir.path());
    store.close().unwrap();
    assert!(matches!(store.get(Table::Meta, b"large"), Err(StoreError::Stopped)));
    assert!(matches!(store.append(PageId(1), vec![]).await, Err(StoreError::Stopped)));

    let mut store = open(dir.path());
    model.check(&store, "closed and opened");
    assert_eq!(store.health().recovered, None);
    let mut other = model.clone();
    other.fill(&store, 2, 4).await;
    drop(store);
    store = open(dir.path());
    other.check(&store, "dropped and opened");

    // Replaying is repeatable: crash, open, crash before anything is marked, open.
    let again = open(crashed.path());
    model.check(&again, "crashed and opened");
    let twice = copy(crashed.path());
    let again = open(twice.path());
    model.check(&again, "crashed twice");
    assert_eq!(again.health().recovered, None);
    model.fill(&again, 5, 2).await;
    let thrice = copy(twice.path());
    model.check(&open(thrice.path()), "crashed three times");
}

#[tokio::test]
async fn many_short_lives_leave_a_journal_that_reads_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    for life in 0..6 {
        let store = open(dir.path());
        model.check(&store, &format!("life {life}"));
        assert_eq!(store.health().recovered, None, "life {life}");
        if life % 2 == 0 {
            model.append(&store, 1, vec![entry(life, 10)]).await;
        }
    }
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    model.check(&open(dir.path()), "replayed from the beginning");
}

#[tokio::test]
async fn ten_thousand_small_appends_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut expected = Vec::new();
    for batch in 0..100 {
        let entries: Vec<_> = (0..100).map(|n| entry(batch * 100 + n, 24)).collect();
        expected.extend(entries.clone());
        store.append(PageId(1), entries).await.unwrap();
    }
    for limit in [1, 500, 7_777, usize::MAX] {
        let after = if limit == 1 { 9_700 } else { 0 };
        let mut all = Vec::new();
        loop {
            let from = Revision(after + all.len() as u64);
            let some = store.read_log(PageId(1), from, limit).unwrap();
            if some.is_empty() {
                break;
            }
            all.extend(some.into_iter().map(|(_, entry)| entry));
        }
        assert!(all == expected[after as usize..], "limit {limit}");
    }
    assert!(store.stats().tail_bytes < 20_000);
    drop(store);
    let store = open(dir.path());
    assert!(read_all(&store, 1, 50_000) == expected);
    assert_eq!(store.read_log(PageId(1), Revision(10_000), 1).unwrap(), []);
    assert_eq!(store.read_log(PageId(1), Revision(99_999), 1).unwrap(), []);
    assert_eq!(store.read_log(PageId(2), Revision(0), 1).unwrap(), []);
}

#[tokio::test]
async fn values_of_every_size_are_kept_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Model::default();
    for size in [0, 1, 3_999, 4_000, 4_001, 8_000, 100_000, 1 << 20] {
        let key = format!("k{size:08}");
        model.set(&store, Table::Pages, key.as_bytes(), Some(noise(size as u64, size))).await;
    }
    for round in 0..3 {
        model.set(&store, Table::Pages, b"k00008000", Some(noise(round, 9_000))).await;
    }
    model.check(&store, "written");
    let keys: Vec<_> = store
        .list(Table::Pages, b"k00", Some(b"k00004000"), 2)
        .unwrap()
        .into_iter()
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect();
    assert_eq!(keys, ["k00004001", "k00008000"]);
    assert_eq!(store.list(Table::Pages, b"x", None, 9).unwrap(), []);
    let change = |key: Vec<u8>, size: usize| Change {
        table: Table::Pages,
        key,
        expect: Expect::Anything,
        value: Some(vec![1; size]),
    };
    let large = store.change(vec![change(b"k".to_vec(), (1 << 20) + 1)]).await;
    assert!(matches!(large, Err(StoreError::TooLarge)));
    let long = store.change(vec![change(vec![b'k'; 1_025], 1)]).await;
    assert!(matches!(long, Err(StoreError::TooLarge)));
    let huge = store.append(PageId(1), vec![entry(1, 17 << 20)]).await;
    assert!(matches!(huge, Err(StoreError::TooLarge)));
    drop(store);
    let store = open(dir.path());
    model.check(&store, "opened");
    for size in [8_000, 1 << 20] {
        model.set(&store, Table::Pages, format!("k{size:08}").as_bytes(), None).await;
    }
    drop(store);
    model.check(&open(dir.path()), "removed");
}

#[tokio::test]
async fn a_second_store_and_a_newer_format_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::Locked)));
    let clone = store.clone();
    drop(store);
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::Locked)));
    clone.close().unwrap();
    let store = open(dir.path());
    store.close().unwrap();
    store.close().unwrap();
    let format = fs::read_to_string(dir.path().join("format")).unwrap();
    fs::write(dir.path().join("format"), format.replacen(" 3 ", " 7 ", 1)).unwrap();
    assert!(matches!(
        Store::open(dir.path(), options()),
        Err(StoreError::TooNew { found: 7, known: 3 })
    ));
    fs::write(dir.path().join("format"), format).unwrap();
    drop(open(dir.path()));
}

#[tokio::test]
async fn a_database_with_holes_gives_them_back_and_keeps_every_table() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut model) = (open(dir.path()), Model::default());
    model.fill(&store, 1, 2).await;
    for table in store_support::TABLES {
        model.set(&store, table, b"small", Some(noise(1, 90))).await;
        model.set(&store, table, b"large", Some(noise(2, 9_000))).await;
    }
    for value in [true, false] {
        for key in 0..20_u64 {
            let value = value.then(|| noise(key, 700_000));
            model.set(&store, Table::Meta, format!("hole {key}").as_bytes(), value).await;
        }
    }
    let before = store.stats().record_bytes;
    store.close().unwrap();
    // The first to open it rewrites it, and both must find all there is.
    for opened in ["rewritten", "opened again"] {
        let store = open(dir.path());
        model.check(&store, opened);
        let after = store.stats().record_bytes;
        assert!(after < before / 2, "{opened}: {before} bytes became {after}");
        assert_eq!(store.health().recovered, None);
        store.close().unwrap();
    }
}

#[tokio::test]
async fn a_directory_of_an_older_format_is_taken_over_with_all_that_is_in_it() {
    for older in ["1", "2"] {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut model) = (open(dir.path()), Model::default());
        model.append(&store, 1, vec![entry(1, 40), entry(2, 9_000)]).await;
        model.set(&store, Table::Names, b"home", Some(b"1".to_vec())).await;
        drop(store);
        let path = dir.path().join("format");
        let format = fs::read_to_string(&path).unwrap();
        // They had no packs, or no visits, and so differ in nothing else.
        fs::write(&path, format.replacen(" 3 ", &format!(" {older} "), 1)).unwrap();
        let store = open(dir.path());
        model.check(&store, older);
        assert_eq!(fs::read_to_string(&path).unwrap(), format);
        model.set(&store, Table::Visits, b"somebody", Some(b"new".to_vec())).await;
        drop(store);
        model.check(&open(dir.path()), older);
    }
}

#[tokio::test]
async fn snapshots_survive_and_thin_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let page = PageId(3);
    for revision in 1..=40_u64 {
        store.append(page, vec![entry(revision, 10)]).await.unwrap();
        store.save_snapshot(page, Revision(revision), noise(revision, 30_000)).await.unwrap();
    }
    let check = |store: &Store| {
        let state = |at| store.snapshot_at(page, Revision(at)).unwrap();
        assert_eq!(state(40), Some((Revision(40), noise(40, 30_000))));
        assert_eq!(state(39), Some((Revision(39), noise(39, 30_000))));
        assert_eq!(state(u64::MAX).unwrap().0, Revision(40));
        let (old, bytes) = state(20).unwrap();
        assert!(old.0 <= 20 && bytes == noise(old.0, 30_000));
        assert_eq!(state(0), None);
        assert_eq!(store.snapshot_at(PageId(4), Revision(9)).unwrap(), None);
    };
    check(&store);
    drop(store);
    check(&open(dir.path()));
}
