//! Batches with all that can be said of them, and the answer to one.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use logmill_model::{Csn, DuplicateRecord, Epoch, Offset, RecordBatch, ShardId, Timestamp};

use super::at_least;
use crate::frame_type::{
    ACK_BYTES, APPEND_BATCH_HEAD_BYTES, APPEND_HEAD_BYTES, DUPLICATE_RECORD_BYTES,
};
use crate::limits::APPEND_BATCHES_MAX;

const HAS_SEQUENCE: u32 = 1;
const HAS_EXPECTED_END: u32 = 2;
const WAS_THERE: u16 = 1;

/// Batches to append, all or none. Body, 16 bytes: request u64, batches u32, 0 u32; then 32 bytes
/// for each batch, and then the batches, one after another. They are not checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Chosen by the client, from 1; comes back in the answers.
    pub request: u64,
    /// At least one, at most [`APPEND_BATCHES_MAX`].
    pub batches: Vec<AppendBatch>,
}

/// One batch of an [`Append`]. Its 32 bytes: partition u32, CRC-32C u32, length u32, flags u32 (bit 0
/// has a sequence, bit 1 has an expected end), first sequence u64, expected end u64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendBatch {
    /// Where to.
    pub partition: u32,
    /// The batch's checksum.
    pub crc: u32,
    /// The number of its first record, of all that the stream's producer sends to the partition.
    pub first_sequence: Option<u64>,
    /// Where the partition must end.
    pub expected_end: Option<Offset>,
    /// The batch, as it will lie on disk.
    pub batch: Bytes,
}

impl AppendBatch {
    /// A batch about which nothing more is said.
    #[must_use]
    pub fn new(partition: u32, batch: &RecordBatch) -> Self {
        let (crc, batch) = (batch.crc(), batch.bytes().clone());
        Self { partition, crc, first_sequence: None, expected_end: None, batch }
    }
}

impl Append {
    pub(super) fn head_bytes(&self) -> usize {
        APPEND_HEAD_BYTES + self.batches.len() * APPEND_BATCH_HEAD_BYTES
    }

    /// The batches; a single one without a copy.
    pub(super) fn payload(&self) -> Bytes {
        if let [only] = &self.batches[..] {
            return only.batch.clone();
        }
        let mut bytes = BytesMut::with_capacity(self.batches.iter().map(|it| it.batch.len()).sum());
        self.batches.iter().for_each(|it| bytes.extend_from_slice(&it.batch));
        bytes.freeze()
    }

    pub(super) fn encode_head(&self, out: &mut impl BufMut) {
        out.put_u64_le(self.request);
        out.put_u32_le(length(self.batches.len()));
        out.put_u32_le(0);
        for batch in &self.batches {
            let flag = |has: bool, flag: u32| if has { flag } else { 0 };
            out.put_u32_le(batch.partition);
            out.put_u32_le(batch.crc);
            out.put_u32_le(length(batch.batch.len()));
            out.put_u32_le(
                flag(batch.first_sequence.is_some(), HAS_SEQUENCE)
                    | flag(batch.expected_end.is_some(), HAS_EXPECTED_END),
            );
            out.put_u64_le(batch.first_sequence.unwrap_or(0));
            out.put_u64_le(batch.expected_end.map_or(0, |end| end.0));
        }
    }

    pub(super) fn decode(body: Bytes) -> Result<Self, String> {
        let mut body = at_least(body, APPEND_HEAD_BYTES)?;
        let (request, count) = (body.get_u64_le(), body.get_u32_le() as usize);
        if body.get_u32_le() != 0 {
            return Err("reserved bytes are not zero".into());
        }
        if !(1..=APPEND_BATCHES_MAX).contains(&count) {
            return Err(format!("it does not have 1 to {APPEND_BATCHES_MAX} batches"));
        }
        let heads = count * APPEND_BATCH_HEAD_BYTES;
        let mut body = at_least(body, heads)?;
        let mut rest = body.split_off(heads);
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let (partition, crc) = (body.get_u32_le(), body.get_u32_le());
            let (length, flags) = (body.get_u32_le() as usize, body.get_u32_le());
            let (sequence, end) = (body.get_u64_le(), body.get_u64_le());
            let first_sequence = optional(flags & HAS_SEQUENCE != 0, sequence)?;
            let expected_end = optional(flags & HAS_EXPECTED_END != 0, end)?.map(Offset);
            if flags & !(HAS_SEQUENCE | HAS_EXPECTED_END) != 0 {
                return Err("it has unknown flags".into());
            }
            if length > rest.len() {
                return Err("a length lies".into());
            }
            let batch = rest.split_to(length);
            batches.push(AppendBatch { partition, crc, first_sequence, expected_end, batch });
        }
        if rest.is_empty() { Ok(Self { request, batches }) } else { Err("a length lies".into()) }
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn optional(is_there: bool, value: u64) -> Result<Option<u64>, String> {
    match (is_there, value) {
        (true, value) => Ok(Some(value)),
        (false, 0) => Ok(None),
        (false, _) => Err("a field is not zero that its flags say is absent".into()),
    }
}

/// A batch is durable and can be read. Body, 48 bytes: request u64, base offset u64, append time
/// u64, CSN u64, epoch u64, partition u32, shard u16, flags u16 (bit 0 it was there already); then 16
/// bytes for each record that was not stored: index u32, partition u32, offset u64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Of the frame with the batch.
    pub request: u64,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// When it was sequenced.
    pub append_ts: Timestamp,
    /// The commit.
    pub csn: Csn,
    /// The broker's start.
    pub epoch: Epoch,
    /// Of the frame with the batch.
    pub partition: u32,
    /// Whose log it is in.
    pub shard: ShardId,
    /// Whether its producer had sent it before: it is there once, where this says.
    pub was_there: bool,
    /// Its records that were not stored, by rising index, since one with their idempotency key was
    /// there. The others lie densely from the base offset on.
    pub duplicates: Vec<DuplicateRecord>,
}

impl Ack {
    pub(super) fn bytes(&self) -> usize {
        ACK_BYTES + self.duplicates.len() * DUPLICATE_RECORD_BYTES
    }

    pub(super) fn encode(&self, out: &mut impl BufMut) {
        out.put_u64_le(self.request);
        out.put_u64_le(self.base_offset.0);
        out.put_u64_le(self.append_ts.0);
        out.put_u64_le(self.csn.0);
        out.put_u64_le(self.epoch.0);
        out.put_u32_le(self.partition);
        out.put_u16_le(self.shard.0);
        out.put_u16_le(if self.was_there { WAS_THERE } else { 0 });
        for DuplicateRecord { index, partition, offset } in &self.duplicates {
            out.put_u32_le(*index);
            out.put_u32_le(*partition);
            out.put_u64_le(offset.0);
        }
    }

    pub(super) fn decode(body: Bytes) -> Result<Self, String> {
        let mut body = at_least(body, ACK_BYTES)?;
        let mut ack = Self {
            request: body.get_u64_le(),
            base_offset: Offset(body.get_u64_le()),
            append_ts: Timestamp(body.get_u64_le()),
            csn: Csn(body.get_u64_le()),
            epoch: Epoch(body.get_u64_le()),
            partition: body.get_u32_le(),
            shard: ShardId(body.get_u16_le()),
            was_there: false,
            duplicates: Vec::new(),
        };
        let flags = body.get_u16_le();
        if flags & !WAS_THERE != 0 {
            return Err("it has unknown flags".into());
        }
        ack.was_there = flags & WAS_THERE != 0;
        if !body.len().is_multiple_of(DUPLICATE_RECORD_BYTES) {
            return Err("it ends within a record's place".into());
        }
        while body.has_remaining() {
            let (index, partition) = (body.get_u32_le(), body.get_u32_le());
            let offset = Offset(body.get_u64_le());
            if ack.duplicates.last().is_some_and(|last| last.index >= index) {
                return Err("the indices of its records do not rise".into());
            }
            ack.duplicates.push(DuplicateRecord { index, partition, offset });
        }
        Ok(ack)
    }
}
