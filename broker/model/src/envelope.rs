//! What the broker adds to a batch. It lies and travels beside the batch, never inside it.
//!
//! # Layout, 64 bytes (little-endian)
//!
//! | at | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | base offset |
//! | 8 | 8 | append time, ms since the Unix epoch |
//! | 16 | 8 | commit sequence number |
//! | 24 | 8 | producer id, 0 for none |
//! | 32 | 8 | first sequence of the producer in this batch |
//! | 40 | 4 | producer epoch |
//! | 44 | 4 | last offset delta |
//! | 48 | 4 | records |
//! | 52 | 4 | bytes of the batch |
//! | 56 | 4 | CRC-32C of the batch |
//! | 60 | 1 | flags: bit 0 rewritten (not the bytes its producer sent); others 0 |
//! | 61 | 1 | compression: 0 none, 1 lz4, 2 zstd |
//! | 62 | 1 | hops: how many modules the records have come through |
//! | 63 | 1 | 0 |

use bytes::{BufMut, Bytes};

use crate::{Compression, Csn, Error, Offset, RecordBatch, Timestamp};

/// The size of an encoded envelope, in bytes.
pub const ENVELOPE_BYTES: usize = 64;
const REWRITTEN: u8 = 1;

/// Which producer sent a batch, and where in its sequence the batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Never 0.
    pub id: u64,
    /// Fences an older holder of the same id.
    pub epoch: u32,
    /// The number of the batch's first record, per (topic, partition).
    pub first_sequence: u64,
}

/// The facts of an appended batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The offset of delta 0.
    pub base_offset: Offset,
    /// When the broker sequenced the commit; never goes backwards.
    pub append_ts: Timestamp,
    /// The commit that appended the batch.
    pub csn: Csn,
    /// The producer, where it has an id.
    pub producer: Option<ProducerStamp>,
    /// The highest offset delta that the batch spans.
    pub last_delta: u32,
    /// How many records it holds.
    pub records: u32,
    /// Its size in bytes.
    pub bytes: u32,
    /// Its CRC-32C.
    pub crc: u32,
    /// Whether its bytes are not those that its producer sent.
    pub rewritten: bool,
    /// How its records are compressed.
    pub compression: Compression,
    /// How many modules the records have come through.
    pub hops: u8,
}

impl Envelope {
    /// The offset after the batch.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(u64::from(self.last_delta) + 1))
    }

    /// The highest offset that the batch spans.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        RecordBatch::offset_at(self.base_offset, self.last_delta)
    }

    /// This envelope around other bytes: those of a batch that was made from the first one.
    #[must_use]
    pub fn around(&self, batch: &RecordBatch) -> Self {
        Self {
            records: batch.record_count(),
            bytes: u32::try_from(batch.bytes().len()).expect("bounded by BATCH_BYTES_MAX"),
            crc: batch.crc(),
            rewritten: true,
            compression: batch.compression(),
            ..*self
        }
    }

    /// Checks bytes that were read together with this envelope.
    ///
    /// # Errors
    /// As [`RecordBatch::check`]; [`Error::Layout`] when batch and envelope disagree.
    pub fn check_batch(&self, bytes: Bytes) -> Result<RecordBatch, Error> {
        let batch = RecordBatch::check(bytes, self.crc)?;
        let facts = (batch.record_count(), batch.last_delta(), batch.compression());
        if facts != (self.records, self.last_delta, self.compression) {
            return Err(layout("it does not describe its batch"));
        }
        Ok(batch)
    }

    /// Writes the 64 bytes of the layout.
    pub fn encode(&self, out: &mut impl BufMut) {
        let producer =
            self.producer.unwrap_or(ProducerStamp { id: 0, epoch: 0, first_sequence: 0 });
        out.put_u64_le(self.base_offset.0);
        out.put_u64_le(self.append_ts.0);
        out.put_u64_le(self.csn.0);
        out.put_u64_le(producer.id);
        out.put_u64_le(producer.first_sequence);
        out.put_u32_le(producer.epoch);
        out.put_u32_le(self.last_delta);
        out.put_u32_le(self.records);
        out.put_u32_le(self.bytes);
        out.put_u32_le(self.crc);
        out.put_u8(if self.rewritten { REWRITTEN } else { 0 });
        out.put_u8(self.compression.code());
        out.put_u8(self.hops);
        out.put_u8(0);
    }

    /// Reads the 64 bytes of the layout.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(bytes: &[u8; ENVELOPE_BYTES]) -> Result<Self, Error> {
        let u64_at = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
        };
        let u32_at = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
        };
        if bytes[60] & !REWRITTEN != 0 || bytes[63] != 0 {
            return Err(layout("it has unknown flags"));
        }
        Ok(Self {
            base_offset: Offset(u64_at(0)),
            append_ts: Timestamp(u64_at(8)),
            csn: Csn(u64_at(16)),
            producer: (u64_at(24) != 0).then(|| ProducerStamp {
                id: u64_at(24),
                epoch: u32_at(40),
                first_sequence: u64_at(32),
            }),
            last_delta: u32_at(44),
            records: u32_at(48),
            bytes: u32_at(52),
            crc: u32_at(56),
            rewritten: bytes[60] & REWRITTEN != 0,
            compression: Compression::from_code(bytes[61])
                .ok_or_else(|| layout("it has an unknown compression"))?,
            hops: bytes[62],
        })
    }
}

fn layout(what: &str) -> Error {
    Error::Layout { noun: "envelope", what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let envelope = Envelope {
            base_offset: Offset(0x11),
            append_ts: Timestamp(0x22),
            csn: Csn(0x33),
            producer: Some(ProducerStamp { id: 0x44, epoch: 0x55, first_sequence: 0x66 }),
            last_delta: 0x77,
            records: 0x88,
            bytes: 0x99,
            crc: 0xaa,
            rewritten: true,
            compression: Compression::Zstd,
            hops: 3,
        };
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        #[rustfmt::skip]
        let golden = [
            0x11, 0, 0, 0, 0, 0, 0, 0,  0x22, 0, 0, 0, 0, 0, 0, 0,  0x33, 0, 0, 0, 0, 0, 0, 0,
            0x44, 0, 0, 0, 0, 0, 0, 0,  0x66, 0, 0, 0, 0, 0, 0, 0,  0x55, 0, 0, 0,  0x77, 0, 0, 0,
            0x88, 0, 0, 0,  0x99, 0, 0, 0,  0xaa, 0, 0, 0,  1, 2, 3, 0,
        ];
        assert_eq!(bytes, golden);
        assert_eq!(Envelope::decode(&golden), Ok(envelope));
        let mut unknown = golden;
        unknown[60] = 2;
        assert!(Envelope::decode(&unknown).is_err());
    }
}
