//! A batch whose records can be read.

use bytes::Bytes;

use super::{
    BatchBuilder, HAS_KEY, HAS_VALUE, HEADER_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES, RecordBatch,
    malformed, u16_at, u32_at,
};
use crate::{Error, Record, RecordRef, Timestamp, limits};

/// The records of a batch, not compressed, their layout checked: what
/// [`RecordBatch::decompressed`] gives. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainBatch {
    /// One record behind the other.
    records: Bytes,
    record_count: u32,
    last_delta: u32,
}

impl PlainBatch {
    /// Checks that these bytes are so many records, within the span.
    pub(super) fn check(records: Bytes, record_count: u32, last_delta: u32) -> Result<Self, Error> {
        check_records(&records, record_count, last_delta)?;
        Ok(Self::of_checked(records, record_count, last_delta))
    }

    /// What has passed [`check_records`].
    pub(super) fn of_checked(records: Bytes, record_count: u32, last_delta: u32) -> Self {
        Self { records, record_count, last_delta }
    }

    /// Checks what a client's batch must keep beyond the layout: at least one record, dense
    /// deltas from 0, no record above `record_bytes_max`, no header that is the broker's own.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::RecordTooLarge`], [`Error::ReservedHeader`].
    pub fn check_produced(&self, record_bytes_max: usize) -> Result<(), Error> {
        if self.record_count == 0 {
            return Err(malformed("it has no record"));
        }
        if self.last_delta != self.record_count - 1 {
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

    /// The encoded records, one behind the other: what [`RecordRef::to_record`] takes its parts of.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.records
    }

    /// How many records it holds; 0 after compaction took them all.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// The records in order, without a copy.
    #[must_use]
    pub fn iter(&self) -> Records<'_> {
        Records { rest: &self.records }
    }

    /// The records in order as values that share the batch's bytes.
    pub fn to_records(&self) -> impl Iterator<Item = (u32, Record)> + '_ {
        self.iter().map(|record| (record.offset_delta, record.to_record(&self.records)))
    }

    /// The records that `keep` says yes to, at their own offsets, in a batch of the same span. It
    /// is not compressed; [`RecordBatch::compress`] makes it as the one before was.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&RecordRef<'_>) -> bool) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for record in self.iter() {
            if keep(&record) {
                builder.push_encoded(record.encoded());
            }
        }
        builder.last_delta = self.last_delta;
        builder.seal()
    }
}

impl PlainBatch {
    /// The records but for those at these indices, which rise, one offset behind the other, in a
    /// batch that is not compressed; None when none is left.
    #[must_use]
    pub fn without(&self, indices: impl IntoIterator<Item = u32>) -> Option<RecordBatch> {
        let mut left_out = indices.into_iter().peekable();
        let mut builder = BatchBuilder::default();
        for (index, record) in self.to_records() {
            if left_out.next_if_eq(&index).is_none() {
                builder.push(&record).expect("it fitted a larger batch");
            }
        }
        (!builder.is_empty()).then(|| builder.seal())
    }
}

impl<'a> IntoIterator for &'a PlainBatch {
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

/// Checks that these bytes are so many records whose deltas rise within the span.
pub(super) fn check_records(
    mut bytes: &[u8],
    record_count: u32,
    last_delta: u32,
) -> Result<(), Error> {
    let mut previous = None;
    for _ in 0..record_count {
        let (record, rest) = split_record(bytes)?;
        if previous.is_some_and(|previous| record.offset_delta <= previous) {
            return Err(malformed("offset deltas do not rise"));
        }
        previous = Some(record.offset_delta);
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(malformed("more bytes than its records take"));
    }
    if previous.is_some_and(|last| last > last_delta) {
        return Err(malformed("a record lies beyond the last offset delta"));
    }
    Ok(())
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
