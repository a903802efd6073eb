//! The records of the broker's internal topics: all that it must remember besides users' records.
//!
//! An internal record's key is given by its type; its value begins with two bytes, type and
//! version, and goes on as a CBOR map (RFC 8949) with the field names of the struct. A later
//! version adds fields; it never renames one. A record without a value deletes its key.
//!
//! | type | struct | topic | key |
//! |---:|---|---|---|
//! | 1 | [`TopicRecord`] | `_catalog` | `topic/NAME` |
//! | 2 | [`DeploymentRecord`] | `_catalog` | `deployment/NAME` |
//! | 3 | [`VersionRecord`] | `_catalog` | `version/NAME/NUMBER` |
//! | 4 | [`CursorRecord`] | `_cursors` | deployment u64, topic u64, partition u32, big-endian |
//! | 5 | [`StartRecord`] | `_segments` | `start/TOPIC ID/PARTITION` |
//! | 6 | [`SegmentRecord`] | `_segments` | `segment/FILE` |
//! | 7 | [`RemovedRecord`] | `_segments` | `removed` |
//! | 8 | [`AcceptedRecord`] | `_segments` | `accepted/POSITION/FILE` |
//! | 9 | [`ProducerRecord`] | `_producers` | `producer/ID` |
//! | 10 | [`SequencesRecord`] | `_producers` | `sequences/ID/TOPIC ID/PARTITION` |
//! | 11 | [`CheckpointRecord`] | `_producers` | `checkpoint` |
//! | 12 | [`HoleRecord`] | `_cursors` | as of a cursor, and the offset u64 |
//! | 20 | [`ClaimRecord`] | `_claims` | the claimed key |
//! | 21 | [`StateRecord`] | `_state` | topic u64, partition u32, big-endian, and the module's key |
//! | 22 | [`LettersRecord`] | `_letters` | topic u64, partition u32, block u64, big-endian |
//! | 23 | [`DecisionsRecord`] | `_decisions` | none |
//!
//! Those of `_claims` and `_state` are many, and hold what modules say: they are fields of fixed length
//! and the module's bytes instead of CBOR. Those of `_letters` are a bit map.

mod catalog;
mod claims;
mod cursor;
mod decisions;
mod letters;
mod producers;
mod segments;
mod state;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use catalog::{CatalogKey, CatalogRecord, DeploymentRecord, TopicRecord, VersionRecord};
pub use claims::ClaimRecord;
pub use cursor::{CursorRecord, CursorsRecord, FailedAttempts, HoleRecord, RecordPlace};
pub use decisions::{Decided, DecisionsRecord, Found, Stretch};
pub use letters::{LetterMarks, LettersRecord};
pub use producers::{CheckpointRecord, ProducerRecord, ProducersRecord, SequencesRecord};
pub use segments::{
    AcceptedRange, AcceptedRecord, CsnRange, RemovedRecord, SegmentRecord, SegmentsKey,
    SegmentsRecord, StartRecord,
};
pub use state::StateRecord;

use crate::{Error, PartitionId, TopicId};

const VERSION: u8 = 1;

fn encode<T: Serialize>(kind: u8, value: &T) -> Bytes {
    let body = minicbor_serde::to_vec(value).expect("these values have a CBOR form");
    let mut bytes = Vec::with_capacity(2 + body.len());
    bytes.extend_from_slice(&[kind, VERSION]);
    bytes.extend_from_slice(&body);
    bytes.into()
}

fn decode<T: DeserializeOwned>(noun: &'static str, kind: u8, bytes: &[u8]) -> Result<T, Error> {
    let body = Reader::of(noun, kind, bytes)?.rest();
    minicbor_serde::from_slice(body)
        .map_err(|error| Error::Layout { noun, what: error.to_string() })
}

/// Reads fields of fixed length, big-endian.
struct Reader<'a> {
    noun: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Behind type and version.
    fn of(noun: &'static str, kind: u8, bytes: &'a [u8]) -> Result<Self, Error> {
        let bad = |what: String| Error::Layout { noun, what };
        let Some(([got, version], rest)) = bytes.split_first_chunk::<2>() else {
            return Err(bad("shorter than its type and version".to_owned()));
        };
        if *got != kind {
            return Err(bad(format!("type {got} where {kind} belongs")));
        }
        if *version != VERSION {
            return Err(bad(format!("version {version} is newer than this broker")));
        }
        Ok(Self { noun, rest })
    }

    /// Of bytes that have no type.
    fn untyped(noun: &'static str, rest: &'a [u8]) -> Self {
        Self { noun, rest }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let short = || Error::Layout { noun: self.noun, what: "it breaks off".to_owned() };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_be_bytes)
    }

    fn partition(&mut self) -> Result<PartitionId, Error> {
        let topic = TopicId(self.u64()?);
        Ok(PartitionId::new(topic, u32::from_be_bytes(self.take()?)))
    }

    fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::Layout { noun: self.noun, what: "it goes on behind its end".to_owned() })
    }
}
