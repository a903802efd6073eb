//! Retention over a disk that loses power, on a clock that the test moves.

use logmill_log::faulty::FaultyStorage;
use logmill_log::{Settings, StoredBatch};
use logmill_model::internal::{CatalogRecord, VersionRecord};
use logmill_model::{
    Backoff, DeploymentId, DeploymentName, DeploymentSettings, DeploymentState, Idempotency,
    ModuleDigest, ModuleLimits, Order, PolicyChange, Position, Record, TopicPolicy, Unrouted,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, Hands};
use crate::parts::SequencerThread;
use crate::replay::replay;

const TOPIC: TopicId = TopicId(16);
const PARTITION: PartitionId = PartitionId::new(TOPIC, 0);
/// What a partition may hold beyond its bytes: they go in pieces of a file, not in batches.
const SLACK_BYTES: u64 = 128 << 10;

struct Bench {
    parts: Arc<Parts>,
    thread: SequencerThread,
}

impl Bench {
    fn open(storage: &FaultyStorage, hands: &Hands) -> Self {
        let settings = Settings { journal_file_bytes: 64 << 10, ..Settings::default() };
        let (opened, replayed) = replay(Arc::new(storage.clone()), settings).unwrap();
        let clock = Clock::of(Box::new(hands.clone()));
        let crate::parts::Started { parts, thread, .. } =
            Parts::start(opened, replayed, clock).unwrap();
        Self { parts, thread }
    }

    async fn append(&self, partition: PartitionId, records: &[Record]) {
        let append = Append::new(partition, RecordBatch::of(records).unwrap());
        let commit = Commit { appends: vec![append], ..Commit::default() };
        self.parts.commit(commit).await.unwrap();
    }

    async fn set(&self, policy: TopicPolicy) {
        let created_ts = Timestamp(0);
        let topic = TopicRecord { id: TOPIC, partitions: 1, created_ts, policy };
        let record = CatalogRecord::Topic("t".parse().unwrap(), Some(topic));
        self.append(PartitionId::CATALOG, &[record.encode()]).await;
    }

    /// Appends a batch of one record of about this size.
    async fn produce(&self, bytes: usize) {
        let record = Record { value: Some(vec![b'x'; bytes].into()), ..Record::default() };
        self.append(PARTITION, &[record]).await;
    }

    async fn pass(&self) {
        assert_eq!(Retention::default().pass(&self.parts).await.unwrap(), Pass::Whole);
    }

    fn ends(&self) -> (Offset, Offset) {
        (self.parts.log.start_offset(PARTITION), self.parts.log.end_offset(PARTITION))
    }

    /// All that can be read.
    fn read(&self) -> Vec<StoredBatch> {
        let (mut next, end) = self.ends();
        let mut batches = Vec::new();
        while next < end {
            let read = self.parts.log.read(PARTITION, next, 1 << 20).unwrap();
            next = read.last().expect("there is something before the end").envelope.end_offset();
            batches.extend(read);
        }
        batches
    }

    /// Ends its threads, whatever becomes of its log: no process outlives its power.
    async fn abandon(self) {
        self.parts.sequencer.close().await;
        self.parts.pool.close();
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap().unwrap();
    }

    async fn close(self) {
        self.parts.sequencer.close().await;
        self.parts.pool.close();
        tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap().unwrap().unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[derive(Debug, Clone)]
enum Step {
    Produce(usize),
    Pass(u64),
    Alter(Option<u64>, Option<u64>),
    Retain,
    Restart,
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let limit = |max: u64| proptest::option::of(1..max);
    let step = prop_oneof![
        8 => (1..20_000_usize).prop_map(Step::Produce),
        4 => (0..50_000_u64).prop_map(Step::Pass),
        2 => (limit(200_000), limit(400_000)).prop_map(|(ms, bytes)| Step::Alter(ms, bytes)),
        3 => Just(Step::Retain),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ];
    vec(step, 1..60)
}

/// What was produced: when, and how large each batch is.
#[derive(Default)]
struct Model {
    batches: Vec<(Timestamp, u64)>,
    start: usize,
    policy: TopicPolicy,
}

impl Model {
    fn bytes_from(&self, batch: usize) -> u64 {
        self.batches[batch..].iter().map(|(_, bytes)| bytes).sum()
    }

    /// Takes in where the partition starts after a pass, which must be where the policy allows.
    fn retained(&mut self, start: usize, now: Timestamp) {
        let TopicPolicy { retention_time_ms, retention_bytes, .. } = self.policy;
        let cutoff = retention_time_ms.map_or(Timestamp::ZERO, |ms| now.minus_ms(ms));
        let young = self.batches.partition_point(|(at, _)| *at < cutoff);
        assert!(start >= young, "what is older than the limit is gone");
        if start > young.max(self.start) {
            let limit = retention_bytes.expect("only a limit of bytes takes what is young");
            assert!(self.bytes_from(start) >= limit, "what is within the limit is kept");
        }
        if let Some(limit) = retention_bytes {
            let bytes = self.bytes_from(start);
            assert!(bytes <= limit + SLACK_BYTES, "{bytes} bytes where {limit} are to be kept");
        }
        self.start = start;
    }
}

async fn play(steps: Vec<Step>) {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let mut model = Model::default();
    let mut bench = Bench::open(&storage, &hands);
    bench.set(model.policy).await;
    for step in steps {
        match step {
            Step::Produce(bytes) => {
                bench.produce(bytes).await;
                let stored = bench.read().pop().unwrap();
                model.batches.push((stored.envelope.append_ts, stored.bytes() as u64));
            }
            Step::Pass(ms) => hands.pass(ms),
            Step::Alter(retention_time_ms, retention_bytes) => {
                model.policy =
                    TopicPolicy { retention_time_ms, retention_bytes, ..TopicPolicy::default() };
                bench.set(model.policy).await;
            }
            Step::Retain => {
                bench.pass().await;
                model.retained(bench.ends().0.0 as usize, hands.now());
            }
            Step::Restart => {
                bench.close().await;
                storage.restart();
                bench = Bench::open(&storage, &hands);
            }
            Step::PowerCut(seed) => {
                // All was acknowledged, so nothing may go, nor come back.
                storage.power_cut(seed);
                bench.abandon().await;
                bench = Bench::open(&storage, &hands);
            }
        }
        let end = model.batches.len();
        assert_eq!(bench.ends(), (Offset(model.start as u64), Offset(end as u64)));
        assert_eq!(bench.read().len(), end - model.start);
    }
    bench.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_goes_that_is_younger_or_within_the_bytes_and_all_else_does(steps in steps()) {
        run(play(steps));
    }
}

#[tokio::test]
async fn offsets_go_on_when_everything_has_expired_and_the_broker_starts_again() {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let bench = Bench::open(&storage, &hands);
    bench.set(TopicPolicy { retention_time_ms: Some(1000), ..TopicPolicy::default() }).await;
    for _ in 0..5 {
        bench.produce(10).await;
    }
    hands.pass(1001);
    bench.pass().await;
    assert_eq!(bench.ends(), (Offset(5), Offset(5)));
    bench.close().await;
    storage.restart();
    let bench = Bench::open(&storage, &hands);
    assert_eq!((bench.ends(), bench.read()), ((Offset(5), Offset(5)), vec![]));
    bench.produce(10).await;
    assert_eq!(bench.read()[0].envelope.base_offset, Offset(5));
    bench.close().await;
}

#[tokio::test]
async fn a_record_that_is_exactly_as_old_as_the_limit_stays() {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let bench = Bench::open(&storage, &hands);
    bench.set(TopicPolicy { retention_time_ms: Some(1000), ..TopicPolicy::default() }).await;
    bench.produce(10).await;
    hands.pass(1000);
    bench.pass().await;
    assert_eq!(bench.ends(), (Offset(0), Offset(1)));
    hands.pass(1);
    bench.pass().await;
    assert_eq!(bench.ends(), (Offset(1), Offset(1)));
    bench.close().await;
}

#[tokio::test]
async fn a_topic_that_rejects_loses_nothing_to_its_bytes_and_a_limit_that_is_taken_off_nothing_more()
 {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let bench = Bench::open(&storage, &hands);
    let limit = TopicPolicy { retention_bytes: Some(1), ..TopicPolicy::default() };
    bench.set(TopicPolicy { on_full: OnFull::Reject, ..limit }).await;
    bench.produce(10).await;
    bench.pass().await;
    assert_eq!(bench.ends(), (Offset(0), Offset(1)));
    let unlimited = limit.changed(&PolicyChange {
        retention_bytes: Some(logmill_model::Limit::Unlimited),
        ..PolicyChange::default()
    });
    bench.set(unlimited.unwrap()).await;
    for _ in 0..3 {
        bench.produce(10).await;
    }
    bench.pass().await;
    assert_eq!(bench.ends(), (Offset(0), Offset(4)));
    bench.close().await;
}

#[tokio::test]
async fn ages_are_looked_at_now_and_then_and_at_once_when_the_limit_changes() {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let bench = Bench::open(&storage, &hands);
    let keep = |ms| TopicPolicy { retention_time_ms: Some(ms), ..TopicPolicy::default() };
    bench.set(keep(100_000)).await;
    bench.produce(10).await;
    hands.pass(99_999);
    let mut retention = Retention::default();
    retention.pass(&bench.parts).await.unwrap();
    hands.pass(4999);
    retention.pass(&bench.parts).await.unwrap();
    assert_eq!(bench.ends().0, Offset(0), "a twentieth of the limit has not passed");
    hands.pass(1);
    retention.pass(&bench.parts).await.unwrap();
    assert_eq!(bench.ends().0, Offset(1));
    bench.produce(10).await;
    hands.pass(50);
    bench.set(keep(10)).await;
    retention.pass(&bench.parts).await.unwrap();
    assert_eq!(bench.ends().0, Offset(2));
    bench.close().await;
}

/// The records of a consumer that remembers claims for this long.
fn consumer(window_ms: u64) -> [Record; 2] {
    let name: DeploymentName = "c".parse().unwrap();
    let topic = "t".parse().unwrap();
    let settings = DeploymentSettings {
        world: World::Consumer,
        on: vec![topic],
        out: Vec::new(),
        config: Vec::new(),
        from: Position::Latest,
        max_attempts: 5,
        backoff: Backoff::default(),
        dlq: "c.dlq".parse().unwrap(),
        order: Order::default(),
        max_parked: DeploymentSettings::MAX_PARKED,
        idempotency: Idempotency::Key,
        idempotency_window_ms: window_ms,
        unrouted: Unrouted::Keep,
    };
    let (digest, created_ts) = (ModuleDigest([7; 32]), Timestamp(0));
    let deployment = DeploymentRecord {
        id: DeploymentId(3),
        world: World::Consumer,
        active_version: 1,
        state: DeploymentState::Running,
        limits: ModuleLimits::default(),
    };
    let version = VersionRecord { digest, settings, created_ts };
    [
        CatalogRecord::Deployment(name.clone(), Some(deployment)).encode(),
        CatalogRecord::Version(name, 1, Some(version)).encode(),
    ]
}

#[test]
fn claims_that_are_older_than_their_window_go_and_stay_gone() {
    run(async {
        let (storage, hands) = (FaultyStorage::new(), Hands::new());
        let claims = PartitionId::claims_of(DeploymentId(3)).unwrap();
        let bench = Bench::open(&storage, &hands);
        bench.append(PartitionId::CATALOG, &consumer(10_000)).await;
        for _ in 0..10 {
            bench.append(claims, &[Record::default(), Record::default()]).await;
            hands.pass(1_000);
        }
        let start = |bench: &Bench| bench.parts.log.start_offset(claims);
        bench.pass().await;
        assert_eq!(start(&bench), Offset(0), "the oldest is just as old as the window");
        hands.pass(3_000);
        bench.pass().await;
        assert_eq!(start(&bench), Offset(6));
        bench.append(PartitionId::CATALOG, &consumer(5_000)).await;
        bench.pass().await;
        assert_eq!(start(&bench), Offset(16), "a shorter window counts at once");
        bench.close().await;
        let bench = Bench::open(&storage, &hands);
        assert_eq!((start(&bench), bench.parts.log.end_offset(claims)), (Offset(16), Offset(20)));
        bench.close().await;
    });
}
