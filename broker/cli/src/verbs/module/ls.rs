//! `logmill module ls`.

use logmill_model::{DeploymentDescription, DeploymentStatus, LaneState};

use crate::{Failure, Session};

/// List the deployments
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module ls")]
pub(crate) struct Args {}

/// The head of a list of deployments.
pub(crate) const HEAD: [&str; 8] =
    ["deployment", "world", "state", "version", "on", "lag", "done", "dead-lettered"];

/// A deployment's row in a list.
pub(crate) fn row(it: &DeploymentDescription) -> Vec<String> {
    let sources: Vec<_> = it.sources.iter().map(ToString::to_string).collect();
    vec![
        it.name.to_string(),
        it.world.to_string(),
        state(it),
        it.active_version.to_string(),
        sources.join(","),
        lag(it).to_string(),
        it.counts.done.to_string(),
        it.counts.dead_lettered.to_string(),
    ]
}

/// What a deployment does, for a person: one that is to run may have lanes that can't.
pub(crate) fn state(it: &DeploymentDescription) -> String {
    let state = it.state.as_str();
    let count = |state| it.lanes.iter().filter(|lane| lane.state == state).count();
    let (corrupt, lost) = (count(LaneState::Corrupt), count(LaneState::Lost));
    let (all, stand) = (it.lanes.len(), corrupt + lost);
    if it.state != DeploymentStatus::Running || stand == 0 {
        return state.to_owned();
    }
    let state = if stand == all { "stands still" } else { state };
    let why = match (corrupt, lost) {
        (_, 0) => LaneState::Corrupt.as_str(),
        (0, _) => LaneState::Lost.as_str(),
        _ => "corrupt or lost",
    };
    format!("{state}: {stand} of {all} lanes {why}")
}

/// How many offsets a deployment has still to come.
pub(crate) fn lag(deployment: &DeploymentDescription) -> u64 {
    deployment.lanes.iter().map(|lane| lane.lag).sum()
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let deployments = session.admin().await?.deployments().await?;
        deployments.iter().try_for_each(|it| session.output.json(it))?;
        session.output.table(&HEAD, deployments.iter().map(row).collect())
    }
}
