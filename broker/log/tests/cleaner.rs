//! The cleaner while nothing fails: what it drops, what it rewrites, and what readers see.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cleaning;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cleaning::{Broker, History, bytes_on, files_in, partition, settings};
use logmill_log::backup::Target;
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::Storage;
use logmill_log::{Error, Known, Throttle, accept_losses, verify};
use logmill_model::Offset;

fn opened(storage: &FaultyStorage) -> Broker {
    Broker::open(storage, settings(), History::default()).unwrap()
}

fn journals(storage: &FaultyStorage) -> usize {
    files_in(storage, "journal/", ".journal").len()
}

fn segments(storage: &FaultyStorage) -> usize {
    files_in(storage, "segments/", ".segment").len()
}

/// Files of two partitions, three records of the first to one of the second.
fn mixed(broker: &mut Broker, records: usize) {
    for n in 0..records {
        broker.append_value(partition(u32::from(n % 4 == 3)), 400).unwrap();
    }
}

#[test]
fn files_of_which_nothing_is_needed_are_dropped_as_they_are() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 300);
    let before = journals(&storage);
    broker.trim_all(partition(0));
    broker.trim_all(partition(1));
    broker.clean().unwrap();
    // The last sealed one stays until there is another, and the one being written.
    assert_eq!((journals(&storage), segments(&storage)), (2, 0), "of {before}");
    assert_eq!(files_in(&storage, "journal/", ".index").len(), 1);
    mixed(&mut broker, 100);
    broker.check().unwrap();
    let mut again = Broker::open(&storage, settings(), reopened(&storage, broker)).unwrap();
    again.check().unwrap();
    mixed(&mut again, 100);
    again.check().unwrap();
}

/// The start after a crash says that it goes on behind the last entry, whether that file's seal has
/// reached the disk or not; when what it says it in is cleaned away, that still holds.
#[test]
fn a_file_without_its_seal_is_whole_when_what_followed_was_cleaned() {
    for dropped in [false, true] {
        let storage = FaultyStorage::new();
        let mut broker = opened(&storage);
        // The first file has what stays, and nothing of that is in the files behind it.
        (0..12).for_each(|_| broker.append_value(partition(2), 1000).unwrap());
        while journals(&storage) < 2 {
            broker.append_value(partition(0), 400).unwrap();
        }
        mixed(&mut broker, 200);
        broker.trim_all(partition(0));
        if dropped {
            broker.trim_all(partition(1));
        }
        broker.clean().unwrap();
        assert!(dropped || segments(&storage) == 1);
        let history = reopened(&storage, broker);
        let first = files_in(&storage, "journal/", ".journal").remove(0);
        let bytes = storage.contents(&first).unwrap();
        storage.set_contents(&first, &bytes[..bytes.len() - 64]);
        storage.erase(&first.replace(".journal", ".index"));
        let again = Broker::open(&storage, settings(), history).unwrap();
        again.check().unwrap();
        // It has its seal again.
        assert!(storage.contents(&first).unwrap().len() >= bytes.len());
    }
}

fn reopened(storage: &FaultyStorage, broker: Broker) -> History {
    let history = broker.stop();
    storage.restart();
    history
}

#[test]
fn files_that_are_more_than_half_dead_become_a_segment() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    let (bytes, files) = (bytes_on(&storage), journals(&storage));
    assert_eq!(broker.clean().unwrap(), 0, "nothing is dead");
    broker.trim_all(partition(0));
    broker.clean().unwrap();
    assert!(files > 8 && journals(&storage) == 2, "{} of {files}", journals(&storage));
    assert!((1..=2).contains(&segments(&storage)));
    assert!(bytes_on(&storage) < bytes / 2, "{} of {bytes}", bytes_on(&storage));
    broker.check().unwrap();
    mixed(&mut broker, 100);
    broker.check().unwrap();

    let history = reopened(&storage, broker);
    for path in files_in(&storage, "", ".index") {
        storage.erase(&path);
    }
    let mut again = Broker::open(&storage, settings(), history).unwrap();
    again.check().unwrap();
    mixed(&mut again, 100);
    again.clean().unwrap();
    again.check().unwrap();
    let again = Broker::open(&storage, settings(), reopened(&storage, again)).unwrap();
    again.check().unwrap();
}

#[test]
fn neither_verify_nor_the_scrubber_finds_anything_in_a_segment() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    broker.clean().unwrap();
    assert!(segments(&storage) > 0);
    // The last file that the scrubber reads shows when it has read the segments.
    let newest = files_in(&storage, "journal/", ".journal").into_iter().rev().nth(1).unwrap();
    let good = storage.contents(&newest).unwrap();
    let mut bad = good.clone();
    bad[4096 + 30] ^= 1;
    storage.set_contents(&newest, &bad);
    let scrubber = broker.log.scrub(1 << 40).unwrap();
    while broker.log.corrupt().is_empty() {
        std::thread::yield_now();
    }
    scrubber.stop();
    let found: Vec<String> = broker.log.corrupt().into_iter().map(|hole| hole.path).collect();
    assert_eq!(found, std::slice::from_ref(&newest));
    storage.set_contents(&newest, &good);
    reopened(&storage, broker);
    let (mut reports, storage) = (Vec::new(), Arc::new(storage) as Arc<dyn Storage>);
    assert_eq!(
        verify(&storage, &Known::default(), &mut |report| reports.push(report)).unwrap(),
        0,
        "{reports:?}"
    );
}

#[test]
fn what_is_left_of_a_long_life_is_a_few_files() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    for _ in 0..60 {
        mixed(&mut broker, 100);
        broker.trim_all(partition(0));
        if broker.end(partition(1)).0 > 300 {
            broker.trim(partition(1), Offset(broker.end(partition(1)).0 - 300));
        }
        broker.clean().unwrap();
        broker.check().unwrap();
    }
    let (journals, segments) = (journals(&storage), segments(&storage));
    assert!(journals <= 8 && segments <= 8, "{journals} and {segments}");
    let history = reopened(&storage, broker);
    Broker::open(&storage, settings(), history).unwrap().check().unwrap();
}

#[test]
fn a_deleted_partition_is_cleaned_away() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    let bytes = bytes_on(&storage);
    broker.log.forget(partition(0));
    broker.clean().unwrap();
    assert!(bytes_on(&storage) < bytes / 2);
    assert_eq!(broker.count(partition(1)), 100);
    let log = broker.log.clone();
    reopened(&storage, broker);
    drop(log);
    let again = Broker::open(&storage, settings(), History::default()).unwrap();
    assert_eq!(again.count(partition(1)), 100);
}

#[test]
fn readers_read_on_while_their_files_are_replaced() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    let done = AtomicBool::new(false);
    let (log, last) = (broker.log.clone(), broker.end(partition(1)));
    std::thread::scope(|scope| {
        let read = || {
            let mut rounds = 0;
            while !done.load(Relaxed) || rounds < 2 {
                let mut next = Offset(0);
                while next < last {
                    let batches = log.read(partition(1), next, 1000).unwrap();
                    assert_eq!(batches[0].envelope.base_offset, next);
                    next = batches.last().unwrap().envelope.end_offset();
                }
                rounds += 1;
            }
        };
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        for round in 1..=10 {
            broker.trim(partition(0), Offset(30 * round));
            broker.clean().unwrap();
        }
        done.store(true, Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    broker.check().unwrap();
    assert_eq!(journals(&storage), 2, "what nobody reads is gone");
}

#[test]
fn what_a_job_reads_and_writes_is_counted_against_the_throttle() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    let throttle = Throttle::new(u64::MAX);
    let cleaned = broker.plan().unwrap().run(&throttle).unwrap();
    let report = cleaned.report();
    let data = 100 * 400;
    assert!(report.segment_bytes > data && report.bytes > 4 * data, "{report:?}");
    // All that is written, and at least the batches that are read.
    assert!(throttle.bytes() > report.segment_bytes + data, "{} of {report:?}", throttle.bytes());
}

#[test]
fn a_job_that_is_stopped_or_refused_leaves_nothing() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    let throttle = Throttle::new(u64::MAX);
    throttle.stop();
    let stopped = broker.plan().unwrap().run(&throttle).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted), "{stopped}");
    assert_eq!(segments(&storage), 0);
    let cleaned = broker.plan().unwrap().run(&Throttle::new(u64::MAX)).unwrap();
    assert_eq!(segments(&storage), 1);
    broker.cleaner.discard(cleaned);
    assert_eq!(segments(&storage), 0);
    broker.check().unwrap();
    broker.clean().unwrap();
    broker.check().unwrap();
}

#[test]
fn a_full_disk_stops_a_job_and_harms_nothing() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    storage.set_capacity(Some(bytes_on(&storage) as u64 + 40_000));
    let full = broker.plan().unwrap().run(&Throttle::new(u64::MAX)).unwrap_err();
    assert!(full.is_disk_full(), "{full}");
    assert_eq!(segments(&storage), 0);
    // There is less to write when fewer files are taken at once.
    broker.cleaner.failed(&full);
    for _ in 0..100 {
        let Some(job) = broker.plan() else { break };
        match job.run(&Throttle::new(u64::MAX)) {
            Ok(cleaned) => {
                broker.commit(&cleaned).unwrap();
                broker.cleaner.install(cleaned);
            }
            Err(full) => broker.cleaner.failed(&full),
        }
    }
    assert!(journals(&storage) < 5, "{}", journals(&storage));
    storage.set_capacity(None);
    broker.clean().unwrap();
    broker.check().unwrap();
}

#[test]
fn a_file_that_is_not_what_was_written_is_left_alone() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    let bad = files_in(&storage, "journal/", ".journal")[3].clone();
    let mut bytes = storage.contents(&bad).unwrap();
    let at = bytes.len() / 2;
    bytes[at..at + 2000].fill(0x55);
    storage.set_contents(&bad, &bytes);
    let error = broker.plan().unwrap().run(&Throttle::new(u64::MAX)).unwrap_err();
    assert!(error.to_string().contains(&bad), "{error}");
    broker.cleaner.failed(&error);
    broker.clean().unwrap();
    assert_eq!(journals(&storage), 3, "those before and behind it are clean");
    assert_eq!(storage.contents(&bad).unwrap(), bytes);
}

#[test]
fn a_missing_file_is_told_from_one_that_was_dropped() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 100);
    broker.trim_all(partition(0));
    broker.trim_all(partition(1));
    mixed(&mut broker, 100);
    broker.clean().unwrap();
    broker.trim_all(partition(0));
    mixed(&mut broker, 300);
    broker.clean().unwrap();
    assert_eq!(segments(&storage), 1);
    let history = reopened(&storage, broker);
    let paths =
        [files_in(&storage, "journal/", ".journal"), files_in(&storage, "segments/", ".segment")]
            .concat();
    for gone in &paths[..paths.len() - 1] {
        let bytes = storage.contents(gone).unwrap();
        storage.erase(gone);
        let Err(error) = Broker::open(&storage, settings(), history.clone()) else {
            panic!("{gone} is not missed");
        };
        assert!(matches!(error, Error::Missing { .. } | Error::SegmentMissing { .. }), "{error}");
        storage.restart();
        storage.set_contents(gone, &bytes);
    }
    Broker::open(&storage, settings(), history).unwrap().check().unwrap();
}

#[test]
fn segments_without_a_journal_are_refused_and_stay() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    mixed(&mut broker, 400);
    broker.trim_all(partition(0));
    broker.clean().unwrap();
    let history = reopened(&storage, broker);
    for path in files_in(&storage, "journal/", "") {
        storage.erase(&path);
    }
    let before = storage.paths();
    let refused = Broker::open(&storage, settings(), history).err().unwrap();
    assert!(matches!(refused, Error::JournalMissing { .. }), "{refused}");
    let shared = Arc::new(storage.clone()) as Arc<dyn Storage>;
    assert!(verify(&shared, &Known::default(), &mut |_| ()).unwrap() > 0);
    assert!(
        accept_losses(&shared, &Known::default()).is_err(),
        "a loss of everything is not accepted by accident"
    );
    assert_eq!(storage.paths(), before);
}

/// A copy of the log as it is now, opened.
fn backed_up(broker: &Broker) -> Broker {
    let cut = broker.log.cut().unwrap();
    let backup = FaultyStorage::new();
    let target = Target::begin(Arc::new(backup.clone()), cut.cluster(), &[]).unwrap();
    let copied = cut.copy_to(&target, &mut |_| true).unwrap();
    let files: Vec<String> = copied.files.iter().map(|(path, _)| path.clone()).collect();
    target.finish(&files, &[], b"{}").unwrap();
    Broker::open(&backup, settings(), broker.history.clone()).unwrap()
}

#[test]
fn a_backup_at_any_moment_of_a_cleaning_is_whole() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    for _ in 0..3 {
        mixed(&mut broker, 200);
        broker.trim_all(partition(0));
        while let Some(job) = broker.plan() {
            backed_up(&broker).check().unwrap();
            let cleaned = job.run(&Throttle::new(u64::MAX)).unwrap();
            backed_up(&broker).check().unwrap();
            broker.commit(&cleaned).unwrap();
            backed_up(&broker).check().unwrap();
            broker.cleaner.install(cleaned);
            let mut backup = backed_up(&broker);
            backup.check().unwrap();
            backup.clean().unwrap();
            backup.check().unwrap();
        }
    }
}
