//! `logmill bench`: the figures that are promised, whichever broker they are of.

use logmill_tests::Broker;
use serde_json::Value;

use crate::PROGRAM;

const SMALL: [&str; 9] =
    ["bench", "produce", "--records", "2000", "--size", "100", "--batch", "50", "-o"];

fn small(more: &[&'static str]) -> Vec<&'static str> {
    [&SMALL[..], &["json"], more].concat()
}

/// What every report has, and that it is not absurd.
#[track_caller]
fn check(report: &Value) {
    assert_eq!(report["work"], "produce", "{report}");
    for (name, value) in [("records", 2000), ("size", 100), ("batch", 50)] {
        assert_eq!(report[name], value, "{report}");
    }
    let positive = |path: &str| {
        let value = report.pointer(path).and_then(Value::as_f64);
        value.filter(|it| *it > 0.0).unwrap_or_else(|| panic!("no {path} in {report}"))
    };
    for path in ["/connections", "/records_per_s", "/mb_per_s", "/raw/quic_mb_s"] {
        positive(path);
    }
    let [p50, p90, p99, p999, max] =
        ["p50", "p90", "p99", "p999", "max"].map(|name| positive(&format!("/latency_us/{name}")));
    assert!(p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max, "{report}");
    positive("/raw/quic_echo_us/p50");
    positive("/raw/quic_echo_us/p99");
    positive("/ratio/of_quic");
    positive("/machine/cores");
    assert!(report["machine"]["cpu"].is_string() || report["machine"]["cpu"].is_null());
    let command = report["command"].as_str().unwrap();
    assert!(command.contains("bench produce --records 2000"), "{command}");
}

#[track_caller]
fn check_disk(report: &Value) {
    for path in ["/raw/disk_mb_s", "/raw/fdatasync_us/p50", "/raw/fdatasync_us/p99"] {
        assert!(report.pointer(path).and_then(Value::as_f64) >= Some(0.0), "{path}: {report}");
    }
    let ratio = report["ratio"]["of_disk"].as_f64().unwrap();
    let chunks_per_s = report["records_per_s"].as_f64().unwrap() / 50.0;
    let chunk_mb = report["raw"]["chunk_bytes"].as_f64().unwrap() / 1e6;
    let parts = chunks_per_s * chunk_mb / report["raw"]["disk_mb_s"].as_f64().unwrap();
    assert!((ratio - parts).abs() < 0.02 * parts + 0.01, "{report}");
    assert!(report["machine"]["fs"].is_string(), "{report}");
}

#[tokio::test]
async fn a_bench_of_a_running_broker_measures_that_brokers_disk_and_leaves_no_topic() {
    let broker = Broker::start(PROGRAM).await;
    let ran = broker.logmill(&small(&["--connections", "2", "--in-flight", "4"])).await.ok();
    let report: Value = ran.json_line();
    check(&report);
    check_disk(&report);
    assert_eq!(report["broker"], broker.connection().address);
    assert_eq!(report["connections"], 2);
    let status = broker.admin().await.status().await.unwrap();
    assert!(status.topics.is_empty(), "{status:?}");
    assert!(status.durable_csn >= 40, "it was this broker: {status:?}");
}

#[tokio::test]
async fn a_disk_that_may_not_be_the_brokers_is_not_measured() {
    let broker = Broker::start(PROGRAM).await;
    let text = std::fs::read_to_string(&broker.connection().path).unwrap();
    let mut connection: Value = serde_json::from_str(&text).unwrap();
    connection["data"] = "/nowhere".into();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("connection.json");
    std::fs::write(&file, connection.to_string()).unwrap();
    let small = small(&["--connect"]);
    let args = [&small[..], &[file.to_str().unwrap()]].concat();
    let report: Value = PROGRAM.run(&args).await.ok().json_line();
    check(&report);
    for path in ["/raw/disk_mb_s", "/raw/fdatasync_us", "/ratio/of_disk", "/machine/fs"] {
        assert_eq!(report.pointer(path), Some(&Value::Null), "{path}: {report}");
    }
}

#[tokio::test]
async fn without_a_broker_one_is_started_for_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let report: Value = PROGRAM.run_in(folder.path(), &small(&[])).await.ok().json_line();
    check(&report);
    check_disk(&report);
    assert_eq!(report["broker"], "in-process");
    assert!(report["raw"]["sync_bytes"].as_u64() > Some(5000), "{report}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let data = folder.path().join("data");
    let args = ["bench", "produce", "--records", "100", "--data", data.to_str().unwrap()];
    let ran = PROGRAM.run_in(folder.path(), &args).await.ok();
    for shown in ["in this process, on", "produce", "raw disk", "raw QUIC", "limit", "command"] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran}");
    }
    assert!(data.join("journal").exists());
}

#[tokio::test]
async fn compressed_batches_are_measured_beside_chunks_of_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for codec in ["none", "lz4", "zstd"] {
        let ran = PROGRAM.run_in(folder.path(), &small(&["--compression", codec])).await.ok();
        let report: Value = ran.json_line();
        check(&report);
        check_disk(&report);
        assert_eq!(report["compression"], codec);
        sizes.push(report["raw"]["chunk_bytes"].as_u64().unwrap());
    }
    assert!(sizes.is_sorted_by(|larger, smaller| larger > smaller), "{sizes:?}");
}

/// 2000 records in batches of 50 at 8000/s: 40 batches, the last of which is due after 244 ms.
#[tokio::test]
async fn a_rate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ran = PROGRAM.run_in(folder.path(), &small(&["--rate", "8000/s"])).await.ok();
    let report: Value = ran.json_line();
    check(&report);
    assert_eq!(report["rate"], 8000);
    assert!(report["elapsed_ms"].as_u64() >= Some(243), "{report}");
}

#[tokio::test]
async fn a_bench_that_no_broker_could_do_is_wrong_usage() {
    for (args, says) in [
        (&["--size", "2MiB"][..], "--size 2097152 is too large"),
        (&["--batch", "70000", "--size", "1"], "--batch 70000 is too large"),
        (&["--rate", "0/s"], "as in 20000/s"),
        (&["--records", "0"], "--records"),
        (&["--connections", "257"], "--connections"),
        (&["--data", "d", "--connect", "quic://localhost:1"], "--data starts a broker"),
    ] {
        PROGRAM.run(&[&["bench", "produce"], args].concat()).await.refused(2, says);
    }
}
