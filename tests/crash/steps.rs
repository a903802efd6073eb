//! The broker dies between any two steps of what it does on its disk.

use logmill_client::World;
use logmill_tests::ledger::{self, Ledger};
use logmill_tests::mortal_storage::LAST_WORDS;
use logmill_tests::{Broker, Chance, DataDir, DieAt, Setup, Step, guest, read_all, record, within};

use crate::PROGRAM;

const TOPIC: &str = "t";

/// Sends batches until they are all answered or the broker is gone.
async fn load(broker: &Broker, round: u64, batches: u64, ledger: &mut Ledger) {
    let Ok(client) = broker.try_client().await else { return };
    let Ok(producer) = client.producer(TOPIC.parse().unwrap()).await else { return };
    let numbers = (round << 20..).take(usize::try_from(batches).unwrap());
    let sending = ledger::produce(producer, 1, numbers, Chance::of_seed(round), || {});
    tokio::pin!(sending);
    let sent = tokio::select! {
        sent = &mut sending => sent,
        () = broker.died() => {
            // Else it waits for answers until its connection has been idle for long.
            client.clone().close().await;
            sending.await
        }
    };
    client.close().await;
    ledger.add(sent);
}

/// Starts it again, in peace: all that the ledger knows is there, and more can be added.
async fn check(data: &DataDir, round: u64, ledger: &mut Ledger) {
    let broker = Broker::start_on(PROGRAM, data).await;
    ledger.check_all(&broker.client().await, TOPIC).await;
    load(&broker, round, 5, ledger).await;
    ledger.check(&broker.client().await, TOPIC).await;
    broker.kill().await;
}

/// What a broker does while it is killed.
struct Sweep<'a> {
    /// The directory that each begins with a copy of.
    data: &'a DataDir,
    /// Where the steps are counted: the beginning of a path.
    path: &'static str,
}

/// When a broker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Died {
    WhileStarting,
    WhileActing,
}

impl Sweep<'_> {
    /// Kills a broker instead of its first step, then one instead of its second, and so on, until
    /// one has acted without getting so far; `check` gets what each left. Returns how many died
    /// while they acted.
    async fn run(
        &self,
        mut act: impl AsyncFnMut(&Broker),
        mut check: impl AsyncFnMut(DataDir, Died),
    ) -> u64 {
        let mut died = 0;
        for nth in 1.. {
            let data = self.data.copy();
            let step = if nth % 2 == 0 { Step::Any } else { Step::AnyTorn };
            let die_at = Some(DieAt { step, path: self.path.to_owned(), nth });
            match Broker::try_start(PROGRAM, Setup { die_at, ..Setup::on(&data) }).await {
                Err(ended) => {
                    assert!(ended.stderr.contains(LAST_WORDS), "{}", ended.stderr);
                    check(data, Died::WhileStarting).await;
                }
                Ok(broker) => {
                    act(&broker).await;
                    if !broker.kill_or_killed().await {
                        break;
                    }
                    died += 1;
                    check(data, Died::WhileActing).await;
                }
            }
        }
        died
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_dies_at_any_step_and_the_next_one_finds_all() {
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, 2).await;
    broker.kill().await;
    // Killed in the middle of a write, so that there is something to recover.
    let die_at = Some(DieAt { step: Step::AnyTorn, path: "journal/".to_owned(), nth: 60 });
    let broker = Broker::start_with(PROGRAM, Setup { die_at, ..Setup::on(&data) }).await;
    load(&broker, 1, 1000, &mut ledger).await;
    assert!(broker.kill_or_killed().await, "it was to die under the load");

    let mut deaths = 0;
    let sweep = Sweep { data: &data, path: "" };
    let find_all = async |data: DataDir, died: Died| {
        if died == Died::WhileStarting {
            deaths += 1;
            let mut ledger = ledger.clone();
            check(&data, 2, &mut ledger).await;
            check(&data, 3, &mut ledger).await;
        }
    };
    // Nothing to do but to start: it ends at the first step after that.
    sweep.run(async |_| (), find_all).await;
    assert!(deaths > 15, "a recovery has more than {deaths} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_dies_at_any_step_and_is_there_whole_or_not_at_all() {
    let component = guest("scripted").await;
    let data = DataDir::new();
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, 1).await;
    broker.kill().await;

    let flags = format!("--on {TOPIC} --out out --from earliest");
    let deployed = std::cell::Cell::new(false);
    let act = async |broker: &Broker| {
        deployed.set(false);
        tokio::select! {
            ran = broker.try_deploy("c", World::Consumer, &component, &flags) => deployed.set(ran.code == Some(0)),
            () = broker.died() => {}
        }
    };
    let check = async |data: DataDir, died: Died| {
        if died == Died::WhileStarting {
            return;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        let there = broker.admin().await.deployments().await.unwrap();
        assert!(!deployed.get() || there.len() == 1, "it was deployed, and is gone");
        if there.is_empty() {
            broker.deploy("c", World::Consumer, &component, &flags).await;
        }
        broker.running("c").await;
        let client = broker.client().await;
        let producer = client.producer(TOPIC.parse().unwrap()).await.unwrap();
        let ticket = producer.send(record("k", "1 done")).await.unwrap();
        ticket.wait().await.unwrap();
        within("its outcome", broker.settled("c")).await;
        assert_eq!(read_all(&client, "out").await.len(), 1);
        client.close().await;
        broker.kill().await;
    };
    let sweep = Sweep { data: &data, path: "" };
    let died = sweep.run(act, check).await;
    assert!(died > 5, "a deploy has more than {died} steps");
}
