//! Idempotency keys, as a person uses them: stored once in the window, across kills.

use std::time::Duration;

use logmill_tests::{Broker, read_all, text};
use serde_json::{Value, json};

use crate::PROGRAM;

async fn json_of(broker: &Broker, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    broker.logmill(&args).await.ok().json_line()
}

async fn produce(broker: &Broker, value: &str, key: &str) -> (u64, u64, bool) {
    let told = json_of(broker, &["produce", "t", value, "--idempotency-key", key]).await;
    let number = |name: &str| told[name].as_u64().unwrap();
    (number("partition"), number("offset"), told["duplicate"].as_bool().unwrap())
}

async fn values(broker: &Broker) -> Vec<String> {
    let records = read_all(&broker.client().await, "t").await;
    records.iter().map(|it| text(&it.record).to_owned()).collect()
}

#[tokio::test]
async fn a_key_is_stored_once_inside_the_window_across_kills_and_again_after_it() {
    let broker = Broker::start(PROGRAM).await;
    let made =
        json_of(&broker, &["topic", "create", "t", "--partitions", "2", "--dedupe-window", "5m"]);
    assert_eq!(made.await["policy"]["dedupe_window_ms"], 300_000);
    let (partition, offset, was_there) = produce(&broker, "first", "a").await;
    assert!(!was_there);
    assert_eq!(produce(&broker, "second", "a").await, (partition, offset, true));
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    assert_eq!(produce(&broker, "third", "a").await, (partition, offset, true));
    let lines = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n";
    let file = "produce t --file - --format ndjson --idempotency-key-from /id -o json";
    let args: Vec<&str> = file.split(' ').collect();
    for duplicates in [2, 4] {
        let ran = broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
        let told: Value = ran.json_line();
        assert_eq!((&told["records"], &told["duplicates"]), (&json!(4), &json!(duplicates)));
    }
    assert_eq!(values(&broker).await.len(), 3);
    // A shorter window ends for what is older.
    json_of(&broker, &["topic", "alter", "t", "--dedupe-window", "1s"]).await;
    let waits = tokio::time::timeout(Duration::from_millis(1100), std::future::pending::<()>());
    assert!(waits.await.is_err());
    assert!(!produce(&broker, "fourth", "a").await.2);
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    json_of(&broker, &["topic", "alter", "t", "--dedupe-window", "off"]).await;
    assert!(!produce(&broker, "fifth", "a").await.2);
    assert_eq!(values(&broker).await.len(), 5);
    let args = ["topic", "alter", "t", "--dedupe-window", "5m", "--compact"];
    broker.logmill(&args).await.refused(1, "dedupe-window does not go with compact");
}
