//! Which partitions there are, so that it is told what those have lost of which nothing is left.

use std::collections::HashMap;

use logmill_model::internal::{CatalogRecord, DeploymentRecord, TopicRecord};
use logmill_model::{DeploymentName, Offset, PartitionId, RecordBatch, TopicId, TopicName};

use crate::{Error, Log};

/// What one read of the catalog takes, in bytes.
const READ_BYTES: usize = 1024 * 1024;

/// Tells a log of all partitions that there are, as a broker does that starts on it: those that always are,
/// and those of topics and deployments, of which its catalog tells, and `known`, where that is lost.
pub(super) fn expect_all(log: &Log, known: &[CatalogRecord]) -> Result<(), Error> {
    PartitionId::INTERNAL.iter().for_each(|partition| log.expect(*partition));
    let mut existing = Existing::default();
    known.iter().for_each(|record| existing.take(Offset::ZERO, record.clone()));
    existing.read(log)?;
    existing.partitions().for_each(|partition| log.expect(partition));
    Ok(())
}

/// The topics and deployments that there are.
#[derive(Default)]
struct Existing {
    topics: HashMap<TopicName, TopicRecord>,
    deployments: HashMap<DeploymentName, DeploymentRecord>,
}

impl Existing {
    /// Takes in the catalog, around what is lost.
    fn read(&mut self, log: &Log) -> Result<(), Error> {
        let mut next = log.start_offset(PartitionId::CATALOG);
        loop {
            match log.read(PartitionId::CATALOG, next, READ_BYTES) {
                Ok(batches) => {
                    for stored in &batches {
                        for record in stored.batch.plain().iter().flatten() {
                            let base = stored.envelope.base_offset;
                            let at = RecordBatch::offset_at(base, record.offset_delta);
                            if let Ok(record) = CatalogRecord::decode(record.key, record.value) {
                                self.take(at, record);
                            }
                        }
                    }
                    let end = batches.last().map(|last| last.envelope.end_offset());
                    match end.unwrap_or_else(|| log.after_accepted(PartitionId::CATALOG, next)) {
                        after if after > next => next = after,
                        _ => return Ok(()),
                    }
                }
                Err(Error::CorruptRange { to, .. }) => next = to,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in a record at this offset of the catalog. Ids are offsets of it: what is deleted there was
    /// created before.
    fn take(&mut self, at: Offset, record: CatalogRecord) {
        match record {
            CatalogRecord::Topic(name, Some(topic)) => {
                if self.topics.get(&name).is_none_or(|it| it.id <= topic.id) {
                    self.topics.insert(name, topic);
                }
            }
            CatalogRecord::Topic(name, None) => {
                let is_older = |it: &TopicRecord| it.id.0 < TopicId::FIRST_USER + at.0;
                if self.topics.get(&name).is_some_and(is_older) {
                    self.topics.remove(&name);
                }
            }
            CatalogRecord::Deployment(name, Some(deployment)) => {
                if self.deployments.get(&name).is_none_or(|it| it.id <= deployment.id) {
                    self.deployments.insert(name, deployment);
                }
            }
            CatalogRecord::Deployment(name, None) => {
                if self.deployments.get(&name).is_some_and(|it| it.id.0 < at.0) {
                    self.deployments.remove(&name);
                }
            }
            CatalogRecord::Version(..) => {}
        }
    }

    fn partitions(&self) -> impl Iterator<Item = PartitionId> + '_ {
        let of_topics = self.topics.values().flat_map(|topic| topic.partition_ids());
        of_topics.chain(self.deployments.values().flat_map(|it| it.partition_ids()))
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::{Timestamp, TopicPolicy};

    use super::*;

    fn topic(place: u64) -> CatalogRecord {
        let (id, policy) = (TopicId(TopicId::FIRST_USER + place), TopicPolicy::default());
        let topic = TopicRecord { id, partitions: 1, created_ts: Timestamp(0), policy };
        CatalogRecord::Topic("t".parse().unwrap(), Some(topic))
    }

    #[test]
    fn the_newest_topic_of_a_name_is_there_until_it_is_deleted_behind_it() {
        let deleted = CatalogRecord::Topic("t".parse().unwrap(), None);
        for (known, records, expected) in [
            (None, vec![(0, topic(0))], Some(0)),
            (None, vec![(0, topic(0)), (1, deleted.clone())], None),
            // What the log has of the catalog is older than what is known.
            (Some(topic(7)), vec![(0, topic(0)), (1, deleted.clone())], Some(7)),
            (Some(topic(7)), vec![(8, deleted.clone())], None),
            (Some(topic(7)), vec![(8, deleted), (9, topic(9))], Some(9)),
        ] {
            let mut existing = Existing::default();
            known.into_iter().for_each(|record| existing.take(Offset::ZERO, record));
            records.into_iter().for_each(|(at, record)| existing.take(Offset(at), record));
            let partitions: Vec<u64> = existing.partitions().map(|it| it.topic.0).collect();
            let expected: Vec<u64> =
                expected.into_iter().map(|place| TopicId::FIRST_USER + place).collect();
            assert_eq!(partitions, expected);
        }
    }
}
