//! What the sequencer itself appends to `_producers`: registrations, and checkpoints of the table.

use logmill_model::internal::{CheckpointRecord, ProducerRecord, ProducersRecord};
use logmill_model::{
    Append, Error, PartitionId, ProducerIdentity, ProducerName, Record, RecordBatch, Refusal,
    Timestamp,
};

use super::judge::{Changes, Judge, Sequenced};
use super::producers::Chunk;

impl Judge {
    /// Registers a producer: the entry that makes it last, and who it is.
    pub(crate) fn register(
        &mut self,
        name: Option<ProducerName>,
        now: Timestamp,
    ) -> Result<(Sequenced, ProducerIdentity), Refusal> {
        let (end, time) = (self.producers_end(), self.time(now));
        // One above the offset that its record will have, and so never given to anybody else.
        let identity = self.producers.register(name.clone(), end.0 + 1, time);
        let producer = ProducerRecord { epoch: identity.epoch, name, registered_ts: time };
        let mut records = vec![ProducersRecord::Producer(identity.id, Some(producer))];
        let mut changes = Changes::default();
        if end.0 == 0 {
            // Nothing before it is of a producer.
            let csn = self.last_csn();
            records.push(ProducersRecord::Checkpoint(CheckpointRecord { csn }));
            changes.checkpoint = Some(csn);
        }
        let sequenced = self.sequence(vec![append(&records).map_err(invalid)?], changes, now);
        Ok((sequenced, identity))
    }

    /// The next part of a checkpoint of the producers, and whether that is whole with it.
    pub(crate) fn checkpoint(&mut self, now: Timestamp) -> Result<(Sequenced, bool), Refusal> {
        let (csn, time) = (self.last_csn(), self.time(now));
        let Chunk { records, is_last } = self.producers.next_chunk(csn, time);
        let checkpoint = is_last.then(|| self.producers.checkpoint());
        let changes = Changes { checkpoint, ..Changes::default() };
        let sequenced = self.sequence(vec![append(&records).map_err(invalid)?], changes, now);
        Ok((sequenced, is_last))
    }
}

pub(super) fn append(records: &[ProducersRecord]) -> Result<Append, Error> {
    let records: Vec<Record> = records.iter().map(ProducersRecord::encode).collect();
    Ok(Append::new(PartitionId::PRODUCERS, RecordBatch::of(&records)?))
}

fn invalid(error: Error) -> Refusal {
    Refusal::Invalid { partition: PartitionId::PRODUCERS, what: error.to_string() }
}
