//! Moving a deployment's cursor by hand.

use logmill_client::{DeploymentStatus, World};
use logmill_tests::{Broker, guest, read_all, text};
use serde_json::{Value, json};

use crate::PROGRAM;

async fn produce(broker: &Broker, topic: &str, values: &[&str]) {
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", topic, "--file", "-"], lines.as_bytes()).await.ok();
}

async fn reset(broker: &Broker, flags: &str) -> Vec<Value> {
    let line = format!("module reset m --yes -o json {flags}");
    broker.logmill(&line.split_whitespace().collect::<Vec<_>>()).await.ok().json()
}

async fn outputs(broker: &Broker) -> Vec<String> {
    read_all(&broker.client().await, "out")
        .await
        .iter()
        .map(|it| text(&it.record).to_owned())
        .collect()
}

#[tokio::test]
async fn a_cursor_that_is_moved_back_handles_records_again_and_one_moved_on_skips_them() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.create_topic("two", 2).await;
    let flags = "--on in two --out out --from earliest --max-attempts 3 --backoff fixed:1h";
    broker.deploy("m", World::Consumer, &component, flags).await;
    produce(&broker, "in", &["0 done", "1 done", "2 fail", "3 done"]).await;
    let waits = |it: &logmill_client::DeploymentDescription| {
        it.lanes.iter().any(|lane| lane.topic.as_str() == "in" && lane.parked == 1)
    };
    broker.described("m", waits).await;

    // Back: what was handled is handled again, and what waits for an hour is forgotten with its attempts.
    let moved = reset(&broker, "--to 1 --topic in").await;
    assert_eq!(moved, [json!({"topic": "in", "partition": 0, "from": 2, "to": 1})]);
    let described = broker.described("m", |it| waits(it) && it.counts.done == 3).await;
    assert_eq!((described.counts.retried, described.counts.done), (2, 3));
    assert_eq!(outputs(&broker).await, ["0 done", "1 done", "1 done"]);

    // On: all that is there is skipped, also across a kill.
    let moved = reset(&broker, "--to latest").await;
    assert_eq!(moved.len(), 3);
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    produce(&broker, "in", &["4 done"]).await;
    assert_eq!(broker.settled("m").await.counts.done, 4);
    assert_eq!(outputs(&broker).await, ["0 done", "1 done", "1 done", "4 done"]);

    // A paused one stays so.
    broker.logmill(&["module", "pause", "m"]).await.ok();
    reset(&broker, "--to -1h --topic in").await;
    let described = broker.describe("m").await;
    assert_eq!((described.state, described.lanes[0].lag), (DeploymentStatus::Paused, 5));
}

#[tokio::test]
async fn a_reset_that_does_not_fit_changes_nothing_and_says_why() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 2).await;
    broker.deploy("m", World::Consumer, &component, "--on in --out out").await;
    broker.running("m").await;
    for (flags, code, says) in [
        ("m --to 0 --yes", 1, "say which topic and partition"),
        ("m --to 7 --partition 0 --yes", 1, "offset out of range: 7"),
        ("m --to earliest --topic other --yes", 1, "has no such lane"),
        ("m --to earliest --partition 9 --yes", 1, "has no such lane"),
        ("n --to earliest --yes", 1, "deployment n does not exist"),
        ("m --to earliest", 2, "add --yes"),
        ("m --to soon --yes", 2, "soon"),
        ("m --yes", 2, "--to"),
    ] {
        let line = format!("module reset {flags}");
        let args: Vec<&str> = line.split_whitespace().collect();
        broker.logmill(&args).await.refused(code, says);
    }
    assert_eq!(broker.running("m").await.lanes[0].cursor.0, 0);
}
