//! A run: some records of one lane, handled one after the other on a worker thread.
//!
//! First what was left behind and is due, then what is new. A run ends at the end of what was read, at
//! a record that holds up the rest, or when it has taken its share of records, bytes or time. What
//! it settled becomes one commit. It does no IO, but to tell a module whose a key is that it claims.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logmill_log::StoredBatch;
use logmill_model::internal::{CursorRecord, Decided, HoleRecord};
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{
    BatchBuilder, CommitClass, Compression, LaneId, Offset, PlainBatch, Record, RecordBatch,
    RecordRef, SpaceLevel, Timestamp,
};
use logmill_wasm::Failure;

use super::broken::Row;
use super::call::{Call, Context, Undecided};
use super::memory::{ClaimWait, Kept, RunMemory};
use super::parked::Parked;
use super::read::DueBatch;
use super::settle::{Settled, count};
use crate::board::Ranges;
use crate::handler::Handler;
use crate::limits::{BROKEN_RECORDS_MAX, RUN_BYTES_MAX, RUN_TIME_MAX};
use crate::outputs::Write;
use crate::seed::key_hash;

/// The records to handle, and where the lane stands.
pub(crate) struct Run {
    pub(crate) lane: LaneId,
    pub(crate) context: Arc<Context>,
    pub(crate) handler: Option<Box<dyn Handler>>,
    pub(crate) cursor: CursorRecord,
    pub(crate) parked: Parked,
    pub(crate) memory: RunMemory,
    /// What to take up of that which was left behind.
    pub(crate) due: Vec<DueBatch>,
    /// What was left behind, is due, and is not there any more.
    pub(crate) gone: Vec<Offset>,
    /// What is new.
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) records_max: usize,
    /// What the outputs of a record were refused for when they were committed.
    pub(crate) refused: Option<(Offset, Failure)>,
    /// Where the disk has no room for outputs and dead letters, the run ends before the first record
    /// that has some.
    pub(crate) level: SpaceLevel,
}

/// What a run came to.
pub(crate) struct Ran {
    /// The instance, unless it was lost.
    pub(crate) handler: Option<Box<dyn Handler>>,
    /// The cursor to commit.
    pub(crate) cursor: CursorRecord,
    /// What is left behind, with the changes to commit.
    pub(crate) parked: Parked,
    /// The outputs and dead letters to commit with it, each with the offset it follows from.
    pub(crate) writes: Vec<(Offset, Write)>,
    /// What it has changed of what the lane remembers.
    pub(crate) kept: Kept,
    /// What became of each record that was handled, at which attempt.
    pub(crate) decided: Vec<(Offset, u32, Decided)>,
    /// How many records were taken up.
    pub(crate) records: usize,
    /// The last one that the module was asked about.
    pub(crate) last: Option<Offset>,
    /// For the metrics.
    pub(crate) times: Times,
    /// Whether the module broke on these records, for the row of its deployment.
    pub(crate) row: Row,
    /// Why the run ended early, if the next one would end at once.
    pub(crate) broken: Option<Broken>,
}

impl Ran {
    /// Nothing, from here on.
    pub(crate) fn new(
        handler: Option<Box<dyn Handler>>,
        cursor: CursorRecord,
        parked: Parked,
    ) -> Self {
        let (writes, kept, decided, row, times) = Default::default();
        Self {
            handler,
            cursor,
            parked,
            writes,
            kept,
            decided,
            records: 0,
            last: None,
            times,
            row,
            broken: None,
        }
    }
}

/// How long a run took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// How often the module was called.
    pub(crate) calls: u64,
    /// How long the first call took: a sample, since at a million calls a second nobody times them all.
    pub(crate) first_call: Option<Duration>,
    /// How long all of it took.
    pub(crate) run: Duration,
}

/// What keeps a lane from handling its next record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the module's init failed: {0}")]
    Init(Failure),
    #[error("the batch at offset {0} can't be read: {1}")]
    Batch(Offset, logmill_model::Error),
    #[error("{0}")]
    Claim(ClaimWait),
    #[error("disk full")]
    Space,
}

/// Whether a run goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

/// What a run may still take.
struct Share {
    started: Instant,
    records_max: usize,
    bytes: usize,
    /// Of what was decompressed: what the run has to commit may hold on to it.
    decompressed: usize,
}

impl Run {
    /// Handles the records.
    pub(crate) fn execute(self) -> Ran {
        let context = Arc::clone(&self.context);
        let _noted = context.board.note(self.lane, &self.ranges());
        let Self { handler, cursor, parked, memory, level, refused, .. } = self;
        let ran = Ran::new(handler, cursor, parked);
        let started = Instant::now();
        let share = Share { started, records_max: self.records_max, bytes: 0, decompressed: 0 };
        let broken_before = context.rows.length();
        let mut running =
            Running { context: &context, level, refused, share, broken_before, memory, ran };
        self.gone.into_iter().for_each(|offset| running.give_up(offset));
        if running.take_up(self.due) == Next::Go {
            running.go_on(&self.batches);
        }
        let Running { memory, mut ran, .. } = running;
        ran.kept = memory.take();
        ran.times.run = started.elapsed();
        ran.cursor.revision += 1;
        ran
    }

    /// Where what it is about to handle lies.
    fn ranges(&self) -> Ranges {
        let due = || self.due.iter().flat_map(|batch| batch.records.values());
        let left = due().min().copied().unwrap_or_default()
            ..due().max().map(|last| last.next()).unwrap_or_default();
        let from = self.cursor.next;
        let to = self.batches.last().map_or(from, |last| last.envelope.end_offset());
        Ranges { left, new: from..to }
    }
}

struct Running<'a> {
    context: &'a Context,
    level: SpaceLevel,
    refused: Option<(Offset, Failure)>,
    share: Share,
    /// The row of records that broke the module before this run.
    broken_before: u32,
    memory: RunMemory,
    ran: Ran,
}

impl Running<'_> {
    /// Handles what was left behind.
    fn take_up(&mut self, due: Vec<DueBatch>) -> Next {
        for DueBatch { stored, records: mut left } in due {
            // What follows a record that failed again is not due.
            let now = self.context.clock.now();
            if !left.values().any(|offset| self.ran.parked.is_due(*offset, now)) {
                continue;
            }
            let Some(records) = self.open(&stored) else { return Next::End };
            let base = stored.envelope.base_offset;
            for record in &records {
                if left.is_empty() {
                    break;
                }
                let at = RecordBatch::offset_at(base, record.offset_delta);
                let Some(offset) = left.remove(&at) else { continue };
                let now = self.context.clock.now();
                if self.ran.parked.is_due(offset, now) {
                    let record = record.to_record(records.bytes());
                    let hole = self.ran.parked.hole(offset).cloned();
                    let mut call = self.call((offset, record), &stored, now);
                    if hole.as_ref().is_some_and(|hole| hole.place.is_some()) {
                        call = call.of_letter();
                    }
                    if self.handle(call, hole) == Next::End {
                        return Next::End;
                    }
                }
            }
            left.into_values().for_each(|offset| self.give_up(offset));
        }
        Next::Go
    }

    /// What was left behind is not there any more. Where compaction took it from the source, a newer
    /// record of its key stands for it; nothing stands for a dead letter.
    fn give_up(&mut self, offset: Offset) {
        let hole = self.ran.parked.hole(offset);
        if let Some(place) = hole.and_then(|hole| hole.place) {
            self.ran.cursor.counts.lost += 1;
            self.context.report_lost(offset, place);
        }
        self.ran.parked.settle(offset);
    }

    /// Handles what is new, and leaves behind what has to wait for an earlier record.
    fn go_on(&mut self, batches: &[StoredBatch]) {
        for stored in batches {
            let Some(records) = self.open(stored) else { return };
            let base = stored.envelope.base_offset;
            self.look_ahead(&records, base);
            for record in &records {
                let offset = RecordBatch::offset_at(base, record.offset_delta);
                if offset < self.ran.cursor.next {
                    continue;
                }
                let record = record.to_record(records.bytes());
                if !self.ran.parked.has_room(self.context.parked_max) {
                    return;
                }
                let now = self.context.clock.now();
                let next = match self.held(offset, &record) {
                    Some(hole) => {
                        self.ran.parked.park(offset, hole);
                        self.ran.cursor.next = offset.next();
                        self.ran.records += 1;
                        self.share.is_left(self.ran.records)
                    }
                    None => self.handle(self.call((offset, record), stored, now), None),
                };
                if next == Next::End {
                    return;
                }
            }
            // Records that compaction took, or a batch that it emptied.
            self.ran.cursor.next = self.ran.cursor.next.max(stored.envelope.end_offset());
            if self.share.decompressed >= RUN_BYTES_MAX {
                return;
            }
        }
    }

    /// Looks up the idempotency keys of the records that come.
    fn look_ahead(&self, records: &PlainBatch, base: Offset) {
        if self.context.idempotency.is_none() {
            return;
        }
        let is_new = |it: &RecordRef<'_>| {
            RecordBatch::offset_at(base, it.offset_delta) >= self.ran.cursor.next
        };
        let coming = records.iter().filter(is_new);
        let coming = coming.take(self.share.records_max.saturating_sub(self.ran.records));
        let keys = coming.filter_map(|it| self.context.idempotency.plain_key_of(&it));
        self.memory.look_ahead(keys, self.context.clock.now());
    }

    fn open(&mut self, stored: &StoredBatch) -> Option<PlainBatch> {
        match stored.batch.decompressed(BATCH_BYTES_MAX) {
            Ok(records) => {
                if stored.batch.compression() != Compression::None {
                    self.share.decompressed += records.bytes().len();
                }
                Some(records)
            }
            Err(error) => {
                self.ran.broken = Some(Broken::Batch(stored.envelope.base_offset, error));
                None
            }
        }
    }

    /// How a new record is left behind, when it has to wait for an earlier one.
    fn held(&self, offset: Offset, record: &Record) -> Option<HoleRecord> {
        let parked = &self.ran.parked;
        let is_held = !parked.is_empty() && parked.holds(key_hash(record.key.as_deref(), offset));
        is_held.then(|| hole(offset, record))
    }

    fn call<'b>(
        &self,
        (offset, record): (Offset, Record),
        stored: &'b StoredBatch,
        now: Timestamp,
    ) -> Call<'b> {
        Call { offset, stored, record, letter: None, now, memory: self.memory.clone() }
    }

    /// Handles one record, which is new or was left behind as this hole.
    fn handle(&mut self, call: Call<'_>, parked: Option<HoleRecord>) -> Next {
        let offset = call.offset;
        let refused = self.refused.take_if(|(at, _)| *at == offset).map(|(_, failure)| failure);
        let before = parked.as_ref().and_then(|hole| hole.failed.as_ref());
        let began = self.ran.times.first_call.is_none().then(Instant::now);
        let decided = self.context.decide(&mut self.ran.handler, &call, before, refused);
        let took = began.map(|began| began.elapsed());
        let decided = match decided {
            Ok(decided) => decided,
            Err(Undecided::Init(failure)) => return self.end(Broken::Init(failure)),
            // As if it had not been called, and whatever it has claimed is free again.
            Err(Undecided::Claim(wait)) => {
                self.memory.forget();
                return self.end(Broken::Claim(wait));
            }
        };
        let adds = !decided.writes.is_empty() || self.memory.changes_state(&decided.settled);
        if adds && !self.level.admits(CommitClass::Produce) {
            // As if it had not been called: it will be again, at no cost to it.
            self.memory.forget();
            return self.end(Broken::Space);
        }
        if decided.settled != Settled::Duplicate {
            self.ran.times.calls += 1;
            self.ran.times.first_call = self.ran.times.first_call.or(took);
        }
        count(&mut self.ran.cursor.counts, &decided.settled, decided.failure);
        self.ran.row.count(&decided.settled);
        let attempt = before.map_or(0, |failed| failed.attempts).saturating_add(1);
        self.ran.decided.push((offset, attempt, decided.settled.decided(decided.failure)));
        self.ran.last = Some(offset);
        self.ran.records += 1;
        let bytes = decided.writes.iter().map(|it| BatchBuilder::encoded_bytes(&it.record));
        self.share.bytes += bytes.sum::<usize>() + self.memory.settle(&decided.settled);
        self.ran.writes.extend(decided.writes.into_iter().map(|it| (offset, it)));
        let is_new = parked.is_none();
        if is_new {
            self.ran.cursor.next = offset.next();
        }
        if let Settled::Parked(failed) = decided.settled {
            let hole = parked.unwrap_or_else(|| hole(offset, &call.record));
            self.ran.parked.park(offset, HoleRecord { failed: Some(failed), ..hole });
        } else if !is_new {
            self.ran.parked.settle(offset);
        }
        if self.ran.row.after(self.broken_before) >= BROKEN_RECORDS_MAX {
            return Next::End;
        }
        self.share.is_left(self.ran.records)
    }

    fn end(&mut self, broken: Broken) -> Next {
        self.ran.broken = Some(broken);
        Next::End
    }
}

impl Share {
    fn is_left(&self, records: usize) -> Next {
        let is_spent = records >= self.records_max
            || self.bytes >= RUN_BYTES_MAX
            || self.started.elapsed() >= RUN_TIME_MAX;
        if is_spent { Next::End } else { Next::Go }
    }
}

/// A record as it is left behind.
pub(super) fn hole(offset: Offset, record: &Record) -> HoleRecord {
    let bytes = u32::try_from(BatchBuilder::encoded_bytes(record)).unwrap_or(u32::MAX);
    HoleRecord {
        key: key_hash(record.key.as_deref(), offset),
        bytes,
        failed: None,
        crashes: 0,
        place: None,
    }
}
