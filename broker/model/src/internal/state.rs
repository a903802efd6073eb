//! `_state`: what the lanes of a deployment remember, in a partition of its own deployment.

use bytes::Bytes;

use super::{Reader, VERSION};
use crate::{Error, PartitionId, Record};

const STATE: u8 = 21;
const NOUN: &str = "state record";
/// What a key has before the module's own.
const LANE_BYTES: usize = 12;

/// A key of a lane's state, and its value; None when it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// The lane's source.
    pub source: PartitionId,
    /// The key, as the module says it.
    pub key: String,
    /// The value.
    pub value: Option<Bytes>,
}

impl StateRecord {
    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let mut key = Vec::with_capacity(LANE_BYTES + self.key.len());
        key.extend_from_slice(&self.source.topic.0.to_be_bytes());
        key.extend_from_slice(&self.source.index.to_be_bytes());
        key.extend_from_slice(self.key.as_bytes());
        let value = self.value.as_ref().map(|plain| {
            let mut value = Vec::with_capacity(2 + plain.len());
            value.extend_from_slice(&[STATE, VERSION]);
            value.extend_from_slice(plain);
            value.into()
        });
        Record { key: Some(key.into()), value, ..Record::default() }
    }

    /// Reads a record of `_state`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let bad = |what: &str| Error::Layout { noun: NOUN, what: what.to_owned() };
        let mut key = Reader::untyped(NOUN, key.ok_or_else(|| bad("it has no key"))?);
        let source = key.partition()?;
        let key = std::str::from_utf8(key.rest()).map_err(|_| bad("its key is no text"))?;
        let value = match value {
            Some(value) => Some(Bytes::copy_from_slice(Reader::of(NOUN, STATE, value)?.rest())),
            None => None,
        };
        Ok(Self { source, key: key.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    #[test]
    fn a_key_of_the_state_has_golden_bytes() {
        let source = PartitionId::new(TopicId(0x0102), 3);
        let mut state = StateRecord { source, key: "k".into(), value: Some("v".into()) };
        let record = state.encode();
        assert_eq!(record.key.as_deref(), Some(&b"\0\0\0\0\0\0\x01\x02\0\0\0\x03k"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"\x15\x01v"[..]));
        let decode =
            |record: &Record| StateRecord::decode(record.key.as_deref(), record.value.as_deref());
        assert_eq!(decode(&record), Ok(state.clone()));
        state.value = None;
        assert_eq!(state.encode().value, None);
        assert_eq!(decode(&state.encode()), Ok(state.clone()));
        (state.key, state.value) = (String::new(), Some(Bytes::new()));
        assert_eq!(decode(&state.encode()), Ok(state));
        for (key, value) in [
            (&record.key.as_deref().unwrap()[..11], &b"\x15\x01v"[..]),
            (b"\0\0\0\0\0\0\x01\x02\0\0\0\x03\xff", b"\x15\x01v"),
            (record.key.as_deref().unwrap(), b"\x14\x01v"),
            (record.key.as_deref().unwrap(), b"\x15\x02v"),
            (record.key.as_deref().unwrap(), b"\x15"),
        ] {
            assert!(StateRecord::decode(Some(key), Some(value)).is_err(), "{key:?} {value:?}");
        }
        assert!(StateRecord::decode(None, None).is_err());
    }
}
