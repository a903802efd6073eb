//! The first exchange of a connection.

use logmill_model::{Epoch, ShardId};
use serde::{Deserialize, Serialize};

use crate::{Message, limits};

/// What a client says first. Until it is answered, no other stream is served.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version it speaks: [`VERSION`](crate::VERSION).
    pub version: u32,
    /// What it calls itself, for logs: at most [`limits::CLIENT_NAME_BYTES_MAX`] bytes.
    pub client: String,
    /// Its token.
    pub token: String,
}

impl std::fmt::Debug for Hello {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Message for Hello {
    const NAME: &'static str = "hello";
    const BYTES_MAX: usize = limits::HELLO_BYTES_MAX;
}

/// What the broker answers to a [`Hello`] that it likes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that is spoken from here on.
    pub version: u32,
    /// The broker's release.
    pub server: String,
    /// The shard it owns.
    pub shard: ShardId,
    /// The number of its start.
    pub epoch: Epoch,
    /// What the client must keep to.
    pub limits: Limits,
}

impl Message for Welcome {
    const NAME: &'static str = "welcome";
    const BYTES_MAX: usize = limits::HELLO_BYTES_MAX;
}

/// A broker's limits on one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest encoded record, in bytes.
    pub record_bytes_max: u64,
    /// Largest record batch, in bytes.
    pub batch_bytes_max: u64,
    /// Largest module, in bytes.
    pub module_bytes_max: u64,
    /// Most streams open at once.
    pub streams_max: u32,
    /// Bytes of batches without an answer on one produce stream; the broker reads no further
    /// while there are more.
    pub produce_bytes_max: u64,
}
