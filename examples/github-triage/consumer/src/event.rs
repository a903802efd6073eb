//! Shows how to read a payload that is not ours: what it must have is checked once, here, and
//! each lack has its own reason. Everything after works with values that are there.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Issue,
    PullRequest,
}

/// An event of an issue or a pull request, checked.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) action: String,
    pub(crate) repository: String,
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) state: String,
    pub(crate) author: String,
    pub(crate) author_association: String,
    pub(crate) labels: Vec<String>,
    /// The label that a `labeled` or `unlabeled` event is about.
    pub(crate) changed_label: Option<String>,
    pub(crate) assignee: Option<String>,
    pub(crate) has_description: bool,
    pub(crate) url: Option<String>,
    /// None for an issue.
    pub(crate) pull_request: Option<PullRequest>,
}

#[derive(Debug)]
pub(crate) struct PullRequest {
    pub(crate) draft: bool,
    /// None while GitHub works it out.
    pub(crate) mergeable: Option<bool>,
    pub(crate) merged: bool,
    pub(crate) merge_commit_sha: Option<String>,
    pub(crate) changed_lines: u64,
}

/// The payload as GitHub writes it; other fields are skipped.
#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<Repository>,
    issue: Option<Ticket>,
    pull_request: Option<Ticket>,
    label: Option<Label>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

/// An issue or a pull request: GitHub writes both alike.
#[derive(Deserialize)]
struct Ticket {
    number: Option<u64>,
    title: Option<String>,
    state: Option<String>,
    user: Option<User>,
    #[serde(default)]
    author_association: String,
    #[serde(default)]
    labels: Vec<Label>,
    assignee: Option<User>,
    body: Option<String>,
    html_url: Option<String>,
    #[serde(default)]
    draft: bool,
    mergeable: Option<bool>,
    #[serde(default)]
    merged: bool,
    merge_commit_sha: Option<String>,
    #[serde(default)]
    additions: u64,
    #[serde(default)]
    deletions: u64,
}

impl Event {
    /// Reads a payload, or says why it can't be handled. GitHub leaves out who wrote something when
    /// that account was deleted; `deleted_author` then stands in.
    pub(crate) fn read(
        kind: Kind,
        json: &[u8],
        deleted_author: Option<&str>,
    ) -> Result<Self, String> {
        let payload: Payload = serde_json::from_slice(json).map_err(|error| {
            if error.is_data() {
                format!("not a GitHub event: {error}")
            } else {
                format!("not JSON: {error}")
            }
        })?;
        let repository = payload.repository.ok_or("no repository")?.full_name;
        let action = payload.action.ok_or("no action")?;
        let (ticket, name) = match kind {
            Kind::Issue => (payload.issue, "issue"),
            Kind::PullRequest => (payload.pull_request, "pull request"),
        };
        let ticket = ticket.ok_or_else(|| format!("no {name}"))?;
        let lacks = |field: &str| format!("the {name} has no {field}");
        let ghost = || deleted_author.map(str::to_owned);
        let author = ticket.user.map(|user| user.login).or_else(ghost);
        Ok(Self {
            number: ticket.number.ok_or_else(|| lacks("number"))?,
            title: ticket.title.ok_or_else(|| lacks("title"))?,
            state: ticket.state.ok_or_else(|| lacks("state"))?,
            author: author.ok_or_else(|| lacks("author"))?,
            author_association: ticket.author_association,
            labels: ticket.labels.into_iter().map(|label| label.name).collect(),
            changed_label: payload.label.map(|label| label.name),
            assignee: ticket.assignee.map(|user| user.login),
            has_description: ticket.body.is_some_and(|body| !body.trim().is_empty()),
            url: ticket.html_url,
            pull_request: (kind == Kind::PullRequest).then_some(PullRequest {
                draft: ticket.draft,
                mergeable: ticket.mergeable,
                merged: ticket.merged,
                merge_commit_sha: ticket.merge_commit_sha,
                changed_lines: ticket.additions.saturating_add(ticket.deletions),
            }),
            kind,
            action,
            repository,
        })
    }

    /// What the records that follow are keyed by, as people write it: `octo-org/octo-repo#1`.
    pub(crate) fn key(&self) -> String {
        format!("{}#{}", self.repository, self.number)
    }
}
