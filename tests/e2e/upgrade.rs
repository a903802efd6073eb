//! Data directories that brokers of the past have left: each is read as it was written, and worked
//! on. `tests/golden/make.rs` makes them.

use std::path::PathBuf;

use logmill_client::{ConsumedRecord, LaneState};
use logmill_tests::{Broker, DataDir, Setup, listing, read_all, repository, text};

use crate::PROGRAM;

/// The directories of all versions.
fn golden() -> Vec<PathBuf> {
    let folders = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    folders(repository().join("tests/golden")).into_iter().flat_map(folders).collect()
}

async fn start(data: &DataDir) -> Broker {
    let config = Some("journal_file_bytes = \"1MiB\"\nretention_interval_ms = 20\n".to_owned());
    let broker = Broker::start_with(PROGRAM, Setup { config, ..Setup::on(data) }).await;
    broker.described("worker", |it| it.lanes.iter().all(|lane| lane.lag == 0)).await;
    broker
}

/// What the broker has must be this.
async fn has(broker: &Broker, expected: &str, what: &str) {
    let found = listing(&broker.client().await).await;
    let mut lines = found.lines().zip(expected.lines());
    if let Some((found, expected)) = lines.find(|(found, expected)| found != expected) {
        panic!("{what}:\nfound    {found}\nexpected {expected}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}");
}

async fn last(broker: &Broker, topic: &str) -> ConsumedRecord {
    read_all(&broker.client().await, topic).await.pop().unwrap()
}

async fn is_lost(broker: &Broker) {
    broker.described("lagging", |it| it.lanes[0].state == LaneState::Lost).await;
}

/// Everything that was begun goes on.
async fn work(broker: &Broker) {
    for (topic, value) in [
        ("plain", "of a later version"),
        ("compacted", "of a later version"),
        ("in", "100 done"),
        ("routed", "101 to elsewhere"),
    ] {
        let line = ["produce", topic, value, "--key", "key 2", "--partition", "0"];
        broker.logmill(&line).await.ok();
    }
    assert_eq!(text(&last(broker, "compacted").await.record), "of a later version");
    assert_eq!(text(&last(broker, "elsewhere").await.record), "101 to elsewhere");
    let filtered = broker.logmill(&["consume", "routed", "--filter", "filter"]).await.ok().stdout;
    let routed = read_all(&broker.client().await, "routed").await.len();
    assert!((2..routed).contains(&filtered.lines().count()), "{filtered}");
    assert!(filtered.lines().all(|line| line.contains("to elsewhere")), "{filtered}");

    broker.described("worker", |it| it.lanes[0].lag == 0).await;
    assert_eq!(text(&last(broker, "out").await.record), "100 done again");
    broker.logmill(&["module", "resume", "patient"]).await.ok();
    let counts = broker.settled("patient").await.counts;
    // One attempt of three was made before.
    assert_eq!((counts.errors, counts.dead_lettered, counts.done), (3, 1, 1));
    let letter = last(broker, "patient.dlq").await.record;
    assert_eq!(letter.header("dlq-attempts").map(|it| &it[..]), Some(&b"3"[..]));
    broker.logmill(&["module", "resume", "lagging", "--skip-lost"]).await.ok();
    let counts = broker.settled("lagging").await.counts;
    assert_eq!((counts.lost, counts.done), (2, 1));
}

#[tokio::test]
async fn what_every_version_has_left_is_read_as_it_was_written_and_goes_on() {
    let golden = golden();
    assert!(golden.len() >= 2, "{golden:?}");
    for golden in golden {
        let expected = std::fs::read_to_string(golden.with_extension("txt")).unwrap();
        for derived in [true, false] {
            let what = format!("{}, with what is derived: {derived}", golden.display());
            let copy = DataDir::copy_of(&golden);
            let data = if derived { copy } else { copy.copy_of_log() };
            let broker = start(&data).await;
            is_lost(&broker).await;
            has(&broker, &expected, &what).await;
            work(&broker).await;
            let after = listing(&broker.client().await).await;
            let broker = start(&broker.kill().await).await;
            has(&broker, &after, &what).await;
            let (status, _, data) = broker.terminate().await;
            assert!(status.success(), "{what}");
            has(&start(&data).await, &after, &what).await;
        }
    }
}
