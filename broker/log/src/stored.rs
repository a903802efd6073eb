//! What goes into the log and what comes out of it.

use logmill_model::{Csn, ENVELOPE_BYTES, Envelope, PartitionId, RecordBatch, Timestamp};

/// A batch at its place. Cloning it copies no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Whose it is.
    pub partition: PartitionId,
    /// What the broker says of it.
    pub envelope: Envelope,
    /// The records.
    pub batch: RecordBatch,
}

impl StoredBatch {
    /// What it counts in a read's limit, in bytes: batch and envelope.
    #[must_use]
    pub fn bytes(&self) -> usize {
        ENVELOPE_BYTES + self.batch.bytes().len()
    }
}

/// Which entry of the log: its number, and the checksum that tells it from an entry that another
/// history has in its place. The same in every copy of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId {
    /// Its number.
    pub csn: Csn,
    /// The CRC-32C of what it says: its entry CRC. None where only its batches are left, in a
    /// segment.
    pub crc: Option<u32>,
}

impl EntryId {
    /// Whether both can be the same entry: all that is known of both is equal.
    #[must_use]
    pub fn agrees_with(self, other: Self) -> bool {
        let crcs = self.crc.zip(other.crc);
        self.csn == other.csn && crcs.is_none_or(|(mine, other)| mine == other)
    }
}

/// A commit to be written. Epoch, shard, checksums of the entry and what it proves about earlier
/// ones are the journal's to fill in.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Its number: one above the entry before.
    pub csn: Csn,
    /// When it was sequenced; never before the entry before it.
    pub time: Timestamp,
    /// Its appends, in order, with their envelopes complete.
    pub appends: Vec<StoredBatch>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut, and readers see it.
    Durable,
    /// The journal has failed or stopped: the entry is there whole or not at all, and only the next
    /// start tells which.
    Unknown,
}

/// Run on the writer's thread, in the order of the entries, once each is durable and visible; also
/// run, with [`Durability::Unknown`], when the journal stops. Must be quick and must not wait.
pub type Completion = Box<dyn FnOnce(Durability) + Send>;
