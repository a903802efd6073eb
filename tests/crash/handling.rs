//! The broker dies at any step of consume → call → commit.

use std::sync::Arc;

use logmill_client::{DeploymentStatus, World};
use logmill_tests::outcomes::{Sender, Told, Verb};
use logmill_tests::{
    Broker, Chance, CountFrom, DataDir, Setup, guest, lethal, rounds, soaks, within,
};

use crate::PROGRAM;
use crate::crash::compare::no_difference;
use crate::crash::sweep::{Died, Sweep};

const PARTITIONS: u32 = 2;
const KEYS: u64 = 3;
/// So that none is the beginning of another.
const FIRST_ID: u64 = 100;
/// Of each verb a few. Who fails is followed by others of its key.
const VERBS: [Verb; 14] = [
    Verb::Done(1),
    Verb::Flaky(1),
    Verb::Drop,
    Verb::Done(2),
    Verb::Reject,
    Verb::Fail,
    Verb::Done(0),
    Verb::Retry,
    Verb::Done(1),
    Verb::Flaky(1),
    Verb::Reject,
    Verb::Drop,
    Verb::Fail,
    Verb::Done(1),
];

/// A directory with a deployment that stands still and has inputs before it, and what was told of them.
async fn prepared(order: &str) -> (DataDir, Arc<Told>) {
    let (component, data, told) = (guest("scripted").await, DataDir::new(), Told::new());
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("in", PARTITIONS).await;
    let flags = format!(
        "--on in --out out --from earliest --paused --order {order} --max-attempts 2 --backoff fixed:1ms"
    );
    broker.deploy("c", World::Consumer, &component, &flags).await;
    let client = broker.client().await;
    let producer = client.producer("in".parse().unwrap()).await.unwrap();
    let mut sender = Sender::new(producer, &told);
    for (id, verb) in (FIRST_ID..).zip(VERBS) {
        assert!(sender.send(id, Some(&format!("k{}", id % KEYS)), verb).await);
    }
    sender.finish().await;
    client.close().await;
    broker.terminate().await;
    (data, told)
}

/// Works until all inputs have their outcome, or the broker dies.
async fn work(broker: &Broker) {
    let working = async {
        broker.logmill(&["module", "resume", "c"]).await;
        let Ok(client) = broker.try_client().await else { return broker.died().await };
        loop {
            let Ok(found) = client.admin().deployment("c".parse().unwrap()).await else {
                return broker.died().await;
            };
            if found.state == DeploymentStatus::Running && found.lanes.iter().all(|it| it.lag == 0)
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let either = async {
        tokio::select! {
            () = working => {}
            () = broker.died() => {}
        }
    };
    within("it works or dies", either).await;
}

/// A broker that is let alone finishes what another one has begun.
async fn finish(data: &DataDir, told: &Told) {
    let broker = Broker::start_on(PROGRAM, data).await;
    broker.logmill(&["module", "resume", "c"]).await;
    broker.settled("c").await;
    let summary = no_difference(&broker, told, "c").await;
    assert_eq!(summary.acked, VERBS.len() as u64);
    broker.kill().await;
}

async fn die_at_any_step(order: &str, every: u64) {
    let (data, told) = prepared(order).await;
    let every = if soaks() { 1 } else { every };
    let (path, from) = ("journal/", CountFrom::Armed);
    let sweep = Sweep { data: &data, config: None, path, from, every };
    let act = async |broker: &Broker| {
        broker.arm();
        work(broker).await;
    };
    let check = async |data: DataDir, _: Died| finish(&data, &told).await;
    let steps = sweep.run(act, check).await;
    eprintln!("{steps} steps");
    // How many there are depends on which commits of the two lanes are made durable together.
    assert!(steps >= 8, "there are more than {steps} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_dies_at_any_step_of_its_commits_in_order_of_the_partition() {
    die_at_any_step("partition", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_dies_at_any_step_of_its_commits_in_order_of_keys() {
    die_at_any_step("key", 2).await;
}

async fn die_at_any_call(order: &str, every: u64) {
    let (data, told) = prepared(order).await;
    let mut chance = Chance::new();
    let every = if soaks() { 1 } else { every };
    for _ in rounds(1) {
        let first = FIRST_ID + chance.between(0, every - 1);
        let last = FIRST_ID + VERBS.len() as u64 - 1;
        for id in (first..=last).step_by(usize::try_from(every).unwrap()) {
            let data = data.copy();
            let wrapper = vec!["env".to_owned(), format!("{}={id} ", lethal::VARIABLE)];
            let setup = Setup { wrapper, ..Setup::on(&data) };
            let broker = Broker::start_with(PROGRAM, setup).await;
            work(&broker).await;
            assert!(broker.has_ended(), "it dies before the call with {id}");
            finish(&data, &told).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_dies_before_any_call_in_order_of_the_partition() {
    die_at_any_call("partition", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_dies_before_any_call_in_order_of_keys() {
    die_at_any_call("key", 4).await;
}
