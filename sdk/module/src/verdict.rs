//! What a consumer decides of one record.

use std::time::Duration;

use crate::Output;

/// What a consumer decides of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Handled; these records follow from it, in the same durable step.
    Done(Vec<Output>),
    /// To be tried again; a dead letter when the deployment's attempts run out.
    Retry(Retry),
    /// Never to be handled: a dead letter now; why.
    DeadLetter(String),
    /// Of no interest: it leaves no trace but a count; why.
    Drop(String),
}

/// How to ask for another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How long until then, at most 7 days; None leaves it to the deployment's backoff.
    pub after: Option<Duration>,
    /// Why.
    pub reason: String,
}

impl Verdict {
    /// Handled; these records follow from it. `Verdict::done([])` when none does.
    pub fn done(outputs: impl IntoIterator<Item = Output>) -> Self {
        Self::Done(outputs.into_iter().collect())
    }

    /// To be tried again after the deployment's backoff.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(Retry { after: None, reason: reason.into() })
    }

    /// To be tried again after this long, at most 7 days.
    pub fn retry_after(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry(Retry { after: Some(after), reason: reason.into() })
    }

    /// Never to be handled: a dead letter now.
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self::DeadLetter(reason.into())
    }

    /// Of no interest.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }
}
