//! What readers see: every durable entry, and nothing else.
//!
//! Readers share it with the writer. Each partition has a lock of its own, which is never held
//! over a read of the disk; the map of partitions is written only when one comes or goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use logmill_model::{Csn, Offset, PartitionId};

use crate::accepted::Accepted;
use crate::files::Files;
use crate::hole::Holes;
use crate::index::Summary;
use crate::log_file::LogFile;
use crate::partition::{Lost, Partition};
use crate::sealed::SealedFiles;
use crate::span::Span;
use crate::stats::Counters;
use crate::{Error, Hole, LostRange};

type Partitions = HashMap<PartitionId, Arc<Partition>>;

#[derive(Debug)]
pub(crate) struct Visible {
    partitions: RwLock<Partitions>,
    durable_csn: AtomicU64,
    pub(crate) files: Files,
    pub(crate) sealed: SealedFiles,
    pub(crate) holes: Holes,
    /// Those in which partitions of which nothing else is left may have had records.
    hiding: Mutex<Vec<Hole>>,
    /// Where partitions start, as the log was opened.
    starts: OnceLock<HashMap<PartitionId, Offset>>,
    /// How often something happened that may leave the cleaner something to do.
    changes: AtomicU64,
    pub(crate) counters: Counters,
}

impl Visible {
    pub(crate) fn new(files: Files) -> Self {
        Self {
            partitions: RwLock::default(),
            durable_csn: AtomicU64::new(0),
            files,
            sealed: SealedFiles::default(),
            holes: Holes::default(),
            hiding: Mutex::default(),
            starts: OnceLock::new(),
            changes: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Partitions> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.read().get(&id).cloned()
    }

    pub(crate) fn partition_or_new(&self, id: PartitionId) -> Arc<Partition> {
        if let Some(partition) = self.partition(id) {
            return partition;
        }
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(partitions.entry(id).or_default())
    }

    /// All partitions with start and end, in order.
    pub(crate) fn partitions(&self) -> Vec<(PartitionId, Offset, Offset)> {
        let with_ends = |(id, partition): (&PartitionId, &Arc<Partition>)| {
            let (start, end) = partition.ends();
            (*id, start, end)
        };
        let mut partitions: Vec<_> = self.read().iter().map(with_ends).collect();
        partitions.sort_unstable();
        partitions
    }

    /// All partitions, in no order.
    pub(crate) fn all_partitions(&self) -> Vec<(PartitionId, Arc<Partition>)> {
        self.read().iter().map(|(id, partition)| (*id, Arc::clone(partition))).collect()
    }

    /// Where partitions start. What lies before is nobody's loss.
    pub(crate) fn set_starts(&self, starts: HashMap<PartitionId, Offset>) {
        let is_first = self.starts.set(starts).is_ok();
        debug_assert!(is_first, "a log is opened once");
    }

    /// Where a partition starts, or has started since.
    pub(crate) fn start_of(&self, id: PartitionId) -> Offset {
        let start = self.starts.get().and_then(|starts| starts.get(&id)).copied();
        let trimmed = self.partition(id).map(|it| it.trimmed_to());
        start.max(trimmed).unwrap_or_default()
    }

    /// What somebody can miss of a range.
    pub(crate) fn missed(&self, lost: LostRange) -> Option<LostRange> {
        let from = lost.from.max(self.start_of(lost.partition));
        (from < lost.to).then_some(LostRange { from, ..lost })
    }

    /// Whether anything is lost of which it is not known whose it was.
    pub(crate) fn is_hiding(&self) -> bool {
        !self.hiding().is_empty()
    }

    pub(crate) fn set_hiding(&self, holes: Vec<Hole>) {
        *self.hiding() = holes;
    }

    fn hiding(&self) -> MutexGuard<'_, Vec<Hole>> {
        self.hiding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition exists since this commit: if the log has no batch of it, it may have had some in
    /// what was lost since.
    pub(crate) fn expect(&self, id: PartitionId, since: Csn) {
        let is_there = |it: Arc<Partition>| it.last_file().is_some();
        if self.partition(id).is_some_and(is_there) {
            return;
        }
        let is_older = |hole: &&Hole| hole.csns.is_some_and(|lost| lost.last < since);
        for hole in self.hiding().iter().filter(|hole| !is_older(hole)) {
            let partition = self.partition_or_new(id);
            if partition.has_lost_in(hole) {
                continue;
            }
            let from = partition.end().max(self.start_of(id));
            let to = Offset(from.0.saturating_add(hole.offsets_max()));
            let lost = LostRange { partition: id, from, to };
            partition.lose(Lost::new(hole, lost));
            self.holes.add_lost(&hole.path, hole.position, lost);
        }
    }

    /// Takes in which losses were accepted, once all that the start finds is known. What they have
    /// cost is known from then on: nothing else is hidden in them.
    pub(crate) fn accept(&self, accepted: Accepted) {
        for LostRange { partition, from, to } in accepted.ranges() {
            self.partition_or_new(partition).accept(from, to);
        }
        self.holes.accept(accepted);
        let known = self.holes.all();
        let is_open = |hole: &Hole| {
            let same = known.iter().find(|it| it.is_at(&hole.path, hole.position));
            same.is_none_or(|hole| !self.is_accepted(hole))
        };
        self.hiding().retain(is_open);
    }

    /// Whether all that a hole has cost was accepted.
    pub(crate) fn is_accepted(&self, hole: &Hole) -> bool {
        let is_accepted = |lost: &LostRange| {
            let partition = self.partition(lost.partition);
            partition.is_some_and(|it| it.is_accepted(lost.from, lost.to))
        };
        self.holes.accepted().is_some_and(|accepted| accepted.has(hole))
            && hole.lost.iter().filter_map(|lost| self.missed(*lost)).all(|it| is_accepted(&it))
    }

    /// The holes whose loss nobody has accepted.
    pub(crate) fn open_holes(&self) -> Vec<Hole> {
        let mut open = self.holes.all();
        open.retain(|hole| !self.is_accepted(hole));
        for hole in &mut open {
            hole.lost = hole.lost.iter().filter_map(|lost| self.missed(*lost)).collect();
        }
        open
    }

    /// Remembers a hole that the start did not find.
    pub(crate) fn found(&self, hole: Hole) {
        if self.holes.add(hole.clone()) && !self.is_accepted(&hole) {
            hole.report();
        }
    }

    pub(crate) fn forget(&self, id: PartitionId) {
        let partition = self.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(partition) = partition {
            partition.clear();
        }
        self.holes.forget(id);
        self.count_change();
    }

    pub(crate) fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Shows a sealed file that was found at the start. Files come in the order of their entries.
    pub(crate) fn show_file(&self, file: &Arc<LogFile>, summary: &Summary) -> Result<(), Error> {
        for row in &summary.partitions {
            let (partition, base) = (row.partition, row.base);
            let shown = self.partition_or_new(partition).push_span(Span::new(row, file));
            shown.map_err(|end| {
                let what =
                    format!("{partition} ends at offset {end}, but a batch begins at {base}");
                Error::corrupt(&file.path, 0, what)
            })?;
        }
        self.sealed.add(file, summary);
        Ok(())
    }

    /// The file being written, which is shown already, is sealed.
    pub(crate) fn seal_file(&self, file: &Arc<LogFile>, summary: &Summary) {
        for row in &summary.partitions {
            if let Some(partition) = self.partition(row.partition) {
                partition.seal(row, file);
            }
        }
        self.sealed.add(file, summary);
        self.count_change();
    }

    pub(crate) fn durable_csn(&self) -> Csn {
        Csn(self.durable_csn.load(Ordering::Acquire))
    }

    /// The newest entry that is durable and whose batches are visible.
    pub(crate) fn set_durable_csn(&self, csn: Csn) {
        self.durable_csn.store(csn.0, Ordering::Release);
    }
}
