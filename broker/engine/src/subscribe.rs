//! Subscribing: the durable records of one partition from a position on, and a filter's view of
//! them. **A subscription holds nothing for a slow reader**: it reads when it is asked.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use logmill_log::StoredBatch;
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{
    DeploymentName, Message, Offset, PartitionId, PlainBatch, Position, Record, RecordBatch,
    TopicName, World,
};
use logmill_wasm::{CallContext, Instance};
use tokio::sync::watch;

use crate::active::Active;
use crate::clock::Clock;
use crate::limits::{FILTER_BYTES_MAX, FILTER_TIME_MAX};
use crate::parts::Parts;
use crate::{Engine, Error};

/// What to subscribe to.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// Where to start.
    pub from: Position,
    /// The filter deployment to look through.
    pub filter: Option<DeploymentName>,
}

/// Some batches, and where the subscription stands after them.
#[derive(Debug)]
pub struct Chunk {
    /// In order. The first may begin before the position that was asked for, and with a filter
    /// there may be fewer records in them, or none.
    pub batches: Vec<StoredBatch>,
    /// The offset to go on from.
    pub next: Offset,
    /// The durable end.
    pub end: Offset,
}

/// One reader of one partition.
pub struct Subscription {
    engine: Engine,
    parts: Arc<Parts>,
    topic: TopicName,
    partition: PartitionId,
    next: Offset,
    ends: watch::Receiver<Offset>,
    /// Shared with the job that looks through it: a call to `next` that is dropped half-way must
    /// not leave the subscription without its filter.
    filter: Option<Arc<Mutex<Filter>>>,
}

struct Filter {
    deployment: DeploymentName,
    active: Arc<Active>,
    instance: Option<Instance>,
    clock: Clock,
}

impl Engine {
    /// Opens a subscription.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::OffsetOutOfRange`],
    /// [`Error::UnknownDeployment`], [`Error::FilterUnusable`].
    pub async fn subscribe(&self, wanted: Subscribe) -> Result<Subscription, Error> {
        let Subscribe { topic, partition, from, filter } = wanted;
        let parts = self.shared_parts();
        let partition = parts.partition(&topic, partition)?;
        let ends = parts.views.watch(partition);
        let next = parts.position(partition, from).await?;
        // Again: a topic that was deleted before it was watched would never wake its reader.
        parts.partition(&topic, partition.index)?;
        let filter = match filter {
            Some(name) => Some(Arc::new(Mutex::new(self.open_filter(&topic, name)?))),
            None => None,
        };
        let engine = self.clone();
        Ok(Subscription { engine, parts, topic, partition, next, ends, filter })
    }

    fn open_filter(&self, topic: &TopicName, name: DeploymentName) -> Result<Filter, Error> {
        let catalog = self.parts().views.catalog();
        let version = catalog
            .active_version(&name)
            .ok_or_else(|| self.parts().suspects.no_deployment(&name))?;
        let settings = &version.settings;
        let unusable = |what| Error::FilterUnusable { deployment: name.clone(), what };
        if settings.world != World::Filter {
            return Err(unusable(format!("it is a {}, not a filter", settings.world)));
        }
        if !settings.on.contains(topic) {
            return Err(unusable(format!("it is not on topic {topic}")));
        }
        let active = self.filter_of(&name)?;
        Ok(Filter { deployment: name, active, instance: None, clock: self.parts().clock.clone() })
    }

    /// The filter as it is deployed now.
    fn filter_of(&self, name: &DeploymentName) -> Result<Arc<Active>, Error> {
        let catalog = self.parts().views.catalog();
        if catalog.deployment(name).is_none() {
            return Err(self.parts().suspects.no_deployment(name));
        }
        self.deployments()
            .ready(&catalog, name)
            .map_err(|state| Error::FilterNotReady { deployment: name.clone(), state })
    }
}

impl Subscription {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.next
    }

    /// The durable end now.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.parts.log.end_offset(self.partition)
    }

    /// The next batches, about `bytes_max` of them and at least one; waits at the durable end. A
    /// call that is dropped before it returns has not moved the subscription.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] when the topic was deleted; [`Error::FilterFailed`];
    /// [`Error::Log`] when what is there can't be read.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Chunk, Error> {
        let next = self.next;
        self.ends
            .wait_for(|end| *end > next)
            .await
            .map_err(|_| Error::UnknownTopic(self.topic.clone()))?;
        let mut batches = self.parts.read(self.partition, next, bytes_max).await?;
        let after = self.parts.log.after_accepted(self.partition, next);
        if batches.is_empty() && after > next {
            self.next = after;
            return Ok(Chunk { batches, next: after, end: self.end() });
        }
        // Nothing there, behind the durable end: the topic was deleted.
        let last = batches.last().ok_or_else(|| Error::UnknownTopic(self.topic.clone()))?;
        let mut after = last.envelope.end_offset();
        if let Some(filter) = &self.filter {
            (batches, after) = self.through(filter, batches).await?;
        }
        self.next = after;
        Ok(Chunk { batches, next: self.next, end: self.end() })
    }

    async fn through(
        &self,
        filter: &Arc<Mutex<Filter>>,
        batches: Vec<StoredBatch>,
    ) -> Result<(Vec<StoredBatch>, Offset), Error> {
        let filter = Arc::clone(filter);
        let name = filter.lock().unwrap_or_else(PoisonError::into_inner).deployment.clone();
        // A filter that is paused, deleted or deployed anew is so for open subscriptions, too.
        let active = self.engine.filter_of(&name)?;
        let (topic, partition, from) = (self.topic.to_string(), self.partition.index, self.next);
        let job = move || {
            let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
            filter.follow(active);
            filter.view((&topic, partition), &batches, from)
        };
        self.parts.pool.run(job).await?
    }
}

impl Filter {
    /// Goes on with the version that is active now.
    fn follow(&mut self, active: Arc<Active>) {
        if !Arc::ptr_eq(&self.active, &active) {
            (self.active, self.instance) = (active, None);
        }
    }

    /// The batches with only the records that the filter lets through, those without any left
    /// out; and the offset up to which it has looked. It stops when its time is spent, and at a
    /// record that it fails on, unless that is the first: the reader gets all that lies before.
    fn view(
        &mut self,
        (topic, partition): (&str, u32),
        batches: &[StoredBatch],
        from: Offset,
    ) -> Result<(Vec<StoredBatch>, Offset), Error> {
        let (started, mut seen, mut after) = (Instant::now(), Vec::new(), from);
        let (mut stopped, mut bytes) = (false, 0);
        for stored in batches {
            let base = stored.envelope.base_offset;
            let records = match stored.batch.decompressed(BATCH_BYTES_MAX) {
                Ok(records) => records,
                Err(error) if after == from => return Err(Error::Unreadable { base, error }),
                Err(_) => break,
            };
            let mut kept = HashSet::new();
            for (delta, record) in records.to_records() {
                let offset = RecordBatch::offset_at(base, delta);
                if offset < from {
                    continue;
                }
                let message = message((topic, partition, offset), stored, record);
                match self.matches(&message, offset) {
                    Ok(true) => drop(kept.insert(delta)),
                    Ok(false) => {}
                    Err(error) if after == from => return Err(error),
                    Err(_) => stopped = true,
                }
                if !stopped {
                    after = offset.next();
                    stopped = started.elapsed() > FILTER_TIME_MAX;
                }
                if stopped {
                    break;
                }
            }
            if let Some(stored) = reduced(stored, &records, &kept) {
                bytes += stored.batch.bytes().len();
                seen.push(stored);
            }
            if stopped {
                break;
            }
            after = stored.envelope.end_offset();
            // Batches that were compressed may be many times what was read.
            if bytes >= FILTER_BYTES_MAX {
                break;
            }
        }
        Ok((seen, after))
    }

    fn matches(&mut self, message: &Message, offset: Offset) -> Result<bool, Error> {
        let (now, guest) = (self.clock.now(), &self.active.guest);
        let mut instance = match self.instance.take() {
            Some(instance) => Ok(instance),
            None => guest.logged_instance(now),
        };
        let mut log = |level, text: &str| guest.log.write(now, level, Some(message), text);
        let result = instance.as_mut().map_err(|failure| failure.clone()).and_then(|instance| {
            instance
                .matches(message, CallContext { now, seed: offset.0, log: &mut log, memory: None })
        });
        if result.is_ok() {
            self.instance = instance.ok();
        }
        result.map_err(|failure| Error::FilterFailed {
            deployment: self.deployment.clone(),
            offset,
            reason: failure.reason,
            detail: failure.detail,
        })
    }
}

/// The batch with only these records; None without any. One that keeps all is served as it was
/// sent, another one is made anew and not compressed.
fn reduced(stored: &StoredBatch, records: &PlainBatch, kept: &HashSet<u32>) -> Option<StoredBatch> {
    if kept.is_empty() {
        return None;
    }
    if kept.len() == records.record_count() as usize {
        return Some(stored.clone());
    }
    let batch = records.retain(|record| kept.contains(&record.offset_delta));
    let envelope = stored.envelope.around(&batch);
    Some(StoredBatch { partition: stored.partition, envelope, batch })
}

fn message(
    (topic, partition, offset): (&str, u32, Offset),
    stored: &StoredBatch,
    record: Record,
) -> Message {
    Message {
        topic: topic.to_owned(),
        partition,
        offset: Some(offset),
        record,
        append_ts: Some(stored.envelope.append_ts),
        attempt: 1,
        first_failed_ts: None,
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::{Compression, Csn, Envelope, Timestamp, TopicId};

    use super::*;

    fn stored(batch: RecordBatch) -> StoredBatch {
        let envelope = Envelope {
            base_offset: Offset(5),
            append_ts: Timestamp(1),
            csn: Csn(1),
            producer: None,
            last_delta: batch.last_delta(),
            records: batch.record_count(),
            bytes: u32::try_from(batch.bytes().len()).unwrap(),
            crc: batch.crc(),
            rewritten: false,
            compression: batch.compression(),
            hops: 0,
        };
        StoredBatch { partition: PartitionId::new(TopicId(16), 0), envelope, batch }
    }

    #[test]
    fn a_filter_serves_what_was_sent_or_says_that_it_has_rewritten_it() {
        let record = Record { value: Some("again ".repeat(50).into()), ..Record::default() };
        let plain = RecordBatch::of(&vec![record; 3]).unwrap();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let stored = stored(plain.compress(compression));
            let records = stored.batch.decompressed(BATCH_BYTES_MAX).unwrap();
            let reduced =
                |kept: &[u32]| reduced(&stored, &records, &kept.iter().copied().collect());
            assert!(reduced(&[]).is_none());
            let all = reduced(&[0, 1, 2]).unwrap();
            assert_eq!((all.envelope, &all.batch), (stored.envelope, &stored.batch));
            let some = reduced(&[0, 2]).unwrap();
            assert_eq!(some.envelope.compression, Compression::None);
            assert!(some.envelope.rewritten && some.envelope.end_offset() == Offset(8));
            let read = some.envelope.check_batch(some.batch.bytes().clone()).unwrap();
            let deltas: Vec<u32> = read.plain().unwrap().iter().map(|it| it.offset_delta).collect();
            assert_eq!(deltas, [0, 2]);
        }
    }
}
