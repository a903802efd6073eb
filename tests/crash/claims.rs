//! What is to be done once is done once, however often it is sent and whenever the broker dies.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_client::{Counts, Record, World};
use logmill_tests::{Broker, Chance, DataDir, Setup, guest, read_all, rounds, text};

use crate::PROGRAM;
use crate::crash::rebuild::{rebuilt, say_the_same};

const PARTITIONS: u64 = 3;
/// One round's share of the keys.
const KEYS: u64 = 60;
/// By the key that a record has, and by the one that the module claims.
const DEPLOYMENTS: [(&str, &str); 2] = [("declared", "--idempotency header:id"), ("claimed", "")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_has_its_effect_once_though_it_is_sent_up_to_three_times() {
    let component = guest("remembering").await;
    let (mut chance, data) = (Chance::new(), DataDir::new());
    for round in rounds(12) {
        if chance.once_in(4) {
            let moment = chance.time_up_to(Duration::from_millis(60));
            Broker::start_and_kill(PROGRAM, Setup::on(&data), moment).await;
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic("in", u32::try_from(PARTITIONS).unwrap()).await;
            for (name, more) in DEPLOYMENTS {
                let flags = format!(
                    "--on in --out {name}.out --from earliest --max-attempts 3 --backoff fixed:5ms {more}"
                );
                broker.deploy(name, World::Consumer, &component, &flags).await;
            }
        }
        let before = settled(&broker.describe("declared").await.counts);
        let handled = before + chance.between(0, 2 * KEYS);
        let sending = send(&broker, round, &mut chance);
        let working = broker.described("declared", |it| settled(&it.counts) >= handled);
        // The kill cuts both off where they are.
        tokio::join!(sending, async {
            let _ = tokio::time::timeout(Duration::from_millis(2000), working).await;
        });
        broker.kill().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    check_all(&broker).await;
    // What is claimed is claimed for whoever has nothing but the log, too.
    let names = DEPLOYMENTS.map(|(name, _)| name);
    let both = rebuilt(broker, &names).await;
    for broker in &both {
        send_again(broker).await;
    }
    say_the_same(&both, &names).await;
    for broker in &both {
        check_all(broker).await;
    }
}

async fn check_all(broker: &Broker) {
    for (name, _) in DEPLOYMENTS {
        let counts = broker.settled(name).await.counts;
        check(broker, name, counts).await;
    }
}

fn settled(counts: &Counts) -> u64 {
    counts.done + counts.dropped + counts.dead_lettered + counts.duplicates
}

/// Sends new keys, each to one partition or more at once, in an order of their own.
async fn send(broker: &Broker, round: u64, chance: &mut Chance) {
    const VERDICTS: [&str; 6] = ["", "", "", " flaky", " drop", " reject"];
    let mut lines = vec![String::new(); usize::try_from(PARTITIONS).unwrap()];
    for number in 0..KEYS {
        let id = format!("{round}-{number}");
        let verdict = VERDICTS[chance.between(0, 5) as usize];
        let record = serde_json::json!({
            "value": format!("{id} once key-{id}{verdict}"), "headers": [["id", id]],
        });
        for _ in 0..chance.between(1, 3) {
            lines[chance.between(0, PARTITIONS - 1) as usize].push_str(&format!("{record}\n"));
        }
    }
    let produce = |(partition, lines): (usize, String)| async move {
        let partition = partition.to_string();
        let args =
            ["produce", "in", "--partition", &partition, "--file", "-", "--format", "record"];
        broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
    };
    let [first, second, third] = lines.try_into().expect("a partition each");
    tokio::join!(produce((0, first)), produce((1, second)), produce((2, third)));
}

/// Sends each key that there is once more.
async fn send_again(broker: &Broker) {
    let mut lines = BTreeMap::new();
    for input in read_all(&broker.client().await, "in").await {
        let value = text(&input.record);
        let id = value.split(' ').next().unwrap();
        let record = serde_json::json!({"value": value, "headers": [["id", id]]});
        lines.insert(id.to_owned(), format!("{record}\n"));
    }
    let lines: String = lines.into_values().collect();
    let produce = ["produce", "in", "--partition", "0", "--file", "-", "--format", "record"];
    broker.logmill_with_stdin(&produce, lines.as_bytes()).await.ok();
}

/// What a key came to: its outputs, and its dead letters.
type Effects = BTreeMap<String, (u64, u64)>;

async fn check(broker: &Broker, name: &str, counts: Counts) {
    let client = broker.client().await;
    let (mut expected, mut found) = (Effects::new(), Effects::new());
    let (mut sent, mut keys) = (0, 0);
    for input in read_all(&client, "in").await {
        let words: Vec<&str> = text(&input.record).split(' ').collect();
        let (outputs, letters) = expected.entry(words[0].to_owned()).or_default();
        match words.get(3) {
            // It claims nothing: each of them is a dead letter.
            Some(&"reject") => *letters += 1,
            Some(&"drop") => {}
            _ => *outputs = 1,
        }
        sent += 1;
    }
    let id = |record: &Record| text(record).split(' ').next().unwrap().to_owned();
    for output in read_all(&client, &format!("{name}.out")).await {
        found.entry(id(&output.record)).or_default().0 += 1;
    }
    for letter in read_all(&client, &format!("{name}.dlq")).await {
        found.entry(id(&letter.record)).or_default().1 += 1;
    }
    for (id, expected) in &expected {
        keys += 1;
        assert_eq!(found.remove(id).unwrap_or_default(), *expected, "{id} in {name}");
    }
    assert!(found.is_empty(), "effects of nothing: {found:?}");
    eprintln!("{name}: {keys} keys in {sent} records: {counts:?}");
    assert_eq!(settled(&counts), sent);
    assert!(sent > keys + KEYS, "there were some that came again");
}
