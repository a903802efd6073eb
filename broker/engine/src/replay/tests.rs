//! What is rebuilt from a log that was written by hand.

use logmill_log::faulty::FaultyStorage;
use logmill_log::{Durability, Error as LogError, NewEntry, StoredBatch};
use logmill_model::internal::{CatalogRecord, CursorRecord, CursorsRecord, TopicRecord};
use logmill_model::{
    Append, Commit, Counts, Csn, DeploymentId, LaneId, Record, Timestamp, TopicId, TopicPolicy,
};

use super::*;

mod snapshots;

fn settings() -> Settings {
    Settings { journal_file_bytes: 256 * 1024, ..Settings::default() }
}

/// A log with these commits, as the judge made entries of them.
fn log_of(commits: impl IntoIterator<Item = Commit>) -> FaultyStorage {
    let storage = FaultyStorage::new();
    let opened = logmill_log::open(Arc::new(storage.clone()), settings()).unwrap();
    let (mut judge, mut journal) = (Judge::default(), opened.journal);
    for commit in commits {
        let sequenced = judge.judge(commit, Timestamp(1_000)).unwrap();
        let done = Box::new(|durability| assert_eq!(durability, Durability::Durable));
        journal.append(sequenced.entry, done).unwrap();
    }
    journal.close().unwrap();
    storage
}

fn to(partition: PartitionId, records: &[Record]) -> Commit {
    let append = Append::new(partition, RecordBatch::of(records).unwrap());
    Commit { appends: vec![append], ..Commit::default() }
}

fn topic(id: u64, there: bool) -> Commit {
    let record = TopicRecord {
        id: TopicId(id),
        partitions: 2,
        created_ts: Timestamp(0),
        policy: TopicPolicy::default(),
    };
    let name = format!("t{id}").parse().unwrap();
    to(PartitionId::CATALOG, &[CatalogRecord::Topic(name, there.then_some(record)).encode()])
}

fn cursor(lane: LaneId, revision: u64) -> Record {
    let record = CursorRecord {
        generation: 1,
        revision,
        next: Offset(revision),
        failed: None,
        counts: Counts::default(),
    };
    CursorsRecord::Cursor(lane, Some(record)).encode()
}

#[test]
fn state_is_rebuilt_from_more_records_than_one_read_takes() {
    let partition = PartitionId::new(TopicId(16), 1);
    let lane = |n| LaneId { deployment: DeploymentId(n), source: partition };
    let cursors = |revision| (0..500).map(move |n| cursor(lane(n), revision)).collect::<Vec<_>>();
    let batches: Vec<Commit> =
        (1..=60).map(|revision| to(PartitionId::CURSORS, &cursors(revision))).collect();
    let bytes: usize = batches.iter().map(Commit::batch_bytes).sum();
    assert!(bytes > 3 * REPLAY_BYTES_MAX, "{bytes}");
    let data = to(partition, &[Record::default(), Record::default()]);
    let storage = log_of([topic(16, true), data].into_iter().chain(batches));

    let (opened, replayed) = replay(Arc::new(storage), settings()).unwrap();
    assert_eq!(replayed.cursors.by_lane.len(), 500);
    assert!(replayed.cursors.by_lane.values().all(|cursor| cursor.record.revision == 60));
    assert_eq!(replayed.judge.last_csn(), Csn(62));
    assert_eq!(replayed.catalog.end(), Offset(1));
    let mut judge = replayed.judge;
    let next = judge.judge(to(partition, &[Record::default()]), Timestamp(0)).unwrap().entry;
    assert_eq!((next.csn, next.time), (Csn(63), Timestamp(1_000)));
    assert_eq!(next.appends[0].envelope.base_offset, Offset(2));
    drop(opened);
}

#[test]
fn partitions_of_a_deleted_topic_are_told() {
    let partition = |topic| PartitionId::new(TopicId(topic), 0);
    let data = |topic| to(partition(topic), &[Record::default()]);
    let commits = [topic(16, true), topic(17, true), data(16), data(17), topic(16, false)];
    let (_opened, replayed) = replay(Arc::new(log_of(commits)), settings()).unwrap();
    assert_eq!(replayed.deleted, [partition(16)]);
}

#[test]
fn an_internal_record_that_cannot_be_read_stops_the_start_and_is_named() {
    let storage = log_of([topic(16, true)]);
    let opened = logmill_log::open(Arc::new(storage.clone()), settings()).unwrap();
    let mut journal = opened.journal;
    let batch = RecordBatch::of([&Record::default()]).unwrap();
    let mut judge = Judge::default();
    judge.judge(topic(16, true), Timestamp(1_000)).unwrap();
    let mut good = judge.judge(topic(17, true), Timestamp(1_000)).unwrap().entry;
    let stored = good.appends.remove(0);
    let envelope = stored.envelope.around(&batch);
    let appends = vec![StoredBatch { envelope, batch, ..stored }];
    journal.append(NewEntry { appends, ..good }, Box::new(|_| {})).unwrap();
    journal.close().unwrap();
    match replay(Arc::new(storage), settings()) {
        Err(Error::UnreadableState {
            partition: PartitionId::CATALOG, offset: Offset(1), ..
        }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was read"),
    }
}

/// The second record of one lane is lost, and what it left behind then; of the other one, none is.
#[test]
fn a_lane_of_which_a_record_between_others_is_lost_is_told_from_one_of_which_none_is() {
    let lane = |n| LaneId { deployment: DeploymentId(n), source: PartitionId::new(TopicId(16), 0) };
    let cursors = |records: &[Record]| to(PartitionId::CURSORS, records);
    let commits = [
        cursors(&[cursor(lane(7), 1), cursor(lane(8), 1)]),
        cursors(&[cursor(lane(7), 2)]),
        cursors(&[cursor(lane(8), 2)]),
        cursors(&[cursor(lane(7), 3), cursor(lane(9), 1)]),
        cursors(&[cursor(lane(7), 4), cursor(lane(8), 3)]),
    ];
    let storage = log_of(commits);
    let path = storage.paths().into_iter().find(|path| path.ends_with(".journal")).unwrap();
    let mut bytes = storage.contents(&path).unwrap();
    let entries: Vec<usize> =
        bytes.windows(5).enumerate().filter(|it| it.1 == b"LMEN\x01").map(|it| it.0).collect();
    // Behind the mark of the start.
    bytes[entries[2] + 30] ^= 1;
    storage.set_contents(&path, &bytes);
    let (_opened, replayed) = replay(Arc::new(storage), settings()).unwrap();
    assert_eq!(replayed.cursors.by_lane[&lane(7)].record.revision, 4);
    assert_eq!(replayed.doubtful, BTreeSet::from([lane(7)]));
    assert!(replayed.suspects.are_records_lost());
}

#[test]
fn what_the_log_says_is_out_of_range_is_so_for_the_engine() {
    let (asked, start, end) = (Offset(1), Offset(2), Offset(3));
    let partition = PartitionId::CATALOG;
    let error = Error::from(LogError::OutOfRange { partition, asked, start, end });
    assert!(matches!(error, Error::OffsetOutOfRange { asked: Offset(1), .. }), "{error}");
}
