//! What a deployment is made of: its settings, limits, state and counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::span::parse_span;
use crate::{Error, Idempotency, Position, TopicName, World};

/// The settings of one version of a deployment. Immutable once deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentSettings {
    /// What the module is used as.
    pub world: World,
    /// The topics it works on.
    pub on: Vec<TopicName>,
    /// The topics that it may write to.
    #[serde(default)]
    pub out: Vec<OutputGrant>,
    /// Passed to the module's `init`.
    #[serde(default)]
    pub config: Vec<(String, String)>,
    /// Where the first version starts on a source. Consumers only.
    pub from: Position,
    /// Failed attempts until a record is dead-lettered, at least 1. Consumers only.
    pub max_attempts: u32,
    /// How long a failed record waits. Consumers only.
    pub backoff: Backoff,
    /// What a record that waits for another attempt holds up. Consumers only.
    #[serde(default)]
    pub order: Order,
    /// Most records of one lane that may wait at once under [`Order::Key`], at least 1. Consumers only.
    #[serde(default = "max_parked")]
    pub max_parked: u32,
    /// Where dead letters go. Consumers only.
    pub dlq: TopicName,
    /// Where a record has its idempotency key. Consumers only.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// How long a claimed key is remembered, in milliseconds. Consumers only.
    #[serde(default = "default_window")]
    pub idempotency_window_ms: u64,
    /// What happens to a record without a route. Routers only.
    pub unrouted: Unrouted,
}

impl DeploymentSettings {
    /// [`max_parked`](Self::max_parked), unless told.
    pub const MAX_PARKED: u32 = 10_000;
}

fn max_parked() -> u32 {
    DeploymentSettings::MAX_PARKED
}

fn default_window() -> u64 {
    Idempotency::WINDOW_MS
}

/// What a record that waits for another attempt holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// All later records of its partition.
    #[default]
    Partition,
    /// The later records of its key. One without a key holds up nothing.
    Key,
}

impl Order {
    /// The name, as flag value and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Partition, Self::Key]
            .into_iter()
            .find(|order| order.as_str() == text)
            .ok_or_else(|| format!("bad order {text:?}; use partition or key"))
    }
}

/// A topic that a module may write to, and the name by which it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputGrant {
    /// None: known by the topic's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The topic.
    pub topic: TopicName,
}

impl OutputGrant {
    /// The name by which the module knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.alias.as_deref().unwrap_or(self.topic.as_str())
    }
}

/// Limits on a deployment's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleLimits {
    /// Linear memory and tables of one instance, in bytes.
    pub memory_bytes: u64,
    /// What one call may use, in milliseconds.
    pub deadline_ms: u64,
}

impl Default for ModuleLimits {
    /// 64 MiB and one second.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, deadline_ms: 1000 }
    }
}

/// What a router deployment does with a record that it returns no output for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unrouted {
    /// It stays in the topic it was produced to, and nothing else.
    #[default]
    Keep,
    /// The whole batch is refused, with the record's index.
    Refuse,
}

/// Whether a deployment works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum DeploymentState {
    /// It works.
    Running,
    /// It stands still until it is resumed.
    Paused {
        /// Why.
        reason: String,
    },
}

/// How long a failed record waits for its next attempt.
///
/// Text: `fixed:1s`, `exp:100ms..30s` (doubling, with jitter), `list:1s,10s,1m` (the last one
/// repeats). Units are `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Backoff {
    /// Always as long, in ms.
    Fixed(u64),
    /// From the first to the second, doubling, in ms; each wait is up to a tenth shorter or longer.
    Exponential {
        /// The first wait.
        first_ms: u64,
        /// The longest wait.
        max_ms: u64,
    },
    /// One after the other, in ms; the last one repeats. Never empty.
    List(Vec<u64>),
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { first_ms: 100, max_ms: 30_000 }
    }
}

impl Backoff {
    /// The longest wait that may be asked for: seven days.
    pub const MS_MAX: u64 = 7 * 24 * 3_600_000;

    /// How long to wait after the `failed`-th failed attempt (from 1), in ms. `jitter` is any
    /// number; the same one gives the same wait.
    #[must_use]
    pub fn wait_ms(&self, failed: u32, jitter: u64) -> u64 {
        match self {
            Self::Fixed(ms) => *ms,
            Self::Exponential { first_ms, max_ms } => {
                let doublings = failed.saturating_sub(1).min(40);
                let wait = first_ms.saturating_mul(1 << doublings).min(*max_ms);
                let tenth = wait / 10;
                wait - tenth + jitter % (2 * tenth + 1)
            }
            Self::List(waits) => {
                let index = (failed.saturating_sub(1) as usize).min(waits.len().saturating_sub(1));
                waits.get(index).copied().unwrap_or(0)
            }
        }
    }
}

impl FromStr for Backoff {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Backoff(text.to_owned());
        let ms = |text: &str| parse_span(text).filter(|ms| *ms <= Self::MS_MAX).ok_or_else(bad);
        match text.split_once(':').ok_or_else(bad)? {
            ("fixed", wait) => Ok(Self::Fixed(ms(wait)?)),
            ("exp", range) => {
                let (first, max) = range.split_once("..").ok_or_else(bad)?;
                let (first_ms, max_ms) = (ms(first)?, ms(max)?);
                if first_ms == 0 || first_ms > max_ms {
                    return Err(bad());
                }
                Ok(Self::Exponential { first_ms, max_ms })
            }
            ("list", waits) => {
                let waits = waits.split(',').map(ms).collect::<Result<Vec<_>, _>>()?;
                if waits.len() > 100 { Err(bad()) } else { Ok(Self::List(waits)) }
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) => write!(f, "fixed:{ms}ms"),
            Self::Exponential { first_ms, max_ms } => write!(f, "exp:{first_ms}ms..{max_ms}ms"),
            Self::List(waits) => {
                f.write_str("list:")?;
                for (index, ms) in waits.iter().enumerate() {
                    write!(f, "{}{ms}ms", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl TryFrom<String> for Backoff {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Backoff> for String {
    fn from(backoff: Backoff) -> Self {
        backoff.to_string()
    }
}

/// What has become of the records of a lane, or of all lanes of a deployment. Durable: a lane's
/// counts are fields of its cursor record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records handled.
    pub done: u64,
    /// Records that followed from them.
    pub outputs: u64,
    /// Failed attempts that were followed by a wait.
    pub retried: u64,
    /// Records dead-lettered.
    pub dead_lettered: u64,
    /// Records dropped.
    pub dropped: u64,
    /// Records skipped because their idempotency key was seen.
    pub duplicates: u64,
    /// Attempts that ended in an error of the module.
    pub errors: u64,
    /// Attempts that trapped or broke a limit other than the deadline.
    pub trapped: u64,
    /// Attempts that ran out of time.
    pub timed_out: u64,
    /// Offsets that retention removed before they were handled, and that were skipped by hand.
    pub lost: u64,
}

impl Counts {
    /// Adds another lane's.
    pub fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.outputs += other.outputs;
        self.retried += other.retried;
        self.dead_lettered += other.dead_lettered;
        self.dropped += other.dropped;
        self.duplicates += other.duplicates;
        self.errors += other.errors;
        self.trapped += other.trapped;
        self.timed_out += other.timed_out;
        self.lost += other.lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_reads_as_it_prints() {
        for (text, printed) in [
            ("fixed:1s", "fixed:1000ms"),
            ("exp:100ms..30s", "exp:100ms..30000ms"),
            ("list:1s,10s,1m", "list:1000ms,10000ms,60000ms"),
        ] {
            let backoff: Backoff = text.parse().unwrap();
            assert_eq!(backoff.to_string(), printed);
            assert_eq!(printed.parse::<Backoff>().unwrap(), backoff);
        }
        for bad in [
            "",
            "1s",
            "fixed:",
            "fixed:1",
            "fixed:1y",
            "exp:1s",
            "exp:2s..1s",
            "exp:0ms..1s",
            "list:",
            "fixed:8d",
        ] {
            assert_eq!(bad.parse::<Backoff>(), Err(Error::Backoff(bad.to_owned())));
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_stay_within_a_tenth() {
        let backoff = Backoff::default();
        for (failed, wait) in
            [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000), (4_000_000, 30_000)]
        {
            for jitter in 0..300 {
                let got = backoff.wait_ms(failed, jitter);
                assert!((wait - wait / 10..=wait + wait / 10).contains(&got), "{failed}: {got}");
            }
        }
        let list: Backoff = "list:1s,10s".parse().unwrap();
        assert_eq!([1, 2, 3].map(|failed| list.wait_ms(failed, 7)), [1000, 10_000, 10_000]);
    }
}
