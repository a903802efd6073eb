//! What was proven durable and is not what was written is corruption: refused with file and
//! position, never cut off, never served.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::time::Duration;

use harness::{
    Running, Snapshot, entries_of, is_index, newest_file, partition, restored, settings, snapshot,
    without_indexes,
};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::SyncSite;
use logmill_log::{Error, Settings};
use logmill_model::{Csn, Offset};

const COMMITS: u64 = 30;

fn history(stop: impl FnOnce(&mut Running)) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(COMMITS, 1);
    stop(&mut running);
    snapshot(&storage)
}

fn refusal(snapshot: &Snapshot) -> Error {
    let storage = restored(snapshot);
    let error = Running::open(&storage, settings()).err().expect("it was opened");
    assert_eq!(&harness::snapshot(&storage), snapshot, "a refusal changes nothing");
    error
}

#[test]
fn a_bit_flipped_in_a_file_that_is_scanned_is_refused_with_its_place_if_it_was_durable() {
    let clean = history(|running| running.close().unwrap());
    let unclean = history(Running::drop_journal);
    // The newest file of a clean stop ends with a seal, which proves all before it, but not itself;
    // that of an unclean one with a commit that nothing proves.
    for snapshot in [clean, unclean].map(|snapshot| without_indexes(&snapshot)) {
        for (path, bytes) in &snapshot {
            let (entries, end) = entries_of(bytes);
            let is_newest = *path == newest_file(&snapshot);
            let proven_end = if is_newest { entries.last().unwrap().0 } else { end };
            for at in (4096..proven_end).step_by(37) {
                let mut bad = snapshot.clone();
                bad.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
                let entry = entries.iter().rfind(|(begin, _)| *begin <= at).unwrap().0;
                match refusal(&bad) {
                    Error::Corrupt { path: told, position, .. } => {
                        assert_eq!((&told, position), (path, entry as u64), "bit at {at}");
                    }
                    other => panic!("bit at {at} of {path}: {other}"),
                }
            }
        }
    }
}

/// A file with an index is not scanned at the start: what is wrong in it is found by who reads it.
#[test]
fn a_flipped_bit_anywhere_never_alters_what_is_read() {
    let mut found = 0;
    for snapshot in [history(Running::drop_journal), history(|running| running.close().unwrap())] {
        for (path, bytes) in snapshot.iter().filter(|(path, _)| !is_index(path)) {
            let (_, end) = entries_of(bytes);
            for at in (0..end.min(bytes.len())).step_by(29) {
                let mut bad = snapshot.clone();
                bad.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
                let Ok(running) = Running::open(&restored(&bad), settings()) else { continue };
                assert!(running.recovered.last_csn >= Csn(COMMITS - 1), "bit at {at} of {path}");
                match running.check_what_is_read(running.recovered.last_csn) {
                    Ok(()) => {}
                    Err(Error::Corrupt { path: told, position, .. }) => {
                        assert_eq!(&told, path);
                        assert!(position <= at as u64, "{position} is told for {at}");
                        found += 1;
                    }
                    Err(other) => panic!("bit at {at} of {path}: {other}"),
                }
            }
        }
    }
    assert!(found > 100, "{found} were found by reading");
}

#[test]
fn a_checkpoint_closes_the_window_of_the_last_group() {
    let storage = FaultyStorage::new();
    let idle = Settings { checkpoint_after: Duration::from_millis(1), ..settings() };
    let mut running = Running::open(&storage, idle).unwrap();
    // One commit alone: a checkpoint may come after each.
    running.run(1, 1);
    harness::wait_until(|| storage.syncs_by_site().contains_key(&SyncSite::CHECKPOINT));
    running.drop_journal();
    let mut snapshot = snapshot(&storage);
    let path = newest_file(&snapshot);
    let (entries, _) = entries_of(&snapshot[&path]);
    let last = entries.iter().find(|(_, csn)| *csn == Csn(1)).unwrap().0;
    snapshot.get_mut(&path).unwrap()[last + 100] ^= 4;
    match refusal(&snapshot) {
        Error::Corrupt { position, .. } => assert_eq!(position, last as u64),
        other => panic!("{other}"),
    }
}

#[test]
fn a_read_from_disk_verifies_what_it_hands_out() {
    let storage = FaultyStorage::new();
    let small_tail = Settings { tail_bytes: 0, ..settings() };
    let mut running = Running::open(&storage, small_tail).unwrap();
    running.run(COMMITS, 1);
    let good = running.log.read(partition(0), Offset(0), 1 << 20).unwrap();
    let snapshot = snapshot(&storage);
    for (path, bytes) in snapshot.iter().filter(|(path, _)| !is_index(path)) {
        for at in (4096..entries_of(bytes).1).step_by(11) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            storage.set_contents(path, &bad);
            match running.log.read(partition(0), Offset(0), 1 << 20) {
                Ok(batches) => assert_eq!(batches, good, "bit at {at}"),
                Err(Error::Corrupt { path: told, position, .. }) => {
                    assert_eq!(&told, path);
                    assert!(position <= at as u64, "{position} is told for {at}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        storage.set_contents(path, bytes);
    }
}

#[test]
fn a_missing_file_is_refused_with_the_entries_that_are_missing() {
    let all = history(Running::drop_journal);
    for snapshot in [&all, &without_indexes(&all)] {
        let paths: Vec<&String> = snapshot.keys().filter(|path| !is_index(path)).collect();
        assert!(paths.len() > 3);
        let first = |path: &str| path["journal/".len()..][..20].parse().map(Csn).unwrap();
        for (at, missing) in paths.iter().enumerate() {
            let mut without = snapshot.clone();
            without.remove(*missing);
            let error = refusal(&without);
            assert!(error.to_string().contains("restore it from a backup"), "{error}");
            let Error::Missing { first: told, last, path, .. } = error else { panic!("{error}") };
            assert_eq!(told, first(missing), "without {missing}");
            match paths.get(at + 1) {
                Some(next) => assert_eq!((last, &path), (Some(Csn(first(next).0 - 1)), *next)),
                None => assert_eq!((last, &path), (None, paths[at - 1])),
            }
        }
    }
}

#[test]
fn a_newer_format_is_refused_untouched_by_its_name() {
    let mut snapshot = history(|running| running.close().unwrap());
    let path = newest_file(&snapshot);
    let file = snapshot.get_mut(&path).unwrap();
    file[8] = 2;
    file[2048 + 8] = 2;
    let error = refusal(&snapshot);
    assert!(matches!(error, Error::NewerFormat { version: 2, newest: 1, .. }));
    assert!(error.to_string().contains(&path));
}

#[test]
fn files_that_are_not_of_this_journal_are_refused_by_their_name() {
    let snapshot = history(|running| running.close().unwrap());
    let other = history(|running| running.close().unwrap());
    let mut mixed = snapshot.clone();
    let path = newest_file(&other);
    mixed.insert(path.clone(), other[&path].clone());
    let Error::Foreign { path: told, what } = refusal(&mixed) else { panic!() };
    assert!(what.contains("cluster") && told.starts_with("journal/"), "{told}: {what}");

    let mut renamed = snapshot.clone();
    let file = renamed.remove(&newest_file(&snapshot)).unwrap();
    let name = "journal/00000000000000000500-00000000000000000009.journal";
    renamed.insert(name.to_owned(), file);
    assert!(matches!(refusal(&renamed), Error::Foreign { path, .. } if path == name));

    let mut named = snapshot;
    named.insert("journal/old.journal".to_owned(), Vec::new());
    assert!(
        matches!(refusal(&named), Error::Foreign { path, .. } if path == "journal/old.journal")
    );
}

/// Somebody puts back a file as it was before a recovery cut it: the newer file stands.
#[test]
fn a_file_from_before_a_recovery_brings_nothing_back() {
    let before = history(Running::drop_journal);
    let storage = restored(&before);
    let mut running = Running::open(&storage, settings()).unwrap();
    assert_eq!(running.recovered.superseded_entries, 1);
    running.run(5, 1);
    running.close().unwrap();
    let mut after = snapshot(&storage);
    let path = newest_file(&before);
    after.insert(path.clone(), before[&path].clone());
    let running = Running::open(&restored(&after), settings()).unwrap();
    running.check().unwrap();
    assert_eq!(running.recovered.last_csn, Csn(COMMITS + 5));
}
