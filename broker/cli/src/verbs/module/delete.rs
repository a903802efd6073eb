//! `logmill module delete`.

use logmill_model::DeploymentName;

use crate::confirm::Consent;
use crate::{Failure, Session};

/// Delete a deployment with its cursors; its topics stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill module delete triage --yes")]
pub(crate) struct Args {
    /// The deployment
    name: DeploymentName,
    #[command(flatten)]
    consent: Consent,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        self.consent.check(&format!("delete {} with its cursors", self.name))?;
        let admin = session.admin().await?;
        let known = admin.deployment(self.name.clone()).await?;
        self.consent
            .require(&format!("delete the {} {} with its cursors", known.world, self.name))?;
        admin.delete_deployment(self.name.clone()).await?;
        session.output.json(&serde_json::json!({"deleted": self.name}))?;
        session.output.text(format_args!("deleted {}", self.name))
    }
}
