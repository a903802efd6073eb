//! `logmill topic alter`.

use logmill_model::{PolicyChange, TopicName};

use super::policy::{self, Flags};
use crate::{Failure, Session};

/// Change how long a topic's records stay
///
/// Only what is given changes, and at once: records that a new limit does not keep are removed
/// within seconds. `unlimited` takes a limit off. The number of partitions can't be changed: the
/// partition of a key follows from it, and the order of its records would break.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill topic alter orders --retention-time 7d\n  \
    logmill topic alter orders --retention-time unlimited --retention-bytes 10GiB")]
pub(crate) struct Args {
    /// The topic
    topic: TopicName,
    #[command(flatten)]
    policy: Flags,
    /// Only to say that it can't be
    #[arg(long, hide = true, value_name = "N")]
    partitions: Option<String>,
}

impl Args {
    fn change(&self) -> Result<PolicyChange, Failure> {
        if self.partitions.is_some() {
            return Err(Failure::usage(
                "the number of partitions can't be changed: the partition of a key follows from \
                 it; create another topic and produce to that",
            ));
        }
        let change = self.policy.change();
        if change == PolicyChange::default() {
            return Err(Failure::usage(
                "nothing to change; give --retention-time, --retention-bytes, --compact, --on-full or --dedupe-window",
            ));
        }
        Ok(change)
    }

    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let change = self.change()?;
        let topic = session.admin().await?.alter_topic(self.topic, change).await?;
        session.output.json(&topic)?;
        session.output.text(format_args!("altered topic {}", topic.name))?;
        policy::shown(&topic.policy).iter().try_for_each(|line| session.output.text(line))
    }
}
