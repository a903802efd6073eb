//! The reading end of the log.

use std::sync::Arc;

use logmill_model::{Csn, Offset, PartitionId};

use crate::partition::Available;
use crate::visible::Visible;
use crate::{Error, Stats, StoredBatch, reader};

/// The readers' handle. Clones are cheap and read at the same time. Only durable batches are ever
/// seen.
#[derive(Debug, Clone)]
pub struct Log {
    visible: Arc<Visible>,
}

impl Log {
    pub(crate) fn new(visible: Arc<Visible>) -> Self {
        Self { visible }
    }

    /// The offset of a partition's first batch; 0 when it has none.
    #[must_use]
    pub fn start_offset(&self, partition: PartitionId) -> Offset {
        self.visible.partition(partition).map_or(Offset::ZERO, |partition| partition.start())
    }

    /// The offset after a partition's last durable batch: its high watermark. 0 when it has none.
    #[must_use]
    pub fn end_offset(&self, partition: PartitionId) -> Offset {
        self.visible.partition(partition).map_or(Offset::ZERO, |partition| partition.end())
    }

    /// The batch that contains `from`, or the next one, and those that follow it, up to `bytes_max`
    /// by [`StoredBatch::bytes`]; at least one if there is one, none at the end.
    ///
    /// May wait for the disk. Checksums are verified on every read from it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a batch is not what was written; [`Error::Io`].
    pub fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Error> {
        let Some(state) = self.visible.partition(partition) else { return Ok(Vec::new()) };
        match state.available(from, bytes_max) {
            Available::InMemory(batches) => Ok(batches),
            Available::OnDisk(places) => reader::read(&self.visible.files, partition, &places),
        }
    }

    /// As [`read`](Self::read), but from memory alone and without waiting. `None` when what follows
    /// `from` is not in memory any more: ask [`read`](Self::read).
    #[must_use]
    pub fn read_tail(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Option<Vec<StoredBatch>> {
        match self.visible.partition(partition) {
            Some(state) => state.tail_from(from, bytes_max),
            None => Some(Vec::new()),
        }
    }

    /// Drops all that is known of a partition, whose topic was deleted: it reads as empty from then
    /// on. Nothing may be appended to it any more.
    pub fn forget(&self, partition: PartitionId) {
        self.visible.forget(partition);
    }

    /// Counts of what was written.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.visible.counters.stats()
    }

    /// The newest durable entry.
    #[must_use]
    pub fn durable_csn(&self) -> Csn {
        self.visible.durable_csn()
    }
}
