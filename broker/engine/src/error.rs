//! What can go wrong when the engine is asked for something.

use std::fmt;

use logmill_model::{DeploymentName, FailureReason, Offset, PartitionId, Refusal, TopicName};

use crate::CorruptRange;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such topic.
    #[error(
        "topic {0} does not exist; `logmill topic ls` lists them, `logmill topic create {0}` makes it"
    )]
    UnknownTopic(TopicName),
    /// There is a topic of that name.
    #[error("topic {0} exists already")]
    TopicExists(TopicName),
    /// A deployment reads from or writes to the topic.
    #[error("topic {topic} is in use by deployment {deployment}; delete or redeploy that first")]
    TopicInUse {
        /// The topic.
        topic: TopicName,
        /// Who uses it.
        deployment: DeploymentName,
    },
    /// A topic has too few or too many partitions asked for.
    #[error("a topic has 1 to {max} partitions, not {asked}", max = logmill_model::limits::PARTITIONS_MAX)]
    PartitionCount {
        /// What was asked for.
        asked: u32,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has partitions 0 to {last}, not {partition}", last = .partitions - 1)]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A batch or record breaks a rule.
    #[error(transparent)]
    Invalid(#[from] logmill_model::Error),
    /// The position is not in the partition: it never was, or retention has removed it.
    #[error(
        "offset out of range: {asked} is not there, the partition has {start} to {end}; read from earliest, or from an offset of these"
    )]
    OffsetOutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// The first offset that is there.
        start: Offset,
        /// The durable end.
        end: Offset,
    },
    /// There is no such deployment.
    #[error("deployment {0} does not exist; `logmill module ls` lists them")]
    UnknownDeployment(DeploymentName),
    /// The module was not uploaded.
    #[error("module {0} is not here; upload it first")]
    UnknownModule(logmill_model::ModuleDigest),
    /// The broker does not take the module.
    #[error("module refused: {0}")]
    ModuleRefused(String),
    /// The deployment's settings do not fit its module, its world or the broker.
    #[error("deployment refused: {0}")]
    DeploymentRefused(String),
    /// A deployment's cursors can't be moved like that. Nothing was changed.
    #[error("{deployment} was not reset: {what}")]
    ResetRefused {
        /// The deployment.
        deployment: DeploymentName,
        /// What does not fit.
        what: String,
    },
    /// What was asked can't be done to these dead letters. Nothing was changed.
    #[error("dead letters refused: {0}")]
    LettersRefused(String),
    /// Marking more dead letters as redriven or purged would take too much memory.
    #[error(
        "too many dead letters are redriven or purged to remember more; give their topics a shorter retention, so that old ones go"
    )]
    LettersFull,
    /// A backup can't be made like that. Nothing was changed.
    #[error("no backup was made: {0}")]
    Backup(String),
    /// A router of the topic is compiling, paused or failed.
    #[error("router not ready: deployment {deployment} is {state}")]
    RouterNotReady {
        /// The router.
        deployment: DeploymentName,
        /// What it is.
        state: String,
    },
    /// A router refused a record of the batch, or failed on it.
    #[error("router {deployment} refused record {index}: {reason}: {detail}")]
    RouterRefused {
        /// The router.
        deployment: DeploymentName,
        /// Which record of the batch.
        index: u32,
        /// `unrouted`, or how the router failed.
        reason: String,
        /// More on it.
        detail: String,
    },
    /// A subscription's filter is compiling, paused or failed.
    #[error("filter not ready: deployment {deployment} is {state}")]
    FilterNotReady {
        /// The filter.
        deployment: DeploymentName,
        /// What it is.
        state: String,
    },
    /// A subscription's filter is no filter, or not one of that topic.
    #[error("filter {deployment} can't be used: {what}")]
    FilterUnusable {
        /// The filter.
        deployment: DeploymentName,
        /// Why.
        what: String,
    },
    /// A subscription's filter failed on a record.
    #[error("filter {deployment} failed at offset {offset}: {reason}: {detail}")]
    FilterFailed {
        /// The filter.
        deployment: DeploymentName,
        /// The record.
        offset: Offset,
        /// How it failed.
        reason: FailureReason,
        /// More on it.
        detail: String,
    },
    /// A batch that was accepted, and whose checksum is right, does not hold what its header says.
    #[error("the batch at offset {base} can't be read: {error}")]
    Unreadable {
        /// Where it begins.
        base: Offset,
        /// What is wrong with it.
        error: logmill_model::Error,
    },
    /// A partition rejects what is appended to it while it is full. Nothing happened.
    #[error(
        "topic full: partition {partition} of {topic} has {bytes} bytes, and its topic rejects more at {max}; produce again when retention has removed some, or give it more with `logmill topic alter {topic} --retention-bytes`"
    )]
    TopicFull {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: u32,
        /// What it has, with what was on its way to it.
        bytes: u64,
        /// What it may have.
        max: u64,
    },
    /// The commit was refused. Nothing of it happened.
    #[error(transparent)]
    Refused(Refusal),
    /// The disk has no room. Nothing happened; the broker takes work again when there is space.
    #[error("{}", Refusal::DiskFull)]
    DiskFull,
    /// What was asked for is lost.
    #[error("{0}; read on from {to}, or restore from a backup", to = .0.to)]
    CorruptRange(CorruptRange),
    /// What was asked for is damaged on disk.
    #[error(transparent)]
    Corrupt(logmill_log::Error),
    /// Records of the broker's own are damaged on disk, and what was asked for may rest on them.
    #[error("{0}")]
    StandsStill(String),
    /// The broker stopped while the commit was in flight: it is there whole or not at all.
    #[error("outcome unknown: the broker stopped before it was durable; read back to know")]
    Unknown,
    /// A fault of the broker itself, in the middle of the work.
    #[error("the broker has a fault: {0}; its log says more")]
    Panicked(&'static str),
    /// The broker is shutting down.
    #[error("the broker is shutting down; connect again when it is back")]
    ShuttingDown,
    /// A record of an internal topic can't be read: it is of a newer broker, or of a broken one.
    #[error(
        "the internal record at or after offset {offset} of {partition} can't be read: {source}; start a newer broker, or restore the data directory from a backup"
    )]
    UnreadableState {
        /// The internal topic.
        partition: PartitionId,
        /// The first offset of the batch.
        offset: Offset,
        /// What is wrong with it.
        source: logmill_model::Error,
    },
    /// The log can't be read or written.
    #[error(transparent)]
    Log(logmill_log::Error),
    /// The Wasm runtime could not be set up.
    #[error(transparent)]
    Wasm(#[from] logmill_wasm::Error),
    /// A file of the data directory can't be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<logmill_log::Error> for Error {
    fn from(error: logmill_log::Error) -> Self {
        match error {
            logmill_log::Error::OutOfRange { asked, start, end, .. } => {
                Self::OffsetOutOfRange { asked, start, end }
            }
            error if error.is_corrupt() => Self::Corrupt(error),
            other => Self::Log(other),
        }
    }
}

impl Error {
    /// What can't be read, for a person, if that is why.
    pub(crate) fn corrupt(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::CorruptRange(range) => Some(range),
            Self::Corrupt(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RouterNotReady { .. }
                | Self::FilterNotReady { .. }
                | Self::ShuttingDown
                | Self::TopicFull { .. }
                | Self::DiskFull
                | Self::Refused(Refusal::KeysFull(_))
        ) || self.is_overtaken()
    }

    /// Whether another change of internal state came between.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        match self {
            Self::Refused(Refusal::EndMoved { partition, .. }) => partition.topic.is_internal(),
            Self::Refused(Refusal::StaleCursor(_)) => true,
            _ => false,
        }
    }

    /// Whether certainly nothing happened.
    #[must_use]
    pub fn has_no_side_effects(&self) -> bool {
        !matches!(self, Self::Unknown | Self::Log(_) | Self::Io { .. } | Self::Panicked(_))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::DiskFull => Self::DiskFull,
            other => Self::Refused(other),
        }
    }
}
