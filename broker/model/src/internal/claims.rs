//! `_claims`: which idempotency keys a deployment has seen, each in a partition of its own deployment.
//!
//! A claim is never changed and never deleted by a record: it goes when the partition's start moves past
//! it. When it was made is the time of its entry.

use bytes::Bytes;

use super::{Reader, VERSION};
use crate::{Error, Offset, PartitionId, Record};

const CLAIM: u8 = 20;
const NOUN: &str = "claim record";

/// A key that was claimed, and by which record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRecord {
    /// The record's partition.
    pub source: PartitionId,
    /// The record's offset.
    pub offset: Offset,
}

impl ClaimRecord {
    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self, key: Bytes) -> Record {
        let mut value = Vec::with_capacity(22);
        value.extend_from_slice(&[CLAIM, VERSION]);
        value.extend_from_slice(&self.source.topic.0.to_be_bytes());
        value.extend_from_slice(&self.source.index.to_be_bytes());
        value.extend_from_slice(&self.offset.0.to_be_bytes());
        Record { key: Some(key), value: Some(value.into()), ..Record::default() }
    }

    /// Reads a record of `_claims`: the claimed key, and who has it.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode<'a>(
        key: Option<&'a [u8]>,
        value: Option<&[u8]>,
    ) -> Result<(&'a [u8], Self), Error> {
        let missing = |what: &str| Error::Layout { noun: NOUN, what: format!("it has no {what}") };
        let key = key.ok_or_else(|| missing("key"))?;
        let mut value = Reader::of(NOUN, CLAIM, value.ok_or_else(|| missing("value"))?)?;
        let (source, offset) = (value.partition()?, Offset(value.u64()?));
        value.end()?;
        Ok((key, Self { source, offset }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    #[test]
    fn a_claim_has_golden_bytes() {
        let claim =
            ClaimRecord { source: PartitionId::new(TopicId(0x0102), 3), offset: Offset(0x0405) };
        let record = claim.encode(Bytes::from_static(b"\xffkey"));
        let value = record.value.clone().unwrap();
        assert_eq!(&value[..], &b"\x14\x01\0\0\0\0\0\0\x01\x02\0\0\0\x03\0\0\0\0\0\0\x04\x05"[..]);
        let read = ClaimRecord::decode(record.key.as_deref(), record.value.as_deref());
        assert_eq!(read, Ok((&b"\xffkey"[..], claim)));
        let mut longer = value.to_vec();
        longer.push(0);
        for bad in [&value[..21], &longer, b"\x14\x02", b"\x15\x01", b""] {
            assert!(ClaimRecord::decode(Some(b"k"), Some(bad)).is_err(), "{bad:?}");
        }
        assert!(ClaimRecord::decode(None, Some(&value)).is_err());
        assert!(ClaimRecord::decode(Some(b"k"), None).is_err());
    }
}
