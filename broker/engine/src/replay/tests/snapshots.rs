//! A start from a snapshot, and what is made of one that is not of the log's history.

use logmill_log::storage::Storage as _;

use super::*;
use crate::letters::Letters;
use crate::snapshot::{capture, write};
use crate::views::Views;

const LANES: u64 = 50;

fn lane(n: u64) -> LaneId {
    LaneId { deployment: DeploymentId(n), source: PartitionId::new(TopicId(16), 0) }
}

fn cursors(revision: u64) -> Commit {
    let records: Vec<Record> = (0..LANES).map(|n| cursor(lane(n), revision)).collect();
    to(PartitionId::CURSORS, &records)
}

fn open(storage: &FaultyStorage) -> (Opened, Replayed) {
    replay(Arc::new(storage.clone()), settings()).unwrap()
}

fn append(storage: &FaultyStorage, commits: impl IntoIterator<Item = Commit>) {
    let (opened, replayed) = open(storage);
    let (mut judge, mut journal) = (replayed.judge, opened.journal);
    for commit in commits {
        let sequenced = judge.judge(commit, Timestamp(2_000)).unwrap();
        journal.append(sequenced.entry, Box::new(|_| {})).unwrap();
    }
    journal.close().unwrap();
}

/// What a copy of the disk holds.
fn copy_of(storage: &FaultyStorage) -> FaultyStorage {
    let copy = FaultyStorage::new();
    for path in storage.paths() {
        copy.set_contents(&path, &storage.contents(&path).unwrap());
    }
    copy
}

/// Writes the snapshot of all that is in the log.
fn keep_snapshot(storage: &FaultyStorage) {
    let (opened, Replayed { catalog, cursors, .. }) = open(storage);
    let (log, cluster) = (opened.log, opened.recovered.cluster);
    let nothing = (Csn::ZERO, Timestamp(0));
    let views = Views::new(log.clone(), catalog, (cursors, Letters::default()), nothing);
    let snapshot = capture(&views, &log, cluster).unwrap().unwrap();
    write(storage, &snapshot).unwrap();
}

/// What a start makes of the log: the state, for comparing, and how much it read of it.
fn state(storage: &FaultyStorage) -> (String, u64) {
    let (_opened, Replayed { catalog, cursors, read_bytes, .. }) = open(storage);
    let catalog: Vec<_> = catalog.records().chain(None).collect();
    (format!("{catalog:?} {cursors:?}"), read_bytes)
}

fn without_snapshot(storage: &FaultyStorage) -> String {
    let bytes = storage.contents("views/state").unwrap();
    storage.remove("views/state").unwrap();
    let state = state(storage).0;
    storage.set_contents("views/state", &bytes);
    state
}

#[test]
fn a_start_from_a_snapshot_reads_what_came_after_it_and_comes_to_the_same_state() {
    let storage = log_of([topic(16, true)].into_iter().chain((1..40).map(cursors)));
    keep_snapshot(&storage);
    assert_eq!(state(&storage), (without_snapshot(&storage), 0));

    let later = [topic(19, true), cursors(40), topic(16, false)];
    let bytes: u64 = later.iter().map(|it| it.batch_bytes() as u64 + 64).sum();
    append(&storage, later);
    let (with, read_bytes) = state(&storage);
    assert_eq!((&with, read_bytes), (&without_snapshot(&storage), bytes));
    assert!(with.contains("revision: 40") && !with.contains("t16"), "{with}");
}

#[test]
fn a_log_that_lost_its_end_is_refused_where_a_snapshot_tells_of_it_and_by_itself_starts() {
    let storage = log_of([topic(16, true), cursors(1)]);
    let shorter = copy_of(&storage);
    append(&storage, [cursors(2)]);
    keep_snapshot(&storage);
    shorter.set_contents("views/state", &storage.contents("views/state").unwrap());
    let refused = replay(Arc::new(shorter.clone()), settings()).err().unwrap();
    assert!(
        refused.to_string().contains("though views/state was made behind entry 3"),
        "{refused}"
    );
    shorter.remove("views/state").unwrap();
    let (state, read_bytes) = state(&shorter);
    assert!(state.contains("revision: 1,") && !state.contains("revision: 2,"), "{state}");
    assert!(read_bytes > 0);
}

#[test]
fn a_snapshot_of_another_history_of_the_same_length_is_not_believed() {
    let storage = log_of([topic(16, true), cursors(1)]);
    let other = copy_of(&storage);
    append(&storage, [cursors(2)]);
    append(&other, [cursors(3)]);
    keep_snapshot(&storage);
    other.set_contents("views/state", &storage.contents("views/state").unwrap());
    let (state, _) = state(&other);
    assert!(state.contains("revision: 3,") && !state.contains("revision: 2,"), "{state}");
}

/// Each bit of what the snapshot says first, and some of the others; and one that was being written
/// when the broker was killed.
#[test]
fn a_flipped_bit_in_a_snapshot_costs_nothing_but_time() {
    let storage = log_of([topic(16, true)].into_iter().chain((1..4).map(cursors)));
    keep_snapshot(&storage);
    let expected = without_snapshot(&storage);
    let good = storage.contents("views/state").unwrap();
    let bits = good.len() * 8;
    for bit in (0..80 * 8).chain((80 * 8..bits).step_by(bits / 300)) {
        let copy = copy_of(&storage);
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        copy.set_contents("views/state", &bad);
        copy.set_contents("views/state.new", &bad[..bit / 8]);
        let (state, read_bytes) = state(&copy);
        assert_eq!(state, expected, "bit {bit}");
        assert!(read_bytes > 0, "bit {bit}: it was believed");
        keep_snapshot(&copy);
        assert_eq!(self::state(&copy), (state, 0), "bit {bit}: there is no new one");
    }
}

#[test]
fn a_snapshot_that_was_torn_or_finds_the_disk_full_costs_nothing_but_time() {
    let storage = log_of([topic(16, true), cursors(1)]);
    let state_before = state(&storage).0;
    keep_snapshot(&storage);
    let bytes = storage.contents("views/state").unwrap();
    storage.set_contents("views/state", &bytes[..bytes.len() / 2]);
    assert_eq!(state(&storage).0, state_before);

    storage.set_contents("views/state", &bytes);
    let (opened, Replayed { catalog, cursors, .. }) = open(&storage);
    let (views_of, nothing) = ((cursors, Letters::default()), (Csn::ZERO, Timestamp(0)));
    let views = Views::new(opened.log.clone(), catalog, views_of, nothing);
    let snapshot = capture(&views, &opened.log, opened.recovered.cluster).unwrap().unwrap();
    storage.set_capacity(Some(1));
    assert!(write(&storage, &snapshot).is_err());
    storage.set_capacity(None);
    assert_eq!(storage.contents("views/state").unwrap(), bytes);
    drop(opened);
    assert_eq!(state(&storage).0, state_before);
}
