//! Building the table again: first all of `_producers`, then the envelopes of the entries after its
//! checkpoint. Taking one in that is known changes nothing, so a checkpoint may say more than its
//! entry proves.

use std::collections::VecDeque;

use logmill_model::internal::{ProducerRecord, ProducersRecord, SequencesRecord};
use logmill_model::{Envelope, PartitionId};

use super::{Key, Producer, Producers, Sequences, sequenced};

impl Producers {
    /// Takes in a record of `_producers`. They come in the order of the topic.
    pub(crate) fn restore(&mut self, record: ProducersRecord) {
        match record {
            ProducersRecord::Producer(id, producer) => {
                let is_as_before = |it: &ProducerRecord| {
                    self.by_id.get(&id).is_some_and(|known| known.epoch == it.epoch)
                };
                if producer.as_ref().is_some_and(is_as_before) {
                    return;
                }
                self.remove(id);
                if let Some(ProducerRecord { epoch, name, registered_ts }) = producer {
                    self.insert(id, Producer::new(epoch, name, registered_ts));
                }
            }
            ProducersRecord::Sequences(id, partition, sequences) => {
                self.restore_sequences(id, partition, sequences);
            }
            ProducersRecord::Checkpoint(checkpoint) => self.checkpoint = checkpoint.csn,
        }
        // It is what the topic says.
        self.changed.clear();
    }

    fn restore_sequences(
        &mut self,
        id: u64,
        partition: PartitionId,
        sequences: Option<SequencesRecord>,
    ) {
        let Some(producer) = self.by_id.get_mut(&id) else { return };
        let old = producer.partitions.remove(&partition);
        self.bytes -= old.map_or(0, |old| old.bytes());
        // Of an older epoch: it has no meaning any more.
        let Some(record) = sequences.filter(|it| it.epoch == producer.epoch) else { return };
        let sequences = Sequences(VecDeque::from(record.batches));
        let last_time = sequences.0.back().map(|batch| batch.append_ts);
        producer.last_time = producer.last_time.max(last_time.unwrap_or_default());
        self.bytes += sequences.bytes();
        producer.partitions.insert(partition, sequences);
    }

    /// Takes in the envelope of an entry after the checkpoint. They come in the order of entries.
    pub(crate) fn replay(&mut self, partition: PartitionId, envelope: &Envelope) {
        let Some(stamp) = envelope.producer else { return };
        let Some(producer) = self.by_id.get(&stamp.id) else { return };
        let next = producer.partitions.get(&partition).map_or(0, Sequences::next);
        if stamp.epoch == producer.epoch && stamp.first_sequence >= next {
            self.append(partition, stamp, sequenced(stamp, envelope));
        }
    }

    /// Forgets partitions that are not there (any more).
    pub(crate) fn keep_partitions(&mut self, is_there: impl Fn(PartitionId) -> bool) {
        let mut gone = Vec::new();
        for (id, producer) in &mut self.by_id {
            producer.partitions.retain(|partition, sequences| {
                let stays = is_there(*partition);
                if !stays {
                    self.bytes -= sequences.bytes();
                    gone.push(Key::Sequences(*id, *partition));
                }
                stays
            });
        }
        self.changed.extend(gone);
    }
}
