//! `logmill topic create`.

use logmill_model::{TopicName, TopicPolicy};

use super::policy::Flags;
use crate::{Failure, Session};

/// Make a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill topic create orders --partitions 4\n  \
    logmill topic create clicks --retention-time 7d --retention-bytes 10GiB")]
pub(crate) struct Args {
    /// Its name
    topic: TopicName,
    /// How many partitions it has: order holds within one, and each is handled on its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    partitions: u32,
    #[command(flatten)]
    policy: Flags,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let policy = TopicPolicy::default().changed(&self.policy.change());
        let policy = policy.map_err(Failure::usage)?;
        let admin = session.admin().await?;
        let topic = admin.create_topic_with(self.topic, self.partitions, policy).await?;
        session.output.json(&topic)?;
        let partitions = match topic.partitions.len() {
            1 => "1 partition".to_owned(),
            several => format!("{several} partitions"),
        };
        session.output.text(format_args!("created topic {} with {partitions}", topic.name))
    }
}
