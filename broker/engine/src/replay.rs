//! Rebuilding the engine's state when the log is opened: a fold over the internal topics, read from
//! their starts, a chunk at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logmill_log::storage::Storage;
use logmill_log::{Log, Opened, Recovered, Settings, StoredBatch};
use logmill_model::internal::CursorsRecord;
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{LaneId, Offset, Order, PartitionId, RecordBatch, Timestamp, World};

use crate::catalog::Catalog;
use crate::cursors::Cursors;
use crate::known::{known_with, require_journal};
use crate::letters::Letters;
use crate::limits::REPLAY_BYTES_MAX;
use crate::sequencer::{Changes, Judge};
use crate::snapshot::{self, PartitionSnapshot};
use crate::suspects::{LostRecords, Suspects};
use crate::{CorruptRange, Error, fingerprints};

/// What the internal topics say, gathered from the log.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) judge: Judge,
    pub(crate) catalog: Catalog,
    pub(crate) cursors: Cursors,
    pub(crate) letters: Letters,
    /// Where retention has moved the starts of partitions to.
    starts: Vec<(PartitionId, Offset)>,
    /// How many bytes of internal topics were read from the log itself.
    pub(crate) read_bytes: u64,
    /// Partitions that the log has and that no topic has any more.
    pub(crate) deleted: Vec<PartitionId>,
    /// Who stands still, since internal records are lost.
    pub(crate) suspects: Suspects,
    /// Where the newest record of each lane lies in `_cursors`.
    cursor_offsets: BTreeMap<LaneId, Offset>,
    /// Lanes of which a record may be lost, though later ones are there.
    doubtful: BTreeSet<LaneId>,
}

/// Opens the log and gathers all state from it. Blocks while the log is read.
pub(crate) fn replay(
    storage: Arc<dyn Storage>,
    settings: Settings,
) -> Result<(Opened, Replayed), Error> {
    require_journal(&*storage)?;
    let snapshot = snapshot::load(&*storage);
    let known = known_with(&*storage, snapshot.as_ref());
    let opened = logmill_log::open_knowing(Arc::clone(&storage), settings, &known)?;
    let log = &opened.log;
    PartitionId::INTERNAL.iter().for_each(|partition| log.expect(*partition));
    let (mut replayed, mut lost) = (Replayed::default(), LostRecords::default());
    let snapshot = snapshot.filter(|it| it.is_of(log, opened.recovered.cluster));
    let mut snapshots = snapshot.map_or_else(Vec::new, |snapshot| snapshot.partitions);
    for partition in PartitionId::INTERNAL {
        let next = match snapshots.iter().position(|it| it.partition == partition) {
            Some(at) => replayed.restore(snapshots.swap_remove(at))?,
            None => log.start_offset(partition),
        };
        read(log, (partition, next), &mut lost, &mut |stored, lost| {
            replayed.read_bytes += stored.bytes() as u64;
            replayed.take((partition, stored.envelope.base_offset), &stored.batch, lost)
        })?;
    }
    replayed.take_envelopes(log, &lost)?;
    replayed.end(log, &opened.recovered, lost);
    replayed.take_keys(log, opened.recovered.last_time)?;
    Ok((opened, replayed))
}

/// Reads a partition from an offset on, around what is lost.
pub(crate) fn read(
    log: &Log,
    (partition, mut next): (PartitionId, Offset),
    lost: &mut LostRecords,
    take: &mut dyn FnMut(&StoredBatch, &LostRecords) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let batches = match log.read(partition, next, REPLAY_BYTES_MAX) {
            Ok(batches) => batches,
            Err(error) => {
                // Those of users' topics are told to who reads them.
                let range = CorruptRange::of(error, |topic| topic.to_string())?;
                lost.add(partition, &range);
                next = range.to;
                continue;
            }
        };
        batches.iter().try_for_each(|stored| take(stored, lost))?;
        let end = batches.last().map(|last| last.envelope.end_offset());
        match end.unwrap_or_else(|| log.after_accepted(partition, next)) {
            after if after > next => next = after,
            _ => return Ok(()),
        }
    }
}

fn changes_of(
    partition: PartitionId,
    offset: Offset,
    batch: &RecordBatch,
) -> Result<Changes, Error> {
    let mut changes = Changes::default();
    let read = changes.read(partition, batch);
    read.map_err(|source| Error::UnreadableState { partition, offset, source })?;
    Ok(changes)
}

impl Replayed {
    /// Takes in what a partition held up to the offset that is returned.
    fn restore(&mut self, snapshot: PartitionSnapshot) -> Result<Offset, Error> {
        let PartitionSnapshot { partition, next, batches, .. } = snapshot;
        let none = LostRecords::default();
        batches.iter().try_for_each(|batch| self.take((partition, next), batch, &none))?;
        Ok(next)
    }

    /// Takes in a batch; `lost` is what can't be read before it.
    fn take(
        &mut self,
        (partition, offset): (PartitionId, Offset),
        batch: &RecordBatch,
        lost: &LostRecords,
    ) -> Result<(), Error> {
        let changes = changes_of(partition, offset, batch)?;
        self.judge.apply(&changes);
        self.starts.extend(changes.starts());
        for record in &changes.catalog {
            self.catalog.apply(record);
        }
        for record in &changes.cursors {
            if self.follows_a_loss(record, lost) {
                self.doubtful.insert(record.lane());
            }
            self.cursor_offsets.insert(record.lane(), offset);
            self.cursors.apply(record);
        }
        changes.letters.iter().for_each(|record| self.letters.apply(record));
        for record in changes.producers {
            self.judge.producers().restore(record);
        }
        Ok(())
    }

    /// Whether records of the lane may lie in a loss between its last one and this cursor.
    fn follows_a_loss(&self, record: &CursorsRecord, lost: &LostRecords) -> bool {
        let CursorsRecord::Cursor(lane, Some(cursor)) = record else { return false };
        let end = lost.end(PartitionId::CURSORS);
        let last = self.cursor_offsets.get(lane);
        let known = self.cursors.by_lane.get(lane).map_or(0, |it| it.record.revision);
        end > Offset::ZERO && last.is_none_or(|at| *at < end) && cursor.revision != known + 1
    }

    /// The lanes that can't go on as they are: those that may have left something behind in what is
    /// lost, and those of which no cursor is there. That which orders by partition leaves nothing
    /// behind but in its cursor.
    fn lanes_in_doubt(&mut self) -> BTreeSet<LaneId> {
        let mut doubtful = BTreeSet::new();
        for (name, record) in self.catalog.deployments() {
            let version = self.catalog.active_version(name);
            let Some(version) = version.filter(|it| it.settings.world == World::Consumer) else {
                continue;
            };
            for lane in self.catalog.lanes(record.id, &version.settings.on) {
                let is_by_key = version.settings.order == Order::Key;
                if self.cursors.expect(lane) || (is_by_key && self.doubtful.contains(&lane)) {
                    doubtful.insert(lane);
                }
            }
        }
        doubtful
    }

    /// Takes in what the entries after the last checkpoint say of producers. Where any of that may be
    /// lost, nothing is known of any of them: they register anew, and nothing is taken for a
    /// duplicate, or for none, in error.
    fn take_envelopes(&mut self, log: &Log, lost: &LostRecords) -> Result<(), Error> {
        if log.end_offset(PartitionId::PRODUCERS) == Offset::ZERO {
            return Ok(());
        }
        let producers = self.judge.producers();
        let is_whole =
            log.envelopes_after(producers.checkpoint(), &mut |partition, envelope| {
                producers.replay(partition, envelope);
            })?;
        if !is_whole || lost.is_of(PartitionId::PRODUCERS) {
            tracing::warn!("what is known of producers may be lost: they have to register anew");
            producers.forget_all();
        }
        Ok(())
    }

    /// Takes in the idempotency keys of what topics have within their windows. Blocks while that is
    /// read: before it is, nobody can tell what is a duplicate.
    fn take_keys(&mut self, log: &Log, now: Timestamp) -> Result<(), Error> {
        for (_, topic) in self.catalog.topics() {
            let Some(window_ms) = topic.policy.dedupe_window_ms else { continue };
            let mut keys: Vec<(Timestamp, PartitionId, u128, Offset)> = Vec::new();
            for partition in topic.partition_ids() {
                let from = log.offset_at(partition, now.minus_ms(window_ms))?;
                let mut lost = LostRecords::default();
                read(log, (partition, from), &mut lost, &mut |stored, _| {
                    let (time, base) = (stored.envelope.append_ts, stored.envelope.base_offset);
                    // One that nobody can read has no keys that anybody knows.
                    let Ok(records) = stored.batch.decompressed(BATCH_BYTES_MAX) else {
                        return Ok(());
                    };
                    if time.ms_until(now) < window_ms {
                        let of_batch = fingerprints::of_batch(records).keys.into_iter();
                        keys.extend(of_batch.map(|(delta, key)| {
                            (time, partition, key, RecordBatch::offset_at(base, delta))
                        }));
                    }
                    Ok(())
                })?;
            }
            keys.sort_unstable_by_key(|(time, ..)| *time);
            for (time, partition, key, offset) in keys {
                self.judge.keys().insert(partition, time, [(key, offset)]);
            }
        }
        Ok(())
    }

    fn end(&mut self, log: &Log, recovered: &Recovered, lost: LostRecords) {
        self.catalog.partitions().for_each(|partition| log.expect(partition));
        // The end of a partition of which all has expired may be told by its start alone.
        for (partition, start) in std::mem::take(&mut self.starts) {
            log.trim(partition, start);
        }
        self.judge.settle_producers();
        let doubtful = self.lanes_in_doubt();
        self.suspects = lost.suspects(&self.cursor_offsets, doubtful);
        if let Some(why) = self.suspects.everything() {
            tracing::error!(why, "nothing that is deployed runs, and the catalog does not change");
        }
        self.judge.go_on_after(recovered.last_csn, recovered.last_time);
        for (partition, _, end) in log.partitions() {
            if !self.judge.set_end(partition, end) {
                // The record of its topic may be among those that are lost.
                if self.suspects.everything().is_none() {
                    self.deleted.push(partition);
                }
            }
            match partition {
                PartitionId::CATALOG => self.catalog.set_end(end),
                PartitionId::CURSORS => self.cursors.end = end,
                PartitionId::LETTERS => self.letters.end = end,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
