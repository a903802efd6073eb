//! What monitors and supervisors rely on.

use std::time::Duration;

use logmill_tests::{Broker, get};

use crate::PROGRAM;

#[tokio::test]
async fn monitors_see_health_readiness_and_metrics() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.logmill(&["produce", "t", "v"]).await.ok();
    assert_eq!(get(&broker, "/healthz").await.0, 200);
    assert_eq!(get(&broker, "/readyz").await.0, 200);
    let (status, metrics) = get(&broker, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("logmill_received_records_total 1"), "{metrics}");
    assert!(metrics.contains("logmill_journal_syncs_total"), "{metrics}");
    assert_eq!(get(&broker, "/topics").await.0, 404);
}

#[tokio::test]
async fn sigterm_ends_the_broker_in_order_within_ten_seconds_under_load() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    let producer = broker.client().await.producer("t".parse().unwrap()).await.unwrap();
    let load = tokio::spawn(async move {
        let mut acked = 0_u64;
        loop {
            let record = logmill_tests::record("k", acked.to_string());
            match producer.send(record).await {
                Ok(ticket) if ticket.wait().await.is_ok() => acked += 1,
                _ => return acked,
            }
        }
    });
    logmill_tests::until("some records are acked", async || {
        let status = broker.admin().await.status().await.unwrap();
        (status.durable_csn > 20).then_some(())
    })
    .await;
    let (status, took, data) = broker.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let acked = load.await.unwrap();

    let broker = Broker::start_on(PROGRAM, &data).await;
    assert!(!broker.stderr().to_lowercase().contains("unclean"), "{}", broker.stderr());
    let records = logmill_tests::read_all(&broker.client().await, "t").await;
    assert!(records.len() as u64 >= acked, "{} records, {acked} acked", records.len());
}

#[tokio::test]
async fn the_connection_file_and_the_keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let broker = Broker::start(PROGRAM).await;
    let mut files = 0;
    for entry in std::fs::read_dir(broker.data().path()).unwrap() {
        let entry = entry.unwrap();
        let (name, meta) = (entry.file_name(), entry.metadata().unwrap());
        if meta.is_file() && meta.len() > 0 {
            assert_eq!(meta.permissions().mode() & 0o077, 0, "{name:?} is for its owner");
            files += 1;
        }
    }
    assert!(files >= 1);
    assert!(!broker.stderr().contains(&broker.connection().token), "no log shows the token");
}

#[tokio::test]
async fn status_tells_what_one_asks_at_night() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 2).await;
    broker.logmill(&["produce", "t", "v"]).await.ok();
    let status: serde_json::Value =
        broker.logmill(&["status", "-o", "json"]).await.ok().json_line();
    assert_eq!(status["topics"][0]["name"], "t");
    assert_eq!(status["epoch"], 1);
    assert!(status["disk_free_bytes"].as_u64() > Some(0));
    assert_eq!((&status["lag"], &status["open_dead_letters"]), (&0.into(), &0.into()));
    let told = broker.logmill(&["status"]).await.ok().stdout;
    assert!(told.contains("journal") && told.contains("free"), "{told}");
}
