//! How a call failed.

use std::fmt;

use logmill_model::FailureReason;

/// An attempt that failed. An expected outcome of running others' code, so a value to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, as it is counted and dead-lettered: `error`, `trap`, `deadline`, `memory` or
    /// `output-limit`.
    pub reason: FailureReason,
    /// What happened, for a person; at most 1 KiB.
    pub detail: String,
    /// Whether the instance is gone: after a trap or an offence, not after an `err`. Every further
    /// call on it fails as a trap.
    pub instance_lost: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Failure {}
