//! Commits that are on their way, while the lane handles what comes next.
//!
//! A commit waits for the disk, and a run for the module: one after the other, a lane would wait for
//! each in turn. So the next runs are handled *ahead* of the commits before them, and several are on
//! their way at once. What a run came to is sent off when the next one has begun, or when there is none.
//!
//! Each commit is conditional on the cursor as the one before leaves it: where that one is refused, so
//! are all behind it, and nothing of them has happened. This rests on three things: the sequencer judges
//! a lane's commits in the order in which they were proposed; a lane that waits to propose one is not
//! interrupted there; and whoever else moves a cursor (`reset`, another version) raises its generation.
//! A lane does nothing but handle records before all that is on its way is settled: it does not stop,
//! stand still or wait with a commit whose outcome it does not know.

use std::time::Instant;

use logmill_model::internal::CursorRecord;
use logmill_model::{
    Append, Commit, CommitClass, Committed, Counts, FailureReason, Offset, Outcome, Refusal,
    TopicId,
};
use logmill_wasm::Failure;

use super::broken::Row;
use super::commit::{Changes, missing};
use super::memory::{ClaimWait, Kept};
use super::run::{Broken, Ran, Times};
use super::{Lane, Next};
use crate::limits::COMMITS_AHEAD_MAX;
use crate::outputs::TopicMissing;
use crate::sequencer::Ticket;

/// What a run came to, whose commit is not on its way yet. The lane stands where that leads to already.
pub(super) struct Unsent {
    /// Without what it left behind, which the lane has.
    pub(super) ran: Ran,
    pub(super) changes: Changes,
    /// Where the lane stood before.
    pub(super) before: CursorRecord,
}

/// A commit that is on its way. The lane stands where it leads to already, or further.
pub(super) struct Pending {
    ticket: Ticket,
    class: CommitClass,
    proposed: Instant,
    kept: Kept,
    /// Where in the commit the claims begin.
    claims_at: Option<usize>,
    records: usize,
    last: Option<Offset>,
    row: Row,
    times: Times,
    broken: Option<Broken>,
    /// The counts before it and with it.
    counts: [Counts; 2],
    /// That of the cursor with it.
    revision: u64,
}

impl Lane {
    /// Whether the next run may be handled while the commit of this one is on its way. It sees
    /// what this one has settled, left behind and claimed, but not what it has set: state is looked up as
    /// it is durable. And where anything is out of the ordinary, as with records that break the module, one
    /// thing is done after the other.
    pub(super) fn may_run_ahead(&self, ran: &Ran) -> bool {
        ran.records > 0
            && ran.broken.is_none()
            && ran.kept.state.is_empty()
            && ran.row.after(self.context.rows.length()) == 0
            && self.records_max == self.context.run_records
            && self.blamed.is_idle()
    }

    /// Whether one commit more may be on its way.
    pub(super) fn has_way(&self) -> bool {
        self.pending.len() < COMMITS_AHEAD_MAX
    }

    /// Whether anything that it has handled has no outcome yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.unsent.is_some() || !self.pending.is_empty()
    }

    /// Stands where a run leads to.
    pub(super) fn stand_behind(&mut self, mut ran: Ran, changes: Changes) {
        let before = std::mem::replace(&mut self.cursor, ran.cursor.clone());
        self.parked = std::mem::take(&mut ran.parked);
        self.unsent = Some(Unsent { ran, changes, before });
    }

    /// Sends the commit of what was handled on its way. An error: the lane does not stand where that
    /// was to lead to.
    pub(super) async fn send_off(&mut self) -> Result<(), Next> {
        let Some(unsent) = self.unsent.take() else { return Ok(()) };
        while !self.has_way() {
            self.settle_first().await?;
        }
        let commit = match self.commit_of(&unsent) {
            Ok(commit) => commit,
            Err(TopicMissing(topic)) => {
                let next = Next::Wait(missing(&topic, &self.context.dlq));
                let next = self.settle().await.map_or_else(|other| other, |_| next);
                return Err(self.forget(next));
            }
        };
        self.propose(unsent, commit).await
    }

    async fn propose(&mut self, unsent: Unsent, commit: Commit) -> Result<(), Next> {
        let is_claims = |it: &Append| it.partition.topic == TopicId::CLAIMS;
        let claims_at = commit.appends.iter().position(is_claims);
        let (class, proposed) = (commit.class, Instant::now());
        let Ok(ticket) = self.parts.sequencer.propose(commit).await else { return Err(Next::End) };
        let Unsent { ran, before, .. } = unsent;
        let Ran { cursor, kept, records, last, row, times, broken, .. } = ran;
        self.pending.push_back(Pending {
            ticket,
            class,
            proposed,
            kept,
            claims_at,
            records,
            last,
            row,
            times,
            broken,
            counts: [before.counts, cursor.counts],
            revision: cursor.revision,
        });
        Ok(())
    }

    /// Waits for the outcomes of all commits that are on their way. An error: the lane does not stand
    /// where they were to lead to.
    pub(super) async fn settle(&mut self) -> Result<Next, Next> {
        let mut next = Next::Go;
        while !self.pending.is_empty() {
            next = self.settle_first().await?;
        }
        Ok(next)
    }

    /// Waits for the outcome of the first of them.
    async fn settle_first(&mut self) -> Result<Next, Next> {
        let Some(first) = self.pending.front_mut() else { return Ok(Next::Go) };
        let outcome = (&mut first.ticket).await;
        let Some(first) = self.pending.pop_front() else { return Ok(Next::Go) };
        match outcome {
            Outcome::Committed(committed) => Ok(self.is_durable(first, &committed)),
            Outcome::Unknown => Err(Next::End),
            Outcome::Refused(refusal) => {
                // Those behind it follow from where it was to lead to, and are refused as well.
                self.pending.clear();
                self.unsent = None;
                let next = self.refused(refusal, &first);
                Err(self.forget(next))
            }
        }
    }

    /// Waits for the next outcome of what was handled.
    pub(super) async fn settle_next(&mut self) -> Result<Next, Next> {
        self.send_off().await?;
        self.settle_first().await
    }

    /// Waits for the outcomes of all that was handled.
    pub(super) async fn settle_all(&mut self) -> Result<Next, Next> {
        self.send_off().await?;
        self.settle().await
    }

    fn is_durable(&mut self, pending: Pending, committed: &Committed) -> Next {
        let Pending { proposed, kept, claims_at, row, times, broken, counts, revision, .. } =
            pending;
        self.measure(&counts, &times, proposed.elapsed());
        self.memory.state.apply(kept.state, revision);
        // The claims lie one after another from here on.
        let base = claims_at.and_then(|at| committed.base_offsets.get(at));
        if let Some((claims, base)) = kept.claims.zip(base) {
            claims.are_durable(*base, committed.time);
        }
        self.records_max = self.context.run_records;
        self.context.rows.add(row);
        self.held_up = 0;
        match broken {
            Some(Broken::Claim(ClaimWait::Key(key))) => Next::WaitForClaim(key),
            _ => Next::Go,
        }
    }

    fn refused(&mut self, refusal: Refusal, pending: &Pending) -> Next {
        match refusal {
            Refusal::DiskFull => Next::WaitForSpace(pending.class),
            Refusal::TooLarge { .. } | Refusal::TooManyAppends { .. } if pending.records > 1 => {
                self.records_max = 1;
                Next::Go
            }
            Refusal::TooLarge { .. } | Refusal::TooManyAppends { .. } => {
                let (reason, detail) = (FailureReason::OutputLimit, refusal.to_string());
                let failure = Failure { reason, detail, instance_lost: false };
                self.refused = pending.last.map(|offset| (offset, failure));
                Next::Go
            }
            refusal => Next::Wait(self.parts.views.named(refusal).to_string()),
        }
    }
}
