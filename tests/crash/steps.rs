//! The broker dies between any two steps of what it does on its disk: recovering, rolling over,
//! dropping, cleaning and compacting files, writing a snapshot, deploying.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use logmill_client::World;
use logmill_tests::ledger::Ledger;
use logmill_tests::{
    Broker, CountFrom, DataDir, DieAt, Setup, Step, guest, read_all, record, within,
};

use crate::PROGRAM;
use crate::crash::sweep::{
    Died, Sweep, TOPIC, journal_files, large, load, send_large, until_dead_or,
};

/// Files that are soon full.
const SMALL_FILES: &str = "journal_file_bytes = \"1MiB\"\nretention_interval_ms = 20\n";

/// A topic that is there to fill files.
const FILLER: &str = "filler";

/// A directory with the ledger's topic and another one, prepared by a broker that ends in order.
async fn prepared(
    other: &str,
    prepare: impl AsyncFnOnce(&Broker, &mut Ledger),
) -> (DataDir, Ledger) {
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let config = Some(SMALL_FILES.to_owned());
    let broker = Broker::start_with(PROGRAM, Setup { config, ..Setup::on(&data) }).await;
    broker.create_topic(TOPIC, 2).await;
    broker.create_topic(other, 1).await;
    broker.create_topic(FILLER, 1).await;
    prepare(&broker, &mut ledger).await;
    broker.terminate().await;
    (data, ledger)
}

fn on<'a>(data: &'a DataDir, path: &'static str) -> Sweep<'a> {
    Sweep { data, config: Some(SMALL_FILES), path, from: CountFrom::Armed, every: 3 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_dies_at_any_step_and_the_next_one_finds_all() {
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, 2).await;
    broker.kill().await;
    // Killed in the middle of a write, so that there is something to recover.
    let (path, nth, from) = ("journal/".to_owned(), 60, CountFrom::Start);
    let die_at = Some(DieAt { step: Step::AnyTorn, path, nth, from });
    let broker = Broker::start_with(PROGRAM, Setup { die_at, ..Setup::on(&data) }).await;
    load(&broker, 1, 1000, &mut ledger).await;
    assert!(broker.kill_or_killed().await, "it was to die under the load");

    let sweep = Sweep { data: &data, config: None, path: "", from: CountFrom::Start, every: 2 };
    let steps = Cell::new(0);
    let check = async |data: DataDir, died: Died| {
        if died == Died::WhileStarting {
            steps.set(steps.get() + 1);
            let mut ledger = ledger.clone();
            sweep.check(&data, 100, &mut ledger).await;
            sweep.check(&data, 101, &mut ledger).await;
        }
    };
    // Nothing to do but to start.
    sweep.run(async |_| (), check).await;
    assert!(steps.get() > 7, "a recovery has more than {} steps", steps.get());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dies_at_any_step_of_going_on_in_a_new_file() {
    let (data, ledger) = prepared("large", async |_: &Broker, _: &mut Ledger| ()).await;
    let (sweep, state) = (on(&data, "journal/"), Cell::new(ledger.clone()));
    let act = async |broker: &Broker| {
        let mut sent = ledger.clone();
        send_large(broker, "large", 0..16).await;
        broker.arm();
        load(broker, 1, 30, &mut sent).await;
        state.set(sent);
    };
    let check = async |data: DataDir, _: Died| {
        let mut ledger = state.take();
        sweep.check(&data, 100, &mut ledger).await;
        sweep.check(&data, 101, &mut ledger).await;
    };
    let steps = sweep.run(act, check).await;
    assert!(steps > 5, "there are more than {steps} steps");
}

/// While files are cleaned, others become full.
async fn fill_a_file(broker: &Broker) {
    send_large(broker, FILLER, 0..18).await;
}

/// Kills brokers at the steps that this change of a topic's policy makes them do, until of the
/// files that were prepared no more than one is left; returns how many steps there are.
async fn kill_while_cleaning(
    (data, ledger): (DataDir, Ledger),
    alter: &[&str],
    check_more: impl AsyncFn(&Broker),
) -> u64 {
    let sweep = Sweep { every: 4, ..on(&data, "") };
    let prepared = journal_files(data.path());
    let is_clean = |data: &Path| prepared.intersection(&journal_files(data)).count() <= 1;
    let act = async |broker: &Broker| {
        broker.arm();
        tokio::select! {
            () = async {
                broker.logmill(alter).await;
                fill_a_file(broker).await;
            } => {}
            () = broker.died() => {}
        }
        until_dead_or(broker, "the files are cleaned", is_clean).await;
    };
    let check = async |data: DataDir, _: Died| {
        let mut ledger = ledger.clone();
        sweep.check(&data, 100, &mut ledger).await;
        let broker = Broker::start_with(PROGRAM, sweep.setup(&data)).await;
        check_more(&broker).await;
        broker.logmill(alter).await.ok();
        fill_a_file(&broker).await;
        // What was begun is done, or done again.
        until_dead_or(&broker, "the files are cleaned after all", is_clean).await;
        ledger.check(&broker.client().await, TOPIC).await;
        check_more(&broker).await;
        broker.kill().await;
        sweep.check(&data, 101, &mut ledger).await;
    };
    sweep.run(act, check).await
}

/// What is left of a topic of large records is what was sent, without a gap.
async fn check_large(broker: &Broker, topic: &str, sent: usize) {
    let read = read_all(&broker.client().await, topic).await;
    let first = read.first().map_or(sent as u64, |it| it.offset.0);
    assert_eq!(read.len() as u64, sent as u64 - first);
    for (it, offset) in read.iter().zip(first..) {
        let (_, value) = large(usize::try_from(offset).unwrap());
        assert_eq!((it.offset.0, it.record.value.as_deref()), (offset, Some(&value[..])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dies_at_any_step_of_dropping_files() {
    let prepared = prepared("large", async |broker: &Broker, ledger: &mut Ledger| {
        send_large(broker, "large", 0..60).await;
        load(broker, 1, 30, ledger).await;
    })
    .await;
    let alter = ["topic", "alter", "large", "--retention-bytes", "1"];
    let steps = kill_while_cleaning(prepared, &alter, async |broker: &Broker| {
        check_large(broker, "large", 60).await;
    })
    .await;
    assert!(steps > 8, "there are more than {steps} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dies_at_any_step_of_cleaning_files() {
    let prepared = prepared("large", async |broker: &Broker, ledger: &mut Ledger| {
        for round in 0..10 {
            load(broker, 10 + round, 20, ledger).await;
            let first = usize::try_from(round).unwrap() * 5;
            send_large(broker, "large", first..first + 5).await;
        }
    })
    .await;
    let alter = ["topic", "alter", "large", "--retention-bytes", "1"];
    let steps = kill_while_cleaning(prepared, &alter, async |broker: &Broker| {
        check_large(broker, "large", 50).await;
    })
    .await;
    assert!(steps > 12, "there are more than {steps} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dies_at_any_step_of_compacting_a_topic() {
    const SENT: usize = 60;
    let prepared = prepared("large", async |broker: &Broker, ledger: &mut Ledger| {
        load(broker, 1, 30, ledger).await;
        send_large(broker, "large", 0..SENT).await;
    })
    .await;
    let alter = ["topic", "alter", "large", "--compact"];
    let steps = kill_while_cleaning(prepared, &alter, async |broker: &Broker| {
        let mut last = BTreeMap::new();
        for it in read_all(&broker.client().await, "large").await {
            let (key, value) = large(usize::try_from(it.offset.0).unwrap());
            let (found_key, found) = (it.record.key.as_deref(), it.record.value.as_deref());
            assert_eq!((found_key, found), (Some(key.as_bytes()), Some(&value[..])));
            assert!(last.insert(key, it.offset.0).is_none_or(|before| before < it.offset.0));
        }
        for nth in SENT - 12..SENT {
            assert_eq!(last[&large(nth).0], nth as u64, "the last value of each key is there");
        }
    })
    .await;
    assert!(steps > 12, "there are more than {steps} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_dies_at_any_step_of_writing_its_snapshot() {
    let (data, ledger) = prepared("large", async |broker: &Broker, ledger: &mut Ledger| {
        load(broker, 1, 20, ledger).await;
    })
    .await;
    let sweep = Sweep { every: 1, ..on(&data, "views/") };
    let act = async |broker: &Broker| {
        broker.create_topic("new", 1).await;
        broker.arm();
        broker.ask_to_end();
        within("it ends", broker.died()).await;
    };
    let check = async |data: DataDir, _: Died| {
        let mut ledger = ledger.clone();
        sweep.check(&data, 100, &mut ledger).await;
        let broker = Broker::start_with(PROGRAM, sweep.setup(&data)).await;
        assert!(broker.has_topic("new").await);
        broker.kill().await;
    };
    let steps = sweep.run(act, check).await;
    assert!(steps >= 3, "there are more than {steps} steps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_dies_at_any_step_and_is_there_whole_or_not_at_all() {
    let component = guest("scripted").await;
    let data = DataDir::new();
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic(TOPIC, 1).await;
    broker.terminate().await;

    let flags = format!("--on {TOPIC} --out out --from earliest");
    let deployed = Cell::new(false);
    let act = async |broker: &Broker| {
        broker.arm();
        deployed.set(false);
        tokio::select! {
            ran = broker.try_deploy("c", World::Consumer, &component, &flags) => {
                deployed.set(ran.code == Some(0));
            }
            () = broker.died() => {}
        }
    };
    let check = async |data: DataDir, _: Died| {
        let broker = Broker::start_on(PROGRAM, &data).await;
        let there = broker.admin().await.deployments().await.unwrap();
        assert!(!deployed.get() || there.len() == 1, "it was deployed, and is gone");
        if there.is_empty() {
            broker.deploy("c", World::Consumer, &component, &flags).await;
        }
        broker.running("c").await;
        let client = broker.client().await;
        let producer = client.producer(TOPIC.parse().unwrap()).await.unwrap();
        producer.send(record("k", "1 done")).await.unwrap().wait().await.unwrap();
        within("its outcome", broker.settled("c")).await;
        assert_eq!(read_all(&client, "out").await.len(), 1);
        client.close().await;
        broker.kill().await;
    };
    let sweep = Sweep { data: &data, config: None, path: "", from: CountFrom::Armed, every: 1 };
    let steps = sweep.run(act, check).await;
    assert!(steps > 5, "a deploy has more than {steps} steps");
}
