//! What a subscriber reads.

use std::ops::Range;

use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{Envelope, Error, Offset, PlainBatch, Record, RecordBatch, Timestamp};

/// A record with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Its partition.
    pub partition: u32,
    /// Its place there.
    pub offset: Offset,
    /// When the broker sequenced it.
    pub append_ts: Timestamp,
    /// The record.
    pub record: Record,
}

/// A batch, checked against its checksum, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedBatch {
    /// Its partition.
    pub partition: u32,
    /// What the broker added.
    pub envelope: Envelope,
    /// The batch as it lies on disk, compressed or not. It may hold records outside of what was
    /// asked for.
    pub batch: RecordBatch,
    plain: PlainBatch,
    wanted: Range<u64>,
}

/// A batch that waits for the application, as it came: what is decompressed is bounded by one
/// batch, what waits by the credit.
#[derive(Debug)]
pub(super) struct ReceivedBatch {
    pub(super) partition: u32,
    pub(super) envelope: Envelope,
    pub(super) batch: RecordBatch,
    /// The offsets that were asked for and not given before.
    pub(super) wanted: Range<u64>,
}

impl ReceivedBatch {
    /// The batch with its records.
    pub(super) fn open(self) -> Result<ConsumedBatch, Error> {
        let Self { partition, envelope, batch, wanted } = self;
        let plain = batch.decompressed(BATCH_BYTES_MAX)?;
        Ok(ConsumedBatch { partition, envelope, batch, plain, wanted })
    }
}

impl ConsumedBatch {
    /// Its records that were asked for, in order.
    pub fn records(&self) -> impl Iterator<Item = ConsumedRecord> + '_ {
        let Self { partition, envelope, wanted, .. } = self;
        self.plain.to_records().filter_map(move |(delta, record)| {
            let offset = RecordBatch::offset_at(envelope.base_offset, delta);
            wanted.contains(&offset.0).then_some(ConsumedRecord {
                partition: *partition,
                offset,
                append_ts: envelope.append_ts,
                record,
            })
        })
    }
}
