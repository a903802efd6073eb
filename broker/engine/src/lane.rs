//! A lane: one deployment on one partition. It owns the cursor; nobody else moves it.
//!
//! Read, handle, commit, and again: runs are handled [ahead](pending) of the commits before them.
//! The outputs, dead letters, counts, failed attempts and the cursor of a run are **one** commit,
//! conditional on the cursor's revision, so that no crash falls between them and no later run can jump
//! over an earlier, refused one.

mod blamed;
pub(crate) mod broken;
pub(crate) mod call;
mod claim;
mod commit;
mod measure;
pub(crate) mod memory;
pub(crate) mod parked;
mod pending;
pub(crate) mod read;
mod recall;
pub(crate) mod redrive;
pub(crate) mod run;
pub(crate) mod settle;
mod status;
mod wait;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill_model::internal::CursorRecord;
use logmill_model::{CommitClass, LaneId, LostOffsets, Offset, SpaceLevel};
use logmill_wasm::Failure;
use tokio::sync::{mpsc, watch};

use crate::Error;
use crate::claims::Fingerprint;
use crate::cursors::LaneCursor;
use crate::handler::Handler;
use crate::limits::{LANE_RETRY_WAIT, TAKE_UP_MAX};
use crate::parts::Parts;
use blamed::Blamed;
use call::Context;
use memory::{ClaimWait, LaneMemory};
use parked::Parked;
use pending::{Pending, Unsent};
use read::Batches;
use redrive::Redrive;
use run::{Broken, Ran, Run};

pub(crate) use status::LaneStatus;

/// A lane that runs until it is told to stop.
pub(crate) struct Lane {
    parts: Arc<Parts>,
    context: Arc<Context>,
    id: LaneId,
    cursor: CursorRecord,
    parked: Parked,
    /// What it remembers, as it is durable.
    memory: LaneMemory,
    handler: Option<Box<dyn Handler>>,
    /// The commits that have no outcome yet, each conditional on the one before.
    pending: VecDeque<Pending>,
    /// What comes behind them and is not on its way yet: it leads to where the lane stands.
    unsent: Option<Unsent>,
    ends: watch::Receiver<Offset>,
    stop: watch::Receiver<bool>,
    /// What it is asked to take back.
    mail: mpsc::Receiver<Redrive>,
    opened: Option<Redrive>,
    status: Arc<Mutex<LaneStatus>>,
    /// 1 after a run was refused, so that it is told which record is at fault.
    records_max: usize,
    refused: Option<(Offset, Failure)>,
    blamed: Blamed,
    /// How often in a row another lane held a key, and nothing was handled.
    held_up: u32,
}

/// What a lane does next.
enum Step {
    /// It was told to stop.
    Stop,
    /// A record without an outcome was removed.
    Lost,
    /// The module breaks on every record.
    Broken,
    /// It was asked to take dead letters back.
    TakeBack(Redrive),
    /// Nothing is due before this long, and new records are not taken up or not there.
    Wait(Option<Duration>),
    /// There are records to handle.
    Handle,
    /// Commits are on their way, and anything but handling records comes after them.
    Settle,
}

/// How a step ended.
enum Next {
    Go,
    /// Something around it is not as it must be; try again after a while.
    Wait(String),
    /// Its next records can't be read.
    Corrupt(String, LostOffsets),
    /// The disk has no room for a commit of this class; go on when it has.
    WaitForSpace(CommitClass),
    /// Another lane holds a key; go on when that is settled.
    WaitForClaim(Fingerprint),
    /// The broker stops.
    End,
}

impl Lane {
    pub(crate) fn new(
        parts: Arc<Parts>,
        context: Arc<Context>,
        (id, cursor): (LaneId, LaneCursor),
        (stop, mail): (watch::Receiver<bool>, mpsc::Receiver<Redrive>),
        status: Arc<Mutex<LaneStatus>>,
    ) -> Self {
        let ends = parts.views.watch(id.source);
        let (cursor, parked) = Parked::of(context.order, cursor);
        let blamed = Blamed::new(context.board.take(id));
        let named = (id, context.topic.clone());
        let memory = LaneMemory::new(&parts, &context.remembered, named, context.window_ms);
        let records_max = context.run_records;
        Self {
            parts,
            context,
            id,
            cursor,
            parked,
            memory,
            handler: None,
            pending: VecDeque::new(),
            unsent: None,
            ends,
            stop,
            mail,
            opened: None,
            status,
            records_max,
            refused: None,
            blamed,
            held_up: 0,
        }
    }

    /// Runs until it is told to stop; what it is handling then is settled and committed first.
    pub(crate) async fn run(mut self) {
        if !self.recall().await {
            return;
        }
        loop {
            let next = match self.step() {
                Step::Stop => return,
                Step::Lost => return self.stand().await,
                Step::Broken => return self.stand_broken().await,
                Step::TakeBack(redrive) => match self.take_back(redrive).await {
                    Next::End => return,
                    _ => continue,
                },
                Step::Wait(due) => {
                    self.wait_for_records(due).await;
                    continue;
                }
                Step::Settle => self.settle_next().await.unwrap_or_else(|next| next),
                Step::Handle => match self.handle().await {
                    Next::Go => Next::Go,
                    // Nobody waits with a commit on its way.
                    next => self.settle_all().await.map_or_else(|other| other, |_| next),
                },
            };
            match next {
                Next::Go => self.report(0, None),
                Next::Wait(why) => {
                    self.report(0, Some(why));
                    self.wait(LANE_RETRY_WAIT).await;
                }
                Next::Corrupt(why, lost) => {
                    self.report_corrupt(why, Some(lost));
                    self.wait(LANE_RETRY_WAIT).await;
                }
                Next::WaitForSpace(class) => {
                    self.report(0, Some("disk full".to_owned()));
                    self.wait_for_space(class).await;
                }
                Next::WaitForClaim(key) => self.wait_for_claim(key).await,
                Next::End => return,
            }
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    fn step(&mut self) -> Step {
        if self.is_ahead() {
            return if self.has_next_run() { Step::Handle } else { Step::Settle };
        }
        if self.is_stopped() {
            return Step::Stop;
        }
        if self.is_lost() {
            return Step::Lost;
        }
        if self.context.rows.is_full() {
            return Step::Broken;
        }
        if let Some(redrive) = self.opened.take().or_else(|| self.mail.try_recv().ok()) {
            return Step::TakeBack(redrive);
        }
        if self.has_new() {
            return Step::Handle;
        }
        let now = self.parts.clock.now();
        match self.parked.next_due().map(|at| now.ms_until(at)) {
            Some(0) => Step::Handle,
            ms => Step::Wait(ms.map(Duration::from_millis)),
        }
    }

    /// Whether there is nothing to do but to handle records.
    fn has_next_run(&self) -> bool {
        let is_asked = self.is_stopped() || self.opened.is_some() || !self.mail.is_empty();
        let is_due = || self.parked.next_due().is_some_and(|at| at <= self.parts.clock.now());
        let is_to_stand = self.is_lost() || self.context.rows.is_full();
        !is_asked && !is_to_stand && (self.has_new() || is_due())
    }

    fn is_lost(&self) -> bool {
        let floor = self.parked.first().unwrap_or(self.cursor.next);
        floor < self.parts.log.start_offset(self.id.source)
    }

    fn has_new(&self) -> bool {
        self.has_room() && self.cursor.next < self.parts.log.end_offset(self.id.source)
    }

    fn has_room(&self) -> bool {
        self.parked.has_room(self.context.parked_max)
    }

    async fn handle(&mut self) -> Next {
        if !self.parts.space_level().admits(CommitClass::Progress) {
            return Next::WaitForSpace(CommitClass::Progress);
        }
        let due = self.parked.take_up(self.parts.clock.now(), TAKE_UP_MAX);
        if let Some(lost) = self.accepted(&due) {
            return self.skip(lost).await;
        }
        // Held over the read as well: what waits for a worker waits without its records.
        let _slot = match self.slot().await {
            Ok(slot) => slot,
            Err(next) => return next,
        };
        if self.blamed.is_new() {
            return self.leave_blamed().await;
        }
        if let Some(next) = self.handle_alone(&due).await {
            return next;
        }
        match self.read(self.blamed.without(due)).await {
            Ok(batches) => self.handle_batches(batches).await,
            Err(next) => next,
        }
    }

    async fn handle_batches(&mut self, batches: Batches) -> Next {
        let level = self.parts.space_level();
        self.begin(batches.records(self.records_max as u64));
        let mut ran = match self.execute(batches, level).await {
            Ok(ran) => ran,
            Err(next) => return next,
        };
        self.handler = ran.handler.take();
        let changes = ran.parked.take_changes();
        if ran.cursor.next == self.cursor.next && changes.is_empty() {
            self.parked = ran.parked;
            return match ran.broken {
                Some(Broken::Space) => Next::WaitForSpace(CommitClass::Produce),
                Some(Broken::Claim(ClaimWait::Key(key))) => Next::WaitForClaim(key),
                Some(broken) => Next::Wait(broken.to_string()),
                None => Next::Go,
            };
        }
        self.commit(ran, changes).await
    }

    /// Handles what was read. When that has begun, what the run before it came to is sent off, and what
    /// is on its way is settled, so that nobody waits for the keys that it holds longer than for the disk.
    async fn execute(&mut self, batches: Batches, level: SpaceLevel) -> Result<Ran, Next> {
        let Batches { due, gone, new } = batches;
        let run = Run {
            lane: self.id,
            context: Arc::clone(&self.context),
            handler: self.handler.take(),
            cursor: self.cursor.clone(),
            parked: std::mem::take(&mut self.parked),
            memory: self.memory.run(),
            due,
            gone,
            batches: new,
            records_max: self.records_max,
            refused: self.refused.take(),
            level,
        };
        let begun = self.parts.pool.begin(move || run.execute()).await;
        let mut elsewhere = self.send_off().await.err();
        let mut running = pin!(async { begun?.await });
        let ran = loop {
            tokio::select! {
                ran = &mut running => break ran,
                settled = self.settle(), if !self.pending.is_empty() => elsewhere = elsewhere.or_else(|| settled.err()),
            }
        };
        match (ran, elsewhere) {
            (Ok(ran), None) => Ok(ran),
            // It was handled ahead of something that has not happened.
            (Ok(ran), Some(next)) => {
                self.handler = ran.handler;
                Err(next)
            }
            (Err(Error::ShuttingDown), _) => Err(Next::End),
            (Err(error), elsewhere) => {
                let next = elsewhere.unwrap_or_else(|| Next::Wait(error.to_string()));
                let next = self.settle().await.map_or_else(|other| other, |_| next);
                Err(self.forget(next))
            }
        }
    }

    /// Stands again where its newest durable commit says.
    fn forget(&mut self, next: Next) -> Next {
        if let Some(cursor) = self.parts.views.cursor(self.id) {
            (self.cursor, self.parked) = Parked::of(self.context.order, cursor);
        }
        next
    }
}

#[cfg(test)]
mod tests;
