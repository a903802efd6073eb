//! The index beside a sealed file spares reading the file, and is never believed: whatever happens
//! to it, what is read is the same.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::{Running, Snapshot, is_index, restored, settings, snapshot, without_indexes};
use logmill_log::faulty::FaultyStorage;
use logmill_model::Csn;

const COMMITS: u64 = 30;

fn history(stop: impl FnOnce(&mut Running)) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(COMMITS, 3);
    stop(&mut running);
    snapshot(&storage)
}

fn clean() -> Snapshot {
    history(|running| running.close().unwrap())
}

fn index_paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.keys().filter(|path| is_index(path)).cloned().collect()
}

/// Opens it, checks what it reads, and that its indexes are then those of `good`; returns how many
/// files were scanned.
fn open_and_check(snapshot: &Snapshot, good: &Snapshot) -> u64 {
    let storage = restored(snapshot);
    let running = Running::open(&storage, settings()).unwrap();
    running.check().unwrap();
    assert_eq!(running.recovered.last_csn, Csn(COMMITS));
    let after = harness::snapshot(&storage);
    for path in index_paths(good) {
        assert_eq!(after.get(&path), Some(&good[&path]), "{path} is made anew");
    }
    running.recovered.scanned_files
}

#[test]
fn a_start_after_a_clean_close_scans_no_file_and_one_after_a_kill_scans_one() {
    let clean = clean();
    assert_eq!(index_paths(&clean).len() * 2, clean.len(), "each file has an index");
    assert_eq!(open_and_check(&clean, &clean), 0);

    let killed = history(Running::drop_journal);
    let storage = restored(&killed);
    for _ in 0..3 {
        let mut running = Running::open(&storage, settings()).unwrap();
        running.check().unwrap();
        assert_eq!(running.recovered.scanned_files, 1);
        let (_, end) = harness::entries_of(&killed[&harness::newest_file(&killed)]);
        assert!(running.recovered.scanned_bytes <= end as u64);
        running.drop_journal();
    }
}

#[test]
fn files_without_indexes_are_scanned_and_get_them_once() {
    let clean = clean();
    let files = index_paths(&clean).len() as u64;
    assert_eq!(open_and_check(&without_indexes(&clean), &clean), files);
    for path in index_paths(&clean) {
        let mut without = clean.clone();
        without.remove(&path);
        assert_eq!(open_and_check(&without, &clean), 1, "{path}");
    }
}

#[test]
fn a_torn_index_is_made_anew() {
    let clean = clean();
    for path in index_paths(&clean) {
        let whole = clean[&path].len();
        for length in 0..whole {
            for zeros in [false, true] {
                let mut torn = clean.clone();
                let index = torn.get_mut(&path).unwrap();
                index.truncate(length);
                if zeros {
                    index.resize(whole, 0);
                }
                let storage = restored(&torn);
                let running = Running::open(&storage, settings()).unwrap();
                running.check().unwrap();
                assert_eq!(storage.contents(&path).as_ref(), Some(&clean[&path]), "{length}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_at_any_byte_of_an_index_changes_nothing() {
    let clean = clean();
    for path in index_paths(&clean) {
        for at in 0..clean[&path].len() {
            let mut bad = clean.clone();
            bad.get_mut(&path).unwrap()[at] ^= 1 << (at % 8);
            let storage = restored(&bad);
            let running = Running::open(&storage, settings()).unwrap();
            running.check().unwrap();
            assert_eq!(storage.contents(&path).as_ref(), Some(&clean[&path]), "byte {at}");
        }
    }
}

#[test]
fn an_index_of_another_file_is_not_believed() {
    let clean = clean();
    let paths = index_paths(&clean);
    for (at, path) in paths.iter().enumerate() {
        let mut swapped = clean.clone();
        swapped.insert(path.clone(), clean[&paths[(at + 1) % paths.len()]].clone());
        assert_eq!(open_and_check(&swapped, &clean), 1, "{path}");
    }
    // Of the same place in another history.
    let other = self::clean();
    for path in &paths {
        let mut foreign = clean.clone();
        foreign.insert(path.clone(), other[path].clone());
        assert_eq!(open_and_check(&foreign, &clean), 1, "{path}");
    }
    // Of the same file, before somebody cut it.
    let (last, path) = (paths.last().unwrap(), harness::newest_file(&clean));
    let mut cut = clean.clone();
    let file = cut.get_mut(&path).unwrap();
    let seal = file.len() - 64;
    file.truncate(seal);
    let storage = restored(&cut);
    let running = Running::open(&storage, settings()).unwrap();
    running.check().unwrap();
    assert!(running.recovered.unclean && running.recovered.scanned_files == 1);
    assert_ne!(storage.contents(last), Some(clean[last].clone()), "it is sealed otherwise");
}

#[test]
fn an_index_that_goes_bad_while_it_is_used_is_made_anew() {
    let clean = clean();
    let storage = restored(&clean);
    let no_cache = logmill_log::Settings { points_cache_bytes: 0, ..settings() };
    let running = Running::open(&storage, no_cache).unwrap();
    for path in index_paths(&clean) {
        let length = clean[&path].len();
        for bad in [Vec::new(), vec![0; length], vec![0xff; length]] {
            storage.set_contents(&path, &bad);
            running.check().unwrap();
            assert_eq!(storage.contents(&path).as_ref(), Some(&clean[&path]));
        }
        storage.erase(&path);
        running.check().unwrap();
        assert_eq!(storage.contents(&path).as_ref(), Some(&clean[&path]));
    }
}

#[test]
fn an_index_that_cannot_be_written_stops_nothing() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(COMMITS, 3);
    running.drop_journal();
    let used: usize = snapshot(&storage).values().map(Vec::len).sum();
    let files = without_indexes(&snapshot(&storage));
    for room in 0..200 {
        let storage = restored(&files);
        // The new file's header fits, and what is allocated with it.
        storage.set_capacity(Some(used as u64 + 8 * 1024 + room * 37));
        if let Ok(running) = Running::open(&storage, settings()) {
            running.check().unwrap();
        }
    }
}

#[test]
fn an_index_of_no_file_is_removed() {
    let mut snapshot = clean();
    let stray = "journal/00000000000000000500-00000000000000000009.index".to_owned();
    snapshot.insert(stray.clone(), snapshot[&index_paths(&snapshot)[0]].clone());
    let storage = restored(&snapshot);
    Running::open(&storage, settings()).unwrap().check().unwrap();
    assert_eq!(storage.contents(&stray), None);
}
