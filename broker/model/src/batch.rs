//! Record batches: the unit of produce, of disk and of fetch, the same bytes in all three.
//!
//! # Layout, version 1 (little-endian)
//!
//! | at | bytes | batch |
//! |---:|---:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | compression of what follows the header: 0 none, 1 lz4 block, 2 zstd frame (`compression.rs`) |
//! | 2 | 2 | 0 |
//! | 4 | 4 | records |
//! | 8 | 4 | last offset delta: the batch spans `last delta + 1` offsets |
//! | 12 | 4 | bytes of the records, uncompressed; with the header, at most [`limits::BATCH_BYTES_MAX`] |
//! | 16 | | records, in a compressed batch their compressed form |
//!
//! | at | bytes | record |
//! |---:|---:|---|
//! | 0 | 4 | length of what follows this field |
//! | 4 | 4 | offset delta, above that of the record before |
//! | 8 | 8 | create time, ms since the Unix epoch |
//! | 16 | 1 | attributes: bit 0 has a key, bit 1 has a value; others 0 |
//! | 17 | 1 | 0 |
//! | 18 | 2 | headers |
//! | 20 | 4 | key bytes, 0 without a key |
//! | 24 | 4 | value bytes, 0 without a value |
//! | 28 | | key, value, then each header: u16 name bytes, u32 value bytes, name (UTF-8), value |
//!
//! A record carries its offset delta, and a batch its last one, so that compaction can drop records
//! without moving others.
//!
//! A compressed batch holds at least one record, takes no more bytes decompressed than one that is
//! not compressed may, and is stored and served as it was sent. Its header is enough for all that
//! the log does with it; to see its records takes an explicit step, [`RecordBatch::decompressed`].
//!
//! The batch's CRC-32C (Castagnoli, RFC 3720) is over the bytes as they
//! were sent, compressed or not; it travels and lies beside them, in the envelope.

mod builder;
mod plain;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Compression, Error, Offset, Record, limits};

pub use builder::BatchBuilder;
pub(crate) use plain::split_header;
pub use plain::{PlainBatch, Records};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
/// What a record takes in a batch beyond its key, value and headers, in bytes.
pub const RECORD_OVERHEAD_BYTES: usize = 28;
const HEADER_OVERHEAD_BYTES: usize = 6;
const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;

fn malformed(what: &'static str) -> Error {
    Error::Batch { what }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A batch as it is sent, stored and served: its checksum and its header have been checked, and its
/// records, unless they are compressed. [`decompressed`](Self::decompressed) gives its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
    crc: u32,
}

impl RecordBatch {
    /// Checks bytes that came from elsewhere, against the checksum that came with them: the
    /// broker's border, and every read from disk. Allocates nothing, whatever the bytes say, and
    /// decompresses nothing.
    ///
    /// # Errors
    /// [`Error::Checksum`], [`Error::Batch`], [`Error::BatchTooLarge`].
    pub fn check(bytes: Bytes, crc: u32) -> Result<Self, Error> {
        if bytes.len() > limits::BATCH_BYTES_MAX {
            return Err(Error::BatchTooLarge { bytes: bytes.len(), max: limits::BATCH_BYTES_MAX });
        }
        let actual = crc32c::crc32c(&bytes);
        if actual != crc {
            return Err(Error::Checksum { expected: crc, actual });
        }
        let batch = Self { bytes, crc };
        batch.check_layout()?;
        Ok(batch)
    }

    fn check_layout(&self) -> Result<(), Error> {
        let bytes = &self.bytes[..];
        if bytes.len() < HEADER_BYTES {
            return Err(malformed("shorter than its header"));
        }
        if bytes[0] != VERSION {
            return Err(malformed("unknown version"));
        }
        Compression::from_code(bytes[1]).ok_or_else(|| malformed("unknown compression"))?;
        if u16_at(bytes, 2) != 0 {
            return Err(malformed("reserved bytes are not zero"));
        }
        if self.record_count() as usize > limits::BATCH_RECORDS_MAX {
            return Err(malformed("too many records"));
        }
        match self.compression() {
            Compression::None => self.check_plain(),
            Compression::Lz4 | Compression::Zstd => self.check_compressed(),
        }
    }

    fn check_plain(&self) -> Result<(), Error> {
        let records = &self.bytes[HEADER_BYTES..];
        if self.records_bytes() != records.len() {
            return Err(malformed("the length of its records is not what its header says"));
        }
        plain::check_records(records, self.record_count(), self.last_delta())
    }

    /// What the header alone can be caught lying about.
    fn check_compressed(&self) -> Result<(), Error> {
        let bytes = HEADER_BYTES + self.records_bytes();
        if bytes > limits::BATCH_BYTES_MAX {
            return Err(Error::BatchTooLarge { bytes, max: limits::BATCH_BYTES_MAX });
        }
        let Some(highest) = self.record_count().checked_sub(1) else {
            return Err(malformed("it is compressed and has no record"));
        };
        if highest > self.last_delta() {
            return Err(malformed("more records than its last offset delta allows"));
        }
        if self.record_count() as usize * RECORD_OVERHEAD_BYTES > self.records_bytes() {
            return Err(malformed("more records than its bytes can hold"));
        }
        Ok(())
    }

    /// The records, for which a compressed batch takes memory of its own: as much as its header
    /// says and no more, whatever its bytes say, and none when that is above `bytes_max` (a whole
    /// batch's, header included; none is above [`limits::BATCH_BYTES_MAX`]). One that is not
    /// compressed is shared.
    ///
    /// # Errors
    /// [`Error::Batch`] when the bytes are not the compressed form of the records that the header
    /// says; [`Error::BatchTooLarge`].
    pub fn decompressed(&self, bytes_max: usize) -> Result<PlainBatch, Error> {
        if let Some(plain) = self.plain() {
            return Ok(plain);
        }
        let bytes = HEADER_BYTES + self.records_bytes();
        if bytes > bytes_max {
            return Err(Error::BatchTooLarge { bytes, max: bytes_max });
        }
        let records = self
            .compression()
            .decompress(&self.bytes[HEADER_BYTES..], self.records_bytes())
            .ok_or_else(|| malformed("its records do not decompress to what its header says"))?;
        PlainBatch::check(records.into(), self.record_count(), self.last_delta())
    }

    /// The records of a batch that is not compressed; None of one that is.
    #[must_use]
    pub fn plain(&self) -> Option<PlainBatch> {
        let records = || self.bytes.slice(HEADER_BYTES..);
        let plain = || PlainBatch::of_checked(records(), self.record_count(), self.last_delta());
        (self.compression() == Compression::None).then(plain)
    }

    /// The same records, compressed. The batch as it is when that would not make it smaller, when
    /// it is compressed already, or when it holds no record.
    #[must_use]
    pub fn compress(&self, compression: Compression) -> Self {
        if self.compression() != Compression::None || self.record_count() == 0 {
            return self.clone();
        }
        let Some(records) = compression.compress(&self.bytes[HEADER_BYTES..]) else {
            return self.clone();
        };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + records.len());
        bytes.put_slice(&self.bytes[..HEADER_BYTES]);
        bytes[1] = compression.code();
        bytes.put_slice(&records);
        let crc = crc32c::crc32c(&bytes);
        Self { bytes: bytes.freeze(), crc }
    }

    /// The same batch, in memory of its own: what is read at once shares one buffer.
    #[must_use]
    pub fn unshared(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), crc: self.crc }
    }

    /// The batch as it lies on disk and on the wire.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// CRC-32C of [`bytes`](Self::bytes).
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// How many records it holds; 0 after compaction took them all.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        u32_at(&self.bytes, 4)
    }

    /// The highest offset delta it spans.
    #[must_use]
    pub fn last_delta(&self) -> u32 {
        u32_at(&self.bytes, 8)
    }

    /// How many offsets it takes.
    #[must_use]
    pub fn span(&self) -> u64 {
        u64::from(self.last_delta()) + 1
    }

    /// What its records take when they are not compressed, in bytes.
    #[must_use]
    pub fn records_bytes(&self) -> usize {
        u32_at(&self.bytes, 12) as usize
    }

    /// How its records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        Compression::from_code(self.bytes[1]).expect("checked when the batch was made")
    }

    /// A batch of these records.
    ///
    /// # Errors
    /// As [`BatchBuilder::push`].
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Error> {
        let mut builder = BatchBuilder::default();
        records.into_iter().try_for_each(|record| builder.push(record))?;
        Ok(builder.seal())
    }

    /// The offset of the record at this delta, in a batch that lies at `base`.
    #[must_use]
    pub fn offset_at(base: Offset, delta: u32) -> Offset {
        Offset(base.0.saturating_add(u64::from(delta)))
    }
}

#[cfg(test)]
mod tests;
