//! Modules that misbehave cost their own records, and nobody else anything.

use logmill_client::World;
use logmill_tests::{Broker, guest, read_all};

use crate::PROGRAM;

const SCRIPTED: &str = "scripted";

#[tokio::test]
async fn placeholder() {
    let component = guest(SCRIPTED).await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.deploy("c", World::Consumer, &component, "--on in --from earliest").await;
    assert!(read_all(&broker.client().await, "in").await.is_empty());
}
