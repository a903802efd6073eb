//! What an input asks the scripted module to do, and what is to become of it.

use std::fmt;
use std::str::FromStr;

use logmill_client::{Counts, FailureReason, Record};
use serde::{Deserialize, Serialize};

/// What an input asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Verb {
    /// So many outputs.
    Done(u8),
    /// To be dropped.
    Drop,
    /// To be given up at once.
    Reject,
    /// An error at each attempt.
    Fail,
    /// A retry at each attempt.
    Retry,
    /// So many errors, and then an output.
    Flaky(u8),
}

/// What is to become of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// So many outputs.
    pub outputs: u8,
    /// A dead letter of this reason, after so many attempts.
    pub letter: Option<(FailureReason, u32)>,
    /// What the deployment counts for it.
    pub counts: Counts,
}

impl Verb {
    /// What is to become of it, where a record is given up after so many attempts.
    #[must_use]
    pub fn wanted(self, max_attempts: u32) -> Wanted {
        match self {
            Self::Done(outputs) => Wanted::done(outputs, 0),
            Self::Drop => {
                Wanted { counts: Counts { dropped: 1, ..Counts::default() }, ..Wanted::default() }
            }
            Self::Reject => Wanted::given_up(FailureReason::Rejected, 1),
            Self::Flaky(failed) if u32::from(failed) < max_attempts => Wanted::done(1, failed),
            Self::Fail | Self::Flaky(_) => Wanted::given_up(FailureReason::Error, max_attempts),
            Self::Retry => Wanted::given_up(FailureReason::Retry, max_attempts),
        }
    }
}

impl Wanted {
    fn done(outputs: u8, failed: u8) -> Self {
        let (retried, errors) = (u64::from(failed), u64::from(failed));
        let outputs_counted = u64::from(outputs);
        let counts =
            Counts { done: 1, outputs: outputs_counted, retried, errors, ..Counts::default() };
        Self { outputs, letter: None, counts }
    }

    fn given_up(reason: FailureReason, attempts: u32) -> Self {
        let errors = if reason == FailureReason::Error { u64::from(attempts) } else { 0 };
        let retried = u64::from(attempts.saturating_sub(1));
        let counts = Counts { dead_lettered: 1, retried, errors, ..Counts::default() };
        Self { outputs: 0, letter: Some((reason, attempts)), counts }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(1) => f.write_str("done"),
            Self::Done(outputs) => write!(f, "done {outputs}"),
            Self::Drop => f.write_str("drop"),
            Self::Reject => f.write_str("reject"),
            Self::Fail => f.write_str("fail"),
            Self::Retry => f.write_str("retry"),
            Self::Flaky(failed) => write!(f, "flaky {failed}"),
        }
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no verb of this ledger");
        let number = |text: &str| text.parse().map_err(|_| bad());
        match text.split_once(' ').unwrap_or((text, "")) {
            ("done", "") => Ok(Self::Done(1)),
            ("done", outputs) => Ok(Self::Done(number(outputs)?)),
            ("drop", "") => Ok(Self::Drop),
            ("reject", "") => Ok(Self::Reject),
            ("fail", "") => Ok(Self::Fail),
            ("retry", "") => Ok(Self::Retry),
            ("flaky", failed) => Ok(Self::Flaky(number(failed)?)),
            _ => Err(bad()),
        }
    }
}

impl From<Verb> for String {
    fn from(verb: Verb) -> Self {
        verb.to_string()
    }
}

impl TryFrom<String> for Verb {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The value of an input: what makes it one of a kind, and what it asks for.
#[must_use]
pub fn value(id: u64, verb: Verb) -> String {
    format!("{id} {verb}")
}

/// Reads such a value back; None for any other, so that one that is altered by a byte is none.
pub(super) fn read(record: &Record) -> Option<(u64, Verb)> {
    let text = std::str::from_utf8(record.value.as_ref()?).ok()?;
    let (id, verb) = text.split_once(' ')?;
    let (id, verb) = (id.parse().ok()?, verb.parse().ok()?);
    (value(id, verb) == text).then_some((id, verb))
}
