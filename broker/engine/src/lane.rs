//! A lane: one deployment on one partition. It owns the cursor; nobody else moves it.
//!
//! Read, handle, commit, and again. The outputs, dead letters, counts, failed attempts and the
//! cursor of a run are **one** commit, conditional on the cursor's revision, so that no crash
//! falls between them and no later run can jump over an earlier, refused one.

pub(crate) mod run;
pub(crate) mod settle;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logmill_log::StoredBatch;
use logmill_model::internal::CursorRecord;
use logmill_model::{
    Append, Commit, CommitClass, Counts, FailureReason, LaneId, LostOffsets, Offset, Outcome,
    PartitionId, Precondition, RecordBatch, Refusal, SpaceLevel,
};
use logmill_wasm::Failure;
use tokio::sync::watch;

use crate::Error;
use crate::handler::Handler;
use crate::limits::{LANE_RETRY_WAIT, READ_BYTES_MAX, RUN_RECORDS_MAX};
use crate::outputs::{Gathered, TopicMissing};
use crate::parts::Parts;
use run::{Broken, Context, Ran, Run};

/// What a lane is doing, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneStatus {
    pub(crate) in_flight: u64,
    pub(crate) waiting: Option<String>,
    pub(crate) is_corrupt: bool,
    /// The offsets of its source that can't be read.
    pub(crate) lost: Option<LostOffsets>,
}

impl LaneStatus {
    /// It stands still, since something that it needs can't be read.
    pub(crate) fn corrupt(why: String, lost: Option<LostOffsets>) -> Self {
        Self { in_flight: 0, waiting: Some(why), is_corrupt: true, lost }
    }
}

/// A lane that runs until it is told to stop.
pub(crate) struct Lane {
    parts: Arc<Parts>,
    context: Arc<Context>,
    id: LaneId,
    cursor: CursorRecord,
    handler: Option<Box<dyn Handler>>,
    ends: watch::Receiver<Offset>,
    stop: watch::Receiver<bool>,
    status: Arc<Mutex<LaneStatus>>,
    /// 1 after a run was refused, so that it is told which record is at fault.
    records_max: usize,
    refused: Option<Failure>,
}

/// What a lane does next.
enum Step {
    /// It was told to stop.
    Stop,
    /// Its record is tried again after this long.
    Wait(Duration),
    /// Its record was removed.
    Lost,
    /// It has handled all there is.
    AtEnd,
    /// There are records to handle.
    Handle,
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
    /// The broker stops.
    End,
}

impl Lane {
    pub(crate) fn new(
        parts: Arc<Parts>,
        context: Arc<Context>,
        (id, cursor): (LaneId, CursorRecord),
        stop: watch::Receiver<bool>,
        status: Arc<Mutex<LaneStatus>>,
    ) -> Self {
        let ends = parts.views.watch(id.source);
        Self {
            parts,
            context,
            id,
            cursor,
            handler: None,
            ends,
            stop,
            status,
            records_max: RUN_RECORDS_MAX,
            refused: None,
        }
    }

    /// Runs until it is told to stop; what it is handling then is settled and committed first.
    pub(crate) async fn run(mut self) {
        loop {
            match self.step() {
                Step::Stop => return,
                Step::Lost => return self.stand().await,
                Step::Wait(time) => self.wait(time).await,
                Step::AtEnd => self.wait_for_records().await,
                Step::Handle => match self.handle().await {
                    Next::Go => self.report(0, None),
                    Next::Wait(why) => {
                        self.report(0, Some(why));
                        self.wait(LANE_RETRY_WAIT).await;
                    }
                    Next::Corrupt(why, lost) => {
                        self.report_corrupt(why, lost);
                        self.wait(LANE_RETRY_WAIT).await;
                    }
                    Next::WaitForSpace(class) => {
                        self.report(0, Some("disk full".to_owned()));
                        self.wait_for_space(class).await;
                    }
                    Next::End => return,
                },
            }
        }
    }

    fn step(&mut self) -> Step {
        if *self.stop.borrow() || self.stop.has_changed().is_err() {
            return Step::Stop;
        }
        if self.cursor.next >= self.parts.log.end_offset(self.id.source) {
            return Step::AtEnd;
        }
        if self.cursor.next < self.parts.log.start_offset(self.id.source) {
            return Step::Lost;
        }
        if let Some(failed) = &self.cursor.failed {
            let ms = self.parts.clock.now().ms_until(failed.retry_at);
            if ms > 0 {
                return Step::Wait(Duration::from_millis(ms));
            }
        }
        Step::Handle
    }

    /// Stands at what was lost: only who moves the cursor by hand lets the lane go on, as a new one.
    async fn stand(&mut self) {
        let (from, to) = (self.cursor.next, self.parts.log.start_offset(self.id.source));
        tracing::error!(%from, %to, "the lane is lost: retention removed its next record");
        self.report(0, None);
        // An error is a deployment that is gone, and stops the lane as well.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    async fn wait(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            // A sender that is gone is a deployment that is gone: the next step stops.
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn wait_for_space(&mut self, class: CommitClass) {
        tokio::select! {
            () = self.parts.wait_for_space(class) => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn wait_for_records(&mut self) {
        let next = self.cursor.next;
        let deleted = tokio::select! {
            there = self.ends.wait_for(|end| *end > next) => there.is_err(),
            _ = self.stop.wait_for(|stop| *stop) => false,
        };
        if deleted {
            self.report(0, Some(format!("topic {} was deleted", self.context.topic)));
            // An error is a deployment that is gone, and stops the lane as well.
            let _ = self.stop.wait_for(|stop| *stop).await;
        }
    }

    /// Says what the lane is doing; a new reason to wait also goes to the broker's log.
    fn report(&self, in_flight: u64, waiting: Option<String>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &waiting
            && status.waiting != waiting
        {
            tracing::warn!(why, "the lane waits");
        }
        *status = LaneStatus { in_flight, waiting, ..LaneStatus::default() };
    }

    fn report_corrupt(&self, why: String, lost: LostOffsets) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if !status.is_corrupt {
            tracing::error!(why, "the lane stands still");
        }
        *status = LaneStatus::corrupt(why, Some(lost));
    }

    /// Goes on behind a loss that was accepted, and counts it.
    async fn skip(&mut self, lost: LostOffsets) -> Next {
        let mut cursor = self.cursor.clone();
        (cursor.next, cursor.failed) = (lost.to, None);
        cursor.counts.lost += lost.from.distance_to(lost.to);
        cursor.revision += 1;
        let ran = Ran { handler: None, cursor, writes: Vec::new(), records: 0, broken: None };
        match commit_of(&self.parts, self.id, &self.cursor, &ran) {
            Ok(commit) => self.commit(commit, ran.cursor, 0).await,
            Err(TopicMissing(topic)) => Next::Wait(format!("topic {topic} does not exist")),
        }
    }

    async fn handle(&mut self) -> Next {
        let level = self.parts.space_level();
        if !level.admits(CommitClass::Progress) {
            return Next::WaitForSpace(CommitClass::Progress);
        }
        let (from, source) = (self.cursor.next, self.id.source);
        let to = self.parts.log.after_accepted(source, from);
        if to > from {
            return self.skip(LostOffsets { from, to }).await;
        }
        // Held over the read as well: what waits for a worker waits without its records.
        let Ok(_slot) = Arc::clone(&self.context.slots).acquire_owned().await else {
            return Next::End;
        };
        let batches = match self.parts.read(self.id.source, self.cursor.next, READ_BYTES_MAX).await
        {
            Ok(batches) => batches,
            Err(Error::Corrupt(error)) => return corrupt(&error, self.cursor.next),
            // The next step finds it lost.
            Err(Error::OffsetOutOfRange { .. }) => return Next::Go,
            Err(error) => return Next::Wait(error.to_string()),
        };
        let records: u64 = batches.iter().map(|stored| u64::from(stored.envelope.records)).sum();
        self.status.lock().unwrap_or_else(PoisonError::into_inner).in_flight =
            records.min(self.records_max as u64);
        let mut ran = match self.execute(batches, level).await {
            Ok(ran) => ran,
            Err(Error::ShuttingDown) => return Next::End,
            Err(error) => return Next::Wait(error.to_string()),
        };
        self.handler = ran.handler.take();
        if ran.cursor.next == self.cursor.next && ran.cursor.failed == self.cursor.failed {
            return match ran.broken {
                Some(Broken::Space) => Next::WaitForSpace(CommitClass::Produce),
                Some(broken) => Next::Wait(broken.to_string()),
                None => Next::Go,
            };
        }
        let records = ran.records;
        match commit_of(&self.parts, self.id, &self.cursor, &ran) {
            Ok(commit) => self.commit(commit, ran.cursor, records).await,
            Err(TopicMissing(topic)) => Next::Wait(format!("topic {topic} does not exist")),
        }
    }

    async fn execute(
        &mut self,
        batches: Vec<StoredBatch>,
        level: SpaceLevel,
    ) -> Result<Ran, Error> {
        let run = Run {
            context: Arc::clone(&self.context),
            handler: self.handler.take(),
            cursor: self.cursor.clone(),
            batches,
            records_max: self.records_max,
            refused: self.refused.take(),
            level,
        };
        self.parts.pool.run(move || run.execute()).await
    }

    async fn commit(&mut self, commit: Commit, cursor: CursorRecord, records: usize) -> Next {
        let class = commit.class;
        let Ok(outcome) = self.parts.sequencer.commit(commit).await else { return Next::End };
        match outcome {
            Outcome::Committed(_) => {
                self.measure(&cursor.counts);
                self.cursor = cursor;
                self.records_max = RUN_RECORDS_MAX;
                Next::Go
            }
            Outcome::Unknown => Next::End,
            Outcome::Refused(Refusal::DiskFull) => Next::WaitForSpace(class),
            Outcome::Refused(Refusal::TooLarge { .. } | Refusal::TooManyAppends { .. })
                if records > 1 =>
            {
                self.records_max = 1;
                Next::Go
            }
            Outcome::Refused(
                refusal @ (Refusal::TooLarge { .. } | Refusal::TooManyAppends { .. }),
            ) => {
                self.refused = Some(Failure {
                    reason: FailureReason::OutputLimit,
                    detail: refusal.to_string(),
                    instance_lost: false,
                });
                Next::Go
            }
            Outcome::Refused(refusal @ Refusal::StaleCursor(_)) => {
                if let Some(cursor) = self.parts.views.cursor(self.id) {
                    self.cursor = cursor;
                }
                Next::Wait(refusal.to_string())
            }
            Outcome::Refused(refusal) => Next::Wait(self.parts.views.named(refusal).to_string()),
        }
    }
}

impl Lane {
    /// Tells the metrics what a run has added to the counts.
    fn measure(&self, after: &Counts) {
        let before = &self.cursor.counts;
        for (outcome, count) in [
            ("done", after.done - before.done),
            ("dropped", after.dropped - before.dropped),
            ("retried", after.retried - before.retried),
            ("dead_lettered", after.dead_lettered - before.dead_lettered),
        ] {
            if count > 0 {
                let deployment = self.context.deployment.clone();
                metrics::counter!("logmill_lane_records_total", "deployment" => deployment, "outcome" => outcome)
                    .increment(count);
            }
        }
    }
}

fn corrupt(error: &logmill_log::Error, next: Offset) -> Next {
    let to = match error {
        logmill_log::Error::CorruptRange { to, .. } => *to,
        _ => next.next(),
    };
    Next::Corrupt(format!("corrupt: {error}"), LostOffsets { from: next, to })
}

/// The one commit of a run.
fn commit_of(
    parts: &Parts,
    lane: LaneId,
    before: &CursorRecord,
    ran: &Ran,
) -> Result<Commit, TopicMissing> {
    let catalog = parts.views.catalog();
    let class = if ran.writes.is_empty() { CommitClass::Progress } else { CommitClass::Produce };
    let mut gathered = Gathered::default();
    for (offset, write) in &ran.writes {
        gathered.add(&catalog, write, offset.0)?;
    }
    let cursor = RecordBatch::of([&ran.cursor.encode(lane)]).expect("a cursor is small");
    let mut appends: Vec<Append> = gathered.into_appends().collect();
    appends.push(Append::new(PartitionId::CURSORS, cursor));
    let precondition =
        Precondition::Cursor { lane, generation: before.generation, revision: before.revision };
    Ok(Commit { appends, preconditions: vec![precondition], class })
}

#[cfg(test)]
mod tests;
