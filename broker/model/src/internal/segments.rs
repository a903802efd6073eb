//! `_segments`: which files hold the log, and where partitions start.
//!
//! The journal's files are known by being there. What stands here is what that alone can't tell:
//! that a segment has taken the place of older files, that files were dropped because nothing in
//! them was needed any more, that retention has moved the start of a partition, and that somebody
//! has accepted what was lost where a file is corrupt.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{Csn, Error, Offset, PartitionId, Record, TopicId};

const START: u8 = 5;
const SEGMENT: u8 = 6;
const REMOVED: u8 = 7;
const ACCEPTED: u8 = 8;

/// Where a partition starts: retention has taken what lies before. It also proves that the
/// partition's end is no lower, so that no offset is used again after all of it has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// The first offset that can be read.
    pub offset: Offset,
}

/// A segment, which has taken the place of every other file whose entries lie in its range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The first entry of the files that it replaces.
    pub first: Csn,
    /// The last one.
    pub last: Csn,
    /// The files that it was made from.
    pub replaces: Vec<String>,
}

/// The entries whose files were dropped as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemovedRecord {
    /// Rising, with something between each two.
    ranges: Vec<CsnRange>,
}

/// What was lost at one place of a file, and that somebody has accepted it: these offsets read as
/// if compaction had taken them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRecord {
    /// How much of the file can't be read, in bytes.
    pub bytes: u64,
    /// What was lost.
    pub lost: Vec<AcceptedRange>,
    /// The entries that were lost whole, as far as that is known: a file that has only these may be
    /// gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csns: Option<CsnRange>,
}

/// Offsets of a partition whose loss was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRange {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub index: u32,
    /// The first offset.
    pub from: Offset,
    /// The one after the last.
    pub to: Offset,
}

/// Entries that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CsnRange {
    /// The first.
    pub first: Csn,
    /// The last.
    pub last: Csn,
}

impl CsnRange {
    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl RemovedRecord {
    /// The ranges, rising, with something between each two.
    #[must_use]
    pub fn ranges(&self) -> &[CsnRange] {
        &self.ranges
    }

    /// Adds a range, and joins it with those that it meets.
    pub fn add(&mut self, mut range: CsnRange) {
        let meets = |it: &CsnRange| {
            it.first.0 <= range.last.0.saturating_add(1)
                && range.first.0 <= it.last.0.saturating_add(1)
        };
        let (joined, mut ranges): (Vec<CsnRange>, Vec<CsnRange>) =
            self.ranges.iter().partition(|it| meets(it));
        for it in joined {
            range.first = range.first.min(it.first);
            range.last = range.last.max(it.last);
        }
        let at = ranges.partition_point(|it| it.first < range.first);
        ranges.insert(at, range);
        self.ranges = ranges;
    }

    /// Leaves out the ranges that lie within `range`, whose entries a segment stands for again;
    /// returns whether there were any.
    pub fn leave_out(&mut self, range: CsnRange) -> bool {
        let before = self.ranges.len();
        self.ranges.retain(|it| !range.contains(*it));
        self.ranges.len() < before
    }

    /// Whether all of `range` was removed.
    #[must_use]
    pub fn contains(&self, range: CsnRange) -> bool {
        self.ranges.iter().any(|it| it.contains(range))
    }

    fn is_in_order(&self) -> bool {
        self.ranges.iter().all(|range| range.first <= range.last)
            && self.ranges.array_windows().all(|[a, b]| a.last.0.saturating_add(1) < b.first.0)
    }
}

/// What a record of `_segments` is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentsKey {
    /// The start of a partition.
    Start(PartitionId),
    /// A segment, by the name of its file in its folder.
    Segment(String),
    /// The files that were dropped.
    Removed,
    /// A hole, by the path of its file and where in it.
    Accepted(String, u64),
}

/// A record of `_segments`: what its key has become; None when it is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentsRecord {
    /// The start of a partition; None when its topic was deleted.
    Start(PartitionId, Option<StartRecord>),
    /// A segment; None when it was replaced or dropped itself.
    Segment(String, Option<SegmentRecord>),
    /// The files that were dropped.
    Removed(Option<RemovedRecord>),
    /// What a hole has cost; None when its file is no more.
    Accepted(String, u64, Option<AcceptedRecord>),
}

impl SegmentsKey {
    fn encode(&self) -> String {
        match self {
            Self::Start(PartitionId { topic: TopicId(topic), index }) => {
                format!("start/{topic}/{index}")
            }
            Self::Segment(file) => format!("segment/{file}"),
            Self::Removed => "removed".to_owned(),
            Self::Accepted(path, position) => format!("accepted/{position}/{path}"),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.split_once('/') {
            None => (text == "removed").then_some(Self::Removed),
            Some(("start", partition)) => {
                let (topic, index) = partition.split_once('/')?;
                let topic = TopicId(topic.parse().ok()?);
                Some(Self::Start(PartitionId::new(topic, index.parse().ok()?)))
            }
            Some(("accepted", hole)) => {
                let (position, path) = hole.split_once('/')?;
                Some(Self::Accepted(path.to_owned(), position.parse().ok()?))
            }
            Some(("segment", file)) => {
                (!file.is_empty() && !file.contains('/')).then(|| Self::Segment(file.to_owned()))
            }
            Some(_) => None,
        }
    }
}

impl SegmentsRecord {
    /// What the record is about.
    #[must_use]
    pub fn key(&self) -> SegmentsKey {
        match self {
            Self::Start(partition, _) => SegmentsKey::Start(*partition),
            Self::Segment(file, _) => SegmentsKey::Segment(file.clone()),
            Self::Removed(_) => SegmentsKey::Removed,
            Self::Accepted(path, position, _) => SegmentsKey::Accepted(path.clone(), *position),
        }
    }

    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let value = match self {
            Self::Start(_, start) => start.as_ref().map(|value| encode(START, value)),
            Self::Segment(_, segment) => segment.as_ref().map(|value| encode(SEGMENT, value)),
            Self::Removed(removed) => removed.as_ref().map(|value| encode(REMOVED, value)),
            Self::Accepted(_, _, accepted) => accepted.as_ref().map(|it| encode(ACCEPTED, it)),
        };
        Record { key: Some(Bytes::from(self.key().encode())), value, ..Record::default() }
    }

    /// Reads a record of `_segments`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let bad = |what: &str| Error::Layout { noun: "segments record", what: what.to_owned() };
        let key = key.and_then(SegmentsKey::decode).ok_or_else(|| {
            bad("its key is none of a start, a segment, the removed entries or an accepted loss")
        })?;
        Ok(match key {
            SegmentsKey::Start(partition) => {
                Self::Start(partition, value.map(|v| decode("start", START, v)).transpose()?)
            }
            SegmentsKey::Segment(file) => {
                let segment: Option<SegmentRecord> =
                    value.map(|v| decode("segment", SEGMENT, v)).transpose()?;
                if segment.as_ref().is_some_and(|it| it.last < it.first) {
                    return Err(bad("its last entry comes before its first one"));
                }
                Self::Segment(file, segment)
            }
            SegmentsKey::Removed => {
                let removed: Option<RemovedRecord> =
                    value.map(|v| decode("removed", REMOVED, v)).transpose()?;
                if removed.as_ref().is_some_and(|it| !it.is_in_order()) {
                    return Err(bad("the ranges of removed entries are not in order"));
                }
                Self::Removed(removed)
            }
            SegmentsKey::Accepted(path, position) => {
                let accepted = value.map(|v| decode("accepted", ACCEPTED, v)).transpose()?;
                Self::Accepted(path, position, accepted)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> CsnRange {
        CsnRange { first: Csn(first), last: Csn(last) }
    }

    fn round_trip(record: &SegmentsRecord) -> (Bytes, Option<Bytes>) {
        let encoded = record.encode();
        let read = SegmentsRecord::decode(encoded.key.as_deref(), encoded.value.as_deref());
        assert_eq!(read.as_ref(), Ok(record));
        (encoded.key.unwrap(), encoded.value)
    }

    #[test]
    fn the_records_of_segments_have_golden_bytes() {
        let partition = PartitionId::new(TopicId(17), 2);
        let start = StartRecord { offset: Offset(9) };
        let (key, value) = round_trip(&SegmentsRecord::Start(partition, Some(start)));
        assert_eq!(&key[..], b"start/17/2");
        assert_eq!(&value.unwrap()[..], b"\x05\x01\xa1\x66offset\x09");

        let segment =
            SegmentRecord { first: Csn(1), last: Csn(8), replaces: vec!["a.journal".to_owned()] };
        let (key, value) = round_trip(&SegmentsRecord::Segment("b.segment".into(), Some(segment)));
        assert_eq!(&key[..], b"segment/b.segment");
        assert_eq!(
            &value.unwrap()[..],
            b"\x06\x01\xa3\x65first\x01\x64last\x08\x68replaces\x81\x69a.journal"
        );

        let mut removed = RemovedRecord::default();
        removed.add(range(1, 8));
        let (key, value) = round_trip(&SegmentsRecord::Removed(Some(removed)));
        assert_eq!(&key[..], b"removed");
        assert_eq!(&value.unwrap()[..], b"\x07\x01\xa1\x66ranges\x81\xa2\x65first\x01\x64last\x08");

        let range = AcceptedRange { topic: TopicId(17), index: 2, from: Offset(3), to: Offset(9) };
        let accepted = AcceptedRecord { bytes: 64, lost: vec![range], csns: None };
        let hole = SegmentsRecord::Accepted("journal/a.journal".into(), 4096, Some(accepted));
        let (key, value) = round_trip(&hole);
        assert_eq!(&key[..], b"accepted/4096/journal/a.journal");
        assert_eq!(
            &value.unwrap()[..],
            b"\x08\x01\xa2\x65bytes\x18\x40\x64lost\x81\xa4\x65topic\x11\x65index\x02\x64from\x03\x62to\x09"
        );

        for gone in [
            SegmentsRecord::Accepted("journal/a.journal".into(), 4096, None),
            SegmentsRecord::Start(partition, None),
            SegmentsRecord::Segment("b.segment".into(), None),
            SegmentsRecord::Removed(None),
        ] {
            assert_eq!(round_trip(&gone).1, None);
        }
    }

    #[test]
    fn removed_ranges_that_meet_are_one() {
        let mut removed = RemovedRecord::default();
        for (first, last) in [(20, 29), (1, 4), (40, 49), (10, 19), (5, 5)] {
            removed.add(range(first, last));
        }
        assert_eq!(removed.ranges(), [range(1, 5), range(10, 29), range(40, 49)]);
        assert!(removed.contains(range(10, 29)) && removed.contains(range(2, 2)));
        assert!(!removed.contains(range(5, 10)) && !removed.contains(range(30, 30)));
        assert!(removed.leave_out(range(9, 30)) && !removed.leave_out(range(2, 9)));
        assert_eq!(removed.ranges(), [range(1, 5), range(40, 49)]);
        removed.add(range(3, 60));
        assert_eq!(removed.ranges(), [range(1, 60)]);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        let twice = RemovedRecord { ranges: vec![range(1, 5), range(5, 6)] };
        let twice = SegmentsRecord::Removed(Some(twice)).encode().value;
        let backwards = SegmentRecord { first: Csn(2), last: Csn(1), replaces: vec![] };
        let backwards = SegmentsRecord::Segment("s".into(), Some(backwards)).encode().value;
        for (key, value) in [
            (None, None),
            (Some(&b"start/1"[..]), None),
            (Some(&b"start/1/x"[..]), None),
            (Some(&b"segment/"[..]), None),
            (Some(&b"segment/../a"[..]), None),
            (Some(&b"gone"[..]), None),
            (Some(&b"removed"[..]), Some(&b"\x06\x01\xa0"[..])),
            (Some(&b"removed"[..]), twice.as_deref()),
            (Some(&b"segment/s"[..]), backwards.as_deref()),
        ] {
            assert!(SegmentsRecord::decode(key, value).is_err());
        }
    }
}
