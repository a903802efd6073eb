//! A real file system runs full: each level refuses what it says, nothing acknowledged is lost, and
//! the broker goes on by itself when there is space.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use logmill_client::{Error, ErrorCode, World};
use logmill_tests::{Broker, DataDir, Setup, get, guest, read_all, record, text, until};
use serde_json::Value;

use crate::PROGRAM;

const MIB: u64 = 1 << 20;
/// Of which the reserve, the least there may be, takes two thirds.
const DISK_BYTES: u64 = 96 * MIB;
/// How long service may take to come back.
const RESUMED: Duration = Duration::from_secs(5);

/// With small files. Variables, since a settings file would have to be written on the full disk.
fn setup(data: &DataDir) -> Setup {
    let settings = "env LOGMILL_JOURNAL_FILE_BYTES=1MiB LOGMILL_RESERVE_BYTES=64MiB";
    Setup { wrapper: settings.split(' ').map(str::to_owned).collect(), ..Setup::on(data) }
}

/// Produces until the disk is full; returns how many records were acknowledged.
async fn fill(broker: &Broker, topic: &str) -> usize {
    let client = broker.client().await;
    let producer = client.producer(topic.parse().unwrap()).await.unwrap();
    for acked in 0.. {
        let value = format!("{acked:08}").repeat(8 << 10);
        let sent = producer.send(record("k", value)).await.unwrap();
        match sent.wait().await {
            Ok(_) => assert!(acked * 64 * 1024 < DISK_BYTES, "there is no more disk than that"),
            Err(error) => {
                assert_eq!(error.code(), Some(ErrorCode::DiskFull), "{error}");
                assert!(error.is_retryable() && error.has_no_side_effects(), "{error}");
                return usize::try_from(acked).unwrap();
            }
        }
    }
    unreachable!("the disk is full before the numbers are")
}

async fn level(broker: &Broker) -> String {
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.ok().json_line();
    status["disk_level"].as_str().unwrap().to_owned()
}

/// Waits until a record is taken in again, and tells how long that took.
async fn resumed(broker: &Broker, topic: &str) -> Duration {
    let begin = Instant::now();
    let client = broker.client().await;
    let producer = client.producer(topic.parse().unwrap()).await.unwrap();
    until("records are taken in again", async || {
        match producer.send(record("k", "again")).await.unwrap().wait().await {
            Ok(_) => Some(()),
            Err(Error::Refused { code: ErrorCode::DiskFull, .. }) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    begin.elapsed()
}

/// Takes all that is free.
fn take_the_rest(path: &Path) {
    let mut ballast = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for bytes in [&[1; 1 << 20][..], &[1; 4096]] {
        while ballast.write_all(bytes).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_takes_no_records_moves_cursors_and_goes_on_when_a_topic_is_deleted() {
    let Some(data) = DataDir::on_small_disk(DISK_BYTES) else { return };
    let component = guest("scripted").await;
    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    for topic in ["t", "in", "big"] {
        broker.create_topic(topic, 1).await;
    }
    broker.logmill(&["produce", "t", "before"]).await.ok();
    let drops = (0..40).map(|id| format!("{id} drop"));
    let lines: Vec<String> = drops.chain(["40 done".to_owned(), "41 drop".to_owned()]).collect();
    let produce = ["produce", "in", "--file", "-"];
    broker.logmill_with_stdin(&produce, lines.join("\n").as_bytes()).await.ok();
    let flags = "--on in --out out --from earliest --paused";
    broker.deploy("c", World::Consumer, &component, flags).await;

    assert!(fill(&broker, "big").await > 100);
    assert_eq!(level(&broker).await, "full");
    let status = broker.logmill(&["status"]).await.ok().stdout;
    assert!(status.contains("disk: full"), "{status}");
    assert_eq!(get(&broker, "/readyz").await, (200, "ready; the disk is full\n".to_owned()));
    assert!(get(&broker, "/metrics").await.1.contains("logmill_disk_level 1"));
    broker.logmill(&["produce", "t", "v"]).await.refused(1, "disk full: ");
    broker.logmill(&["topic", "create", "more"]).await.refused(1, "disk full: ");
    broker.logmill(&["consume", "t"]).await.ok();

    broker.logmill(&["module", "resume", "c"]).await.ok();
    let waits = broker.described("c", |it| it.lanes[0].waiting.is_some()).await;
    assert_eq!(waits.lanes[0].waiting.as_deref(), Some("disk full"));
    assert_eq!((waits.counts.dropped, waits.counts.done), (40, 0));
    assert_eq!(level(&broker).await, "full", "there was room for cursors");

    broker.logmill(&["topic", "delete", "big", "--yes"]).await.ok();
    let took = resumed(&broker, "t").await;
    eprintln!("records were taken in again {took:?} after the topic was deleted");
    assert!(took < RESUMED, "{took:?}");
    let counts = broker.settled("c").await.counts;
    assert_eq!((counts.dropped, counts.done), (41, 1));
    let client = broker.client().await;
    let values = |records: Vec<logmill_client::ConsumedRecord>| -> Vec<String> {
        records.iter().map(|it| text(&it.record).to_owned()).collect()
    };
    assert_eq!(values(read_all(&client, "t").await), ["before", "again"]);
    assert_eq!(values(read_all(&client, "out").await), ["40 done"]);
    let (status, took, _) = broker.terminate().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}

#[tokio::test]
async fn a_broker_killed_on_a_disk_without_a_free_byte_starts_and_lets_space_be_won() {
    let Some(data) = DataDir::on_small_disk(DISK_BYTES) else { return };
    let component = guest("scripted").await;
    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    for topic in ["t", "in", "unused"] {
        broker.create_topic(topic, 1).await;
    }
    broker.logmill(&["produce", "in", "0 drop"]).await.ok();
    let flags = "--on in --out out --from earliest --paused";
    broker.deploy("c", World::Consumer, &component, flags).await;
    let acked = fill(&broker, "t").await;
    let ballast = data.path().join("ballast");
    take_the_rest(&ballast);
    broker.kill().await;

    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    take_the_rest(&ballast);
    until("the broker sees how full it is", async || {
        (level(&broker).await == "critical").then_some(())
    })
    .await;
    broker.logmill(&["produce", "t", "v"]).await.refused(1, "disk full: ");
    broker.logmill(&["module", "resume", "c"]).await.refused(1, "disk full: ");
    broker.logmill(&["topic", "delete", "unused", "--yes"]).await.ok();
    assert_eq!(read_all(&broker.client().await, "t").await.len(), acked);
    let data = broker.kill().await;

    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    assert!(!broker.has_topic("unused").await);
    assert_eq!(read_all(&broker.client().await, "t").await.len(), acked);
    std::fs::remove_file(&ballast).unwrap();
    let took = resumed(&broker, "t").await;
    eprintln!("records were taken in again {took:?} after there was space");
    assert!(took < RESUMED, "{took:?}");
    broker.logmill(&["module", "resume", "c"]).await.ok();
    broker.settled("c").await;
    let (status, ..) = broker.terminate().await;
    assert!(status.success(), "{status}");
}

/// Entries that were given their place before the disk was full wait; a stop does not.
#[tokio::test]
async fn a_broker_on_a_full_disk_ends_in_order_when_it_is_asked() {
    let Some(data) = DataDir::on_small_disk(DISK_BYTES) else { return };
    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    broker.create_topic("t", 1).await;
    let acked = fill(&broker, "t").await;
    take_the_rest(&data.path().join("ballast"));
    let (status, took, _) = broker.terminate().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    let broker = Broker::start_with(PROGRAM, setup(&data)).await;
    assert_eq!(read_all(&broker.client().await, "t").await.len(), acked);
}
