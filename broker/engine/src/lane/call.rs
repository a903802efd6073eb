//! One record, one call, one decision. What a lane is told of itself lies here as well: it is the
//! same for all calls.

use std::sync::Arc;

use logmill_log::StoredBatch;
use logmill_model::internal::{FailedAttempts, RecordPlace};
use logmill_model::{
    DeadLetter, FailureReason, LogLevel, Message, ModuleDigest, Offset, Order, Record, Source,
    Timestamp, TopicName, Verdict,
};
use logmill_wasm::{CallContext, Failure};
use tokio::sync::Semaphore;

use super::broken::Rows;
use super::memory::RunMemory;
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

impl Context {
    /// Calls the module for a record and decides what becomes of it; the record is not called for
    /// when its outputs were `refused`. An error is a module that does not start.
    pub(crate) fn decide(
        &self,
        handler: &mut Option<Box<dyn Handler>>,
        call: &Call<'_>,
        before: Option<&FailedAttempts>,
        refused: Option<Failure>,
    ) -> Result<Decided, Failure> {
        call.memory.begin();
        let message = self.message(call, before);
        let seed = mix(self.seed, call.offset.0, message.attempt);
        let result = match refused {
            Some(failure) => Err(failure),
            None => self.call(handler, &message, call, seed)?,
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

    /// Calls the module, with a fresh instance where there is none.
    fn call(
        &self,
        handler: &mut Option<Box<dyn Handler>>,
        message: &Message,
        call: &Call<'_>,
        seed: u64,
    ) -> Result<Result<Verdict, Failure>, Failure> {
        let now = call.now;
        let mut log = |level: LogLevel, text: &str| self.log.write(now, level, Some(message), text);
        let instance = match handler {
            Some(instance) => instance,
            None => {
                let call = CallContext { now, seed, log: &mut log, memory: None };
                handler.insert(self.handlers.instantiate(call)?)
            }
        };
        if let Some(before_call) = &self.before_call {
            before_call(message);
        }
        let memory = Some(call.memory.shared());
        let call = CallContext { now, seed, log: &mut log, memory };
        let result = instance.handle(message, call);
        if let Ok(Verdict::Retry(retry)) = &result {
            let text = format!("asked for another attempt: {}", retry.reason);
            self.log.write(now, LogLevel::Warn, Some(message), &text);
        }
        if let Err(failure) = &result {
            if failure.instance_lost {
                *handler = None;
            }
            let text = format!("attempt failed: {}: {}", failure.reason, failure.detail);
            self.log.write(now, LogLevel::Error, Some(message), &text);
        }
        Ok(result)
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
