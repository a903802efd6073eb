//! Shows how a module is tested without a broker: the whole input of the example against what is
//! expected of it, and what the input has no case of.
//!
//! When a change is meant, `UPDATE_EXPECTED=1 cargo test -p logmill-example-consumer` writes
//! `expected.ndjson` and `expected-ghosts.ndjson` anew; read their diff.

use std::path::{Path, PathBuf};
use std::{env, fs};

use logmill_module::log::Level;
use logmill_module::testing::TestHost;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// As in logmill.toml.
const MAX_ATTEMPTS: u32 = 4;

/// As in logmill.toml.
const CONFIG: [(&str, &str); 3] =
    [("team", "core"), ("alert_labels", "bug,security"), ("deleted_author", "ghost")];

fn triage() -> Triage {
    Triage::init(&Config::from(CONFIG)).unwrap()
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(example(file)).unwrap()
}

#[derive(Deserialize)]
struct Delivery<'a> {
    event: &'a str,
    delivery: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The deliveries that the router sends to this consumer, with their lines in the input.
fn input(text: &str) -> impl Iterator<Item = (usize, Message)> + '_ {
    text.lines().enumerate().filter_map(|(index, line)| {
        let delivery: Delivery<'_> = serde_json::from_str(line).unwrap();
        let message = Message::new(delivery.payload.get())
            .with_header("event", delivery.event)
            .with_header("delivery", delivery.delivery);
        matches!(delivery.event, "issues" | "pull_request").then_some((index + 1, message))
    })
}

/// A line of `expected.ndjson`: what becomes of a line of the input.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outcome {
    line: usize,
    attempts: Vec<Attempt>,
    outputs: Vec<Produced>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Attempt {
    verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Produced {
    topic: String,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, String)>,
}

impl Attempt {
    fn new(verdict: &str, reason: impl Into<Option<String>>) -> Self {
        Self { verdict: verdict.to_owned(), reason: reason.into() }
    }
}

impl From<Output> for Produced {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            // The aliases of logmill.toml.
            topic: format!("triage.{}", output.topic.unwrap()),
            key: output.key.map(text),
            value: output.value.map(text),
            headers: output.headers.into_iter().map(|it| (it.name, text(it.value))).collect(),
        }
    }
}

/// Plays the broker: asks again until there is an outcome, or the attempts run out.
fn run(triage: &mut Triage, line: usize, message: &Message) -> Outcome {
    let mut outcome = Outcome { line, attempts: vec![], outputs: vec![] };
    for attempt in 1..=MAX_ATTEMPTS {
        let (attempt, ended) = match triage.handle(message.clone().with_attempt(attempt)) {
            Ok(Verdict::Done(outputs)) => {
                outcome.outputs = outputs.into_iter().map(Into::into).collect();
                (Attempt::new("done", None), true)
            }
            Ok(Verdict::Drop(reason)) => (Attempt::new("drop", reason), true),
            Ok(Verdict::DeadLetter(reason)) => (Attempt::new("dead-letter", reason), true),
            Ok(Verdict::Retry(retry)) => (Attempt::new("retry", retry.reason), false),
            Err(error) => (Attempt::new("error", error.to_string()), false),
        };
        outcome.attempts.push(attempt);
        if ended {
            break;
        }
    }
    outcome
}

/// The messages of a file of records.
fn records(text: &str) -> impl Iterator<Item = (usize, Message)> + '_ {
    text.lines().enumerate().map(|(index, line)| {
        let Produced { value, headers, .. } = serde_json::from_str(line).unwrap();
        let message = Message { value: value.map(Into::into), ..Message::new("") };
        let with = |message: Message, (name, value)| message.with_header(name, value);
        (index + 1, headers.into_iter().fold(message, with))
    })
}

#[test]
fn every_delivery_has_the_expected_outcome() {
    let mut triage = triage();
    let actual: Vec<Outcome> = input(&read("../data/github-webhooks.jsonl"))
        .map(|(line, message)| run(&mut triage, line, &message))
        .collect();
    hold_against("expected.ndjson", &actual);
}

/// The records of `ghosts.ndjson`, as they are handled with the setting and without.
#[test]
fn who_deleted_the_account_is_a_ghost_where_it_is_set() {
    let mut fixed = triage();
    let ghosts = read("ghosts.ndjson");
    let actual: Vec<Outcome> =
        records(&ghosts).map(|(line, message)| run(&mut fixed, line, &message)).collect();
    hold_against("expected-ghosts.ndjson", &actual);

    let without = CONFIG.into_iter().filter(|(name, _)| *name != "deleted_author");
    let mut bare = Triage::init(&Config::from_iter(without)).unwrap();
    let last = |outcome: Outcome| outcome.attempts.into_iter().next_back().unwrap();
    let verdicts: Vec<Attempt> =
        records(&ghosts).map(|(line, message)| last(run(&mut bare, line, &message))).collect();
    let dead = |reason: &str| Attempt::new("dead-letter", reason.to_owned());
    assert_eq!(
        verdicts,
        [
            dead("the issue has no author"),
            dead("the issue has no author"),
            dead("the pull request has no author"),
            Attempt::new("done", None),
        ]
    );
}

fn hold_against(file: &str, actual: &[Outcome]) {
    if env::var_os("UPDATE_EXPECTED").is_some() {
        let line = |outcome| serde_json::to_string(outcome).unwrap() + "\n";
        fs::write(example(file), actual.iter().map(line).collect::<String>()).unwrap();
    }
    let expected = read(file);
    let expected: Vec<Outcome> =
        expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(actual, expected);
    }
    assert_eq!(actual.len(), expected.len());
}

/// The records of `malformed.ndjson`. The fifth has no `event`: the router leaves it where it is,
/// and it never comes here.
#[test]
fn what_is_malformed_dies_for_its_own_reason() {
    let mut triage = triage();
    let malformed = read("malformed.ndjson");
    let outcomes = records(&malformed).map(|(line, message)| {
        let outcome = run(&mut triage, line, &message);
        assert_eq!(outcome.outputs, []);
        (outcome.attempts.len(), outcome.attempts.into_iter().next_back().unwrap())
    });
    let outcome =
        |attempts, verdict, reason: &str| (attempts, Attempt::new(verdict, reason.to_owned()));
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [
            outcome(1, "dead-letter", "not JSON: expected ident at line 1 column 2"),
            outcome(1, "dead-letter", "no repository"),
            outcome(1, "dead-letter", "no pull request"),
            outcome(4, "error", "the record has no value"),
            outcome(1, "drop", "neither an issue nor a pull request"),
            outcome(4, "retry", "it is merged, but its commit is not known yet"),
        ]
    );
}

fn pull_request(fields: &str) -> Message {
    Message::new(format!(
        r#"{{"action": "opened", "repository": {{"full_name": "a/b"}}, "pull_request": {{
            "number": 7, "title": "t", "state": "open", "user": {{"login": "me"}}, {fields} }}}}"#
    ))
    .with_header("event", "pull_request")
}

#[test]
fn a_pull_request_that_cannot_be_merged_is_an_alert_in_the_log_too() {
    let host = TestHost::new();
    let message =
        pull_request(r#""mergeable": false, "body": "why", "labels": [{"name": "security"}]"#);
    let Verdict::Done(outputs) = triage().handle(message).unwrap() else { unreachable!() };
    let alerts: Vec<Value> = outputs[1..]
        .iter()
        .map(|output| serde_json::from_slice(output.value.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(alerts[0]["kind"], "security");
    assert_eq!(alerts[1]["kind"], "conflict");
    assert_eq!(host.log()[1], (Level::Info, "conflict: a/b#7".to_owned()));
}

#[test]
fn it_does_not_start_without_a_team() {
    let Err(error) = Triage::init(&Config::default()) else { unreachable!() };
    assert!(error.to_string().contains("--config team=VALUE"), "{error}");
}
