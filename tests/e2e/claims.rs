//! What is done once: by the keys that a deployment declares, and by those that its module claims.

use std::collections::BTreeMap;
use std::path::Path;

use logmill_client::{Counts, World};
use logmill_tests::{Broker, Setup, guest, read_all, text, until};
use serde_json::Value;

use crate::PROGRAM;

const REMEMBERING: &str = "remembering";
const FLAGS: &str = "--on in --out out --from earliest --max-attempts 2 --backoff fixed:5ms";

/// Produces records, each as `[key@]value` with a header `id` of what stands before the first space.
async fn produce(broker: &Broker, topic: &str, partition: u32, values: &[String]) {
    let line = |value: &String| {
        let id = value.split(' ').next().unwrap();
        format!("{}\n", serde_json::json!({"value": value, "headers": [["id", id]]}))
    };
    let (lines, partition) = (values.iter().map(line).collect::<String>(), partition.to_string());
    let args = ["produce", topic, "--partition", &partition, "--file", "-", "--format", "record"];
    broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
}

fn numbered(range: std::ops::Range<u32>, what: &str) -> Vec<String> {
    range.map(|number| format!("{number} {what}")).collect()
}

/// How often each record's id stands at the beginning of an output.
async fn outputs(broker: &Broker) -> BTreeMap<String, u32> {
    let mut outputs = BTreeMap::new();
    for it in read_all(&broker.client().await, "out").await {
        let id = text(&it.record).split(' ').next().unwrap().to_owned();
        *outputs.entry(id).or_default() += 1;
    }
    outputs
}

fn once(range: std::ops::Range<u32>) -> BTreeMap<String, u32> {
    range.map(|number| (number.to_string(), 1)).collect()
}

fn told(counts: &Counts) -> [u64; 4] {
    [counts.done, counts.dropped, counts.dead_lettered, counts.duplicates]
}

/// Reason and detail of each dead letter, by the value of its record.
async fn letters(broker: &Broker) -> BTreeMap<String, (String, String)> {
    let letters: Vec<Value> = broker.logmill(&["dlq", "show", "r", "-o", "json"]).await.ok().json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of =
        |it: &Value| (text(&it["value"]), (text(&it["dlq"]["reason"]), text(&it["dlq"]["detail"])));
    letters.iter().map(of).collect()
}

#[tokio::test]
async fn a_declared_key_is_handled_once_over_all_partitions_restarts_and_kills() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    // The same keys in both, so that the lanes meet.
    for partition in 0..2 {
        produce(&broker, "in", partition, &numbered(0..500, "echo")).await;
    }
    let flags = format!("{FLAGS} --idempotency header:id");
    broker.deploy("r", World::Consumer, &component, &flags).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [500, 0, 0, 500]);
    assert_eq!(outputs(&broker).await, once(0..500));

    let (_, _, data) = broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    produce(&broker, "in", 0, &numbered(400..600, "echo")).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [600, 0, 0, 600]);
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    produce(&broker, "in", 1, &numbered(500..700, "echo")).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [700, 0, 0, 700]);
    assert_eq!(outputs(&broker).await, once(0..700));
}

#[tokio::test]
async fn a_module_is_told_whose_a_key_is_and_only_done_and_drop_claim_it() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let values = [
        "0 once a",
        "1 once a",
        "2 once b drop",
        "3 once b",
        "4 once c reject",
        "5 once c",
        "6 once d fail",
        "7 once d",
        "8 once e flaky",
        "9 once e",
        "10 once f panic",
        "11 once f",
    ];
    produce(&broker, "in", 0, &values.map(str::to_owned)).await;
    broker.deploy("r", World::Consumer, &component, FLAGS).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [5, 4, 3, 0]);
    let done: Vec<String> = outputs(&broker).await.into_keys().collect();
    assert_eq!(done, ["0", "11", "5", "7", "8"]);
    let lines: Vec<Value> =
        broker.logmill(&["module", "logs", "r", "--level", "info", "-o", "json"]).await.ok().json();
    let seen = lines.iter().filter_map(|line| line["text"].as_str()?.split_once(" was seen at "));
    let seen: Vec<(&str, &str)> = seen.collect();
    assert_eq!(seen, [("a", "in/0@0"), ("b", "in/0@2"), ("e", "in/0@8")]);

    // Of another topic and after a kill, the claims are read back.
    broker.create_topic("more", 1).await;
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.deploy("r", World::Consumer, &component, "--on more").await;
    let values = ["12 once a", "13 once f", "14 once g", "15 once g"].map(str::to_owned);
    produce(&broker, "more", 0, &values).await;
    let counts =
        broker.described("r", |it| it.lanes[0].lag == 0 && it.lanes[0].cursor.0 == 4).await;
    assert_eq!(told(&counts.counts), [1, 3, 0, 0]);
    let lines: Vec<Value> =
        broker.logmill(&["module", "logs", "r", "-o", "json"]).await.ok().json();
    let seen = lines.iter().filter_map(|line| line["text"].as_str()?.split_once(" was seen at "));
    let seen: Vec<(&str, &str)> = seen.collect();
    assert_eq!(seen, [("a", "in/0@0"), ("f", "in/0@11"), ("g", "more/0@2")]);
}

#[tokio::test]
async fn a_dead_letter_claims_nothing_and_a_drop_does() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let values = ["a once x reject", "a once y drop", "a echo", "b count n fail", "b echo"];
    produce(&broker, "in", 0, &values.map(str::to_owned)).await;
    let flags = format!("{FLAGS} --idempotency header:id");
    broker.deploy("r", World::Consumer, &component, &flags).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [1, 1, 2, 1]);
    assert_eq!(outputs(&broker).await, [("b".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_record_without_a_usable_key_fails_as_any_other_does() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let long = "k".repeat(1025);
    let values = [
        r#"{"id":"a"}"#,
        r#"{"id":"a","more":1}"#,
        r#"{"id":1.50}"#,
        r#"{"id": 1.50 }"#,
        r#"{"id":null}"#,
        r#"{"no":1}"#,
        r#"{"id":""}"#,
        "no json",
        &format!(r#"{{"id":"{long}"}}"#),
    ];
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", "in", "--file", "-"], lines.as_bytes()).await.ok();
    let flags = format!("{FLAGS} --idempotency json:/id");
    broker.deploy("r", World::Consumer, &component, &flags).await;
    let counts = broker.settled("r").await.counts;
    assert_eq!(told(&counts), [2, 0, 5, 2]);
    assert_eq!((counts.retried, counts.errors), (5, 10), "each has both of its attempts");
    let letters = letters(&broker).await;
    for (value, reason, detail) in [
        (values[4], "missing-key", "has nothing at /id"),
        (values[5], "missing-key", "has nothing at /id"),
        (values[6], "missing-key", "it is empty"),
        (values[7], "missing-key", "its value is no JSON"),
        (values[8], "invalid-record", "has 1025 bytes, at most 1024 are allowed"),
    ] {
        let (found, said) = &letters[value];
        assert_eq!(found, reason, "{value}");
        assert!(said.contains(detail), "{said}");
    }
    let logs = broker.logmill(&["module", "logs", "r"]).await.ok().stdout;
    assert!(logs.contains("attempt failed: missing-key"), "{logs}");
}

#[tokio::test]
async fn a_key_is_free_again_when_its_window_is_over_and_its_claim_leaves_the_disk() {
    let component = guest(REMEMBERING).await;
    let config = Some("retention_interval_ms = 20".to_owned());
    let broker = Broker::start_with(PROGRAM, Setup { config, ..Setup::default() }).await;
    broker.create_topic("in", 1).await;
    let flags = format!("{FLAGS} --idempotency header:id --idempotency-window 400ms");
    broker.deploy("r", World::Consumer, &component, &flags).await;
    until("the key is handled three times", async || {
        produce(&broker, "in", 0, &["k echo".to_owned()]).await;
        (broker.settled("r").await.counts.done == 3).then_some(())
    })
    .await;
    let counts = broker.describe("r").await.counts;
    assert!(counts.duplicates > 0, "there was one within the window");
    let times: Vec<u64> =
        read_all(&broker.client().await, "out").await.iter().map(|it| it.append_ts.0).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 400), "{times:?}");

    broker.logmill(&["module", "delete", "r", "--yes"]).await.ok();
    let (_, _, data) = broker.terminate().await;
    let starts = starts_of_claims(data.path()).await;
    assert!(starts.len() > 1, "retention has moved the start of its claims");
    assert_eq!(starts.last(), Some(&Value::Null), "and nothing is left of that");
}

/// What `_segments` says of where claims start, one after another.
async fn starts_of_claims(data: &Path) -> Vec<Value> {
    let data = data.to_str().unwrap();
    let dump = ["inspect", "dump", data, "--topic", "_segments", "-o", "json"];
    let entries: Vec<Value> = PROGRAM.run(&dump).await.ok().json();
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let batches = entries.iter().flat_map(|entry| list(entry, "batches"));
    let records = batches.flat_map(|batch| list(&batch, "records"));
    let of_claims =
        records.filter(|it| it["key"].as_str().is_some_and(|key| key.starts_with("start/5/")));
    of_claims.map(|record| record["value"].clone()).collect()
}

#[tokio::test]
async fn a_redeploy_keeps_what_was_claimed_and_a_delete_forgets_it() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    for topic in ["in", "more"] {
        broker.create_topic(topic, 1).await;
    }
    let flags = format!("{FLAGS} --idempotency header:id --idempotency-window 1h");
    produce(&broker, "in", 0, &numbered(0..10, "echo")).await;
    broker.deploy("r", World::Consumer, &component, &flags).await;
    broker.settled("r").await;
    for (flags, number) in [
        ("--on in --on more", 1),
        ("--on more --idempotency-window 2h", 2),
        ("--on in --on more --idempotency-window 10m", 3),
    ] {
        broker.deploy("r", World::Consumer, &component, flags).await;
        produce(&broker, "more", 0, &numbered(0..10, "echo")).await;
        let of_more = |it: &logmill_client::DeploymentDescription| {
            it.lanes.iter().find(|lane| lane.topic.as_str() == "more").unwrap().clone()
        };
        broker
            .described("r", |it| of_more(it).lag == 0 && of_more(it).cursor.0 == number * 10)
            .await;
        assert_eq!(outputs(&broker).await, once(0..10), "{flags}");
    }
    broker.logmill(&["module", "delete", "r", "--yes"]).await.ok();
    broker
        .deploy("r", World::Consumer, &component, &format!("{FLAGS} --idempotency header:id"))
        .await;
    broker.settled("r").await;
    let twice = once(0..10).into_keys().map(|id| (id, 2)).collect();
    assert_eq!(outputs(&broker).await, twice);
}

#[tokio::test]
async fn a_reset_handles_again_what_was_claimed_only_when_it_forgets_the_claims() {
    let component = guest(REMEMBERING).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    for partition in 0..2 {
        produce(&broker, "in", partition, &numbered(0..10, "echo")).await;
    }
    let flags = format!("{FLAGS} --idempotency header:id");
    broker.deploy("r", World::Consumer, &component, &flags).await;
    broker.settled("r").await;
    let reset = async |broker: &Broker, flags: &str| {
        let line = format!("module reset r --yes {flags}");
        broker.logmill(&line.split(' ').collect::<Vec<_>>()).await
    };
    let refused = reset(&broker, "--to earliest --topic in --forget-claims").await;
    refused.refused(1, "its claims are of all its lanes");
    reset(&broker, "--to earliest").await.ok();
    let kept = broker.settled("r").await.counts;
    assert_eq!(told(&kept), [10, 0, 0, 30]);
    reset(&broker, "--to earliest --forget-claims").await.ok();
    let forgotten = broker.settled("r").await.counts;
    assert_eq!(told(&forgotten), [20, 0, 0, 40], "of the two of each key one is a duplicate still");
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    reset(&broker, "--to earliest").await.ok();
    assert_eq!(told(&broker.settled("r").await.counts), [20, 0, 0, 60]);
}
