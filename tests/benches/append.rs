//! How fast batches become durable in the log and through the engine, without a network, beside
//! what the disk alone does with the same chunks.
//!
//! ```text
//! cargo bench -p logmill-tests --bench append
//! ```
//!
//! Log and disk take turns, some milliseconds each, so that both see the same minute of a machine
//! that does other things as well. The disk writes chunks of a batch's size, with an `fdatasync`
//! after each, and chunks of the size that the log wrote to a sync, which it chooses by what waits.
//! Below criterion's own lines stand the ratios: the middle one of all samples, and the range. Times
//! are of one batch of 64 records of 1 KiB. `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::io::Write as _;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use logmill_engine::Engine;
use logmill_log::Stats;
use logmill_model::RecordBatch;
use logmill_tests::measure::{self, OpenLog, Producing, RawDisk};
use tokio::runtime::Runtime;

const PARTITIONS: u32 = 16;
const RECORDS: usize = 64;
const RECORD_BYTES: usize = 1024;
/// Batches without an ack where many are on their way: 4 MiB.
const MANY: u64 = 64;

/// Batches that are appended before the disk has its turn.
const fn turn(in_flight: u64) -> u64 {
    if in_flight == 1 { 16 } else { 4 * in_flight }
}

/// What takes batches and makes them durable.
trait Door {
    fn in_flight(&self) -> u64;
    fn append(&mut self, batches: u64) -> Duration;
    fn stats(&self) -> Stats;
}

struct LogDoor<'a> {
    log: OpenLog,
    batch: &'a RecordBatch,
    in_flight: u64,
}

impl Door for LogDoor<'_> {
    fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn append(&mut self, batches: u64) -> Duration {
        self.log.append(self.batch, batches, self.in_flight)
    }

    fn stats(&self) -> Stats {
        self.log.log.stats()
    }
}

struct EngineDoor<'a> {
    runtime: &'a Runtime,
    engine: Engine,
    batch: &'a RecordBatch,
    in_flight: u64,
}

impl Door for EngineDoor<'_> {
    fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn append(&mut self, batches: u64) -> Duration {
        let how = Producing { partitions: PARTITIONS, batches, in_flight: self.in_flight };
        self.runtime.block_on(measure::produce(&self.engine, self.batch, how))
    }

    fn stats(&self) -> Stats {
        self.engine.log_stats()
    }
}

/// Ratios of one bench, one for each sample.
#[derive(Default)]
struct Ratios {
    /// Of the disk in chunks of a batch.
    of_batches: Vec<f64>,
    /// Of the disk in chunks of what was written to a sync.
    of_syncs: Vec<f64>,
    sync_bytes: Vec<f64>,
}

impl Ratios {
    /// Takes a sample, and returns how long the door alone took.
    fn sample(&mut self, door: &mut dyn Door, batch: &[u8], batches: u64) -> Duration {
        let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
        let mut disk = RawDisk::new(folder.path());
        let [mut took, mut by_batches, mut by_syncs] = [Duration::ZERO; 3];
        let (before, mut left) = (door.stats(), batches);
        while left > 0 {
            let turn = left.min(turn(door.in_flight()));
            took += door.append(turn);
            by_batches += disk.write(batch, turn);
            let sync_bytes = mean_sync(before, door.stats());
            let chunk: Vec<u8> = batch.iter().copied().cycle().take(sync_bytes).collect();
            let bytes = turn as f64 * batch.len() as f64;
            let chunks = (bytes / sync_bytes as f64).ceil();
            // The last chunk is a whole one.
            by_syncs +=
                disk.write(&chunk, chunks as u64).mul_f64(bytes / (chunks * sync_bytes as f64));
            left -= turn;
        }
        // Smaller ones are criterion's warm-up, and hardly a group is full in them.
        if batches >= 2 * door.in_flight() {
            self.of_batches.push(by_batches.as_secs_f64() / took.as_secs_f64());
            self.of_syncs.push(by_syncs.as_secs_f64() / took.as_secs_f64());
            self.sync_bytes.push(mean_sync(before, door.stats()) as f64 / 1024.0);
        }
        took
    }

    fn tell(&self, name: &str) {
        if self.of_batches.is_empty() {
            // Another bench was asked for.
            return;
        }
        let mut out = std::io::stdout().lock();
        for (what, values) in [
            ("of the disk, a batch and an fdatasync each", &self.of_batches),
            ("of the disk, as much to an fdatasync as the log", &self.of_syncs),
            ("KiB to an fdatasync", &self.sync_bytes),
        ] {
            let [middle, low, high] = measure::middle(values);
            writeln!(out, "{name}: {middle:.2} ({low:.2} to {high:.2}) {what}").unwrap();
        }
        writeln!(out).unwrap();
    }
}

fn mean_sync(before: Stats, after: Stats) -> usize {
    usize::try_from((after.bytes - before.bytes) / (after.syncs - before.syncs)).unwrap()
}

fn bench_log(criterion: &mut Criterion, batch: &RecordBatch, name: &str, in_flight: u64) {
    let mut ratios = Ratios::default();
    let mut group = group(criterion, batch);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|batches| {
            let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
            let (log, _) = OpenLog::new(folder.path(), PARTITIONS);
            let mut door = LogDoor { log, batch, in_flight };
            ratios.sample(&mut door, batch.bytes(), batches)
        });
    });
    group.finish();
    ratios.tell(name);
}

fn bench_engine(criterion: &mut Criterion, batch: &RecordBatch, name: &str, in_flight: u64) {
    let mut ratios = Ratios::default();
    let runtime = Runtime::new().unwrap();
    let mut group = group(criterion, batch);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|batches| {
            let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
            let engine = runtime.block_on(async {
                let engine = measure::engine(folder.path()).await;
                measure::create_topic(&engine, PARTITIONS).await;
                engine
            });
            let mut door = EngineDoor { runtime: &runtime, engine, batch, in_flight };
            let took = ratios.sample(&mut door, batch.bytes(), batches);
            runtime.block_on(door.engine.shutdown()).unwrap();
            took
        });
    });
    group.finish();
    ratios.tell(name);
}

fn group<'a>(
    criterion: &'a mut Criterion,
    batch: &RecordBatch,
) -> criterion::BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group("append");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(20));
    group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
    group
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let batch = measure::batch(RECORDS, RECORD_BYTES);
    bench_log(&mut criterion, &batch, "log, one at a time", 1);
    bench_engine(&mut criterion, &batch, "engine, one at a time", 1);
    bench_log(&mut criterion, &batch, "log, many in flight", MANY);
    bench_engine(&mut criterion, &batch, "engine, many in flight", MANY);
    criterion.final_summary();
}
