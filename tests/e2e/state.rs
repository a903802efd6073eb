//! What modules remember: as exact as their outputs, across deploys, restarts and kills.

use std::collections::BTreeMap;

use logmill_client::World;
use logmill_tests::{Broker, guest, read_all, text};
use serde::Deserialize;
use serde_json::Value;

use crate::PROGRAM;

const REMEMBERING: &str = "remembering";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    topic: String,
    partition: u32,
    key: String,
    value: Value,
}

fn entry(topic: &str, partition: u32, key: &str, value: impl Into<Value>) -> String {
    let value = value.into();
    format!("{topic}/{partition} {key}={value}")
}

async fn produce(broker: &Broker, topic: &str, partition: u32, values: &[&str]) {
    let (lines, partition) = (values.join("\n"), partition.to_string());
    let args = ["produce", topic, "--partition", &partition, "--file", "-"];
    broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
}

async fn outputs(broker: &Broker) -> Vec<String> {
    let records = read_all(&broker.client().await, "out").await;
    records.iter().map(|it| text(&it.record).to_owned()).collect()
}

/// What `module state` prints.
async fn state(broker: &Broker, what: &str) -> Vec<String> {
    let typed = format!("module state r {what} -o json");
    let ran = broker.logmill(&typed.split(' ').collect::<Vec<_>>()).await.ok();
    let entries: Vec<Entry> = ran.json();
    entries.into_iter().map(|it| entry(&it.topic, it.partition, &it.key, it.value)).collect()
}

#[tokio::test]
async fn a_count_goes_on_where_it_was_after_failures_a_restart_and_a_kill() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    let told = [
        "0 count a",
        "1 count a fail",
        "2 count a drop",
        "3 count a reject",
        "4 count a flaky",
        "5 count a panic",
        "6 count b",
        "7 get a",
        "8 delete b",
        "9 get b",
        "10 count b",
    ];
    produce(&broker, "in", 0, &told).await;
    produce(&broker, "in", 1, &["0 get a", "1 count a"]).await;
    let flags = "--on in --out out --from earliest --max-attempts 2 --backoff fixed:5ms";
    broker.deploy("r", World::Consumer, &component, flags).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!((counts.done, counts.dropped, counts.dead_lettered), (9, 1, 3));
    let of_both: BTreeMap<String, u32> =
        outputs(&broker).await.into_iter().fold(BTreeMap::new(), |mut seen, it| {
            *seen.entry(it).or_default() += 1;
            seen
        });
    // Partitions have keys of their own: `a 1` is told in both.
    let expected = [("a -", 1), ("a 1", 2), ("a 2", 2), ("b -", 1), ("b 1", 2)];
    assert_eq!(of_both, expected.map(|(said, times)| (said.to_owned(), times)).into());
    let all = [entry("in", 0, "a", "2"), entry("in", 0, "b", "1"), entry("in", 1, "a", "1")];
    assert_eq!(state(&broker, "ls").await, all);

    let (_, _, data) = broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(state(&broker, "ls").await, all);
    produce(&broker, "in", 0, &["11 count a"]).await;
    broker.settled("r").await;
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    produce(&broker, "in", 0, &["12 count a"]).await;
    broker.settled("r").await;
    assert_eq!(state(&broker, "get a --partition 0").await, [entry("in", 0, "a", "4")]);
    broker.logmill(&["module", "pause", "r"]).await.ok();
    assert_eq!(state(&broker, "get a").await.len(), 2, "it is told while nothing works");
}

#[tokio::test]
async fn what_is_asked_for_is_told_lane_by_lane_and_page_by_page() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    for topic in ["a", "b"] {
        broker.create_topic(topic, 2).await;
    }
    // Three pages by their number, and several by their bytes.
    let counts: Vec<String> = (0..2500).map(|at| format!("{at} count k{at:04}")).collect();
    let counts: Vec<&str> = counts.iter().map(String::as_str).collect();
    produce(&broker, "a", 1, &counts).await;
    let large = ["l1 large 900000", "l2 large 900000", "l3 large 900000"];
    produce(&broker, "b", 0, &large).await;
    produce(&broker, "b", 1, &["0 count k0007"]).await;
    let flags = "--on a --on b --out out --from earliest";
    broker.deploy("r", World::Consumer, &component, flags).await;
    broker.settled("r").await;
    let all = state(&broker, "ls").await;
    assert_eq!(all.len(), 2504);
    let expected: Vec<String> =
        (0..2500).map(|at| entry("a", 1, &format!("k{at:04}"), "1")).collect();
    assert_eq!(all[..2500], expected);
    let larges = state(&broker, "ls --topic b --partition 0").await;
    assert_eq!(larges, all[2500..2503]);
    assert!(larges.iter().all(|it| it.len() > 900_000));
    let k7 = [entry("a", 1, "k0007", "1"), entry("b", 1, "k0007", "1")];
    assert_eq!(state(&broker, "get k0007").await, k7);
    assert_eq!(state(&broker, "get k0007 --topic b").await, k7[1..]);
    let printed = broker.logmill(&["module", "state", "r", "get", "k0007"]).await.ok();
    assert_eq!(printed.stdout, "a/1  k0007  1\nb/1  k0007  1\n");
    let refused = async |args: &[&str], says: &str| {
        let args: Vec<&str> = ["module", "state"].iter().chain(args).copied().collect();
        broker.logmill(&args).await.refused(1, says);
    };
    refused(&["r", "get", "k0007", "--partition", "7"], "has the key \"k0007\"").await;
    refused(&["r", "ls", "--topic", "c"], "topic c does not exist").await;
    refused(&["q", "ls"], "deployment q does not exist").await;
}

#[tokio::test]
async fn a_lane_that_ends_leaves_nothing_to_one_that_comes_back() {
    let component = guest(REMEMBERING).await;
    let mut broker = Broker::start(PROGRAM).await;
    for topic in ["a", "b"] {
        broker.create_topic(topic, 1).await;
        produce(&broker, topic, 0, &["0 count n", "1 count n"]).await;
    }
    let both = "--on a --on b --out out --from earliest";
    broker.deploy("r", World::Consumer, &component, both).await;
    broker.settled("r").await;
    let of = |topic: &str, count: &str| entry(topic, 0, "n", count);
    assert_eq!(state(&broker, "ls").await, [of("a", "2"), of("b", "2")]);
    // It reads from the beginning again.
    for (restart, count) in [(false, "3"), (true, "4")] {
        broker.deploy("r", World::Consumer, &component, "--on a").await;
        assert_eq!(state(&broker, "ls").await, [of("a", "2")]);
        if restart {
            let data = broker.kill().await;
            broker = Broker::start_on(PROGRAM, &data).await;
        }
        broker.deploy("r", World::Consumer, &component, "--on a --on b").await;
        broker.running("r").await;
        produce(&broker, "b", 0, &["2 count n"]).await;
        broker.settled("r").await;
        assert_eq!(state(&broker, "ls").await, [of("a", "2"), of("b", count)]);
    }
    // Nor does a deployment that is deleted to a later one of its name.
    broker.logmill(&["module", "delete", "r", "--yes"]).await.ok();
    broker.deploy("r", World::Consumer, &component, "--on a --out out --from latest").await;
    assert_eq!(state(&broker, "ls").await, Vec::<String>::new());
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(state(&broker, "ls").await, Vec::<String>::new());
}

#[tokio::test]
async fn more_than_there_is_room_for_fails_its_attempt_and_changes_nothing() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let mut told: Vec<String> = (0..18).map(|at| format!("{at:02} large 1000000")).collect();
    told.push("99 large 1048577".to_owned());
    told.push("18 count n".to_owned());
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    produce(&broker, "in", 0, &told).await;
    let flags = "--on in --out out --from earliest --max-attempts 1";
    broker.deploy("r", World::Consumer, &component, flags).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!((counts.done, counts.dead_lettered), (17, 3));
    let letters: Vec<Value> = broker.logmill(&["dlq", "show", "r", "-o", "json"]).await.ok().json();
    let said: Vec<(&str, &str)> = letters
        .iter()
        .map(|it| (it["value"].as_str().unwrap(), it["dlq"]["reason"].as_str().unwrap()))
        .collect();
    let values = ["16 large 1000000", "17 large 1000000", "99 large 1048577"];
    assert_eq!(said, values.map(|value| (value, "state-limit")));
    let keys: Vec<Entry> =
        broker.logmill(&["module", "state", "r", "ls", "-o", "json"]).await.ok().json();
    let keys: Vec<&str> = keys.iter().map(|it| it.key.as_str()).collect();
    assert_eq!((keys.len(), keys[15], keys[16]), (17, "15", "n"));
}

#[tokio::test]
async fn a_reset_counts_on_unless_it_forgets_the_state() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    for partition in 0..2 {
        produce(&broker, "in", partition, &["0 count n", "1 count n"]).await;
    }
    let flags = "--on in --out out --from earliest";
    broker.deploy("r", World::Consumer, &component, flags).await;
    broker.settled("r").await;
    for (flags, counts) in [
        ("--to earliest", ["4", "4"]),
        ("--to earliest --partition 1 --forget-state", ["4", "2"]),
        ("--to earliest --forget-state", ["2", "2"]),
    ] {
        let line = format!("module reset r --yes {flags}");
        let told = broker.logmill(&line.split(' ').collect::<Vec<_>>()).await.ok().stdout;
        assert_eq!(told.contains("is forgotten"), flags.contains("--forget-state"), "{told}");
        broker.settled("r").await;
        let [zero, one] = counts;
        assert_eq!(
            state(&broker, "ls").await,
            [entry("in", 0, "n", zero), entry("in", 1, "n", one)]
        );
    }
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    assert_eq!(state(&broker, "ls").await, [entry("in", 0, "n", "2"), entry("in", 1, "n", "2")]);
}
