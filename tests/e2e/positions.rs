//! Where reading starts and ends: offsets, times, and spans back from now.

use logmill_client::{Timestamp, World};
use logmill_tests::{Broker, guest};
use serde_json::Value;

use crate::PROGRAM;

/// Partition, offset and time of what `consume` prints.
async fn consumed(broker: &Broker, flags: &str) -> Vec<(u64, u64, Timestamp)> {
    let mut args = vec!["consume", "t", "-o", "json"];
    args.extend(flags.split_whitespace());
    let printed: Vec<Value> = broker.logmill(&args).await.ok().json();
    let number = |record: &Value, field: &str| record[field].as_u64().unwrap();
    let mut records: Vec<_> = printed
        .iter()
        .map(|it| {
            (number(it, "partition"), number(it, "offset"), Timestamp(number(it, "append_ts")))
        })
        .collect();
    records.sort_unstable();
    records
}

async fn broker_with_records() -> Broker {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 2).await;
    for number in 0..6 {
        let value = format!("{number} done");
        let partition = (number % 2).to_string();
        let args = ["produce", "t", value.as_str(), "--partition", partition.as_str()];
        broker.logmill(&args).await.ok();
    }
    broker
}

#[tokio::test]
async fn a_time_bounds_what_is_read_of_all_partitions() {
    let broker = broker_with_records().await;
    let all = consumed(&broker, "").await;
    assert_eq!(all.len(), 6);
    for (_, _, time) in &all {
        let is_later = |it: &&(u64, u64, Timestamp)| it.2 >= *time;
        let later: Vec<_> = all.iter().filter(is_later).copied().collect();
        let earlier: Vec<_> = all.iter().filter(|it| !is_later(it)).copied().collect();
        let at = time.to_rfc3339();
        assert_eq!(consumed(&broker, &format!("--from @{at}")).await, later, "{at}");
        assert_eq!(consumed(&broker, &format!("--to @{at}")).await, earlier, "{at}");
        assert_eq!(consumed(&broker, &format!("--from @{at} --to @{at}")).await, [], "{at}");
    }
    assert_eq!(consumed(&broker, "--from -1h").await, all);
    assert_eq!(consumed(&broker, "--from -0ms").await, []);
    assert_eq!(consumed(&broker, "--from @1970-01-01T01:00:00+01:00").await, all);
    for (flags, code, says) in [
        ("--from 1", 2, "t has 2 partitions; say with --partition whose offset that is"),
        ("--to 1", 2, "say with --partition"),
        ("--from @2026-07-01T12:00:00", 2, "a time with its zone"),
        ("--to -15m", 2, "bad end"),
    ] {
        let mut args = vec!["consume", "t"];
        args.extend(flags.split_whitespace());
        broker.logmill(&args).await.refused(code, says);
    }
    let one: Vec<_> = all.iter().filter(|it| (it.0, it.1) == (1, 1)).copied().collect();
    assert_eq!(consumed(&broker, "--partition 1 --from 1 --to 2").await, one);
}

#[tokio::test]
async fn a_deployment_starts_at_a_time() {
    let component = guest("scripted").await;
    let broker = broker_with_records().await;
    let all = consumed(&broker, "").await;
    let time = all.iter().find(|it| (it.0, it.1) == (0, 2)).unwrap().2;
    let flags = format!("--on t --out out --from @{}", time.to_rfc3339());
    let deployed = broker.deploy("late", World::Consumer, &component, &flags).await;
    let later = all.iter().filter(|it| it.2 >= time).count();
    let start: Vec<u64> = deployed.start.iter().map(|it| it.offset.0).collect();
    assert_eq!(start.iter().map(|from| 3 - from).sum::<u64>(), later as u64, "{start:?}");
    assert_eq!(broker.settled("late").await.counts.done, later as u64);

    let deployed =
        broker.deploy("hour", World::Consumer, &component, "--on t --out out --from -1h");
    let start: Vec<u64> = deployed.await.start.iter().map(|it| it.offset.0).collect();
    assert_eq!(start, [0, 0]);
    assert_eq!(broker.settled("hour").await.counts.done, 6);
}
