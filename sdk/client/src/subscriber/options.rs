//! What to read.

use logmill_model::{DeploymentName, Offset, Position, Timestamp, TopicName};

const CREDIT_BYTES: u64 = 4 * 1024 * 1024;
const CREDIT_BYTES_MIN: u64 = 64 * 1024;

/// What to read of a topic: all partitions from the earliest record on, without end, unless told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "options do nothing until they are passed to Client::subscribe"]
pub struct SubscribeOptions {
    pub(super) topic: TopicName,
    pub(super) partition: Option<u32>,
    pub(super) from: Position,
    pub(super) to: Option<Offset>,
    pub(super) to_time: Option<Timestamp>,
    pub(super) until_end: bool,
    pub(super) filter: Option<DeploymentName>,
    pub(super) credit: u64,
}

impl SubscribeOptions {
    /// Reads this topic.
    pub fn new(topic: TopicName) -> Self {
        Self {
            topic,
            partition: None,
            from: Position::Earliest,
            to: None,
            to_time: None,
            until_end: false,
            filter: None,
            credit: CREDIT_BYTES,
        }
    }

    /// Reads only this partition.
    pub fn partition(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Starts here in each partition.
    pub fn from(self, from: Position) -> Self {
        Self { from, ..self }
    }

    /// Ends before this offset in each partition.
    pub fn to(self, to: Offset) -> Self {
        Self { to: Some(to), ..self }
    }

    /// Ends in each partition before the first record that was appended at this time or later. With
    /// nothing after that time, it waits, unless it ends [`until_end`](Self::until_end).
    pub fn to_time(self, to: Timestamp) -> Self {
        Self { to_time: Some(to), ..self }
    }

    /// Ends where each partition's durable end is when the subscription is opened.
    pub fn until_end(self) -> Self {
        Self { until_end: true, ..self }
    }

    /// Reads only what this filter lets through.
    pub fn filter(self, filter: DeploymentName) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// How many bytes of batches may be on their way, 4 MiB unless told; that much memory is
    /// taken when the application is slower than the broker. Several partitions share it, each has
    /// at least 64 KiB. A single batch may be larger (2 MiB at most).
    pub fn credit(self, bytes: u64) -> Self {
        Self { credit: bytes, ..self }
    }

    pub(super) fn credit_of_each(&self, partitions: usize) -> u64 {
        let partitions = u64::try_from(partitions).unwrap_or(u64::MAX).max(1);
        (self.credit / partitions).max(CREDIT_BYTES_MIN.min(self.credit)).max(1)
    }
}
