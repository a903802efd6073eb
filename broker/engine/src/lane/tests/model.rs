//! Lanes beside a model of what they promise: random scripts of verdicts, in both orders, over a disk that
//! is cut off at random syncs.
//!
//! The model knows nothing of runs, holes, commits or crashes. A record comes to what its script says, by
//! counting its attempts alone; what a lane has done is compared with that from the outside: outputs, dead
//! letters, decisions, counts, and the order in which the module was called.

use std::collections::{BTreeMap, BTreeSet};

use logmill_model::internal::{Decided, DecisionsRecord};
use proptest::prelude::*;

use super::*;
use crate::cursors::LaneCursor;

/// What a module says at one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Done(u64),
    Drop,
    Reject,
    Retry(u64),
    Err,
    Trap,
}

/// A record, and what the module says at its attempts; at the last of these for ever.
#[derive(Debug, Clone)]
struct Input {
    key: Option<u8>,
    says: Vec<Say>,
}

/// What becomes of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// Of each attempt, in order.
    attempts: Vec<Decided>,
    outputs: u64,
}

impl Input {
    fn say(&self, attempt: u32) -> Say {
        let at = (attempt as usize - 1).min(self.says.len() - 1);
        self.says[at]
    }

    /// The whole of the semantics of a record by itself.
    fn outcome(&self) -> Outcome {
        let (mut attempts, mut outputs) = (Vec::new(), 0);
        for attempt in 1..=MAX_ATTEMPTS {
            let failed = |reason| {
                if attempt == MAX_ATTEMPTS {
                    Decided::DeadLettered(reason)
                } else {
                    Decided::Retried(reason)
                }
            };
            let decided = match self.say(attempt) {
                Say::Done(count) => {
                    outputs = count;
                    Decided::Done
                }
                Say::Drop => Decided::Dropped,
                Say::Reject => Decided::DeadLettered(FailureReason::Rejected),
                Say::Retry(_) => failed(FailureReason::Retry),
                Say::Err => failed(FailureReason::Error),
                Say::Trap => failed(FailureReason::Trap),
            };
            attempts.push(decided);
            if !matches!(decided, Decided::Retried(_)) {
                break;
            }
        }
        Outcome { attempts, outputs }
    }
}

/// The counts of a lane that has handled all of it.
fn counts(inputs: &[Input]) -> Counts {
    let mut counts = Counts::default();
    for Outcome { attempts, outputs } in inputs.iter().map(Input::outcome) {
        counts.outputs += outputs;
        for decided in attempts {
            match decided {
                Decided::Done => counts.done += 1,
                Decided::Dropped => counts.dropped += 1,
                Decided::Retried(_) => counts.retried += 1,
                Decided::DeadLettered(_) => counts.dead_lettered += 1,
                Decided::Duplicate => {}
            }
            match decided.reason() {
                Some(FailureReason::Error) => counts.errors += 1,
                Some(FailureReason::Trap) => counts.trapped += 1,
                _ => {}
            }
        }
    }
    counts
}

/// Says what the script says, and notes each call.
#[derive(Clone)]
struct Model {
    inputs: Arc<Vec<Input>>,
    order: Order,
    calls: Arc<Mutex<Vec<(usize, u32)>>>,
}

impl Handlers for Model {
    fn instantiate(&self, _: CallContext<'_>) -> Result<Box<dyn Handler>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

impl Handler for Model {
    fn handle(&mut self, message: &Message, _: CallContext<'_>) -> Result<Called, Failure> {
        let at = message.offset.expect("a consumer sees offsets").0;
        self.calls.lock().unwrap().push((at as usize, message.attempt));
        let failed = |reason, instance_lost| {
            Err(Failure { reason, detail: "on purpose".into(), instance_lost })
        };
        let verdict = match self.inputs[at as usize].say(message.attempt) {
            Say::Done(count) => Verdict::Done((0..count).map(|it| output(at, it)).collect()),
            Say::Drop => Verdict::Drop("dull".into()),
            Say::Reject => Verdict::DeadLetter("bad".into()),
            Say::Retry(ms) => {
                let (after_ms, reason) = (Some(ms), "later".into());
                Verdict::Retry(RetryRequest { after_ms, reason })
            }
            Say::Err => return failed(FailureReason::Error, false),
            Say::Trap => return failed(FailureReason::Trap, true),
        };
        Ok(Called::Verdict(verdict))
    }
}

impl Model {
    /// Whether a later record has to wait for an earlier one.
    fn waits(&self, later: usize, earlier: usize) -> bool {
        let (later, earlier) = (self.inputs[later].key, self.inputs[earlier].key);
        self.order == Order::Partition || (later.is_some() && later == earlier)
    }

    /// No call before its turn: each attempt after the one before it, and only when all that it has to wait for
    /// have had their last. A call that a crash undid comes again, so that this is about the first of each.
    fn check_calls(&self) {
        let calls = self.calls.lock().unwrap();
        let mut called = BTreeSet::new();
        for &(at, attempt) in calls.iter() {
            assert!(attempt == 1 || called.contains(&(at, attempt - 1)), "{at} attempt {attempt}");
            for earlier in (0..at).filter(|earlier| self.waits(at, *earlier)) {
                let last = self.inputs[earlier].outcome().attempts.len() as u32;
                assert!(
                    called.contains(&(earlier, last)),
                    "{at} was called before {earlier} was over"
                );
            }
            called.insert((at, attempt));
        }
    }

    fn check(&self, bench: &Bench) {
        let cursor = bench.parts.views.cursor(LANE).unwrap();
        let end = Offset(self.inputs.len() as u64);
        assert_eq!((cursor.floor(), cursor.holes.len()), (end, 0));
        assert_eq!(cursor.record.counts, counts(&self.inputs));
        let outcomes: Vec<Outcome> = self.inputs.iter().map(Input::outcome).collect();
        assert_eq!(
            decisions(bench),
            outcomes.iter().map(|it| it.attempts.clone()).collect::<Vec<_>>()
        );

        let text = |it: &Record| String::from_utf8(it.value.clone().unwrap().to_vec()).unwrap();
        let mut outputs: Vec<String> = bench.read(OUT).iter().map(text).collect();
        let mut expected: Vec<String> = outcomes
            .iter()
            .enumerate()
            .flat_map(|(at, it)| (0..it.outputs).map(move |index| format!("{at}.{index}")))
            .collect();
        if self.order == Order::Key {
            outputs.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(outputs, expected, "each output once");

        let dead: BTreeMap<u64, (String, u32)> = bench
            .read(DEAD)
            .iter()
            .map(|it| DeadLetter::of(it).unwrap())
            .map(|it| (it.source.offset.0, (it.reason, it.attempts)))
            .collect();
        let buried = |(at, it): (usize, &Outcome)| match it.attempts.last()? {
            Decided::DeadLettered(reason) => {
                Some((at as u64, (reason.to_string(), it.attempts.len() as u32)))
            }
            _ => None,
        };
        assert_eq!(dead, outcomes.iter().enumerate().filter_map(buried).collect());
        assert_eq!(bench.read(DEAD).len(), dead.len(), "each dead letter once");
        self.check_calls();
    }
}

/// What was decided of each record, attempt by attempt, as the log tells it.
fn decisions(bench: &Bench) -> Vec<Vec<Decided>> {
    let partition = PartitionId::decisions_of(LANE.deployment).unwrap();
    let mut told = BTreeMap::<u64, Vec<Decided>>::new();
    for record in bench.read(partition) {
        for stretch in DecisionsRecord::decode(record.value.as_deref()).unwrap().stretches {
            for offset in (stretch.from.0..).take(stretch.count as usize) {
                let attempts = told.entry(offset).or_default();
                attempts.push(stretch.decided);
                assert_eq!(
                    attempts.len(),
                    stretch.attempt as usize,
                    "each attempt of {offset} once"
                );
            }
        }
    }
    told.into_values().collect()
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        4 => (0..3_u64).prop_map(Say::Done),
        1 => Just(Say::Drop),
        1 => Just(Say::Reject),
        2 => (0..3_u64).prop_map(Say::Retry),
        1 => Just(Say::Err),
        1 => Just(Say::Trap),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let says = prop::collection::vec(say(), 1..=MAX_ATTEMPTS as usize);
    (prop::option::weighted(0.8, 0..3_u8), says).prop_map(|(key, says)| Input { key, says })
}

fn bench(storage: &FaultyStorage, order: Order, parked_max: u64) -> Bench {
    let mut bench = Bench::open(storage);
    bench.order = order;
    bench.parked_max.records = parked_max;
    bench
}

/// Runs a lane over these inputs, cut off at each of these syncs, and to the end.
async fn run(model: &Model, parked_max: u64, cuts: &[u8]) {
    let storage = FaultyStorage::new();
    let first = bench(&storage, model.order, parked_max);
    first.prepare(0).await;
    for chunk in model.inputs.chunks(7) {
        let record = |it: &Input| Record {
            key: it.key.map(|key| vec![key].into()),
            value: Some("v".into()),
            ..Record::default()
        };
        first.append(SOURCE, &chunk.iter().map(record).collect::<Vec<_>>()).await;
    }
    first.close().await;
    let until = model.inputs.len() as u64;
    for (round, cut) in cuts.iter().enumerate() {
        let bench = bench(&storage, model.order, parked_max);
        storage.stop_at_sync(1 + u64::from(*cut));
        bench.run_lane(bench.lane_of(Arc::new(model.clone())), until).await;
        bench.close().await;
        storage.power_cut(round as u64);
    }
    let last = bench(&storage, model.order, parked_max);
    last.run_lane(last.lane_of(Arc::new(model.clone())), until).await;
    model.check(&last);
    let stands: LaneCursor = last.parts.views.cursor(LANE).unwrap();
    last.close().await;
    // What is known while it runs is what the log says when it is read from the start.
    let again = bench(&storage, model.order, parked_max);
    assert_eq!(again.parts.views.cursor(LANE).unwrap(), stands);
    again.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_lane_does_what_the_model_says_in_both_orders_and_across_power_cuts(
        inputs in prop::collection::vec(input(), 1..40),
        by_key in any::<bool>(),
        parked_max in 1..8_u64,
        cuts in prop::collection::vec(0..8_u8, 0..6),
    ) {
        let order = if by_key { Order::Key } else { Order::Partition };
        let model = Model { inputs: Arc::new(inputs), order, calls: Arc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&model, parked_max, &cuts));
    }
}
