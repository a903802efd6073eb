//! What was acknowledged is there while files roll over, records expire, and files are dropped and
//! rewritten, whenever the broker is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill_client::{Client, ConsumedRecord};
use logmill_tests::ledger::Ledger;
use logmill_tests::{Broker, Chance, DataDir, Setup, read_all, record, rounds, until};
use tokio::task::JoinHandle;

use crate::PROGRAM;
use crate::crash::producers::{Load, PARTITIONS, TOPIC};
use crate::crash::sweep::{journal_files, large};

/// Files that are full after a few large records.
const SMALL_FILES: &str = "journal_file_bytes = \"1MiB\"\nretention_interval_ms = 20\n";
/// A topic of large records that keeps its newest ones.
const SHORT: &str = "short";
/// A topic of large records that keeps the last one of each key.
const COMPACTED: &str = "compacted";

fn setup(data: &DataDir) -> Setup {
    Setup { config: Some(SMALL_FILES.to_owned()), ..Setup::on(data) }
}

async fn make_topics(broker: &Broker) {
    broker.create_topic(TOPIC, PARTITIONS).await;
    let create = ["topic", "create", SHORT, "--retention-bytes", "300KiB"];
    broker.logmill(&create).await.ok();
    broker.logmill(&["topic", "create", COMPACTED, "--compact"]).await.ok();
}

/// A topic of one partition whose record at offset N is the Nth large one.
struct Large {
    topic: &'static str,
    /// How many were acknowledged: one was on its way at most.
    acked: u64,
}

/// Large records on their way.
struct Sending {
    client: Client,
    acked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Large {
    /// Compares what is there with what must be, and goes on behind it.
    async fn check(&mut self, broker: &Broker, holds: impl Fn(u64, &[ConsumedRecord])) {
        let (client, topic) = (broker.client().await, self.topic.parse().unwrap());
        let end = client.admin().topic(topic).await.unwrap().partitions[0].end.0;
        let (topic, acked) = (self.topic, self.acked);
        assert!((acked..=acked + 1).contains(&end), "{topic} ends at {end}, {acked} were acked");
        let read = read_all(&client, topic).await;
        for it in &read {
            let (key, value) = large(usize::try_from(it.offset.0).unwrap());
            let found = (it.record.key.as_deref(), it.record.value.as_deref());
            let is_same = found == (Some(key.as_bytes()), Some(&value[..]));
            assert!(is_same, "{topic} {} is altered", it.offset);
        }
        assert!(read.is_sorted_by(|a, b| a.offset < b.offset), "each is there once");
        assert_eq!(read.last().map_or(0, |it| it.offset.0 + 1), end, "the newest of {topic}");
        holds(end, &read);
        self.acked = end;
    }

    async fn send(&self, broker: &Broker) -> Sending {
        let client = broker.client().await;
        let producer = client.producer(self.topic.parse().unwrap()).await.unwrap();
        let (begin, acked) = (self.acked, Arc::new(AtomicU64::new(self.acked)));
        let counted = Arc::clone(&acked);
        let task = tokio::spawn(async move {
            for nth in begin.. {
                let (key, value) = large(usize::try_from(nth).unwrap());
                let Ok(sent) = producer.send(record(&key, value)).await else { return };
                if sent.wait().await.is_err() {
                    return;
                }
                counted.store(nth + 1, Ordering::Relaxed);
            }
        });
        Sending { client, acked, task }
    }
}

impl Sending {
    /// How many were acknowledged, now that the broker is gone.
    async fn end(self) -> u64 {
        self.client.close().await;
        self.task.await.unwrap();
        self.acked.load(Ordering::Relaxed)
    }
}

/// Nothing is missing between the first and the last.
fn is_dense(_: u64, read: &[ConsumedRecord]) {
    let offsets = read.iter().map(|it| it.offset.0);
    assert!(offsets.zip(read.first().map_or(0, |it| it.offset.0)..).all(|(a, b)| a == b));
}

/// The last record of each key is there.
fn has_last_values(end: u64, read: &[ConsumedRecord]) {
    let key = |nth: u64| large(usize::try_from(nth).unwrap()).0;
    let found: BTreeMap<String, u64> =
        read.iter().map(|it| (key(it.offset.0), it.offset.0)).collect();
    let expected: BTreeMap<String, u64> =
        (end.saturating_sub(12)..end).map(|nth| (key(nth), nth)).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_batches_are_there_while_files_are_rolled_over_dropped_and_cleaned() {
    let mut chance = Chance::new();
    let (data, mut ledger) = (DataDir::new(), Ledger::default());
    let [mut short, mut compacted] = [SHORT, COMPACTED].map(|topic| Large { topic, acked: 0 });
    let (mut kills, mut files) = (0, BTreeSet::new());
    for round in rounds(8) {
        if chance.once_in(2) {
            let moment = chance.time_up_to(Duration::from_millis(80));
            Broker::start_and_kill(PROGRAM, setup(&data), moment).await;
            kills += 1;
        }
        let broker = Broker::start_with(PROGRAM, setup(&data)).await;
        if round == 0 {
            make_topics(&broker).await;
        }
        files.extend(journal_files(data.path()));
        ledger.check(&broker.client().await, TOPIC).await;
        short.check(&broker, is_dense).await;
        compacted.check(&broker, has_last_values).await;
        let load = Load::start(&broker, round, &mut chance).await;
        let larges = [short.send(&broker).await, compacted.send(&broker).await];
        load.until(chance.between(1, 200), chance.time_up_to(Duration::from_millis(600))).await;
        broker.kill().await;
        kills += 1;
        load.end(&mut ledger).await;
        let [short_sent, compacted_sent] = larges;
        short.acked = short_sent.end().await;
        compacted.acked = compacted_sent.end().await;
    }
    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    ledger.check_all(&broker.client().await, TOPIC).await;
    short.check(&broker, is_dense).await;
    compacted.check(&broker, has_last_values).await;
    let (acked, unknown) = ledger.counts();
    let (short, compacted) = (short.acked, compacted.acked);
    eprintln!(
        "{kills} kills; {acked} batches acked, {unknown} cut off; {short} and {compacted} large"
    );
    assert!(acked > 50 && unknown > 0, "{acked} acked, {unknown} cut off");
    until("a file is cleaned", async || {
        (!files.is_subset(&journal_files(data.path()))).then_some(())
    })
    .await;
}
