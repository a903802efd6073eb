//! `logmill module resume`.

use logmill_model::{
    DeploymentDescription, DeploymentName, LaneDescription, LaneState, SkippedLane, TopicName,
};
use serde::Serialize;

use crate::{Failure, Output, Session};

/// Let a paused deployment go on, or try a failed one again
///
/// A lane whose next record was removed by retention is lost: it stands, and other lanes go on.
/// Resuming leaves it so, unless it is told to go on behind what it lost. A lane that needs what is corrupt
/// stands as well, until the loss is accepted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module resume triage\n  \
    logmill module resume triage --skip-lost")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    /// Let lost lanes go on at the first record that is there; what they skip is counted as lost
    #[arg(long)]
    skip_lost: bool,
}

#[derive(Serialize)]
struct Resumed<'a> {
    resumed: &'a DeploymentName,
    /// Lanes that went on behind what they had lost.
    skipped: &'a [SkippedLane],
    /// Lanes that are lost still.
    lost: &'a [SkippedLane],
    /// Lanes that stand still, since something that they need is corrupt.
    corrupt: &'a [CorruptLane],
    #[serde(skip)]
    lanes: usize,
}

#[derive(Serialize)]
struct CorruptLane {
    topic: TopicName,
    partition: u32,
    /// What is corrupt, and what can be done.
    why: String,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let admin = session.admin().await?;
        let mut skipped = Vec::new();
        if self.skip_lost {
            skipped = admin.resume_skipping_lost(self.name.clone()).await?;
        } else {
            admin.resume(self.name.clone()).await?;
        }
        let deployment = admin.deployment(self.name.clone()).await?;
        let (lost, corrupt) = (lost(&deployment), corrupt(&deployment));
        let resumed = Resumed {
            resumed: &self.name,
            skipped: &skipped,
            lost: &lost,
            corrupt: &corrupt,
            lanes: deployment.lanes.len(),
        };
        session.output.json(&resumed)?;
        show(&mut session.output, &resumed)
    }
}

fn lost(deployment: &DeploymentDescription) -> Vec<SkippedLane> {
    let lanes = deployment.lanes.iter().filter(|lane| lane.state == LaneState::Lost);
    let lost = lanes.filter_map(|lane| {
        let (topic, partition) = (lane.topic.clone(), lane.partition);
        Some(SkippedLane { topic, partition, lost: lane.lost? })
    });
    lost.collect()
}

fn corrupt(deployment: &DeploymentDescription) -> Vec<CorruptLane> {
    let lanes = deployment.lanes.iter().filter(|lane| lane.state == LaneState::Corrupt);
    let corrupt = |LaneDescription { topic, partition, waiting, .. }: &LaneDescription| {
        let why = waiting.clone().unwrap_or_default();
        CorruptLane { topic: topic.clone(), partition: *partition, why }
    };
    lanes.map(corrupt).collect()
}

fn show(output: &mut Output, it: &Resumed<'_>) -> Result<(), Failure> {
    let stand = it.lost.len() + it.corrupt.len();
    let but = if stand > 0 && stand == it.lanes { ", but all its lanes stand still" } else { "" };
    output.text(format_args!("resumed {}{but}", it.resumed))?;
    for SkippedLane { topic, partition, lost } in it.skipped {
        let (from, to) = (lost.from, lost.to);
        let records = from.distance_to(to);
        output.text(format_args!(
            "  {topic}/{partition} goes on at {to}: {records} offsets from {from} on are lost"
        ))?;
    }
    for SkippedLane { topic, partition, lost } in it.lost {
        let (from, to) = (lost.from, lost.to);
        output.text(format_args!(
            "  {topic}/{partition} is lost: its next record was {from}, the first that is there is \
             {to}; `logmill module resume {} --skip-lost` goes on there",
            it.resumed
        ))?;
    }
    for CorruptLane { topic, partition, why } in it.corrupt {
        output.text(format_args!("  {topic}/{partition} stands still: {why}"))?;
    }
    Ok(())
}
