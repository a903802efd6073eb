//! An ack follows the disk, and one sync serves many acks.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use logmill_tests::{Broker, Setup, get, read_all, record, text};

use crate::PROGRAM;

/// A disk whose `fdatasync` does what strace's `inject` says of it, where this machine lets one program
/// trace another; what it does is written to `trace`.
fn disk_that(inject: &str, trace: &Path) -> Option<Setup> {
    let tries = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !tries.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not there or may not trace; `apt-get install strace`");
        return None;
    }
    let strace = "strace -f --seccomp-bpf -qq -e trace=fdatasync -e";
    let mut wrapper: Vec<String> = strace.split_whitespace().map(str::to_owned).collect();
    wrapper.extend([format!("inject=fdatasync:{inject}"), "-o".to_owned()]);
    wrapper.push(trace.to_str().expect("a path of the tests is UTF-8").to_owned());
    Some(Setup { wrapper, ..Setup::default() })
}

async fn produce(broker: &Broker) -> Duration {
    broker.logmill(&["produce", "t", "v"]).await.ok().took
}

#[tokio::test]
async fn no_ack_comes_before_its_sync_has_returned() {
    let Some(slow) = disk_that("delay_enter=2000000", Path::new("/dev/null")) else { return };
    let slow = Broker::start_with(PROGRAM, slow).await;
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
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let Some(failing) = disk_that("error=EIO:when=20", &trace) else { return };
    let broker = Broker::start_with(PROGRAM, failing).await;
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
    // It takes its time: else the machine's speed decides how many acks meet at a sync.
    let Some(slow) = disk_that("delay_enter=20000", Path::new("/dev/null")) else { return };
    let broker = Broker::start_with(PROGRAM, slow).await;
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
