//! Records that may have ended the process: those that were being handled when it ended.
//!
//! They are left behind, whatever the order, and then handled alone, one at a time, each with its *crash
//! count* committed before the call. Whoever is innocent is settled as ever. The one that ends the
//! process again has one more crash than before, and at the limit it is a dead letter.

use std::collections::BTreeSet;

use logmill_model::internal::{CursorRecord, FailedAttempts, HoleRecord};
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{FailureReason, LostOffsets, Offset, RecordBatch};
use logmill_wasm::Failure;

use super::parked::Parked;
use super::run::{Ran, hole};
use super::{Lane, Next};
use crate::board::Ranges;
use crate::limits::{COMMITS_AHEAD_MAX, READ_BYTES_MAX, RUN_RECORDS_MAX};

/// As much as runs handle that are ahead of a commit, and the one that this is of.
const BLAMED_MAX: usize = (COMMITS_AHEAD_MAX + 1) * RUN_RECORDS_MAX;

/// What a lane has to handle alone.
#[derive(Default)]
pub(super) struct Blamed {
    /// As it was noted, until it is left behind.
    ranges: Vec<Ranges>,
    alone: BTreeSet<Offset>,
    /// Whose crash is counted, and who has not been called since.
    counted: Option<Offset>,
}

impl Blamed {
    pub(super) fn new(ranges: Vec<Ranges>) -> Self {
        Self { ranges, ..Self::default() }
    }

    /// Whether there is something to leave behind first.
    pub(super) fn is_new(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Whether nothing is to be handled alone.
    pub(super) fn is_idle(&self) -> bool {
        self.ranges.is_empty() && self.alone.is_empty()
    }

    /// What of these may be handled together.
    pub(super) fn without(&self, mut due: BTreeSet<Offset>) -> BTreeSet<Offset> {
        due.retain(|offset| !self.alone.contains(offset));
        due
    }
}

impl Lane {
    /// Leaves behind what may have ended the process, so that each can be handled alone.
    pub(super) async fn leave_blamed(&mut self) -> Next {
        let (mut cursor, mut parked) = (self.cursor.clone(), self.parked.clone());
        let (mut alone, mut end) = (BTreeSet::new(), cursor.next);
        for Ranges { left, new } in &self.blamed.ranges {
            for range in [left, new] {
                let (from, to) = (range.start, range.end);
                alone.extend(parked.within(LostOffsets { from, to }));
            }
            end = end.max(new.end);
        }
        for (offset, hole) in match self.read_blamed(end).await {
            Ok(found) => found,
            Err(next) => return next,
        } {
            parked.park(offset, hole);
            alone.insert(offset);
            cursor.next = offset.next();
        }
        if let Some(first) = alone.first() {
            let records = alone.len();
            tracing::warn!(%first, records, "the process ended while these were handled; each is now handled alone");
        }
        let next = self.commit_parked(cursor, parked).await;
        if let Next::Go = next {
            self.blamed = Blamed { alone, ..Blamed::default() };
        }
        next
    }

    /// What lies between the cursor and this offset, as it is left behind: as much as a run handles,
    /// and those whose commits it may have been ahead of; what follows was not being handled.
    async fn read_blamed(&mut self, end: Offset) -> Result<Vec<(Offset, HoleRecord)>, Next> {
        let (mut found, mut next) = (Vec::new(), self.cursor.next);
        let end = end.min(self.parts.log.end_offset(self.id.source));
        while next < end && found.len() < BLAMED_MAX {
            let batches = self.read_at(next, READ_BYTES_MAX).await?;
            let Some(last) = batches.last() else { break };
            let read_to = last.envelope.end_offset();
            for stored in &batches {
                // What can't be read is told by the run that comes to it.
                let Ok(records) = stored.batch.decompressed(BATCH_BYTES_MAX) else {
                    return Ok(found);
                };
                let base = stored.envelope.base_offset;
                let records = records.to_records();
                let records = records.map(|(delta, it)| (RecordBatch::offset_at(base, delta), it));
                let blamed = records.filter(|(offset, _)| (next..end).contains(offset));
                found.extend(blamed.map(|(offset, record)| (offset, hole(offset, &record))));
            }
            next = read_to;
        }
        found.truncate(BLAMED_MAX);
        Ok(found)
    }

    /// Commits what is left behind, and where the cursor stands with it.
    async fn commit_parked(&mut self, mut cursor: CursorRecord, mut parked: Parked) -> Next {
        let changes = parked.take_changes();
        if changes.is_empty() {
            return Next::Go;
        }
        cursor.revision += 1;
        self.commit(Ran::new(None, cursor, parked), changes).await
    }

    /// Handles one record alone, if one that is due is to be.
    pub(super) async fn handle_alone(&mut self, due: &BTreeSet<Offset>) -> Option<Next> {
        let now = self.parts.clock.now();
        let mut blamed = due.iter().filter(|offset| self.blamed.alone.contains(offset));
        let offset = *blamed.find(|offset| self.parked.is_due(**offset, now))?;
        let hole = self.parked.hole(offset)?.clone();
        if self.blamed.counted == Some(offset) {
            return Some(self.run_alone(offset, None).await);
        }
        let hole = HoleRecord { crashes: hole.crashes.saturating_add(1), ..hole };
        if hole.crashes > self.context.policy.max_attempts {
            return Some(self.give_up(offset, hole).await);
        }
        let (cursor, mut parked) = (self.cursor.clone(), self.parked.clone());
        parked.park(offset, hole);
        // Durable before the call, or the next start would not know of it.
        let next = self.commit_parked(cursor, parked).await;
        let Next::Go = next else { return Some(next) };
        self.blamed.counted = self.parked.hole(offset).map(|_| offset);
        Some(self.run_alone(offset, None).await)
    }

    /// Has it buried without another call.
    async fn give_up(&mut self, offset: Offset, hole: HoleRecord) -> Next {
        let (now, crashes) = (self.parts.clock.now(), hole.crashes);
        let attempts = hole.failed.as_ref().map_or(0, |it| it.attempts) + crashes - 1;
        let first_failed_ts = hole.failed.as_ref().map_or(now, |it| it.first_failed_ts);
        let (last_failed_ts, retry_at) = (now, now);
        let failed = FailedAttempts { attempts, first_failed_ts, last_failed_ts, retry_at };
        let as_committed = self.parked.clone();
        // Part of no commit but that of the dead letter.
        self.parked.park(offset, HoleRecord { failed: Some(failed), ..hole });
        self.parked.take_changes();
        let detail = format!(
            "the broker's process ended {crashes} times while this record was handled alone or among others"
        );
        let failure = Failure { reason: FailureReason::Crash, detail, instance_lost: false };
        let revision = self.cursor.revision;
        let next = self.run_alone(offset, Some((offset, failure))).await;
        if self.cursor.revision == revision {
            self.parked = as_committed;
        }
        next
    }

    async fn run_alone(&mut self, offset: Offset, refused: Option<(Offset, Failure)>) -> Next {
        let revision = self.cursor.revision;
        let batches = match self.read_due(BTreeSet::from([offset])).await {
            Ok(batches) => batches,
            Err(next) => return next,
        };
        self.refused = refused;
        let next = self.handle_batches(batches).await;
        // Else it was not handled, or that was refused.
        if self.cursor.revision != revision {
            self.blamed.alone.remove(&offset);
            self.blamed.counted = None;
        }
        next
    }
}
