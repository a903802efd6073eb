//! What passes between the broker and a module, and how a call can fail.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Header, Offset, Record, Timestamp};

/// What a module is used as. A component may export more than one; a deployment names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Gives each record of its topics a verdict.
    Consumer,
    /// Says where a produced record goes besides its own topic.
    Router,
    /// Says which records a subscriber sees.
    Filter,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 3] = [Self::Consumer, Self::Router, Self::Filter];

    /// The name, as WIT interface and flag value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Router => "router",
            Self::Filter => "filter",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for World {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|world| world.as_str() == text)
            .ok_or_else(|| format!("bad world {text:?}; use consumer, router or filter"))
    }
}

/// A record as a module is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The name of its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// None at produce time: a router is asked before the record has a place.
    pub offset: Option<Offset>,
    /// The record.
    pub record: Record,
    /// None at produce time.
    pub append_ts: Option<Timestamp>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the first attempt failed; None in the first.
    pub first_failed_ts: Option<Timestamp>,
}

/// A record that a module wants produced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// An alias or topic of the deployment's outputs; None is its only one.
    pub topic: Option<String>,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value.
    pub value: Option<Bytes>,
    /// The record's headers.
    pub headers: Vec<Header>,
}

/// What a consumer decided of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Handled; these follow from it.
    Done(Vec<Output>),
    /// To be tried again.
    Retry(RetryRequest),
    /// Never to be handled; why.
    DeadLetter(String),
    /// Of no interest; why.
    Drop(String),
}

/// How a module asks for another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryRequest {
    /// Milliseconds until then; None leaves it to the deployment's backoff.
    pub after_ms: Option<u64>,
    /// Why.
    pub reason: String,
}

/// How bad a line in a module's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// Worth to know.
    Info,
    /// Odd, and handled.
    Warn,
    /// Wrong.
    Error,
}

impl LogLevel {
    /// The level's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl std::str::FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| format!("bad level {text:?}; use trace, debug, info, warn or error"))
    }
}

/// Why an attempt failed: the cause of the last one is the `dlq-reason` of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureReason {
    /// The module's own `dead-letter`.
    Rejected,
    /// The module asked for a retry until the attempts ran out.
    Retry,
    /// The module returned an error.
    Error,
    /// The module trapped.
    Trap,
    /// The call used more time than its deadline.
    Deadline,
    /// The module wanted more memory than its limit.
    Memory,
    /// The outputs are larger than their limit.
    OutputLimit,
    /// An output goes to a topic that is not granted.
    NotGranted,
    /// An output breaks a rule of records: a reserved header, an oversize record.
    InvalidOutput,
    /// The module wanted to remember more than its limit.
    StateLimit,
    /// The record has no idempotency key, and its deployment declares where it is.
    MissingKey,
    /// The record has come through too many modules.
    Hops,
    /// The broker's process ended while the record was handled, again and again.
    Crash,
    /// The record breaks a rule that its deployment sets, as with an idempotency key of more than
    /// 1 KiB.
    InvalidRecord,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Rejected,
        Self::Retry,
        Self::Error,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::OutputLimit,
        Self::NotGranted,
        Self::InvalidOutput,
        Self::StateLimit,
        Self::MissingKey,
        Self::Hops,
        Self::Crash,
        Self::InvalidRecord,
    ];

    /// The name in headers, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Retry => "retry",
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::OutputLimit => "output-limit",
            Self::NotGranted => "not-granted",
            Self::InvalidOutput => "invalid-output",
            Self::StateLimit => "state-limit",
            Self::MissingKey => "missing-key",
            Self::Hops => "hops",
            Self::Crash => "crash",
            Self::InvalidRecord => "invalid-record",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
