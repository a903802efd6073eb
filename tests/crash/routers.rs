//! A record and what its router made of it are there together, or neither is.

use std::collections::BTreeSet;
use std::time::Duration;

use logmill_client::World;
use logmill_tests::{Broker, Chance, DataDir, guest, read_all, record, rounds, text};

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routed_record_is_in_both_topics_or_in_neither() {
    let component = guest(SCRIPTED).await;
    let (mut chance, data) = (Chance::new(), DataDir::new());
    for round in rounds(6) {
        let broker = Broker::start_on(PROGRAM, &data).await;
        if round == 0 {
            broker.create_topic("t", 1).await;
            broker.deploy("r", World::Router, &component, "--on t --out a").await;
        }
        broker.running("r").await;
        let client = broker.client().await;
        let producer = client.producer("t".parse().unwrap()).await.unwrap();
        let load = tokio::spawn(async move {
            for number in 0.. {
                let record = record("k", format!("{round}-{number} to a"));
                match producer.send(record).await {
                    // Tickets are dropped: what is read back is compared with itself.
                    Ok(ticket) => drop(ticket),
                    Err(_) => return,
                }
            }
        });
        logmill_tests::until("some records are routed", async || {
            let status = broker.admin().await.topic("a".parse().unwrap()).await.unwrap();
            (status.partitions[0].end.0 > round * 10).then_some(())
        })
        .await;
        let moment = chance.time_up_to(Duration::from_millis(100));
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        broker.kill().await;
        client.close().await;
        load.await.unwrap();
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    let client = broker.client().await;
    let mut topics = Vec::new();
    for topic in ["t", "a"] {
        let read = read_all(&client, topic).await;
        let values: BTreeSet<String> = read.iter().map(|it| text(&it.record).to_owned()).collect();
        assert_eq!(values.len(), read.len(), "{topic} holds each once");
        topics.push(values);
    }
    assert!(!topics[0].is_empty());
    assert!(topics[0] == topics[1], "{} and {}", topics[0].len(), topics[1].len());
}
