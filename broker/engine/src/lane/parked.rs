//! The records that a lane has left behind: those that failed and wait for another attempt, and
//! those that wait for an earlier one of their key. What is redriven is among them: it is read from
//! its dead letter, and is else like any other. Pure; what has changed is asked for by whoever
//! commits it.
//!
//! Records of one key are a chain. Only its first is ever due; when that is settled, the next one
//! is, at once. So no record of a key overtakes an earlier one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use logmill_model::internal::{CursorRecord, HoleRecord};
use logmill_model::{DeploymentSettings, LostOffsets, Offset, Order, Timestamp};

use crate::cursors::{Holes, LaneCursor};
use crate::limits::PARKED_BYTES_MAX;

/// The key of holes of which it is not known: they hold all others.
const UNKNOWN: u64 = 0;

/// How much a lane may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParkedMax {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl ParkedMax {
    /// What the lanes of a deployment with these settings may.
    pub(crate) fn of(settings: &DeploymentSettings) -> Self {
        Self { records: settings.max_parked.into(), bytes: PARKED_BYTES_MAX }
    }
}

/// What a lane has left behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parked {
    order: Order,
    holes: BTreeMap<Offset, HoleRecord>,
    /// Those whose records are read from the source.
    in_source: BTreeSet<Offset>,
    chains: HashMap<u64, BTreeSet<Offset>>,
    /// The first of each chain, by when it is due.
    due: BTreeSet<(Timestamp, Offset)>,
    bytes: u64,
    /// What is not committed yet; None: it has its outcome.
    changes: BTreeMap<Offset, Option<HoleRecord>>,
}

impl Parked {
    /// What a lane has left behind that stands here, and its cursor. Attempts that the cursor itself
    /// tells of become a hole, which is written with the next commit.
    pub(crate) fn of(order: Order, cursor: LaneCursor) -> (CursorRecord, Self) {
        let LaneCursor { mut record, holes } = cursor;
        let mut parked = Self::new(order, holes);
        if let Some(failed) = record.failed.take() {
            let hole = HoleRecord {
                key: UNKNOWN,
                bytes: 0,
                failed: Some(failed),
                crashes: 0,
                place: None,
            };
            parked.park(record.next, hole);
            record.next = record.next.next();
        }
        (record, parked)
    }

    fn new(order: Order, holes: Holes) -> Self {
        let mut parked = Self { order, ..Self::default() };
        for (offset, hole) in Arc::unwrap_or_clone(holes) {
            parked.insert(offset, hole);
        }
        parked.changes.clear();
        parked
    }

    /// The first record without an outcome that is to be read from the source.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.in_source.first().copied()
    }

    /// What lies in a range.
    pub(crate) fn within(&self, range: LostOffsets) -> Vec<Offset> {
        self.holes.range(range.from..range.to).map(|(offset, _)| *offset).collect()
    }

    /// What is lost with a range of the source: what is to be read from there.
    pub(crate) fn lost_with(&self, range: LostOffsets) -> Vec<Offset> {
        self.in_source.range(range.from..range.to).copied().collect()
    }

    /// Why no new records are taken up, for a person, where that is not plain.
    pub(crate) fn fullness(&self, max: ParkedMax) -> Option<String> {
        (self.order == Order::Key && !self.has_room(max)).then(|| {
            format!("{}; new ones are taken up when some have their outcome", self.said_full())
        })
    }

    /// That there is no room, for a person.
    pub(crate) fn said_full(&self) -> String {
        let (records, bytes) = (self.holes.len(), self.bytes);
        format!("{records} records of {bytes} bytes are parked, and no more may be")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.holes.is_empty()
    }

    /// Whether new records are taken up.
    pub(crate) fn has_room(&self, max: ParkedMax) -> bool {
        match self.order {
            Order::Partition => self.is_empty(),
            Order::Key => (self.holes.len() as u64) < max.records && self.bytes < max.bytes,
        }
    }

    /// Whether a record of so many bytes may be taken back.
    pub(crate) fn has_room_for(&self, bytes: u32, max: ParkedMax) -> bool {
        let bytes = self.bytes.saturating_add(bytes.into());
        // A single one may be larger.
        (self.holes.len() as u64) < max.records && (bytes <= max.bytes || self.is_empty())
    }

    /// Whether a later record of this key has to wait for one that is parked.
    pub(crate) fn holds(&self, key: u64) -> bool {
        self.chains.contains_key(&key) || self.chains.contains_key(&UNKNOWN)
    }

    /// Whether it is the turn of a record.
    pub(crate) fn is_due(&self, offset: Offset, now: Timestamp) -> bool {
        let Some(hole) = self.holes.get(&offset) else { return false };
        let at = due_at(hole);
        at <= now && self.due.contains(&(at, offset))
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What to take up now, in order of offsets: those that are due and, behind each that has not
    /// failed, what is due as soon as that is settled.
    pub(crate) fn take_up(&self, now: Timestamp, max: usize) -> BTreeSet<Offset> {
        let mut taken = BTreeSet::new();
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(max);
        for (_, offset) in due {
            taken.insert(*offset);
            let hole = &self.holes[offset];
            if hole.failed.is_some() || taken.len() >= max {
                continue;
            }
            let chain = self.chains[&self.chain_of(hole)].range(*offset..).skip(1);
            let untried = chain.take_while(|it| self.holes[*it].failed.is_none());
            taken.extend(untried.take(max - taken.len()));
        }
        taken
    }

    /// Leaves a record behind, or notes another attempt at one that was left.
    pub(crate) fn park(&mut self, offset: Offset, hole: HoleRecord) {
        self.remove(offset);
        self.insert(offset, hole);
    }

    /// A record that was left behind has its outcome.
    pub(crate) fn settle(&mut self, offset: Offset) {
        if self.remove(offset) {
            self.changes.insert(offset, None);
        }
    }

    /// A record that was left behind, as it is noted.
    pub(crate) fn hole(&self, offset: Offset) -> Option<&HoleRecord> {
        self.holes.get(&offset)
    }

    /// What has changed since the last call.
    pub(crate) fn take_changes(&mut self) -> BTreeMap<Offset, Option<HoleRecord>> {
        std::mem::take(&mut self.changes)
    }

    fn chain_of(&self, hole: &HoleRecord) -> u64 {
        match self.order {
            Order::Partition => UNKNOWN,
            Order::Key => hole.key,
        }
    }

    fn insert(&mut self, offset: Offset, hole: HoleRecord) {
        self.bytes += u64::from(hole.bytes);
        self.changes.insert(offset, Some(hole.clone()));
        let key = self.chain_of(&hole);
        let first = self.chains.get(&key).and_then(|chain| chain.first().copied());
        if let Some(first) = first
            && offset < first
        {
            self.due.remove(&(due_at(&self.holes[&first]), first));
        }
        if first.is_none_or(|first| offset < first) {
            self.due.insert((due_at(&hole), offset));
        }
        self.chains.entry(key).or_default().insert(offset);
        if hole.place.is_none() {
            self.in_source.insert(offset);
        }
        self.holes.insert(offset, hole);
    }

    fn remove(&mut self, offset: Offset) -> bool {
        let Some(hole) = self.holes.remove(&offset) else { return false };
        self.bytes -= u64::from(hole.bytes);
        self.in_source.remove(&offset);
        let key = self.chain_of(&hole);
        let Some(chain) = self.chains.get_mut(&key) else { return true };
        chain.remove(&offset);
        if self.due.remove(&(due_at(&hole), offset))
            && let Some(first) = chain.first()
        {
            self.due.insert((due_at(&self.holes[first]), *first));
        }
        if chain.is_empty() {
            self.chains.remove(&key);
        }
        true
    }
}

/// When a record is due once it is the first of its key.
fn due_at(hole: &HoleRecord) -> Timestamp {
    hole.failed.as_ref().map_or(Timestamp::ZERO, |failed| failed.retry_at)
}

#[cfg(test)]
mod tests;
