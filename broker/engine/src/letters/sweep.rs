//! Deletes the marks of dead letters that are gone: with their topic, or by retention.

use std::sync::Arc;
use std::time::Duration;

use logmill_model::{Append, Commit, CommitClass, Offset, PartitionId, Record, RecordBatch};
use tokio::sync::watch;

use crate::Error;
use crate::limits::SWEEP_MAX;
use crate::parts::Parts;

/// Looks for such marks until it is told to stop.
pub(crate) async fn run(parts: Arc<Parts>, interval: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        let wait = match pass(&parts).await {
            Ok(SWEEP_MAX) => Duration::ZERO,
            Ok(_) => interval,
            Err(Error::ShuttingDown | Error::Unknown) => return,
            Err(error) => {
                tracing::warn!(%error, "marks of dead letters that are gone are deleted later");
                interval
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Deletes some; tells how many. Nobody marks a letter that is gone, so it is no matter what else
/// `_letters` is told meanwhile.
pub(crate) async fn pass(parts: &Parts) -> Result<usize, Error> {
    if parts.suspects.everything().is_some() {
        // Whether a topic is gone is not known.
        return Ok(0);
    }
    let catalog = parts.views.catalog();
    let start_of = |partition: PartitionId| {
        let topic = catalog.topic_name(partition.topic)?;
        let is_there = partition.index < catalog.topic(topic)?.partitions;
        is_there.then(|| -> Offset { parts.log.start_offset(partition) })
    };
    let stale = parts.views.letters().stale(start_of, SWEEP_MAX);
    if stale.is_empty() {
        return Ok(0);
    }
    let records: Vec<Record> = stale.iter().map(|it| it.encode()).collect();
    let append = Append::new(PartitionId::LETTERS, RecordBatch::of(&records)?);
    let class = CommitClass::Housekeeping;
    parts.commit(Commit { appends: vec![append], class, ..Commit::default() }).await?;
    Ok(stale.len())
}
