//! Makes a batch, record by record.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    HAS_KEY, HAS_VALUE, HEADER_BYTES, HEADER_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES, RecordBatch,
    VERSION, malformed,
};
use crate::{Compression, Error, Header, Record, limits};

/// Makes a batch, record by record.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    bytes: BytesMut,
    records: u32,
    pub(super) last_delta: u32,
}

impl BatchBuilder {
    /// The encoded size of a record, in bytes.
    #[must_use]
    pub fn encoded_bytes(record: &Record) -> usize {
        let headers: usize = record
            .headers
            .iter()
            .map(|header| HEADER_OVERHEAD_BYTES + header.name.len() + header.value.len())
            .sum();
        RECORD_OVERHEAD_BYTES
            + record.key.as_ref().map_or(0, Bytes::len)
            + record.value.as_ref().map_or(0, Bytes::len)
            + headers
    }

    /// Adds a record at the next offset delta.
    ///
    /// # Errors
    /// [`Error::BatchTooLarge`] or [`Error::Batch`] when it does not fit; the batch is as before.
    pub fn push(&mut self, record: &Record) -> Result<(), Error> {
        let length = Self::encoded_bytes(record);
        let bytes = self.encoded_len() + length;
        if bytes > limits::BATCH_BYTES_MAX {
            return Err(Error::BatchTooLarge { bytes, max: limits::BATCH_BYTES_MAX });
        }
        if self.records as usize >= limits::BATCH_RECORDS_MAX {
            return Err(malformed("too many records"));
        }
        if record.headers.len() > limits::HEADERS_MAX {
            return Err(malformed("a record has too many headers"));
        }
        if record.headers.iter().any(|header| header.name.len() > usize::from(u16::MAX)) {
            return Err(malformed("a header's name is longer than 65,535 bytes"));
        }
        let delta = self.records;
        self.bytes.reserve(length);
        self.bytes.put_u32_le(wire_len(length - 4));
        self.bytes.put_u32_le(delta);
        self.bytes.put_u64_le(record.create_ts.0);
        let attributes = if record.key.is_some() { HAS_KEY } else { 0 }
            | if record.value.is_some() { HAS_VALUE } else { 0 };
        self.bytes.put_u8(attributes);
        self.bytes.put_u8(0);
        self.bytes.put_u16_le(u16::try_from(record.headers.len()).expect("at most HEADERS_MAX"));
        self.bytes.put_u32_le(wire_len(record.key.as_ref().map_or(0, Bytes::len)));
        self.bytes.put_u32_le(wire_len(record.value.as_ref().map_or(0, Bytes::len)));
        for part in [&record.key, &record.value].into_iter().flatten() {
            self.bytes.put_slice(part);
        }
        for Header { name, value } in &record.headers {
            self.bytes.put_u16_le(u16::try_from(name.len()).expect("checked above"));
            self.bytes.put_u32_le(wire_len(value.len()));
            self.bytes.put_slice(name.as_bytes());
            self.bytes.put_slice(value);
        }
        self.records += 1;
        self.last_delta = delta;
        Ok(())
    }

    pub(super) fn push_encoded(&mut self, record: &[u8]) {
        self.bytes.put_slice(record);
        self.records += 1;
    }

    /// The size of the batch as it stands, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.bytes.len()
    }

    /// How many records it holds.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.records
    }

    /// Whether it holds no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The finished batch.
    #[must_use]
    pub fn seal(self) -> RecordBatch {
        let mut bytes = BytesMut::with_capacity(self.encoded_len());
        bytes.put_u8(VERSION);
        bytes.put_u8(Compression::None.code());
        bytes.put_u16_le(0);
        bytes.put_u32_le(self.records);
        bytes.put_u32_le(self.last_delta);
        bytes.put_u32_le(wire_len(self.bytes.len()));
        bytes.put_slice(&self.bytes);
        let crc = crc32c::crc32c(&bytes);
        RecordBatch { bytes: bytes.freeze(), crc }
    }
}

fn wire_len(length: usize) -> u32 {
    u32::try_from(length).expect("bounded by BATCH_BYTES_MAX")
}
