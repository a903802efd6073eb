//! The cursors of all lanes, and what each has left behind: a fold over `_cursors`.

use std::collections::BTreeMap;
use std::sync::Arc;

use logmill_model::internal::{
    CursorRecord, CursorsRecord, FailedAttempts, HoleRecord, RecordPlace,
};
use logmill_model::{
    Counts, DeploymentId, DeploymentName, LaneId, LostOffsets, Offset, PartitionId, TopicId,
    Waiting,
};

/// What a lane has left behind. Shared: whoever asks where a lane stands does not copy it.
pub(crate) type Holes = Arc<BTreeMap<Offset, HoleRecord>>;

/// Where a lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneCursor {
    pub(crate) record: CursorRecord,
    /// The records before `record.next` that have no outcome.
    pub(crate) holes: Holes,
}

impl LaneCursor {
    pub(crate) fn new(generation: u32, next: Offset) -> Self {
        let (failed, counts) = (None, Counts::default());
        let record = CursorRecord { generation, revision: 1, next, failed, counts };
        Self { record, holes: Holes::default() }
    }

    /// That of a lane of which no cursor is left: all that were written are lost.
    fn unknown(holes: Holes) -> Self {
        let (failed, counts) = (None, Counts::default());
        let record =
            CursorRecord { generation: 0, revision: 0, next: Offset::ZERO, failed, counts };
        Self { record, holes }
    }

    /// Whether nobody knows where the lane stood: somebody must say where it goes on.
    pub(crate) fn is_unknown(&self) -> bool {
        self.record.generation == 0
    }

    /// The first offset of the source that is still needed: what is redriven is not read from there.
    pub(crate) fn floor(&self) -> Offset {
        let mut in_source = self.holes.iter().filter(|(_, hole)| hole.place.is_none());
        in_source.next().map_or(self.record.next, |(offset, _)| *offset)
    }

    /// The dead letters that it has taken back.
    pub(crate) fn letters(&self) -> impl Iterator<Item = RecordPlace> + '_ {
        self.holes.values().filter_map(|hole| hole.place)
    }

    /// How many records wait for another attempt, or for one that does.
    pub(crate) fn parked(&self) -> u64 {
        self.holes.len() as u64 + u64::from(self.record.failed.is_some())
    }

    /// The first record without an outcome, if it has failed.
    pub(crate) fn first_failed(&self) -> Option<(Offset, &FailedAttempts)> {
        match self.holes.first_key_value() {
            Some((offset, hole)) => Some((*offset, hole.failed.as_ref()?)),
            None => Some((self.record.next, self.record.failed.as_ref()?)),
        }
    }

    /// How many records have no outcome, when so many are there from the next one on.
    pub(crate) fn lag(&self, untouched: u64) -> u64 {
        untouched + self.holes.len() as u64
    }

    /// Whether a record waits for the deployment of this name: it was not taken up, or is a hole.
    pub(crate) fn waiting(&self, deployment: &DeploymentName, offset: Offset) -> Option<Waiting> {
        let hole = self.holes.get(&offset);
        if hole.is_none() && offset < self.record.next {
            return None;
        }
        let failed = hole.and_then(|hole| hole.failed.as_ref());
        let deployment = deployment.clone();
        let attempts = failed.map_or(0, |it| it.attempts);
        Some(Waiting { deployment, attempts, retry_at: failed.map(|it| it.retry_at) })
    }

    /// What moves it to another offset by hand. What it had left behind is no more.
    pub(crate) fn moved(&self, lane: LaneId, to: Offset) -> Vec<CursorsRecord> {
        let CursorRecord { generation, revision, counts, .. } = self.record.clone();
        let (generation, revision) = (generation + 1, revision + 1);
        let record = CursorRecord { generation, revision, next: to, failed: None, counts };
        let holes = self.holes.keys().map(|offset| CursorsRecord::Hole(lane, *offset, None));
        [CursorsRecord::Cursor(lane, Some(record))].into_iter().chain(holes).collect()
    }

    /// What moves it behind offsets that are gone for good, and counts what was lost.
    pub(crate) fn behind(&self, lane: LaneId, lost: LostOffsets) -> Vec<CursorsRecord> {
        let gone = self.holes.range(..lost.to).filter(|(_, hole)| hole.place.is_none());
        let gone: Vec<Offset> = gone.map(|(offset, _)| *offset).collect();
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
        [CursorsRecord::Cursor(lane, Some(record))].into_iter().chain(holes).collect()
    }
}

/// The cursors of all lanes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    pub(crate) by_lane: BTreeMap<LaneId, LaneCursor>,
    /// Holes of lanes without a cursor. While records are read: it comes later. When all are read: the
    /// lane has ended.
    orphans: BTreeMap<LaneId, Holes>,
    /// The end of `_cursors` that they are the fold of.
    pub(crate) end: Offset,
}

impl Cursors {
    /// Takes in one record. Compaction keeps the newest of each key, so a lane's holes may lie before
    /// its cursor.
    pub(crate) fn apply(&mut self, record: &CursorsRecord) {
        match record {
            CursorsRecord::Cursor(lane, None) => {
                if let Some(ended) = self.by_lane.remove(lane) {
                    self.orphans.insert(*lane, ended.holes);
                }
            }
            CursorsRecord::Cursor(lane, Some(cursor)) => match self.by_lane.get_mut(lane) {
                Some(at) => at.record = cursor.clone(),
                None => {
                    let holes = self.orphans.remove(lane).unwrap_or_default();
                    self.by_lane.insert(*lane, LaneCursor { record: cursor.clone(), holes });
                }
            },
            CursorsRecord::Hole(lane, offset, hole) => {
                let holes = match self.by_lane.get_mut(lane) {
                    Some(at) => &mut at.holes,
                    None => self.orphans.entry(*lane).or_default(),
                };
                let holes = Arc::make_mut(holes);
                match hole {
                    Some(hole) => holes.insert(*offset, hole.clone()),
                    None => holes.remove(offset),
                };
                if self.orphans.get(lane).is_some_and(|holes| holes.is_empty()) {
                    self.orphans.remove(lane);
                }
            }
        }
    }

    /// Takes in a lane that there is; returns whether it has no cursor.
    pub(crate) fn expect(&mut self, lane: LaneId) -> bool {
        if self.by_lane.contains_key(&lane) {
            return false;
        }
        let holes = self.orphans.remove(&lane).unwrap_or_default();
        self.by_lane.insert(lane, LaneCursor::unknown(holes));
        true
    }

    /// The holes of lanes that have ended, and what deletes each.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (CursorsRecord, &HoleRecord)> + '_ {
        self.orphans.iter().flat_map(|(lane, holes)| {
            let deleted = |at: &Offset| CursorsRecord::Hole(*lane, *at, None);
            holes.iter().map(move |(at, hole)| (deleted(at), hole))
        })
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
            let known = (!cursor.is_unknown()).then(|| cursor.record.clone());
            let record = known.map(|record| CursorsRecord::Cursor(*lane, Some(record)));
            record.into_iter().chain(records_of(*lane, &cursor.holes))
        });
        let orphans = self.orphans.iter().flat_map(|(lane, holes)| records_of(*lane, holes));
        lanes.chain(orphans)
    }
}

fn records_of(
    lane: LaneId,
    holes: &BTreeMap<Offset, HoleRecord>,
) -> impl Iterator<Item = CursorsRecord> + '_ {
    holes.iter().map(move |(at, hole)| CursorsRecord::Hole(lane, *at, Some(hole.clone())))
}

#[cfg(test)]
mod tests {
    use logmill_model::Timestamp;

    use super::*;

    const LANE: LaneId =
        LaneId { deployment: DeploymentId(7), source: PartitionId::new(TopicId(17), 0) };

    fn hole(offset: u64) -> CursorsRecord {
        CursorsRecord::Hole(
            LANE,
            Offset(offset),
            Some(HoleRecord { key: 1, bytes: 2, failed: None, crashes: 0, place: None }),
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
        assert_eq!((lane.floor(), lane.lag(2)), (Offset(3), 5));
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
        let cleared = ended.orphans().map(|(record, _)| record);
        let cleared: Vec<_> = all.into_iter().chain(cleared).collect();
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
    fn failed_attempts_of_before_there_were_holes_are_told_until_they_are_over() {
        let at = Timestamp(1);
        let failed =
            FailedAttempts { attempts: 2, first_failed_ts: at, last_failed_ts: at, retry_at: at };
        let mut before = LaneCursor::new(1, Offset(10)).record;
        before.failed = Some(failed.clone());
        let before = CursorsRecord::Cursor(LANE, Some(before));
        let lane = folded(std::slice::from_ref(&before)).by_lane[&LANE].clone();
        assert_eq!((lane.floor(), lane.parked(), lane.lag(2)), (Offset(10), 1, 2));
        assert_eq!(lane.first_failed(), Some((Offset(10), &failed)));
        let after = CursorsRecord::Cursor(LANE, Some(LaneCursor::new(1, Offset(11)).record));
        let lane = folded(&[before, after]).by_lane[&LANE].clone();
        assert_eq!((lane.floor(), lane.parked()), (Offset(11), 0), "it has its outcome");
    }
}
