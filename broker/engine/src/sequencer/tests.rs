//! When a proposer hears of what, while the disk holds its syncs back.

use std::time::Duration;

use logmill_log::Settings;
use logmill_log::faulty::FaultyStorage;
use logmill_model::internal::{CatalogRecord, TopicRecord};
use logmill_model::{Append, Offset, Precondition, ProducerStamp, RecordBatch, TopicId};

use super::*;
use crate::parts::Parts;
use crate::replay::replay;

/// A change of the catalog that holds only while `_catalog` is empty.
fn first_topic(id: u64) -> Commit {
    let (created_ts, policy) = Default::default();
    let topic = TopicRecord { id: TopicId(id), partitions: 1, created_ts, policy };
    let record = CatalogRecord::Topic(format!("t{id}").parse().unwrap(), Some(topic)).encode();
    let (partition, end) = (PartitionId::CATALOG, Offset(0));
    Commit {
        appends: vec![Append::new(partition, RecordBatch::of([&record]).unwrap())],
        preconditions: vec![Precondition::EndOffset { partition, end }],
        ..Commit::default()
    }
}

/// Polls a ticket after all that was proposed before it was sequenced.
async fn is_pending(ticket: &mut Ticket) -> bool {
    tokio::select! {
        biased;
        _ = ticket => false,
        () = tokio::task::yield_now() => true,
    }
}

#[tokio::test]
async fn neither_an_ack_nor_a_refusal_that_rests_on_it_comes_before_the_sync() {
    let storage = FaultyStorage::new();
    let opened = replay(Arc::new(storage.clone()), Settings::default()).unwrap();
    let started = Parts::start(opened.0, opened.1, Clock::machine()).unwrap();
    let crate::parts::Started { parts, thread, .. } = started;

    storage.hold_syncs();
    let mut accepted = parts.sequencer.propose(first_topic(16)).await.unwrap();
    let mut refused = parts.sequencer.propose(first_topic(17)).await.unwrap();
    // The thread ends when both were judged, and the journal waits for the sync.
    let closing = parts.sequencer.clone();
    closing.close().await;
    let waits = storage.clone();
    tokio::task::spawn_blocking(move || waits.wait_for_held_sync()).await.unwrap();
    assert!(is_pending(&mut accepted).await);
    assert!(is_pending(&mut refused).await);
    assert_eq!(parts.log.end_offset(PartitionId::CATALOG), Offset(0));

    storage.release_syncs();
    let soon = Duration::from_secs(60);
    let accepted = tokio::time::timeout(soon, accepted).await.unwrap();
    assert!(matches!(accepted, Outcome::Committed(_)), "{accepted:?}");
    assert_eq!(parts.log.end_offset(PartitionId::CATALOG), Offset(1));
    let end_moved = Refusal::EndMoved { partition: PartitionId::CATALOG, end: Offset(1) };
    let refused = tokio::time::timeout(soon, refused).await.unwrap();
    assert_eq!(refused, Outcome::Refused(end_moved));
    parts.pool.close();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap().unwrap();
}

/// A batch of a producer, its first one to `_catalog`: any partition will do.
fn first_batch(it: ProducerIdentity) -> Commit {
    let mut commit = first_topic(16);
    commit.preconditions.clear();
    commit.appends[0].producer =
        Some(ProducerStamp { id: it.id, epoch: it.epoch, first_sequence: 0 });
    commit
}

#[tokio::test]
async fn a_duplicate_is_answered_once_its_original_is_durable_and_with_its_offset() {
    let storage = FaultyStorage::new();
    let opened = replay(Arc::new(storage.clone()), Settings::default()).unwrap();
    let started = Parts::start(opened.0, opened.1, Clock::machine()).unwrap();
    let crate::parts::Started { parts, thread, .. } = started;
    let (_, producer) = parts.sequencer.register(None).await.unwrap();
    let producer = producer.unwrap();

    storage.hold_syncs();
    let mut original = parts.sequencer.propose(first_batch(producer)).await.unwrap();
    let mut duplicate = parts.sequencer.propose(first_batch(producer)).await.unwrap();
    let closing = parts.sequencer.clone();
    closing.close().await;
    let waits = storage.clone();
    tokio::task::spawn_blocking(move || waits.wait_for_held_sync()).await.unwrap();
    assert!(is_pending(&mut original).await);
    assert!(is_pending(&mut duplicate).await);

    storage.release_syncs();
    let soon = Duration::from_secs(60);
    let original = tokio::time::timeout(soon, original).await.unwrap();
    let Outcome::Committed(committed) = original else { panic!("{original:?}") };
    let duplicate = tokio::time::timeout(soon, duplicate).await.unwrap();
    let Outcome::Refused(Refusal::Duplicate(known)) = duplicate else { panic!("{duplicate:?}") };
    assert_eq!((known[0].base_offset, known[0].csn), (committed.base_offsets[0], committed.csn));
    assert_eq!(parts.log.end_offset(PartitionId::CATALOG), Offset(1));
    parts.pool.close();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap().unwrap();
}
