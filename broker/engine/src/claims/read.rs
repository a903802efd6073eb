//! Reading `_claims`: all that is within the window before a deployment begins, and single claims when
//! a module asks whose a key is.

use std::sync::Arc;

use logmill_log::{Log, StoredBatch};
use logmill_model::internal::ClaimRecord;
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{DeploymentId, Offset, PartitionId, RecordBatch, Source, Timestamp};

use super::table::{Fingerprint, Table};
use crate::parts::Parts;
use crate::suspects::LostRecords;
use crate::{Error, replay};

/// The claims that are within the window. Waits for the disk.
pub(super) fn durable(
    log: &Log,
    partition: PartitionId,
    window_ms: u64,
    now: Timestamp,
) -> Result<Table, Error> {
    let since = now.minus_ms(window_ms);
    let from = log.offset_at(partition, since)?;
    let (mut table, mut lost) = (Table::new(window_ms, since, from), LostRecords::default());
    replay::read(log, (partition, from), &mut lost, &mut |stored, _| {
        let (base, time) = (stored.envelope.base_offset, stored.envelope.append_ts);
        table.go_on_at(base);
        each(stored, |delta, key, _| {
            table.insert(RecordBatch::offset_at(base, delta), time, Fingerprint::of(key));
        })
    })?;
    // Where the next one goes: behind what may have been lost at the end.
    table.go_on_at(log.end_offset(partition));
    match lost.why(partition) {
        Some(why) => Err(Error::StandsStill(why.to_owned())),
        None => Ok(table),
    }
}

/// Shows each claim of a batch.
fn each(stored: &StoredBatch, mut show: impl FnMut(u32, &[u8], ClaimRecord)) -> Result<(), Error> {
    let (partition, offset) = (stored.partition, stored.envelope.base_offset);
    let unreadable = |source| Error::UnreadableState { partition, offset, source };
    let records = stored.batch.decompressed(BATCH_BYTES_MAX).map_err(unreadable)?;
    for record in &records {
        let (key, claim) = ClaimRecord::decode(record.key, record.value).map_err(unreadable)?;
        show(record.offset_delta, key, claim);
    }
    Ok(())
}

/// Finds the records that have claimed keys: of a claim, its place in `_claims` is known alone.
pub(crate) struct Places {
    parts: Arc<Parts>,
    partition: Option<PartitionId>,
    /// Whoever sends records again sends those that came together.
    last: Option<StoredBatch>,
}

impl Places {
    pub(crate) fn new(parts: Arc<Parts>, deployment: DeploymentId) -> Self {
        Self { parts, partition: PartitionId::claims_of(deployment), last: None }
    }

    /// The record whose claim lies here. May wait for the disk, on a thread for guests.
    pub(crate) fn record_of(&mut self, place: Offset) -> Result<Source, Error> {
        let stored = self.batch_at(place)?;
        let (base, mut found) = (stored.envelope.base_offset, None);
        each(&stored, |delta, _, claim| {
            if RecordBatch::offset_at(base, delta) == place {
                found = Some(claim);
            }
        })?;
        self.last = Some(stored);
        // The log proves that there is one.
        let ClaimRecord { source, offset } = found.ok_or_else(|| gone(place))?;
        let topic = self.parts.views.catalog().shown_topic(source.topic);
        Ok(Source { topic, partition: source.index, offset })
    }

    fn batch_at(&mut self, place: Offset) -> Result<StoredBatch, Error> {
        let holds = |stored: &StoredBatch| {
            stored.envelope.base_offset <= place && place < stored.envelope.end_offset()
        };
        if let Some(last) = self.last.take_if(|last| holds(last)) {
            return Ok(last);
        }
        let Some(partition) = self.partition else { return Err(gone(place)) };
        let batches = self.parts.log.read(partition, place, 1)?;
        batches.into_iter().find(holds).ok_or_else(|| gone(place))
    }
}

fn gone(place: Offset) -> Error {
    Error::OffsetOutOfRange { asked: place, start: place, end: place }
}
