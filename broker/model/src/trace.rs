//! What became of one record, as it is told. The field names are those of the command line's JSON.

use serde::{Deserialize, Serialize};

use crate::internal::Decided;
use crate::{DeploymentName, FailureReason, Offset, Timestamp, TopicName};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Each attempt of each consumer, by deployment, in the order in which they were made.
    pub attempts: Vec<TracedAttempt>,
    /// The consumers that it waits for.
    pub waiting: Vec<Waiting>,
    /// Whether all that was decided since the record was looked through.
    pub is_whole: bool,
}

/// An attempt of a consumer at a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedAttempt {
    /// The consumer.
    pub deployment: DeploymentName,
    /// Its version.
    pub version: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What came of it.
    pub verdict: TracedVerdict,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// When that became durable.
    pub ts: Timestamp,
    /// What it wrote: its outputs, or the dead letter.
    pub outputs: Vec<TracedOutput>,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracedVerdict {
    /// It was handled.
    Done,
    /// It is of no interest.
    Drop,
    /// It is tried again.
    Retry,
    /// It lies in the dead letters.
    DeadLetter,
    /// Its idempotency key was another's: the module was not called.
    Duplicate,
}

/// A record that an attempt wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedOutput {
    /// The topic; None when it was deleted.
    pub topic: Option<TopicName>,
    /// The partition.
    pub partition: u32,
    /// The offset; None when retention or a deletion has removed it.
    pub offset: Option<Offset>,
}

/// A consumer that a record waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The consumer.
    pub deployment: DeploymentName,
    /// How many attempts have failed.
    pub attempts: u32,
    /// When the next one is due; None when it is the record's turn before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

impl TracedVerdict {
    /// The verdict as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Drop => "drop",
            Self::Retry => "retry",
            Self::DeadLetter => "dead-letter",
            Self::Duplicate => "duplicate",
        }
    }
}

impl From<Decided> for TracedVerdict {
    fn from(decided: Decided) -> Self {
        match decided {
            Decided::Done => Self::Done,
            Decided::Dropped => Self::Drop,
            Decided::Retried(_) => Self::Retry,
            Decided::DeadLettered(_) => Self::DeadLetter,
            Decided::Duplicate => Self::Duplicate,
        }
    }
}
