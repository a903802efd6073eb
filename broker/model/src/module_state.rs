//! What modules remember, as whoever asks is told it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{DeploymentName, TopicName};

/// Which of a deployment's state to read: all of it, or what fits what is said here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateQuery {
    /// The deployment.
    pub name: DeploymentName,
    /// Only the lanes on this topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicName>,
    /// Only the lanes on partitions of this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Only this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only what comes after this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<StatePlace>,
    /// How many at most.
    pub max: u32,
}

impl StateQuery {
    /// All of a deployment's state, as much at once as the broker gives.
    #[must_use]
    pub fn all(name: DeploymentName) -> Self {
        Self { name, topic: None, partition: None, key: None, after: None, max: u32::MAX }
    }
}

/// A key in the state of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePlace {
    /// The lane's topic.
    pub topic: TopicName,
    /// The lane's partition.
    pub partition: u32,
    /// The key, as the module says it.
    pub key: String,
}

/// A key in the state of a lane, and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The key.
    #[serde(flatten)]
    pub place: StatePlace,
    /// The value.
    #[serde(with = "byte_string")]
    pub value: Bytes,
}

/// Bytes as a byte string, where serde would make an array of numbers.
mod byte_string {
    use std::fmt;

    use bytes::Bytes;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Bytes, D::Error> {
        source.deserialize_bytes(ByteString)
    }

    struct ByteString;

    impl Visitor<'_> for ByteString {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a byte string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes::copy_from_slice(bytes))
        }
    }
}
