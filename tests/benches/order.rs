//! What keys that fail for ever cost those that don't, under `order = key`.
//!
//! ```text
//! cargo bench -p logmill-tests --bench order
//! ```
//!
//! A lane handles `LOGMILL_BENCH_RECORDS` records (500,000 unless told) of 10,000 keys, once with no failures and
//! once with one key in a hundred failing at every attempt, with the backoff that a deployment has
//! unless told. The time is until all records of healthy keys have their outcome. Both runs are repeated in turn,
//! `LOGMILL_BENCH_RUNS` times (3). `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use logmill_engine::Engine;
use logmill_model::{
    BatchBuilder, DeployRequest, DeploymentName, Order, Position, Record, TopicPolicy, World,
};
use logmill_tests::{guest, measure};

const KEYS: u64 = 10_000;
/// One key in so many fails.
const FAILING: u64 = 100;
const PER_BATCH: u64 = 500;
const BAR: f64 = 0.9;

fn record(number: u64, fails: bool) -> Record {
    let key = number * 7919 % KEYS;
    let what = if fails && key.is_multiple_of(FAILING) { "fail" } else { "none" };
    Record {
        key: Some(format!("key-{key}").into()),
        value: Some(format!("{number} {what}").into()),
        ..Record::default()
    }
}

async fn produce(engine: &Engine, records: u64, fails: bool) {
    engine.create_topic(&measure::topic(), 1, TopicPolicy::default()).await.unwrap();
    let mut acks = Vec::new();
    for first in (0..records).step_by(usize::try_from(PER_BATCH).unwrap()) {
        let mut batch = BatchBuilder::default();
        for number in first..(first + PER_BATCH).min(records) {
            batch.push(&record(number, fails)).unwrap();
        }
        acks.push(engine.produce(&measure::topic(), 0, batch.seal()).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
}

/// How long the healthy keys took, and how many records were parked at most.
async fn run(component: &[u8], records: u64, fails: bool) -> (Duration, u64) {
    let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
    let engine = measure::engine(folder.path()).await;
    produce(&engine, records, fails).await;
    let healthy = (0..records).filter(|it| record(*it, fails).value.unwrap().ends_with(b"none"));
    let healthy = healthy.count() as u64;
    let module = engine.upload_module(component.to_vec().into()).await.unwrap();
    let name: DeploymentName = "bench".parse().unwrap();
    let started = Instant::now();
    engine
        .deploy(DeployRequest {
            world: Some(World::Consumer),
            on: Some(vec![measure::topic()]),
            from: Some(Position::Earliest),
            order: Some(Order::Key),
            ..DeployRequest::new(name.clone(), module.digest)
        })
        .await
        .unwrap();
    let mut parked = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    loop {
        ticks.tick().await;
        let described = engine.describe_deployment(&name).unwrap();
        parked = parked.max(described.lanes.iter().map(|lane| lane.parked).sum());
        if described.counts.done >= healthy {
            break;
        }
    }
    let took = started.elapsed();
    engine.shutdown().await.unwrap();
    (took, parked)
}

#[tokio::main]
async fn main() {
    let records = measure::setting("LOGMILL_BENCH_RECORDS", 500_000);
    let runs = measure::setting("LOGMILL_BENCH_RUNS", 3);
    let component = std::fs::read(guest("scripted").await).unwrap();
    let mut out = std::io::stdout().lock();
    let (mut ratios, healthy) = (Vec::new(), records - records / FAILING);
    for _ in 0..runs {
        let (without, _) = run(&component, records, false).await;
        let (with, parked) = run(&component, records, true).await;
        let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
        let (plain, healthy) = (rate(records, without), rate(healthy, with));
        ratios.push(healthy / plain);
        writeln!(
            out,
            "no failures: {plain:.0} records/s; healthy keys beside failing ones: {healthy:.0}, {:.2} of that; \
             {parked} parked at most",
            healthy / plain
        )
        .unwrap();
    }
    let [middle, least, most] = measure::middle(&ratios);
    writeln!(out, "ratio {middle:.2} ({least:.2} to {most:.2}); the bar is {BAR}").unwrap();
}
