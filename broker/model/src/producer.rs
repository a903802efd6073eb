//! Who a producer is, and what is remembered of the batches that it has sent.

use serde::{Deserialize, Serialize};

use crate::{Csn, Offset, PlainBatch, Timestamp};

/// A producer as the broker knows it. A later epoch of the same id fences the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProducerIdentity {
    /// Never 0, and never given to anybody else.
    pub id: u64,
    /// How often the id was registered, from 1.
    pub epoch: u32,
}

/// A batch of a producer, where it was appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Fields", from = "Fields")]
pub struct SequencedBatch {
    /// The sequence of its first record.
    pub first: u64,
    /// How many sequences it took.
    pub count: u32,
    /// Where the first of its records lies.
    pub base_offset: Offset,
    /// When it was sequenced.
    pub append_ts: Timestamp,
    /// The commit that it came with.
    pub csn: Csn,
    /// Its records that were not stored, since one with their idempotency key was there.
    pub duplicates: Vec<DuplicateRecord>,
}

impl SequencedBatch {
    /// The sequence after its last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// The idempotency keys of a batch's records, for a topic that looks at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchKeys {
    /// What the batch holds.
    pub records: PlainBatch,
    /// Fingerprints of keys, each with the index of its record; indices rise.
    pub keys: Vec<(u32, u128)>,
}

/// A record that was not stored, since one with its idempotency key was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u32, u32, Offset)", from = "(u32, u32, Offset)")]
pub struct DuplicateRecord {
    /// Which record of the batch.
    pub index: u32,
    /// The partition of the one that was there, in the same topic.
    pub partition: u32,
    /// Its offset.
    pub offset: Offset,
}

/// A batch as it is written down: without the names of its fields, which would be most of it.
type Fields = (u64, u32, Offset, Timestamp, Csn, Vec<DuplicateRecord>);

impl From<SequencedBatch> for Fields {
    fn from(batch: SequencedBatch) -> Self {
        let SequencedBatch { first, count, base_offset, append_ts, csn, duplicates } = batch;
        (first, count, base_offset, append_ts, csn, duplicates)
    }
}

impl From<Fields> for SequencedBatch {
    fn from(fields: Fields) -> Self {
        let (first, count, base_offset, append_ts, csn, duplicates) = fields;
        Self { first, count, base_offset, append_ts, csn, duplicates }
    }
}

impl From<DuplicateRecord> for (u32, u32, Offset) {
    fn from(record: DuplicateRecord) -> Self {
        (record.index, record.partition, record.offset)
    }
}

impl From<(u32, u32, Offset)> for DuplicateRecord {
    fn from((index, partition, offset): (u32, u32, Offset)) -> Self {
        Self { index, partition, offset }
    }
}
