//! Where a time or an amount of data begins, and what a trimmed partition serves, against the whole
//! list of its batches.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::{Running, mix, partitions, settings};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Error, Settings, StoredBatch};
use logmill_model::{Offset, PartitionId, Timestamp};

const COMMITS: u64 = 200;

/// A history in many files, with the newest one still written, and the same again after a kill.
fn each_running(check: impl Fn(&Running)) {
    let storage = FaultyStorage::new();
    let settings = Settings { tail_bytes: 0, ..settings() };
    let mut running = Running::open(&storage, settings.clone()).unwrap();
    running.run(COMMITS, 4);
    assert!(running.log.stats().journal_files > 5);
    check(&running);
    running.drop_journal();
    check(&Running::open(&storage, settings).unwrap());
}

fn batches(running: &Running, partition: PartitionId) -> Vec<StoredBatch> {
    let (batches, result) = running.read_all(partition, 1 << 20);
    result.unwrap();
    batches
}

#[test]
fn a_time_leads_to_the_first_batch_that_was_appended_then_or_later() {
    each_running(|running| {
        for partition in partitions() {
            let batches = batches(running, partition);
            for time in (990..1010 + COMMITS).map(Timestamp) {
                let first = batches.iter().find(|batch| batch.envelope.append_ts >= time);
                let end = running.log.end_offset(partition);
                let expected = first.map_or(end, |batch| batch.envelope.base_offset);
                assert_eq!(running.log.offset_at(partition, time).unwrap(), expected, "{time}");
            }
        }
        let none = PartitionId::new(logmill_model::TopicId(99), 0);
        assert_eq!(running.log.offset_at(none, Timestamp(1)).unwrap(), Offset(0));
    });
}

#[test]
fn what_is_retained_is_never_less_than_was_asked_for_and_not_much_more() {
    each_running(|running| {
        for partition in partitions() {
            let batches = batches(running, partition);
            let all: u64 = batches.iter().map(|batch| batch.bytes() as u64).sum();
            assert_eq!(running.log.partition_bytes(partition), all);
            let mut last = running.log.end_offset(partition);
            for wanted in (0..all + 1000).step_by(173) {
                let from = running.log.retained_from(partition, wanted);
                assert!(from <= last, "more is asked for, less is kept");
                last = from;
                let kept = batches.iter().filter(|batch| batch.envelope.base_offset >= from);
                let kept: u64 = kept.map(|batch| batch.bytes() as u64).sum();
                assert!(kept >= wanted.min(all), "{kept} of {all} are kept, {wanted} are wanted");
                assert!(kept <= wanted + 20 * 1024, "{kept} are kept, {wanted} are wanted");
            }
            assert_eq!(running.log.retained_from(partition, all), Offset(0));
        }
    });
}

#[test]
fn what_lies_below_the_start_is_not_served_and_the_rest_is() {
    each_running(|running| {
        for (partition, seed) in partitions().zip(0..) {
            let before = batches(running, partition);
            let end = running.log.end_offset(partition);
            let start = Offset(mix(seed, 1) % end.0);
            let (all, time) = (running.log.partition_bytes(partition), Timestamp(0));
            running.log.trim(partition, start);
            running.log.trim(partition, Offset(start.0 / 2));
            assert_eq!(running.log.start_offset(partition), start);
            let expected: Vec<_> =
                before.into_iter().filter(|it| it.envelope.end_offset() > start).collect();
            assert_eq!(batches(running, partition), expected);
            assert_eq!(running.log.offset_at(partition, time).unwrap(), start);
            assert_eq!(running.log.retained_from(partition, u64::MAX), start);
            assert!(running.log.partition_bytes(partition) <= all);
            for asked in [Offset(0), Offset(start.0 - 1)] {
                match running.log.read(partition, asked, 1000) {
                    Err(Error::OutOfRange { start: told, end: told_end, .. }) => {
                        assert_eq!((told, told_end), (start, end));
                    }
                    other => panic!("{other:?}"),
                }
                assert_eq!(running.log.read_tail(partition, asked, 1000), None);
            }
        }
    });
}

#[test]
fn a_start_beyond_the_end_moves_the_end_and_offsets_go_on_from_there() {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    running.run(50, 4);
    for partition in partitions() {
        let start = Offset(running.log.end_offset(partition).0 + 10);
        running.log.trim(partition, start);
        assert_eq!(
            (running.log.start_offset(partition), running.log.end_offset(partition)),
            (start, start)
        );
        assert_eq!(running.log.partition_bytes(partition), 0);
        assert_eq!(running.log.read(partition, start, 1000).unwrap(), []);
        running.ends.insert(partition, start);
    }
    running.run(COMMITS, 4);
    for partition in partitions() {
        let batches = batches(&running, partition);
        let mut next = running.log.start_offset(partition);
        for batch in batches {
            assert_eq!(batch.envelope.base_offset, next);
            next = batch.envelope.end_offset();
        }
        assert_eq!(Some(&next), running.ends.get(&partition));
    }
}
