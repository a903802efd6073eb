//! Which records of a compacted partition stay: a function of what is known of their keys.
//!
//! A record goes when a newer one of its key is known to be there. So what a reader from the start
//! has at the end is the last value of each key, in whatever state of cleaning the files are. A
//! record without a key stays. A tombstone goes in the end as well, and only when nobody needs it:
//! it was there for long enough to be seen, every view has taken it in, and nothing older of its
//! key is left, which would come back.

use logmill_model::{
    Csn, Envelope, Offset, PartitionId, PlainBatch, RecordBatch, RecordRef, Timestamp, limits,
};

use super::keys::KeyMap;
use crate::StoredBatch;

/// When tombstones and the last traces of producers may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    /// Tombstones of this time and before were there for long enough.
    pub(super) tombstones: Timestamp,
    /// Every view has taken in the entries up to this one.
    pub(super) synced: Csn,
    /// A producer that sent nothing since is not known any more.
    pub(super) producers: Timestamp,
}

/// What is known of the keys of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) partition: PartitionId,
    /// The newest offsets in the files that are rewritten.
    pub(super) here: &'a KeyMap,
    /// Newest offsets in other files, where those were read.
    pub(super) elsewhere: Option<&'a KeyMap>,
    /// Whether the partition has nothing before what is rewritten.
    pub(super) from_first: bool,
    pub(super) horizon: Horizon,
}

impl Known<'_> {
    /// What stays of a batch; None when nothing does. One that was compressed is so again.
    pub(super) fn compact(&self, envelope: Envelope, batch: RecordBatch) -> Option<StoredBatch> {
        let partition = self.partition;
        let Some(records) = readable(&batch) else {
            return Some(StoredBatch { partition, envelope, batch });
        };
        let kept = records.iter().filter(|record| self.keeps(&envelope, record)).count();
        // Envelopes are where the sequences of producers are known from.
        let proves_a_producer =
            envelope.producer.is_some() && envelope.append_ts > self.horizon.producers;
        if kept == 0 && !proves_a_producer {
            return None;
        }
        if kept == records.record_count() as usize {
            return Some(StoredBatch { partition, envelope, batch });
        }
        let kept = records.retain(|record| self.keeps(&envelope, record));
        let batch = kept.compress(batch.compression());
        Some(StoredBatch { partition, envelope: envelope.around(&batch), batch })
    }

    /// The bytes of a batch that its superseded records take.
    pub(super) fn superseded_bytes(&self, envelope: &Envelope, batch: &RecordBatch) -> u64 {
        let Some(records) = readable(batch) else { return 0 };
        let goes = |record: &RecordRef<'_>| !self.keeps(envelope, record);
        let plain: usize = records.iter().filter(goes).map(|record| record.encoded().len()).sum();
        let compressed = plain.saturating_mul(batch.bytes().len()) / batch.records_bytes().max(1);
        compressed.min(batch.bytes().len()) as u64
    }

    fn keeps(&self, envelope: &Envelope, record: &RecordRef<'_>) -> bool {
        let Some(key) = record.key else { return true };
        let offset = RecordBatch::offset_at(envelope.base_offset, record.offset_delta);
        let here = self.here.newest(self.partition, key);
        let elsewhere = self.elsewhere.and_then(|keys| keys.newest(self.partition, key));
        if here.max(elsewhere).is_some_and(|newest| newest > offset) {
            return false;
        }
        record.value.is_some() || !self.has_served(envelope, here == Some(offset))
    }

    /// Whether a tombstone, the newest record of its key, may go.
    fn has_served(&self, envelope: &Envelope, takes_the_rest_along: bool) -> bool {
        takes_the_rest_along
            && self.from_first
            && envelope.append_ts <= self.horizon.tombstones
            && envelope.csn <= self.horizon.synced
    }
}

/// The records of a batch. One that its sender compressed into something else stays as it is:
/// nobody can read it.
fn readable(batch: &RecordBatch) -> Option<PlainBatch> {
    batch.decompressed(limits::BATCH_BYTES_MAX).ok()
}

/// Takes in the keys of a batch.
pub(super) fn note_keys(
    keys: &mut KeyMap,
    partition: PartitionId,
    base: Offset,
    batch: &RecordBatch,
) {
    for record in readable(batch).iter().flatten() {
        if let Some(key) = record.key {
            keys.insert(partition, key, RecordBatch::offset_at(base, record.offset_delta));
        }
    }
}
