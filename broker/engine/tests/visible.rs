//! Readers of every kind watch an engine whose machine loses its power at one sync after another:
//! what any of them was shown is there afterwards, byte for byte (A8).

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use logmill_engine::{Ack, Engine, Error, Options, Subscribe};
use logmill_log::StoredBatch;
use logmill_log::faulty::FaultyStorage;
use logmill_model::{Offset, Position, Record, RecordBatch, TopicPolicy};
use tempfile::TempDir;

use harness::{options, topic};

const PARTITIONS: u32 = 3;
const PRODUCERS: u64 = 3;
const BATCHES: u64 = 40;
const SEEDS: u64 = 8;

/// What anybody was shown.
#[derive(Default)]
struct Shown {
    /// Batches, by partition and base offset.
    batches: BTreeMap<(u32, Offset), StoredBatch>,
    /// Ends, by partition; a topic that was described has them all.
    ends: BTreeMap<u32, Offset>,
    acked: Vec<(u32, Offset, RecordBatch)>,
}

type SharedShown = Arc<Mutex<Shown>>;

async fn open(storage: &FaultyStorage, modules: &TempDir) -> Result<Engine, Error> {
    let retention_interval = std::time::Duration::from_secs(1);
    Engine::open(Options { retention_interval, ..options(storage, modules.path()) }).await
}

fn describe(engine: &Engine, shown: &SharedShown) {
    // Under the lock: an end that is noted in between would be above what is told here.
    let mut shown = shown.lock().unwrap();
    let Ok(described) = engine.topic(&topic()) else { return };
    for it in described.partitions {
        let end = shown.ends.entry(it.partition).or_default();
        assert!(*end <= it.end, "an end went back");
        *end = it.end;
    }
}

/// Follows a partition until nothing can be read any more.
async fn follow(engine: Engine, partition: u32, shown: SharedShown) {
    let wanted = Subscribe { topic: topic(), partition, from: Position::Earliest, filter: None };
    let Ok(mut subscription) = engine.subscribe(wanted).await else { return };
    while let Ok(chunk) = subscription.next(3000).await {
        let mut shown = shown.lock().unwrap();
        let seen = shown.ends.entry(partition).or_default();
        *seen = (*seen).max(chunk.end);
        for batch in chunk.batches {
            shown.batches.insert((partition, batch.envelope.base_offset), batch);
        }
    }
}

async fn produce(engine: Engine, producer: u64, shown: SharedShown) -> Result<(), Error> {
    let mut waiting = Vec::new();
    for number in 0..BATCHES {
        let partition =
            u32::try_from((producer + number * number) % u64::from(PARTITIONS)).unwrap();
        let value =
            |index| format!("{producer}/{number}/{index}").repeat(1 + (number % 15) as usize * 5);
        let record = |index| Record { value: Some(value(index).into()), ..Record::default() };
        let records: Vec<Record> = (0..1 + number % 4).map(record).collect();
        let batch = RecordBatch::of(&records).unwrap();
        let ack = engine.produce(&topic(), partition, batch.clone()).await?;
        waiting.push((partition, batch, ack));
        if number % 3 == producer % 3 {
            for (partition, batch, ack) in waiting.drain(..) {
                let Ack { base_offset, .. } = ack.await?;
                shown.lock().unwrap().acked.push((partition, base_offset, batch));
            }
            describe(&engine, &shown);
        }
    }
    Ok(())
}

/// Runs until the power goes at the `nth` sync; tells whether it went.
async fn run(storage: &FaultyStorage, modules: &TempDir, nth: u64, shown: &SharedShown) -> bool {
    storage.stop_at_sync(nth);
    let Ok(engine) = open(storage, modules).await else { return true };
    let created = engine.create_topic(&topic(), PARTITIONS, TopicPolicy::default()).await;
    describe(&engine, shown);
    let follow = |partition| follow(engine.clone(), partition, Arc::clone(shown));
    let readers: Vec<_> = (0..PARTITIONS).map(|it| tokio::spawn(follow(it))).collect();
    let produce = |producer| produce(engine.clone(), producer, Arc::clone(shown));
    let producers: Vec<_> = (0..PRODUCERS).map(|it| tokio::spawn(produce(it))).collect();
    let mut cut = created.is_err();
    for producer in producers {
        cut |= producer.await.unwrap().is_err();
    }
    describe(&engine, shown);
    if !cut {
        storage.stop_at_sync(1);
    }
    // The disk is dead: the engine is told so, and writes nothing more.
    let _ = engine.shutdown().await;
    readers.into_iter().for_each(|reader| reader.abort());
    cut
}

async fn check(storage: &FaultyStorage, modules: &TempDir, shown: &Shown) -> Result<(), String> {
    let engine = open(storage, modules).await.map_err(|error| error.to_string())?;
    let mut there = Shown::default();
    if !shown.ends.is_empty() {
        let described = engine.topic(&topic()).map_err(|error| error.to_string())?;
        for it in described.partitions {
            let seen = shown.ends.get(&it.partition).copied().unwrap_or_default();
            if it.end < seen {
                return Err(format!(
                    "partition {} ended at {seen}, now at {}",
                    it.partition, it.end
                ));
            }
            let wanted = Subscribe {
                topic: topic(),
                partition: it.partition,
                from: Position::Earliest,
                filter: None,
            };
            let mut subscription = engine.subscribe(wanted).await.unwrap();
            while subscription.position() < it.end {
                let chunk = subscription.next(1 << 20).await.map_err(|error| error.to_string())?;
                let batches = chunk.batches.into_iter();
                let placed =
                    batches.map(|batch| ((it.partition, batch.envelope.base_offset), batch));
                there.batches.extend(placed);
            }
        }
    }
    for (place, batch) in &shown.batches {
        if there.batches.get(place) != Some(batch) {
            return Err(format!("what was read at {place:?} is gone or altered"));
        }
    }
    for (partition, offset, batch) in &shown.acked {
        if there.batches.get(&(*partition, *offset)).map(|it| &it.batch) != Some(batch) {
            return Err(format!(
                "what was acknowledged at {partition}/{offset} is gone or altered"
            ));
        }
    }
    engine.shutdown().await.map_err(|error| error.to_string())
}

/// All cuts of some histories; the first complaint ends it. Returns how many cuts and batches
/// that were read there were.
async fn cut_everywhere(prepare: impl Fn(&FaultyStorage)) -> Result<(u64, usize), String> {
    let modules = tempfile::tempdir().unwrap();
    let (mut cuts, mut read) = (0, 0);
    for seed in 0..SEEDS {
        for nth in 1.. {
            let (storage, shown) = (FaultyStorage::new(), SharedShown::default());
            prepare(&storage);
            let cut = run(&storage, &modules, nth, &shown).await;
            storage.power_cut(seed << 32 | nth);
            let shown = std::mem::take(&mut *shown.lock().unwrap());
            check(&storage, &modules, &shown)
                .await
                .map_err(|what| format!("seed {seed}, sync {nth}: {what}"))?;
            read += shown.batches.len();
            if !cut {
                break;
            }
            cuts += 1;
        }
    }
    Ok((cuts, read))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_reader_was_shown_is_missing_after_a_power_cut() {
    let (cuts, read) = cut_everywhere(|_| {}).await.unwrap();
    assert!(cuts > 20 * SEEDS, "only {cuts} cuts");
    assert!(read > 100, "the readers saw only {read} batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_syncs_switched_off_the_same_run_reports_what_is_missing() {
    cut_everywhere(FaultyStorage::switch_off_data_syncs).await.unwrap_err();
    cut_everywhere(FaultyStorage::switch_off_folder_syncs).await.unwrap_err();
}
