//! A backup of a broker that works is the history up to one moment, and a broker serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logmill_client::Client;
use logmill_tests::{Broker, DataDir, Setup, read_all, record, text, within};

use crate::PROGRAM;

const TOPIC: &str = "t";
/// More than a batch, so that the backup has something to do while producing goes on.
const BEFORE: u64 = 20_000;

/// Sends records numbered from `first` until it is told to stop, or `count` of them; returns how
/// many were acknowledged.
async fn produce(client: &Client, first: u64, count: u64, stop: &AtomicBool) -> u64 {
    let producer = client.producer(TOPIC.parse().unwrap()).await.unwrap();
    let mut sent = first;
    while sent < first + count && !stop.load(Ordering::Acquire) {
        let mut acks = Vec::new();
        for n in sent..(sent + 500).min(first + count) {
            let value = format!("{n} {}", "x".repeat(200));
            acks.push(producer.send(record(&n.to_string(), value)).await.unwrap());
        }
        sent += acks.len() as u64;
        for ack in acks {
            within("an ack", ack.wait()).await.unwrap();
        }
    }
    sent
}

/// The numbers that a broker has, in order.
async fn numbers(broker: &Broker) -> Vec<u64> {
    let records = read_all(&broker.client().await, TOPIC).await;
    let number = |text: &str| text.split_once(' ').unwrap().0.parse().unwrap();
    records.iter().map(|it| number(text(&it.record))).collect()
}

#[tokio::test]
async fn a_backup_under_load_is_a_prefix_of_what_was_acknowledged_and_can_be_served() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic(TOPIC, 1).await;
    let (client, stop) = (broker.client().await, Arc::new(AtomicBool::new(false)));
    let before = produce(&client, 0, BEFORE, &stop).await;
    let load = {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        tokio::spawn(async move { produce(&client, before, u64::MAX / 2, &stop).await })
    };
    let to = DataDir::new();
    let path = to.path().to_str().unwrap();
    let report: serde_json::Value =
        broker.logmill(&["backup", path, "-o", "json"]).await.ok().json_line();
    assert_eq!(report["to"], path);
    assert!(report["copied_bytes"].as_u64().unwrap() > BEFORE * 200, "{report}");
    let again: serde_json::Value =
        broker.logmill(&["backup", path, "-o", "json"]).await.ok().json_line();
    assert!(again["csn"].as_u64() > report["csn"].as_u64(), "{again}");
    stop.store(true, Ordering::Release);
    let sent = load.await.unwrap();

    let restored = Broker::start_on(PROGRAM, &to).await;
    let kept = numbers(&restored).await;
    assert!((before..=sent).contains(&(kept.len() as u64)), "{} of {sent}", kept.len());
    assert!(kept.iter().copied().eq(0..kept.len() as u64), "a gap, or records out of order");
    // It is a broker like any other.
    let (client, stop) = (restored.client().await, AtomicBool::new(false));
    let more = produce(&client, kept.len() as u64, 10, &stop).await;
    assert_eq!(numbers(&restored).await.len() as u64, more);
    // And no backup any more.
    broker.logmill(&["backup", path]).await.refused(1, "neither empty nor a backup");
}

#[tokio::test]
async fn a_copy_of_a_backup_that_lacks_a_part_is_not_taken_for_all_there_was() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic(TOPIC, 1).await;
    produce(&broker.client().await, 0, 500, &AtomicBool::new(false)).await;
    let to = DataDir::new();
    broker.logmill(&["backup", to.path().to_str().unwrap()]).await.ok();
    let journal = || std::fs::read_dir(to.path().join("journal")).unwrap();
    let mut files: Vec<_> = journal().map(|it| it.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "journal"));
    files.sort();
    let last = std::fs::File::options().write(true).open(files.pop().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() / 2).unwrap();
    let (dir, names) = (to.path().to_str().unwrap(), journal().count());
    let found = PROGRAM.run(&["inspect", "verify", dir]).await.refused(3, "restore from a backup");
    assert!(found.stdout.contains("bytes that backup.json says"), "{found:?}");
    assert_eq!(journal().count(), names, "who looks changes nothing");
    let ended = Broker::try_start(PROGRAM, Setup::on(&to)).await.unwrap_err();
    assert!(ended.stderr.contains("this copy of the backup is not whole"), "{}", ended.stderr);
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
    let restored = Broker::start_on(PROGRAM, &to).await;
    restored.logmill(&["produce", TOPIC, "more"]).await.ok();
}
