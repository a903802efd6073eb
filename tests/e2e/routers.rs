//! Routers: where a record goes besides its own topic, in the same durable step.

use logmill_client::{Client, Error, ErrorCode, World};
use logmill_tests::{Broker, guest, read_all, record, text};

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";

async fn values(client: &Client, topic: &str) -> Vec<String> {
    read_all(client, topic).await.iter().map(|it| text(&it.record).to_owned()).collect()
}

#[tokio::test]
async fn what_has_no_route_is_kept_or_refuses_its_batch_as_the_deployment_says() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.deploy("r", World::Router, &component, "--on t --out a --out b=bb").await;
    broker.running("r").await;
    for value in ["0 to a", "1 none", "2 to b"] {
        broker.logmill(&["produce", "t", value, "--key", "k"]).await.ok();
    }
    let client = broker.client().await;
    assert_eq!(values(&client, "t").await, ["0 to a", "1 none", "2 to b"]);
    assert_eq!(values(&client, "a").await, ["0 to a"]);
    assert_eq!(values(&client, "bb").await, ["2 to b"]);

    broker.deploy("r", World::Router, &component, "--unrouted refuse").await;
    broker.running("r").await;
    let producer = client.producer("t".parse().unwrap()).await.unwrap();
    let batch = ["3 to a", "4 none"].map(|value| record("k", value));
    let batch = logmill_client::RecordBatch::of(&batch).unwrap();
    let refused = producer.send_batch(0, batch).await.unwrap().wait().await.unwrap_err();
    let Error::Refused { code, index, retryable, no_side_effects, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!((*code, *index), (ErrorCode::RouterRefused, Some(1)));
    assert_eq!((*retryable, *no_side_effects), (false, true));
    assert_eq!(values(&client, "t").await.len(), 3, "a refused batch is nowhere");
    assert_eq!(values(&client, "a").await.len(), 1);
}

#[tokio::test]
async fn all_routers_of_a_topic_apply_in_the_order_of_their_names() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    // Deployed in another order than that of their names.
    for name in ["r2", "r3", "r1"] {
        let flags = format!("--on t --out a --config tag={name}");
        broker.deploy(name, World::Router, &component, &flags).await;
        broker.running(name).await;
    }
    for number in 0..3 {
        broker.logmill(&["produce", "t", &format!("{number} to a")]).await.ok();
    }
    let expected: Vec<String> = (0..3)
        .flat_map(|number| ["r1", "r2", "r3"].map(|name| format!("{number} to a {name}")))
        .collect();
    assert_eq!(values(&broker.client().await, "a").await, expected);
}

#[tokio::test]
async fn a_router_that_is_paused_makes_produce_refuse_as_retryable() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.deploy("r", World::Router, &component, "--on t --out a").await;
    broker.running("r").await;
    broker.logmill(&["module", "pause", "r"]).await.ok();
    broker.logmill(&["produce", "t", "0 to a"]).await.refused(1, "router not ready");
    let client = broker.client().await;
    let producer = client.producer("t".parse().unwrap()).await.unwrap();
    let refused = producer.send(record("k", "0 to a")).await.unwrap().wait().await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::RouterNotReady));
    assert!(refused.is_retryable() && refused.has_no_side_effects(), "{refused:?}");
    assert!(values(&client, "t").await.is_empty());

    broker.logmill(&["module", "resume", "r"]).await.ok();
    broker.running("r").await;
    producer.send(record("k", "1 to a")).await.unwrap().wait().await.unwrap();
    assert_eq!(values(&client, "a").await, ["1 to a"]);
}

#[tokio::test]
async fn a_router_that_fails_refuses_the_batch_with_reason_and_index() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.deploy("r", World::Router, &component, "--on t --out a").await;
    broker.running("r").await;
    let client = broker.client().await;
    let producer = client.producer("t".parse().unwrap()).await.unwrap();
    for (second, says) in [("1 fail", "told to"), ("1 to nowhere", "not-granted")] {
        let batch = ["0 to a", second].map(|value| record("k", value));
        let batch = logmill_client::RecordBatch::of(&batch).unwrap();
        let refused = producer.send_batch(0, batch).await.unwrap().wait().await.unwrap_err();
        let Error::Refused { code, index, text, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*code, *index), (ErrorCode::RouterRefused, Some(1)), "{second}");
        assert!(text.contains(says), "{second}: {text}");
    }
    assert!(values(&client, "t").await.is_empty() && values(&client, "a").await.is_empty());
}
