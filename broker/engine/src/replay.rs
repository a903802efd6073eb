//! Rebuilding the engine's state when the log is opened: a fold over the internal topics, read from
//! their starts, a chunk at a time.

use std::sync::Arc;

use logmill_log::storage::Storage;
use logmill_log::{Log, Opened, Recovered, Settings};
use logmill_model::{Offset, PartitionId, RecordBatch};

use crate::Error;
use crate::catalog::Catalog;
use crate::limits::REPLAY_BYTES_MAX;
use crate::sequencer::{Changes, Judge};
use crate::snapshot::{self, PartitionSnapshot};
use crate::views::Cursors;

/// What the internal topics say, gathered from the log.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) judge: Judge,
    pub(crate) catalog: Catalog,
    pub(crate) cursors: Cursors,
    /// How many bytes of internal topics were read from the log itself.
    pub(crate) read_bytes: u64,
    /// Partitions that the log has and that no topic has any more.
    pub(crate) deleted: Vec<PartitionId>,
}

/// Opens the log and gathers all state from it. Blocks while the log is read.
pub(crate) fn replay(
    storage: Arc<dyn Storage>,
    settings: Settings,
) -> Result<(Opened, Replayed), Error> {
    let opened = logmill_log::open(Arc::clone(&storage), settings)?;
    let mut replayed = Replayed::default();
    let snapshot = snapshot::load(&*storage, &opened.log, opened.recovered.cluster);
    let mut snapshots = snapshot.map_or_else(Vec::new, |snapshot| snapshot.partitions);
    // The catalog says which partitions there are, so it comes first.
    for partition in [PartitionId::CATALOG, PartitionId::CURSORS, PartitionId::SEGMENTS] {
        let next = match snapshots.iter().position(|it| it.partition == partition) {
            Some(at) => replayed.restore(snapshots.swap_remove(at))?,
            None => opened.log.start_offset(partition),
        };
        replayed.read(&opened.log, partition, next)?;
    }
    replayed.end(&opened.log, &opened.recovered);
    Ok((opened, replayed))
}

impl Replayed {
    /// Takes in what a partition held up to the offset that is returned.
    fn restore(&mut self, snapshot: PartitionSnapshot) -> Result<Offset, Error> {
        let PartitionSnapshot { partition, next, batches, .. } = snapshot;
        batches.iter().try_for_each(|batch| self.take(partition, next, batch))?;
        Ok(next)
    }

    fn read(&mut self, log: &Log, partition: PartitionId, mut next: Offset) -> Result<(), Error> {
        loop {
            let batches = log.read(partition, next, REPLAY_BYTES_MAX)?;
            let Some(last) = batches.last() else { return Ok(()) };
            next = last.envelope.end_offset();
            for stored in &batches {
                self.take(partition, stored.envelope.base_offset, &stored.batch)?;
                self.read_bytes += stored.bytes() as u64;
            }
        }
    }

    fn take(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        batch: &RecordBatch,
    ) -> Result<(), Error> {
        let mut changes = Changes::default();
        changes.read(partition, batch).map_err(|source| Error::UnreadableState {
            partition,
            offset,
            source,
        })?;
        self.judge.apply(&changes);
        for record in &changes.catalog {
            self.catalog.apply(record);
        }
        for (lane, cursor) in &changes.cursors {
            self.cursors.apply(*lane, cursor.as_ref());
        }
        Ok(())
    }

    fn end(&mut self, log: &Log, recovered: &Recovered) {
        self.judge.go_on_after(recovered.last_csn, recovered.last_time);
        for (partition, _, end) in log.partitions() {
            if !self.judge.set_end(partition, end) {
                self.deleted.push(partition);
            }
            match partition {
                PartitionId::CATALOG => self.catalog.set_end(end),
                PartitionId::CURSORS => self.cursors.end = end,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
