//! Full disks and small ones.

use super::*;

/// Takes the small file system away again.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A small file system in memory, or `None` (and a line) where that is not allowed.
fn mount<'a>(at: &'a Path, size: &str) -> Option<Unmount<'a>> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", size, "halley-test"])
        .arg(at)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        assert!(std::env::var_os("CI").is_none(), "CI has what this test needs");
        println!("skipped: this user may not mount a tmpfs");
        return None;
    }
    Some(Unmount(at))
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_unmount) = mount(dir.path(), "size=24m") else { return };
    let data = dir.path().join("data");
    // No floor: the file system itself says no, at the growth of the journal.
    for floor in [0, 6 << 20] {
        let options = Options { free_floor_bytes: floor, ..options() };
        let ballast = dir.path().join("ballast");
        let store = Store::open(&data, options.clone()).unwrap();
        let page = PageId(floor + 1);
        store.append(page, vec![entry(1, 100)]).await.unwrap();
        fs::write(&ballast, vec![1; if floor == 0 { 15 << 20 } else { 10 << 20 }]).unwrap();
        let mut acked = 1;
        let refused = loop {
            match store.append(page, vec![entry(acked, 60_000)]).await {
                Ok(revision) => acked = revision.0,
                Err(error) => break error,
            }
            assert!(acked < 1_000);
        };
        println!("floor {floor}: {acked} acknowledged, then: {refused}");
        // Without a floor sled may be the one that finds no space; then the store has stopped.
        assert!(floor == 0 || matches!(refused, StoreError::DiskFull), "{refused}");
        if matches!(refused, StoreError::DiskFull) {
            assert_eq!(read_all(&store, page.0, 1 << 20).len() as u64, acked);
        }
        if floor > 0 {
            assert!(store.health().read_only.is_some());
            fs::remove_file(&ballast).unwrap();
            while store.health().read_only.is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            assert_eq!(store.append(page, vec![entry(0, 10)]).await.unwrap().0, acked + 1);
            acked += 1;
        }
        let _ = store.close();
        drop(store);
        let _ = fs::remove_file(&ballast);
        let store = Store::open(&data, options).unwrap();
        assert!(read_all(&store, page.0, 1 << 20).len() as u64 >= acked);
        drop(store);
        fs::remove_dir_all(&data).unwrap();
    }
}

#[tokio::test]
async fn a_disk_smaller_than_the_usual_floor_is_written_to_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_unmount) = mount(dir.path(), "size=32m") else { return };
    let store = Store::open(&dir.path().join("data"), Options::default()).unwrap();
    assert_eq!(store.append(PageId(1), vec![entry(1, 100)]).await.unwrap().0, 1);
    fs::write(dir.path().join("ballast"), vec![1; 22 << 20]).unwrap();
    while store.append(PageId(1), vec![entry(1, 100)]).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(store.health().read_only.is_some(), "and a part of it is kept free");
}

#[tokio::test]
async fn a_store_opens_on_a_disk_without_any_space_by_giving_up_its_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_unmount) = mount(dir.path(), "size=128m") else { return };
    let data = dir.path().join("data");
    let options = Options { reserve_bytes: 64 << 20, ..options() };
    let store = Store::open(&data, options.clone()).unwrap();
    let mut model = Model::default();
    model.fill(&store, 1, 2).await;
    let reserve = data.join("reserve");
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 2 << 20);
    // As after a crash: sled is behind and has to write when it is opened.
    let crashed = copy(&data);
    drop(store);
    copy_all(crashed.path(), &data);
    let mut ballast = fs::File::create(dir.path().join("ballast")).unwrap();
    while ballast.write_all(&[1; 4096]).is_ok() {}
    let store = Store::open(&data, options).unwrap();
    assert!(!reserve.exists());
    model.check(&store, "opened on a full disk");
}
