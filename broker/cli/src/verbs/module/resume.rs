//! `logmill module resume`.

use logmill_model::DeploymentName;

use crate::{Failure, Session};

/// Let a paused deployment go on, or try a failed one again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module resume triage")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session.admin().await?.resume(self.name.clone()).await?;
        session.output.json(&serde_json::json!({"resumed": self.name}))?;
        session.output.text(format_args!("resumed {}", self.name))
    }
}
