//! `logmill topic describe`.

use logmill_model::TopicName;

use super::policy;
use crate::quantity::shown_bytes;
use crate::time::shown;
use crate::{Failure, Session};

/// Show a topic, its policy and its partitions
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  logmill topic describe orders")]
pub(crate) struct Args {
    /// The topic
    topic: TopicName,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let topic = session.admin().await?.topic(self.topic).await?;
        session.output.json(&topic)?;
        session.output.text(format_args!("{}, created {}", topic.name, shown(topic.created_ts)))?;
        policy::shown(&topic.policy).iter().try_for_each(|line| session.output.text(line))?;
        let rows = topic.partitions.iter().map(|it| {
            let records = it.records();
            [
                it.partition.to_string(),
                it.start.to_string(),
                it.end.to_string(),
                records.to_string(),
                shown_bytes(it.bytes),
            ]
            .to_vec()
        });
        session.output.table(&["partition", "start", "end", "records", "bytes"], rows.collect())
    }
}
