//! What a topic's policy keeps, and what becomes of who needed the rest.

use logmill_client::{LaneState, World};
use logmill_tests::{Broker, Setup, guest, until};
use serde_json::{Value, json};

use crate::PROGRAM;

async fn start() -> Broker {
    let config = Some("retention_interval_ms = 20".to_owned());
    Broker::start_with(PROGRAM, Setup { config, ..Setup::default() }).await
}

async fn json_of(broker: &Broker, line: &str) -> Value {
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend(["-o", "json"]);
    broker.logmill(&args).await.ok().json_line()
}

async fn refused(broker: &Broker, line: &str, code: i32, says: &str) {
    let args: Vec<&str> = line.split_whitespace().collect();
    broker.logmill(&args).await.refused(code, says);
}

async fn produce(broker: &Broker, topic: &str, values: &[&str]) {
    let lines = values.join("\n");
    broker.logmill_with_stdin(&["produce", topic, "--file", "-"], lines.as_bytes()).await.ok();
}

/// Waits until a topic's first partition starts at this offset.
async fn starts_at(broker: &Broker, topic: &str, offset: u64) {
    let admin = broker.admin().await;
    until("retention moves the start", async || {
        let topic = admin.topic(topic.parse().unwrap()).await.unwrap();
        (topic.partitions[0].start.0 == offset).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_policy_is_made_altered_and_shown() {
    let broker = start().await;
    let policy = |time: Option<u64>, bytes: Option<u64>, compact: bool, on_full: &str| {
        json!({"retention_time_ms": time, "retention_bytes": bytes, "compact": compact,
            "on_full": on_full})
    };
    let made = json_of(&broker, "topic create plain").await;
    assert_eq!(made["policy"], policy(None, None, false, "drop-oldest"));
    let made = json_of(
        &broker,
        "topic create t --partitions 2 --retention-time 7d --retention-bytes 1GiB --on-full reject",
    )
    .await;
    let (week, gib) = (Some(604_800_000), Some(1 << 30));
    assert_eq!(made["policy"], policy(week, gib, false, "reject"));
    for (flags, expected) in [
        ("--retention-time unlimited", policy(None, gib, false, "reject")),
        ("--on-full drop-oldest --compact", policy(None, gib, true, "drop-oldest")),
        ("--compact=false --retention-time 7d", policy(week, gib, false, "drop-oldest")),
        ("--retention-bytes unlimited", policy(week, None, false, "drop-oldest")),
    ] {
        let altered = json_of(&broker, &format!("topic alter t {flags}")).await;
        assert_eq!(altered["policy"], expected, "{flags}");
        assert_eq!(json_of(&broker, "topic describe t").await, altered, "{flags}");
    }
    let shown = broker.logmill(&["topic", "describe", "t"]).await.ok().stdout;
    for line in ["retention-time   7days", "retention-bytes  unlimited", "compact          no"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    for (line, code, says) in [
        ("topic create u --retention-time 0s", 2, "a limit of 0 would keep nothing"),
        ("topic create u --retention-time -7d", 2, "bad time"),
        ("topic create u --on-full reject", 2, "reject needs retention-bytes"),
        ("topic create u --compact --retention-bytes 1MiB --on-full reject", 2, "tombstones"),
        ("topic alter t --retention-bytes 0", 1, "a limit of 0 would keep nothing"),
        ("topic alter t --on-full reject", 1, "reject needs retention-bytes"),
        ("topic alter t --partitions 3", 2, "the number of partitions can't be changed"),
        ("topic alter t", 2, "nothing to change"),
        ("topic alter none --compact", 1, "topic none does not exist"),
    ] {
        refused(&broker, line, code, says).await;
    }
    assert!(!broker.has_topic("u").await);
}

#[tokio::test]
async fn a_reader_behind_the_start_is_told_what_there_is_and_offsets_go_on_after_a_restart() {
    let broker = start().await;
    broker.create_topic("t", 1).await;
    produce(&broker, "t", &["a", "b", "c"]).await;
    json_of(&broker, "topic alter t --retention-time 1ms").await;
    starts_at(&broker, "t", 3).await;
    json_of(&broker, "topic alter t --retention-time unlimited").await;
    for _ in 0..2 {
        let says = "offset out of range: 0 is not there, the partition has 3 to";
        refused(&broker, "consume t --from 0", 1, says).await;
    }
    let (status, _, data) = broker.terminate().await;
    assert!(status.success());
    let broker = Broker::start_on(PROGRAM, &data).await;
    produce(&broker, "t", &["d"]).await;
    let read = json_of(&broker, "consume t").await;
    assert_eq!((&read["offset"], &read["value"]), (&json!(3), &json!("d")));
    refused(&broker, "consume t --from 2", 1, "the partition has 3 to 4; read from earliest").await;
}

#[tokio::test]
async fn a_lane_that_lost_records_stands_while_others_go_on_and_skips_only_when_told_to() {
    let component = guest("scripted").await;
    let broker = start().await;
    broker.create_topic("short", 1).await;
    broker.create_topic("long", 1).await;
    let flags = "--on short long --out out --from earliest --paused";
    broker.deploy("m", World::Consumer, &component, flags).await;
    produce(&broker, "short", &["0 done", "1 done", "2 done"]).await;
    produce(&broker, "long", &["3 done", "4 done"]).await;
    json_of(&broker, "topic alter short --retention-time 1ms").await;
    starts_at(&broker, "short", 3).await;
    json_of(&broker, "topic alter short --retention-time unlimited").await;
    produce(&broker, "short", &["5 done"]).await;

    let lost = json!([{"topic": "short", "partition": 0, "lost": {"from": 0, "to": 3}}]);
    let resumed = json_of(&broker, "module resume m").await;
    assert_eq!(resumed, json!({"resumed": "m", "skipped": [], "lost": lost, "corrupt": []}));
    let described = broker.described("m", |it| it.counts.done == 2).await;
    let lane = described.lanes.iter().find(|it| it.topic.as_str() == "short").unwrap();
    assert_eq!((lane.state, lane.cursor.0), (LaneState::Lost, 0));
    let why = lane.waiting.as_deref().unwrap();
    assert!(why.contains("before 3") && why.contains("module resume m --skip-lost"), "{why}");
    let status = broker.logmill(&["status"]).await.ok().stdout;
    assert!(status.contains("lost: m on short/0: retention removed"), "{status}");
    let again = broker.logmill(&["module", "resume", "m"]).await.ok().stdout;
    assert!(again.contains("short/0 is lost"), "{again}");

    let skipped = json_of(&broker, "module resume m --skip-lost").await;
    assert_eq!(skipped, json!({"resumed": "m", "skipped": lost, "lost": [], "corrupt": []}));
    let counts = broker.settled("m").await.counts;
    assert_eq!((counts.done, counts.lost), (3, 3));
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(broker.settled("m").await.counts, counts, "the count is durable");
}

#[tokio::test]
async fn a_full_topic_rejects_until_it_has_room() {
    let broker = start().await;
    json_of(&broker, "topic create t --retention-bytes 300 --on-full reject").await;
    let mut taken = 0;
    loop {
        let ran = broker.logmill(&["produce", "t", "0123456789"]).await;
        if ran.code != Some(0) {
            ran.refused(1, "topic full: partition 0 of t has");
            break;
        }
        taken += 1;
        assert!(taken < 10, "a record has more than thirty bytes");
    }
    assert!(taken > 1);
    let described = json_of(&broker, "topic describe t").await;
    let partition = &described["partitions"][0];
    assert_eq!((&partition["start"], &partition["end"]), (&json!(0), &json!(taken)));
    assert!(partition["bytes"].as_u64().unwrap() >= 300, "{partition}");
    json_of(&broker, "topic alter t --retention-bytes 1MiB").await;
    broker.logmill(&["produce", "t", "more"]).await.ok();
}
