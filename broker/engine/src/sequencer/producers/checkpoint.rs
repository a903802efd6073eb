//! Writing the table down: a checkpoint holds what has changed since the one before, in chunks that
//! fit a commit, and in the last of them the entry up to which it is all there is.

use logmill_model::internal::{CheckpointRecord, ProducerRecord, ProducersRecord, SequencesRecord};
use logmill_model::{Csn, PartitionId, Timestamp};

use super::{Key, Producer, Producers, SEQUENCES_BYTES};
use crate::limits::CHECKPOINT_RECORDS_MAX;

/// What of a checkpoint is still to be written.
#[derive(Debug)]
pub(super) struct Pending {
    keys: Vec<Key>,
    csn: Csn,
}

/// A part of a checkpoint.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<ProducersRecord>,
    /// Whether the checkpoint is whole with it.
    pub(crate) is_last: bool,
}

impl Producers {
    /// The entry of the last checkpoint.
    pub(crate) fn checkpoint(&self) -> Csn {
        self.checkpoint
    }

    /// About what a checkpoint would take now, in bytes.
    pub(crate) fn changed_bytes(&self) -> usize {
        self.changed.len() * 4 * SEQUENCES_BYTES
    }

    /// The next part of a checkpoint, which is begun when there is none under way. `csn` is the newest
    /// entry that the table has taken in. A key that changes meanwhile is written as it is then, and
    /// once more in the next checkpoint.
    pub(crate) fn next_chunk(&mut self, csn: Csn, time: Timestamp) -> Chunk {
        if self.pending.is_none() {
            self.expire(time);
        }
        let changed = &mut self.changed;
        let pending = self.pending.get_or_insert_with(|| Pending {
            keys: std::mem::take(changed).into_iter().rev().collect(),
            csn,
        });
        let csn = pending.csn;
        let rest = pending.keys.len().saturating_sub(CHECKPOINT_RECORDS_MAX);
        let keys = pending.keys.split_off(rest);
        let is_last = pending.keys.is_empty();
        let mut records: Vec<ProducersRecord> =
            keys.into_iter().rev().map(|key| self.record(key)).collect();
        if is_last {
            self.pending = None;
            self.checkpoint = csn;
            records.push(ProducersRecord::Checkpoint(CheckpointRecord { csn }));
        }
        Chunk { records, is_last }
    }

    /// How far a producer has come in a partition.
    pub(crate) fn sequences(&self, id: u64, partition: PartitionId) -> ProducersRecord {
        self.record(Key::Sequences(id, partition))
    }

    /// What is known under a key.
    fn record(&self, key: Key) -> ProducersRecord {
        match key {
            Key::Producer(id) => {
                ProducersRecord::Producer(id, self.by_id.get(&id).map(Producer::record))
            }
            Key::Sequences(id, partition) => {
                let producer = self.by_id.get(&id);
                let sequences = producer.and_then(|producer| {
                    let sequences = producer.partitions.get(&partition)?;
                    let batches = sequences.0.iter().cloned().collect();
                    Some(SequencesRecord { epoch: producer.epoch, batches })
                });
                ProducersRecord::Sequences(id, partition, sequences)
            }
        }
    }
}

impl Producer {
    pub(super) fn record(&self) -> ProducerRecord {
        let (epoch, name, registered_ts) = (self.epoch, self.name.clone(), self.registered);
        ProducerRecord { epoch, name, registered_ts }
    }
}
