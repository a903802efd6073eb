//! What a module remembers is exactly what its outputs tell, whenever the broker dies.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_client::{Counts, StateQuery, World};
use logmill_tests::{Broker, Chance, DataDir, Setup, guest, read_all, rounds, text};

use crate::PROGRAM;
use crate::crash::rebuild::rebuilt;

const PARTITIONS: u32 = 3;
const KEYS: u64 = 7;
/// One round's share of the inputs.
const INPUTS: u64 = 80;

type Counted = BTreeMap<(u32, String), u64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_count_of_each_key_is_told_once_and_the_state_is_what_was_told() {
    let component = guest("remembering").await;
    let (mut chance, data) = (Chance::new(), DataDir::new());
    for round in rounds(12) {
        if chance.once_in(4) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic("in", PARTITIONS).await;
            let flags = "--on in --out out --from earliest --max-attempts 3 --backoff fixed:5ms";
            broker.deploy("r", World::Consumer, &component, flags).await;
        }
        let inputs = inputs(round, &mut chance);
        let before = broker.describe("r").await.counts;
        let handled = chance.between(0, INPUTS);
        let produce = ["produce", "in", "--file", "-", "--format", "record"];
        let producing = broker.logmill_with_stdin(&produce, inputs.as_bytes());
        let working = broker.described("r", |it| settled(&it.counts) >= settled(&before) + handled);
        // The kill cuts both off where they are.
        let (produced, _) = tokio::join!(producing, async {
            let _ = tokio::time::timeout(Duration::from_millis(2000), working).await;
        });
        produced.ok();
        broker.kill().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.settled("r").await;
    let (counted, wanted) = (counted(&broker).await, wanted(&broker).await);
    assert_eq!(counted, wanted);
    assert_eq!(remembered(&broker).await, counted);
    let total: u64 = counted.values().sum();
    eprintln!("{total} counts of {} keys", counted.len());
    assert!(total > INPUTS, "there was load");
    let [_, of_log] = rebuilt(broker, &["r"]).await;
    assert_eq!(remembered(&of_log).await, counted);
}

fn settled(counts: &Counts) -> u64 {
    counts.done + counts.dropped + counts.dead_lettered
}

fn inputs(round: u64, chance: &mut Chance) -> String {
    const VERDICTS: [&str; 8] = ["", "", "", " drop", " reject", " fail", " flaky", ""];
    let line = |number: u64, chance: &mut Chance| {
        let key = format!("k{}", chance.between(0, KEYS - 1));
        let verdict = VERDICTS[chance.between(0, 7) as usize];
        let value = format!("{round}-{number} count {key}{verdict}");
        format!("{}\n", serde_json::json!({"key": key, "value": value}))
    };
    (0..INPUTS).map(|number| line(number, chance)).collect()
}

/// How often each key of each lane is to be counted.
async fn wanted(broker: &Broker) -> Counted {
    let mut wanted = Counted::new();
    for input in read_all(&broker.client().await, "in").await {
        let words: Vec<&str> = text(&input.record).split(' ').collect();
        if matches!(words.get(3), None | Some(&"flaky")) {
            *wanted.entry((input.partition, words[2].to_owned())).or_default() += 1;
        }
    }
    wanted
}

/// How often each key was counted, by the outputs: one of each number, in order.
async fn counted(broker: &Broker) -> Counted {
    let mut counted = Counted::new();
    // All records of a key are in one partition, and so are its outputs.
    let partition_of: BTreeMap<String, u32> =
        wanted(broker).await.into_keys().map(|(partition, key)| (key, partition)).collect();
    for output in read_all(&broker.client().await, "out").await {
        let (key, number) = text(&output.record).split_once(' ').unwrap();
        let count = counted.entry((partition_of[key], key.to_owned())).or_default();
        *count += 1;
        assert_eq!(number, count.to_string(), "of {key}");
    }
    counted
}

async fn remembered(broker: &Broker) -> Counted {
    let query = StateQuery::all("r".parse().unwrap());
    let entries = broker.admin().await.module_state(query).await.unwrap();
    let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse().unwrap();
    entries.into_iter().map(|it| ((it.place.partition, it.place.key), number(&it.value))).collect()
}
