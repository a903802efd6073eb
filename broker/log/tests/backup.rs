//! A backup is the log as it was at one moment, or is known not to be whole.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;

use harness::backups::{back_up, check_backup, cut_a_backup};
use harness::rot::{accept, flip, flip_header, reports};
use harness::{
    Running, entries_of, is_journal, newest_file, restored, settings, snapshot, without_indexes,
};
use logmill_log::backup::{INCOMPLETE, Target};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Cost, Error, StoredBatch};
use logmill_model::{ClusterId, Csn, Offset};

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
    back_up(&third.log, &backup, &mut all).unwrap();
    check_backup(&backup, 100).unwrap();
}

#[test]
fn a_later_backup_to_the_same_place_copies_what_is_new() {
    let (_storage, mut running) = running(200);
    let backup = FaultyStorage::new();
    let first = back_up(&running.log, &backup, &mut all).unwrap();
    assert_eq!(first.copied_bytes, first.files.iter().map(|(_, bytes)| bytes).sum::<u64>());
    running.run(30, 5);
    let second = back_up(&running.log, &backup, &mut all).unwrap();
    assert!(second.files.len() >= first.files.len());
    assert!(second.copied_bytes < first.copied_bytes / 2, "{second:?}");
    check_backup(&backup, 230).unwrap();
}

#[test]
fn an_interrupted_backup_is_not_opened_and_goes_on_where_it_was() {
    let (_storage, running) = running(200);
    let backup = FaultyStorage::new();
    let mut files = 0;
    let interrupted = back_up(&running.log, &backup, &mut |_| {
        files += 1;
        files < 5
    });
    assert_eq!(interrupted.map_err(|error| error.to_string()), Err(Error::Interrupted.to_string()));
    match Running::open(&backup, settings()) {
        Err(Error::IncompleteBackup { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a part of a log was opened"),
    }
    assert_eq!(reports(&backup).last().unwrap().findings[0].cost, Cost::Refused);
    let rest = back_up(&running.log, &backup, &mut all).unwrap();
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
        back_up(&running.log, &backup, &mut all).unwrap();
        backup.operations()
    };
    for nth in 1..=operations {
        let backup = FaultyStorage::new();
        backup.stop_at_operation(nth, nth);
        let stopped = back_up(&running.log, &backup, &mut all);
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
        back_up(&running.log, &backup, &mut all)
            .unwrap_or_else(|error| panic!("step {nth}: {error}"));
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
    match back_up(&running.log, &backup, &mut all) {
        Err(Error::NotAccepted { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    assert!(!backup.paths().contains(&path));
}

/// What is read of all partitions, up to their ends, and what is told of losses.
fn read_all(running: &Running) -> (Vec<StoredBatch>, Vec<Error>) {
    let (mut batches, mut losses) = (Vec::new(), Vec::new());
    for partition in harness::partitions() {
        let mut next = Offset(0);
        loop {
            let read = running.log.read(partition, next, 1 << 20);
            let read = read.unwrap_or_else(|error| {
                losses.push(error);
                Vec::new()
            });
            let end = read.last().map(|last| last.envelope.end_offset());
            batches.extend(read);
            match end.unwrap_or_else(|| running.log.after_accepted(partition, next)) {
                after if after > next => next = after,
                _ => break,
            }
        }
        assert_eq!(next, running.log.end_offset(partition));
    }
    (batches, losses)
}

#[test]
fn what_was_accepted_as_lost_is_in_a_backup_as_it_is_and_everything_else_is_verified() {
    let (storage, mut running) = running(200);
    running.drop_journal();
    storage.restart();
    let good = without_indexes(&snapshot(&storage));
    let mut files = good.clone();
    let paths: Vec<String> = files.keys().filter(|path| is_journal(path)).cloned().collect();
    let entry = |nth: usize, entry: usize| entries_of(&good[&paths[nth]]).0[entry].0;
    // A batch, an entry, what a file ends with, and a whole file.
    let (batch, head, end) = (entry(0, 1) + 200, entry(1, 1) + 10, entries_of(&good[&paths[2]]).1);
    flip(&mut files, &paths[0], batch);
    flip(&mut files, &paths[1], head);
    flip(&mut files, &paths[2], end - 64);
    flip_header(&mut files, &paths[3]);
    let bad = restored(&files);
    let running = Running::open(&bad, settings()).unwrap();
    let backup = FaultyStorage::new();
    let refused = back_up(&running.log, &backup, &mut all);
    assert!(matches!(refused, Err(Error::NotAccepted { .. })), "{refused:?}");
    drop(running);
    assert_eq!(accept(&bad).len(), 4);

    let mut running = Running::open(&bad, settings()).unwrap();
    let backup = FaultyStorage::new();
    back_up(&running.log, &backup, &mut all).unwrap();
    for path in &paths[..4] {
        assert!(backup.contents(path) == bad.contents(path), "{path} is as it is");
    }
    running.run(5, 1);
    let again = back_up(&running.log, &backup, &mut all).unwrap();
    assert!(again.copied_bytes < again.files.iter().map(|it| it.1).sum::<u64>() / 2, "{again:?}");
    let findings: Vec<_> = reports(&backup).into_iter().flat_map(|it| it.findings).collect();
    assert_eq!(findings.len(), 4, "{findings:#?}");
    assert!(findings.iter().all(|it| it.cost == Cost::Accepted), "{findings:?}");
    let served = Running::open(&backup, settings()).unwrap();
    let original = read_all(&running);
    assert!(!original.0.is_empty() && original.1.is_empty(), "{:?}", original.1);
    assert_eq!(read_all(&served).0, original.0);
    assert_eq!((read_all(&served).1.len(), served.log.corrupt()), (0, Vec::new()));
    drop(served);

    // What rots beside, and behind an accepted hole, is not accepted.
    for (path, at, told_at) in
        [(&paths[0], entry(0, 2) + 100, entry(0, 2)), (&paths[1], entry(1, 2) + 10, entry(1, 1))]
    {
        let mut worse = snapshot(&bad);
        worse.get_mut(path).unwrap()[at] ^= 1;
        let running = Running::open(&restored(&worse), settings()).unwrap();
        match back_up(&running.log, &FaultyStorage::new(), &mut all) {
            Err(Error::NotAccepted { path: named, position, .. }) => {
                assert_eq!((&named, position), (path, told_at as u64));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut bytes = bad.contents(&paths[1]).unwrap();
    bytes[entry(1, 2) + 10] ^= 1;
    bad.set_contents(&paths[1], &bytes);
    let refused = back_up(&running.log, &FaultyStorage::new(), &mut all);
    assert!(matches!(refused, Err(Error::NotAccepted { .. })), "{refused:?}");
}

#[test]
fn a_header_that_rots_while_the_log_is_open_is_whole_in_a_backup() {
    let (storage, running) = running(200);
    let mut files = snapshot(&storage);
    let paths: Vec<String> = files.keys().filter(|path| is_journal(path)).cloned().collect();
    flip(&mut files, &paths[0], 20);
    flip_header(&mut files, &paths[1]);
    paths[..2].iter().for_each(|path| storage.set_contents(path, &files[path]));
    let backup = FaultyStorage::new();
    back_up(&running.log, &backup, &mut all).unwrap();
    assert_eq!(reports(&backup).iter().flat_map(|it| &it.findings).next(), None);
    check_backup(&backup, 200).unwrap();
}

/// Whoever backs up to the same place every night has the last one until there is another.
#[test]
fn a_backup_that_fails_leaves_the_one_before_whole() {
    let (storage, mut running) = running(60);
    let backup = FaultyStorage::new();
    back_up(&running.log, &backup, &mut all).unwrap();
    running.run(100, 3);
    let path = snapshot(&storage)
        .into_keys()
        .rfind(|path| is_journal(path) && *path != newest_file(&snapshot(&storage)));
    let path = path.unwrap();
    let mut bad = storage.contents(&path).unwrap();
    bad[4096 + 70] ^= 1;
    storage.set_contents(&path, &bad);
    let refused = back_up(&running.log, &backup, &mut all);
    assert!(matches!(refused, Err(Error::NotAccepted { .. })), "{refused:?}");
    check_backup(&restored(&snapshot(&backup)), 60).unwrap();
}

#[test]
fn a_later_backup_that_stops_at_any_step_is_the_one_before_or_not_whole() {
    let (_storage, mut running) = running(60);
    let older = FaultyStorage::new();
    back_up(&running.log, &older, &mut all).unwrap();
    running.run(50, 3);
    let older = snapshot(&older);
    let operations = {
        let backup = restored(&older);
        let before = backup.operations();
        back_up(&running.log, &backup, &mut all).unwrap();
        backup.operations() - before
    };
    let mut kept = 0;
    for nth in 1..=operations {
        let backup = restored(&older);
        backup.stop_at_operation(nth, nth);
        let stopped = back_up(&running.log, &backup, &mut all);
        backup.power_cut(nth);
        match Running::open(&restored(&snapshot(&backup)), settings()) {
            Ok(opened) => {
                let last = opened.recovered.last_csn.0;
                assert!(last == 110 || (last == 60 && stopped.is_err()), "step {nth}: {last}");
                opened.check().unwrap();
                kept += u64::from(last == 60);
            }
            Err(Error::IncompleteBackup { .. }) if stopped.is_err() => {}
            Err(error) => panic!("step {nth}: {error}"),
        }
        back_up(&running.log, &backup, &mut all).unwrap_or_else(|error| panic!("{nth}: {error}"));
        check_backup(&backup, 110).unwrap_or_else(|what| panic!("step {nth}: {what}"));
    }
    assert!(kept > operations / 2, "{kept} of {operations}");
}

#[test]
fn what_is_no_backup_is_not_written_over() {
    let (storage, mut running) = running(60);
    let other = FaultyStorage::new();
    Running::open(&other, settings()).unwrap().close().unwrap();
    let before = snapshot(&other);
    assert!(matches!(back_up(&running.log, &other, &mut all), Err(Error::Foreign { .. })));
    assert_eq!(snapshot(&other), before);

    // A backup that a broker has gone on with.
    let backup = FaultyStorage::new();
    back_up(&running.log, &backup, &mut all).unwrap();
    check_backup(&backup, 60).unwrap();
    assert!(matches!(back_up(&running.log, &backup, &mut all), Err(Error::Foreign { .. })));

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
