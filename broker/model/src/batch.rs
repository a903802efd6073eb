//! Record batches: the unit of produce, of disk and of fetch, the same bytes in all three.
//!
//! # Layout, version 1 (little-endian)
//!
//! | at | bytes | batch |
//! |---:|---:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | compression of what follows the header: 0 none, 1 lz4, 2 zstd |
//! | 2 | 2 | 0 |
//! | 4 | 4 | records |
//! | 8 | 4 | last offset delta: the batch spans `last delta + 1` offsets |
//! | 12 | 4 | bytes of the records, uncompressed |
//! | 16 | | records |
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
//! without moving others. The batch's CRC-32C (Castagnoli, RFC 3720) is over all of these bytes; it
//! travels and lies beside them, in the envelope.

mod builder;

use bytes::Bytes;

use crate::{Compression, Error, Offset, Record, RecordRef, Timestamp, limits};

pub use builder::BatchBuilder;

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

/// A batch whose layout and checksum have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
    crc: u32,
}

impl RecordBatch {
    /// Checks bytes that came from elsewhere, against the checksum that came with them: the
    /// broker's border, and every read from disk. Allocates nothing, whatever the bytes say.
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
        if self.compression() != Compression::None {
            return Err(malformed("compressed batches are not supported yet"));
        }
        if u32_at(bytes, 12) as usize != bytes.len() - HEADER_BYTES {
            return Err(malformed("the length of its records is not what its header says"));
        }
        let mut rest = &bytes[HEADER_BYTES..];
        let mut previous = None;
        for _ in 0..self.record_count() {
            let (record, tail) = split_record(rest)?;
            if previous.is_some_and(|previous| record.offset_delta <= previous) {
                return Err(malformed("offset deltas do not rise"));
            }
            previous = Some(record.offset_delta);
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(malformed("more bytes than its records take"));
        }
        if previous.is_some_and(|last| last > self.last_delta()) {
            return Err(malformed("a record lies beyond the last offset delta"));
        }
        Ok(())
    }

    /// Checks what a client's batch must keep beyond the layout: at least one record, dense
    /// deltas from 0, no record above `record_bytes_max`, no header that is the broker's own.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::RecordTooLarge`], [`Error::ReservedHeader`].
    pub fn check_produced(&self, record_bytes_max: usize) -> Result<(), Error> {
        if self.record_count() == 0 {
            return Err(malformed("it has no record"));
        }
        if self.last_delta() != self.record_count() - 1 {
            return Err(malformed("the last offset delta is not its record count less one"));
        }
        for record in self.iter() {
            let index = record.offset_delta;
            if record.encoded().len() > record_bytes_max {
                let bytes = record.encoded().len();
                return Err(Error::RecordTooLarge { index, bytes, max: record_bytes_max });
            }
            if usize::from(record.header_count) > limits::PRODUCED_HEADERS_MAX {
                return Err(malformed("a record has more headers than may be produced"));
            }
            for (name, _) in record.headers() {
                if limits::RESERVED_HEADER_PREFIXES.iter().any(|p| name.starts_with(p)) {
                    return Err(Error::ReservedHeader { index, name: name.to_owned() });
                }
            }
        }
        Ok(())
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

    /// How its records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        Compression::from_code(self.bytes[1]).expect("checked when the batch was made")
    }

    /// The records in order, without a copy.
    #[must_use]
    pub fn iter(&self) -> Records<'_> {
        Records { rest: &self.bytes[HEADER_BYTES..] }
    }

    /// The records in order as values that share the batch's bytes.
    pub fn to_records(&self) -> impl Iterator<Item = (u32, Record)> + '_ {
        self.iter().map(|record| (record.offset_delta, record.to_record(&self.bytes)))
    }

    /// The records that `keep` says yes to, at their own offsets, in a batch of the same span.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&RecordRef<'_>) -> bool) -> Self {
        let mut builder = BatchBuilder::default();
        for record in self.iter() {
            if keep(&record) {
                builder.push_encoded(record.encoded());
            }
        }
        builder.last_delta = self.last_delta();
        builder.seal()
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = RecordRef<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// The records of a batch, in order.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (record, rest) = split_record(self.rest).expect("checked when the batch was made");
        self.rest = rest;
        Some(record)
    }
}

fn split_record(bytes: &[u8]) -> Result<(RecordRef<'_>, &[u8]), Error> {
    if bytes.len() < RECORD_OVERHEAD_BYTES {
        return Err(malformed("a record ends early"));
    }
    let length = u32_at(bytes, 0) as usize;
    if length < RECORD_OVERHEAD_BYTES - 4 || length > bytes.len() - 4 {
        return Err(malformed("a record's length lies"));
    }
    let (encoded, rest) = bytes.split_at(4 + length);
    let attributes = encoded[16];
    let (key_bytes, value_bytes) = (u32_at(encoded, 20) as usize, u32_at(encoded, 24) as usize);
    if attributes & !(HAS_KEY | HAS_VALUE) != 0 || encoded[17] != 0 {
        return Err(malformed("a record has unknown attributes"));
    }
    if (attributes & HAS_KEY == 0 && key_bytes != 0)
        || (attributes & HAS_VALUE == 0 && value_bytes != 0)
    {
        return Err(malformed("a record has bytes of a part that it says is absent"));
    }
    let body = &encoded[RECORD_OVERHEAD_BYTES..];
    let (key, body) =
        body.split_at_checked(key_bytes).ok_or_else(|| malformed("a key's length lies"))?;
    let (value, header_bytes) =
        body.split_at_checked(value_bytes).ok_or_else(|| malformed("a value's length lies"))?;
    let header_count = u16_at(encoded, 18);
    if usize::from(header_count) > limits::HEADERS_MAX {
        return Err(malformed("a record has too many headers"));
    }
    let mut tail = header_bytes;
    for _ in 0..header_count {
        (_, _, tail) = split_header(tail)?;
    }
    if !tail.is_empty() {
        return Err(malformed("a record is longer than its parts"));
    }
    let record = RecordRef {
        offset_delta: u32_at(encoded, 4),
        create_ts: Timestamp(u64::from_le_bytes(
            encoded[8..16].try_into().expect("eight bytes are eight bytes"),
        )),
        key: (attributes & HAS_KEY != 0).then_some(key),
        value: (attributes & HAS_VALUE != 0).then_some(value),
        header_count,
        header_bytes,
        encoded,
    };
    Ok((record, rest))
}

pub(crate) fn split_header(bytes: &[u8]) -> Result<(&str, &[u8], &[u8]), Error> {
    if bytes.len() < HEADER_OVERHEAD_BYTES {
        return Err(malformed("a header ends early"));
    }
    let (name_bytes, value_bytes) = (usize::from(u16_at(bytes, 0)), u32_at(bytes, 2) as usize);
    let body = &bytes[HEADER_OVERHEAD_BYTES..];
    let (name, body) =
        body.split_at_checked(name_bytes).ok_or_else(|| malformed("a header's length lies"))?;
    let (value, rest) =
        body.split_at_checked(value_bytes).ok_or_else(|| malformed("a header's length lies"))?;
    let name = std::str::from_utf8(name).map_err(|_| malformed("a header's name is not UTF-8"))?;
    Ok((name, value, rest))
}

impl RecordBatch {
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
