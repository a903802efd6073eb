//! Consumers: verdicts, attempts, dead letters, and what operators do with deployments.

use std::collections::BTreeMap;

use logmill_client::{DeploymentStatus, World};
use logmill_tests::{Broker, guest, read_all, text};
use serde_json::Value;

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";

async fn produce(broker: &Broker, topic: &str, values: &[&str]) {
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", topic, "--file", "-"], lines.as_bytes()).await.ok();
}

async fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let records = read_all(&broker.client().await, topic).await;
    records.iter().map(|it| text(&it.record).to_owned()).collect()
}

#[tokio::test]
async fn each_verdict_has_its_outcome() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let told =
        ["0 done", "1 drop", "2 reject", "3 fail", "4 retry", "5 flaky 1", "6 done 3", "7 to b"];
    produce(&broker, "in", &told).await;
    let flags = "--on in --out a --out b --from earliest --max-attempts 2 --backoff fixed:5ms";
    let deployed = broker.deploy("c", World::Consumer, &component, flags).await;
    assert_eq!((deployed.version, deployed.start[0].offset.0), (1, 0));
    // With two outputs, one that names none is not granted.
    let counts = broker.settled("c").await.counts;
    assert_eq!((counts.done, counts.dropped, counts.dead_lettered), (1, 1, 6));

    broker.create_topic("again", 1).await;
    produce(&broker, "again", &told[..7]).await;
    let flags = "--on again --out out --from earliest --max-attempts 2 --backoff fixed:5ms";
    broker.deploy("d", World::Consumer, &component, flags).await;
    let counts = broker.settled("d").await.counts;
    assert_eq!((counts.done, counts.outputs, counts.dropped), (3, 5, 1));
    assert_eq!((counts.dead_lettered, counts.retried), (3, 3));
    assert_eq!(counts.errors, 3, "two of `fail`, one of `flaky`");
    assert_eq!(
        values(&broker, "out").await,
        ["0 done", "5 flaky 1", "6 done 3", "6 done 3", "6 done 3"]
    );
}

#[tokio::test]
async fn a_dead_letter_tells_its_provenance_and_is_its_record_byte_for_byte() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let args = ["produce", "in", "0 fail", "--key", "k", "--header", "a=1", "--header", "a=2"];
    broker.logmill(&args).await.ok();
    let flags = "--on in --from earliest --max-attempts 3 --backoff fixed:20ms";
    let deployed = broker.deploy("c", World::Consumer, &component, flags).await;
    broker.settled("c").await;
    let input: Value = broker.logmill(&["consume", "in", "-o", "json"]).await.ok().json_line();
    let letter: Value = broker.logmill(&["dlq", "show", "c", "-o", "json"]).await.ok().json_line();
    for part in ["key", "value", "create_ts"] {
        assert_eq!(letter[part], input[part], "{part}");
    }
    let headers = letter["headers"].as_array().unwrap();
    assert_eq!(&headers[..2], &input["headers"].as_array().unwrap()[..]);
    assert_eq!(letter["topic"], "c.dlq");
    let dlq = &letter["dlq"];
    for (name, expected) in [
        ("status", Value::from("open")),
        ("reason", "error".into()),
        ("detail", "told to".into()),
        ("attempts", 3.into()),
        ("source", serde_json::json!({"topic": "in", "partition": 0, "offset": 0})),
        ("deployment", "c".into()),
        ("version", 1.into()),
        ("digest", deployed.digest.to_string().into()),
        ("history", Value::Array(vec![])),
    ] {
        assert_eq!(dlq[name], expected, "{name}: {dlq}");
    }
    let (first, last) = (dlq["first_failed_ts"].as_u64(), dlq["last_failed_ts"].as_u64());
    assert!(first.unwrap() + 40 <= last.unwrap(), "two waits of 20 ms lie between: {dlq}");
    let listed: Value = broker.logmill(&["dlq", "ls", "-o", "json"]).await.ok().json_line();
    assert_eq!((&listed["deployment"], &listed["open"]), (&"c".into(), &1.into()));
}

#[tokio::test]
async fn a_failing_record_waits_as_long_as_its_backoff_says() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, "in", &["0 fail"]).await;
    let flags = "--on in --from earliest --max-attempts 4 --backoff list:100ms,200ms,400ms";
    broker.deploy("c", World::Consumer, &component, flags).await;
    broker.settled("c").await;
    let letter: Value = broker.logmill(&["dlq", "show", "c", "-o", "json"]).await.ok().json_line();
    let at = |name: &str| letter["dlq"][name].as_u64().unwrap();
    let waited = at("last_failed_ts") - at("first_failed_ts");
    // Each wait is within a tenth and 50 ms; a busy machine may be later, never earlier.
    assert!(waited >= 700 - 70, "{waited} ms");
    eprintln!("700 ms of backoff took {waited} ms");
}

#[tokio::test]
async fn a_deployment_is_paused_resumed_replaced_and_deleted_without_losing_its_place() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, "in", &["0 done", "1 done"]).await;
    broker
        .deploy(
            "c",
            World::Consumer,
            &component,
            "--on in --out out --from earliest --config tag=v1",
        )
        .await;
    broker.settled("c").await;

    broker.logmill(&["module", "pause", "c"]).await.ok();
    assert_eq!(broker.describe("c").await.state, DeploymentStatus::Paused);
    produce(&broker, "in", &["2 done"]).await;
    let paused = broker.describe("c").await;
    assert_eq!((paused.lanes[0].cursor.0, paused.lanes[0].lag), (2, 1));

    // A paused deployment stays paused over a restart.
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    let still = broker.described("c", |it| it.state != DeploymentStatus::Compiling).await;
    assert_eq!((still.state, still.lanes[0].lag), (DeploymentStatus::Paused, 1));
    broker.logmill(&["module", "resume", "c"]).await.ok();
    broker.settled("c").await;

    let refused = broker.try_deploy("c", World::Consumer, &component, "--from earliest").await;
    refused.refused(1, "from");
    let second = broker.deploy("c", World::Consumer, &component, "--config tag=v2").await;
    assert_eq!((second.version, second.start[0].offset.0), (2, 3), "the cursor is kept");
    produce(&broker, "in", &["3 done"]).await;
    let counts = broker.settled("c").await.counts;
    assert_eq!(counts.done, 4, "counts go on over versions");
    let expected = ["0 done v1", "1 done v1", "2 done v1", "3 done v2"];
    assert_eq!(values(&broker, "out").await, expected);

    let delete = ["module", "delete", "c"];
    assert_ne!(broker.logmill(&delete).await.code, Some(0), "deleting needs --yes in a script");
    broker.logmill(&["module", "delete", "c", "--yes"]).await.ok();
    broker.logmill(&["module", "describe", "c"]).await.refused(1, "c");
    assert_eq!(values(&broker, "out").await.len(), 4, "its topics stay");
}

#[tokio::test]
async fn a_deployment_that_is_deployed_paused_waits_to_be_resumed() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    produce(&broker, "in", &["0 done", "1 done"]).await;
    broker
        .deploy("c", World::Consumer, &component, "--on in --out out --from earliest --paused")
        .await;
    let paused = broker.describe("c").await;
    assert_eq!(paused.state, DeploymentStatus::Paused);
    assert!(values(&broker, "out").await.is_empty());
    broker.logmill(&["module", "resume", "c"]).await.ok();
    broker.settled("c").await;
    assert_eq!(values(&broker, "out").await.len(), 2);
    let listed: Value = broker.logmill(&["module", "ls", "-o", "json"]).await.ok().json_line();
    assert_eq!((&listed["name"], &listed["state"]), (&"c".into(), &"running".into()));
}

#[tokio::test]
async fn what_a_module_writes_to_its_log_is_shown() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, "in", &["0 log all is well", "1 log still so"]).await;
    broker.deploy("c", World::Consumer, &component, "--on in --from earliest").await;
    broker.settled("c").await;
    let lines: Vec<Value> =
        broker.logmill(&["module", "logs", "c", "-o", "json"]).await.ok().json();
    let told: Vec<_> = lines.iter().map(|line| (&line["text"], &line["offset"])).collect();
    let expected = [(Value::from("all is well"), Value::from(0)), ("still so".into(), 1.into())];
    assert_eq!(told, expected.each_ref().map(|(text, offset)| (text, offset)));
    assert_eq!(lines[0]["level"], "info");
    let warnings = broker.logmill(&["module", "logs", "c", "--level", "warn"]).await.ok();
    assert_eq!(warnings.stdout, "");
}

#[tokio::test]
async fn a_module_whose_init_fails_fails_its_deployment_with_the_reason_and_loses_nothing() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, "in", &["0 done"]).await;
    let flags = "--on in --out out --from earliest --config init=fail";
    let ran = broker.try_deploy("c", World::Consumer, &component, flags).await;
    if ran.code == Some(0) {
        let failed = broker.described("c", |it| it.state == DeploymentStatus::Failed).await;
        assert!(failed.reason.is_some_and(|why| why.contains("told not to start")));
        assert_eq!(failed.lanes[0].cursor.0, 0);
    } else {
        ran.refused(1, "told not to start");
    }
    broker.deploy("c", World::Consumer, &component, "--on in --out out --config init=ok").await;
    broker.settled("c").await;
}

#[tokio::test]
async fn records_of_a_key_are_handled_in_order_while_one_of_them_fails() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 4).await;
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines = String::new();
    for number in 0..200 {
        let (key, verb) =
            (format!("k{}", number % 7), if number % 9 == 0 { "flaky 2" } else { "done" });
        let value = format!("{number} {verb}");
        let line = serde_json::json!({"key": key, "value": value});
        lines.push_str(&format!("{line}\n"));
        expected.entry(key).or_default().push(value);
    }
    let args = ["produce", "in", "--file", "-", "--format", "record"];
    broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
    broker
        .deploy(
            "c",
            World::Consumer,
            &component,
            "--on in --out out --from earliest --backoff fixed:5ms",
        )
        .await;
    let counts = broker.settled("c").await.counts;
    assert_eq!((counts.done, counts.outputs, counts.retried), (200, 200, 46));
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for read in read_all(&broker.client().await, "out").await {
        let key = String::from_utf8(read.record.key.clone().unwrap().to_vec()).unwrap();
        found.entry(key).or_default().push(text(&read.record).to_owned());
    }
    assert_eq!(found, expected);
}
