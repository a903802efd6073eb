//! Lanes over a disk that fails, with modules that do as they are told.

mod ahead;
mod blamed;
mod broken;
mod claims;
mod compressed;
mod model;
mod order;
mod redrive;
mod space;
mod state;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use logmill_log::faulty::FaultyStorage;
use logmill_log::{Settings, StoredBatch};
use logmill_model::internal::{
    CatalogRecord, CursorsRecord, DeploymentRecord, HoleRecord, SegmentsRecord, StartRecord,
    TopicRecord,
};
use logmill_model::{
    Append, Backoff, Commit, Counts, DeadLetter, DeploymentId, DeploymentState, FailureReason,
    Idempotency, Message, ModuleDigest, ModuleLimits, Order, Output, OutputGrant, PartitionId,
    Record, RecordBatch, RetryRequest, TopicId, TopicName, Verdict, World,
};
use logmill_wasm::{CallContext, Called};
use tokio::sync::mpsc;

use super::broken::{Alarm, Rows};
use super::parked::ParkedMax;
use super::settle::Policy;
use super::*;
use crate::handler::Handlers;
use crate::module_log::ModuleLog;
use crate::outputs::Grants;
use crate::parts::SequencerThread;
use crate::remembered::Remembered;
use crate::replay::replay;

const SOURCE: PartitionId = PartitionId::new(TopicId(16), 0);
const OUT: PartitionId = PartitionId::new(TopicId(17), 0);
const DEAD: PartitionId = PartitionId::new(TopicId(18), 0);
const LANE: LaneId = LaneId { deployment: DeploymentId(3), source: SOURCE };
const MAX_ATTEMPTS: u32 = 3;
/// So few that lanes run ahead of their commits.
const RUN_RECORDS: usize = 4;

type Script = fn(u64, u32) -> Result<Verdict, Failure>;

/// A module that does what its script says of (offset, attempt).
struct Scripted {
    script: Script,
    init_fails: AtomicBool,
    instances: AtomicUsize,
    seen: Mutex<Vec<Message>>,
}

struct ScriptedInstance(Arc<Scripted>);

impl Handler for ScriptedInstance {
    fn handle(&mut self, message: &Message, _: CallContext<'_>) -> Result<Called, Failure> {
        self.0.seen.lock().unwrap().push(message.clone());
        let offset = message.offset.expect("a consumer sees offsets").0;
        (self.0.script)(offset, message.attempt).map(Called::Verdict)
    }
}

struct Scripts(Arc<Scripted>);

impl Handlers for Scripts {
    fn instantiate(&self, _: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        if self.0.init_fails.load(Ordering::Relaxed) {
            return Err(trap());
        }
        self.0.instances.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ScriptedInstance(Arc::clone(&self.0))))
    }
}

fn trap() -> Failure {
    Failure { reason: FailureReason::Trap, detail: "on purpose".into(), instance_lost: true }
}

fn retry() -> Verdict {
    Verdict::Retry(RetryRequest { after_ms: Some(0), reason: "later".into() })
}

fn output(offset: u64, index: u64) -> Output {
    Output { value: Some(format!("{offset}.{index}").into()), ..Output::default() }
}

/// Every kind of outcome, by offset.
fn every_outcome(offset: u64, attempt: u32) -> Result<Verdict, Failure> {
    match offset % 6 {
        0 => Ok(Verdict::Done(vec![output(offset, 0), output(offset, 1)])),
        1 => Ok(Verdict::Done(vec![])),
        2 if attempt < MAX_ATTEMPTS => Ok(retry()),
        2 => Ok(Verdict::Done(vec![output(offset, 0)])),
        3 => Ok(Verdict::DeadLetter("bad".into())),
        4 => Err(trap()),
        _ => Ok(Verdict::Drop("dull".into())),
    }
}

struct Bench {
    parts: Arc<Parts>,
    thread: SequencerThread,
    stop: watch::Sender<bool>,
    status: Arc<Mutex<LaneStatus>>,
    /// Of the lane that was made last.
    mail: Mutex<Option<mpsc::Sender<Redrive>>>,
    log: Arc<ModuleLog>,
    order: Order,
    parked_max: ParkedMax,
    run_records: usize,
    rows: Arc<Rows>,
    alarms: mpsc::Receiver<Alarm>,
    remembered: Arc<Remembered>,
    idempotency: Idempotency,
    window_ms: u64,
}

impl Bench {
    fn open(storage: &FaultyStorage) -> Self {
        Self::open_at(storage, crate::clock::Clock::machine())
    }

    fn open_at(storage: &FaultyStorage, clock: crate::clock::Clock) -> Self {
        // No checkpoints, so that each sync is one of a commit: a storage that ends at a checkpoint
        // fails the lane's reads alone, which it tries for ever.
        let checkpoint_after = Duration::from_secs(3600);
        let settings =
            Settings { journal_file_bytes: 64 << 10, checkpoint_after, ..Settings::default() };
        let (opened, replayed) = replay(Arc::new(storage.clone()), settings).unwrap();
        let started = Parts::start(opened, replayed, clock).unwrap();
        let crate::parts::Started { parts, thread, .. } = started;
        let (stop, status, mail, log) =
            (watch::channel(false).0, Arc::default(), Mutex::default(), Arc::default());
        let parked_max = ParkedMax { records: 10_000, bytes: 1 << 20 };
        let (alarm, alarms) = mpsc::channel(1);
        let rows = Arc::new(Rows::new("scripted".into(), 1, alarm));
        let order = Order::Partition;
        let remembered = Arc::new(Remembered::of(LANE.deployment));
        let (idempotency, window_ms) = (Idempotency::None, Idempotency::WINDOW_MS);
        Self {
            parts,
            thread,
            stop,
            status,
            mail,
            log,
            order,
            parked_max,
            run_records: RUN_RECORDS,
            rows,
            alarms,
            remembered,
            idempotency,
            window_ms,
        }
    }

    /// Topics, a cursor at 0, and this many records to handle.
    async fn prepare(&self, records: usize) {
        for (name, topic) in [("in", SOURCE), ("out", OUT), ("dead", DEAD)] {
            self.create(name, topic.topic).await;
        }
        let deployment = DeploymentRecord {
            id: LANE.deployment,
            world: World::Consumer,
            active_version: 1,
            state: DeploymentState::Running,
            limits: ModuleLimits::default(),
        };
        let deployment = CatalogRecord::Deployment("scripted".parse().unwrap(), Some(deployment));
        self.append(PartitionId::CATALOG, &[deployment.encode()]).await;
        let cursor = LaneCursor::new(1, Offset(0)).record;
        self.append(PartitionId::CURSORS, &[CursorsRecord::Cursor(LANE, Some(cursor)).encode()])
            .await;
        let inputs: Vec<_> = (0..records)
            .map(|index| Record { value: Some(index.to_string().into()), ..Record::default() })
            .collect();
        for chunk in inputs.chunks(7) {
            self.append(SOURCE, chunk).await;
        }
    }

    async fn create(&self, name: &str, id: TopicId) {
        let (created_ts, policy) = Default::default();
        let topic = TopicRecord { id, partitions: 1, created_ts, policy };
        let record = CatalogRecord::Topic(name.parse().unwrap(), Some(topic));
        self.append(PartitionId::CATALOG, &[record.encode()]).await;
    }

    async fn append(&self, partition: PartitionId, records: &[Record]) {
        self.append_batch(partition, RecordBatch::of(records).unwrap()).await;
    }

    async fn append_batch(&self, partition: PartitionId, batch: RecordBatch) {
        let appends = vec![Append::new(partition, batch)];
        self.parts.commit(Commit { appends, ..Commit::default() }).await.unwrap();
    }

    fn lane(&self, module: &Arc<Scripted>) -> Lane {
        self.lane_of(Arc::new(Scripts(Arc::clone(module))))
    }

    fn lane_of(&self, handlers: Arc<dyn Handlers>) -> Lane {
        self.lane_at(LANE, "in", handlers)
    }

    fn lane_at(&self, lane: LaneId, topic: &str, handlers: Arc<dyn Handlers>) -> Lane {
        let name = |text: &str| text.parse::<TopicName>().unwrap();
        let context = Context {
            deployment: "scripted".into(),
            version: 1,
            digest: ModuleDigest([0; 32]),
            topic: name(topic),
            partition: lane.source.index,
            policy: Policy { max_attempts: MAX_ATTEMPTS, backoff: Backoff::Fixed(0) },
            order: self.order,
            parked_max: self.parked_max,
            run_records: self.run_records,
            grants: Grants::new(&[OutputGrant { alias: None, topic: name("out") }]),
            dlq: name("dead"),
            handlers,
            log: Arc::clone(&self.log),
            clock: self.parts.clock.clone(),
            board: Arc::new(crate::board::Board::none()),
            before_call: None,
            rows: Arc::clone(&self.rows),
            slots: Arc::new(tokio::sync::Semaphore::new(1)),
            idempotency: self.idempotency.clone(),
            window_ms: self.window_ms,
            remembered: Arc::clone(&self.remembered),
            seed: 1,
        };
        let cursor = self.parts.views.cursor(lane).unwrap();
        let (mail, opened) = mpsc::channel(1);
        *self.mail.lock().unwrap() = Some(mail);
        let (told, status) = ((self.stop.subscribe(), opened), Arc::clone(&self.status));
        Lane::new(Arc::clone(&self.parts), Arc::new(context), (lane, cursor), told, status)
    }

    /// Runs a lane until its cursor is at `until`, or the journal has failed.
    async fn run(&self, module: &Arc<Scripted>, until: u64) {
        self.run_lane(self.lane(module), until).await;
    }

    async fn run_lane(&self, lane: Lane, until: u64) {
        let mut cursors = self.parts.views.watch(PartitionId::CURSORS);
        let lane = tokio::spawn(lane.run());
        let at_end = async {
            while self.parts.views.cursor(LANE).unwrap().floor() < Offset(until) {
                cursors.changed().await.unwrap();
            }
            self.stop.send_replace(true);
            std::future::pending::<()>().await
        };
        soon(async {
            tokio::select! {
                ended = lane => ended.unwrap(),
                () = at_end => {}
            }
        })
        .await;
        self.stop.send_replace(false);
    }

    fn read(&self, partition: PartitionId) -> Vec<Record> {
        let end = self.parts.log.end_offset(partition);
        let (mut records, mut next) = (Vec::new(), Offset(0));
        while next < end {
            let batches = self.parts.log.read(partition, next, 1 << 20).unwrap();
            next = batches.last().unwrap().envelope.end_offset();
            let of_batch = |it: &StoredBatch| {
                let records = it.batch.plain().expect("what a lane writes is not compressed");
                records.to_records().map(|(_, record)| record).collect()
            };
            records.extend(batches.iter().flat_map::<Vec<Record>, _>(of_batch));
        }
        records
    }

    async fn close(self) {
        self.parts.sequencer.close().await;
        self.parts.pool.close();
        // With the journal failed, closing it fails as well.
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap().unwrap();
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// Waits for what another thread does.
async fn until(happened: impl Fn() -> bool) {
    soon(async {
        while !happened() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn module(script: Script) -> Arc<Scripted> {
    let (init_fails, instances) = (AtomicBool::new(false), AtomicUsize::new(0));
    Arc::new(Scripted { script, init_fails, instances, seen: Mutex::default() })
}

/// What must be there in the end: the outputs by offset, and the reason of each dead letter.
fn check_exactly_once(bench: &Bench, inputs: u64) {
    let mut expected_outputs = Vec::new();
    let mut expected_dead = BTreeMap::new();
    for offset in 0..inputs {
        match offset % 6 {
            0 => expected_outputs.extend([format!("{offset}.0"), format!("{offset}.1")]),
            2 => expected_outputs.push(format!("{offset}.0")),
            3 => drop(expected_dead.insert(offset, ("rejected".to_owned(), 1))),
            4 => drop(expected_dead.insert(offset, ("trap".to_owned(), MAX_ATTEMPTS))),
            _ => {}
        }
    }
    let outputs: Vec<_> = bench
        .read(OUT)
        .iter()
        .map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap())
        .collect();
    assert_eq!(outputs, expected_outputs);
    let letters: Vec<_> = bench.read(DEAD).iter().map(|it| DeadLetter::of(it).unwrap()).collect();
    assert_eq!(letters.len(), expected_dead.len());
    let dead: BTreeMap<_, _> = letters
        .into_iter()
        .map(|letter| (letter.source.offset.0, (letter.reason, letter.attempts)))
        .collect();
    assert_eq!(dead, expected_dead);
}

#[tokio::test]
async fn each_input_has_exactly_one_outcome_across_power_cuts() {
    const INPUTS: u64 = 60;
    for seed in 0..8 {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage);
        bench.prepare(INPUTS as usize).await;
        bench.close().await;
        let module = module(every_outcome);
        for round in 0..40 {
            let bench = Bench::open(&storage);
            storage.stop_at_sync(1 + (seed + round) % 5);
            bench.run(&module, INPUTS).await;
            let done = bench.parts.views.cursor(LANE).unwrap().floor() == Offset(INPUTS);
            bench.close().await;
            storage.power_cut(seed * 1000 + round);
            if done {
                break;
            }
        }
        let bench = Bench::open(&storage);
        bench.run(&module, INPUTS).await;
        check_exactly_once(&bench, INPUTS);
        let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
        let expected = Counts {
            done: 30,
            outputs: 30,
            retried: 40,
            dead_lettered: 20,
            dropped: 10,
            trapped: 30,
            ..Counts::default()
        };
        assert_eq!(counts, expected, "seed {seed}");
        bench.close().await;
    }
}

#[tokio::test]
async fn the_history_that_proves_it_reports_loss_when_syncs_are_off() {
    const INPUTS: u64 = 60;
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(INPUTS as usize).await;
    storage.switch_off_data_syncs();
    bench.run(&module(every_outcome), INPUTS).await;
    let before = bench.parts.views.cursor(LANE).unwrap().floor();
    bench.close().await;
    let lost = (0..20).any(|seed| {
        let cut = storage.clone();
        cut.power_cut(seed);
        let settings = Settings { journal_file_bytes: 64 << 10, ..Settings::default() };
        match replay(Arc::new(cut), settings) {
            Ok((opened, replayed)) => {
                !opened.log.corrupt().is_empty()
                    || replayed.cursors.by_lane.get(&LANE).is_none_or(|it| it.floor() < before)
            }
            Err(_) => true,
        }
    });
    assert!(lost, "twenty power cuts without a sync lost nothing: the test proves nothing");
}

#[tokio::test]
async fn attempts_go_on_where_they_were_before_a_restart() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    let later = |_, attempt| {
        let after_ms = Some(if attempt == 1 { 1_000_000 } else { 0 });
        Ok(Verdict::Retry(RetryRequest { after_ms, reason: "later".into() }))
    };
    let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
    let lane = tokio::spawn(bench.lane(&module(later)).run());
    soon(cursors.wait_for(|end| *end == Offset(3))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
    storage.restart();
    let bench = Bench::open(&storage);
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    let failed = cursor.holes[&Offset(0)].failed.clone().unwrap();
    assert_eq!(failed.attempts, 1);
    assert!(failed.retry_at.0 >= failed.last_failed_ts.0 + 1_000_000);
    bench.close().await;
}

#[tokio::test]
async fn a_trap_costs_the_instance_and_an_error_does_not() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(6).await;
    let module = module(|offset, attempt| match (offset, attempt) {
        (1, 1) => Err(trap()),
        (3, 1) => {
            let reason = FailureReason::Error;
            Err(Failure { reason, detail: "no".into(), instance_lost: false })
        }
        _ => Ok(Verdict::Done(vec![])),
    });
    bench.run(&module, 6).await;
    assert_eq!(module.instances.load(Ordering::Relaxed), 2);
    let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
    assert_eq!((counts.done, counts.trapped, counts.errors, counts.retried), (6, 1, 1, 2));
    bench.close().await;
}

#[tokio::test]
async fn an_output_that_is_not_granted_is_a_failed_attempt_and_leaves_nothing() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    let module = module(|offset, _| {
        let elsewhere = Output { topic: Some("elsewhere".into()), ..Output::default() };
        Ok(Verdict::Done(vec![output(offset, 0), elsewhere]))
    });
    bench.run(&module, 1).await;
    assert_eq!(bench.read(OUT), []);
    let letter = DeadLetter::of(&bench.read(DEAD)[0]).unwrap();
    assert_eq!((letter.reason.as_str(), letter.attempts), ("not-granted", MAX_ATTEMPTS));
    bench.close().await;
}

#[tokio::test]
async fn a_lane_without_its_dead_letter_topic_waits_and_goes_on() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    let gone = CatalogRecord::Topic("dead".parse().unwrap(), None);
    bench.append(PartitionId::CATALOG, &[gone.encode()]).await;
    let module = module(|_, _| Ok(Verdict::DeadLetter("bad".into())));
    let lane = tokio::spawn(bench.lane(&module).run());
    let why = soon(async {
        loop {
            if let Some(why) = bench.status.lock().unwrap().waiting.clone() {
                break why;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(why.starts_with("dlq unavailable: topic dead does not exist"), "{why}");
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(0));
    bench.create("dead", TopicId(40)).await;
    let mut ends = bench.parts.views.watch(PartitionId::new(TopicId(40), 0));
    soon(ends.wait_for(|end| *end == Offset(1))).await.unwrap();
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn a_lane_whose_module_does_not_start_waits_and_costs_no_attempt() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    let module = module(|_, attempt| {
        assert_eq!(attempt, 1);
        Ok(Verdict::Done(vec![]))
    });
    module.init_fails.store(true, Ordering::Relaxed);
    let lane = tokio::spawn(bench.lane(&module).run());
    soon(async {
        while bench.status.lock().unwrap().waiting.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    module.init_fails.store(false, Ordering::Relaxed);
    let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
    soon(cursors.wait_for(|end| *end == Offset(2))).await.unwrap();
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().record.counts.done, 1);
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn outputs_too_large_for_one_commit_are_committed_record_by_record() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(5).await;
    let module = module(|_, _| {
        let half = || Output { value: Some(vec![7; 900_000].into()), ..Output::default() };
        Ok(Verdict::Done(vec![half(), half(), half(), half()]))
    });
    bench.run(&module, 5).await;
    assert_eq!(bench.read(OUT).len(), 20);
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().record.counts.outputs, 20);
    bench.close().await;
}

#[tokio::test]
async fn a_lane_whose_record_was_removed_stands_until_its_cursor_is_moved() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(20).await;
    // The first record waits for another attempt, and is removed meanwhile.
    let later = |offset, attempt| match (offset, attempt) {
        (0, 1) => Ok(Verdict::Retry(RetryRequest { after_ms: Some(50), reason: "later".into() })),
        _ => Ok(Verdict::Done(vec![])),
    };
    let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
    let lane = tokio::spawn(bench.lane(&module(later)).run());
    soon(cursors.wait_for(|end| *end == Offset(3))).await.unwrap();
    let start = StartRecord { offset: Offset(7) };
    let start = SegmentsRecord::Start(SOURCE, Some(start));
    bench.append(PartitionId::SEGMENTS, &[start.encode()]).await;
    let lost = LostOffsets { from: Offset(0), to: Offset(7) };
    let cursor = bench.parts.views.cursor(LANE).unwrap();
    assert_eq!(bench.parts.lost(LANE, &cursor), Some(lost));
    // It has nothing to wait for: what moves it is a new lane.
    let moved = cursor.behind(LANE, lost);
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(0));

    bench.stop.send_replace(false);
    let idle = module(later);
    let lane = tokio::spawn(bench.lane(&idle).run());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.stop.send_replace(false);
    assert_eq!(idle.instances.load(Ordering::Relaxed), 0);
    assert_eq!(bench.parts.views.cursor(LANE).unwrap(), cursor, "it skips nothing by itself");
    let moved: Vec<Record> = moved.iter().map(CursorsRecord::encode).collect();
    bench.append(PartitionId::CURSORS, &moved).await;
    bench.run(&module(later), 20).await;
    let counts = bench.parts.views.cursor(LANE).unwrap().record.counts;
    assert_eq!((counts.lost, counts.done, counts.retried), (7, 13, 1));
    bench.close().await;
}
