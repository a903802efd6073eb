//! The order of commits, their preconditions, and what a refusal leaves behind: nothing.

use logmill_model::internal::{CursorRecord, DeploymentRecord, TopicRecord};
use logmill_model::{
    Compression, Counts, DeploymentId, DeploymentState, ModuleLimits, Record, TopicId, World,
};

use super::*;

const NOW: Timestamp = Timestamp(1_000);

fn batch(records: usize) -> RecordBatch {
    RecordBatch::of(&vec![Record::default(); records]).unwrap()
}

fn to(partition: PartitionId, records: usize) -> Commit {
    Commit { appends: vec![Append::new(partition, batch(records))], ..Commit::default() }
}

fn topic(name: &str, id: u64, partitions: u32) -> CatalogRecord {
    let policy = Default::default();
    let record = TopicRecord { id: TopicId(id), partitions, created_ts: NOW, policy };
    CatalogRecord::Topic(name.parse().unwrap(), Some(record))
}

fn catalog(records: &[CatalogRecord]) -> Commit {
    let records: Vec<_> = records.iter().map(CatalogRecord::encode).collect();
    let append = Append::new(PartitionId::CATALOG, RecordBatch::of(&records).unwrap());
    Commit { appends: vec![append], ..Commit::default() }
}

fn partition(topic: u64, index: u32) -> PartitionId {
    PartitionId::new(TopicId(topic), index)
}

fn judge_with_topic() -> Judge {
    let mut judge = Judge::default();
    judge.judge(catalog(&[topic("t", 16, 2)]), NOW).unwrap();
    judge
}

fn lane() -> LaneId {
    LaneId { deployment: DeploymentId(3), source: partition(16, 0) }
}

fn cursor(revision: u64, condition: u64) -> Commit {
    let generation = u32::from(condition > 0);
    let record = CursorRecord {
        generation: 1,
        revision,
        next: Offset(revision),
        failed: None,
        counts: Counts::default(),
    };
    Commit {
        appends: vec![Append::new(
            PartitionId::CURSORS,
            RecordBatch::of([&CursorsRecord::Cursor(lane(), Some(record)).encode()]).unwrap(),
        )],
        preconditions: vec![Precondition::Cursor { lane: lane(), generation, revision: condition }],
        ..Commit::default()
    }
}

#[test]
fn internal_records_are_never_compressed_and_users_records_may_be() {
    let mut judge = judge_with_topic();
    let names = ["same-same-same-same-same-1", "same-same-same-same-same-2"];
    let records = names.map(|name| topic(name, 17, 1).encode());
    let batch = RecordBatch::of(&records).unwrap();
    for compression in [Compression::Lz4, Compression::Zstd] {
        let compressed = batch.compress(compression);
        assert_eq!(compressed.compression(), compression);
        let mut to = |partition| {
            let appends = vec![Append::new(partition, compressed.clone())];
            judge.judge(Commit { appends, ..Commit::default() }, NOW)
        };
        let sequenced = to(partition(16, 0)).unwrap();
        assert_eq!(sequenced.entry.appends[0].envelope.compression, compression);
        let refused = to(PartitionId::CATALOG).unwrap_err();
        assert!(refused.to_string().contains("its batch is compressed"), "{refused}");
    }
}

#[test]
fn numbers_and_offsets_are_dense() {
    let mut judge = judge_with_topic();
    for (expected_csn, base) in [(2, 0), (3, 3), (4, 6)] {
        let sequenced = judge.judge(to(partition(16, 1), 3), NOW).unwrap();
        assert_eq!(sequenced.entry.csn, Csn(expected_csn));
        assert_eq!(sequenced.entry.appends[0].envelope.base_offset, Offset(base));
    }
}

#[test]
fn two_appends_to_one_partition_lie_one_after_the_other() {
    let mut judge = judge_with_topic();
    let mut commit = to(partition(16, 0), 2);
    commit.appends.push(Append::new(partition(16, 0), batch(3)));
    let appends = judge.judge(commit, NOW).unwrap().entry.appends;
    let bases: Vec<_> = appends.iter().map(|stored| stored.envelope.base_offset.0).collect();
    assert_eq!(bases, [0, 2]);
}

#[test]
fn time_never_goes_backwards() {
    let mut judge = judge_with_topic();
    let times = [Timestamp(2_000), Timestamp(500), Timestamp(2_001)]
        .map(|now| judge.judge(to(partition(16, 0), 1), now).unwrap().entry.time);
    assert_eq!(times, [Timestamp(2_000), Timestamp(2_000), Timestamp(2_001)]);
}

#[test]
fn a_refused_commit_changes_nothing() {
    let mut judge = judge_with_topic();
    let mut commit = to(partition(16, 0), 1);
    commit.appends.push(Append::new(partition(16, 2), batch(1)));
    let refused = judge.judge(commit, NOW).unwrap_err();
    assert_eq!(refused, Refusal::NoSuchPartition(partition(16, 2)));
    let next = judge.judge(to(partition(16, 0), 1), NOW).unwrap().entry;
    assert_eq!((next.csn, next.appends[0].envelope.base_offset), (Csn(2), Offset(0)));
}

#[test]
fn a_change_of_the_catalog_holds_only_at_the_end_it_was_planned_for() {
    let mut judge = judge_with_topic();
    let conditional = |end| {
        let mut commit = catalog(&[topic("u", 17, 1)]);
        let partition = PartitionId::CATALOG;
        commit.preconditions.push(Precondition::EndOffset { partition, end: Offset(end) });
        commit
    };
    let refused = judge.judge(conditional(0), NOW).unwrap_err();
    assert_eq!(refused, Refusal::EndMoved { partition: PartitionId::CATALOG, end: Offset(1) });
    assert!(judge.judge(to(partition(17, 0), 1), NOW).is_err());
    judge.judge(conditional(1), NOW).unwrap();
    judge.judge(to(partition(17, 0), 1), NOW).unwrap();
}

#[test]
fn a_deleted_topic_takes_no_more() {
    let mut judge = judge_with_topic();
    judge.judge(catalog(&[CatalogRecord::Topic("t".parse().unwrap(), None)]), NOW).unwrap();
    let refused = judge.judge(to(partition(16, 0), 1), NOW).unwrap_err();
    assert_eq!(refused, Refusal::NoSuchPartition(partition(16, 0)));
}

#[test]
fn a_cursor_moves_only_from_the_revision_it_stands_at() {
    let mut judge = judge_with_topic();
    judge.judge(cursor(1, 0), NOW).unwrap();
    assert_eq!(judge.judge(cursor(1, 0), NOW).unwrap_err(), Refusal::StaleCursor(lane()));
    judge.judge(cursor(2, 1), NOW).unwrap();
    // A later commit of the lane can't jump over the one that was refused.
    assert_eq!(judge.judge(cursor(4, 3), NOW).unwrap_err(), Refusal::StaleCursor(lane()));
}

#[test]
fn what_is_too_large_for_an_entry_is_refused() {
    let mut judge = judge_with_topic();
    let record = Record { value: Some(vec![0; 1_000_000].into()), ..Record::default() };
    let big = RecordBatch::of([&record]).unwrap();
    let appends = vec![Append::new(partition(16, 0), big); 9];
    let commit = Commit { appends, ..Commit::default() };
    assert!(matches!(judge.judge(commit, NOW), Err(Refusal::TooLarge { .. })));
    let appends = vec![Append::new(partition(16, 0), batch(1)); 4097];
    let commit = Commit { appends, ..Commit::default() };
    assert!(matches!(judge.judge(commit, NOW), Err(Refusal::TooManyAppends { .. })));
}

#[test]
fn an_internal_topic_takes_only_records_of_its_layout() {
    let mut judge = judge_with_topic();
    for internal in [PartitionId::CATALOG, PartitionId::CURSORS, PartitionId::SEGMENTS] {
        assert!(matches!(judge.judge(to(internal, 1), NOW), Err(Refusal::Invalid { .. })));
    }
}

#[test]
fn a_recovered_judge_judges_as_the_one_before() {
    let mut judge = judge_with_topic();
    let mut recovered = Judge::default();
    let commits = [to(partition(16, 1), 4), cursor(1, 0), cursor(2, 1), to(partition(16, 1), 1)];
    let mut entries = vec![{
        let mut first = Judge::default();
        first.judge(catalog(&[topic("t", 16, 2)]), NOW).unwrap().entry
    }];
    entries.extend(commits.map(|commit| judge.judge(commit, NOW).unwrap().entry));
    for internal in [PartitionId::CATALOG, PartitionId::CURSORS] {
        let appends = entries.iter().flat_map(|entry| &entry.appends);
        for stored in appends.filter(|stored| stored.partition == internal) {
            let mut changes = Changes::default();
            changes.read(internal, &stored.batch).unwrap();
            recovered.apply(&changes);
        }
    }
    for NewEntry { csn, time, appends } in entries {
        for stored in appends {
            assert!(recovered.set_end(stored.partition, stored.envelope.end_offset()));
        }
        recovered.go_on_after(csn, time);
    }
    assert!(!recovered.set_end(partition(16, 5), Offset(1)), "there is no such partition");
    let probes = [to(partition(16, 1), 1), cursor(3, 2), cursor(3, 2), to(partition(16, 5), 1)];
    for probe in probes {
        let (a, b) = (judge.judge(probe.clone(), NOW), recovered.judge(probe, NOW));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

fn start(partition: PartitionId, offset: u64) -> Commit {
    let start = logmill_model::internal::StartRecord { offset: Offset(offset) };
    let record = SegmentsRecord::Start(partition, Some(start)).encode();
    let append = Append::new(PartitionId::SEGMENTS, RecordBatch::of([&record]).unwrap());
    Commit { appends: vec![append], ..Commit::default() }
}

#[test]
fn a_start_lies_in_a_partition_that_is_there_and_not_behind_its_end() {
    let mut judge = judge_with_topic();
    judge.judge(to(partition(16, 0), 3), NOW).unwrap();
    judge.judge(start(partition(16, 0), 3), NOW).unwrap();
    let behind = judge.judge(start(partition(16, 0), 4), NOW);
    assert!(matches!(behind, Err(Refusal::Invalid { .. })), "{behind:?}");
    let gone = partition(16, 2);
    let refused = judge.judge(start(gone, 0), NOW).unwrap_err();
    assert_eq!(refused, Refusal::NoSuchPartition(gone));
}

#[test]
fn a_start_alone_proves_how_far_a_partition_came() {
    let mut judge = judge_with_topic();
    let mut changes = Changes::default();
    let Commit { appends, .. } = start(partition(16, 1), 700);
    changes.read(PartitionId::SEGMENTS, &appends[0].batch).unwrap();
    judge.apply(&changes);
    let next = judge.judge(to(partition(16, 1), 1), NOW).unwrap();
    assert_eq!(next.entry.appends[0].envelope.base_offset, Offset(700));
}

fn deployment(name: &str, id: u64, world: World, there: bool) -> Commit {
    let record = DeploymentRecord {
        id: DeploymentId(id),
        world,
        active_version: 1,
        state: DeploymentState::Running,
        limits: ModuleLimits::default(),
    };
    catalog(&[CatalogRecord::Deployment(name.parse().unwrap(), there.then_some(record))])
}

#[test]
fn what_a_consumer_remembers_has_its_place_as_long_as_the_deployment() {
    let mut judge = Judge::default();
    let memory = [PartitionId::claims_of, PartitionId::state_of].map(|of| of(DeploymentId(9)));
    let memory = memory.map(Option::unwrap);
    let mut refused = |commit| judge.judge(commit, NOW).is_err();
    assert!(memory.iter().all(|it| refused(to(*it, 1))), "there is no deployment yet");
    assert!(!refused(deployment("a", 9, World::Consumer, true)));
    assert!(memory.iter().all(|it| !refused(to(*it, 1))));
    // A new version of it changes nothing.
    assert!(!refused(deployment("a", 9, World::Consumer, true)));
    assert!(memory.iter().all(|it| !refused(to(*it, 1))));
    assert!(!refused(deployment("a", 9, World::Consumer, false)));
    assert!(memory.iter().all(|it| refused(to(*it, 1))), "the deployment is deleted");
    // A later one of the name has places of its own, and only consumers have some.
    assert!(!refused(deployment("a", 10, World::Consumer, true)));
    assert!(memory.iter().all(|it| refused(to(*it, 1))));
    assert!(!refused(deployment("r", 11, World::Router, true)));
    assert!(refused(to(PartitionId::claims_of(DeploymentId(11)).unwrap(), 1)));
    assert_eq!(PartitionId::claims_of(DeploymentId(1 << 32)), None);
}
