//! `_producers`: who may produce, and how far each has come.
//!
//! The newest batches of a producer are proved by their envelopes, as long as these are there. What
//! stands here is what outlives them: a checkpoint says that the state of all producers, as of an
//! entry, is in this topic. A start takes that and reads the envelopes of later entries alone.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{Csn, Error, PartitionId, ProducerName, Record, SequencedBatch, Timestamp, TopicId};

const PRODUCER: u8 = 9;
const SEQUENCES: u8 = 10;
const CHECKPOINT: u8 = 11;

/// A producer that has registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerRecord {
    /// How often it has, from 1.
    pub epoch: u32,
    /// The name under which it comes back, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ProducerName>,
    /// When it has, the last time.
    pub registered_ts: Timestamp,
}

/// How far a producer has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencesRecord {
    /// The epoch of its batches.
    pub epoch: u32,
    /// Its last batches, in order; at least one.
    pub batches: Vec<SequencedBatch>,
}

/// What the topic holds is all that entries up to this one prove of producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// The entry.
    pub csn: Csn,
}

/// A record of `_producers`: what its key has become; None when it is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProducersRecord {
    /// A producer, by its id; None when it has expired.
    Producer(u64, Option<ProducerRecord>),
    /// How far a producer has come in a partition.
    Sequences(u64, PartitionId, Option<SequencesRecord>),
    /// Up to where that is so.
    Checkpoint(CheckpointRecord),
}

impl ProducersRecord {
    fn key(&self) -> String {
        match self {
            Self::Producer(id, _) => format!("producer/{id}"),
            Self::Sequences(id, PartitionId { topic: TopicId(topic), index }, _) => {
                format!("sequences/{id}/{topic}/{index}")
            }
            Self::Checkpoint(_) => "checkpoint".to_owned(),
        }
    }

    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let value = match self {
            Self::Producer(_, producer) => producer.as_ref().map(|it| encode(PRODUCER, it)),
            Self::Sequences(_, _, batches) => batches.as_ref().map(|it| encode(SEQUENCES, it)),
            Self::Checkpoint(checkpoint) => Some(encode(CHECKPOINT, checkpoint)),
        };
        Record { key: Some(Bytes::from(self.key())), value, ..Record::default() }
    }

    /// Reads a record of `_producers`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let bad = |what: &str| Error::Layout { noun: "producers record", what: what.to_owned() };
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        let parts: Vec<&str> = key.split('/').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad("its key has no number"));
        match parts[..] {
            ["producer", id] => {
                let producer = value.map(|it| decode("producer", PRODUCER, it)).transpose()?;
                Ok(Self::Producer(number(id)?, producer))
            }
            ["sequences", id, topic, index] => {
                let index = index.parse().map_err(|_| bad("its key has no partition"))?;
                let partition = PartitionId::new(TopicId(number(topic)?), index);
                let batches: Option<SequencesRecord> =
                    value.map(|it| decode("sequences", SEQUENCES, it)).transpose()?;
                if batches.as_ref().is_some_and(|it| it.batches.is_empty()) {
                    return Err(bad("it has no batch"));
                }
                Ok(Self::Sequences(number(id)?, partition, batches))
            }
            ["checkpoint"] => {
                let value = value.ok_or_else(|| bad("a checkpoint is never deleted"))?;
                Ok(Self::Checkpoint(decode("checkpoint", CHECKPOINT, value)?))
            }
            _ => Err(bad("its key is none of a producer, sequences or the checkpoint")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DuplicateRecord, Offset};

    fn round_trip(record: &ProducersRecord) -> (Bytes, Option<Bytes>) {
        let encoded = record.encode();
        let read = ProducersRecord::decode(encoded.key.as_deref(), encoded.value.as_deref());
        assert_eq!(read.as_ref(), Ok(record));
        (encoded.key.unwrap(), encoded.value)
    }

    #[test]
    fn the_records_of_producers_have_golden_bytes() {
        let producer = ProducerRecord {
            epoch: 2,
            name: Some("p".parse().unwrap()),
            registered_ts: Timestamp(5),
        };
        let (key, value) = round_trip(&ProducersRecord::Producer(7, Some(producer)));
        assert_eq!(&key[..], b"producer/7");
        assert_eq!(
            &value.unwrap()[..],
            b"\x09\x01\xa3\x65epoch\x02\x64name\x61p\x6dregistered_ts\x05"
        );

        let batch = SequencedBatch {
            first: 1,
            count: 2,
            base_offset: Offset(3),
            append_ts: Timestamp(4),
            csn: Csn(5),
            duplicates: vec![DuplicateRecord { index: 1, partition: 0, offset: Offset(2) }],
        };
        let sequences = SequencesRecord { epoch: 2, batches: vec![batch] };
        let partition = PartitionId::new(TopicId(17), 3);
        let (key, value) = round_trip(&ProducersRecord::Sequences(7, partition, Some(sequences)));
        assert_eq!(&key[..], b"sequences/7/17/3");
        assert_eq!(
            &value.unwrap()[..],
            b"\x0a\x01\xa2\x65epoch\x02\x67batches\x81\x86\x01\x02\x03\x04\x05\x81\x83\x01\x00\x02"
        );

        let (key, value) =
            round_trip(&ProducersRecord::Checkpoint(CheckpointRecord { csn: Csn(9) }));
        assert_eq!(&key[..], b"checkpoint");
        assert_eq!(&value.unwrap()[..], b"\x0b\x01\xa1\x63csn\x09");

        assert_eq!(round_trip(&ProducersRecord::Producer(7, None)).1, None);
        assert_eq!(round_trip(&ProducersRecord::Sequences(7, partition, None)).1, None);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        let empty = SequencesRecord { epoch: 1, batches: vec![] };
        let empty = ProducersRecord::Sequences(7, PartitionId::CATALOG, Some(empty)).encode();
        for (key, value) in [
            (None, None),
            (Some(&b"producer/x"[..]), None),
            (Some(&b"sequences/1/2"[..]), None),
            (Some(&b"sequences/1/2/x"[..]), None),
            (Some(&b"sequences/7/1/0"[..]), empty.value.as_deref()),
            (Some(&b"checkpoint"[..]), None),
            (Some(&b"producer/1"[..]), Some(&b"\x0a\x01\xa0"[..])),
            (Some(&b"gone"[..]), None),
        ] {
            assert!(ProducersRecord::decode(key, value).is_err());
        }
    }
}
