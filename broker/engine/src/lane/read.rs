//! What a lane reads before it handles it: the batches of what it left behind and is due, and what
//! is new.

use std::collections::{BTreeMap, BTreeSet};

use logmill_log::StoredBatch;
use logmill_model::internal::RecordPlace;
use logmill_model::{LostOffsets, Offset, PartitionId};

use super::{Lane, Next};
use crate::corrupt::ADVICE;
use crate::limits::READ_BYTES_MAX;
use crate::{CorruptRange, Error};

/// What was read for a run.
#[derive(Default)]
pub(crate) struct Batches {
    /// What to take up of that which was left behind, by the batches that it lies in.
    pub(crate) due: Vec<DueBatch>,
    /// What is due and is not there any more, nor anything behind it.
    pub(crate) gone: Vec<Offset>,
    pub(crate) new: Vec<StoredBatch>,
}

/// A batch, and what of it is due.
pub(crate) struct DueBatch {
    pub(crate) stored: StoredBatch,
    /// Where each record lies in the batch's partition, and its offset in the source.
    pub(crate) records: BTreeMap<Offset, Offset>,
}

impl DueBatch {
    fn holds(&self, partition: PartitionId, offset: Offset) -> bool {
        let envelope = &self.stored.envelope;
        self.stored.partition == partition
            && (envelope.base_offset..envelope.end_offset()).contains(&offset)
    }
}

impl Batches {
    /// How many records there are, at most `max`.
    pub(crate) fn records(&self, max: u64) -> u64 {
        let due: usize = self.due.iter().map(|batch| batch.records.len()).sum();
        let new: u64 = self.new.iter().map(|stored| u64::from(stored.envelope.records)).sum();
        (due as u64 + new).min(max)
    }

    fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.gone.is_empty()
    }
}

impl Lane {
    /// Reads what is due, and what is new where it is taken up.
    pub(super) async fn read(&mut self, due: BTreeSet<Offset>) -> Result<Batches, Next> {
        let mut batches = self.read_due(due).await?;
        // In a run of one record, that is one that is due.
        let is_enough = self.records_max == 1 && batches.has_due();
        // What is due may leave room.
        if !is_enough && (self.has_room() || batches.has_due()) {
            batches.new = self.read_at(self.cursor.next, READ_BYTES_MAX).await?;
        }
        Ok(batches)
    }

    pub(super) async fn read_due(&mut self, wanted: BTreeSet<Offset>) -> Result<Batches, Next> {
        let (mut batches, mut bytes) = (Batches::default(), 0);
        for offset in wanted {
            let letter = self.parked.hole(offset).and_then(|hole| hole.place);
            let in_source = RecordPlace { partition: self.id.source, offset };
            let place = letter.unwrap_or(in_source);
            let holds = |it: &&mut DueBatch| it.holds(place.partition, place.offset);
            if let Some(batch) = batches.due.iter_mut().find(holds) {
                batch.records.insert(place.offset, offset);
                continue;
            }
            if bytes >= READ_BYTES_MAX {
                break;
            }
            let read = match letter {
                Some(place) => self.read_letter(place, offset).await?,
                // It asks for a single batch.
                None => self.read_at(offset, 1).await?.into_iter().next(),
            };
            match read {
                Some(stored) => {
                    bytes += stored.bytes();
                    let records = BTreeMap::from([(place.offset, offset)]);
                    batches.due.push(DueBatch { stored, records });
                }
                None => batches.gone.push(offset),
            }
        }
        Ok(batches)
    }

    /// The batch that a dead letter lies in; None when it is gone: with its topic, or by retention.
    async fn read_letter(
        &mut self,
        place: RecordPlace,
        source: Offset,
    ) -> Result<Option<StoredBatch>, Next> {
        match self.parts.read(place.partition, place.offset, 1).await {
            // Where there is none any more, the next one is read.
            Ok(batches) => Ok(batches.into_iter().next()),
            Err(Error::OffsetOutOfRange { .. }) => Ok(None),
            Err(error) => Err(match error.corrupt() {
                Some(what) => {
                    let what = format!("corrupt: the dead letter of offset {source}: {what}");
                    Next::Corrupt(what, LostOffsets { from: source, to: source.next() })
                }
                None => Next::Wait(error.to_string()),
            }),
        }
    }

    pub(super) async fn read_at(
        &mut self,
        offset: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Next> {
        match self.parts.read(self.id.source, offset, bytes_max).await {
            Ok(batches) => Ok(batches),
            Err(Error::CorruptRange(range)) => Err(corrupt(&range, offset)),
            // The next step finds it lost.
            Err(Error::OffsetOutOfRange { .. }) => Err(Next::Go),
            Err(error) => Err(Next::Wait(error.to_string())),
        }
    }

    /// What can't be read and was accepted as lost, if that is what the lane comes to next.
    pub(super) fn accepted(&self, due: &BTreeSet<Offset>) -> Option<LostOffsets> {
        let is_in_source =
            |offset: &&Offset| self.parked.hole(**offset).is_none_or(|hole| hole.place.is_none());
        let due = due.iter().filter(is_in_source);
        [self.cursor.next].iter().chain(due).find_map(|&from| {
            let to = self.parts.log.after_accepted(self.id.source, from);
            (to > from).then_some(LostOffsets { from, to })
        })
    }
}

fn corrupt(range: &CorruptRange, from: Offset) -> Next {
    let why = format!("corrupt: {range}; {ADVICE}: the lane goes on behind it");
    Next::Corrupt(why, LostOffsets { from, to: range.to })
}
