//! A broker is killed instead of its first step, the next one instead of its second, and so on:
//! the harness of the tests that do so.

use std::collections::BTreeSet;
use std::path::Path;

use logmill_tests::ledger::{self, Ledger};
use logmill_tests::mortal_storage::LAST_WORDS;
use logmill_tests::{Broker, Chance, CountFrom, DataDir, DieAt, Setup, Step, record, rounds};

use crate::PROGRAM;

/// The topic of the ledger.
pub(crate) const TOPIC: &str = "t";
/// The size of a record of which a few fill a file.
const LARGE_BYTES: usize = 60_000;

/// What broker is killed, and where.
pub(crate) struct Sweep<'a> {
    /// The directory that each begins with a copy of.
    pub(crate) data: &'a DataDir,
    /// The text of its settings file.
    pub(crate) config: Option<&'a str>,
    /// Which steps count: the beginning of their paths.
    pub(crate) path: &'static str,
    /// When they begin to count.
    pub(crate) from: CountFrom,
    /// How many steps lie between two kills.
    pub(crate) every: u64,
}

/// When a broker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Died {
    WhileStarting,
    WhileActing,
}

impl Sweep<'_> {
    /// Kills brokers until one has acted without getting to the step; `check` gets what each left.
    /// Returns at how many steps there are.
    pub(crate) async fn run(
        &self,
        mut act: impl AsyncFnMut(&Broker),
        mut check: impl AsyncFnMut(DataDir, Died),
    ) -> u64 {
        let (mut chance, mut steps) = (Chance::new(), 0);
        // Each sweep begins at a step of its own.
        for _ in rounds(1) {
            steps = self.once(&mut chance, &mut act, &mut check).await;
        }
        steps
    }

    async fn once(
        &self,
        chance: &mut Chance,
        act: &mut impl AsyncFnMut(&Broker),
        check: &mut impl AsyncFnMut(DataDir, Died),
    ) -> u64 {
        let mut nth = chance.between(1, self.every);
        loop {
            let data = self.data.copy();
            let step = if chance.once_in(2) { Step::AnyTorn } else { Step::Any };
            let die_at = Some(DieAt { step, path: self.path.to_owned(), nth, from: self.from });
            let setup = Setup { die_at, ..self.setup(&data) };
            let died = match Broker::try_start(PROGRAM, setup).await {
                Err(ended) => {
                    assert!(ended.stderr.contains(LAST_WORDS), "{}", ended.stderr);
                    Died::WhileStarting
                }
                Ok(broker) => {
                    act(&broker).await;
                    if !broker.kill_or_killed().await {
                        return nth - 1;
                    }
                    Died::WhileActing
                }
            };
            check(data, died).await;
            nth += self.every;
        }
    }

    /// How to start a broker on what another one has left.
    pub(crate) fn setup(&self, data: &DataDir) -> Setup {
        Setup { config: self.config.map(str::to_owned), ..Setup::on(data) }
    }

    /// Starts one in peace: all that the ledger knows is there, and more can be added.
    pub(crate) async fn check(&self, data: &DataDir, round: u64, ledger: &mut Ledger) {
        let broker = Broker::start_with(PROGRAM, self.setup(data)).await;
        ledger.check_all(&broker.client().await, TOPIC).await;
        load(&broker, round, 5, ledger).await;
        ledger.check(&broker.client().await, TOPIC).await;
        broker.kill().await;
    }
}

/// Sends batches until they are all answered or the broker is gone.
pub(crate) async fn load(broker: &Broker, round: u64, batches: u64, ledger: &mut Ledger) {
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

/// The nth large record of a topic: one of a few keys, and a value that says which it is.
pub(crate) fn large(nth: usize) -> (String, Vec<u8>) {
    let mut chance = Chance::of_seed(nth as u64);
    let filler = std::iter::repeat_with(|| chance.number().to_le_bytes()).flatten();
    let value = format!("{nth} ").into_bytes().into_iter().chain(filler);
    (format!("key {}", nth % 12), value.take(LARGE_BYTES).collect())
}

/// Sends these large records, one after another, to a topic of one partition, for as long as the
/// broker lives.
pub(crate) async fn send_large(broker: &Broker, topic: &str, numbers: std::ops::Range<usize>) {
    let sending = async {
        let client = broker.try_client().await?;
        let producer = client.producer(topic.parse().unwrap()).await?;
        for nth in numbers {
            let (key, value) = large(nth);
            producer.send(record(&key, value)).await?.wait().await?;
        }
        client.close().await;
        Ok::<(), logmill_client::Error>(())
    };
    tokio::select! {
        // An error: it dies.
        _ = sending => {}
        () = broker.died() => {}
    }
}

/// Waits until this holds of the data directory, or the broker is dead.
pub(crate) async fn until_dead_or(broker: &Broker, what: &str, holds: impl Fn(&Path) -> bool) {
    let path = broker.data().path().to_owned();
    tokio::select! {
        () = broker.died() => {}
        () = logmill_tests::until(what, async || holds(&path).then_some(())) => {}
    }
}

/// The journal files of a data directory.
pub(crate) fn journal_files(data: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data.join("journal")).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".journal")).collect()
}
