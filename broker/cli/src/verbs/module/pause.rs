//! `logmill module pause`.

use logmill_model::DeploymentName;

use crate::{Failure, Session};

/// Let a deployment stand until it is resumed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module pause triage")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session.admin().await?.pause(self.name.clone()).await?;
        session.output.json(&serde_json::json!({"paused": self.name}))?;
        session.output.text(format_args!("paused {}", self.name))
    }
}
