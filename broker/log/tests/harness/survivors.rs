//! What must still be there when something in the log is corrupt.

use std::collections::BTreeMap;

use logmill_log::{Error, StoredBatch};
use logmill_model::{Csn, Offset, PartitionId};

use super::{Ends, Running, entry, partitions};

/// All that was ever appended, by where it begins.
#[derive(Clone)]
pub(crate) struct Survivors {
    batches: BTreeMap<(PartitionId, Offset), StoredBatch>,
}

impl Survivors {
    /// Commits 1 to `last` of a history without holes.
    pub(crate) fn of(last: u64) -> Self {
        let mut ends = Ends::new();
        let mut survivors = Self { batches: BTreeMap::new() };
        (1..=last).for_each(|csn| survivors.add(Csn(csn), &mut ends));
        survivors
    }

    fn add(&mut self, csn: Csn, ends: &mut Ends) {
        for stored in entry(csn, ends).appends {
            let at = (stored.partition, stored.envelope.base_offset);
            assert!(self.batches.insert(at, stored).is_none(), "an offset is used twice: {at:?}");
        }
    }

    /// Appends some more commits, behind all that was ever there.
    pub(crate) fn go_on(&mut self, running: &mut Running, commits: u64) {
        for _ in 0..commits {
            for ((partition, _), stored) in &self.batches {
                let end = running.ends.get(partition).copied().unwrap_or_default();
                assert!(end >= stored.envelope.end_offset(), "{partition} goes on at {end}");
            }
            self.add(running.next, &mut running.ends.clone());
            assert_eq!(running.run(1, 1).len(), 1);
        }
    }

    /// Reads all partitions, around what is lost or accepted as that: what is read is what was written, and what is not
    /// read was in one of these commits, or comes behind all. Returns what was told of losses.
    pub(crate) fn check(&self, running: &Running, hit: &[Csn]) -> Vec<Error> {
        let mut losses = Vec::new();
        for bytes_max in [1, 3000, 1 << 20] {
            losses.clear();
            for partition in partitions() {
                self.check_partition(running, (partition, bytes_max), hit, &mut losses);
            }
        }
        losses
    }

    fn check_partition(
        &self,
        running: &Running,
        (partition, bytes_max): (PartitionId, usize),
        hit: &[Csn],
        losses: &mut Vec<Error>,
    ) {
        let mut next = Offset::ZERO;
        let end = running.log.end_offset(partition);
        let from = (partition, Offset::ZERO)..=(partition, Offset(u64::MAX));
        let mut missing: BTreeMap<_, _> = self.batches.range(from).collect();
        while next < end {
            match running.log.read(partition, next, bytes_max) {
                Ok(batches) => {
                    let after_gap = running.log.after_accepted(partition, next);
                    let next_there = batches.first().map(|it| it.envelope.base_offset);
                    if after_gap > next {
                        assert!(next_there.is_none_or(|it| it == after_gap), "{partition} skips");
                        next = after_gap;
                        continue;
                    }
                    assert!(!batches.is_empty(), "{partition} has nothing at {next} of {end}");
                    for stored in batches {
                        assert_eq!(stored.envelope.base_offset, next, "{partition} skips");
                        next = stored.envelope.end_offset();
                        let at = (partition, stored.envelope.base_offset);
                        assert_eq!(missing.remove(&at), Some(&stored), "a wrong byte");
                    }
                }
                Err(error) => {
                    let Error::CorruptRange { from, to, .. } = error else {
                        unreachable!("{error}")
                    };
                    assert!(from <= next && next < to, "{from} to {to} is told at {next}");
                    next = to;
                    losses.push(error);
                }
            }
        }
        for stored in missing.values() {
            let csn = stored.envelope.csn;
            assert!(hit.contains(&csn), "{partition} has lost commit {csn}, not {hit:?}");
        }
    }
}
