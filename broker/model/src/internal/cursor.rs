//! `_cursors`: where each lane stands, and what it has left behind.
//!
//! A lane's cursor says how far it has come. A record that failed and will be tried again, or that
//! waits for an earlier one of its key, is a *hole* in what lies before: a record of its own, so that
//! a commit writes only what has changed. A dead letter that is redriven is a hole again, where its
//! record was, and is read from where the letter lies.

use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{Counts, DeploymentId, Error, LaneId, Offset, PartitionId, Record, Timestamp, TopicId};

const CURSOR: u8 = 4;
const HOLE: u8 = 12;
const LANE_BYTES: usize = 20;
const HOLE_KEY_BYTES: usize = LANE_BYTES + 8;

/// A lane's cursor. Committed together with the outcome that moves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRecord {
    /// How often the cursor was moved by hand, from 1.
    pub generation: u32,
    /// How often it was committed, from 1.
    pub revision: u64,
    /// The first offset that the lane has not taken up. Before it, all have their outcome but for
    /// the holes.
    pub next: Offset,
    /// Failed attempts at the record at `next`: in cursors of before there were holes, and nowhere
    /// else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedAttempts>,
    /// What has become of the records before `next`.
    pub counts: Counts,
}

/// A record before a lane's cursor that has no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoleRecord {
    /// Which key it has: a hash, the same for the same key. 0 when that is not known.
    pub key: u64,
    /// What it takes in its batch, in bytes.
    pub bytes: u32,
    /// The attempts at it. None when it was never tried: an earlier record of its key is a hole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedAttempts>,
    /// How often it was to be called for alone, after the process had ended while it was handled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// Where the record is to be read, when that is not its source: the dead letter of a record that
    /// was redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<RecordPlace>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPlace {
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
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

/// A record of `_cursors`: what its key has become; None when it is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorsRecord {
    /// A lane's cursor; None when the lane has ended.
    Cursor(LaneId, Option<CursorRecord>),
    /// A hole; None when it has its outcome.
    Hole(LaneId, Offset, Option<HoleRecord>),
}

impl CursorsRecord {
    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let (key, value) = match self {
            Self::Cursor(lane, cursor) => {
                (encode_lane(*lane), cursor.as_ref().map(|it| encode(CURSOR, it)))
            }
            Self::Hole(lane, offset, hole) => {
                let mut key = encode_lane(*lane);
                key.extend_from_slice(&offset.0.to_be_bytes());
                (key, hole.as_ref().map(|it| encode(HOLE, it)))
            }
        };
        Record { key: Some(key.into()), value, ..Record::default() }
    }

    /// Reads a record of `_cursors`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let bad = || {
            let what = format!("its key is not {LANE_BYTES} or {HOLE_KEY_BYTES} bytes");
            Error::Layout { noun: "cursor record", what }
        };
        let (lane, rest) = key.and_then(|key| key.split_first_chunk()).ok_or_else(bad)?;
        let lane = decode_lane(lane);
        if rest.is_empty() {
            let cursor = value.map(|value| decode("cursor", CURSOR, value)).transpose()?;
            return Ok(Self::Cursor(lane, cursor));
        }
        let offset = Offset(u64::from_be_bytes(rest.try_into().map_err(|_| bad())?));
        let hole = value.map(|value| decode("hole", HOLE, value)).transpose()?;
        Ok(Self::Hole(lane, offset, hole))
    }

    /// Whose record it is.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        match self {
            Self::Cursor(lane, _) | Self::Hole(lane, ..) => *lane,
        }
    }
}

fn encode_lane(lane: LaneId) -> Vec<u8> {
    let mut key = Vec::with_capacity(HOLE_KEY_BYTES);
    key.extend_from_slice(&lane.deployment.0.to_be_bytes());
    key.extend_from_slice(&lane.source.topic.0.to_be_bytes());
    key.extend_from_slice(&lane.source.index.to_be_bytes());
    key
}

fn decode_lane(key: &[u8; LANE_BYTES]) -> LaneId {
    let u64_at = |at: usize| {
        u64::from_be_bytes(key[at..at + 8].try_into().expect("eight bytes are eight bytes"))
    };
    let index = u32::from_be_bytes(key[16..].try_into().expect("four bytes are left of 20"));
    LaneId {
        deployment: DeploymentId(u64_at(0)),
        source: PartitionId::new(TopicId(u64_at(8)), index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> LaneId {
        LaneId { deployment: DeploymentId(1), source: PartitionId::new(TopicId(0x0203), 4) }
    }

    fn decoded(record: &Record) -> Result<CursorsRecord, Error> {
        CursorsRecord::decode(record.key.as_deref(), record.value.as_deref())
    }

    #[test]
    fn a_cursor_has_golden_bytes() {
        let (next, counts) = (Offset(3), Counts::default());
        let cursor = CursorRecord { generation: 1, revision: 2, next, failed: None, counts };
        let cursor = CursorsRecord::Cursor(lane(), Some(cursor));
        let record = cursor.encode();
        assert_eq!(
            record.key.as_deref(),
            Some(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 4][..])
        );
        assert_eq!(
            record.value.as_deref().unwrap(),
            &b"\x04\x01\xa4\x6ageneration\x01\x68revision\x02\x64next\x03\x66counts\xaa\
               \x64done\x00\x67outputs\x00\x67retried\x00\x6ddead_lettered\x00\x67dropped\x00\
               \x6aduplicates\x00\x66errors\x00\x67trapped\x00\x69timed_out\x00\x64lost\x00"[..]
        );
        assert_eq!(decoded(&record), Ok(cursor));
        let ended = CursorsRecord::Cursor(lane(), None);
        assert_eq!(decoded(&ended.encode()), Ok(ended));
    }

    #[test]
    fn a_cursor_of_before_lost_records_were_counted_is_read() {
        let value = b"\x04\x01\xa4\x6ageneration\x01\x68revision\x02\x64next\x03\x66counts\xa9\
            \x64done\x05\x67outputs\x00\x67retried\x00\x6ddead_lettered\x00\x67dropped\x00\
            \x6aduplicates\x00\x66errors\x00\x67trapped\x00\x69timed_out\x00";
        let read = CursorsRecord::decode(Some(&[0; LANE_BYTES]), Some(value)).unwrap();
        let CursorsRecord::Cursor(_, Some(cursor)) = read else { unreachable!("{read:?}") };
        let counts = Counts { done: 5, ..Counts::default() };
        assert_eq!((cursor.next, cursor.counts), (Offset(3), counts));
    }

    #[test]
    fn a_hole_has_golden_bytes() {
        let failed = FailedAttempts {
            attempts: 2,
            first_failed_ts: Timestamp(5),
            last_failed_ts: Timestamp(6),
            retry_at: Timestamp(7),
        };
        let hole = HoleRecord { key: 8, bytes: 9, failed: Some(failed), crashes: 0, place: None };
        let hole = CursorsRecord::Hole(lane(), Offset(0x0506), Some(hole));
        let record = hole.encode();
        assert_eq!(record.key.as_deref().unwrap()[LANE_BYTES..], [0, 0, 0, 0, 0, 0, 5, 6]);
        assert_eq!(
            record.value.as_deref().unwrap(),
            &b"\x0c\x01\xa3\x63key\x08\x65bytes\x09\x66failed\xa4\x68attempts\x02\
               \x6ffirst_failed_ts\x05\x6elast_failed_ts\x06\x68retry_at\x07"[..]
        );
        assert_eq!(decoded(&record), Ok(hole));
        let settled = CursorsRecord::Hole(lane(), Offset(7), None);
        assert_eq!(decoded(&settled.encode()), Ok(settled));
    }

    #[test]
    fn a_hole_of_a_redriven_record_has_golden_bytes() {
        let partition = PartitionId::new(TopicId(20), 3);
        let place = Some(RecordPlace { partition, offset: Offset(21) });
        let hole = HoleRecord { key: 8, bytes: 9, failed: None, crashes: 0, place };
        let hole = CursorsRecord::Hole(lane(), Offset(7), Some(hole));
        let record = hole.encode();
        assert_eq!(
            record.value.as_deref().unwrap(),
            &b"\x0c\x01\xa3\x63key\x08\x65bytes\x09\x65place\xa2\
               \x69partition\xa2\x65topic\x14\x65index\x03\x66offset\x15"[..]
        );
        assert_eq!(decoded(&record), Ok(hole));
    }

    #[test]
    fn failed_attempts_of_before_there_were_holes_are_read() {
        let failed = FailedAttempts {
            attempts: 2,
            first_failed_ts: Timestamp(5),
            last_failed_ts: Timestamp(6),
            retry_at: Timestamp(7),
        };
        let cursor = CursorRecord {
            generation: 1,
            revision: 2,
            next: Offset(3),
            failed: Some(failed),
            counts: Counts { retried: 2, ..Counts::default() },
        };
        let cursor = CursorsRecord::Cursor(lane(), Some(cursor));
        assert_eq!(decoded(&cursor.encode()), Ok(cursor));
    }

    #[test]
    fn keys_of_other_lengths_are_refused() {
        for length in [0, 19, 21, 27, 29] {
            let read = CursorsRecord::decode(Some(&vec![0; length]), None);
            assert!(matches!(read, Err(Error::Layout { .. })), "{length}");
        }
    }
}
