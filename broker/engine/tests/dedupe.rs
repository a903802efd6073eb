//! A record of each idempotency key is stored once in the window of its topic.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill_engine::clock::{Clock, TimeSource};
use logmill_engine::{Ack, Engine, Error, Options, Produce, Subscribe};
use logmill_log::faulty::FaultyStorage;
use logmill_model::{
    Compression, DuplicateRecord, Header, Offset, Position, ProducerIdentity, ProducerStamp,
    Record, RecordBatch, Timestamp, TopicPolicy,
};
use tempfile::TempDir;

use harness::{options, topic};

const WINDOW_MS: u64 = 60_000;

/// A clock whose hands the test moves.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl TimeSource for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn since_boot_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

async fn open(storage: &FaultyStorage, modules: &TempDir, hands: &Hands) -> Engine {
    let clock = Clock::of(Box::new(hands.clone()));
    let retention_interval = Duration::from_secs(3600);
    let options = Options { clock, retention_interval, ..options(storage, modules.path()) };
    Engine::open(options).await.unwrap()
}

async fn create(engine: &Engine) {
    let policy = TopicPolicy { dedupe_window_ms: Some(WINDOW_MS), ..TopicPolicy::default() };
    engine.create_topic(&topic(), 2, policy).await.unwrap();
}

fn record(key: &str) -> Record {
    let headers = match key {
        "" => Vec::new(),
        key => vec![Header::new("idempotency-key", key.to_owned())],
    };
    Record { value: Some(format!("of {key}").into()), headers, ..Record::default() }
}

/// A batch with records of these keys; an empty one is none.
fn batch(keys: &[&str]) -> RecordBatch {
    RecordBatch::of(&keys.iter().map(|key| record(key)).collect::<Vec<_>>()).unwrap()
}

async fn send(engine: &Engine, partition: u32, keys: &[&str]) -> Ack {
    let batch = batch(keys).compress(Compression::Zstd);
    engine.produce(&topic(), partition, batch).await.unwrap().await.unwrap()
}

fn duplicate(index: u32, partition: u32, offset: u64) -> DuplicateRecord {
    DuplicateRecord { index, partition, offset: Offset(offset) }
}

async fn values(engine: &Engine, partition: u32) -> Vec<String> {
    let wanted = Subscribe { topic: topic(), partition, from: Position::Earliest, filter: None };
    let mut subscription = engine.subscribe(wanted).await.unwrap();
    let end = engine.topic(&topic()).unwrap().partitions[partition as usize].end;
    let (mut values, mut next) = (Vec::new(), Offset(0));
    while next < end {
        for stored in subscription.next(1 << 20).await.unwrap().batches {
            let records = stored.batch.decompressed(1 << 21).unwrap();
            for (delta, record) in records.to_records() {
                let at = RecordBatch::offset_at(stored.envelope.base_offset, delta);
                assert_eq!(at.0, values.len() as u64, "offsets are dense");
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
            next = stored.envelope.end_offset();
        }
    }
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_stored_once_in_the_window_of_all_partitions_and_across_power_cuts() {
    let (storage, modules, hands) =
        (FaultyStorage::new(), tempfile::tempdir().unwrap(), Hands::new());
    let mut engine = open(&storage, &modules, &hands).await;
    create(&engine).await;
    let first = send(&engine, 0, &["a", "", "b"]).await;
    assert_eq!((first.base_offset, first.duplicates), (Offset(0), vec![]));
    hands.pass(WINDOW_MS / 2);
    for round in 0..2 {
        // Another partition, a key twice in a batch, and one without a key.
        let ack = send(&engine, 1, &["b", "c", "", "c", "a"]).await;
        let expected = match round {
            0 => vec![duplicate(0, 0, 2), duplicate(3, 1, 0), duplicate(4, 0, 0)],
            _ => {
                vec![duplicate(0, 0, 2), duplicate(1, 1, 0), duplicate(3, 1, 0), duplicate(4, 0, 0)]
            }
        };
        assert_eq!((ack.base_offset, ack.duplicates), (Offset(round * 2), expected));
        let all = send(&engine, 0, &["a", "b"]).await;
        assert_eq!(all.duplicates, [duplicate(0, 0, 0), duplicate(1, 0, 2)]);
        drop(engine);
        storage.power_cut(round);
        engine = open(&storage, &modules, &hands).await;
    }
    assert_eq!(values(&engine, 0).await, ["of a", "of ", "of b"]);
    assert_eq!(values(&engine, 1).await, ["of c", "of ", "of "]);
    // To the millisecond, by the time of entries.
    hands.pass(WINDOW_MS / 2 - 1);
    assert_eq!(send(&engine, 0, &["a"]).await.duplicates, [duplicate(0, 0, 0)]);
    hands.pass(1);
    let again = send(&engine, 0, &["a", "c"]).await;
    assert_eq!((again.base_offset, again.duplicates), (Offset(3), vec![duplicate(1, 1, 0)]));
    hands.pass(WINDOW_MS - 1);
    drop(engine);
    storage.power_cut(7);
    let engine = open(&storage, &modules, &hands).await;
    assert_eq!(send(&engine, 1, &["a"]).await.duplicates, [duplicate(0, 0, 3)]);
    hands.pass(1);
    assert_eq!(send(&engine, 1, &["a"]).await.duplicates, []);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producers_batch_that_lost_records_is_known_with_them_also_after_a_power_cut() {
    let (storage, modules, hands) =
        (FaultyStorage::new(), tempfile::tempdir().unwrap(), Hands::new());
    let mut engine = open(&storage, &modules, &hands).await;
    create(&engine).await;
    let producer = engine.register_producer(None).await.unwrap();
    send(&engine, 1, &["x"]).await;
    let of = |it: ProducerIdentity, first_sequence, keys: &[&str]| {
        let producer = Some(ProducerStamp { id: it.id, epoch: it.epoch, first_sequence });
        Produce { producer, ..Produce::new(0, batch(keys)) }
    };
    let sent = [
        (0, vec!["a", "x", "b"], 0, vec![duplicate(1, 1, 0)]),
        (3, vec!["a", "b"], 2, vec![duplicate(0, 0, 0), duplicate(1, 0, 1)]),
        (5, vec!["c"], 2, vec![]),
    ];
    for round in 0..3 {
        for (first, keys, base, duplicates) in &sent {
            let produced = of(producer, *first, keys);
            let acks = engine.produce_all(&topic(), vec![produced]).await.unwrap().await;
            let ack = acks.unwrap().remove(0);
            assert_eq!((ack.was_there, ack.base_offset), (round > 0, Offset(*base)));
            assert_eq!(&ack.duplicates, duplicates);
        }
        assert_eq!(values(&engine, 0).await, ["of a", "of b", "of c"]);
        drop(engine);
        storage.power_cut(round);
        engine = open(&storage, &modules, &hands).await;
    }
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_a_window_stores_what_it_is_given() {
    let (storage, modules, hands) =
        (FaultyStorage::new(), tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(&storage, &modules, &hands).await;
    engine.create_topic(&topic(), 2, TopicPolicy::default()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(send(&engine, 0, &["a", "a"]).await.duplicates, []);
    }
    assert_eq!(values(&engine, 0).await.len(), 4);
    let compact =
        TopicPolicy { dedupe_window_ms: Some(5), compact: true, ..TopicPolicy::default() };
    let refused = engine.create_topic(&"u".parse().unwrap(), 1, compact).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    engine.shutdown().await.unwrap();
}
