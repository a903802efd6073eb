//! The bound on what stays in memory for readers at the tail.
//!
//! The batches themselves are with their partitions. The ring, which only the writer has, knows in
//! which order they came, so that the oldest of all goes first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::StoredBatch;
use crate::index::EntryPlace;
use crate::log_file::LogFile;
use crate::partition::Partition;

/// What a batch costs beyond its own bytes: its place in two queues and its buffer's head.
const OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct TailRing {
    batches: VecDeque<(Arc<Partition>, usize)>,
    bytes: usize,
    bytes_max: usize,
}

impl TailRing {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Makes a durable batch visible and, if the ring is full, drops older ones from memory.
    pub(crate) fn push(
        &mut self,
        partition: Arc<Partition>,
        (file, entry): (&Arc<LogFile>, EntryPlace),
        batch: StoredBatch,
    ) {
        let bytes = OVERHEAD_BYTES + batch.bytes();
        partition.push(file, entry, batch);
        self.batches.push_back((partition, bytes));
        self.bytes += bytes;
        while self.bytes > self.bytes_max {
            let Some((partition, bytes)) = self.batches.pop_front() else { break };
            partition.evict_oldest();
            self.bytes -= bytes;
        }
    }
}
