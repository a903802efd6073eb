//! Modules that misbehave cost their own records, and nobody else anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use logmill_client::{Error, ErrorCode, World};
use logmill_tests::{Broker, guest, read_all, record, until};
use serde_json::Value;

use crate::PROGRAM;

const HOSTILE: &str = "hostile";
const SCRIPTED: &str = "scripted";

async fn produce(broker: &Broker, topic: &str, values: &[&str]) {
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", topic, "--file", "-"], lines.as_bytes()).await.ok();
}

/// Reason and attempts of each dead letter, by the value of its record.
async fn dead_letters(broker: &Broker, deployment: &str) -> BTreeMap<String, (String, u64)> {
    let show = ["dlq", "show", deployment, "-o", "json"];
    let letters: Vec<Value> = broker.logmill(&show).await.ok().json();
    let of = |letter: &Value| {
        let (value, dlq) = (letter["value"].as_str().unwrap(), &letter["dlq"]);
        let reason = dlq["reason"].as_str().unwrap().to_owned();
        (value.to_owned(), (reason, dlq["attempts"].as_u64().unwrap()))
    };
    let found: BTreeMap<_, _> = letters.iter().map(of).collect();
    assert_eq!(found.len(), letters.len(), "each record is there once");
    found
}

#[tokio::test]
async fn each_offence_is_stopped_for_its_own_reason() {
    let component = guest(HOSTILE).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let offences = [
        ("0 loop", "deadline"),
        ("1 storm", "deadline"),
        ("2 recurse", "trap"),
        ("3 panic", "trap"),
        ("4 random", "trap"),
        ("5 grow", "memory"),
        ("6 giant", "output-limit"),
        ("7 outputs", "output-limit"),
        ("8 reserved", "invalid-output"),
        ("9 elsewhere", "not-granted"),
    ];
    let innocent = ["a fine", "b flood", "c until 2", "d fine"];
    let values: Vec<&str> = offences.iter().map(|(value, _)| *value).chain(innocent).collect();
    produce(&broker, "in", &values).await;
    let flags = "--on in --out out --from earliest --max-attempts 2 --backoff fixed:5ms \
                 --deadline 500ms";
    broker.deploy("h", World::Consumer, &component, flags).await;
    let counts = broker.settled("h").await.counts;
    let expected: BTreeMap<_, _> = offences
        .iter()
        .map(|(value, reason)| ((*value).to_owned(), ((*reason).to_owned(), 2)))
        .collect();
    assert_eq!(dead_letters(&broker, "h").await, expected);
    assert_eq!((counts.done, counts.dead_lettered), (4, 10));
    assert_eq!(counts.timed_out, 4, "two attempts of two records");
    let memory = broker.peak_memory();
    assert!(memory < 1 << 30, "{} MiB", memory >> 20);
}

#[tokio::test]
async fn an_endless_loop_ends_in_the_dead_letters_while_its_neighbour_keeps_working() {
    let (hostile, scripted) = (guest(HOSTILE).await, guest(SCRIPTED).await);
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("bad", 4).await;
    broker.create_topic("good", 1).await;
    broker.deploy("good", World::Consumer, &scripted, "--on good --out out").await;
    broker.running("good").await;
    let flags = "--on bad --max-attempts 3 --backoff fixed:5ms --deadline 500ms";
    broker.deploy("bad", World::Consumer, &hostile, flags).await;
    broker.running("bad").await;
    let client = broker.client().await;
    let producer = client.producer("bad".parse().unwrap()).await.unwrap();
    for partition in 0..4 {
        let sent = producer.send_to(partition, record("k", format!("{partition} loop"))).await;
        sent.unwrap().wait().await.unwrap();
    }

    let options = logmill_client::SubscribeOptions::new("out".parse().unwrap());
    let mut out = client.subscribe(options).await.unwrap();
    let producer = client.producer("good".parse().unwrap()).await.unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0..40 {
        let started = Instant::now();
        let sent = producer.send(record("k", format!("{number} done"))).await;
        sent.unwrap().wait().await.unwrap();
        let output = logmill_tests::within("the neighbour's output", out.next()).await;
        assert!(output.unwrap().is_ok());
        slowest = slowest.max(started.elapsed());
    }
    let bad = broker.describe("bad").await;
    assert_eq!(bad.counts.dead_lettered, 0, "the loops were still running meanwhile");
    eprintln!("the slowest of the neighbour's records took {slowest:?}");

    let counts = broker.settled("bad").await.counts;
    assert_eq!((counts.dead_lettered, counts.timed_out), (4, 12));
    for (value, death) in dead_letters(&broker, "bad").await {
        assert_eq!(death, ("deadline".to_owned(), 3), "{value}");
    }
}

#[tokio::test]
async fn a_record_that_goes_in_circles_is_stopped_after_sixteen_hops() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("circle", 1).await;
    produce(&broker, "circle", &["0 done"]).await;
    broker
        .deploy("c", World::Consumer, &component, "--on circle --out circle --from earliest")
        .await;
    let counts = broker.described("c", |it| it.counts.dead_lettered > 0).await.counts;
    assert_eq!((counts.done, counts.dead_lettered), (16, 1));
    assert_eq!(dead_letters(&broker, "c").await["0 done"].0, "hops");
    assert_eq!(read_all(&broker.client().await, "circle").await.len(), 17);
}

#[tokio::test]
async fn a_hostile_router_refuses_its_own_topics_batches_only() {
    let component = guest(HOSTILE).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.create_topic("other", 1).await;
    let flags = "--on t --out a --deadline 200ms --memory 16MiB";
    broker.deploy("r", World::Router, &component, flags).await;
    broker.running("r").await;
    let producer = broker.client().await.producer("t".parse().unwrap()).await.unwrap();
    for (offence, reason) in [
        ("loop", "deadline"),
        ("panic", "trap"),
        ("grow", "memory"),
        ("giant", "output-limit"),
        ("reserved", "invalid-output"),
    ] {
        let sent = producer.send(record("k", format!("0 {offence}"))).await.unwrap();
        let refused = sent.wait().await.unwrap_err();
        let Error::Refused { code, index, text, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*code, *index), (ErrorCode::RouterRefused, Some(0)), "{offence}");
        assert!(text.contains(reason), "{offence}: {text}");
    }
    broker.logmill(&["produce", "other", "0 loop"]).await.ok();
    broker.logmill(&["produce", "t", "1 fine"]).await.ok();
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 1);
}

#[tokio::test]
async fn a_hostile_filter_ends_its_own_subscription_only() {
    let component = guest(HOSTILE).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    produce(&broker, "t", &["0 loop"]).await;
    broker.deploy("f", World::Filter, &component, "--on t --deadline 200ms").await;
    broker.running("f").await;
    broker.logmill(&["consume", "t", "--filter", "f"]).await.refused(1, "deadline");
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 1);
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_costs_no_memory() {
    let component = guest(HOSTILE).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let floods: Vec<String> = (0..20).map(|number| format!("{number} flood")).collect();
    let floods: Vec<&str> = floods.iter().map(String::as_str).collect();
    produce(&broker, "in", &floods).await;
    broker.deploy("h", World::Consumer, &component, "--on in --from earliest --deadline 5s").await;
    until("all floods are done", async || {
        (broker.describe("h").await.counts.done == 20).then_some(())
    })
    .await;
    let logs = broker.logmill(&["module", "logs", "h"]).await.ok();
    assert!(logs.stdout.len() < 4 << 20, "{} bytes of log", logs.stdout.len());
    let memory = broker.peak_memory();
    assert!(memory < 1 << 30, "{} MiB", memory >> 20);
}
