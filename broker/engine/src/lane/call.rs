//! One record, one call, one decision. What a lane is told of itself lies here as well: it is the
//! same for all calls.

use std::sync::Arc;

use logmill_log::StoredBatch;
use logmill_model::internal::{FailedAttempts, RecordPlace};
use logmill_model::limits::DETAIL_BYTES_MAX;
use logmill_model::{
    DeadLetter, FailureReason, Idempotency, LogLevel, Message, ModuleDigest, NoIdempotencyKey,
    Offset, Order, Record, Source, Timestamp, TopicName, Verdict,
};
use logmill_wasm::{CallContext, Called, Failure};
use tokio::sync::Semaphore;

use super::broken::Rows;
use super::memory::{ClaimWait, RunMemory, Standing};
use super::parked::ParkedMax;
use super::settle::{Burial, Moment, Policy, Settled, settle};
use crate::board::Board;
use crate::clock::Clock;
use crate::engine::BeforeCall;
use crate::handler::{Handler, Handlers};
use crate::limits::HOPS_MAX;
use crate::module_log::ModuleLog;
use crate::outputs::{Grants, Write};
use crate::remembered::Remembered;
use crate::seed::mix;

/// What a lane is, as far as handling records goes. The same for all its runs.
pub(crate) struct Context {
    pub(crate) deployment: String,
    pub(crate) version: u32,
    pub(crate) digest: ModuleDigest,
    pub(crate) topic: TopicName,
    pub(crate) partition: u32,
    pub(crate) policy: Policy,
    pub(crate) order: Order,
    pub(crate) parked_max: ParkedMax,
    /// How many records it handles before it commits.
    pub(crate) run_records: usize,
    pub(crate) grants: Grants,
    pub(crate) dlq: TopicName,
    pub(crate) handlers: Arc<dyn Handlers>,
    pub(crate) log: Arc<ModuleLog>,
    pub(crate) clock: Clock,
    /// Where runs note what they handle.
    pub(crate) board: Arc<Board>,
    /// Called before each call of the module: nothing in the product.
    pub(crate) before_call: Option<BeforeCall>,
    /// The records in a row that broke the module.
    pub(crate) rows: Arc<Rows>,
    /// What the deployment may have of the workers.
    pub(crate) slots: Arc<Semaphore>,
    /// Where a record has its idempotency key, and how long that is remembered, in milliseconds.
    pub(crate) idempotency: Idempotency,
    pub(crate) window_ms: u64,
    /// What its deployment remembers.
    pub(crate) remembered: Arc<Remembered>,
    /// Of the deployment and the partition; mixed with offset and attempt for each call.
    pub(crate) seed: u64,
}

/// A record to handle.
pub(crate) struct Call<'a> {
    pub(crate) offset: Offset,
    pub(crate) stored: &'a StoredBatch,
    pub(crate) record: Record,
    /// The dead letter that the record was read from, when it was redriven.
    pub(crate) letter: Option<Record>,
    pub(crate) now: Timestamp,
    /// What it remembers.
    pub(crate) memory: RunMemory,
}

impl Call<'_> {
    /// The same, where the record is a dead letter that was redriven: the module sees what it was.
    pub(crate) fn of_letter(self) -> Self {
        let record = DeadLetter::original(&self.record);
        Self { letter: Some(self.record), record, ..self }
    }

    /// When the record was appended to its source. Letters have not always told.
    fn append_ts(&self) -> Option<Timestamp> {
        match &self.letter {
            Some(letter) => DeadLetter::of(letter)?.source_append_ts,
            None => Some(self.stored.envelope.append_ts),
        }
    }
}

/// What was decided of a record.
pub(crate) struct Decided {
    pub(crate) settled: Settled,
    /// The outputs, or the dead letter.
    pub(crate) writes: Vec<Write>,
    /// How the attempt failed, if it did.
    pub(crate) failure: Option<FailureReason>,
}

/// Why nothing was decided of a record. That costs it nothing.
pub(crate) enum Undecided {
    /// The module does not start.
    Init(Failure),
    /// It claims a key of which nobody can tell now whose it is.
    Claim(ClaimWait),
}

/// What a record came to that was given to the module, or not.
enum Handled {
    Called(Result<Verdict, Failure>),
    Duplicate,
}

impl Context {
    /// Calls the module for a record and decides what becomes of it; the record is not called for
    /// when its outputs were `refused`, nor when its key was claimed.
    pub(crate) fn decide(
        &self,
        handler: &mut Option<Box<dyn Handler>>,
        call: &Call<'_>,
        before: Option<&FailedAttempts>,
        refused: Option<Failure>,
    ) -> Result<Decided, Undecided> {
        call.memory.begin(call.offset, call.now);
        let message = self.message(call, before);
        let seed = mix(self.seed, call.offset.0, message.attempt);
        let handled = match refused {
            Some(failure) => Handled::Called(Err(failure)),
            None => self.handle(handler, &message, call, seed)?,
        };
        let Handled::Called(result) = handled else {
            let settled = Settled::Duplicate;
            return Ok(Decided { settled, writes: Vec::new(), failure: None });
        };
        let (result, mut writes) = self.resolve(result, call);
        let failure = result.as_ref().err().map(|failure| failure.reason);
        // The wait begins when the attempt has failed, not when it began.
        let moment = Moment { now: self.clock.now(), jitter: seed };
        let settled = settle(result, before, &self.policy, moment);
        if let Settled::Buried(burial) = &settled {
            writes = vec![self.bury(call, burial)];
        }
        Ok(Decided { settled, writes, failure })
    }

    /// Gives a record to the module, unless its key was claimed or it has none where it must.
    fn handle(
        &self,
        handler: &mut Option<Box<dyn Handler>>,
        message: &Message,
        call: &Call<'_>,
        seed: u64,
    ) -> Result<Handled, Undecided> {
        let standing = self.idempotency.key_of(&call.record).map(|key| match key {
            Some(key) => call.memory.claim(key),
            None => Standing::First,
        });
        let result = match standing {
            Ok(Standing::First) => self.call(handler, message, call, seed)?,
            Ok(Standing::Duplicate) => return Ok(Handled::Duplicate),
            Ok(Standing::Waits(wait)) => return Err(Undecided::Claim(wait)),
            Err(no_key) => Err(without_key(&no_key)),
        };
        if let Ok(Verdict::Retry(retry)) = &result {
            let text = format!("asked for another attempt: {}", retry.reason);
            self.log.write(call.now, LogLevel::Warn, Some(message), &text);
        }
        if let Err(failure) = &result {
            let text = format!("attempt failed: {}: {}", failure.reason, failure.detail);
            self.log.write(call.now, LogLevel::Error, Some(message), &text);
        }
        Ok(Handled::Called(result))
    }

    /// Calls the module, with a fresh instance where there is none.
    fn call(
        &self,
        handler: &mut Option<Box<dyn Handler>>,
        message: &Message,
        call: &Call<'_>,
        seed: u64,
    ) -> Result<Result<Verdict, Failure>, Undecided> {
        let (now, remembers) = (call.now, &call.memory);
        let mut log = |level: LogLevel, text: &str| self.log.write(now, level, Some(message), text);
        let instance = match handler {
            Some(instance) => instance,
            None => {
                let call = CallContext { now, seed, log: &mut log, memory: None };
                handler.insert(self.handlers.instantiate(call).map_err(Undecided::Init)?)
            }
        };
        if let Some(before_call) = &self.before_call {
            before_call(message);
        }
        let memory = Some(remembers.shared());
        let call = CallContext { now, seed, log: &mut log, memory };
        match instance.handle(message, call) {
            Ok(Called::Verdict(verdict)) => Ok(Ok(verdict)),
            Ok(Called::Busy) => {
                *handler = None;
                Err(Undecided::Claim(remembers.take_wait()))
            }
            Err(failure) => {
                if failure.instance_lost {
                    *handler = None;
                }
                Ok(Err(failure))
            }
        }
    }

    fn message(&self, call: &Call<'_>, before: Option<&FailedAttempts>) -> Message {
        Message {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: Some(call.offset),
            record: call.record.clone(),
            append_ts: call.append_ts(),
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

    /// Says that a redriven record has no outcome, since its dead letter is gone.
    pub(crate) fn report_lost(&self, offset: Offset, place: RecordPlace) {
        let (letter, now) = (place.offset, self.clock.now());
        let text = format!(
            "offset {offset} was redriven and is lost: its dead letter, offset {letter}, was removed before it was handled"
        );
        self.log.write(now, LogLevel::Error, None, &text);
        let (deployment, topic, partition) = (&self.deployment, &self.topic, self.partition);
        tracing::error!(deployment, %topic, partition, %offset, %letter, "a redriven record is lost: its dead letter was removed before it was handled");
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
            source_append_ts: call.append_ts(),
            ..DeadLetter::new(
                burial.reason,
                &burial.detail,
                source,
                &self.deployment,
                self.version,
                self.digest,
            )
        };
        // What was a letter stays one, with its first death.
        let record = letter.bury(call.letter.as_ref().unwrap_or(&call.record));
        Write { topic: self.dlq.clone(), record, hops: call.stored.envelope.hops }
    }
}

/// The failed attempt of a record that has no key, or not one that can be claimed.
fn without_key(no_key: &NoIdempotencyKey) -> Failure {
    let reason = match no_key {
        NoIdempotencyKey::Missing(_) => FailureReason::MissingKey,
        NoIdempotencyKey::TooLong { .. } => FailureReason::InvalidRecord,
    };
    let mut detail = no_key.to_string();
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
    Failure { reason, detail, instance_lost: false }
}
