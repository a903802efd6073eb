//! What became of one record, for whoever asks at night.

use logmill_client::{DeploymentStatus, World};
use logmill_tests::{Broker, guest, read_all, text};
use serde_json::{Value, json};

use crate::PROGRAM;

async fn produce(broker: &Broker, topic: &str, values: &[&str]) {
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", topic, "--file", "-"], lines.as_bytes()).await.ok();
}

async fn trace(broker: &Broker, offset: usize) -> Vec<Value> {
    let offset = offset.to_string();
    let args = ["trace", "in", "0", &offset, "-o", "json"];
    let mut told: Vec<Value> = broker.logmill(&args).await.ok().json();
    for line in &mut told {
        let times = line.as_object_mut().unwrap();
        let at = times.remove("ts").or_else(|| times.remove("retry_at"));
        assert!(at.is_some_and(|at| at.is_null() || at.as_u64().is_some_and(|ms| ms > 0)));
    }
    told
}

fn attempt(number: u64, verdict: &str, outputs: Value) -> Value {
    json!({"deployment": "m", "version": 1, "attempt": number, "verdict": verdict, "outputs": outputs})
}

#[tokio::test]
async fn each_attempt_is_told_with_its_verdict_and_where_its_outputs_lie_also_after_a_kill() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let flags = "--on in --out out --out side --from earliest --max-attempts 2 --backoff fixed:1ms";
    broker.deploy("m", World::Consumer, &component, flags).await;
    // The first has no trace but its own; outputs of others lie between.
    produce(&broker, "out", &["somebody else's"]).await;
    produce(
        &broker,
        "in",
        &["0 to out", "1 to side", "2 drop", "3 flaky 1", "4 reject", "5 fail", "6 to out"],
    )
    .await;
    broker.settled("m").await;
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    broker.settled("m").await;

    let outputs: Vec<String> = read_all(&broker.client().await, "out")
        .await
        .iter()
        .map(|it| text(&it.record).to_owned())
        .collect();
    let at = |value: &str| outputs.iter().position(|it| it == value).unwrap();
    for (offset, value) in [(0, "0 to out"), (6, "6 to out")] {
        let written = json!([{"topic": "out", "partition": 0, "offset": at(value)}]);
        assert_eq!(trace(&broker, offset).await, [attempt(1, "done", written)], "{value}");
    }
    let written = json!([{"topic": "side", "partition": 0, "offset": 0}]);
    assert_eq!(trace(&broker, 1).await, [attempt(1, "done", written)]);
    assert_eq!(trace(&broker, 2).await, [attempt(1, "drop", json!([]))]);
    let failed = |number, verdict, reason: &str, outputs| {
        let mut told = attempt(number, verdict, outputs);
        told["reason"] = json!(reason);
        told
    };
    let flaky = trace(&broker, 3).await;
    assert_eq!(flaky[0], failed(1, "retry", "error", json!([])));
    // Its output names none of two topics.
    let letter = |offset: u64| json!([{"topic": "m.dlq", "partition": 0, "offset": offset}]);
    assert_eq!(flaky[1], failed(2, "dead-letter", "not-granted", letter(0)));
    assert_eq!(trace(&broker, 4).await, [failed(1, "dead-letter", "rejected", letter(1))]);
    let failing =
        [failed(1, "retry", "error", json!([])), failed(2, "dead-letter", "error", letter(2))];
    assert_eq!(trace(&broker, 5).await, failing);

    let shown = broker.logmill(&["trace", "in", "0", "5"]).await.ok().stdout;
    assert!(shown.contains("m v1 attempt 2: dead-letter (error)"), "{shown}");
    assert!(shown.contains("wrote m.dlq/0 2"), "{shown}");
    broker.logmill(&["trace", "in", "0", "7"]).await.refused(1, "offset out of range: 7");
    broker.logmill(&["trace", "in", "1", "0"]).await.refused(1, "partitions 0 to 0, not 1");
    broker.logmill(&["trace", "other", "0", "0"]).await.refused(1, "topic other does not exist");
}

#[tokio::test]
async fn who_has_not_handled_a_record_is_told_and_a_new_version_by_its_number() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let flags = "--on in --out out --from earliest --order key --backoff fixed:1h";
    broker.deploy("m", World::Consumer, &component, flags).await;
    produce(&broker, "in", &["0 fail", "1 none"]).await;
    broker.described("m", |it| it.lanes[0].parked == 1 && it.counts.done == 1).await;
    broker.deploy("m", World::Consumer, &component, "").await;
    broker.logmill(&["module", "pause", "m"]).await.ok();
    broker.described("m", |it| it.state == DeploymentStatus::Paused).await;
    produce(&broker, "in", &["2 none"]).await;

    let waiting = |attempts| json!({"deployment": "m", "verdict": "waiting", "attempts": attempts});
    let told = trace(&broker, 0).await;
    assert_eq!((told.len(), &told[0]["verdict"], &told[1]), (2, &json!("retry"), &waiting(1)));
    assert_eq!(trace(&broker, 2).await, [waiting(0)]);
    broker.logmill(&["module", "resume", "m"]).await.ok();
    broker.described("m", |it| it.counts.done == 2).await;
    assert_eq!(trace(&broker, 2).await[0]["version"], json!(2));
    assert_eq!(trace(&broker, 1).await[0]["version"], json!(1));
}
