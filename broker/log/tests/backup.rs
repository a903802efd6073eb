//! A backup is the log as it was at one moment, or is known not to be whole.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;

use harness::backups::{back_up, check_backup, cut_a_backup};
use harness::{Running, newest_file, settings, snapshot};
use logmill_log::Error;
use logmill_log::backup::{INCOMPLETE, Target};
use logmill_log::faulty::FaultyStorage;
use logmill_model::{ClusterId, Csn};

fn running(commits: u64) -> (FaultyStorage, Running) {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(commits, 3);
    (storage, running)
}

fn all(_: u64) -> bool {
    true
}

#[test]
fn a_backup_is_the_log_at_the_cut_and_what_is_written_later_is_not_in_it() {
    for commits in [0, 1, 60, 200] {
        let (_storage, mut running) = running(commits);
        let cut = running.log.cut().unwrap();
        assert_eq!(cut.csn(), Csn(commits));
        running.run(50, 5);
        let backup = FaultyStorage::new();
        let target = Target::begin(Arc::new(backup.clone()), cut.cluster(), &[]).unwrap();
        let copied = cut.copy_to(&target, &mut all).unwrap();
        let files: Vec<String> = copied.files.iter().map(|(path, _)| path.clone()).collect();
        target.finish(&files, &[], b"{}").unwrap();
        check_backup(&backup, commits).unwrap();
    }
}

#[test]
fn a_backup_after_restarts_is_opened_as_well() {
    let (storage, mut first) = running(70);
    first.close().unwrap();
    let mut second = Running::open(&storage, settings()).unwrap();
    second.run(30, 4);
    second.drop_journal();
    storage.restart();
    let third = Running::open(&storage, settings()).unwrap();
    assert!(third.recovered.unclean);
    let backup = FaultyStorage::new();
    back_up(&third, &backup, &mut all).unwrap();
    check_backup(&backup, 100).unwrap();
}

#[test]
fn a_later_backup_to_the_same_place_copies_what_is_new() {
    let (_storage, mut running) = running(200);
    let backup = FaultyStorage::new();
    let first = back_up(&running, &backup, &mut all).unwrap();
    assert_eq!(first.copied_bytes, first.files.iter().map(|(_, bytes)| bytes).sum::<u64>());
    running.run(30, 5);
    let second = back_up(&running, &backup, &mut all).unwrap();
    assert!(second.files.len() >= first.files.len());
    assert!(second.copied_bytes < first.copied_bytes / 2, "{second:?}");
    check_backup(&backup, 230).unwrap();
}

#[test]
fn an_interrupted_backup_is_not_opened_and_goes_on_where_it_was() {
    let (_storage, running) = running(200);
    let backup = FaultyStorage::new();
    let mut files = 0;
    let interrupted = back_up(&running, &backup, &mut |_| {
        files += 1;
        files < 5
    });
    assert_eq!(interrupted.map_err(|error| error.to_string()), Err(Error::Interrupted.to_string()));
    match Running::open(&backup, settings()) {
        Err(Error::IncompleteBackup { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a part of a log was opened"),
    }
    let rest = back_up(&running, &backup, &mut all).unwrap();
    let whole: u64 = rest.files.iter().map(|(_, bytes)| bytes).sum();
    assert!(rest.copied_bytes < whole, "{rest:?}");
    assert!(!backup.paths().contains(&INCOMPLETE.to_owned()));
    check_backup(&backup, 200).unwrap();
}

#[test]
fn a_backup_that_stops_at_any_step_is_known_not_to_be_whole_and_can_be_made_again() {
    let (_storage, running) = running(60);
    let operations = {
        let backup = FaultyStorage::new();
        back_up(&running, &backup, &mut all).unwrap();
        backup.operations()
    };
    for nth in 1..=operations {
        let backup = FaultyStorage::new();
        backup.stop_at_operation(nth, nth);
        let stopped = back_up(&running, &backup, &mut all);
        backup.power_cut(nth);
        if stopped.is_err()
            && let Ok(opened) = Running::open(&backup, settings())
        {
            // Nothing was copied, or all was.
            let last = opened.recovered.last_csn.0;
            assert!(last == 0 || last == 60, "step {nth}: {last}");
            opened.check().unwrap();
            continue;
        }
        back_up(&running, &backup, &mut all).unwrap_or_else(|error| panic!("step {nth}: {error}"));
        check_backup(&backup, 60).unwrap_or_else(|what| panic!("step {nth}: {what}"));
    }
}

#[test]
fn rot_is_named_and_not_copied() {
    let (storage, running) = running(200);
    let path = snapshot(&storage).into_keys().find(|path| path.ends_with(".journal")).unwrap();
    assert_ne!(path, newest_file(&snapshot(&storage)));
    let mut bytes = storage.contents(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 8;
    storage.set_contents(&path, &bytes);
    let backup = FaultyStorage::new();
    match back_up(&running, &backup, &mut all) {
        Err(Error::Corrupt { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    assert!(!backup.paths().contains(&path));
}

#[test]
fn what_is_no_backup_is_not_written_over() {
    let (storage, mut running) = running(60);
    let other = FaultyStorage::new();
    Running::open(&other, settings()).unwrap().close().unwrap();
    let before = snapshot(&other);
    assert!(matches!(back_up(&running, &other, &mut all), Err(Error::Foreign { .. })));
    assert_eq!(snapshot(&other), before);

    // A backup that a broker has gone on with.
    let backup = FaultyStorage::new();
    back_up(&running, &backup, &mut all).unwrap();
    check_backup(&backup, 60).unwrap();
    assert!(matches!(back_up(&running, &backup, &mut all), Err(Error::Foreign { .. })));

    // The log itself.
    let own = Target::begin(Arc::new(storage.clone()), running.recovered.cluster, &[]);
    assert!(matches!(own, Err(Error::Locked { .. })));
    running.close().unwrap();
    let own = Target::begin(Arc::new(storage), ClusterId([1; 16]), &[]);
    assert!(matches!(own, Err(Error::Foreign { .. })));
}

#[test]
fn a_finished_backup_survives_a_power_cut() {
    cut_a_backup(&|_| {}).unwrap();
}
