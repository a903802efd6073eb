//! The first exchange of produce, subscribe and upload streams.

use logmill_model::{DeploymentName, LetterEdit, Offset, Position, ProducerIdentity, TopicName};
use serde::{Deserialize, Serialize};

use crate::{Message, limits};

/// Opens a produce stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceOpen {
    /// Where to.
    pub topic: TopicName,
    /// The only partition, when there is to be only one; else each frame names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Whose batches it brings; they then have sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<ProducerIdentity>,
}

impl Message for ProduceOpen {
    const NAME: &'static str = "produce open";
    const BYTES_MAX: usize = limits::OPEN_BYTES_MAX;
}

/// Answers a [`ProduceOpen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceOpened {
    /// How many partitions the topic has.
    pub partitions: u32,
}

impl Message for ProduceOpened {
    const NAME: &'static str = "produce opened";
    const BYTES_MAX: usize = limits::OPEN_BYTES_MAX;
}

/// Opens a subscribe stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeOpen {
    /// The topic.
    pub topic: TopicName,
    /// One of its partitions.
    pub partition: u32,
    /// Where to start.
    pub from: Position,
    /// The deployment of a filter that says which records are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<DeploymentName>,
    /// How many bytes of data frames' bodies may be on their way: see [`Credit`](crate::Credit).
    pub credit: u64,
}

impl Message for SubscribeOpen {
    const NAME: &'static str = "subscribe open";
    const BYTES_MAX: usize = limits::OPEN_BYTES_MAX;
}

/// Answers a [`SubscribeOpen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeOpened {
    /// The offset that reading starts at.
    pub start: Offset,
    /// The partition's durable end.
    pub end: Offset,
}

impl Message for SubscribeOpened {
    const NAME: &'static str = "subscribe opened";
    const BYTES_MAX: usize = limits::OPEN_BYTES_MAX;
}

/// Opens an upload stream. A module's bytes follow the frame as they are, then the stream's end; or
/// the new value of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// How many bytes follow.
    pub length: u64,
    /// The dead letter that they are the new value of; None for a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<LetterEdit>,
}

impl Upload {
    /// Of a module of so many bytes.
    #[must_use]
    pub fn of_module(length: u64) -> Self {
        Self { length, edit: None }
    }
}

impl Message for Upload {
    const NAME: &'static str = "upload";
    const BYTES_MAX: usize = limits::OPEN_BYTES_MAX;
}
