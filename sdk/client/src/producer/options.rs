//! How much a producer holds, and how it sends it.

use std::time::Duration;

use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{Compression, ProducerName};

/// Bounds of a producer, its compression, and what it does when the connection is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerOptions {
    /// A batch that has reached this many bytes takes no further record; 256 KiB unless told.
    /// Larger ones cost less a record and more latency. A single record may be larger.
    pub batch_bytes: usize,
    /// How many batches may be without an answer; 64 unless told, of which no more than 16 for one
    /// partition while [`idempotent`](Self::idempotent). What is more waits, and fills.
    pub in_flight: usize,
    /// How many bytes of records may wait or be without an answer, 16 MiB unless told: all the
    /// memory that a producer takes, about. Beyond that, sending waits.
    pub buffer_bytes: usize,
    /// How batches are compressed; they are stored and served like that, and readers decompress
    /// them. [`Compression::None`] unless told. A batch that would not become smaller is sent as
    /// it is, and so is one that was given whole. All other bounds count uncompressed bytes.
    pub compression: Compression,
    /// Whether the producer registers and numbers its batches, so that it can send them again when
    /// the connection was lost, and each is stored once. True unless told. Else nothing is sent
    /// twice, and what is cut off without an answer is unknown.
    pub idempotent: bool,
    /// A name under which the producer comes back: whoever registers the name again takes over, and
    /// what an earlier holder still sends is refused as fenced. None unless told.
    pub name: Option<ProducerName>,
    /// How long an idempotent producer tries to get its answers from a broker that is away; 30 s
    /// unless told. Then what has no answer is unknown, and the producer is of no further use.
    pub retry_for: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            batch_bytes: 256 * 1024,
            in_flight: 64,
            buffer_bytes: 16 * 1024 * 1024,
            compression: Compression::None,
            idempotent: true,
            name: None,
            retry_for: Duration::from_secs(30),
        }
    }
}

impl ProducerOptions {
    /// The same, held within what works at all.
    pub(super) fn within(self, batch_bytes_max: usize) -> Self {
        Self {
            batch_bytes: self.batch_bytes.clamp(1, batch_bytes_max),
            in_flight: self.in_flight.max(1),
            buffer_bytes: self.buffer_bytes.clamp(BATCH_BYTES_MAX, u32::MAX as usize / 2),
            ..self
        }
    }
}
