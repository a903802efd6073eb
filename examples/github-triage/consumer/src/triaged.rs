//! Shows how to write an output: a struct whose fields are the JSON, in this order.

use logmill_module::Result;
use serde::Serialize;

use crate::event::Event;

/// An issue or a pull request as the team sees it.
#[derive(Serialize)]
struct Triaged<'a> {
    repository: &'a str,
    number: u64,
    title: &'a str,
    state: &'a str,
    last_action: &'a str,
    author: &'a str,
    author_is_maintainer: bool,
    labels: &'a [String],
    assignee: Option<&'a str>,
    team: &'a str,
    priority: &'static str,
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_request: Option<PullRequest>,
}

#[derive(Serialize)]
struct PullRequest {
    draft: bool,
    mergeable: &'static str,
    size: &'static str,
}

pub(crate) fn json(event: &Event, team: &str) -> Result<String> {
    let pull_request = event.pull_request.as_ref().map(|pull_request| PullRequest {
        draft: pull_request.draft,
        mergeable: match pull_request.mergeable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        },
        size: match pull_request.changed_lines {
            0..=10 => "small",
            11..=200 => "medium",
            _ => "large",
        },
    });
    let triaged = Triaged {
        repository: &event.repository,
        number: event.number,
        title: &event.title,
        state: &event.state,
        last_action: &event.action,
        author: &event.author,
        author_is_maintainer: matches!(
            &*event.author_association,
            "OWNER" | "MEMBER" | "COLLABORATOR"
        ),
        labels: &event.labels,
        assignee: event.assignee.as_deref(),
        team,
        priority: priority(&event.labels),
        url: event.url.as_deref(),
        pull_request,
    };
    Ok(serde_json::to_string(&triaged)?)
}

fn priority(labels: &[String]) -> &'static str {
    let has = |name| labels.iter().any(|label| label == name);
    match (has("security"), has("bug")) {
        (true, _) => "high",
        (false, true) => "normal",
        (false, false) => "low",
    }
}
