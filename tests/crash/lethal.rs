//! A record that ends the broker's process each time it is handled: found, and given up, while nobody
//! else is blamed.

use std::collections::BTreeMap;

use logmill_client::World;
use logmill_tests::{Broker, DataDir, Setup, guest, lethal, read_all, record, text, within};
use serde_json::Value;

use crate::PROGRAM;

const RECORDS: usize = 40;
const LETHAL: [usize; 2] = [7, 23];
const MAX_ATTEMPTS: u64 = 2;

async fn start(data: &DataDir) -> Result<Broker, logmill_tests::Ended> {
    let wrapper = vec!["env".to_owned(), format!("{}=lethal", lethal::VARIABLE)];
    Broker::try_start(PROGRAM, Setup { wrapper, ..Setup::on(data) }).await
}

/// Whether all records have their outcome; false when the broker has died over one.
async fn settles(broker: &Broker) -> bool {
    let settled = async {
        loop {
            let Ok(client) = broker.try_client().await else { return broker.died().await };
            let Ok(found) = client.admin().deployment("m".parse().unwrap()).await else {
                return broker.died().await;
            };
            let is_settled = found.lanes.iter().all(|lane| lane.lag == 0);
            if is_settled && found.counts.done + found.counts.dead_lettered > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = settled => {}
        () = broker.died() => return false,
    }
    !broker.has_ended()
}

async fn run(order: &str) {
    let (component, data) = (guest("scripted").await, DataDir::new());
    let broker = start(&data).await.unwrap();
    broker.create_topic("in", 1).await;
    let flags = format!(
        "--on in --out out --from earliest --paused --order {order} --max-attempts {MAX_ATTEMPTS}"
    );
    broker.deploy("m", World::Consumer, &component, &flags).await;
    let producer = broker.client().await.producer("in".parse().unwrap()).await.unwrap();
    for id in 0..RECORDS {
        let what = if LETHAL.contains(&id) { "lethal" } else { "done" };
        let sent = producer.send(record(&format!("k{}", id % 5), format!("{id} {what}"))).await;
        sent.unwrap().wait().await.unwrap();
    }
    // It dies before it has answered, or after.
    broker.logmill(&["module", "resume", "m"]).await;
    within("it dies", broker.died()).await;

    let mut deaths = 1;
    let broker = loop {
        match start(&data).await {
            Ok(broker) if within("it settles or dies", settles(&broker)).await => break broker,
            // It may die before it is ready, too.
            Ok(_) | Err(_) => deaths += 1,
        }
        assert!(deaths < 20, "it dies for ever");
    };
    // Each once among others, and then alone, up to the limit.
    assert_eq!(deaths, LETHAL.len() * (MAX_ATTEMPTS as usize + 1));
    let counts = broker.settled("m").await.counts;
    assert_eq!((counts.done, counts.dead_lettered), (RECORDS as u64 - 2, 2));
    let letters: Vec<Value> = broker.logmill(&["dlq", "show", "m", "-o", "json"]).await.ok().json();
    let found: BTreeMap<u64, (&str, u64)> = letters
        .iter()
        .map(|it| &it["dlq"])
        .map(|it| {
            let of = it["source"]["offset"].as_u64().unwrap();
            (of, (it["reason"].as_str().unwrap(), it["attempts"].as_u64().unwrap()))
        })
        .collect();
    let expected = LETHAL.map(|id| (id as u64, ("crash", MAX_ATTEMPTS + 1)));
    assert_eq!(found, BTreeMap::from(expected));
    let mut outputs: Vec<usize> = read_all(&broker.client().await, "out")
        .await
        .iter()
        .map(|it| text(&it.record).split_once(' ').unwrap().0.parse().unwrap())
        .collect();
    if order == "partition" {
        assert!(outputs.is_sorted(), "{outputs:?}");
    }
    outputs.sort_unstable();
    let innocent: Vec<usize> = (0..RECORDS).filter(|id| !LETHAL.contains(id)).collect();
    assert_eq!(outputs, innocent, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_ends_the_process_is_given_up_and_nobody_else_is_in_order_of_the_partition() {
    run("partition").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_ends_the_process_is_given_up_and_nobody_else_is_in_order_of_keys() {
    run("key").await;
}
