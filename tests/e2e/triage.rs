//! `examples/github-triage`, from its project file to its expectations.

use std::collections::HashMap;

use logmill_tests::{Broker, example, read_all};
use serde::Deserialize;
use serde_json::Value;

use crate::PROGRAM;

/// A line of the example's expectations.
#[derive(Deserialize)]
struct Expected {
    line: usize,
    attempts: Vec<Attempt>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Attempt {
    verdict: String,
}

#[derive(Deserialize, Debug, PartialEq, Eq, Hash, Clone)]
struct Output {
    topic: String,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, String)>,
}

const OUTPUTS: [&str; 3] = ["triage.issues", "triage.pull_requests", "triage.alerts"];

#[tokio::test]
async fn the_example_deploys_from_its_folder_and_does_what_it_says() {
    let folder = example("github-triage");
    let broker = Broker::start(PROGRAM).await;
    let deploy = ["module", "deploy", folder.to_str().unwrap(), "-o", "json"];
    let deployed: Vec<Value> = broker.logmill(&deploy).await.ok().json();
    assert_eq!(deployed.len(), 3);
    broker.running("route").await;
    broker.running("opened").await;
    feed(&broker).await;
    let description = broker.settled("triage").await;

    let (expected, counts) = expectations();
    assert_eq!(description.counts.outputs as usize, expected.values().sum::<usize>());
    assert_eq!(outputs(&broker).await, expected);
    let of = |verdict: &str| counts.get(verdict).copied().unwrap_or(0);
    let got = description.counts;
    assert_eq!((got.done, got.dropped), (of("done"), of("drop")));
    assert_eq!(got.retried, of("retry"));
    assert_eq!(got.dead_lettered, of("dead-letter"));

    // GitHub sends it all again: what was handled is skipped, and what died is handled once more.
    feed(&broker).await;
    let again = broker.settled("triage").await.counts;
    assert_eq!(again.duplicates, of("done") + of("drop"));
    assert_eq!((again.done, again.dropped, again.outputs), (got.done, got.dropped, got.outputs));
    assert_eq!(again.dead_lettered, 2 * got.dead_lettered);
    assert_eq!(outputs(&broker).await, expected);

    let opened: Vec<Value> = broker
        .logmill(&["consume", "github.events", "--filter", "opened", "-o", "json"])
        .await
        .ok()
        .json();
    assert!(!opened.is_empty() && opened.len() < 2 * 329);
    for record in opened {
        let payload: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
        assert_eq!(payload["action"], "opened");
    }
}

/// Produces the example's input as its project file says.
async fn feed(broker: &Broker) {
    let file = example("data/github-webhooks.jsonl");
    let args = [
        "produce",
        "github.events",
        "--file",
        file.to_str().unwrap(),
        "--value-from",
        "/payload",
        "--key-from",
        "/payload/repository/full_name",
        "--header-from",
        "event=/event",
        "--header-from",
        "delivery=/delivery",
    ];
    broker.logmill(&args).await.ok();
}

/// The outputs that are to come, each with how often, and how often each verdict is given last,
/// with the retries before. A line that is not named has no outcome: the router sends it elsewhere.
fn expectations() -> (HashMap<Output, usize>, HashMap<String, u64>) {
    let text = std::fs::read_to_string(example("github-triage/expected.ndjson")).unwrap();
    let (mut outputs, mut verdicts) = (HashMap::new(), HashMap::new());
    let mut last = 0;
    for line in text.lines() {
        let expected: Expected = serde_json::from_str(line).unwrap();
        assert!(expected.line > last, "lines are in order");
        last = expected.line;
        for output in expected.outputs {
            *outputs.entry(output).or_insert(0) += 1;
        }
        for attempt in expected.attempts {
            *verdicts.entry(attempt.verdict).or_insert(0) += 1;
        }
    }
    assert!(!outputs.is_empty());
    (outputs, verdicts)
}

async fn outputs(broker: &Broker) -> HashMap<Output, usize> {
    let client = broker.client().await;
    let mut found = HashMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for topic in OUTPUTS {
        for read in read_all(&client, topic).await {
            let headers = read.record.headers.iter();
            let output = Output {
                topic: topic.to_owned(),
                key: read.record.key.as_deref().map(text),
                value: read.record.value.as_deref().map(text),
                headers: headers.map(|it| (it.name.clone(), text(&it.value))).collect(),
            };
            *found.entry(output).or_insert(0) += 1;
        }
    }
    found
}

#[tokio::test]
async fn what_is_malformed_ends_as_a_dead_letter_with_its_reason() {
    let folder = example("github-triage");
    let broker = Broker::start(PROGRAM).await;
    broker.logmill(&["module", "deploy", folder.to_str().unwrap()]).await.ok();
    broker.running("route").await;
    let file = folder.join("malformed.ndjson");
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    let args = ["produce", "github.events", "--file", file.to_str().unwrap(), "--format", "record"];
    broker.logmill(&args).await.ok();
    let counts = broker.settled("triage").await.counts;
    let letters: Vec<Value> =
        broker.logmill(&["dlq", "show", "triage", "-o", "json"]).await.ok().json();
    // The one without an `event` header has no route and stays in github.events.
    assert_eq!((letters.len(), counts.dead_lettered as usize), (lines - 1, lines - 1));
    let mut reasons: Vec<&str> =
        letters.iter().map(|letter| letter["dlq"]["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons, ["error", "rejected", "retry"]);
}
