//! `_cursors`: where each lane stands.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{Counts, DeploymentId, Error, LaneId, Offset, PartitionId, Record, Timestamp, TopicId};

const CURSOR: u8 = 4;
const KEY_BYTES: usize = 20;

/// A lane's cursor. Committed together with the outcome that moves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRecord {
    /// How often the cursor was moved by hand, from 1.
    pub generation: u32,
    /// How often it was committed, from 1.
    pub revision: u64,
    /// The first offset without an outcome.
    pub next: Offset,
    /// The failed attempts at the record at `next`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedAttempts>,
    /// What has become of the records before `next`.
    pub counts: Counts,
}

/// What is known of a record that failed and will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempts {
    /// How many, at least 1.
    pub attempts: u32,
    /// When the first one failed.
    pub first_failed_ts: Timestamp,
    /// When the last one failed.
    pub last_failed_ts: Timestamp,
    /// When the next one is due.
    pub retry_at: Timestamp,
}

impl CursorRecord {
    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self, lane: LaneId) -> Record {
        Record {
            key: Some(Self::encode_key(lane)),
            value: Some(encode(CURSOR, self)),
            ..Record::default()
        }
    }

    /// The record that deletes a lane's cursor.
    #[must_use]
    pub fn tombstone(lane: LaneId) -> Record {
        Record { key: Some(Self::encode_key(lane)), ..Record::default() }
    }

    fn encode_key(lane: LaneId) -> Bytes {
        let mut key = Vec::with_capacity(KEY_BYTES);
        key.extend_from_slice(&lane.deployment.0.to_be_bytes());
        key.extend_from_slice(&lane.source.topic.0.to_be_bytes());
        key.extend_from_slice(&lane.source.index.to_be_bytes());
        key.into()
    }

    /// Reads a record of `_cursors`: the lane, and its cursor unless that was deleted.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(LaneId, Option<Self>), Error> {
        let key: &[u8; KEY_BYTES] = key.and_then(|key| key.try_into().ok()).ok_or_else(|| {
            Error::Layout { noun: "cursor record", what: "its key is not 20 bytes".to_owned() }
        })?;
        let u64_at = |at: usize| {
            u64::from_be_bytes(key[at..at + 8].try_into().expect("eight bytes are eight bytes"))
        };
        let index = u32::from_be_bytes(key[16..].try_into().expect("four bytes are left of 20"));
        let lane = LaneId {
            deployment: DeploymentId(u64_at(0)),
            source: PartitionId::new(TopicId(u64_at(8)), index),
        };
        Ok((lane, value.map(|value| decode("cursor", CURSOR, value)).transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_golden_bytes() {
        let lane =
            LaneId { deployment: DeploymentId(1), source: PartitionId::new(TopicId(0x0203), 4) };
        let cursor = CursorRecord {
            generation: 1,
            revision: 2,
            next: Offset(3),
            failed: None,
            counts: Counts::default(),
        };
        let record = cursor.encode(lane);
        assert_eq!(
            record.key.as_deref(),
            Some(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 4][..])
        );
        let value = record.value.clone().unwrap();
        assert_eq!(
            &value[..],
            &b"\x04\x01\xa4\x6ageneration\x01\x68revision\x02\x64next\x03\x66counts\xaa\
               \x64done\x00\x67outputs\x00\x67retried\x00\x6ddead_lettered\x00\x67dropped\x00\
               \x6aduplicates\x00\x66errors\x00\x67trapped\x00\x69timed_out\x00\x64lost\x00"[..]
        );
        assert_eq!(
            CursorRecord::decode(record.key.as_deref(), Some(&value)),
            Ok((lane, Some(cursor)))
        );
        assert_eq!(
            CursorRecord::decode(CursorRecord::tombstone(lane).key.as_deref(), None),
            Ok((lane, None))
        );
    }

    #[test]
    fn a_cursor_of_before_lost_records_were_counted_is_read() {
        let value = b"\x04\x01\xa4\x6ageneration\x01\x68revision\x02\x64next\x03\x66counts\xa9\
            \x64done\x05\x67outputs\x00\x67retried\x00\x6ddead_lettered\x00\x67dropped\x00\
            \x6aduplicates\x00\x66errors\x00\x67trapped\x00\x69timed_out\x00";
        let (_, cursor) = CursorRecord::decode(Some(&[0; KEY_BYTES]), Some(value)).unwrap();
        let counts = Counts { done: 5, ..Counts::default() };
        assert_eq!(cursor.map(|it| (it.next, it.counts)), Some((Offset(3), counts)));
    }

    #[test]
    fn failed_attempts_come_back() {
        let lane = LaneId { deployment: DeploymentId(1), source: PartitionId::CATALOG };
        let cursor = CursorRecord {
            generation: 1,
            revision: 2,
            next: Offset(3),
            failed: Some(FailedAttempts {
                attempts: 2,
                first_failed_ts: Timestamp(5),
                last_failed_ts: Timestamp(6),
                retry_at: Timestamp(7),
            }),
            counts: Counts { retried: 2, ..Counts::default() },
        };
        let record = cursor.encode(lane);
        let read = CursorRecord::decode(record.key.as_deref(), record.value.as_deref());
        assert_eq!(read, Ok((lane, Some(cursor))));
    }
}
