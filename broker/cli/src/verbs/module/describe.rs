//! `logmill module describe`.

use logmill_model::{
    Counts, DeploymentDescription, DeploymentName, DeploymentSettings, Order, OutputGrant, World,
    shown_span,
};

use super::ls;
use crate::quantity::shown_bytes;
use crate::{Failure, Output, Session};

/// Show a deployment: its settings, its lanes, what has become of its records
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module describe triage")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let deployment = session.admin().await?.deployment(self.name).await?;
        session.output.json(&deployment)?;
        show(&mut session.output, &deployment)
    }
}

fn show(output: &mut Output, it: &DeploymentDescription) -> Result<(), Failure> {
    let state = ls::state(it);
    let state = it.reason.as_ref().map_or_else(|| state.clone(), |why| format!("{state}: {why}"));
    output.text(format_args!(
        "{}, a {}, version {}, {state}",
        it.name, it.world, it.active_version
    ))?;
    let mut line = |name: &str, value: String| {
        if value.is_empty() { Ok(()) } else { output.text(format_args!("  {name:<14}{value}")) }
    };
    let settings = &it.settings;
    line("module", it.digest.to_string())?;
    line("on", joined(&it.sources))?;
    line("out", settings.out.iter().map(grant).collect::<Vec<_>>().join(", "))?;
    let config = settings.config.iter().map(|(name, value)| format!("{name}={value}"));
    line("config", config.collect::<Vec<_>>().join(", "))?;
    match it.world {
        World::Consumer => {
            line("max-attempts", settings.max_attempts.to_string())?;
            line("backoff", settings.backoff.to_string())?;
            line("order", order(settings))?;
            line("dlq", settings.dlq.to_string())?;
            if !settings.idempotency.is_none() {
                let window = shown_span(settings.idempotency_window_ms);
                line("idempotency", format!("{} within {window}", settings.idempotency))?;
            }
        }
        World::Router => line("unrouted", format!("{:?}", settings.unrouted).to_lowercase())?,
        World::Filter => {}
    }
    line("memory", shown_bytes(it.limits.memory_bytes))?;
    line("deadline", format!("{} ms", it.limits.deadline_ms))?;
    if it.world == World::Consumer {
        line("counts", counts(&it.counts))?;
    }
    let rows = it.lanes.iter().map(|lane| {
        vec![
            format!("{}/{}", lane.topic, lane.partition),
            lane.cursor.to_string(),
            lane.lag.to_string(),
            lane.parked.to_string(),
            lane.in_flight.to_string(),
            lane.state.as_str().to_owned(),
            lane.waiting.clone().unwrap_or_default(),
        ]
    });
    output.table(
        &["lane", "cursor", "lag", "parked", "in flight", "state", "waiting"],
        rows.collect(),
    )
}

fn order(settings: &DeploymentSettings) -> String {
    match settings.order {
        Order::Partition => settings.order.as_str().to_owned(),
        Order::Key => format!("key, at most {} parked", settings.max_parked),
    }
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn grant(grant: &OutputGrant) -> String {
    let topic = &grant.topic;
    grant.alias.as_ref().map_or_else(|| topic.to_string(), |alias| format!("{alias}={topic}"))
}

/// The counts, without those that are zero.
pub(crate) fn counts(counts: &Counts) -> String {
    let all = [
        ("done", counts.done),
        ("outputs", counts.outputs),
        ("retried", counts.retried),
        ("dead-lettered", counts.dead_lettered),
        ("dropped", counts.dropped),
        ("duplicates", counts.duplicates),
        ("errors", counts.errors),
        ("trapped", counts.trapped),
        ("timed out", counts.timed_out),
        ("lost", counts.lost),
    ];
    let some: Vec<_> = all
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if some.is_empty() { "nothing yet".to_owned() } else { some.join(", ") }
}
