//! The reading end of the log.

use logmill_model::{Csn, Offset, PartitionId};

use crate::{Error, Stats, StoredBatch};

/// The readers' handle.
#[derive(Debug, Clone)]
pub struct Log {}

impl Log {
    /// The first offset of a partition.
    #[must_use]
    pub fn start_offset(&self, _partition: PartitionId) -> Offset {
        Offset::ZERO
    }

    /// The durable end of a partition.
    #[must_use]
    pub fn end_offset(&self, _partition: PartitionId) -> Offset {
        Offset::ZERO
    }

    /// Batches from the one that contains `from`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`].
    pub fn read(
        &self,
        _partition: PartitionId,
        _from: Offset,
        _bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Error> {
        Ok(Vec::new())
    }

    /// As [`read`](Self::read), from memory alone.
    #[must_use]
    pub fn read_tail(
        &self,
        _partition: PartitionId,
        _from: Offset,
        _bytes_max: usize,
    ) -> Option<Vec<StoredBatch>> {
        None
    }

    /// Drops all that is known of a partition.
    pub fn forget(&self, _partition: PartitionId) {}

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// The newest durable entry.
    #[must_use]
    pub fn durable_csn(&self) -> Csn {
        Csn::ZERO
    }
}
