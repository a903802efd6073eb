//! What was proven durable and is not what was written is corruption: told with file and position,
//! never cut off, never served. All else is served.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::time::Duration;

use harness::survivors::Survivors;
use harness::{
    Running, Snapshot, entries_of, is_journal, newest_file, restored, settings, snapshot,
    without_indexes,
};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::SyncSite;
use logmill_log::{Error, Hole, Settings};
use logmill_model::Csn;

const COMMITS: u64 = 30;

fn history(stop: impl FnOnce(&mut Running)) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(COMMITS, 1);
    stop(&mut running);
    snapshot(&storage)
}

/// Opens a directory in which one bit of a file is flipped.
fn open_flipped(snapshot: &Snapshot, path: &str, at: usize) -> Running {
    let mut bad = snapshot.clone();
    bad.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
    Running::open(&restored(&bad), settings()).unwrap()
}

fn refusal(snapshot: &Snapshot) -> Error {
    let storage = restored(snapshot);
    let error = Running::open(&storage, settings()).err().expect("it was opened");
    assert_eq!(&harness::snapshot(&storage), snapshot, "a refusal changes nothing");
    error
}

/// Where a bit is flipped: what is wrong is found on opening, and told with its place.
#[test]
fn a_bit_flipped_in_a_file_that_is_scanned_is_told_with_its_place_if_it_was_durable() {
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
                let entry = entries.iter().rfind(|(begin, _)| *begin <= at).unwrap().0;
                let running = open_flipped(&snapshot, path, at);
                let holes = running.log.corrupt();
                assert_eq!(holes.len(), 1, "bit at {at}: {holes:?}");
                assert_eq!(
                    (&holes[0].path, holes[0].position),
                    (path, entry as u64),
                    "bit at {at}"
                );
                Survivors::of(COMMITS)
                    .check(&running, &[entries.iter().rfind(|(begin, _)| *begin <= at).unwrap().1]);
            }
        }
    }
}

/// A file with an index is not scanned at the start: what is wrong in it is found by who reads it.
#[test]
fn a_flipped_bit_anywhere_costs_no_more_than_the_entry_that_it_hits() {
    let mut found = 0;
    for snapshot in [history(Running::drop_journal), history(|running| running.close().unwrap())] {
        for (path, bytes) in snapshot.iter().filter(|(path, _)| is_journal(path)) {
            let (entries, end) = entries_of(bytes);
            for at in (0..end.min(bytes.len())).step_by(29) {
                let mut running = open_flipped(&snapshot, path, at);
                let last = running.recovered.last_csn;
                assert!(last >= Csn(COMMITS - 1), "bit at {at} of {path}");
                let hit = entries.iter().rfind(|(begin, _)| *begin <= at).map(|(_, csn)| *csn);
                let mut survivors = Survivors::of(last.0);
                let lost = survivors.check(&running, &hit.into_iter().collect::<Vec<_>>());
                found += lost.len();
                survivors.go_on(&mut running, 3);
                survivors.check(&running, &hit.into_iter().collect::<Vec<_>>());
            }
        }
    }
    assert!(found > 100, "{found} ranges were lost");
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
    let snapshot = snapshot(&storage);
    let path = newest_file(&snapshot);
    let (entries, _) = entries_of(&snapshot[&path]);
    let last = entries.iter().find(|(_, csn)| *csn == Csn(1)).unwrap().0;
    let mut running = open_flipped(&snapshot, &path, last + 100);
    assert_eq!(running.log.corrupt()[0].position, last as u64);
    let mut survivors = Survivors::of(1);
    survivors.check(&running, &[Csn(1)]);
    survivors.go_on(&mut running, 3);
}

/// Without the checkpoint, nothing tells a flipped bit in the very last group from a write that a
/// power cut tore: it is cut off, and kept beside.
#[test]
fn a_flip_in_the_last_group_before_its_checkpoint_looks_torn() {
    let snapshot = history(Running::drop_journal);
    let path = newest_file(&snapshot);
    let (entries, _) = entries_of(&snapshot[&path]);
    let running = open_flipped(&snapshot, &path, entries.last().unwrap().0 + 100);
    assert_eq!(running.recovered.last_csn, Csn(COMMITS - 1));
    assert!(running.recovered.torn_bytes > 0);
    assert_eq!(running.log.corrupt(), []);
}

#[test]
fn a_read_from_disk_verifies_what_it_hands_out() {
    let storage = FaultyStorage::new();
    let small_tail = Settings { tail_bytes: 0, ..settings() };
    let mut running = Running::open(&storage, small_tail).unwrap();
    running.run(COMMITS, 1);
    let snapshot = snapshot(&storage);
    for (path, bytes) in snapshot.iter().filter(|(path, _)| is_journal(path)) {
        let (entries, end) = entries_of(bytes);
        for at in (4096..end).step_by(11) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            storage.set_contents(path, &bad);
            let hit = entries.iter().rfind(|(begin, _)| *begin <= at).unwrap();
            for lost in Survivors::of(COMMITS).check(&running, &[hit.1]) {
                let Error::CorruptRange { path: told, position, .. } = &lost else { panic!() };
                assert_eq!((told, *position), (path, hit.0 as u64), "bit at {at}");
                let holes = running.log.corrupt();
                let is_it = |it: &&Hole| it.path == *path && it.position == hit.0 as u64;
                let hole = holes.iter().find(is_it).unwrap();
                assert!(hole.bytes > 0 && !hole.what.is_empty(), "{hole:?}");
            }
        }
        storage.set_contents(path, bytes);
    }
}

#[test]
fn a_missing_file_is_refused_with_the_entries_that_are_missing() {
    let all = history(Running::drop_journal);
    for snapshot in [&all, &without_indexes(&all)] {
        let paths: Vec<&String> = snapshot.keys().filter(|path| is_journal(path)).collect();
        assert!(paths.len() > 3);
        let first = |path: &str| path["journal/".len()..][..20].parse().map(Csn).unwrap();
        for (at, missing) in paths.iter().enumerate() {
            let mut without = snapshot.clone();
            without.remove(*missing);
            let error = refusal(&without);
            assert!(
                error.to_string().contains("restore the data directory from a backup"),
                "{error}"
            );
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

    for name in
        ["journal/old.journal", "journal/notes.txt", "segments/1.segment", "segments/core.123"]
    {
        let mut named = snapshot.clone();
        named.insert(name.to_owned(), b"not of a broker".to_vec());
        let Error::Foreign { path, .. } = refusal(&named) else { panic!("{name}") };
        assert_eq!(path, name);
    }
    let mut hidden = snapshot;
    hidden.insert("journal/.nfs0001".to_owned(), b"of the file system".to_vec());
    Running::open(&restored(&hidden), settings()).unwrap().check().unwrap();
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

#[test]
fn the_scrubber_finds_what_nobody_reads_and_stops_at_once() {
    let snapshot = history(|running| running.close().unwrap());
    for (path, bytes) in snapshot.iter().filter(|(path, _)| is_journal(path)) {
        let at = entries_of(bytes).0[1].0;
        let running = open_flipped(&snapshot, path, at + 30);
        let scrubber = running.log.scrub(1 << 30).unwrap();
        harness::wait_until(|| !running.log.corrupt().is_empty());
        let hole = running.log.corrupt().remove(0);
        assert_eq!((&hole.path, hole.position), (path, at as u64));
        scrubber.stop();
        // One that has much to wait for stops at once as well, and one without a rate does nothing.
        running.log.scrub(1).unwrap().stop();
        running.log.scrub(0).unwrap().stop();
    }
}
