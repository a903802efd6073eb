//! `logmill topic delete`.

use logmill_model::TopicName;

use super::record_count;
use crate::confirm::Consent;
use crate::{Failure, Session};

/// Delete a topic with its records
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill topic delete orders --yes")]
pub(crate) struct Args {
    /// The topic
    topic: TopicName,
    #[command(flatten)]
    consent: Consent,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        self.consent.check(&format!("delete topic {} with its records", self.topic))?;
        let admin = session.admin().await?;
        let records = record_count(&admin.topic(self.topic.clone()).await?);
        self.consent.require(&format!("delete topic {} with its {records} records", self.topic))?;
        admin.delete_topic(self.topic.clone()).await?;
        session.output.json(&serde_json::json!({"deleted": self.topic, "records": records}))?;
        session.output.text(format_args!("deleted topic {}", self.topic))
    }
}
