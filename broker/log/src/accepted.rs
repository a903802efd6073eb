//! Losses that somebody has accepted. Records of `_segments` say so; the log takes them in when it is
//! opened, and their offsets then read as gaps.

use std::collections::HashMap;

use logmill_model::PartitionId;
use logmill_model::internal::{AcceptedRange, AcceptedRecord, CsnRange, SegmentsRecord};

use crate::{Hole, LostRange};

/// What was accepted, by the path of the file with the hole, and where in it.
#[derive(Debug, Default)]
pub(crate) struct Accepted(HashMap<(String, u64), AcceptedRecord>);

impl Accepted {
    pub(crate) fn add(&mut self, path: String, position: u64, record: AcceptedRecord) {
        self.0.insert((path, position), record);
    }

    /// The offsets that read as gaps.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = LostRange> + '_ {
        self.0.values().flat_map(|record| &record.lost).map(|it| {
            let partition = PartitionId::new(it.topic, it.index);
            LostRange { partition, from: it.from, to: it.to }
        })
    }

    /// The entries that were lost whole.
    pub(crate) fn csns(&self) -> impl Iterator<Item = CsnRange> + '_ {
        self.0.values().filter_map(|record| record.csns)
    }

    fn of(&self, hole: &Hole) -> Option<&AcceptedRecord> {
        self.0.get(&(hole.path.clone(), hole.position))
    }

    /// Whether the place was accepted, and has not grown since. Which offsets were is not asked.
    pub(crate) fn has(&self, hole: &Hole) -> bool {
        self.of(hole).is_some_and(|record| {
            let has = |lost| record.csns.is_some_and(|it| it.contains(lost));
            // Entries that are in no file leave no bytes.
            hole.bytes <= record.bytes && (hole.bytes > 0 || hole.csns.is_none_or(has))
        })
    }

    /// The record that accepts a hole: what it has cost, and what was accepted of it before.
    pub(crate) fn record_of(&self, hole: &Hole) -> SegmentsRecord {
        let range = |it: &LostRange| AcceptedRange {
            topic: it.partition.topic,
            index: it.partition.index,
            from: it.from,
            to: it.to,
        };
        let mut lost: Vec<AcceptedRange> = hole.lost.iter().map(range).collect();
        let before = self.of(hole);
        let lost_before = before.iter().flat_map(|record| &record.lost);
        lost.extend(lost_before.filter(|it| !hole.lost.iter().any(|lost| range(lost) == **it)));
        let csns = hole.csns.or_else(|| before.and_then(|record| record.csns));
        let record = AcceptedRecord { bytes: hole.bytes, lost, csns };
        SegmentsRecord::Accepted(hole.path.clone(), hole.position, Some(record))
    }
}
