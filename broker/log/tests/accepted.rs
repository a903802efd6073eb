//! A loss that was accepted reads as a gap from then on, and no other loss does.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::rot::{accept, flip, flip_header, reports};
use harness::{
    Running, Snapshot, entries_of, is_journal, restored, settings, snapshot, without_indexes,
};
use logmill_log::faulty::FaultyStorage;
use logmill_log::{Cost, Error, Hole, LostRange, NewEntry};
use logmill_model::internal::{AcceptedRecord, SegmentsRecord, StartRecord};
use logmill_model::{Csn, Offset, PartitionId, Record, RecordBatch, Timestamp, TopicId};

const COMMITS: u64 = 30;

fn history(before: impl FnOnce(&mut Running)) -> Snapshot {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    before(&mut running);
    running.run(COMMITS, 1);
    running.drop_journal();
    snapshot(&storage)
}

fn journals(snapshot: &Snapshot) -> Vec<String> {
    snapshot.keys().filter(|path| is_journal(path)).cloned().collect()
}

/// Appends one record to each of these partitions, in one commit.
fn append_one(running: &mut Running, to: &[(PartitionId, Record)]) {
    let csn = running.next;
    let append = |(partition, record): &(PartitionId, Record)| {
        let end = running.log.end_offset(*partition);
        harness::stored(*partition, end, csn, RecordBatch::of([record]).unwrap())
    };
    let appends = to.iter().map(append).collect();
    running.append_entry(NewEntry { csn, time: Timestamp(1000 + csn.0), appends });
    running.told();
}

#[test]
fn an_accepted_loss_is_accepted_for_good() {
    let good = history(|_| {});
    let paths = journals(&good);
    let mut bad = good.clone();
    let at = |path: &str| entries_of(&good[path]).0[1].0;
    flip(&mut bad, &paths[0], at(&paths[0]) + 70);
    flip(&mut bad, &paths[1], at(&paths[1]) + 10);
    flip_header(&mut bad, &paths[2]);
    let storage = restored(&bad);
    let holes = accept(&storage);
    let mut hit: Vec<&str> = holes.iter().map(|hole| hole.path.as_str()).collect();
    hit.sort_unstable();
    assert_eq!(hit, [&paths[0], &paths[1], &paths[2]]);
    assert!(holes.iter().all(|hole| !hole.lost.is_empty()));
    // The new commits prove ends that had jumped: what is lost is told otherwise, and is the same.
    for _ in 0..2 {
        assert_eq!(accept(&storage), []);
    }
    for path in &paths[..3] {
        assert_eq!(storage.contents(path).as_ref(), bad.get(path), "it stays as it is");
    }
}

/// Where findings lie, and what they cost.
fn findings(storage: &FaultyStorage) -> Vec<(String, u64, Cost)> {
    let findings = reports(storage).into_iter().flat_map(|report| report.findings);
    findings.map(|it| (it.path, it.position, it.cost)).collect()
}

#[test]
fn a_look_at_the_directory_tells_what_was_accepted_and_what_was_not() {
    let good = history(|_| {});
    let paths = journals(&good);
    let entries = |path: &str| entries_of(&good[path]);
    let mut bad = good.clone();
    flip(&mut bad, &paths[0], entries(&paths[0]).0[1].0 + 70);
    flip_header(&mut bad, &paths[2]);
    bad.remove(&paths[4]);
    let storage = restored(&bad);
    accept(&storage);
    // What is in no file is told behind the file before it.
    let accepted = [
        (paths[0].clone(), entries(&paths[0]).0[1].0 as u64, Cost::Accepted),
        (paths[2].clone(), 0, Cost::Accepted),
        (paths[3].clone(), entries(&paths[3]).1 as u64, Cost::Accepted),
    ];
    assert_eq!(findings(&storage), accepted);

    let mut worse = snapshot(&storage);
    let at = entries(&paths[1]).0[1].0;
    flip(&mut worse, &paths[1], at + 10);
    flip(&mut worse, &paths[3], 20);
    let found = findings(&restored(&worse));
    assert!(accepted.iter().all(|it| found.contains(it)), "{found:?}");
    let others: Vec<_> = found.into_iter().filter(|it| !accepted.contains(it)).collect();
    let not_accepted =
        [(paths[1].clone(), at as u64, Cost::Loss), (paths[3].clone(), 20, Cost::Nothing)];
    assert_eq!(others, not_accepted);
}

fn is_corrupt<T>(read: &Result<T, Error>) -> bool {
    matches!(read, Err(Error::CorruptRange { .. }))
}

/// The entry behind an accepted hole rots as well: the hole has grown, and is open again.
#[test]
fn what_rots_beside_an_accepted_hole_is_not_accepted() {
    let mut files = history(|_| {});
    let path = journals(&files)[1].clone();
    let entries = entries_of(&files[&path]).0;
    flip(&mut files, &path, entries[1].0 + 10);
    let storage = restored(&files);
    assert_eq!(accept(&storage).len(), 1);
    let mut files = snapshot(&storage);
    flip(&mut files, &path, entries[2].0 + 10);
    let storage = restored(&files);
    let mut running = Running::open(&storage, settings()).unwrap();
    let hole = running.log.corrupt().remove(0);
    assert_eq!((&hole.path, hole.position), (&path, entries[1].0 as u64));
    let reads = hole.lost.iter().map(|it| running.log.read(it.partition, it.from, 1));
    assert!(reads.filter(is_corrupt).count() > 0, "it is told to readers");
    running.close().unwrap();
    assert_eq!(accept(&storage).len(), 1);
    assert_eq!(Running::open(&storage, settings()).unwrap().log.corrupt(), []);
}

/// Its only batch lies in a file that nobody can read: how far it got is not known, but how far at
/// most.
#[test]
fn a_partition_of_which_all_was_lost_goes_on_behind_all_that_it_can_have_had() {
    let one = (PartitionId::CURSORS, Record::default());
    let mut files = history(|running| append_one(running, &[one]));
    let path = journals(&files)[0].clone();
    flip_header(&mut files, &path);
    let storage = restored(&files);
    accept(&storage);
    for _ in 0..2 {
        let mut running = Running::open(&storage, settings()).unwrap();
        running.log.expect(PartitionId::CURSORS);
        let end = running.log.end_offset(PartitionId::CURSORS);
        assert!(end > Offset(0), "offset 0 was used, and is used again");
        assert_eq!(running.log.read(PartitionId::CURSORS, Offset(0), 1).unwrap(), []);
        assert_eq!(running.log.after_accepted(PartitionId::CURSORS, Offset(0)), end);
        running.close().unwrap();
    }
}

/// Nobody has accepted anything.
#[test]
fn a_partition_that_was_created_behind_a_hole_has_lost_nothing_in_it() {
    let created = || (PartitionId::CATALOG, Record::default());
    let mut files = history(|running| append_one(running, &[created()]));
    let path = journals(&files)[1].clone();
    flip_header(&mut files, &path);
    let storage = restored(&files);
    let mut running = Running::open(&storage, settings()).unwrap();
    let at = running.log.end_offset(PartitionId::CATALOG);
    append_one(&mut running, &[created()]);
    running.close().unwrap();
    let running = Running::open(&storage, settings()).unwrap();
    let before = PartitionId::new(TopicId(TopicId::FIRST_USER), 77);
    let behind = PartitionId::new(TopicId(TopicId::FIRST_USER + at.0), 0);
    [before, behind].iter().for_each(|partition| running.log.expect(*partition));
    assert!(running.log.end_offset(before) > Offset(0), "it can have had records there");
    assert_eq!(running.log.end_offset(behind), Offset(0));
    assert!(!running.log.corrupt().is_empty());
}

/// What retention has removed is in nobody's way.
#[test]
fn what_lies_before_the_start_of_a_partition_is_not_lost() {
    let mut bad = without_indexes(&history(|_| {}));
    let paths = journals(&bad);
    for path in &paths[..paths.len() - 1] {
        for (at, _) in entries_of(&bad[path]).0.into_iter().step_by(2) {
            flip(&mut bad, path, at + 10);
        }
    }
    let lost_of = |holes: &[Hole], partition| -> Vec<LostRange> {
        let all = holes.iter().flat_map(|hole| &hole.lost);
        all.filter(|it| it.partition == partition).copied().collect()
    };
    let holes = Running::open(&restored(&bad), settings()).unwrap().log.corrupt();
    let most = harness::partitions().max_by_key(|it| lost_of(&holes, *it).len()).unwrap();
    let lost = lost_of(&holes, most);
    let last = lost[lost.len() - 1];
    assert!(lost[0].to < last.from, "{lost:?}");

    let storage = restored(&bad);
    let mut running = Running::open(&storage, settings()).unwrap();
    let start = StartRecord { offset: last.from };
    let start = SegmentsRecord::Start(most, Some(start)).encode();
    append_one(&mut running, &[(PartitionId::SEGMENTS, start)]);
    running.close().unwrap();
    let findings = reports(&storage).into_iter().flat_map(|it| it.findings);
    let told: Vec<Hole> = findings.filter_map(|it| it.hole).collect();
    assert_eq!(lost_of(&told, most), [last]);
    let running = Running::open(&storage, settings()).unwrap();
    assert_eq!(lost_of(&running.log.corrupt(), most), [last]);
    running.log.trim(most, last.to);
    assert_eq!(lost_of(&running.log.corrupt(), most), []);
}

#[test]
fn a_partition_that_comes_later_has_lost_nothing() {
    let mut files = history(|_| {});
    let path = journals(&files)[1].clone();
    flip_header(&mut files, &path);
    let storage = restored(&files);
    accept(&storage);
    let running = Running::open(&storage, settings()).unwrap();
    let later = harness::partition(77);
    running.log.expect(later);
    assert_eq!(running.log.end_offset(later), Offset(0));
    assert_eq!(running.log.corrupt(), []);
}

/// What is accepted is told by a record, and another batch of its entry rots.
#[test]
fn a_record_of_what_is_accepted_counts_when_another_batch_of_its_entry_is_bad() {
    let mut files = without_indexes(&history(|_| {}));
    let path = journals(&files)[1].clone();
    let (at, csn) = entries_of(&files[&path]).0[1];
    flip(&mut files, &path, at + 10);
    let storage = restored(&files);
    let mut running = Running::open(&storage, settings()).unwrap();
    let hole = running.log.corrupt().remove(0);
    let lost = hole.lost.iter().map(|it| logmill_model::internal::AcceptedRange {
        topic: it.partition.topic,
        index: it.partition.index,
        from: it.from,
        to: it.to,
    });
    let record = AcceptedRecord { bytes: hole.bytes, lost: lost.collect(), csns: hole.csns };
    let record = SegmentsRecord::Accepted(hole.path, hole.position, Some(record)).encode();
    let value = Some(vec![b'v'; 100].into());
    let other = (harness::partition(0), Record { value, ..Record::default() });
    let (segments, next) = (PartitionId::SEGMENTS, running.next);
    append_one(&mut running, &[(segments, record), other]);
    append_one(&mut running, &[(PartitionId::CURSORS, Record::default())]);
    running.close().unwrap();

    let mut files = snapshot(&storage);
    let found = journals(&files).into_iter().find_map(|path| {
        let rots = files[&path].windows(100).position(|window| window == [b'v'; 100])?;
        Some((path, rots))
    });
    let (path, rots) = found.unwrap();
    flip(&mut files, &path, rots);
    let running = Running::open(&restored(&files), settings()).unwrap();
    let open: Vec<_> = running.log.corrupt().into_iter().map(|hole| hole.path).collect();
    assert_eq!(open, [path], "commit {csn} was accepted, commit {next} was not");
    assert!(next > Csn(csn.0));
}

#[test]
fn what_a_deleted_partition_has_lost_concerns_nobody() {
    let mut files = without_indexes(&history(|_| {}));
    let path = journals(&files)[1].clone();
    flip_header(&mut files, &path);
    let storage = restored(&files);
    for is_accepted in [false, true] {
        let running = Running::open(&storage, settings()).unwrap();
        let mut holes = running.log.corrupt();
        assert_eq!(holes.is_empty(), is_accepted);
        running.log.forget(harness::partition(0));
        holes.iter_mut().for_each(|it| it.lost.retain(|it| it.partition != harness::partition(0)));
        assert_eq!(running.log.corrupt(), holes);
        drop(running);
        accept(&storage);
    }
}
