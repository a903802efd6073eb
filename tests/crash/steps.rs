//! The broker dies between any two steps of what it does on its disk.

use logmill_tests::ledger::{self, Ledger};
use logmill_tests::{Broker, Chance, DataDir, DieAt, Setup, Step};

use crate::PROGRAM;

const TOPIC: &str = "t";

/// Sends batches, one after another, until they are all answered or the broker is gone.
async fn load(broker: &Broker, round: u64, batches: u64, ledger: &mut Ledger) {
    let Ok(client) = broker.try_client().await else { return };
    let Ok(producer) = client.producer(TOPIC.parse().unwrap()).await else { return };
    let (chance, numbers) = (Chance::of_seed(round), round << 20..);
    let numbers = numbers.take(usize::try_from(batches).unwrap());
    let sending = ledger::produce(producer, 1, numbers, chance, || {});
    let sent = logmill_tests::within("the batches are answered", sending).await;
    client.close().await;
    ledger.add(sent);
}

/// A directory as a broker leaves it that is killed in the middle of a write.
async fn crashed() -> (DataDir, Ledger) {
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, 2).await;
    broker.kill().await;
    let nth = 60;
    let die_at = Some(DieAt { step: Step::AnyTorn, path: "journal/".to_owned(), nth });
    let broker = Broker::start_with(PROGRAM, Setup { die_at, ..Setup::on(&data) }).await;
    load(&broker, 1, 1000, &mut ledger).await;
    assert!(broker.kill_or_killed().await, "it was to die under the load");
    (data, ledger)
}

/// Starts it again, in peace: all that the ledger knows is there, and more can be added.
async fn check(data: &DataDir, round: u64, ledger: &mut Ledger) {
    let broker = Broker::start_on(PROGRAM, data).await;
    ledger.check_all(&broker.client().await, TOPIC).await;
    load(&broker, round, 5, ledger).await;
    ledger.check(&broker.client().await, TOPIC).await;
    broker.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_dies_at_any_step_and_the_next_one_finds_all() {
    let (crashed, ledger) = crashed().await;
    let mut deaths = 0;
    for nth in 1.. {
        let (data, mut ledger) = (crashed.copy(), ledger.clone());
        let step = if nth % 2 == 0 { Step::Any } else { Step::AnyTorn };
        let die_at = Some(DieAt { step, path: String::new(), nth });
        match Broker::try_start(PROGRAM, Setup { die_at, ..Setup::on(&data) }).await {
            Ok(broker) => {
                broker.kill_or_killed().await;
                break;
            }
            Err(ended) => {
                assert!(ended.stderr.contains("killed at"), "{}", ended.stderr);
                deaths += 1;
            }
        }
        check(&data, 2, &mut ledger).await;
        check(&data, 3, &mut ledger).await;
    }
    assert!(deaths > 8, "a recovery has more than {deaths} steps");
}
