//! Modules on a disk that loses what was not synced.

use logmill_log::faulty::FaultyStorage;

use super::*;

const DIGEST: ModuleDigest = ModuleDigest([7; 32]);

fn open(storage: &FaultyStorage) -> Modules {
    let runtime = Runtime::new(logmill_wasm::Settings::default()).unwrap();
    Modules::open(Arc::new(storage.clone()), runtime).unwrap()
}

/// Whether a module that was taken in is there, whole, after each of some power cuts.
fn survives(switched_off: Option<SyncSite>) -> bool {
    (0..20).all(|seed| {
        let storage = FaultyStorage::new();
        switched_off.iter().for_each(|site| storage.switch_off(*site));
        let bytes = vec![9; 10_000];
        open(&storage).keep(DIGEST, &bytes).unwrap();
        storage.power_cut(seed);
        let read = open(&storage).read(&path(DIGEST));
        read.is_ok_and(|read| read == bytes)
    })
}

#[test]
fn a_module_that_was_taken_in_survives_a_power_cut() {
    assert!(survives(None));
}

#[test]
fn each_of_its_syncs_is_missed_when_it_is_switched_off() {
    for site in [SyncSite::MODULE, SyncSite::MODULES_FOLDER, SyncSite::ROOT_FOLDER] {
        assert!(!survives(Some(site)), "nobody misses the sync of the {site}");
    }
}

#[test]
fn a_module_that_is_taken_in_again_after_a_failed_sync_is_on_the_disk() {
    for sync in 1..=2 {
        let storage = FaultyStorage::new();
        let modules = open(&storage);
        storage.fail_sync(sync);
        modules.keep(DIGEST, b"component").unwrap_err();
        modules.keep(DIGEST, b"component").unwrap();
        for seed in 0..20 {
            storage.power_cut(seed);
            assert_eq!(open(&storage).read(&path(DIGEST)).unwrap(), b"component");
        }
    }
}

#[test]
fn what_an_upload_left_that_was_cut_off_goes_with_the_next_start() {
    for operation in 1..=4 {
        let storage = FaultyStorage::new();
        let modules = open(&storage);
        modules.keep(DIGEST, b"component").unwrap();
        storage.stop_at_operation(operation, 1);
        modules.keep(DIGEST, b"component").unwrap_err();
        storage.restart();
        let modules = open(&storage);
        assert_eq!(storage.paths(), [path(DIGEST)]);
        assert_eq!(modules.read(&path(DIGEST)).unwrap(), b"component");
    }
}
