//! Rebuilding the engine's state when the log is opened: a fold over the internal topics, read from
//! their starts, a chunk at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use logmill_log::storage::Storage;
use logmill_log::{Log, Opened, Recovered, Settings, StoredBatch};
use logmill_model::internal::CursorRecord;
use logmill_model::{LaneId, PartitionId};

use crate::Error;
use crate::catalog::Catalog;
use crate::limits::REPLAY_BYTES_MAX;
use crate::sequencer::{Changes, Judge};

/// What the internal topics say, gathered from the log.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) judge: Judge,
    pub(crate) catalog: Catalog,
    pub(crate) cursors: BTreeMap<LaneId, CursorRecord>,
    /// Partitions that the log has and that no topic has any more.
    pub(crate) deleted: Vec<PartitionId>,
}

/// Opens the log and gathers all state from it. Blocks while the log is read.
pub(crate) fn replay(
    storage: Arc<dyn Storage>,
    settings: Settings,
) -> Result<(Opened, Replayed), Error> {
    let opened = logmill_log::open(storage, settings)?;
    let mut replayed = Replayed::default();
    // The catalog says which partitions there are, so it comes first.
    for partition in [PartitionId::CATALOG, PartitionId::CURSORS, PartitionId::SEGMENTS] {
        replayed.read(&opened.log, partition)?;
    }
    replayed.end(&opened.log, &opened.recovered);
    Ok((opened, replayed))
}

impl Replayed {
    fn read(&mut self, log: &Log, partition: PartitionId) -> Result<(), Error> {
        let mut next = log.start_offset(partition);
        loop {
            let batches = log.read(partition, next, REPLAY_BYTES_MAX)?;
            let Some(last) = batches.last() else { return Ok(()) };
            next = last.envelope.end_offset();
            for stored in &batches {
                self.take(stored)?;
            }
        }
    }

    fn take(&mut self, stored: &StoredBatch) -> Result<(), Error> {
        let mut changes = Changes::default();
        let read = changes.read(stored.partition, &stored.batch);
        read.map_err(|source| Error::UnreadableState {
            partition: stored.partition,
            offset: stored.envelope.base_offset,
            source,
        })?;
        self.judge.apply(&changes);
        for record in &changes.catalog {
            self.catalog.apply(record);
        }
        for (lane, cursor) in changes.cursors {
            match cursor {
                Some(cursor) => self.cursors.insert(lane, cursor),
                None => self.cursors.remove(&lane),
            };
        }
        Ok(())
    }

    fn end(&mut self, log: &Log, recovered: &Recovered) {
        self.judge.go_on_after(recovered.last_csn, recovered.last_time);
        for (partition, _, end) in log.partitions() {
            if !self.judge.set_end(partition, end) {
                self.deleted.push(partition);
            }
            if partition == PartitionId::CATALOG {
                self.catalog.set_end(end);
            }
        }
    }
}

#[cfg(test)]
mod tests;
