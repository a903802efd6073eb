//! What is claimed is claimed once, over all lanes, whatever happens to the broker.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use logmill_model::internal::ClaimRecord;
use logmill_wasm::{Claim, SharedMemory};
use tokio::task::JoinSet;

use super::state::{damage, is_corrupt};
use super::*;
use crate::claims::Claims;
use crate::clock::{Clock, Hands};

const OTHER: LaneId =
    LaneId { deployment: LANE.deployment, source: PartitionId::new(TopicId(19), 0) };
const INPUTS: u64 = 60;
const WINDOW_MS: u64 = 60_000;

/// What a module does with a record.
type Does = Arc<dyn Fn(&SharedMemory, &Message) -> Result<Called, Failure> + Send + Sync>;

#[derive(Clone)]
struct Claiming(Does);

impl Handler for Claiming {
    fn handle(&mut self, message: &Message, call: CallContext<'_>) -> Result<Called, Failure> {
        (self.0)(&call.memory.expect("a consumer has a memory"), message)
    }
}

impl Handlers for Claiming {
    fn instantiate(&self, _: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

pub(super) fn claiming(
    does: impl Fn(&SharedMemory, &Message) -> Result<Called, Failure> + Send + Sync + 'static,
) -> Arc<dyn Handlers> {
    Arc::new(Claiming(Arc::new(does)))
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(message.record.value.as_ref().unwrap()).unwrap()
}

fn claim(memory: &SharedMemory, key: &str) -> Claim {
    memory.lock().unwrap().claim(key).unwrap()
}

fn told(text: &str) -> Called {
    let output = Output { value: Some(text.to_owned().into()), ..Output::default() };
    Called::Verdict(Verdict::Done(vec![output]))
}

fn dropped(text: &str) -> Called {
    Called::Verdict(Verdict::Drop(text.to_owned()))
}

/// Claims the keys that the record names and outputs them when all are its own.
fn once(memory: &SharedMemory, message: &Message) -> Result<Called, Failure> {
    for key in text(message).split(' ') {
        match claim(memory, key) {
            Claim::First => {}
            Claim::Seen(_) => return Ok(dropped("seen")),
            Claim::Busy => return Ok(Called::Busy),
        }
    }
    // Some fail once, some fail for good.
    match message.offset.unwrap().0 % 11 {
        3 if message.attempt == 1 => Err(trap()),
        5 if message.attempt < MAX_ATTEMPTS => Ok(Called::Verdict(retry())),
        _ => Ok(told(text(message))),
    }
}

impl Bench {
    /// A second lane, and records for both, with keys of their own.
    async fn prepare_both(
        &self,
        one: impl IntoIterator<Item = String>,
        other: impl IntoIterator<Item = String>,
    ) {
        self.prepare(0).await;
        self.create("other", OTHER.source.topic).await;
        let cursor = LaneCursor::new(1, Offset(0)).record;
        let cursor = CursorsRecord::Cursor(OTHER, Some(cursor));
        self.append(PartitionId::CURSORS, &[cursor.encode()]).await;
        self.send(SOURCE, one).await;
        self.send(OTHER.source, other).await;
    }

    async fn send(&self, to: PartitionId, values: impl IntoIterator<Item = String>) {
        let record = |value: String| Record {
            key: Some(value.clone().into()),
            value: Some(value.into()),
            ..Record::default()
        };
        let records: Vec<Record> = values.into_iter().map(record).collect();
        for chunk in records.chunks(7) {
            self.append(to, chunk).await;
        }
    }

    fn both(&self, handlers: &Arc<dyn Handlers>) -> [Lane; 2] {
        [(LANE, "in"), (OTHER, "other")]
            .map(|(id, topic)| self.lane_at(id, topic, Arc::clone(handlers)))
    }

    /// Runs lanes until all are at their ends, or the journal has failed; tells whether they are.
    async fn run_all(&self, lanes: impl IntoIterator<Item = Lane>) -> bool {
        let mut cursors = self.parts.views.watch(PartitionId::CURSORS);
        let mut lanes: JoinSet<()> = lanes.into_iter().map(Lane::run).collect();
        let ends = || {
            self.parts
                .views
                .lanes_of(LANE.deployment)
                .into_iter()
                .all(|(lane, cursor)| cursor.floor() == self.parts.log.end_offset(lane.source))
        };
        let at_end = async {
            while !ends() {
                cursors.changed().await.unwrap();
            }
        };
        soon(async {
            // One ends by itself when the journal has failed; others may have nothing to do.
            tokio::select! {
                ended = lanes.join_next() => ended.unwrap().unwrap(),
                () = at_end => {}
            }
            self.stop.send_replace(true);
            while let Some(ended) = lanes.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        self.stop.send_replace(false);
        ends()
    }

    fn outputs(&self) -> Vec<String> {
        let text = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        self.read(OUT).into_iter().map(text).collect()
    }

    fn counts_of(&self, lane: LaneId) -> Counts {
        self.parts.views.cursor(lane).unwrap().record.counts
    }

    fn declared(mut self) -> Self {
        (self.idempotency, self.window_ms) = (Idempotency::Key, WINDOW_MS);
        self
    }
}

fn keys(order: impl Fn(u64) -> u64) -> impl Iterator<Item = String> {
    (0..INPUTS).map(move |at| format!("key{}", order(at)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_has_its_effect_once_over_two_lanes_and_across_power_cuts() {
    for (seed, is_declared) in [(0, false), (1, false), (2, true), (3, true)] {
        let open = |storage: &FaultyStorage| {
            let bench = Bench::open(storage);
            if is_declared { bench.declared() } else { bench }
        };
        let module = match is_declared {
            true => claiming(|_, message| match message.offset.unwrap().0 % 11 {
                3 if message.attempt == 1 => Err(trap()),
                _ => Ok(told(text(message))),
            }),
            false => claiming(once),
        };
        let storage = FaultyStorage::new();
        let bench = open(&storage);
        // Near one another, and not in the same order.
        bench.prepare_both(keys(|at| at), keys(|at| at ^ 3)).await;
        bench.close().await;
        for round in 0..25 {
            let bench = open(&storage);
            storage.stop_at_sync(1 + (seed + round) % 7);
            bench.run_all(bench.both(&module)).await;
            bench.close().await;
            storage.power_cut(seed * 1000 + round);
        }
        let bench = open(&storage);
        assert!(bench.run_all(bench.both(&module)).await);
        let mut outputs = bench.outputs();
        outputs.sort_unstable();
        let mut expected: Vec<String> = keys(|at| at).collect();
        expected.sort_unstable();
        assert_eq!(outputs, expected, "declared: {is_declared}");
        let [one, other] = [LANE, OTHER].map(|lane| bench.counts_of(lane));
        assert_eq!(one.done + other.done, INPUTS);
        let again = if is_declared {
            one.duplicates + other.duplicates
        } else {
            one.dropped + other.dropped
        };
        assert_eq!(again, INPUTS);
        bench.close().await;
    }
}

/// A module whose first lane's record waits, with its claim, until it is told how it ends.
fn held() -> (Arc<dyn Handlers>, Receiver<LaneId>, SyncSender<bool>) {
    let ((claims, claimed), (go, ends)) = (sync_channel(16), sync_channel(1));
    let ends = Mutex::new(ends);
    let handlers = claiming(move |memory, message| {
        assert_eq!(message.attempt, 1, "waiting costs no attempt");
        let lane = if message.topic == "in" { LANE } else { OTHER };
        let answer = claim(memory, "k");
        claims.send(lane).unwrap();
        match answer {
            Claim::Busy => Ok(Called::Busy),
            Claim::Seen(by) => Ok(told(&format!("seen {}@{}", by.topic, by.offset))),
            Claim::First if lane == OTHER => Ok(told("first")),
            Claim::First if ends.lock().unwrap().recv().unwrap() => Ok(told("done")),
            Claim::First => Ok(Called::Verdict(Verdict::DeadLetter("told to".to_owned()))),
        }
    });
    (handlers, claimed, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_meets_a_claim_under_way_waits_for_its_outcome() {
    for (is_done, expected) in [(true, vec!["done", "seen in@0"]), (false, vec!["first"])] {
        let storage = FaultyStorage::new();
        let bench = Bench::open(&storage);
        bench.prepare_both(["a".to_owned()], ["b".to_owned()]).await;
        let (module, claimed, go) = held();
        let [one, other] = bench.both(&module);
        let one = tokio::spawn(one.run());
        let next = |claimed: Receiver<LaneId>| {
            tokio::task::spawn_blocking(move || (claimed.recv().unwrap(), claimed))
        };
        let (lane, claimed) = soon(next(claimed)).await.unwrap();
        assert_eq!(lane, LANE);
        let other = tokio::spawn(other.run());
        let (lane, claimed) = soon(next(claimed)).await.unwrap();
        assert_eq!(lane, OTHER, "it has met the claim");
        // It does not come again before the other is settled.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(claimed.try_recv().is_err());
        assert_eq!(bench.counts_of(OTHER), Counts::default());
        go.send(is_done).unwrap();
        let mut cursors = bench.parts.views.watch(PartitionId::CURSORS);
        soon(async {
            while bench.parts.views.cursor(OTHER).unwrap().floor() < Offset(1) {
                cursors.changed().await.unwrap();
            }
        })
        .await;
        bench.stop.send_replace(true);
        soon(async { (one.await.unwrap(), other.await.unwrap()) }).await;
        assert_eq!(bench.outputs(), expected);
        assert_eq!((bench.counts_of(OTHER).done, bench.counts_of(OTHER).retried), (1, 0));
        bench.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_want_two_keys_in_opposite_orders_both_come_to_their_end() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    let pairs = |first: &'static str, second: &'static str| {
        (0..INPUTS).map(move |at| format!("{first}{at} {second}{at}"))
    };
    bench.prepare_both(pairs("x", "y"), pairs("y", "x")).await;
    let module = claiming(|memory, message| {
        for key in text(message).split(' ') {
            match claim(memory, key) {
                // The other lane has its turn.
                Claim::First => std::thread::yield_now(),
                Claim::Seen(_) => return Ok(dropped("seen")),
                Claim::Busy => return Ok(Called::Busy),
            }
        }
        Ok(told(text(message)))
    });
    assert!(bench.run_all(bench.both(&module)).await);
    assert_eq!(bench.outputs().len() as u64, INPUTS, "one of each pair has both");
    bench.close().await;
}

async fn check_window(is_cut: bool) {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let open = || Bench::open_at(&storage, Clock::of(Box::new(hands.clone()))).declared();
    let module = claiming(|_, message| Ok(told(text(message))));
    let mut bench = open();
    bench.prepare(0).await;
    for (pass, done, duplicates) in
        [(0, 1, 0), (WINDOW_MS - 1, 1, 1), (1, 2, 1), (WINDOW_MS - 1, 2, 2), (1, 3, 2)]
    {
        hands.pass(pass);
        if is_cut {
            bench.close().await;
            storage.power_cut(pass);
            bench = open();
        }
        bench.send(SOURCE, ["k".to_owned()]).await;
        assert!(bench.run_all([bench.lane_of(Arc::clone(&module))]).await);
        let counts = bench.counts_of(LANE);
        assert_eq!((counts.done, counts.duplicates), (done, duplicates), "cut: {is_cut}");
    }
    bench.close().await;
}

#[tokio::test]
async fn a_window_is_exact_by_the_time_of_entries() {
    check_window(false).await;
}

#[tokio::test]
async fn a_window_is_exact_by_the_time_of_entries_also_after_power_cuts() {
    check_window(true).await;
}

#[tokio::test]
async fn a_deployment_that_may_claim_no_more_waits_says_so_and_goes_on() {
    let (storage, hands) = (FaultyStorage::new(), Hands::new());
    let bench = Bench::open_at(&storage, Clock::of(Box::new(hands.clone()))).declared();
    bench.remembered.set_claims(Arc::new(Claims::with_room(LANE.deployment, WINDOW_MS, 3)));
    bench.prepare(0).await;
    bench.send(SOURCE, ["a", "b", "a", "c", "c", "d", "a"].map(str::to_owned)).await;
    let module = claiming(|_, message| Ok(told(text(message))));
    let lane = tokio::spawn(bench.lane_of(module).run());
    soon(async {
        while bench.status.lock().unwrap().waiting.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let waiting = bench.status.lock().unwrap().waiting.clone().unwrap();
    assert!(waiting.contains("remembers no more"), "{waiting}");
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(5));
    hands.pass(WINDOW_MS);
    let mut ends = bench.parts.views.watch(OUT);
    soon(ends.wait_for(|end| *end == Offset(5))).await.unwrap();
    assert_eq!(bench.outputs(), ["a", "b", "c", "d", "a"]);
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn lanes_that_may_have_forgotten_a_claim_stand_still_until_the_loss_is_accepted() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage).declared();
    bench.prepare(0).await;
    let module = claiming(|_, message| Ok(told(text(message))));
    // In a commit each.
    for keys in [keys(|at| at).take(10).collect::<Vec<_>>(), keys(|at| at).skip(10).collect()] {
        bench.send(SOURCE, keys).await;
        assert!(bench.run_all([bench.lane_of(Arc::clone(&module))]).await);
    }
    bench.close().await;
    let claim = ClaimRecord { source: SOURCE, offset: Offset(0) }.encode("key0".into());
    damage(&storage, &[&claim.key.unwrap()[..], &claim.value.unwrap()].concat());
    let bench = Bench::open(&storage).declared();
    bench.send(SOURCE, keys(|at| at)).await;
    let lane = tokio::spawn(bench.lane_of(Arc::clone(&module)).run());
    let why = is_corrupt(&bench).await;
    assert!(why.contains("repair --accept-loss"), "{why}");
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
    let storage_of_repair: Arc<dyn logmill_log::storage::Storage> = Arc::new(storage.clone());
    assert_eq!(
        logmill_log::accept_losses(&storage_of_repair, &logmill_log::Known::default())
            .unwrap()
            .len(),
        1
    );
    let bench = Bench::open(&storage).declared();
    assert!(bench.run_all([bench.lane_of(module)]).await);
    let counts = bench.counts_of(LANE);
    assert!(counts.duplicates > 0 && counts.done > INPUTS, "{counts:?}");
    assert_eq!(counts.duplicates + counts.done, 2 * INPUTS);
    bench.close().await;
}
