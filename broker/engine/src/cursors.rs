//! The cursors of all lanes, and what each has left behind: a fold over `_cursors`.

use std::collections::BTreeMap;

use logmill_model::internal::{CursorRecord, CursorsRecord, HoleRecord};
use logmill_model::{Counts, DeploymentId, LaneId, LostOffsets, Offset, PartitionId, TopicId};

/// Where a lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneCursor {
    pub(crate) record: CursorRecord,
    /// The records before `record.next` that have no outcome.
    pub(crate) holes: BTreeMap<Offset, HoleRecord>,
}

impl LaneCursor {
    pub(crate) fn new(generation: u32, next: Offset) -> Self {
        let (failed, counts) = (None, Counts::default());
        let record = CursorRecord { generation, revision: 1, next, failed, counts };
        Self { record, holes: BTreeMap::new() }
    }

    /// The first offset without an outcome.
    pub(crate) fn floor(&self) -> Offset {
        self.holes.first_key_value().map_or(self.record.next, |(offset, _)| *offset)
    }

    /// How many records of a partition with this end have no outcome.
    pub(crate) fn lag(&self, end: Offset) -> u64 {
        self.record.next.distance_to(end) + self.holes.len() as u64
    }

    /// What moves it behind offsets that are gone for good, and counts what was lost.
    pub(crate) fn behind(&self, lane: LaneId, lost: LostOffsets) -> Vec<CursorsRecord> {
        let gone: Vec<Offset> = self.holes.range(..lost.to).map(|(offset, _)| *offset).collect();
        let CursorRecord { generation, revision, next, ref counts, .. } = self.record;
        let untouched = next.max(lost.from).distance_to(lost.to);
        let record = CursorRecord {
            generation: generation + 1,
            revision: revision + 1,
            next: next.max(lost.to),
            failed: None,
            counts: Counts { lost: counts.lost + gone.len() as u64 + untouched, ..*counts },
        };
        let holes = gone.into_iter().map(|offset| CursorsRecord::Hole(lane, offset, None));
        let left = self.holes.range(lost.to..).filter(|(_, hole)| is_of_cursor(hole));
        let left = left.map(|(offset, hole)| {
            CursorsRecord::Hole(lane, *offset, Some(HoleRecord { bytes: 1, ..hole.clone() }))
        });
        let record = CursorsRecord::Cursor(lane, Some(record));
        [record].into_iter().chain(holes).chain(left).collect()
    }
}

/// Whether a hole stands for attempts that a cursor itself tells of, as they were kept before there
/// were holes: with neither a key nor a size.
pub(crate) fn is_of_cursor(hole: &HoleRecord) -> bool {
    hole.key == 0 && hole.bytes == 0
}

/// The cursors of all lanes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    pub(crate) by_lane: BTreeMap<LaneId, LaneCursor>,
    /// Holes of lanes without a cursor. While records are read: it comes later. When all are read: the
    /// lane has ended.
    orphans: BTreeMap<(LaneId, Offset), HoleRecord>,
    /// The end of `_cursors` that they are the fold of.
    pub(crate) end: Offset,
}

impl Cursors {
    /// Takes in one record. Compaction keeps the newest of each key, so a lane's holes may lie before
    /// its cursor.
    pub(crate) fn apply(&mut self, record: &CursorsRecord) {
        match record {
            CursorsRecord::Cursor(lane, None) => {
                let ended = self.by_lane.remove(lane).map(|it| it.holes).unwrap_or_default();
                self.orphans.extend(ended.into_iter().map(|(at, hole)| ((*lane, at), hole)));
            }
            CursorsRecord::Cursor(lane, Some(cursor)) => self.apply_cursor(*lane, cursor),
            CursorsRecord::Hole(lane, offset, hole) => {
                let Some(at) = self.by_lane.get_mut(lane) else {
                    match hole {
                        Some(hole) => self.orphans.insert((*lane, *offset), hole.clone()),
                        None => self.orphans.remove(&(*lane, *offset)),
                    };
                    return;
                };
                match hole {
                    Some(hole) => at.holes.insert(*offset, hole.clone()),
                    None => at.holes.remove(offset),
                };
            }
        }
    }

    fn apply_cursor(&mut self, lane: LaneId, cursor: &CursorRecord) {
        if !self.by_lane.contains_key(&lane) {
            let mut new = LaneCursor::new(cursor.generation, cursor.next);
            let all = (lane, Offset(0))..=(lane, Offset(u64::MAX));
            let found: Vec<Offset> = self.orphans.range(all).map(|((_, at), _)| *at).collect();
            new.holes.extend(
                found
                    .into_iter()
                    .filter_map(|at| self.orphans.remove(&(lane, at)).map(|hole| (at, hole))),
            );
            self.by_lane.insert(lane, new);
        }
        let Some(at) = self.by_lane.get_mut(&lane) else { return };
        // Whoever wrote attempts into the cursor wrote it once more when they were over.
        at.holes.retain(|_, hole| !is_of_cursor(hole));
        at.record = cursor.clone();
        if let Some(failed) = at.record.failed.take() {
            at.holes.insert(cursor.next, HoleRecord { key: 0, bytes: 0, failed: Some(failed) });
            at.record.next = cursor.next.next();
        }
    }

    /// What deletes the holes of lanes that have ended.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = CursorsRecord> + '_ {
        self.orphans.keys().map(|(lane, offset)| CursorsRecord::Hole(*lane, *offset, None))
    }

    /// The lanes of a deployment that have a cursor.
    pub(crate) fn lanes_of(&self, deployment: DeploymentId) -> Vec<(LaneId, LaneCursor)> {
        let first = LaneId { deployment, source: PartitionId::new(TopicId(0), 0) };
        let lanes = self.by_lane.range(first..);
        let lanes = lanes.take_while(|(lane, _)| lane.deployment == deployment);
        lanes.map(|(lane, cursor)| (*lane, cursor.clone())).collect()
    }

    /// The newest record of each key: what `_cursors` is when it is compacted.
    pub(crate) fn records(&self) -> impl Iterator<Item = CursorsRecord> + '_ {
        let lanes = self.by_lane.iter().flat_map(|(lane, cursor)| {
            let holes = cursor.holes.iter();
            let holes = holes.map(|(at, hole)| CursorsRecord::Hole(*lane, *at, Some(hole.clone())));
            [CursorsRecord::Cursor(*lane, Some(cursor.record.clone()))].into_iter().chain(holes)
        });
        let orphans = self.orphans.iter();
        let orphans =
            orphans.map(|((lane, at), hole)| CursorsRecord::Hole(*lane, *at, Some(hole.clone())));
        lanes.chain(orphans)
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::Timestamp;
    use logmill_model::internal::FailedAttempts;

    use super::*;

    const LANE: LaneId =
        LaneId { deployment: DeploymentId(7), source: PartitionId::new(TopicId(17), 0) };

    fn hole(offset: u64) -> CursorsRecord {
        CursorsRecord::Hole(
            LANE,
            Offset(offset),
            Some(HoleRecord { key: 1, bytes: 2, failed: None }),
        )
    }

    fn folded(records: &[CursorsRecord]) -> Cursors {
        let mut cursors = Cursors::default();
        records.iter().for_each(|record| cursors.apply(record));
        cursors
    }

    fn with_holes() -> Vec<CursorsRecord> {
        let cursor = LaneCursor::new(1, Offset(10)).record;
        vec![CursorsRecord::Cursor(LANE, Some(cursor)), hole(3), hole(5), hole(8)]
    }

    #[test]
    fn a_lane_stands_at_its_first_hole() {
        let cursors = folded(&with_holes());
        let lane = &cursors.by_lane[&LANE];
        assert_eq!((lane.floor(), lane.lag(Offset(12))), (Offset(3), 5));
        assert_eq!(LaneCursor::new(1, Offset(10)).floor(), Offset(10));
    }

    #[test]
    fn the_newest_records_fold_to_the_same() {
        let mut records = with_holes();
        records.push(CursorsRecord::Hole(LANE, Offset(5), None));
        let cursors = folded(&records);
        let mut newest: Vec<_> = cursors.records().collect();
        assert_eq!(newest.len(), 3);
        assert_eq!(folded(&newest).by_lane, cursors.by_lane);
        // A cursor is written more often than its holes, so they may lie before it.
        newest.reverse();
        let reversed = folded(&newest);
        assert_eq!((reversed.by_lane, reversed.orphans.len()), (cursors.by_lane, 0));
    }

    #[test]
    fn a_lane_that_ends_leaves_nothing() {
        let ended = [CursorsRecord::Cursor(LANE, None)];
        let all: Vec<_> = with_holes().into_iter().chain(ended).collect();
        let ended = folded(&all);
        assert_eq!((ended.by_lane.len(), ended.orphans().count()), (0, 3));
        let newest: Vec<_> = ended.records().collect();
        assert_eq!(folded(&newest).orphans().count(), 3, "they are not forgotten");
        let cleared: Vec<_> = all.into_iter().chain(ended.orphans()).collect();
        assert_eq!(folded(&cleared).orphans().count(), 0);
        // A new lane of the same name has no holes of the old one.
        let again: Vec<_> = cleared.into_iter().chain(with_holes().into_iter().take(1)).collect();
        assert!(folded(&again).by_lane[&LANE].holes.is_empty());
    }

    #[test]
    fn what_was_lost_is_counted_once_and_what_is_left_stays() {
        for (to, lost, next, holes) in [(5, 1, 10, 2), (9, 3, 10, 0), (14, 7, 14, 0)] {
            let mut records = with_holes();
            let cursor = folded(&records).by_lane[&LANE].clone();
            records.extend(cursor.behind(LANE, LostOffsets { from: Offset(3), to: Offset(to) }));
            let after = &folded(&records).by_lane[&LANE];
            let found = (after.record.counts.lost, after.record.next.0, after.holes.len());
            assert_eq!(found, (lost, next, holes), "lost up to {to}");
            assert_eq!((after.record.generation, after.record.revision), (2, 2));
        }
    }

    #[test]
    fn failed_attempts_of_before_there_were_holes_become_one() {
        let at = Timestamp(1);
        let failed =
            FailedAttempts { attempts: 2, first_failed_ts: at, last_failed_ts: at, retry_at: at };
        let mut cursor = LaneCursor::new(1, Offset(10)).record;
        cursor.failed = Some(failed.clone());
        let lane = folded(&[CursorsRecord::Cursor(LANE, Some(cursor))]).by_lane[&LANE].clone();
        assert_eq!((lane.floor(), lane.record.next), (Offset(10), Offset(11)));
        assert_eq!(lane.holes[&Offset(10)].failed, Some(failed.clone()));
        assert_eq!(lane.record.failed, None);
        let mut before = LaneCursor::new(1, Offset(10)).record;
        before.failed = Some(failed);
        let after = LaneCursor::new(1, Offset(11)).record;
        let both = [before, after].map(|it| CursorsRecord::Cursor(LANE, Some(it)));
        assert_eq!(folded(&both).by_lane[&LANE].holes.len(), 0, "it has its outcome");
    }
}
