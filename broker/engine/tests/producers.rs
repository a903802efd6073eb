//! What producers have sent is appended once, whatever happens to the journal between two tries.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::time::Duration;

use logmill_engine::{Ack, Engine, Error, Produce};
use logmill_log::faulty::FaultyStorage;
use logmill_model::{
    Offset, OnFull, ProducerIdentity, ProducerStamp, Record, RecordBatch, Refusal, TopicPolicy,
};
use tempfile::TempDir;

use harness::{options, topic};

const DEADLINE: Duration = Duration::from_secs(60);

async fn open(storage: &FaultyStorage, modules: &TempDir) -> Engine {
    Engine::open(options(storage, modules.path())).await.unwrap()
}

fn batch(records: usize, bytes: usize) -> RecordBatch {
    let record = Record { value: Some(vec![b'x'; bytes].into()), ..Record::default() };
    RecordBatch::of(&vec![record; records]).unwrap()
}

async fn send_all(engine: &Engine, batches: Vec<Produce>) -> Result<Vec<Ack>, Error> {
    engine.produce_all(&topic(), batches).await?.await
}

/// A batch of two records to a partition.
fn of(it: ProducerIdentity, partition: u32, first_sequence: u64) -> Produce {
    let producer = Some(ProducerStamp { id: it.id, epoch: it.epoch, first_sequence });
    Produce { producer, ..Produce::new(partition, batch(2, 10)) }
}

async fn send(engine: &Engine, it: ProducerIdentity, first: u64) -> Result<(Offset, bool), Error> {
    let ack = send_all(engine, vec![of(it, 0, first)]).await?.remove(0);
    Ok((ack.base_offset, ack.was_there))
}

/// Gives the log so much to do that all that is in its files now can go, and waits until it is gone.
async fn turn_over(engine: &Engine) {
    let removed = engine.watch_cleaner().borrow().files_removed;
    for _ in 0..200 {
        send_all(engine, vec![Produce::new(0, batch(1, 1000))]).await.unwrap();
    }
    let mut stats = engine.watch_cleaner();
    let cleaned = stats.wait_for(|stats| stats.files_removed > removed + 8);
    tokio::time::timeout(DEADLINE, cleaned).await.expect("the log is cleaned").unwrap();
}

async fn create(engine: &Engine, partitions: u32) {
    let policy = TopicPolicy { retention_bytes: Some(20_000), ..TopicPolicy::default() };
    engine.create_topic(&topic(), partitions, policy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_known_after_the_files_that_prove_it_are_gone_and_the_power_was_cut() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    create(&engine, 1).await;
    let name = Some("billing".parse().unwrap());
    let producer = engine.register_producer(name.clone()).await.unwrap();
    for n in 0..20 {
        let sent = send(&engine, producer, n * 2).await.unwrap();
        assert_eq!(sent, (Offset(n * 2), false));
    }
    for _ in 0..4 {
        turn_over(&engine).await;
    }
    let start = engine.topic(&topic()).unwrap().partitions[0].start;
    assert!(start > Offset(40), "what it has sent is not there any more: {start}");
    let old = send(&engine, producer, 0).await;
    assert!(matches!(old, Err(Error::Refused(Refusal::OldDuplicate { .. }))), "{old:?}");
    let gap = send(&engine, producer, 42).await;
    assert!(
        matches!(gap, Err(Error::Refused(Refusal::SequenceGap { last: Some(39), .. }))),
        "{gap:?}"
    );
    drop(engine);
    storage.power_cut(7);
    let engine = open(&storage, &modules).await;
    for n in 4..20 {
        assert_eq!(send(&engine, producer, n * 2).await.unwrap(), (Offset(n * 2), true));
    }
    let end = engine.topic(&topic()).unwrap().partitions[0].end;
    assert_eq!(send(&engine, producer, 40).await.unwrap(), (end, false));
    let other = engine.register_producer(None).await.unwrap();
    let next = engine.register_producer(name).await.unwrap();
    assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 1));
    assert!(other.id > producer.id && other.epoch == 1);
    let fenced = send(&engine, producer, 42).await;
    assert!(matches!(fenced, Err(Error::Refused(Refusal::Fenced { .. }))), "{fenced:?}");
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_never_given_twice_and_each_start_knows_what_was_sent_before_it() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let (mut known, mut ids) = (Vec::new(), std::collections::BTreeSet::new());
    for start in 0..6 {
        let engine = open(&storage, &modules).await;
        if start == 0 {
            create(&engine, 1).await;
        }
        for (producer, offset) in &known {
            assert_eq!(send(&engine, *producer, 0).await.unwrap(), (*offset, true));
        }
        for _ in 0..3 {
            let producer = engine.register_producer(None).await.unwrap();
            assert!(ids.insert(producer.id), "{producer:?}");
            known.push((producer, send(&engine, producer, 0).await.unwrap().0));
        }
        turn_over(&engine).await;
        if start % 2 == 0 {
            engine.shutdown().await.unwrap();
        }
        drop(engine);
        storage.power_cut(start);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_for_several_partitions_are_appended_all_or_none_and_once() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    create(&engine, 3).await;
    let producer = engine.register_producer(None).await.unwrap();
    let all = |first| (0..3).map(|partition| of(producer, partition, first)).collect::<Vec<_>>();
    let ends = || {
        let partitions = engine.topic(&topic()).unwrap().partitions;
        partitions.iter().map(|it| it.end.0).collect::<Vec<_>>()
    };
    let acks = send_all(&engine, all(0)).await.unwrap();
    assert!(acks.iter().all(|ack| ack.csn == acks[0].csn && ack.base_offset == Offset(0)));
    let again = send_all(&engine, all(0)).await.unwrap();
    assert!(again.iter().all(|ack| ack.was_there && ack.csn == acks[0].csn));
    assert_eq!(ends(), [2, 2, 2]);
    // One that is out of turn, or expects another end, refuses them all.
    let mut gap = all(2);
    gap[1] = of(producer, 1, 4);
    let gap = send_all(&engine, gap).await;
    assert!(matches!(gap, Err(Error::Refused(Refusal::SequenceGap { .. }))), "{gap:?}");
    let mut moved = all(2);
    moved[2].expected_end = Some(Offset(1));
    let moved = send_all(&engine, moved).await;
    assert!(
        matches!(moved, Err(Error::Refused(Refusal::EndMoved { end: Offset(2), .. }))),
        "{moved:?}"
    );
    let mut half = all(2);
    half[0] = of(producer, 0, 0);
    let half = send_all(&engine, half).await;
    assert!(matches!(half, Err(Error::Refused(Refusal::Invalid { .. }))), "{half:?}");
    assert_eq!(ends(), [2, 2, 2]);
    let mut expected = all(2);
    expected[2].expected_end = Some(Offset(2));
    send_all(&engine, expected.clone()).await.unwrap();
    // It expected an end that its own first try has moved.
    assert!(send_all(&engine, expected).await.unwrap().iter().all(|ack| ack.was_there));
    assert_eq!(ends(), [4, 4, 4]);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_is_known_where_there_is_no_room_for_more() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    let policy = TopicPolicy { retention_bytes: Some(1), ..TopicPolicy::default() };
    let policy = TopicPolicy { on_full: OnFull::Reject, ..policy };
    engine.create_topic(&topic(), 1, policy).await.unwrap();
    let producer = engine.register_producer(None).await.unwrap();
    assert_eq!(send(&engine, producer, 0).await.unwrap(), (Offset(0), false));
    let more = send(&engine, producer, 2).await;
    assert!(matches!(more, Err(Error::TopicFull { .. })), "{more:?}");
    assert_eq!(send(&engine, producer, 0).await.unwrap(), (Offset(0), true));
    engine.shutdown().await.unwrap();
}
