//! `_decisions`: what became of each attempt at a record, in a partition of its own deployment.
//!
//! One record tells of all that a commit of a lane has decided. Neighbours that came to the same are one
//! *stretch*, so that an uneventful run takes some ten bytes. Never changed, never compacted: it goes when the
//! records that it tells of have gone.

use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::{Error, FailureReason, Offset, PartitionId, Record};

const DECISIONS: u8 = 23;
const NOUN: &str = "decisions record";

/// What a commit of a lane has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionsRecord {
    /// The lane's source.
    pub source: PartitionId,
    /// The version of the deployment.
    pub version: u32,
    /// The partitions that were written to.
    pub written: Vec<PartitionId>,
    /// What was decided, in that order.
    pub stretches: Vec<Stretch>,
}

/// Records next to each other of which the same became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct Stretch {
    /// The first.
    pub from: Offset,
    /// How many offsets.
    pub count: u32,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub decided: Decided,
    /// Where each of them wrote: indices of [`written`](DecisionsRecord::written), and how many records.
    pub outputs: Vec<(u32, u32)>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decided {
    /// It was handled; what it wrote follows from it.
    Done,
    /// It is of no interest.
    Dropped,
    /// It failed, and is tried again.
    Retried(FailureReason),
    /// It failed for good, and lies in the dead letters.
    DeadLettered(FailureReason),
    /// The record's idempotency key was another's: the module was not called.
    Duplicate,
}

/// As it is written: an array.
type Fields = (Offset, u32, u32, (u8, u8), Vec<(u32, u32)>);

/// The numbers of reasons on the disk. One more goes to the end.
const REASONS: [FailureReason; 14] = [
    FailureReason::Rejected,
    FailureReason::Retry,
    FailureReason::Error,
    FailureReason::Trap,
    FailureReason::Deadline,
    FailureReason::Memory,
    FailureReason::OutputLimit,
    FailureReason::NotGranted,
    FailureReason::InvalidOutput,
    FailureReason::StateLimit,
    FailureReason::MissingKey,
    FailureReason::Hops,
    FailureReason::Crash,
    FailureReason::InvalidRecord,
];

impl Decided {
    /// Why it failed, if it did.
    #[must_use]
    pub fn reason(self) -> Option<FailureReason> {
        match self {
            Self::Retried(reason) | Self::DeadLettered(reason) => Some(reason),
            Self::Done | Self::Dropped | Self::Duplicate => None,
        }
    }

    fn code(self) -> (u8, u8) {
        let of = |reason: FailureReason| {
            let at = REASONS.iter().position(|it| *it == reason);
            at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
        };
        match self {
            Self::Done => (0, 0),
            Self::Dropped => (1, 0),
            Self::Retried(reason) => (2, of(reason)),
            Self::DeadLettered(reason) => (3, of(reason)),
            Self::Duplicate => (4, 0),
        }
    }

    fn of_code((kind, reason): (u8, u8)) -> Self {
        // A newer broker's reason is told as an error: the letter itself says more.
        let reason = REASONS.get(usize::from(reason)).copied().unwrap_or(FailureReason::Error);
        match kind {
            0 => Self::Done,
            1 => Self::Dropped,
            2 => Self::Retried(reason),
            3 => Self::DeadLettered(reason),
            _ => Self::Duplicate,
        }
    }
}

impl From<Fields> for Stretch {
    fn from((from, count, attempt, code, outputs): Fields) -> Self {
        Self { from, count, attempt, decided: Decided::of_code(code), outputs }
    }
}

impl From<Stretch> for Fields {
    fn from(it: Stretch) -> Self {
        (it.from, it.count, it.attempt, it.decided.code(), it.outputs)
    }
}

impl DecisionsRecord {
    /// Adds what became of a record that comes after those before, and where it wrote.
    pub fn push(
        &mut self,
        offset: Offset,
        attempt: u32,
        decided: Decided,
        writes: impl IntoIterator<Item = PartitionId>,
    ) {
        let mut outputs = Vec::<(u32, u32)>::new();
        for partition in writes {
            let at = self.index_of(partition);
            match outputs.last_mut() {
                Some((last, count)) if *last == at => *count += 1,
                _ => outputs.push((at, 1)),
            }
        }
        if let Some(last) = self.stretches.last_mut()
            && last.from.0.checked_add(last.count.into()) == Some(offset.0)
            && (last.attempt, last.decided) == (attempt, decided)
            && last.outputs == outputs
            && last.count < u32::MAX
        {
            last.count += 1;
            return;
        }
        self.stretches.push(Stretch { from: offset, count: 1, attempt, decided, outputs });
    }

    fn index_of(&mut self, partition: PartitionId) -> u32 {
        let at = self.written.iter().position(|it| *it == partition).unwrap_or_else(|| {
            self.written.push(partition);
            self.written.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// What became of a record, and which of the records that this commit wrote to a partition are its
    /// outputs: the partition, and the first one's place among them. Nothing when it is not told of.
    pub fn of(&self, offset: Offset) -> impl Iterator<Item = Found> + '_ {
        let mut before = vec![0_u64; self.written.len()];
        self.stretches.iter().filter_map(move |stretch| {
            let skipped = offset.0.checked_sub(stretch.from.0);
            let at = skipped.filter(|skipped| *skipped < u64::from(stretch.count));
            let found = at.map(|skipped| {
                let mut places = before.clone();
                for (partition, count) in &stretch.outputs {
                    if let Some(place) = places.get_mut(*partition as usize) {
                        *place += skipped * u64::from(*count);
                    }
                }
                let mut outputs = Vec::new();
                for (partition, count) in &stretch.outputs {
                    let at = *partition as usize;
                    let (Some(partition), Some(place)) = (self.written.get(at), places.get_mut(at))
                    else {
                        continue;
                    };
                    for _ in 0..*count {
                        outputs.push((*partition, *place));
                        *place += 1;
                    }
                }
                Found { attempt: stretch.attempt, decided: stretch.decided, outputs }
            });
            for (partition, count) in &stretch.outputs {
                if let Some(place) = before.get_mut(*partition as usize) {
                    *place += u64::from(*count) * u64::from(stretch.count);
                }
            }
            found
        })
    }

    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        Record { value: Some(encode(DECISIONS, self)), ..Record::default() }
    }

    /// Reads a record of `_decisions`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(value: Option<&[u8]>) -> Result<Self, Error> {
        let missing = || Error::Layout { noun: NOUN, what: "it has no value".to_owned() };
        decode(NOUN, DECISIONS, value.ok_or_else(missing)?)
    }
}

/// What became of an attempt at one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What became of it.
    pub decided: Decided,
    /// Each record that it wrote: the partition, and its place among what the commit wrote there, from 0.
    pub outputs: Vec<(PartitionId, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    const SOURCE: PartitionId = PartitionId::new(TopicId(16), 3);
    const A: PartitionId = PartitionId::new(TopicId(17), 0);
    const B: PartitionId = PartitionId::new(TopicId(18), 1);

    fn decisions() -> DecisionsRecord {
        let (written, stretches) = (Vec::new(), Vec::new());
        DecisionsRecord { source: SOURCE, version: 2, written, stretches }
    }

    #[test]
    fn decisions_have_golden_bytes() {
        let mut told = decisions();
        told.push(Offset(5), 1, Decided::Done, [A]);
        told.push(Offset(6), 1, Decided::Done, [A]);
        told.push(Offset(8), 3, Decided::DeadLettered(FailureReason::Trap), [B]);
        let record = told.encode();
        assert_eq!(record.key, None);
        assert_eq!(
            record.value.as_deref().unwrap(),
            &b"\x17\x01\xa4\x66source\xa2\x65topic\x10\x65index\x03\x67version\x02\x67written\x82\
               \xa2\x65topic\x11\x65index\x00\xa2\x65topic\x12\x65index\x01\x69stretches\x82\
               \x85\x05\x02\x01\x82\x00\x00\x81\x82\x00\x01\x85\x08\x01\x03\x82\x03\x03\x81\x82\x01\x01"[..]
        );
        assert_eq!(DecisionsRecord::decode(record.value.as_deref()), Ok(told));
        assert!(DecisionsRecord::decode(None).is_err());
        assert!(DecisionsRecord::decode(Some(b"\x17\x02\xa0")).is_err());
    }

    #[test]
    fn each_reason_has_its_number_and_comes_back() {
        for reason in REASONS {
            for decided in [Decided::Retried(reason), Decided::DeadLettered(reason)] {
                assert_eq!(Decided::of_code(decided.code()), decided);
            }
        }
        for decided in [Decided::Done, Decided::Dropped, Decided::Duplicate] {
            assert_eq!(Decided::of_code(decided.code()), decided);
        }
    }

    #[test]
    fn the_outputs_of_each_record_are_found_among_those_of_the_commit() {
        let mut told = decisions();
        told.push(Offset(10), 1, Decided::Done, [A, B, A]);
        told.push(Offset(11), 1, Decided::Done, [A, B, A]);
        told.push(Offset(12), 1, Decided::Dropped, []);
        told.push(Offset(4), 2, Decided::Done, [B]);
        assert_eq!(told.stretches.len(), 3, "neighbours that came to the same are one");
        let outputs = |offset| {
            let found: Vec<_> = told.of(Offset(offset)).collect();
            assert_eq!(found.len(), 1, "{offset}");
            found[0].outputs.clone()
        };
        assert_eq!(outputs(10), [(A, 0), (B, 0), (A, 1)]);
        assert_eq!(outputs(11), [(A, 2), (B, 1), (A, 3)]);
        assert_eq!(outputs(12), []);
        assert_eq!(outputs(4), [(B, 2)]);
        assert_eq!(told.of(Offset(9)).count() + told.of(Offset(13)).count(), 0);
    }
}
