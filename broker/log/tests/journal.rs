//! The log while nothing fails: order, groups, files, readers.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::{Running, batch, partition, settings, stored};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::{DiskStorage, SyncSite};
use logmill_log::{Durability, Error, NewEntry, Settings};
use logmill_model::{Csn, Epoch, Offset, Timestamp};

#[test]
fn what_is_appended_is_read_back_after_a_clean_stop() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    assert_eq!(running.recovered.epoch, Epoch(1));
    assert_eq!(running.run(300, 10).len(), 300);
    running.check_reads(Csn(300)).unwrap();
    assert!(running.log.stats().journal_files > 5, "the history rolls over");
    running.close().unwrap();

    let mut again = Running::open(&storage, settings()).unwrap();
    assert_eq!(again.recovered.epoch, Epoch(2));
    assert_eq!(again.recovered.cluster, running.recovered.cluster);
    assert!(!again.recovered.unclean);
    assert_eq!(again.recovered.superseded_entries, 0);
    assert_eq!(again.recovered.last_csn, Csn(300));
    assert_eq!(again.recovered.last_time, Timestamp(1300));
    again.check().unwrap();
    assert_eq!(again.run(50, 3).len(), 50);
    again.check_reads(Csn(350)).unwrap();
}

#[test]
fn the_same_history_lies_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Arc::new(DiskStorage::open(directory.path()).unwrap());
    let mut running = Running::open_on(open(), settings()).unwrap();
    assert_eq!(running.run(300, 10).len(), 300);
    running.check_reads(Csn(300)).unwrap();
    running.drop_journal();
    let mut again = Running::open_on(open(), settings()).unwrap();
    assert!(again.recovered.unclean);
    again.check().unwrap();
    assert_eq!(again.run(50, 3).len(), 50);
    again.close().unwrap();
    let again = Running::open_on(open(), settings()).unwrap();
    again.check().unwrap();
    assert_eq!(again.recovered.epoch, Epoch(3));
}

#[test]
fn starts_without_a_commit_leave_no_files_behind() {
    let storage = FaultyStorage::new();
    for start in 1..20 {
        let mut running = Running::open(&storage, settings()).unwrap();
        assert_eq!(running.recovered.epoch, Epoch(start));
        if start % 2 == 0 {
            running.close().unwrap();
        }
    }
    let journals = |storage: &FaultyStorage| {
        storage.paths().iter().filter(|path| harness::is_journal(path)).count()
    };
    assert_eq!(journals(&storage), 1, "{:?}", storage.paths());
    Running::open(&storage, settings()).unwrap().close().unwrap();
    assert_eq!(journals(&storage), 1, "{:?}", storage.paths());
    assert!(storage.paths().len() <= 2, "an index at most besides: {:?}", storage.paths());
}

#[test]
fn what_waits_for_a_sync_shares_the_next_one() {
    let storage = FaultyStorage::new();
    let big = Settings { journal_file_bytes: 1 << 24, ..settings() };
    let mut running = Running::open(&storage, big).unwrap();
    storage.hold_syncs();
    running.append();
    storage.wait_for_held_sync();
    for _ in 0..199 {
        running.append();
    }
    assert_eq!(running.log.durable_csn(), Csn(0));
    storage.release_syncs();
    for n in 1..=200 {
        assert_eq!(running.told(), (Csn(n), Durability::Durable));
    }
    assert_eq!(running.log.stats().syncs, 2);
    assert_eq!(running.log.stats().entries, 200);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    storage.hold_syncs();
    running.append();
    storage.wait_for_held_sync();
    for partition in harness::partitions() {
        assert_eq!(running.log.end_offset(partition), Offset(0));
        assert!(running.log.read(partition, Offset(0), 1000).unwrap().is_empty());
        assert_eq!(running.log.read_tail(partition, Offset(0), 1000), Some(Vec::new()));
    }
    storage.release_syncs();
    assert_eq!(running.told(), (Csn(1), Durability::Durable));
    assert!(!running.seen().is_empty(), "who is told can read");
    assert_eq!(running.seen(), running.ends);
}

#[test]
fn the_tail_is_read_from_memory_and_the_rest_from_disk() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(300, 10);
    let partition = partition(0);
    let end = running.log.end_offset(partition);
    let last = Offset(end.0 - 1);
    assert!(running.log.read_tail(partition, Offset(0), 1000).is_none());
    let tail = running.log.read_tail(partition, last, 1000).unwrap();
    assert_eq!(tail, running.log.read(partition, last, 1000).unwrap());
    assert!(tail[0].envelope.base_offset <= last && tail[0].envelope.end_offset() > last);
    assert_eq!(running.log.read_tail(partition, end, 1000), Some(Vec::new()));
    // Across a restart nothing is in memory, and everything is on disk.
    running.close().unwrap();
    let again = Running::open(&storage, settings()).unwrap();
    assert!(again.log.read_tail(partition, last, 1000).is_none());
    assert_eq!(again.log.read(partition, last, 1000).unwrap(), tail);
}

#[test]
fn a_forgotten_partition_reads_as_empty() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(50, 10);
    running.log.forget(partition(0));
    assert_eq!(running.log.end_offset(partition(0)), Offset(0));
    assert!(running.log.read(partition(0), Offset(0), 1000).unwrap().is_empty());
    assert!(running.log.end_offset(partition(1)) > Offset(0));
}

#[test]
fn an_idle_journal_proves_its_last_commit() {
    let storage = FaultyStorage::new();
    let idle = Settings { checkpoint_after: Duration::from_millis(5), ..settings() };
    let mut running = Running::open(&storage, idle).unwrap();
    // One commit alone: a checkpoint may come after each.
    running.run(1, 1);
    harness::wait_until(|| running.log.stats().checkpoints > 0);
    running.drop_journal();
    storage.power_cut(1);
    let again = Running::open(&storage, settings()).unwrap();
    assert!(again.recovered.unclean);
    assert_eq!(again.recovered.superseded_entries, 0, "all was proven");
    assert_eq!(storage.syncs_by_site()[&SyncSite::CHECKPOINT], 1, "one is enough");
    again.check().unwrap();
}

#[test]
fn an_entry_larger_than_a_file_has_a_file_for_itself() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    let mut ends = Offset(0);
    for csn in 1..=6 {
        let large = if csn % 2 == 0 { 100_000 } else { 10 };
        let stored = stored(partition(0), ends, Csn(csn), batch(&[vec![1; large]]));
        ends = stored.envelope.end_offset();
        let entry = NewEntry { csn: Csn(csn), time: Timestamp(csn), appends: vec![stored] };
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let done = Box::new(move |durability| tell.send(durability).unwrap());
        running.journal.as_mut().unwrap().append(entry, done).unwrap();
        assert_eq!(told.recv().unwrap(), Durability::Durable);
    }
    running.close().unwrap();
    let again = Running::open(&storage, settings()).unwrap();
    assert_eq!(again.recovered.last_csn, Csn(6));
    assert_eq!(again.log.read(partition(0), Offset(0), 1 << 20).unwrap().len(), 6);
}

#[test]
fn a_second_broker_on_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Arc::new(DiskStorage::open(directory.path()).unwrap());
    let running = Running::open_on(open(), settings()).unwrap();
    let Err(error) = Running::open_on(open(), settings()) else { panic!("there are two owners") };
    assert!(matches!(error, Error::Locked { .. }));
    assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{error}");
    drop(running);
    Running::open_on(open(), settings()).unwrap();
}

#[test]
fn a_journal_that_was_closed_or_dropped_says_unknown() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    storage.hold_syncs();
    running.append();
    storage.wait_for_held_sync();
    running.append();
    let journal = running.journal.take().unwrap();
    let dropping = std::thread::spawn(move || drop(journal));
    storage.release_syncs();
    dropping.join().unwrap();
    let (first, second) = (running.told(), running.told());
    assert_eq!(first.0, Csn(1));
    assert_eq!(second.0, Csn(2));
}

/// Readers follow every partition while it is written: what they get is dense, whole, and never
/// beyond what is durable.
#[test]
fn readers_follow_the_writer() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    let commits = 400;
    let follow = |log: logmill_log::Log| {
        move || {
            let mut next = harness::Ends::new();
            harness::wait_until(|| log.durable_csn() > Csn(0));
            loop {
                let last = log.durable_csn();
                for partition in harness::partitions() {
                    let from = next.entry(partition).or_default();
                    let batches = match log.read_tail(partition, *from, 2000) {
                        Some(batches) => batches,
                        None => log.read(partition, *from, 2000).unwrap(),
                    };
                    for batch in batches {
                        assert_eq!(batch.envelope.base_offset, *from);
                        assert!(batch.envelope.csn <= Csn(commits));
                        *from = batch.envelope.end_offset();
                    }
                }
                let mut ends =
                    next.iter().map(|(partition, next)| (log.end_offset(*partition), *next));
                if last == Csn(commits) && ends.all(|(end, next)| end == next) {
                    return next;
                }
            }
        }
    };
    let readers: Vec<_> = (0..3).map(|_| std::thread::spawn(follow(running.log.clone()))).collect();
    assert_eq!(running.run(commits, 20).len() as u64, commits);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), running.ends);
    }
}
