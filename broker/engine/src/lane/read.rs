//! What a lane reads before it handles it: the batches of what it left behind and is due, and what
//! is new.

use std::collections::BTreeSet;

use logmill_log::StoredBatch;
use logmill_model::{LostOffsets, Offset};

use super::{Lane, Next};
use crate::Error;
use crate::limits::READ_BYTES_MAX;

/// What was read for a run.
pub(crate) struct Batches {
    /// Which records to take up of those that were left behind.
    pub(crate) due: BTreeSet<Offset>,
    /// Where those lie, in order.
    pub(crate) of_due: Vec<StoredBatch>,
    pub(crate) new: Vec<StoredBatch>,
}

impl Batches {
    /// How many records there are, at most `max`.
    pub(crate) fn records(&self, max: u64) -> u64 {
        let new: u64 = self.new.iter().map(|stored| u64::from(stored.envelope.records)).sum();
        (self.due.len() as u64 + new).min(max)
    }
}

impl Lane {
    /// Reads what is due, and what is new where it is taken up.
    pub(super) async fn read(&mut self, due: BTreeSet<Offset>) -> Result<Batches, Next> {
        let mut batches = self.read_due(due).await?;
        // In a run of one record, that is one that is due.
        let is_enough = self.records_max == 1 && !batches.due.is_empty();
        // What is due may leave room.
        if !is_enough && (self.has_room() || !batches.due.is_empty()) {
            batches.new = self.read_at(self.cursor.next, READ_BYTES_MAX).await?;
        }
        Ok(batches)
    }

    pub(super) async fn read_due(&mut self, wanted: BTreeSet<Offset>) -> Result<Batches, Next> {
        let mut batches = Batches { due: BTreeSet::new(), of_due: Vec::new(), new: Vec::new() };
        let (mut end, mut bytes) = (Offset::ZERO, 0);
        for offset in wanted {
            if offset >= end {
                if bytes >= READ_BYTES_MAX {
                    break;
                }
                // It asks for a single batch.
                for stored in self.read_at(offset, 1).await? {
                    bytes += stored.bytes();
                    end = stored.envelope.end_offset();
                    batches.of_due.push(stored);
                }
            }
            batches.due.insert(offset);
        }
        Ok(batches)
    }

    pub(super) async fn read_at(
        &mut self,
        offset: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Next> {
        match self.parts.read(self.id.source, offset, bytes_max).await {
            Ok(batches) => Ok(batches),
            Err(Error::Corrupt(error)) => Err(corrupt(&error, offset)),
            // The next step finds it lost.
            Err(Error::OffsetOutOfRange { .. }) => Err(Next::Go),
            Err(error) => Err(Next::Wait(error.to_string())),
        }
    }

    /// What can't be read and was accepted as lost, if that is what the lane comes to next.
    pub(super) fn accepted(&self, due: &BTreeSet<Offset>) -> Option<LostOffsets> {
        [self.cursor.next].iter().chain(due).find_map(|&from| {
            let to = self.parts.log.after_accepted(self.id.source, from);
            (to > from).then_some(LostOffsets { from, to })
        })
    }
}

fn corrupt(error: &logmill_log::Error, next: Offset) -> Next {
    let to = match error {
        logmill_log::Error::CorruptRange { to, .. } => *to,
        _ => next.next(),
    };
    Next::Corrupt(format!("corrupt: {error}"), LostOffsets { from: next, to })
}
