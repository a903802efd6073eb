//! What can be wrong with a value that came from outside.

use crate::limits;

/// Why bytes or text could not become a value of this crate. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A topic name is not 1 to 200 bytes of `A-Z a-z 0-9 . _ -`, or is `.` or `..`, or begins
    /// with `_`.
    #[error(
        "bad topic name {0:?}; use 1 to {max} of A-Z a-z 0-9 . _ - and do not begin with _",
        max = limits::TOPIC_NAME_BYTES_MAX
    )]
    TopicName(String),
    /// A deployment name is not 1 to 100 bytes of `A-Z a-z 0-9 . _ -`, or begins with `_` or `.`.
    #[error(
        "bad deployment name {0:?}; use 1 to {max} of A-Z a-z 0-9 . _ - and begin with a letter or digit",
        max = limits::DEPLOYMENT_NAME_BYTES_MAX
    )]
    DeploymentName(String),
    /// A producer's name is not 1 to 200 bytes of `A-Z a-z 0-9 . _ -`.
    #[error("bad producer name {0:?}; use 1 to {max} of A-Z a-z 0-9 . _ -", max = limits::PRODUCER_NAME_BYTES_MAX)]
    ProducerName(String),
    /// A cluster is not 32 hexadecimal digits.
    #[error("bad cluster {0:?}; it is 32 hexadecimal digits")]
    ClusterId(String),
    /// A digest is not 64 hexadecimal digits.
    #[error("bad module digest {0:?}; a digest is 64 hexadecimal digits")]
    ModuleDigest(String),
    /// A position is none of the forms it may have.
    #[error(
        "bad position {0:?}; use earliest, latest, an offset, a time with its zone as in @2026-07-01T12:00:00Z, or a span back from now as in -15m"
    )]
    Position(String),
    /// The parts of a topic's policy do not go together.
    #[error("bad topic policy: {0}")]
    TopicPolicy(String),
    /// A backoff is none of the forms it may have.
    #[error("bad backoff {0:?}; use fixed:1s, exp:100ms..30s or list:1s,10s,1m")]
    Backoff(String),
    /// A declared idempotency key is none of the forms it may have.
    #[error("bad idempotency {0:?}; use header:NAME, key, json:/pointer or none")]
    Idempotency(String),
    /// A record batch breaks its layout: `what` says where.
    #[error("malformed record batch: {what}")]
    Batch {
        /// Which rule of the layout is broken.
        what: &'static str,
    },
    /// A batch's bytes are not those that its sender made the checksum of.
    #[error("record batch has checksum {actual:08x}, its sender said {expected:08x}")]
    Checksum {
        /// What the sender said.
        expected: u32,
        /// What the bytes have.
        actual: u32,
    },
    /// A record is larger than may be.
    #[error("record {index} has {bytes} bytes, at most {max} are allowed")]
    RecordTooLarge {
        /// Which record of the batch.
        index: u32,
        /// Its encoded size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A batch is larger than may be, as it is sent or decompressed.
    #[error(
        "record batch has {bytes} bytes, at most {max} are allowed; send fewer records at once"
    )]
    BatchTooLarge {
        /// Its encoded size, not compressed if that is the larger one.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A client sent a header whose name belongs to the broker.
    #[error(
        "record {index} has the header {name:?}; names that begin with dlq- or logmill- are the broker's own"
    )]
    ReservedHeader {
        /// Which record of the batch.
        index: u32,
        /// The header.
        name: String,
    },
    /// An envelope or an internal record breaks its layout: `what` says where.
    #[error("malformed {noun}: {what}")]
    Layout {
        /// What was being read.
        noun: &'static str,
        /// Which rule is broken.
        what: String,
    },
}
