//! A sync or a write fails: the journal stops, says so once, and acknowledges nothing after it.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::{Arc, Mutex};

use harness::{Running, mix, settings};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::{DiskStorage, SyncSite};
use logmill_log::{Error, Settings};

type Told = Arc<Mutex<Vec<Error>>>;

fn telling(told: &Told) -> Settings {
    let told = Arc::clone(told);
    Settings {
        on_fatal: Arc::new(move |error| told.lock().unwrap().push(error.clone())),
        ..settings()
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_shown_is_lost() {
    for nth in 1.. {
        let storage = FaultyStorage::new();
        let told = Told::default();
        let mut running = Running::open(&storage, telling(&told)).unwrap();
        storage.fail_sync(nth);
        let acked = running.run(60, 1 + nth % 4);
        let seen = running.seen();
        if acked.len() == 60 {
            break;
        }
        let syncs = storage.syncs();
        assert!(running.run(5, 5).is_empty(), "nothing after a failure is acknowledged");
        assert!(running.close().is_err());
        assert_eq!(storage.syncs(), syncs, "a failed sync is never tried again");
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "the failure is told once");
        assert!(matches!(told[0], Error::Sync { .. }), "{}", told[0]);

        // The page cache has it all, and calls it clean; the disk does not have it.
        storage.restart();
        let mut again = Running::open(&storage, settings()).unwrap();
        again.check_against(&acked, &seen).unwrap();
        let last = again.recovered.last_csn;
        again.drop_journal();
        storage.power_cut(mix(1, nth));
        let third = Running::open(&storage, settings()).unwrap();
        assert!(third.recovered.last_csn >= last, "sync {nth}: what was shown is gone");
        third.check().unwrap();
    }
}

#[test]
fn a_failed_sync_says_which_one_and_where() {
    let storage = FaultyStorage::new();
    let told = Told::default();
    let mut running = Running::open(&storage, telling(&told)).unwrap();
    storage.fail_sync(1);
    assert!(running.run(1, 1).is_empty());
    let Error::Sync { site, path, .. } = running.close().unwrap_err() else { panic!() };
    assert_eq!(site, SyncSite::GROUP);
    assert!(path.starts_with("journal/"));
}

#[test]
fn a_disk_that_is_full_at_the_start_is_said_so_and_costs_nothing() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    let acked = running.run(20, 3);
    running.drop_journal();
    storage.set_capacity(Some(1));
    let Err(error) = Running::open(&storage, settings()) else { panic!("there was room") };
    assert!(error.is_disk_full(), "{error}");
    storage.set_capacity(None);
    let again = Running::open(&storage, settings()).unwrap();
    again.check_against(&acked, &running.seen()).unwrap();
}

#[test]
fn a_directory_that_went_away_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::open(directory.path()).unwrap());
    std::fs::remove_dir_all(directory.path()).unwrap();
    let Err(error) = Running::open_on(storage, settings()) else { panic!("it was opened") };
    assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{error}");
}
