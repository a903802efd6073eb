//! A record, owned and borrowed.

use bytes::Bytes;

use crate::Timestamp;

/// A named value beside a record's own. Names repeat and keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// UTF-8, at most 65,535 bytes.
    pub name: String,
    /// Any bytes.
    pub value: Bytes,
}

impl Header {
    /// A header of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// What applications produce and modules handle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Chooses the partition and is what compaction keeps one record of.
    pub key: Option<Bytes>,
    /// Absent in a tombstone.
    pub value: Option<Bytes>,
    /// Ordered; names repeat.
    pub headers: Vec<Header>,
    /// When the producer made the record.
    pub create_ts: Timestamp,
}

impl Record {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }
}

/// A record inside a batch, without a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// How far the record's offset lies above its batch's base offset.
    pub offset_delta: u32,
    /// When the producer made the record.
    pub create_ts: Timestamp,
    /// See [`Record::key`].
    pub key: Option<&'a [u8]>,
    /// See [`Record::value`].
    pub value: Option<&'a [u8]>,
    pub(crate) header_count: u16,
    pub(crate) header_bytes: &'a [u8],
    pub(crate) encoded: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = self.header_bytes;
        (0..self.header_count).map_while(move |_| {
            let (name, value, tail) = crate::batch::split_header(rest).ok()?;
            rest = tail;
            Some((name, value))
        })
    }

    /// The record as it lies in its batch, its length field included.
    #[must_use]
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// The record with its parts as slices of `batch`, which must be the bytes it lies in.
    #[must_use]
    pub fn to_record(&self, batch: &Bytes) -> Record {
        Record {
            key: self.key.map(|key| batch.slice_ref(key)),
            value: self.value.map(|value| batch.slice_ref(value)),
            headers: self
                .headers()
                .map(|(name, value)| Header::new(name, batch.slice_ref(value)))
                .collect(),
            create_ts: self.create_ts,
        }
    }
}
