//! Topics that reject what they have no room for.
//!
//! The log tells what a partition holds, but only what is durable. What was sequenced and is on its
//! way to it is counted here, so that a partition never gets more than one batch above its limit
//! however many are in flight. Topics without such a limit, which is most, cost one look at a map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_log::{Log, NewEntry};
use logmill_model::{Commit, PartitionId, Refusal};

use crate::catalog::Catalog;

pub(super) struct Capacity {
    log: Log,
    on_the_way: Arc<OnTheWay>,
}

/// Bytes of batches that are sequenced and not durable yet.
#[derive(Default)]
struct OnTheWay(Mutex<HashMap<PartitionId, u64>>);

impl OnTheWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<PartitionId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an entry brings to partitions that can be full; taken off when it is dropped.
pub(super) struct Load {
    on_the_way: Arc<OnTheWay>,
    batches: Vec<(PartitionId, u64)>,
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let mut on_the_way = self.on_the_way.lock();
        for (partition, bytes) in &self.batches {
            if let Some(left) = on_the_way.get_mut(partition) {
                *left -= bytes;
                if *left == 0 {
                    on_the_way.remove(partition);
                }
            }
        }
    }
}

impl Capacity {
    pub(super) fn of(log: Log) -> Self {
        Self { log, on_the_way: Arc::default() }
    }

    /// Whether the partitions that the commit appends to take any more.
    pub(super) fn check(&self, catalog: &Catalog, commit: &Commit) -> Result<(), Refusal> {
        for append in &commit.appends {
            let partition = append.partition;
            let Some(max) = catalog.full_at_bytes(partition.topic) else { continue };
            // In this order: a batch that arrives in between counts twice, and not never.
            let coming = self.on_the_way.lock().get(&partition).copied().unwrap_or(0);
            let bytes = self.log.partition_bytes(partition).saturating_add(coming);
            if bytes >= max {
                return Err(Refusal::Full { partition, bytes, max });
            }
        }
        Ok(())
    }

    /// Counts an entry, until what is returned is dropped.
    pub(super) fn load(&self, catalog: &Catalog, entry: &NewEntry) -> Load {
        let limited = |id: PartitionId| catalog.full_at_bytes(id.topic).is_some();
        let batches: Vec<_> = entry
            .appends
            .iter()
            .filter(|stored| limited(stored.partition))
            .map(|stored| (stored.partition, stored.bytes() as u64))
            .collect();
        if !batches.is_empty() {
            let mut on_the_way = self.on_the_way.lock();
            for (partition, bytes) in &batches {
                *on_the_way.entry(*partition).or_default() += bytes;
            }
        }
        Load { on_the_way: Arc::clone(&self.on_the_way), batches }
    }
}
