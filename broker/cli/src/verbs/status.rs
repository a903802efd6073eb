//! `logmill status`: what one asks at 3 a.m.

use logmill_model::{
    BrokerStatus, CATALOG_PRICE, CorruptOffsets, CorruptPlace, DeploymentDescription,
    DeploymentStatus, LaneState, PartitionDescription, SpaceLevel,
};
use serde::Serialize;

use crate::quantity::shown_bytes;
use crate::verbs::module::ls;
use crate::{Failure, Output, Session, time};

/// Show how the broker is: disk, topics, lag, what stands still, dead letters
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill status")]
pub(crate) struct Args {}

/// The broker's own words, and what follows from them.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    status: &'a BrokerStatus,
    /// Records that consumers have still to handle.
    lag: u64,
}

impl Args {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let status = session.admin().await?.status().await?;
        let lag = status.deployments.iter().map(ls::lag).sum();
        let report = Report { status: &status, lag };
        session.output.json(&report)?;
        show(&mut session.output, &report)
    }
}

fn show(output: &mut Output, report: &Report<'_>) -> Result<(), Failure> {
    let status = report.status;
    output.text(format_args!(
        "logmill {}, up {}, start {} of cluster {}",
        status.version,
        time::shown_span(status.uptime_ms),
        status.epoch,
        status.cluster
    ))?;
    output.text(format_args!(
        "journal {}, free {}, durable commits {}",
        shown_bytes(status.journal_bytes),
        shown_bytes(status.disk_free_bytes),
        status.durable_csn
    ))?;
    match status.disk_level {
        SpaceLevel::Normal => {}
        SpaceLevel::Full => output.text(
            "disk: full: no records, outputs or dead letters are taken in; free some space, or delete a topic, and it goes on by itself",
        )?,
        SpaceLevel::Critical => output.text(
            "disk: critical: only what frees space is taken in; free some space, or delete a topic, and it goes on by itself",
        )?,
    }
    let (lag, open) = (report.lag, status.open_dead_letters);
    output.text(format_args!("lag {lag}, open dead letters {open}"))?;
    if let Some(jump) = &status.clock_jump {
        output.text(format_args!(
            "clock: the machine's clock says {}, the broker goes by {}; set the clock right, or run `logmill clock accept`",
            time::shown(jump.wall),
            time::shown(jump.believed)
        ))?;
    }
    status.corrupt.iter().try_for_each(|place| show_corrupt(output, place))?;
    if !status.corrupt.is_empty() {
        output.text(format_args!("  {}", advice(&status.corrupt)))?;
    }
    for deployment in status.deployments.iter().filter(|it| stands_still(it)) {
        let reason = deployment.reason.as_deref().unwrap_or("no reason given");
        let (name, state) = (&deployment.name, deployment.state.as_str());
        output.text(format_args!("{state}: {name}: {reason}"))?;
    }
    let waiting =
        status.deployments.iter().flat_map(|it| it.lanes.iter().map(move |lane| (it, lane)));
    for (deployment, lane) in waiting {
        if let Some(why) = &lane.waiting {
            let (name, topic, partition) = (&deployment.name, &lane.topic, lane.partition);
            let state = match lane.state {
                LaneState::Running => "waiting",
                stands => stands.as_str(),
            };
            output.text(format_args!("{state}: {name} on {topic}/{partition}: {why}"))?;
        }
    }
    output.text("")?;
    let topics = status.topics.iter().map(|topic| {
        let records: u64 = topic.partitions.iter().map(PartitionDescription::records).sum();
        vec![topic.name.to_string(), topic.partitions.len().to_string(), records.to_string()]
    });
    output.table(&["topic", "partitions", "records"], topics.collect())?;
    if status.deployments.is_empty() {
        return Ok(());
    }
    output.text("")?;
    output.table(&ls::HEAD, status.deployments.iter().map(ls::row).collect())
}

fn show_corrupt(output: &mut Output, place: &CorruptPlace) -> Result<(), Failure> {
    let CorruptPlace { file, position, what, lost, .. } = place;
    output.text(format_args!("corrupt: {file} at byte {position}: {what}"))?;
    lost.iter().try_for_each(|lost| output.text(format_args!("  {lost}")))
}

fn advice(corrupt: &[CorruptPlace]) -> String {
    let repair =
        "stop the broker and run `logmill inspect repair --accept-loss` on its data directory";
    if corrupt.iter().flat_map(|place| &place.lost).any(CorruptOffsets::is_of_catalog) {
        return format!(
            "to get it back, restore from a backup, or bring the file back as it was; to go on without it, {repair}, which {CATALOG_PRICE}"
        );
    }
    format!("to get it back, restore from a backup; to go on without it, {repair}")
}

fn stands_still(deployment: &DeploymentDescription) -> bool {
    matches!(deployment.state, DeploymentStatus::Failed | DeploymentStatus::Paused)
}
