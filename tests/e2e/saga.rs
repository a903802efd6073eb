//! `examples/order-saga`: each order comes to its end once, also when the broker is killed on the way.

use std::collections::BTreeMap;

use logmill_tests::{Broker, example, read_all, text};
use serde_json::Value;

use crate::PROGRAM;

const MODULES: [&str; 3] = ["stock", "charge", "compensate"];

async fn deployed() -> Broker {
    let broker = Broker::start(PROGRAM).await;
    let folder = example("order-saga");
    broker.logmill(&["module", "deploy", folder.to_str().unwrap()]).await.ok();
    broker
}

async fn feed(broker: &Broker) {
    let file = example("order-saga/orders.ndjson");
    let args = ["produce", "orders", "--file", file.to_str().unwrap(), "--key-from", "/sku"];
    broker.logmill(&args).await.ok();
}

/// Each order's events, in order.
async fn events(broker: &Broker) -> BTreeMap<String, Vec<String>> {
    let mut events = BTreeMap::<String, Vec<String>>::new();
    for it in read_all(&broker.client().await, "order.events").await {
        let event: Value = serde_json::from_str(text(&it.record)).unwrap();
        let word = |name: &str| event[name].as_str().unwrap().to_owned();
        events.entry(word("id")).or_default().push(word("status"));
    }
    events
}

/// Waits until the last step of each order is there.
async fn ended(broker: &Broker) -> BTreeMap<String, Vec<String>> {
    logmill_tests::until("every order comes to its end", async || {
        for module in MODULES {
            broker.settled(module).await;
        }
        let events = events(broker).await;
        let released = events.values().flatten().filter(|it| *it == "released").count();
        (released == 2).then_some(events)
    })
    .await
}

fn expected() -> BTreeMap<String, Vec<String>> {
    [
        ("o-1", vec!["paid"]),
        ("o-2", vec!["cancelled", "released"]),
        ("o-3", vec!["paid"]),
        ("o-4", vec!["refused"]),
        ("o-5", vec!["cancelled", "released"]),
        ("o-6", vec!["paid"]),
    ]
    .map(|(id, events)| (id.to_owned(), events.into_iter().map(str::to_owned).collect()))
    .into()
}

async fn stock(broker: &Broker) -> BTreeMap<String, String> {
    let args = ["module", "state", "stock", "ls", "-o", "json"];
    let told: Vec<Value> = broker.logmill(&args).await.ok().json();
    let pair = |it: &Value| {
        (it["key"].as_str().unwrap().to_owned(), it["value"].as_str().unwrap().to_owned())
    };
    told.iter().map(pair).collect()
}

#[tokio::test]
async fn each_order_comes_to_one_end_though_the_broker_is_killed_and_orders_come_again() {
    let broker = deployed().await;
    feed(&broker).await;
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    assert_eq!(ended(&broker).await, expected());
    let left: BTreeMap<String, String> = [
        ("held/o-1", "2"),
        ("held/o-3", "1"),
        ("held/o-6", "1"),
        ("stock/chair", "4"),
        ("stock/desk", "4"),
        ("stock/lamp", "3"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    assert_eq!(stock(&broker).await, left);

    // Handled again, no payment is made again: what is paid is dropped, what failed finds nothing held.
    broker.logmill(&["module", "reset", "charge", "--to", "earliest", "--yes"]).await.ok();
    for module in MODULES {
        broker.settled(module).await;
    }
    let again = events(&broker).await;
    let paid = again.values().flatten().filter(|it| *it == "paid").count();
    assert_eq!(paid, 3);
    assert_eq!(stock(&broker).await, left);
    let letters: Vec<Value> =
        broker.logmill(&["dlq", "show", "charge", "-o", "json"]).await.ok().json();
    let reasons: Vec<&str> =
        letters.iter().take(2).map(|it| it["dlq"]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["rejected", "error"]);
}
