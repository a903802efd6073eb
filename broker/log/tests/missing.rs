//! Files that are gone, or cut: whatever becomes of a directory that a broker left in order, what was
//! acknowledged in it is there, or is told as lost.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;

use harness::backups::back_up;
use harness::rot::{accept_knowing, reports_knowing};
use harness::survivors::Survivors;
use harness::{
    Running, Snapshot, entries_of, is_index, is_journal, newest_file, restored, settings, snapshot,
};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Cost, Error, Known, KnownEntry};
use logmill_model::Csn;

const COMMITS: u64 = 30;

/// A directory of several files and two starts, with all its commits, as it was left in order; and how it
/// is after a kill.
fn histories() -> [(Snapshot, Survivors); 2] {
    [true, false].map(|in_order| {
        let storage = FaultyStorage::new();
        let mut running = Running::open(&storage, settings()).unwrap();
        running.run(COMMITS, 1);
        running.close().unwrap();
        let mut survivors = Survivors::of(COMMITS);
        let mut running = Running::open(&storage, settings()).unwrap();
        survivors.go_on(&mut running, COMMITS);
        match in_order {
            true => running.close().unwrap(),
            false => running.drop_journal(),
        }
        (snapshot(&storage), survivors)
    })
}

/// What is known of a directory to which nothing happened: its last entry.
fn known(good: &Snapshot) -> Known {
    let running = Running::open(&restored(good), settings()).unwrap();
    let (cluster, csn) = (running.recovered.cluster, running.recovered.last_csn);
    let told_by = "somebody has written it down".to_owned();
    Known { entry: Some(KnownEntry { cluster, csn, told_by }), ..Known::default() }
}

/// Each way in which a file can be too short for its last commit.
fn cuts(file: &[u8]) -> Vec<usize> {
    let (mut entries, mut end) = entries_of(file);
    // A mark has the number of the commit before it.
    while let [.., (_, commit), (at, mark)] = entries.as_slice()
        && commit == mark
    {
        end = *at;
        entries.pop();
    }
    let places = [0, 1, 100, 1568, 2048, 4095, 4096, 4100];
    let within = entries.iter().flat_map(|(at, _)| [*at, at + 20]);
    places.into_iter().chain(within).filter(|at| *at < end).collect()
}

/// What is in a file and not before `at`.
fn behind(file: &[u8], at: usize) -> Vec<Csn> {
    let (entries, end) = entries_of(file);
    let ends = entries.iter().skip(1).map(|(begin, _)| *begin).chain([end]);
    let cut = entries.iter().zip(ends).filter(|(_, end)| *end > at);
    cut.map(|((_, csn), _)| *csn).collect()
}

/// The start refuses and changes nothing, or tells what is lost; a verification tells as well; and all
/// goes on once that was accepted, without an offset that is used twice.
fn is_told(case: &str, bad: &Snapshot, known: &Known, lost: &[Csn], survivors: Survivors) {
    // Some accept the loss before they have started a broker.
    let storage = restored(bad);
    accept_knowing(&storage, known);
    goes_on(&storage, known, lost, survivors.clone());
    let storage = restored(bad);
    let findings = reports_knowing(&storage, known).into_iter().flat_map(|it| it.findings);
    assert!(
        findings.into_iter().any(|it| matches!(it.cost, Cost::Loss | Cost::Refused)),
        "{case}: verify"
    );
    match Running::open_knowing(Arc::new(storage.clone()), settings(), known) {
        Err(error) => {
            assert!(
                matches!(error, Error::Missing { .. } | Error::SegmentMissing { .. }),
                "{case}: {error}"
            );
            assert_eq!(&snapshot(&storage), bad, "{case}: nothing is changed");
        }
        Ok(mut running) => {
            assert_ne!(running.log.corrupt(), [], "{case}: start");
            running.close().unwrap();
        }
    }
    accept_knowing(&storage, known);
    goes_on(&storage, known, lost, survivors);
}

fn goes_on(storage: &FaultyStorage, known: &Known, lost: &[Csn], mut survivors: Survivors) {
    let start = || Running::open_knowing(Arc::new(storage.clone()), settings(), known);
    let mut running = start().unwrap();
    survivors.check(&running, lost);
    survivors.go_on(&mut running, 3);
    survivors.check(&running, lost);
    running.close().unwrap();
    start().unwrap();
}

#[test]
fn a_file_that_is_gone_is_told_by_its_index_or_by_what_follows() {
    let [(good, survivors), _] = histories();
    for path in good.keys().filter(|path| is_journal(path)) {
        let mut bad = good.clone();
        let gone = bad.remove(path).unwrap();
        is_told(path, &bad, &Known::default(), &behind(&gone, 0), survivors.clone());
    }
}

#[test]
fn a_file_that_was_cut_anywhere_is_told_by_its_index_or_by_what_follows() {
    let [(good, survivors), _] = histories();
    for path in good.keys().filter(|path| is_journal(path)) {
        for at in cuts(&good[path]) {
            let mut bad = good.clone();
            bad.get_mut(path).unwrap().truncate(at);
            is_told(
                &format!("{path} at {at}"),
                &bad,
                &Known::default(),
                &behind(&good[path], at),
                survivors.clone(),
            );
        }
    }
}

/// After a kill, or where the index is gone as well, nothing in the log tells how much there was.
#[test]
fn the_last_files_are_told_by_what_is_known_from_elsewhere() {
    for (good, survivors) in histories() {
        let (known, path) = (known(&good), newest_file(&good));
        for at in cuts(&good[&path]).into_iter().map(Some).chain([None]) {
            let mut bad = good.clone();
            bad.retain(|path, _| !is_index(path));
            match at {
                Some(at) => bad.get_mut(&path).unwrap().truncate(at),
                None => drop(bad.remove(&path)),
            }
            is_told(
                &format!("{path} at {at:?}"),
                &bad,
                &known,
                &behind(&good[&path], at.unwrap_or(0)),
                survivors.clone(),
            );
        }
    }
}

#[test]
fn what_is_known_of_another_cluster_is_not_believed() {
    let [(good, _), _] = histories();
    let mut running = Running::open(&FaultyStorage::new(), settings()).unwrap();
    running.run(10 * COMMITS, 10);
    let (cluster, csn) = (running.recovered.cluster, Csn(10 * COMMITS));
    let entry = Some(KnownEntry { cluster, csn, told_by: String::new() });
    let known = Known { entry, ..Known::default() };
    let storage = Arc::new(restored(&good));
    let running = Running::open_knowing(storage, settings(), &known).unwrap();
    assert_eq!(running.log.corrupt(), []);
}

#[test]
fn a_backup_of_which_a_file_is_gone_or_cut_is_refused_until_that_is_accepted() {
    let mut running = Running::open(&FaultyStorage::new(), settings()).unwrap();
    running.run(COMMITS, 1);
    let backup = FaultyStorage::new();
    let copied = back_up(&running.log, &backup, &mut |_| true).unwrap();
    let good = snapshot(&backup);
    let known = Known { files: copied.files, ..known(&good) };
    for path in good.keys().filter(|path| is_journal(path)) {
        for keep in [None, Some(0), Some(good[path].len() / 2)] {
            let mut bad = good.clone();
            match keep {
                Some(at) => bad.get_mut(path).unwrap().truncate(at),
                None => drop(bad.remove(path)),
            }
            let storage = restored(&bad);
            let start = || Running::open_knowing(Arc::new(storage.clone()), settings(), &known);
            let error = start().err().unwrap();
            assert!(matches!(error, Error::ChangedBackup { .. }), "{path} to {keep:?}: {error}");
            assert_eq!(snapshot(&storage), bad, "nothing is changed");
            let mut findings =
                reports_knowing(&storage, &known).into_iter().flat_map(|it| it.findings);
            assert!(findings.any(|it| &it.path == path && it.what.contains("backup.json")));
            accept_knowing(&storage, &known);
            let known = Known::default();
            let mut running = Running::open_knowing(Arc::new(storage), settings(), &known).unwrap();
            let mut survivors = Survivors::of(COMMITS);
            let lost = behind(&good[path], keep.unwrap_or(0));
            survivors.check(&running, &lost);
            survivors.go_on(&mut running, 3);
        }
    }
}
