//! An ack follows the disk, and one sync serves many acks.

use std::process::Command;
use std::time::{Duration, Instant};

use logmill_tests::{Broker, Setup, get, read_all, record, text};

use crate::PROGRAM;

/// Whether this machine lets one program trace another.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    traced.is_ok_and(|output| output.status.success())
}

async fn produce(broker: &Broker) -> Duration {
    broker.logmill(&["produce", "t", "v"]).await.ok().took
}

#[tokio::test]
async fn no_ack_comes_before_its_sync_has_returned() {
    if !can_trace() {
        eprintln!("skipped: strace is not there or may not trace; `apt-get install strace`");
        return;
    }
    let delay = "strace -f --seccomp-bpf -qq -o /dev/null -e trace=fdatasync \
                 -e inject=fdatasync:delay_enter=2000000";
    let wrapper = delay.split_whitespace().map(str::to_owned).collect();
    let slow = Broker::start_with(PROGRAM, Setup { wrapper, ..Setup::default() }).await;
    slow.create_topic("t", 1).await;
    let took = produce(&slow).await;
    assert!(took >= Duration::from_secs(2), "acknowledged after {took:?}");

    let quick = Broker::start(PROGRAM).await;
    quick.create_topic("t", 1).await;
    let took = produce(&quick).await;
    assert!(took < Duration::from_secs(2), "it is the delay that takes so long, not {took:?}");
}

/// A6: `EIO` on one sync, with a disk that says yes to every other.
#[tokio::test]
async fn after_a_sync_that_fails_nothing_is_acknowledged_and_nothing_is_synced_again() {
    if !can_trace() {
        eprintln!("skipped: strace is not there or may not trace; `apt-get install strace`");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let fail = "strace -f --seccomp-bpf -qq -e trace=fdatasync \
                -e inject=fdatasync:error=EIO:when=20 -o";
    let wrapper = fail.split_whitespace().map(str::to_owned);
    let wrapper = wrapper.chain([trace.to_str().unwrap().to_owned()]).collect();
    let broker = Broker::start_with(PROGRAM, Setup { wrapper, ..Setup::default() }).await;
    broker.create_topic("t", 1).await;
    let client = broker.client().await;
    let producer = client.producer("t".parse().unwrap()).await.unwrap();
    let mut acked = Vec::new();
    let error = loop {
        let value = acked.len().to_string();
        match producer.send(record("k", value.as_str())).await.unwrap().wait().await {
            Ok(_) => acked.push(value),
            Err(error) => break error,
        }
    };
    assert!(!error.has_no_side_effects(), "{error}");
    assert!(acked.len() < 20, "{} acks", acked.len());
    if let Ok(sent) = producer.send(record("k", "more")).await {
        sent.wait().await.unwrap_err();
    }
    let (ended, data) = broker.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for says in ["durable", "Input/output error", "start again"] {
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
    let trace = std::fs::read_to_string(&trace).unwrap();
    let after: Vec<&str> = trace.lines().skip_while(|line| !line.contains("EIO")).skip(1).collect();
    assert!(!after.iter().any(|line| line.contains("fdatasync")), "{after:?}");

    let broker = Broker::start_on(PROGRAM, &data).await;
    let records = read_all(&broker.client().await, "t").await;
    let values: Vec<&str> = records.iter().map(|it| text(&it.record)).collect();
    assert!(values.len() <= acked.len() + 1 && values[..acked.len()] == acked, "{values:?}");
}

async fn counter(broker: &Broker, name: &str) -> u64 {
    let (_, metrics) = get(broker, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

const SYNCS: &str = "logmill_journal_syncs_total";

#[tokio::test]
async fn two_hundred_producers_get_at_least_ten_acks_to_a_sync() {
    const PRODUCERS: u64 = 200;
    const EACH: u64 = 25;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 4).await;
    let mut producers = Vec::new();
    for _ in 0..PRODUCERS {
        producers.push(broker.client().await.producer("t".parse().unwrap()).await.unwrap());
    }
    let (before, started) = (counter(&broker, SYNCS).await, Instant::now());
    let mut tasks = Vec::new();
    for (number, producer) in producers.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for index in 0..EACH {
                // One in flight: each waits for its ack before it sends the next.
                let sent = producer.send(record(&format!("{number}"), format!("{index}"))).await;
                sent.unwrap().wait().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let syncs = counter(&broker, SYNCS).await - before;
    let acks = PRODUCERS * EACH;
    eprintln!("{acks} acks, {syncs} syncs, {:?}", started.elapsed());
    assert!(syncs > 0 && acks >= 10 * syncs, "{acks} acks for {syncs} syncs");
}
