//! The faults are the ones that disks have.

use super::*;

fn write(file: &Arc<dyn StorageFile>, bytes: &[u8], position: u64) {
    file.write_at(&[io::IoSlice::new(bytes)], position).unwrap();
}

fn with_synced_file() -> (FaultyStorage, Arc<dyn StorageFile>) {
    let storage = FaultyStorage::new();
    let file = storage.create("f").unwrap();
    storage.sync_folder("", SyncSite::ROOT_FOLDER).unwrap();
    write(&file, b"synced", 0);
    file.sync(SyncSite::GROUP).unwrap();
    (storage, file)
}

#[test]
fn what_was_synced_survives_and_the_rest_may_not() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (storage, file) = with_synced_file();
        write(&file, b" not", 6);
        storage.power_cut(seed);
        let bytes = storage.contents("f").unwrap();
        assert_eq!(&bytes[..6], b"synced", "seed {seed}");
        lengths.insert(bytes.iter().rev().skip_while(|byte| **byte == 0).count());
    }
    assert!(lengths.len() > 2, "the tail is lost, kept and torn: {lengths:?}");
}

#[test]
fn a_name_is_lost_without_a_sync_of_its_folder() {
    let survived = (0..50)
        .filter(|seed| {
            let storage = FaultyStorage::new();
            let file = storage.create("f").unwrap();
            file.sync(SyncSite::GROUP).unwrap();
            storage.power_cut(*seed);
            storage.contents("f").is_some()
        })
        .count();
    assert!((1..50).contains(&survived));
}

#[test]
fn a_file_opened_before_the_cut_is_dead_and_the_lock_is_free() {
    let (storage, file) = with_synced_file();
    let lock = storage.lock().unwrap();
    assert_eq!(storage.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    storage.power_cut(1);
    assert!(file.sync(SyncSite::GROUP).is_err());
    let _next = storage.lock().unwrap();
    drop(lock);
    assert!(storage.lock().is_err(), "the dead owner's lock frees nothing");
}

#[test]
fn after_a_failed_sync_a_later_one_lies() {
    let lost = (0..50).any(|seed| {
        let (storage, file) = with_synced_file();
        write(&file, b"!", 6);
        storage.fail_sync(1);
        assert_eq!(file.sync(SyncSite::GROUP).unwrap_err().raw_os_error(), Some(5));
        file.sync(SyncSite::GROUP).unwrap();
        storage.power_cut(seed);
        storage.contents("f").unwrap() == b"synced"
    });
    assert!(lost);
}

#[test]
fn a_switched_off_sync_does_nothing() {
    let lost = (0..50).any(|seed| {
        let (storage, file) = with_synced_file();
        storage.switch_off(SyncSite::SEAL);
        write(&file, b"!", 6);
        file.sync(SyncSite::SEAL).unwrap();
        storage.power_cut(seed);
        storage.contents("f").unwrap() == b"synced"
    });
    assert!(lost);
}

#[test]
fn the_process_can_be_stopped_in_the_middle_of_a_write() {
    let (storage, file) = with_synced_file();
    storage.stop_at_operation(2, 3);
    write(&file, b"whole", 6);
    assert!(file.write_at(&[io::IoSlice::new(b"cut off")], 11).is_err());
    assert!(file.bytes().is_err());
    storage.restart();
    let bytes = storage.contents("f").unwrap();
    assert!(bytes.starts_with(b"syncedwhole") && bytes.len() < 18, "{bytes:?}");
}

#[test]
fn a_full_disk_takes_nothing_more() {
    let (storage, file) = with_synced_file();
    storage.set_capacity(Some(8));
    assert_eq!(file.preallocate(9).unwrap_err().kind(), io::ErrorKind::StorageFull);
    write(&file, b"78", 6);
    let full = file.write_at(&[io::IoSlice::new(b"9")], 8).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_rename_survives_as_a_whole_or_not_at_all() {
    for seed in 0..50 {
        let (storage, file) = with_synced_file();
        storage.rename("f", "g").unwrap();
        if seed % 2 == 0 {
            storage.sync_folder("", SyncSite::ROOT_FOLDER).unwrap();
        }
        file.sync(SyncSite::GROUP).unwrap();
        storage.power_cut(seed);
        let paths = storage.paths();
        assert!(paths == ["g"] || (seed % 2 == 1 && paths == ["f"]), "seed {seed}: {paths:?}");
        assert_eq!(storage.contents(&paths[0]).unwrap(), b"synced");
    }
}
