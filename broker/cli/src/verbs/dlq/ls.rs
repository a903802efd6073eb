//! `logmill dlq ls`.

use std::collections::BTreeMap;

use logmill_model::{DeploymentName, TopicName, World};
use serde::Serialize;

use super::selection::{Filter, Selection};
use crate::{Failure, Session};

/// List the deployments with the open dead letters they have
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill dlq ls")]
pub(crate) struct Args {}

/// The dead letters of a deployment.
#[derive(Debug, Serialize)]
struct Summary {
    deployment: DeploymentName,
    topic: TopicName,
    open: u64,
    reasons: BTreeMap<String, u64>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let admin = session.admin().await?;
        let mut rows = Vec::new();
        for deployment in admin.deployments().await? {
            if deployment.world != World::Consumer {
                continue;
            }
            let mut reasons = BTreeMap::new();
            let all = Filter::default();
            let mut selection = Selection::of(admin.clone(), &deployment.name, all).await?;
            while let Some(window) = selection.next().await? {
                for letter in window.letters {
                    *reasons.entry(letter.reason).or_insert(0) += 1;
                }
            }
            let (deployment, topic) = (deployment.name, deployment.settings.dlq);
            let summary = Summary { deployment, topic, open: reasons.values().sum(), reasons };
            session.output.json(&summary)?;
            rows.push(row(&summary));
        }
        session.output.table(&["deployment", "topic", "open", "reasons"], rows)
    }
}

fn row(summary: &Summary) -> Vec<String> {
    let reasons = summary.reasons.iter().map(|(reason, count)| format!("{count} {reason}"));
    vec![
        summary.deployment.to_string(),
        summary.topic.to_string(),
        summary.open.to_string(),
        reasons.collect::<Vec<_>>().join(", "),
    ]
}
