//! `logmill topic ls`.

use super::record_count;
use crate::{Failure, Session};

/// List the topics
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill topic ls")]
pub(crate) struct Args {}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let topics = session.admin().await?.topics().await?;
        topics.iter().try_for_each(|topic| session.output.json(topic))?;
        let rows = topics.iter().map(|topic| {
            vec![
                topic.name.to_string(),
                topic.partitions.len().to_string(),
                record_count(topic).to_string(),
            ]
        });
        session.output.table(&["topic", "partitions", "records"], rows.collect())
    }
}
