//! What is known of producers: who has registered, and the last batches of each in each partition.
//!
//! It says whether a batch is the next one of its producer, was appended before, or is out of turn.
//! Everything is judged by the time of entries, so that a table that is rebuilt decides the same.
//! Pure, and bounded in bytes: what is known of the producers that were idle for longest goes first.

mod checkpoint;
mod rebuild;

use std::collections::{BTreeSet, HashMap, VecDeque};

use logmill_model::limits::{PRODUCER_BATCHES_MAX, PRODUCER_IDLE_MS};
use logmill_model::{
    Csn, Envelope, PartitionId, ProducerIdentity, ProducerName, ProducerStamp, Refusal,
    SequencedBatch, Timestamp, TopicId,
};

use crate::limits::{KEPT_DUPLICATES_MAX, PRODUCERS_BYTES_MAX};
pub(crate) use checkpoint::Chunk;
use checkpoint::Pending;

/// What a producer, a partition of one, and a batch there take, in bytes, or more.
const PRODUCER_BYTES: usize = 256;
const SEQUENCES_BYTES: usize = 192;
const BATCH_BYTES: usize = size_of::<SequencedBatch>();
/// The part of the table that is made free when it is full.
const EVICTED_PART: usize = 16;

/// The table.
#[derive(Debug)]
pub(crate) struct Producers {
    by_id: HashMap<u64, Producer>,
    by_name: HashMap<ProducerName, u64>,
    bytes: usize,
    bytes_max: usize,
    /// What has changed since the last checkpoint was begun.
    changed: BTreeSet<Key>,
    /// The checkpoint that is being written.
    pending: Option<Pending>,
    /// The entry up to which the last checkpoint holds all there is.
    checkpoint: Csn,
}

/// Something that has a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Producer(u64),
    Sequences(u64, PartitionId),
}

#[derive(Debug)]
struct Producer {
    epoch: u32,
    name: Option<ProducerName>,
    registered: Timestamp,
    /// When it last sent something, or registered.
    last_time: Timestamp,
    partitions: HashMap<PartitionId, Sequences>,
}

/// The last batches of the producer's epoch, in order; at least one.
#[derive(Debug, Default)]
struct Sequences(VecDeque<SequencedBatch>);

/// What a batch is to its producer's table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    Next,
    /// It was appended before.
    Known(&'a SequencedBatch),
}

impl Default for Producers {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            bytes: 0,
            bytes_max: PRODUCERS_BYTES_MAX,
            changed: BTreeSet::new(),
            pending: None,
            checkpoint: Csn::ZERO,
        }
    }
}

impl Producers {
    /// Takes in a producer: under a name that is known, the one of that name in its next epoch. Its
    /// record is written by whoever registers it.
    pub(crate) fn register(
        &mut self,
        name: Option<ProducerName>,
        new_id: u64,
        time: Timestamp,
    ) -> ProducerIdentity {
        self.expire(time);
        let known = name.as_ref().and_then(|name| self.by_name.get(name).copied());
        let id = known.unwrap_or(new_id);
        let epoch = self.by_id.get(&id).map_or(0, |it| it.epoch).saturating_add(1);
        self.remove(id);
        self.insert(id, Producer::new(epoch, name, time));
        self.evict(id);
        ProducerIdentity { id, epoch }
    }

    /// What a batch of so many sequences is. Nothing changes.
    pub(crate) fn standing(
        &self,
        stamp: ProducerStamp,
        count: u32,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Standing<'_>, Refusal> {
        let ProducerStamp { id, epoch, first_sequence } = stamp;
        let known = self.by_id.get(&id).filter(|it| !it.is_expired(time));
        let producer = known.ok_or(Refusal::UnknownProducer(id))?;
        if epoch < producer.epoch {
            return Err(Refusal::Fenced { producer: id, epoch, current: producer.epoch });
        }
        if epoch > producer.epoch {
            return Err(Refusal::UnknownProducer(id));
        }
        let sequences = producer.partitions.get(&partition);
        let next = sequences.map_or(0, Sequences::next);
        if first_sequence == next {
            return Ok(Standing::Next);
        }
        let known = sequences.and_then(|it| it.find(first_sequence, count));
        let is_forgotten = known.is_some_and(|it| it.duplicates.len() > KEPT_DUPLICATES_MAX);
        if let Some(known) = known.filter(|_| !is_forgotten) {
            return Ok(Standing::Known(known));
        }
        if is_forgotten || first_sequence < sequences.map_or(0, Sequences::oldest) {
            return Err(Refusal::OldDuplicate {
                producer: id,
                partition,
                sequence: first_sequence,
            });
        }
        let last = next.checked_sub(1);
        Err(Refusal::SequenceGap { producer: id, partition, sequence: first_sequence, last })
    }

    /// Takes in a batch that was [`Standing::Next`] and has its place.
    pub(crate) fn append(
        &mut self,
        partition: PartitionId,
        stamp: ProducerStamp,
        batch: SequencedBatch,
    ) {
        let Some(producer) = self.by_id.get_mut(&stamp.id) else { return };
        producer.last_time = batch.append_ts.max(producer.last_time);
        let before = producer.partitions.get(&partition).map_or(0, Sequences::bytes);
        let sequences = producer.partitions.entry(partition).or_default();
        sequences.push(batch);
        self.bytes = self.bytes + sequences.bytes() - before;
        self.changed.insert(Key::Sequences(stamp.id, partition));
        self.evict(stamp.id);
    }

    /// Takes in that a topic is gone.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        self.keep_partitions(|partition| partition.topic != topic);
    }

    /// Forgets all that is known of all producers: none of it may be true any more.
    pub(crate) fn forget_all(&mut self) {
        let ids: Vec<u64> = self.by_id.keys().copied().collect();
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// Forgets who was idle for too long.
    fn expire(&mut self, time: Timestamp) {
        let expired = self.by_id.iter().filter(|(_, it)| it.is_expired(time));
        let expired: Vec<u64> = expired.map(|(id, _)| *id).collect();
        expired.into_iter().for_each(|id| self.forget(id));
    }

    /// Makes room, when there is none, at the cost of those that were idle for longest.
    fn evict(&mut self, not: u64) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let mut idle: Vec<(Timestamp, u64)> =
            self.by_id.iter().map(|(id, it)| (it.last_time, *id)).collect();
        idle.sort_unstable();
        for (_, id) in idle {
            if self.bytes <= self.bytes_max - self.bytes_max / EVICTED_PART {
                return;
            }
            if id != not {
                self.forget(id);
            }
        }
    }

    /// Removes a producer for good: its records go with the next checkpoint.
    fn forget(&mut self, id: u64) {
        self.remove(id);
        self.changed.insert(Key::Producer(id));
    }

    fn insert(&mut self, id: u64, producer: Producer) {
        self.bytes += producer.bytes();
        if let Some(name) = &producer.name {
            self.by_name.insert(name.clone(), id);
        }
        self.by_id.insert(id, producer);
    }

    fn remove(&mut self, id: u64) {
        let Some(producer) = self.by_id.remove(&id) else { return };
        self.bytes -= producer.bytes();
        // It may be that of a newer one.
        if let Some(name) = producer.name.filter(|name| self.by_name.get(name) == Some(&id)) {
            self.by_name.remove(&name);
        }
        let partitions = producer.partitions.into_keys();
        self.changed.extend(partitions.map(|partition| Key::Sequences(id, partition)));
    }
}

impl Producer {
    fn new(epoch: u32, name: Option<ProducerName>, registered: Timestamp) -> Self {
        let partitions = HashMap::new();
        Self { epoch, name, registered, last_time: registered, partitions }
    }

    fn is_expired(&self, time: Timestamp) -> bool {
        self.last_time.ms_until(time) > PRODUCER_IDLE_MS
    }

    fn bytes(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| 2 * name.as_str().len());
        let partitions = self.partitions.values().map(Sequences::bytes);
        PRODUCER_BYTES + name + partitions.sum::<usize>()
    }
}

impl Sequences {
    fn next(&self) -> u64 {
        self.0.back().map_or(0, SequencedBatch::end)
    }

    fn oldest(&self) -> u64 {
        self.0.front().map_or(0, |batch| batch.first)
    }

    fn find(&self, first: u64, count: u32) -> Option<&SequencedBatch> {
        self.0.iter().find(|batch| batch.first == first && batch.count == count)
    }

    fn push(&mut self, batch: SequencedBatch) {
        if self.0.len() == PRODUCER_BATCHES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(batch);
    }

    fn bytes(&self) -> usize {
        let duplicates = self.0.iter().map(|batch| size_of_val(&batch.duplicates[..]));
        SEQUENCES_BYTES + self.0.capacity() * BATCH_BYTES + duplicates.sum::<usize>()
    }
}

/// A batch as its envelope tells it.
pub(crate) fn sequenced(stamp: ProducerStamp, envelope: &Envelope) -> SequencedBatch {
    SequencedBatch {
        first: stamp.first_sequence,
        count: envelope.last_delta.saturating_add(1),
        base_offset: envelope.base_offset,
        append_ts: envelope.append_ts,
        csn: envelope.csn,
        duplicates: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
