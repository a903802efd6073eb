//! What it costs a lane to claim a key for each record, with ten million of them within the window.
//!
//! ```text
//! cargo bench -p logmill-tests --bench claims
//! ```
//!
//! Two deployments of one module, which drops what it is given, are on a topic of their own each; one
//! declares `idempotency = key`. First each is given as many records as `LOGMILL_BENCH_KEYS` says, 10
//! million unless told: what the process grows by more with keys than without is what they take. Then
//! both take turns with as many records, all of new keys. What is timed is the lane alone: the records
//! are there when it is let go. `LOGMILL_BENCH_DIR` chooses the disk.
#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logmill_engine::Engine;
use logmill_model::{
    DeployRequest, DeploymentName, Idempotency, ModuleDigest, Position, Record, RecordBatch,
    TopicName, TopicPolicy, World,
};
use logmill_tests::{guest, measure};

const BATCH: u64 = 512;
const IN_FLIGHT: usize = 64;
/// Records that are there at most, while there are to be many.
const FILL: u64 = 400_000;
/// Records of a turn.
const TURN: u64 = 150_000;
/// With all of them there are fewer keys than a deployment may have.
const TURNS: usize = 5;
const BAR_RATIO: f64 = 0.7;
const BAR_BYTES: u64 = 250_000_000;

/// A deployment on a topic of its own.
struct Side {
    engine: Engine,
    name: DeploymentName,
    topic: TopicName,
    /// How many records it was given: the next one's key.
    given: u64,
}

impl Side {
    async fn new(
        engine: &Engine,
        name: &str,
        digest: ModuleDigest,
        idempotency: Option<Idempotency>,
    ) -> Self {
        let (name, topic) = (name.parse().unwrap(), name.parse::<TopicName>().unwrap());
        engine.create_topic(&topic, 1, TopicPolicy::default()).await.unwrap();
        let request = DeployRequest {
            world: Some(World::Consumer),
            on: Some(vec![topic.clone()]),
            from: Some(Position::Earliest),
            idempotency,
            paused: true,
            ..DeployRequest::new(DeploymentName::clone(&name), digest)
        };
        engine.deploy(request).await.unwrap();
        Self { engine: engine.clone(), name, topic, given: 0 }
    }

    /// Has so many more records there.
    async fn give(&mut self, records: u64) {
        let mut acks = VecDeque::new();
        for _ in 0..records.div_ceil(BATCH) {
            let batch = self.batch();
            acks.push_back(self.engine.produce(&self.topic, 0, batch).await.unwrap());
            if acks.len() > IN_FLIGHT {
                acks.pop_front().expect("there are some").await.unwrap();
            }
        }
        for ack in acks {
            ack.await.unwrap();
        }
    }

    /// Has it handle records until it was given so many; tells by how many bytes the process grew.
    async fn fill(&mut self, records: u64) -> u64 {
        let before = measure::memory().0;
        while self.given < records {
            self.give(FILL.min(records - self.given)).await;
            self.handle().await;
        }
        measure::memory().0.saturating_sub(before)
    }

    fn batch(&mut self) -> RecordBatch {
        let first = self.given;
        self.given += BATCH;
        let record = |number: u64| Record {
            key: Some(format!("key-{number:016x}").into()),
            value: Some(Bytes::from_static(b"0 drop")),
            ..Record::default()
        };
        RecordBatch::of(&(first..self.given).map(record).collect::<Vec<_>>()).unwrap()
    }

    /// Lets it handle all that is there; tells how long that took.
    async fn handle(&self) -> Duration {
        self.engine.resume(&self.name).await.unwrap();
        let started = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        let counts = loop {
            looks.tick().await;
            let found = self.engine.describe_deployment(&self.name).unwrap();
            if found.lanes[0].lag == 0 {
                break found.counts;
            }
        };
        let took = started.elapsed();
        assert_eq!((counts.dropped, counts.duplicates), (self.given, 0));
        self.engine.pause(&self.name).await.unwrap();
        took
    }
}

#[tokio::main]
async fn main() {
    let component = guest("scripted").await;
    let folder = measure::folder(env!("CARGO_TARGET_TMPDIR"));
    run(&component, folder.path()).await;
}

async fn run(component: &Path, folder: &Path) {
    let keys = measure::setting("LOGMILL_BENCH_KEYS", 10_000_000);
    let engine = measure::engine(folder).await;
    let uploaded = engine.upload_module(std::fs::read(component).unwrap().into()).await.unwrap();
    let mut plain = Side::new(&engine, "plain", uploaded.digest, None).await;
    let mut claiming =
        Side::new(&engine, "claiming", uploaded.digest, Some(Idempotency::Key)).await;
    let mut out = std::io::stdout().lock();
    // With all caches full, so that what comes after is what the records take.
    plain.fill(4 * TURN).await;
    let [without, with] = [plain.fill(4 * TURN + keys).await, claiming.fill(keys).await];
    let taken = with.saturating_sub(without);
    let holds = if taken < BAR_BYTES { "under" } else { "OVER" };
    let mb = |bytes: u64| bytes as f64 / 1e6;
    writeln!(
        out,
        "{} keys take {:.0} MB, {:.1} bytes each, {holds} the bar of {:.0} MB; as many records without keys {:.0} MB",
        claiming.given,
        mb(taken),
        taken as f64 / claiming.given as f64,
        mb(BAR_BYTES),
        mb(without)
    )
    .unwrap();
    let mut ratios = Vec::new();
    for turn in 1..=TURNS {
        plain.give(TURN).await;
        claiming.give(TURN).await;
        let [without, with] = [plain.handle().await, claiming.handle().await];
        let rate = |took: Duration| TURN as f64 / took.as_secs_f64();
        ratios.push(rate(with) / rate(without));
        writeln!(
            out,
            "turn {turn}: {:.0} records/s without keys, {:.0} with",
            rate(without),
            rate(with)
        )
        .unwrap();
    }
    engine.shutdown().await.unwrap();
    let [middle, low, high] = measure::middle(&ratios);
    let holds = if middle >= BAR_RATIO { "over" } else { "UNDER" };
    writeln!(
        out,
        "with keys {middle:.2} ({low:.2} to {high:.2}) of without, {holds} the bar of {BAR_RATIO}"
    )
    .unwrap();
}
