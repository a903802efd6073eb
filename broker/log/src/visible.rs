//! What readers see: every durable entry, and nothing else.
//!
//! Readers share it with the writer. Each partition has a lock of its own, which is never held
//! over a read of the disk; the map of partitions is written only when one comes or goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use logmill_model::{Csn, PartitionId};

use crate::files::Files;
use crate::partition::Partition;
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct Visible {
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    durable_csn: AtomicU64,
    pub(crate) files: Files,
    pub(crate) counters: Counters,
}

impl Visible {
    pub(crate) fn new(files: Files) -> Self {
        Self {
            partitions: RwLock::default(),
            durable_csn: AtomicU64::new(0),
            files,
            counters: Counters::default(),
        }
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn partition_or_new(&self, id: PartitionId) -> Arc<Partition> {
        if let Some(partition) = self.partition(id) {
            return partition;
        }
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(partitions.entry(id).or_default())
    }

    pub(crate) fn forget(&self, id: PartitionId) {
        let partition = self.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(partition) = partition {
            partition.clear();
        }
    }

    pub(crate) fn durable_csn(&self) -> Csn {
        Csn(self.durable_csn.load(Ordering::Acquire))
    }

    /// The newest entry that is durable and whose batches are visible.
    pub(crate) fn set_durable_csn(&self, csn: Csn) {
        self.durable_csn.store(csn.0, Ordering::Release);
    }
}
