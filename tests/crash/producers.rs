//! What was acknowledged is there: once, unaltered, at its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill_client::Client;
use logmill_tests::ledger::{self, Ledger};
use logmill_tests::{Broker, Chance, DataDir, Setup, rounds};
use tokio::task::JoinSet;

use crate::PROGRAM;

pub(crate) const TOPIC: &str = "t";
const PRODUCERS: u64 = 4;
pub(crate) const PARTITIONS: u32 = 3;
/// The first batch number of a round: more than a producer sends in one.
const ROUND: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_batches_are_there_once_and_unaltered_and_cut_off_ones_whole_or_not_at_all() {
    let mut chance = Chance::new();
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let mut killed_while_starting = 0;
    for round in rounds(20) {
        if chance.once_in(3) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
            killed_while_starting += 1;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic(TOPIC, PARTITIONS).await;
        }
        ledger.check(&broker.client().await, TOPIC).await;
        let load = Load::start(&broker, round, &mut chance).await;
        load.until(chance.between(1, 400), chance.time_up_to(Duration::from_millis(300))).await;
        broker.kill().await;
        load.end(&mut ledger).await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    ledger.check_all(&broker.client().await, TOPIC).await;
    let (acked, unknown) = ledger.counts();
    eprintln!("{acked} acked, {unknown} cut off, {killed_while_starting} killed while starting");
    assert!(acked > 100, "there was load: {acked}");
    assert!(unknown > 0, "the kills met an idle broker");
}

/// Producers at work.
pub(crate) struct Load {
    clients: Vec<Client>,
    producers: JoinSet<std::collections::HashMap<ledger::BatchId, ledger::Sent>>,
    acked: Arc<AtomicU64>,
}

impl Load {
    pub(crate) async fn start(broker: &Broker, round: u64, chance: &mut Chance) -> Self {
        let (mut clients, mut producers) = (Vec::new(), JoinSet::new());
        let acked = Arc::new(AtomicU64::new(0));
        for id in 0..PRODUCERS {
            let client = broker.client().await;
            let producer = client.producer(TOPIC.parse().unwrap()).await.unwrap();
            clients.push(client);
            let (chance, count) = (chance.fork(), Arc::clone(&acked));
            producers.spawn(ledger::produce(producer, id, round * ROUND.., chance, move || {
                count.fetch_add(1, Ordering::Relaxed);
            }));
        }
        Self { clients, producers, acked }
    }

    /// Waits until so many batches are acked, and then some time more.
    pub(crate) async fn until(&self, batches: u64, and_then: Duration) {
        logmill_tests::until("some batches are acked", async || {
            (self.acked.load(Ordering::Relaxed) >= batches).then_some(())
        })
        .await;
        // The load goes on by itself: this is nothing but a moment that nothing else chooses.
        let _ = tokio::time::timeout(and_then, std::future::pending::<()>()).await;
    }

    /// Takes down what the producers know, now that their broker is gone.
    pub(crate) async fn end(mut self, ledger: &mut Ledger) {
        for client in self.clients {
            // Else a client waits for answers until its connection has been idle for long.
            client.close().await;
        }
        while let Some(sent) = self.producers.join_next().await {
            ledger.add(sent.unwrap());
        }
    }
}
