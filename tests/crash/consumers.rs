//! Each input of a consumer has exactly one outcome, whenever the broker dies.

use std::time::Duration;

use logmill_client::{Counts, World};
use logmill_tests::outcomes::{Sender, Told, Verb};
use logmill_tests::{Broker, Chance, DataDir, Setup, guest, rounds};

use crate::PROGRAM;
use crate::crash::compare::no_difference;
use crate::crash::rebuild::rebuilt;

const SCRIPTED: &str = "scripted";
const PARTITIONS: u32 = 3;
const KEYS: u64 = 5;
/// One round's share of the inputs.
const INPUTS: u64 = 60;
const VERBS: [Verb; 8] = [
    Verb::Done(1),
    Verb::Done(1),
    Verb::Done(2),
    Verb::Drop,
    Verb::Reject,
    Verb::Fail,
    Verb::Retry,
    Verb::Flaky(2),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_has_exactly_one_outcome_and_exactly_its_attempts_in_order_of_partitions() {
    run("partition").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_has_exactly_one_outcome_and_exactly_its_attempts_in_order_of_keys() {
    run("key").await;
}

async fn run(order: &str) {
    let component = guest(SCRIPTED).await;
    let (mut chance, data, told) = (Chance::new(), DataDir::new(), Told::new());
    for round in rounds(12) {
        if chance.once_in(4) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic("in", PARTITIONS).await;
            let flags = format!(
                "--on in --out out --from earliest --order {order} --max-attempts 3 --backoff fixed:5ms"
            );
            broker.deploy("c", World::Consumer, &component, &flags).await;
        }
        let before = settled(&broker.describe("c").await.counts);
        let handled = before + chance.between(0, INPUTS);
        let client = broker.client().await;
        let producer = client.producer("in".parse().unwrap()).await.unwrap();
        let sending = tokio::spawn(send(Sender::new(producer, &told), round, chance.fork()));
        let working = broker.described("c", |it| settled(&it.counts) >= handled);
        // The kill cuts both off where they are.
        let _ = tokio::time::timeout(Duration::from_millis(2000), working).await;
        broker.kill().await;
        // Else it waits for the next one.
        client.close().await;
        sending.await.unwrap();
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.settled("c").await;
    let summary = no_difference(&broker, &told, "c").await;
    rebuilt(broker, &["c"]).await;
    assert!(summary.acked > INPUTS, "there was load: {summary:?}");
}

fn settled(counts: &Counts) -> u64 {
    counts.done + counts.dropped + counts.dead_lettered
}

/// Sends a round's inputs, as far as the broker lives.
async fn send(mut sender: Sender, round: u64, mut chance: Chance) {
    for number in 0..INPUTS {
        let verb = VERBS[chance.between(0, 7) as usize];
        let key = format!("k{}", number % KEYS);
        if !sender.send(round * INPUTS + number, Some(&key), verb).await {
            break;
        }
    }
    sender.finish().await;
}
