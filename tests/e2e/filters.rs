//! Filters: which records a subscriber sees.

use logmill_client::World;
use logmill_tests::{Broker, guest};

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";

async fn offsets(broker: &Broker, flags: &str) -> Vec<u64> {
    let mut args = vec!["consume", "t", "-o", "json"];
    args.extend(flags.split_whitespace());
    let read: Vec<serde_json::Value> = broker.logmill(&args).await.ok().json();
    read.iter().map(|it| it["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_subscriber_with_a_filter_sees_gaps_and_others_see_all() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    let lines: String =
        (0..30).map(|n| format!("{n} {}\n", if n % 3 == 0 { "fizz" } else { "-" })).collect();
    broker.logmill_with_stdin(&["produce", "t", "--file", "-"], lines.as_bytes()).await.ok();
    broker.deploy("fizz", World::Filter, &component, "--on t --config keep=fizz").await;
    broker.running("fizz").await;
    let thirds: Vec<u64> = (0..30).step_by(3).collect();
    assert_eq!(offsets(&broker, "--filter fizz").await, thirds);
    assert_eq!(offsets(&broker, "--filter fizz --from 4 --to 10").await, [6, 9]);
    assert_eq!(offsets(&broker, "--filter fizz --max 2").await, [0, 3]);
    assert_eq!(offsets(&broker, "").await.len(), 30);
}

#[tokio::test]
async fn a_filter_that_fails_ends_that_subscription_with_the_reason() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for value in ["0 ok", "1 fail", "2 ok"] {
        broker.logmill(&["produce", "t", value]).await.ok();
    }
    broker.deploy("f", World::Filter, &component, "--on t").await;
    broker.running("f").await;
    let ran = broker.logmill(&["consume", "t", "--filter", "f", "-o", "json"]).await;
    let read: Vec<serde_json::Value> = ran.json();
    assert_eq!(read.len(), 1, "what came before the failure is shown: {ran}");
    let ran = ran.refused(1, "filter failed");
    assert!(ran.stderr.contains("offset 1") && ran.stderr.contains("told to"), "{ran}");
    assert_eq!(offsets(&broker, "").await, [0, 1, 2]);
}

#[tokio::test]
async fn a_filter_that_is_not_there_or_not_of_the_topic_is_told() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.create_topic("other", 1).await;
    broker.deploy("f", World::Filter, &component, "--on other").await;
    broker.running("f").await;
    for filter in ["f", "nobody"] {
        let ran = broker.logmill(&["consume", "t", "--filter", filter]).await;
        ran.refused(1, filter);
    }
}
