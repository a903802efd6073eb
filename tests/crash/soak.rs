//! Many inputs, produced while they are handled, through kills of the broker all the time: each has exactly
//! one outcome.

use std::time::Duration;

use logmill_client::{Client, Counts, DeploymentStatus, ProducerOptions, World};
use logmill_tests::outcomes::{Sender, Told, Verb};
use logmill_tests::{Broker, Chance, DataDir, guest, soak};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::PROGRAM;
use crate::crash::compare::no_difference;
use crate::crash::rebuild::rebuilt;

const PARTITIONS: u32 = 4;
const PRODUCERS: u64 = 8;
const KEYS: u64 = 2000;
/// At least; and so many for each second of a soak, of which 200 make a million.
const INPUTS: u64 = 20_000;
const INPUTS_PER_SECOND: u64 = 5000;
/// So many inputs, or a tenth of all, producers may be ahead of what has an outcome: there are new ones until
/// the end, and enough to do while producers find out that their broker is gone, which takes them ten seconds.
const AHEAD_MIN: u64 = 10_000;
/// More than any run needs.
const KILLS_MAX: u64 = 5000;

/// How the run goes.
#[derive(Debug, Clone, Copy)]
struct Plan {
    inputs: u64,
    /// How long a broker lives.
    life: Duration,
    /// How far producers may be ahead.
    ahead: u64,
    /// A broker that has settled so many dies before its time.
    settled_max: u64,
}

impl Plan {
    fn new() -> Self {
        let inputs = INPUTS.max(soak().as_secs() * INPUTS_PER_SECOND);
        let is_short = inputs == INPUTS;
        let settled_max = if is_short { inputs / 5 } else { inputs };
        let (life, ahead) = (Duration::from_secs(2), AHEAD_MIN.max(inputs / 10));
        Self { inputs, life, ahead, settled_max }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_input_has_one_outcome_though_the_broker_is_killed_every_two_seconds() {
    let (plan, mut chance, data, told) = (Plan::new(), Chance::new(), DataDir::new(), Told::new());
    let component = guest("scripted").await;
    let mut broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("in", PARTITIONS).await;
    broker.create_topic("out", PARTITIONS).await;
    let flags =
        "--on in --out out --from earliest --order key --max-attempts 3 --backoff fixed:20ms";
    broker.deploy("c", World::Consumer, &component, flags).await;
    let (settled, watched) = watch::channel(0);
    let (mut clients, mut producing) = (Vec::new(), JoinSet::new());
    for nth in 0..PRODUCERS {
        let (client, sender) = producer(&broker, &told).await;
        clients.push(client);
        let ids = (nth..plan.inputs).step_by(usize::try_from(PRODUCERS).unwrap());
        producing.spawn(produce(sender, ids, chance.fork(), (watched.clone(), plan.ahead)));
    }
    let (began, mut kills) = (Instant::now(), 0);
    while !live(&broker, plan, &settled, &mut chance).await {
        broker.kill().await;
        kills += 1;
        assert!(kills < KILLS_MAX, "it comes to no end: {:?}", *settled.borrow());
        broker = Broker::start_on(PROGRAM, &data).await;
    }
    while let Some(produced) = producing.join_next().await {
        produced.unwrap();
    }
    let took = began.elapsed();
    let summary = no_difference(&broker, &told, "c").await;
    eprintln!("{} inputs, {kills} kills, {took:?}", summary.inputs);
    assert_eq!((summary.inputs, summary.acked, summary.unknown), (plan.inputs, plan.inputs, 0));
    assert!(kills > 2, "it was killed {kills} times");
    rebuilt(broker, &["c"]).await;
}

/// A producer that lives through the kills of its broker: it sends again what has no answer.
async fn producer(broker: &Broker, told: &std::sync::Arc<Told>) -> (Client, Sender) {
    let client = broker.client().await;
    let retry_for = Duration::from_secs(120);
    let options = ProducerOptions { retry_for, ..ProducerOptions::default() };
    let producer = client.producer_with("in".parse().unwrap(), options).await.unwrap();
    (client, Sender::new(producer, told))
}

async fn produce(
    mut sender: Sender,
    ids: impl Iterator<Item = u64>,
    mut chance: Chance,
    (mut settled, ahead): (watch::Receiver<u64>, u64),
) {
    for id in ids {
        settled.wait_for(|settled| id < settled + ahead).await.unwrap();
        let key = format!("k{}", chance.between(1, KEYS));
        assert!(sender.send(id, Some(&key), verb(&mut chance)).await, "the producer gave up");
    }
    sender.finish().await;
}

/// Most are done, and one in fifty only at its second or third attempt.
fn verb(chance: &mut Chance) -> Verb {
    match chance.between(1, 1000) {
        1..=20 => Verb::Flaky(u8::try_from(chance.between(1, 2)).unwrap()),
        21..=60 => Verb::Drop,
        61..=65 => Verb::Reject,
        66..=70 => Verb::Fail,
        71..=75 => Verb::Retry,
        76..=95 => Verb::Done(3),
        96..=100 => Verb::Done(0),
        _ => Verb::Done(1),
    }
}

/// Lets a broker live for its time; tells whether all inputs have their outcome.
async fn live(
    broker: &Broker,
    plan: Plan,
    settled: &watch::Sender<u64>,
    chance: &mut Chance,
) -> bool {
    let end = Instant::now() + plan.life;
    let enough = *settled.borrow() + chance.between(1, plan.settled_max);
    let admin = broker.admin().await;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    loop {
        looks.tick().await;
        let found = admin.deployment("c".parse().unwrap()).await.unwrap();
        let Counts { done, dropped, dead_lettered, .. } = found.counts;
        let now = done + dropped + dead_lettered;
        settled.send_replace(now);
        let runs = found.state == DeploymentStatus::Running;
        if now == plan.inputs && runs && found.lanes.iter().all(|lane| lane.lag == 0) {
            return true;
        }
        if Instant::now() >= end || (plan.settled_max < plan.inputs && now >= enough) {
            return false;
        }
    }
}
