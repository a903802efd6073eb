//! All that a broker knows is a function of its log: one that has nothing but its log comes to the same
//! cursors, counts, state, claims and dead letters.

use logmill_client::StateQuery;
use logmill_tests::Broker;

use crate::PROGRAM;

/// Ends a broker in order, and starts it again; and beside it another one on a copy that has nothing but
/// the log. Both say the same.
pub(crate) async fn rebuilt(broker: Broker, deployments: &[&str]) -> [Broker; 2] {
    let (status, _, data) = broker.terminate().await;
    assert!(status.success(), "{status}");
    let log_alone = data.copy_of_log();
    let with_all = Broker::start_on(PROGRAM, &data).await;
    let both = [with_all, Broker::start_on(PROGRAM, &log_alone).await];
    say_the_same(&both, deployments).await;
    both
}

/// Once all records have an outcome, both brokers say the same of these deployments.
pub(crate) async fn say_the_same([one, other]: &[Broker; 2], deployments: &[&str]) {
    for name in deployments {
        assert_eq!(one.settled(name).await, other.settled(name).await);
        assert_eq!(state(one, name).await, state(other, name).await, "the state of {name}");
    }
    let letters = ["dlq", "ls", "-o", "json"];
    let (ours, theirs) = (one.logmill(&letters).await.ok(), other.logmill(&letters).await.ok());
    assert_eq!(ours.stdout, theirs.stdout);
}

async fn state(broker: &Broker, deployment: &str) -> Vec<logmill_client::StateEntry> {
    let query = StateQuery::all(deployment.parse().unwrap());
    broker.admin().await.module_state(query).await.unwrap()
}
