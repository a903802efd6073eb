//! What becomes of a record, given what its call returned. Pure: a table of
//! (verdict | error | trap | limit) × attempts so far × policy.

use logmill_model::internal::{Decided, FailedAttempts};
use logmill_model::{Backoff, Counts, FailureReason, Output, RetryRequest, Timestamp, Verdict};
use logmill_wasm::Failure;

/// How a deployment treats failed records.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Backoff,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Handled; these follow from it.
    Done(Vec<Output>),
    /// Of no interest.
    Dropped,
    /// Of a key that an earlier record has claimed: not handled.
    Duplicate,
    /// Tried again when it is due; until then it holds its lane.
    Parked(FailedAttempts),
    /// Given up.
    Buried(Burial),
}

impl Settled {
    /// As the log of decisions tells it. `failure` is how its attempt failed, if it did.
    pub(crate) fn decided(&self, failure: Option<FailureReason>) -> Decided {
        match self {
            Self::Done(_) => Decided::Done,
            Self::Dropped => Decided::Dropped,
            Self::Duplicate => Decided::Duplicate,
            // A module that asks for a retry has not failed.
            Self::Parked(_) => Decided::Retried(failure.unwrap_or(FailureReason::Retry)),
            Self::Buried(burial) => Decided::DeadLettered(burial.reason),
        }
    }
}

/// Why a record is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Burial {
    pub(crate) reason: FailureReason,
    pub(crate) detail: String,
    pub(crate) attempts: u32,
    pub(crate) first_failed_ts: Timestamp,
    pub(crate) last_failed_ts: Timestamp,
}

/// When a record was handled, and the randomness of its backoff.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) jitter: u64,
}

enum Attempt {
    Over(Settled),
    Failed { reason: FailureReason, detail: String, after_ms: Option<u64>, last: bool },
}

/// Decides what becomes of a record.
pub(crate) fn settle(
    result: Result<Verdict, Failure>,
    before: Option<&FailedAttempts>,
    policy: &Policy,
    moment: Moment,
) -> Settled {
    let (reason, detail, after_ms, last) = match read(result) {
        Attempt::Over(settled) => return settled,
        Attempt::Failed { reason, detail, after_ms, last } => (reason, detail, after_ms, last),
    };
    let attempts = before.map_or(0, |it| it.attempts).saturating_add(1);
    let first_failed_ts = before.map_or(moment.now, |it| it.first_failed_ts);
    let last_failed_ts = moment.now;
    if last || attempts >= policy.max_attempts {
        return Settled::Buried(Burial {
            reason,
            detail,
            attempts,
            first_failed_ts,
            last_failed_ts,
        });
    }
    let wait_ms = after_ms.unwrap_or_else(|| policy.backoff.wait_ms(attempts, moment.jitter));
    let retry_at = moment.now.plus_ms(wait_ms);
    Settled::Parked(FailedAttempts { attempts, first_failed_ts, last_failed_ts, retry_at })
}

fn read(result: Result<Verdict, Failure>) -> Attempt {
    let failed = |reason, detail| Attempt::Failed { reason, detail, after_ms: None, last: false };
    match result {
        Ok(Verdict::Done(outputs)) => Attempt::Over(Settled::Done(outputs)),
        Ok(Verdict::Drop(_)) => Attempt::Over(Settled::Dropped),
        Ok(Verdict::DeadLetter(detail)) => {
            Attempt::Failed { reason: FailureReason::Rejected, detail, after_ms: None, last: true }
        }
        Ok(Verdict::Retry(RetryRequest { after_ms: Some(ms), .. })) if ms > Backoff::MS_MAX => {
            let detail = format!("asked for a retry after {ms} ms, at most 7 days are allowed");
            failed(FailureReason::InvalidOutput, detail)
        }
        Ok(Verdict::Retry(RetryRequest { after_ms, reason: detail })) => {
            Attempt::Failed { reason: FailureReason::Retry, detail, after_ms, last: false }
        }
        Err(Failure { reason: reason @ FailureReason::Crash, detail, .. }) => {
            Attempt::Failed { reason, detail, after_ms: None, last: true }
        }
        Err(failure) => failed(failure.reason, failure.detail),
    }
}

/// Counts what has become of a record. `failure` is how its attempt failed, if it did.
pub(crate) fn count(counts: &mut Counts, settled: &Settled, failure: Option<FailureReason>) {
    match settled {
        Settled::Done(outputs) => {
            counts.done += 1;
            counts.outputs += outputs.len() as u64;
        }
        Settled::Dropped => counts.dropped += 1,
        Settled::Duplicate => counts.duplicates += 1,
        Settled::Parked(_) => counts.retried += 1,
        Settled::Buried(_) => counts.dead_lettered += 1,
    }
    match failure {
        None | Some(FailureReason::Rejected | FailureReason::Retry) => {}
        Some(FailureReason::Error | FailureReason::MissingKey | FailureReason::InvalidRecord) => {
            counts.errors += 1
        }
        Some(FailureReason::Deadline) => counts.timed_out += 1,
        Some(
            FailureReason::Trap
            | FailureReason::Memory
            | FailureReason::OutputLimit
            | FailureReason::NotGranted
            | FailureReason::InvalidOutput
            | FailureReason::StateLimit
            | FailureReason::Hops
            | FailureReason::Crash,
        ) => counts.trapped += 1,
    }
}

#[cfg(test)]
mod tests;
