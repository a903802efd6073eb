//! A run: some records of one lane, handled one after the other on a worker thread.
//!
//! It ends at the end of what was read, at a record that must be tried again, or when it has
//! taken its share of records, bytes or time. What it settled becomes one commit. It does no IO.

use std::sync::Arc;
use std::time::Instant;

use logmill_log::StoredBatch;
use logmill_model::internal::{CursorRecord, FailedAttempts};
use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{
    BatchBuilder, CommitClass, Compression, DeadLetter, FailureReason, LogLevel, Message,
    ModuleDigest, Offset, Record, RecordBatch, Source, SpaceLevel, Timestamp, TopicName, Verdict,
};
use logmill_wasm::{CallContext, Failure};
use tokio::sync::Semaphore;

use super::settle::{Burial, Moment, Policy, Settled, count, settle};
use crate::clock::Clock;
use crate::handler::{Handler, Handlers};
use crate::limits::{HOPS_MAX, RUN_BYTES_MAX, RUN_TIME_MAX};
use crate::module_log::ModuleLog;
use crate::outputs::{Grants, Write};
use crate::seed::mix;

/// What a lane is, as far as handling records goes. The same for all its runs.
pub(crate) struct Context {
    pub(crate) deployment: String,
    pub(crate) version: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) topic: TopicName,
    pub(crate) partition: u32,
    pub(crate) policy: Policy,
    pub(crate) grants: Grants,
    pub(crate) dlq: TopicName,
    pub(crate) handlers: Arc<dyn Handlers>,
    pub(crate) log: Arc<ModuleLog>,
    pub(crate) clock: Clock,
    /// What the deployment may have of the workers.
    pub(crate) slots: Arc<Semaphore>,
    /// Of the deployment and the partition; mixed with offset and attempt for each call.
    pub(crate) seed: u64,
}

/// The records to handle, and where the lane stands.
pub(crate) struct Run {
    pub(crate) context: Arc<Context>,
    pub(crate) handler: Option<Box<dyn Handler>>,
    pub(crate) cursor: CursorRecord,
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) records_max: usize,
    /// What the first record's outputs were refused for when they were committed.
    pub(crate) refused: Option<Failure>,
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
    /// The outputs and dead letters to commit with it, each with the offset it follows from.
    pub(crate) writes: Vec<(Offset, Write)>,
    /// How many records have an outcome or one more failed attempt.
    pub(crate) records: usize,
    /// Why the run ended early, if the next one would end at once.
    pub(crate) broken: Option<Broken>,
}

/// What keeps a lane from handling its next record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the module's init failed: {0}")]
    Init(Failure),
    #[error("the batch at offset {0} can't be read: {1}")]
    Batch(Offset, logmill_model::Error),
    #[error("disk full")]
    Space,
}

struct Call<'a> {
    offset: Offset,
    stored: &'a StoredBatch,
    record: Record,
    now: Timestamp,
}

impl Run {
    /// Handles the records.
    pub(crate) fn execute(self) -> Ran {
        let Self { context, handler, mut cursor, batches, records_max, mut refused, level } = self;
        cursor.revision += 1;
        let mut ran = Ran { handler, cursor, writes: Vec::new(), records: 0, broken: None };
        let (started, mut bytes, mut decompressed) = (Instant::now(), 0, 0);
        for stored in &batches {
            let base = stored.envelope.base_offset;
            let records = match stored.batch.decompressed(BATCH_BYTES_MAX) {
                Ok(records) => records,
                Err(error) => {
                    ran.broken = Some(Broken::Batch(base, error));
                    return ran;
                }
            };
            for (delta, record) in records.to_records() {
                let offset = RecordBatch::offset_at(base, delta);
                if offset < ran.cursor.next {
                    continue;
                }
                let call = Call { offset, stored, record, now: context.clock.now() };
                let written = ran.writes.len();
                let before = (!level.admits(CommitClass::Produce)).then(|| ran.cursor.clone());
                if !ran.handle(&context, &call, refused.take()) {
                    return ran;
                }
                if let Some(before) = before
                    && ran.writes.len() > written
                {
                    ran.take_back(before, written);
                    return ran;
                }
                bytes += ran.writes[written..]
                    .iter()
                    .map(|(_, write)| BatchBuilder::encoded_bytes(&write.record))
                    .sum::<usize>();
                let spent = ran.records >= records_max
                    || bytes >= RUN_BYTES_MAX
                    || started.elapsed() >= RUN_TIME_MAX;
                if spent {
                    return ran;
                }
            }
            // Records that compaction took, or a batch that it emptied.
            ran.cursor.next = ran.cursor.next.max(stored.envelope.end_offset());
            // What the run has to commit may hold on to what was decompressed.
            if stored.batch.compression() != Compression::None {
                decompressed += records.bytes().len();
            }
            if decompressed >= RUN_BYTES_MAX {
                return ran;
            }
        }
        ran
    }
}

impl Ran {
    /// As if the last record had not been handled: it will be again, at no cost to it.
    fn take_back(&mut self, cursor: CursorRecord, writes: usize) {
        self.cursor = cursor;
        self.writes.truncate(writes);
        self.records -= 1;
        self.broken = Some(Broken::Space);
    }

    /// Handles one record; false when the run ends with it.
    fn handle(&mut self, context: &Context, call: &Call<'_>, refused: Option<Failure>) -> bool {
        let before = self.cursor.failed.take();
        let message = context.message(call, before.as_ref());
        let seed = mix(context.seed, call.offset.0, message.attempt);
        let result = match refused {
            Some(failure) => Err(failure),
            None => match self.call(context, &message, call, seed) {
                Some(result) => result,
                None => {
                    self.cursor.failed = before;
                    return false;
                }
            },
        };
        let (result, writes) = context.resolve(result, call);
        let failure = match &result {
            Ok(_) => None,
            Err(failure) => Some(failure.reason),
        };
        // The wait begins when the attempt has failed, not when it began.
        let moment = Moment { now: context.clock.now(), jitter: seed };
        let settled = settle(result, before.as_ref(), &context.policy, moment);
        count(&mut self.cursor.counts, &settled, failure);
        self.records += 1;
        match settled {
            Settled::Done(_) => self.writes.extend(writes.into_iter().map(|it| (call.offset, it))),
            Settled::Dropped => {}
            Settled::Buried(burial) => {
                self.writes.push((call.offset, context.bury(call, &burial)));
            }
            Settled::Parked(failed) => {
                self.cursor.failed = Some(failed);
                return false;
            }
        }
        self.cursor.next = call.offset.next();
        true
    }

    /// Calls the module, with a fresh instance where there is none. None: none could be made.
    fn call(
        &mut self,
        context: &Context,
        message: &Message,
        call: &Call<'_>,
        seed: u64,
    ) -> Option<Result<Verdict, Failure>> {
        let mut log =
            |level: LogLevel, text: &str| context.log.write(call.now, level, Some(message), text);
        if self.handler.is_none() {
            let call = CallContext { now: call.now, seed, log: &mut log, memory: None };
            match context.handlers.instantiate(call) {
                Ok(handler) => self.handler = Some(handler),
                Err(failure) => {
                    self.broken = Some(Broken::Init(failure));
                    return None;
                }
            }
        }
        let handler = self.handler.as_mut().expect("made above where there was none");
        let given = CallContext { now: call.now, seed, log: &mut log, memory: None };
        let result = handler.handle(message, given);
        if let Ok(Verdict::Retry(retry)) = &result {
            let text = format!("asked for another attempt: {}", retry.reason);
            context.log.write(call.now, LogLevel::Warn, Some(message), &text);
        }
        if let Err(failure) = &result {
            if failure.instance_lost {
                self.handler = None;
            }
            let text = format!("attempt failed: {}: {}", failure.reason, failure.detail);
            context.log.write(call.now, LogLevel::Error, Some(message), &text);
        }
        Some(result)
    }
}

impl Context {
    fn message(&self, call: &Call<'_>, before: Option<&FailedAttempts>) -> Message {
        Message {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: Some(call.offset),
            record: call.record.clone(),
            append_ts: Some(call.stored.envelope.append_ts),
            attempt: before.map_or(0, |failed| failed.attempts).saturating_add(1),
            first_failed_ts: before.map(|failed| failed.first_failed_ts),
        }
    }

    /// The writes that a verdict stands for; outputs that break a rule make it a failure.
    fn resolve(
        &self,
        result: Result<Verdict, Failure>,
        call: &Call<'_>,
    ) -> (Result<Verdict, Failure>, Vec<Write>) {
        let Ok(Verdict::Done(outputs)) = &result else { return (result, Vec::new()) };
        let hops = call.stored.envelope.hops.saturating_add(1);
        if hops > HOPS_MAX && !outputs.is_empty() {
            let detail = format!("the record has come through {HOPS_MAX} modules; is it a loop?");
            let reason = FailureReason::Hops;
            return (Err(Failure { reason, detail, instance_lost: false }), Vec::new());
        }
        match self.grants.writes(outputs, hops, call.now) {
            Ok(writes) => (result, writes),
            Err(failure) => (Err(failure), Vec::new()),
        }
    }

    fn bury(&self, call: &Call<'_>, burial: &Burial) -> Write {
        let source = Source {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: call.offset,
        };
        let letter = DeadLetter {
            attempts: burial.attempts,
            first_failed_ts: burial.first_failed_ts,
            last_failed_ts: burial.last_failed_ts,
            ..DeadLetter::new(
                burial.reason,
                &burial.detail,
                source,
                &self.deployment,
                self.version,
                self.digest,
            )
        };
        let record = letter.bury(&call.record);
        Write { topic: self.dlq.clone(), record, hops: call.stored.envelope.hops }
    }
}
