//! Rebuilding the engine's state: a fold over all entries of the log, when it is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use logmill_log::storage::Storage;
use logmill_log::{Opened, Settings};
use logmill_model::internal::CursorRecord;
use logmill_model::{LaneId, Offset, PartitionId};

use crate::Error;
use crate::catalog::{Catalog, PartitionChange};
use crate::sequencer::{Changes, Judge};

/// What the internal topics say, gathered while the log is recovered.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) judge: Judge,
    pub(crate) catalog: Catalog,
    pub(crate) cursors: BTreeMap<LaneId, CursorRecord>,
    pub(crate) deleted: Vec<PartitionId>,
}

/// Opens the log and gathers all state from it. Blocks while the log is read.
pub(crate) fn replay(
    storage: Arc<dyn Storage>,
    settings: Settings,
) -> Result<(Opened, Replayed), Error> {
    let mut replayed = Replayed::default();
    let opened = logmill_log::open(storage, settings, &mut |entry| {
        let changes = replayed.judge.recover(entry).map_err(|error| {
            logmill_log::Error::Refused { csn: entry.csn, what: error.to_string() }
        })?;
        let ends = entry.appends.iter().map(|it| (it.partition, it.envelope.end_offset()));
        replayed.apply(&changes, ends);
        Ok(())
    })?;
    Ok((opened, replayed))
}

impl Replayed {
    fn apply(&mut self, changes: &Changes, ends: impl Iterator<Item = (PartitionId, Offset)>) {
        for record in &changes.catalog {
            if let Some(PartitionChange::Deleted(topic, partitions)) = self.catalog.apply(record) {
                self.deleted.extend((0..partitions).map(|index| PartitionId::new(topic, index)));
            }
        }
        for (partition, end) in ends {
            if partition == PartitionId::CATALOG {
                self.catalog.set_end(end);
            }
        }
        for (lane, cursor) in &changes.cursors {
            match cursor {
                Some(cursor) => self.cursors.insert(*lane, cursor.clone()),
                None => self.cursors.remove(lane),
            };
        }
    }
}
