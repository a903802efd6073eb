//! The one commit of a run.

use std::collections::BTreeMap;

use logmill_model::internal::{
    CursorRecord, CursorsRecord, DecisionsRecord, HoleRecord, StateRecord,
};
use logmill_model::{
    Append, Commit, CommitClass, LaneId, LostOffsets, Offset, PartitionId, Precondition, Record,
    RecordBatch, TopicName,
};

use super::memory::Kept;
use super::pending::Unsent;
use super::run::Ran;
use super::{Lane, Next};
use crate::batches::batches;
use crate::claims::HeldKeys;
use crate::outputs::{Gathered, TopicMissing};

pub(super) type Changes = BTreeMap<Offset, Option<HoleRecord>>;

/// What moves a lane's cursor, and changes what it has left behind.
pub(super) fn moved(lane: LaneId, cursor: &CursorRecord, changes: &Changes) -> Append {
    let holes = changes.iter();
    let holes = holes.map(|(at, hole)| CursorsRecord::Hole(lane, *at, hole.clone()));
    let cursor = CursorsRecord::Cursor(lane, Some(cursor.clone()));
    let records: Vec<Record> = [cursor].into_iter().chain(holes).map(|it| it.encode()).collect();
    let cursors = RecordBatch::of(&records).expect("a run has few records, and they are small");
    Append::new(PartitionId::CURSORS, cursors)
}

/// That nobody has moved a lane's cursor since it stood here.
pub(super) fn stands_at(lane: LaneId, cursor: &CursorRecord) -> Precondition {
    let (generation, revision) = (cursor.generation, cursor.revision);
    Precondition::Cursor { lane, generation, revision }
}

impl Lane {
    /// Commits what a run came to. Refused, nothing of it has happened.
    ///
    /// Its outcome is waited for here, unless the lane may [run ahead](Self::may_run_ahead): then the
    /// lane goes on, and the outcome is waited for while the next run is handled, or before anything else
    /// is done. Where the next run can begin at once, the commit is sent off after that.
    pub(super) async fn commit(&mut self, ran: Ran, changes: Changes) -> Next {
        if let Err(next) = self.send_off().await {
            return next;
        }
        let runs_ahead = self.may_run_ahead(&ran);
        self.stand_behind(ran, changes);
        let settled = match runs_ahead {
            true if self.has_next_run() && self.has_way() => Ok(Next::Go),
            true => self.send_off().await.map(|()| Next::Go),
            false => self.settle_all().await,
        };
        settled.unwrap_or_else(|next| next)
    }

    /// Goes on behind a loss that was accepted, and counts it.
    pub(super) async fn skip(&mut self, lost: LostOffsets) -> Next {
        let (mut cursor, mut parked) = (self.cursor.clone(), self.parked.clone());
        cursor.counts.lost += cursor.next.max(lost.from).distance_to(lost.to);
        cursor.next = cursor.next.max(lost.to);
        for offset in parked.lost_with(lost) {
            parked.settle(offset);
            cursor.counts.lost += 1;
        }
        cursor.revision += 1;
        let changes = parked.take_changes();
        self.commit(Ran::new(None, cursor, parked), changes).await
    }

    pub(super) fn commit_of(&self, unsent: &Unsent) -> Result<Commit, TopicMissing> {
        let Unsent { ran, changes, before } = unsent;
        let Ran { cursor, writes, kept, .. } = ran;
        let adds = !writes.is_empty() || !kept.state.is_empty();
        let class = if adds { CommitClass::Produce } else { CommitClass::Progress };
        let (gathered, decisions) = self.gather(ran)?;
        let mut appends: Vec<Append> = gathered.into_appends().collect();
        appends.push(moved(self.id, cursor, changes));
        appends.extend(self.appends_of(kept));
        if !decisions.stretches.is_empty()
            && let Some(partition) = PartitionId::decisions_of(self.id.deployment)
        {
            let batch = RecordBatch::of([&decisions.encode()]);
            appends.push(Append::new(partition, batch.expect("what a run decides is small")));
        }
        let preconditions = vec![stands_at(self.id, before)];
        Ok(Commit { appends, preconditions, class })
    }

    /// What a run has changed of what the lane remembers.
    fn appends_of(&self, kept: &Kept) -> Vec<Append> {
        let LaneId { deployment, source } = self.id;
        let state = kept.state.iter().map(|(key, value)| {
            StateRecord { source, key: key.clone(), value: value.clone() }.encode()
        });
        let claims = kept.claims.iter().flat_map(HeldKeys::records);
        let mut all = appends(PartitionId::state_of(deployment), state);
        all.extend(appends(PartitionId::claims_of(deployment), claims));
        all
    }

    /// The batches that a run writes, and what it has decided with where that went.
    fn gather(&self, ran: &Ran) -> Result<(Gathered, DecisionsRecord), TopicMissing> {
        let catalog = self.parts.views.catalog();
        let (source, version) = (self.id.source, self.context.version);
        let (written, stretches) = (Vec::new(), Vec::new());
        let mut decisions = DecisionsRecord { source, version, written, stretches };
        let mut gathered = Gathered::default();
        // Both are in the order in which records were handled.
        let mut writes = ran.writes.iter().peekable();
        for (offset, attempt, decided) in &ran.decided {
            let mut went = Vec::new();
            while let Some((from, write)) = writes.next_if(|(from, _)| from == offset) {
                went.push(gathered.add(&catalog, write, from.0)?);
            }
            decisions.push(*offset, *attempt, *decided, went);
        }
        Ok((gathered, decisions))
    }
}

/// Why nothing can be written to a topic that was deleted, for a person.
pub(super) fn missing(topic: &TopicName, dlq: &TopicName) -> String {
    let again = format!("topic {topic} does not exist; the lane goes on when it is created again");
    if topic == dlq { format!("dlq unavailable: {again}") } else { again }
}

fn appends(partition: Option<PartitionId>, records: impl Iterator<Item = Record>) -> Vec<Append> {
    let Some(partition) = partition else { return Vec::new() };
    let batches = batches(records).expect("a key and its value fit a batch");
    batches.into_iter().map(|batch| Append::new(partition, batch)).collect()
}
