//! What is durable, for readers: the catalog, the cursors, and who waits for which partition.
//!
//! Only the completion of a durable commit changes them, on the journal's writer thread and in
//! the order of commits, before the commit's proposer hears of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwap;
use logmill_log::Log;
use logmill_model::internal::{CursorsRecord, HoleRecord};
use logmill_model::{Csn, DeploymentId, LaneId, Offset, PartitionId, Refusal, Timestamp};
use tokio::sync::watch;

use crate::Error;
use crate::catalog::{Catalog, PartitionChange};
use crate::cursors::{Cursors, LaneCursor};
use crate::letters::Letters;
use crate::sequencer::Changes;

/// The durable state that is derived from internal topics.
pub(crate) struct Views {
    log: Log,
    catalog: ArcSwap<Catalog>,
    /// Held for a look-up, an insert or a copy only.
    cursors: Mutex<Cursors>,
    /// Held for a look-up only.
    letters: Mutex<Letters>,
    /// The entry of the last checkpoint of the producers.
    checkpoint: AtomicU64,
    /// The time of the newest entry.
    time: AtomicU64,
    /// Held for a look-up or an insert only.
    ends: RwLock<HashMap<PartitionId, watch::Sender<Offset>>>,
}

impl Views {
    /// The views of a log that was just opened; `changes` are those of all its entries, in order.
    pub(crate) fn new(
        log: Log,
        catalog: Catalog,
        (cursors, letters): (Cursors, Letters),
        (checkpoint, time): (Csn, Timestamp),
    ) -> Self {
        Self {
            log,
            catalog: ArcSwap::from_pointee(catalog),
            cursors: Mutex::new(cursors),
            letters: Mutex::new(letters),
            checkpoint: AtomicU64::new(checkpoint.0),
            time: AtomicU64::new(time.0),
            ends: RwLock::default(),
        }
    }

    /// What is durable of all partitions.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Takes in a commit that is durable.
    pub(crate) fn apply(&self, changes: &Changes, ends: &[(PartitionId, Offset)], time: Timestamp) {
        self.time.store(time.0, Ordering::Release);
        if !changes.catalog.is_empty() {
            self.apply_catalog(changes, ends);
        }
        if !changes.cursors.is_empty() {
            let mut cursors = self.cursors();
            changes.cursors.iter().for_each(|record| cursors.apply(record));
            if let Some((_, end)) = ends.iter().rfind(|(id, _)| *id == PartitionId::CURSORS) {
                cursors.end = *end;
            }
        }
        if !changes.letters.is_empty() {
            let mut letters = self.letters();
            changes.letters.iter().for_each(|record| letters.apply(record));
            if let Some((_, end)) = ends.iter().rfind(|(id, _)| *id == PartitionId::LETTERS) {
                letters.end = *end;
            }
        }
        if let Some(csn) = changes.checkpoint {
            self.checkpoint.store(csn.0, Ordering::Release);
        }
        for (partition, start) in changes.starts() {
            self.log.trim(partition, start);
        }
        let waiting = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        for (partition, end) in ends {
            if let Some(sender) = waiting.get(partition) {
                sender.send_replace(*end);
            }
        }
    }

    fn apply_catalog(&self, changes: &Changes, ends: &[(PartitionId, Offset)]) {
        let mut catalog = Catalog::clone(&self.catalog.load());
        if let Some((_, end)) = ends.iter().rfind(|(id, _)| *id == PartitionId::CATALOG) {
            catalog.set_end(*end);
        }
        let mut deleted = Vec::new();
        for record in &changes.catalog {
            if let Some(PartitionChange::Deleted(partitions)) = catalog.apply(record) {
                deleted.extend(partitions);
            }
        }
        self.catalog.store(Arc::new(catalog));
        if !deleted.is_empty() {
            let mut waiting = self.ends.write().unwrap_or_else(PoisonError::into_inner);
            for partition in deleted {
                self.log.forget(partition);
                // Whoever waits for it is woken by the sender's end.
                waiting.remove(&partition);
            }
        }
    }

    /// The catalog as of the newest durable commit.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// A refusal in the words of who knows topics by name.
    pub(crate) fn named(&self, refusal: Refusal) -> Error {
        let Refusal::Full { partition, bytes, max } = refusal else { return refusal.into() };
        match self.catalog().topic_name(partition.topic).cloned() {
            Some(topic) => Error::TopicFull { topic, partition: partition.index, bytes, max },
            None => Refusal::NoSuchPartition(partition).into(),
        }
    }

    /// The entry up to which all that entries say is in internal topics as well, or was read from
    /// there: the files of later ones prove what producers have sent.
    pub(crate) fn taken_in(&self) -> Csn {
        if self.log.end_offset(PartitionId::PRODUCERS) == Offset::ZERO {
            return self.log.durable_csn();
        }
        Csn(self.checkpoint.load(Ordering::Acquire))
    }

    /// The time of the newest durable entry.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp(self.time.load(Ordering::Acquire))
    }

    /// Where a lane stands.
    pub(crate) fn cursor(&self, lane: LaneId) -> Option<LaneCursor> {
        self.cursors().by_lane.get(&lane).cloned()
    }

    /// The holes of lanes that have ended, at most `max` of them, and what deletes each.
    pub(crate) fn orphans(&self, max: usize) -> Vec<(CursorsRecord, HoleRecord)> {
        let cursors = self.cursors();
        cursors.orphans().take(max).map(|(record, hole)| (record, hole.clone())).collect()
    }

    /// The cursors of all lanes, as of one moment.
    pub(crate) fn all_cursors(&self) -> Cursors {
        self.cursors().clone()
    }

    fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has become of dead letters.
    pub(crate) fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lanes of a deployment that have a cursor.
    pub(crate) fn lanes_of(&self, deployment: DeploymentId) -> Vec<(LaneId, LaneCursor)> {
        self.cursors().lanes_of(deployment)
    }

    /// Follows the durable end of a partition; ends when the partition is deleted.
    pub(crate) fn watch(&self, partition: PartitionId) -> watch::Receiver<Offset> {
        let mut waiting = self.ends.write().unwrap_or_else(PoisonError::into_inner);
        waiting
            .entry(partition)
            .or_insert_with(|| watch::channel(self.log.end_offset(partition)).0)
            .subscribe()
    }
}
