//! What monitors and supervisors rely on.

use std::time::Duration;

use logmill_client::World;
use logmill_tests::{Broker, get, guest};

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
async fn each_consumer_tells_its_calls_its_outcomes_and_how_far_it_is_behind() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let flags = "--on in --out out --from earliest --max-attempts 2 --backoff fixed:1h --order key";
    broker.deploy("m", World::Consumer, &component, flags).await;
    for value in ["0 done 2", "1 drop", "2 reject", "3 fail"] {
        broker.logmill(&["produce", "in", value]).await.ok();
    }
    broker.described("m", |it| it.lanes[0].parked == 1).await;
    let (_, metrics) = get(&broker, "/metrics").await;
    for line in [
        "logmill_lane_records_total{deployment=\"m\",outcome=\"done\"} 1",
        "logmill_lane_records_total{deployment=\"m\",outcome=\"dropped\"} 1",
        "logmill_lane_records_total{deployment=\"m\",outcome=\"dead_lettered\"} 1",
        "logmill_lane_records_total{deployment=\"m\",outcome=\"retried\"} 1",
        "logmill_lane_failed_attempts_total{deployment=\"m\",cause=\"error\"} 1",
        "logmill_lane_outputs_total{deployment=\"m\"} 2",
        "logmill_lane_calls_total{deployment=\"m\"} 4",
        "logmill_deployment_runs{deployment=\"m\"} 1",
        "logmill_deployment_lag_records{deployment=\"m\"} 1",
        "logmill_deployment_parked_records{deployment=\"m\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    for histogram in ["call", "run", "commit"] {
        let line = format!("logmill_lane_{histogram}_seconds_bucket{{deployment=\"m\",le=");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    let seconds = "logmill_deployment_lag_seconds{deployment=\"m\"} ";
    let age = metrics.lines().find_map(|line| line.strip_prefix(seconds)).unwrap();
    assert!(age.parse::<f64>().unwrap() > 0.0, "it waits for an hour");
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
