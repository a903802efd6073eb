//! `logmill topic`: make, see, alter and delete topics.

mod alter;
mod create;
mod delete;
mod describe;
mod ls;
mod policy;

use clap::Subcommand;
use logmill_model::{PartitionDescription, TopicDescription};

use crate::{Failure, Session};

/// Make, see, alter and delete topics
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  logmill topic create orders --partitions 4\n  logmill topic ls"
)]
pub(crate) enum Verb {
    Create(create::Args),
    Alter(alter::Args),
    Ls(ls::Args),
    Describe(describe::Args),
    Delete(delete::Args),
}

impl Verb {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(args) => args.run(session).await,
            Self::Alter(args) => args.run(session).await,
            Self::Ls(args) => args.run(session).await,
            Self::Describe(args) => args.run(session).await,
            Self::Delete(args) => args.run(session).await,
        }
    }
}

/// How many records lie in a topic.
fn record_count(topic: &TopicDescription) -> u64 {
    topic.partitions.iter().map(PartitionDescription::records).sum()
}
