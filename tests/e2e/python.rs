//! A module in another language: Python, by componentize-py.

use logmill_client::World;
use logmill_tests::{Broker, python_guest, read_all, text};

use crate::PROGRAM;

/// The guest of this folder is asked for by what a record's value says.
const GUEST: &str = "python";

#[tokio::test]
async fn a_component_made_by_componentize_py_is_accepted_and_handles_records() {
    let Some(component) = python_guest().await else { return };
    let size = std::fs::metadata(&component).unwrap().len();
    assert!(size > 10 << 20, "{GUEST} brings its interpreter: {size} bytes");
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    let asked = [r#"{"do":"echo"}"#, r#"{"do":"raise"}"#, r#"{"do":"print"}"#, "not JSON", "{}"];
    for value in asked {
        broker.logmill(&["produce", "in", value, "--key", "k"]).await.ok();
    }
    let flags = "--on in --out out --from earliest --max-attempts 2 --backoff fixed:10ms \
                 --memory 256MiB --deadline 5s";
    broker.deploy("py", World::Consumer, &component, flags).await;
    let counts = broker.settled("py").await.counts;
    assert_eq!((counts.done, counts.dropped, counts.dead_lettered), (2, 1, 2));
    let out = read_all(&broker.client().await, "out").await;
    assert_eq!(out.iter().map(|it| text(&it.record)).collect::<Vec<_>>(), [asked[0]]);
    let logs = broker.logmill(&["module", "logs", "py"]).await.ok().stdout;
    for line in ["echo at ", "to stdout", "to stderr"] {
        assert!(logs.contains(line), "{line}: {logs}");
    }
}
