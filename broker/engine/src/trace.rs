//! What became of one record: every attempt of every consumer, and where its outputs lie.
//!
//! Nothing is kept for this but the log of decisions. A consumer's decisions lie in the order in which
//! they were made, and none is older than its record: the search begins at the record's time. The
//! outputs of a decision were appended by the same commit, which its batches are found by.

use std::sync::Arc;

use logmill_log::{Log, StoredBatch};
use logmill_model::internal::{DecisionsRecord, Found};
use logmill_model::{
    Csn, DeploymentId, DeploymentName, LaneId, Offset, PartitionId, Timestamp, TopicName, Trace,
    TracedAttempt, TracedOutput, World,
};

use crate::catalog::Catalog;
use crate::limits::{TRACE_BYTES_MAX, TRACE_READ_BYTES};
use crate::{Engine, Error};

impl Engine {
    /// What became of a record.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; [`Error::UnknownPartition`]; [`Error::OffsetOutOfRange`] when the record
    /// is not there; [`Error::Corrupt`].
    pub async fn trace(
        &self,
        topic: &TopicName,
        partition: u32,
        offset: Offset,
    ) -> Result<Trace, Error> {
        let parts = self.shared_parts();
        let source = parts.partition(topic, partition)?;
        let (start, end) = (parts.log.start_offset(source), parts.log.end_offset(source));
        if !(start..end).contains(&offset) {
            return Err(Error::OffsetOutOfRange { asked: offset, start, end });
        }
        let catalog = parts.views.catalog();
        let mut waiting = Vec::new();
        let mut consumers = Vec::new();
        for (name, record) in catalog.deployments().filter(|(_, it)| it.world == World::Consumer) {
            consumers.push((name.clone(), record.id));
            let lane = LaneId { deployment: record.id, source };
            waiting.extend(parts.views.cursor(lane).and_then(|it| it.waiting(name, offset)));
        }
        let log = parts.log.clone();
        let search = Search { log, catalog, source, offset };
        let searched = tokio::task::spawn_blocking(move || search.run(&consumers));
        let (attempts, is_whole) =
            searched.await.map_err(|_| Error::Panicked("the search for a record's outcome"))??;
        Ok(Trace { attempts, waiting, is_whole })
    }
}

struct Search {
    log: Log,
    catalog: Arc<Catalog>,
    source: PartitionId,
    offset: Offset,
}

impl Search {
    /// All attempts, in the order of deployments and of time, and whether that is all of them.
    fn run(
        &self,
        consumers: &[(DeploymentName, DeploymentId)],
    ) -> Result<(Vec<TracedAttempt>, bool), Error> {
        let Some(appended) = self.read(self.source, self.offset, 1)?.first().map(appended) else {
            return Ok((Vec::new(), true));
        };
        let (mut attempts, mut is_whole) = (Vec::new(), true);
        for (name, id) in consumers {
            let Some(decisions) = PartitionId::decisions_of(*id) else { continue };
            is_whole &= self.scan(decisions, appended, name, &mut attempts)?;
        }
        Ok((attempts, is_whole))
    }

    /// Looks through the decisions of a deployment from this time on; tells whether it came to the end.
    fn scan(
        &self,
        decisions: PartitionId,
        since: Timestamp,
        deployment: &DeploymentName,
        attempts: &mut Vec<TracedAttempt>,
    ) -> Result<bool, Error> {
        let mut next = self.log.offset_at(decisions, since)?;
        let end = self.log.end_offset(decisions);
        let mut bytes = 0;
        while next < end {
            let batches = self.read(decisions, next, TRACE_READ_BYTES)?;
            let Some(last) = batches.last() else { break };
            next = last.envelope.end_offset();
            for stored in &batches {
                bytes += stored.bytes();
                let Some(records) = stored.batch.plain() else { continue };
                for record in &records {
                    let told = DecisionsRecord::decode(record.value)?;
                    if told.source != self.source {
                        continue;
                    }
                    for found in told.of(self.offset) {
                        let deployment = deployment.clone();
                        attempts.push(self.attempt(deployment, told.version, stored, found)?);
                    }
                }
            }
            if bytes >= TRACE_BYTES_MAX {
                return Ok(next >= end);
            }
        }
        Ok(true)
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Error> {
        let read = self.log.read(partition, from, bytes_max);
        read.map_err(|error| self.catalog.unread(error))
    }

    fn attempt(
        &self,
        deployment: DeploymentName,
        version: u32,
        stored: &StoredBatch,
        found: Found,
    ) -> Result<TracedAttempt, Error> {
        let (csn, ts) = (stored.envelope.csn, stored.envelope.append_ts);
        let mut outputs = Vec::new();
        for (partition, place) in found.outputs {
            let topic = self.catalog.topic_name(partition.topic).cloned();
            let offset = match &topic {
                Some(_) => self.written(partition, (csn, ts), place)?,
                None => None,
            };
            outputs.push(TracedOutput { topic, partition: partition.index, offset });
        }
        let (verdict, reason) = (found.decided.into(), found.decided.reason());
        let attempt = found.attempt;
        Ok(TracedAttempt { deployment, version, attempt, verdict, reason, ts, outputs })
    }

    /// Where the record lies that a commit wrote to a partition as its `place`th; None when it is gone.
    fn written(
        &self,
        partition: PartitionId,
        (csn, ts): (Csn, Timestamp),
        mut place: u64,
    ) -> Result<Option<Offset>, Error> {
        let mut next = self.log.offset_at(partition, ts)?;
        let end = self.log.end_offset(partition);
        while next < end {
            let batches = self.read(partition, next, TRACE_READ_BYTES)?;
            let Some(last) = batches.last() else { break };
            next = last.envelope.end_offset();
            for StoredBatch { envelope, .. } in &batches {
                if envelope.csn > csn {
                    return Ok(None);
                }
                if envelope.csn < csn {
                    continue;
                }
                let records = envelope.base_offset.distance_to(envelope.end_offset());
                if place < records {
                    return Ok(envelope.base_offset.checked_add(place));
                }
                place -= records;
            }
        }
        Ok(None)
    }
}

fn appended(stored: &StoredBatch) -> Timestamp {
    stored.envelope.append_ts
}
