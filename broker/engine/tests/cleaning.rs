//! The housekeeper at work under an engine: space comes back by itself, what counts stays, and a
//! crash at any of its steps loses nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_engine::{CleanerStats, Engine, Subscribe};
use logmill_log::faulty::FaultyStorage;
use logmill_model::{Offset, PolicyChange, Position, Record, RecordBatch, TopicName, TopicPolicy};
use tempfile::TempDir;

use harness::{options, topic};

const DEADLINE: Duration = Duration::from_secs(60);
const KEYS: u64 = 8;

async fn open(storage: &FaultyStorage, modules: &TempDir) -> Engine {
    try_open(storage, modules).await.unwrap()
}

async fn try_open(
    storage: &FaultyStorage,
    modules: &TempDir,
) -> Result<Engine, logmill_engine::Error> {
    Engine::open(options(storage, modules.path())).await
}

async fn create(engine: &Engine, name: &TopicName, compact: bool) {
    create_with(engine, name, TopicPolicy { compact, ..TopicPolicy::default() }).await;
}

async fn create_with(engine: &Engine, name: &TopicName, policy: TopicPolicy) {
    engine.create_topic(name, 1, policy).await.unwrap();
}

/// The value of a key's `n`th record.
fn value(n: u64) -> Vec<u8> {
    let word = |at: u64| (n << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..60).flat_map(word).collect()
}

/// Sets keys to the values of these numbers; returns how many were acknowledged.
async fn produce(engine: &Engine, name: &TopicName, numbers: std::ops::Range<u64>) -> u64 {
    let begin = numbers.start;
    for n in numbers {
        let key = format!("key {}", n % KEYS);
        let record =
            Record { key: Some(key.into()), value: Some(value(n).into()), ..Record::default() };
        let batch = RecordBatch::of([&record]).unwrap();
        let Ok(ack) = engine.produce(name, 0, batch).await else { return n - begin };
        if ack.await.is_err() {
            return n - begin;
        }
    }
    u64::MAX
}

async fn wait(engine: &Engine, happened: impl Fn(&CleanerStats) -> bool) -> CleanerStats {
    let mut stats = engine.watch_cleaner();
    let waiting = stats.wait_for(|stats| happened(stats));
    *tokio::time::timeout(DEADLINE, waiting).await.expect("it does not happen").unwrap()
}

/// The last value of each key, as who reads from the start has it, and how many records there are.
async fn read(engine: &Engine) -> (BTreeMap<Vec<u8>, Vec<u8>>, usize) {
    let wanted = Subscribe { topic: topic(), partition: 0, from: Position::Earliest, filter: None };
    let mut subscription = engine.subscribe(wanted).await.unwrap();
    let end = engine.topic(&topic()).unwrap().partitions[0].end;
    let (mut state, mut records, mut next) = (BTreeMap::new(), 0, Offset(0));
    while next < end {
        for stored in subscription.next(1 << 20).await.unwrap().batches {
            for (_, record) in stored.batch.plain().unwrap().to_records() {
                state.insert(record.key.unwrap().to_vec(), record.value.unwrap().to_vec());
                records += 1;
            }
            next = stored.envelope.end_offset();
        }
    }
    (state, records)
}

fn expected(written: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    (0..written).map(|n| (format!("key {}", n % KEYS).into_bytes(), value(n))).collect()
}

fn bytes_on(storage: &FaultyStorage) -> usize {
    let bytes = |path: &String| storage.contents(path).map_or(0, |it| it.len());
    storage.paths().iter().map(bytes).sum()
}

/// Waits until the files take less than this: what the cleaner makes at the time, and the files that are
/// made ahead, come and go.
async fn shrinks_below(storage: &FaultyStorage, bytes: usize) {
    let shrinks = async {
        while bytes_on(storage) >= bytes {
            tokio::task::yield_now().await;
        }
    };
    let shrunk = tokio::time::timeout(DEADLINE, shrinks).await;
    assert!(shrunk.is_ok(), "{} bytes are there, not below {bytes}", bytes_on(storage));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_shrinks_by_itself_and_keeps_its_last_values() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    create(&engine, &topic(), true).await;
    produce(&engine, &topic(), 0..400).await;
    let stats = wait(&engine, |stats| stats.segments > 0 && stats.bytes_won > 100_000).await;
    assert!(stats.files_removed > 5 && stats.bytes > 200_000, "{stats:?}");
    let (state, records) = read(&engine).await;
    assert_eq!(state, expected(400));
    assert!(records < 200, "{records} records");
    engine.shutdown().await.unwrap();
    drop(engine);
    storage.restart();
    let again = open(&storage, &modules).await;
    assert_eq!(read(&again).await, (state, records));
    again.shutdown().await.unwrap();
}

/// Nothing is produced after it, and no file is sealed: the policy alone is news.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_compacted_as_soon_as_its_policy_says_so() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    create(&engine, &topic(), false).await;
    produce(&engine, &topic(), 0..400).await;
    // It has looked at all sealed files when it is quiet for long.
    let mut stats = engine.watch_cleaner();
    while tokio::time::timeout(Duration::from_secs(1), stats.changed()).await.is_ok() {}
    assert_eq!(stats.borrow().files_removed, 0, "all of it is needed");
    let compact = PolicyChange { compact: Some(true), ..PolicyChange::default() };
    engine.alter_topic(&topic(), &compact).await.unwrap();
    wait(&engine, |stats| stats.segments > 0 && stats.bytes_won > 100_000).await;
    assert_eq!(read(&engine).await.0, expected(400));
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_space_of_a_deleted_topic_comes_back() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    let other: TopicName = "other".parse().unwrap();
    create(&engine, &topic(), false).await;
    create(&engine, &other, false).await;
    produce(&engine, &other, 0..20).await;
    produce(&engine, &topic(), 0..400).await;
    produce(&engine, &other, 20..60).await;
    let bytes = bytes_on(&storage);
    engine.delete_topic(&topic()).await.unwrap();
    wait(&engine, |stats| stats.bytes_won > 150_000).await;
    shrinks_below(&storage, bytes - 150_000).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    storage.restart();
    let again = open(&storage, &modules).await;
    assert_eq!(again.topic(&other).unwrap().partitions[0].end, Offset(60));
    again.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_space_of_what_retention_has_taken_comes_back() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    let policy = TopicPolicy { retention_bytes: Some(20_000), ..TopicPolicy::default() };
    create_with(&engine, &topic(), policy).await;
    produce(&engine, &topic(), 0..400).await;
    wait(&engine, |stats| stats.bytes_won > 150_000).await;
    shrinks_below(&storage, 120_000).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    storage.restart();
    let again = open(&storage, &modules).await;
    let partition = again.topic(&topic()).unwrap().partitions[0];
    assert!(partition.start > Offset(300) && partition.end == Offset(400), "{partition:?}");
    again.shutdown().await.unwrap();
}

/// Lives of an engine that produces and cleans at once, each ended at some operation by a power cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_value_is_lost_when_the_power_goes_while_it_cleans() {
    let (storage, modules) = (FaultyStorage::new(), tempfile::tempdir().unwrap());
    let engine = open(&storage, &modules).await;
    create(&engine, &topic(), true).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    storage.restart();
    let (mut acked, mut jobs) = (0, 0);
    for life in 0..24_u64 {
        storage.stop_at_operation(60 + life * 97 % 1200, life);
        if let Ok(engine) = try_open(&storage, &modules).await {
            // What was in flight may be there: numbers go on from the partition's end.
            let begin = engine.topic(&topic()).unwrap().partitions[0].end.0;
            assert!((acked..=acked + 1).contains(&begin), "{begin}, {acked} acknowledged");
            let more = produce(&engine, &topic(), begin..begin + 300).await;
            acked = begin + more.min(300);
            tokio::select! {
                _ = wait(&engine, |stats| stats.jobs + stats.failed_jobs > 2) => {}
                _ = engine.failed() => {}
            }
            jobs += engine.watch_cleaner().borrow().jobs;
            let _ = engine.shutdown().await;
        }
        storage.power_cut(life);
    }
    assert!(jobs > 5, "{jobs} cleanings in all lives");
    let engine = open(&storage, &modules).await;
    let end = engine.topic(&topic()).unwrap().partitions[0].end.0;
    assert!((acked..=acked + 1).contains(&end), "{end}, {acked} acknowledged");
    assert_eq!(read(&engine).await.0, expected(end));
    engine.shutdown().await.unwrap();
}
