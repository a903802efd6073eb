//! A module that breaks on every record is paused before it has emptied its topic.

use logmill_client::{DeploymentStatus, World};
use logmill_tests::{Broker, guest};

use crate::PROGRAM;

async fn produce(broker: &Broker, values: impl Iterator<Item = String>) {
    let lines = values.collect::<Vec<_>>().join("\n");
    broker.logmill_with_stdin(&["produce", "in", "--file", "-"], lines.as_bytes()).await.ok();
}

#[tokio::test]
async fn a_deployment_that_breaks_on_twenty_records_in_a_row_is_paused_and_goes_on_when_told() {
    let component = guest("hostile").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let flags = "--on in --from earliest --max-attempts 1";
    broker.deploy("breaks", World::Consumer, &component, flags).await;
    broker.deploy("other", World::Consumer, &component, "--on in --max-attempts 1").await;
    produce(&broker, (0..25).map(|id| format!("{id} panic"))).await;

    let paused = broker.described("breaks", |it| it.state == DeploymentStatus::Paused).await;
    let reason = paused.reason.unwrap();
    assert!(reason.contains("20 records in a row, which are in breaks.dlq"), "{reason}");
    assert_eq!((paused.counts.dead_lettered, paused.lanes[0].cursor.0), (20, 20));
    let status = broker.logmill(&["status"]).await.ok().stdout;
    assert!(status.contains("20 records in a row"), "{status}");

    // It is durable, and `resume` is another chance.
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    let paused = broker.describe("breaks").await;
    assert_eq!((paused.state, paused.reason.unwrap()), (DeploymentStatus::Paused, reason));
    broker.logmill(&["module", "resume", "breaks"]).await.ok();
    assert_eq!(broker.settled("breaks").await.counts.dead_lettered, 25);
    produce(&broker, (0..3).map(|id| format!("{id} fine"))).await;
    assert_eq!(broker.settled("breaks").await.counts.done, 3);
}
