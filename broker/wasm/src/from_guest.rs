//! From what a guest returned to the broker's types, within bounds.

use logmill_model::limits::{BATCH_RECORDS_MAX, DETAIL_BYTES_MAX};
use logmill_model::{
    BatchBuilder, Header, LogLevel, Output, Record, RetryRequest, Timestamp, Verdict,
};

use crate::bindings::logmill::module::{log, types};

/// More than a call may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// More bytes.
    #[error("returned {bytes} bytes of output or more, its limit is {bytes_max}")]
    Bytes { bytes: u64, bytes_max: u64 },
    /// More outputs than one batch has room for.
    #[error("returned {outputs} outputs, its limit is {BATCH_RECORDS_MAX}")]
    Outputs { outputs: usize },
}

pub(crate) fn level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Trace => LogLevel::Trace,
        log::Level::Debug => LogLevel::Debug,
        log::Level::Info => LogLevel::Info,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    }
}

/// A text that says why, cut to what a dead letter keeps of it.
pub(crate) fn reason(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
    text
}

pub(crate) fn verdict(verdict: types::Verdict, bytes_max: u64) -> Result<Verdict, TooMuch> {
    Ok(match verdict {
        types::Verdict::Done(list) => Verdict::Done(outputs(list, bytes_max)?),
        types::Verdict::Retry(request) => Verdict::Retry(RetryRequest {
            after_ms: request.after_ms,
            reason: reason(request.reason),
        }),
        types::Verdict::DeadLetter(text) => Verdict::DeadLetter(reason(text)),
        types::Verdict::Drop(text) => Verdict::Drop(reason(text)),
    })
}

/// The outputs, when the records that they become have no more than `bytes_max` together: so
/// counted, empty ones run out too.
pub(crate) fn outputs(list: Vec<types::Output>, bytes_max: u64) -> Result<Vec<Output>, TooMuch> {
    if list.len() > BATCH_RECORDS_MAX {
        return Err(TooMuch::Outputs { outputs: list.len() });
    }
    let mut bytes = 0;
    let mut outputs = Vec::with_capacity(list.len());
    for one in list {
        let record = Record {
            key: one.key.map(Into::into),
            value: one.value.map(Into::into),
            headers: one
                .headers
                .into_iter()
                .map(|(name, value)| Header::new(name, value))
                .collect(),
            create_ts: Timestamp::ZERO,
        };
        let topic_bytes = one.topic.as_ref().map_or(0, String::len);
        bytes += (BatchBuilder::encoded_bytes(&record) + topic_bytes) as u64;
        if bytes > bytes_max {
            return Err(TooMuch::Bytes { bytes, bytes_max });
        }
        let Record { key, value, headers, .. } = record;
        outputs.push(Output { topic: one.topic, key, value, headers });
    }
    Ok(outputs)
}
