//! Shows outputs of a second kind from the same record: when somebody should look, and what they
//! are told.

use logmill_module::Result;
use serde::Serialize;

use crate::event::Event;

#[derive(Serialize)]
struct Alert<'a> {
    kind: &'a str,
    repository: &'a str,
    number: u64,
    title: &'a str,
    team: &'a str,
    url: Option<&'a str>,
}

/// The alerts of an event, by kind: labels that are watched for when they come up, a new issue or
/// pull request without a description, and a pull request that can't be merged.
pub(crate) fn kinds(event: &Event, alert_labels: &[String]) -> Vec<String> {
    let comes_up = |label: &String| match event.action.as_str() {
        "opened" | "reopened" => event.labels.contains(label),
        "labeled" => event.changed_label.as_ref() == Some(label),
        _ => false,
    };
    let mut kinds: Vec<String> =
        alert_labels.iter().filter(|label| comes_up(label)).cloned().collect();
    if event.action == "opened" && !event.has_description {
        kinds.push("no-description".to_owned());
    }
    let conflict = event.pull_request.as_ref().is_some_and(|it| it.mergeable == Some(false));
    if conflict && event.state == "open" {
        kinds.push("conflict".to_owned());
    }
    kinds
}

pub(crate) fn json(kind: &str, event: &Event, team: &str) -> Result<String> {
    let alert = Alert {
        kind,
        repository: &event.repository,
        number: event.number,
        title: &event.title,
        team,
        url: event.url.as_deref(),
    };
    Ok(serde_json::to_string(&alert)?)
}
