//! A byte rots on the disk of a real data directory: the broker serves around it, `inspect` tells
//! where it is, and `repair` accepts the loss.

use std::path::{Path, PathBuf};

use logmill_tests::{Broker, Setup, until};
use serde_json::Value;

use crate::PROGRAM;

/// Flips a bit in the one place of the journal where these bytes are; returns the file's path.
fn rot(data: &Path, bytes: &[u8]) -> PathBuf {
    for entry in std::fs::read_dir(data.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let mut file = std::fs::read(&path).unwrap();
        if let Some(at) = file.windows(bytes.len()).position(|window| window == bytes) {
            file[at] ^= 1;
            std::fs::write(&path, file).unwrap();
            return path;
        }
    }
    panic!("the journal does not have it");
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_rotten_byte_costs_its_batch_and_can_be_accepted() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for value in ["first", "this one rots", "last"] {
        broker.logmill(&["produce", "t", value]).await.ok();
    }
    let dir = broker.data().path().to_string_lossy().into_owned();
    let verify = ["inspect", "verify", dir.as_str()];
    broker.logmill(&verify).await.refused(1, "is owned by another broker");
    let (_, _, data) = broker.terminate().await;
    PROGRAM.run(&verify).await.ok();
    let dump = PROGRAM.run(&["inspect", "dump", &dir, "--topic", "t"]).await.ok();
    assert!(dump.stdout.contains("t/0 1: this one rots"), "{}", dump.stdout);

    let file = file_name(&rot(data.path(), b"this one rots"));
    let broker = Broker::start_on(PROGRAM, &data).await;
    let read = broker.logmill(&["consume", "t"]).await.refused(1, "read on from 2");
    assert!(read.stdout.contains("first") && !read.stdout.contains("last"), "{}", read.stdout);
    assert!(read.stderr.starts_with("error: corrupt: "), "{}", read.stderr);
    let read = broker.logmill(&["consume", "t", "--from", "2"]).await.ok();
    assert!(read.stdout.contains("last"), "{}", read.stdout);
    broker.logmill(&["produce", "t", "more"]).await.ok();
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    let place = &status["corrupt"][0];
    assert!(place["file"].as_str().unwrap().ends_with(&file), "{place}");
    assert_eq!(place["lost"][0], serde_json::json!({"topic":"t","partition":0,"from":1,"to":2}));
    let (_, _, data) = broker.terminate().await;

    let found = PROGRAM.run(&verify).await.refused(3, ": 1; restore from a backup, or accept");
    assert!(found.stdout.contains(&format!("{file} at byte ")), "{}", found.stdout);
    let found = PROGRAM.run(&["inspect", "verify", &dir, "-o", "json"]).await;
    let reports: Vec<Value> = found.json();
    let findings = reports.iter().flat_map(|it| it["findings"].as_array().unwrap());
    assert_eq!(findings.count(), 1);
    PROGRAM.run(&["inspect", "repair", &dir]).await.refused(2, "--accept-loss");
    let repaired = PROGRAM.run(&["inspect", "repair", &dir, "--accept-loss"]).await.ok();
    let says = "lost: t/0 from offset 1 to before 2";
    assert!(repaired.stdout.contains(says), "{}", repaired.stdout);
    let found = PROGRAM.run(&verify).await.ok().stdout;
    assert!(found.contains(&format!("accepted: journal/{file} at byte ")), "{found}");
    assert!(found.contains(says) && found.ends_with("accepted as lost: 1\n"), "{found}");
    let reports: Vec<Value> =
        PROGRAM.run(&["inspect", "verify", &dir, "-o", "json"]).await.ok().json();
    let findings: Vec<&Value> =
        reports.iter().flat_map(|it| it["findings"].as_array().unwrap()).collect();
    assert_eq!((findings.len(), &findings[0]["accepted"]), (1, &Value::Bool(true)));

    let broker = Broker::start_on(PROGRAM, &data).await;
    let read = broker.logmill(&["consume", "t"]).await.ok();
    let values = ["first", "last", "more"].map(|value| read.stdout.contains(value));
    assert_eq!(values, [true; 3], "{}", read.stdout);
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    assert_eq!(status["corrupt"], Value::Null);
}

#[tokio::test]
async fn the_scrubber_finds_what_nobody_reads_unless_it_is_switched_off() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for value in ["first", "this one rots", "last"] {
        broker.logmill(&["produce", "t", value]).await.ok();
    }
    let (_, _, data) = broker.terminate().await;
    rot(data.path(), b"this one rots");
    let corrupt = async |broker: &Broker| -> Value {
        let status: Value = broker.logmill(&["status", "-o", "json"]).await.ok().json_line();
        status["corrupt"].clone()
    };
    let config = Some("scrub_bytes_per_second = 0".to_owned());
    let broker = Broker::start_with(PROGRAM, Setup { config, ..Setup::on(&data) }).await;
    assert_eq!(corrupt(&broker).await, Value::Null);
    broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    let found = until("the scrubber finds it", async || {
        let found = corrupt(&broker).await;
        (found != Value::Null).then_some(found)
    })
    .await;
    assert_eq!(found[0]["lost"][0]["from"], 1, "{found}");
}
