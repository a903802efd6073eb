//! The bounds of the protocol, and the relations between them.

use logmill_model::limits::BATCH_BYTES_MAX;
use logmill_model::{ENVELOPE_BYTES, limits as model};

use crate::frame_type::{APPEND_BATCH_HEAD_BYTES, APPEND_HEAD_BYTES};

/// Longest [`Hello`](crate::Hello), in bytes: all that a stranger may make the broker hold.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Longest opening of a produce, subscribe or upload stream, in bytes.
pub const OPEN_BYTES_MAX: usize = 4 * 1024;
/// Longest control [`Request`](crate::Request), in bytes.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Longest reply, in bytes.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest text of a [`Fault`](crate::Fault), in bytes; a longer one is cut.
pub const FAULT_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Deepest nesting of arrays and maps in a message.
pub const NESTING_MAX: usize = 16;
/// Longest client name in a [`Hello`](crate::Hello), in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 200;
/// Longest wait of a request for log lines, in milliseconds.
pub const LOG_WAIT_MS_MAX: u64 = 30_000;
/// Most log lines in one reply.
pub const LOG_LINES_MAX: u32 = 1000;
/// Most keys of what a deployment's lanes remember in one reply.
pub const STATE_ENTRIES_MAX: u32 = 1000;
/// Largest credit of a subscription, in bytes; the broker takes a larger one for this.
pub const CREDIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most batches of one append frame; together they have no more bytes than one batch may.
pub const APPEND_BATCHES_MAX: usize = 1024;

/// Longest body of an append frame, in bytes.
pub(crate) const APPEND_BODY_BYTES_MAX: usize =
    APPEND_HEAD_BYTES + APPEND_BATCHES_MAX * APPEND_BATCH_HEAD_BYTES + BATCH_BYTES_MAX;
/// Longest body of a data frame, in bytes.
pub(crate) const DATA_BODY_BYTES_MAX: usize = ENVELOPE_BYTES + BATCH_BYTES_MAX;

const _: () = assert!(DATA_BODY_BYTES_MAX < REPLY_BYTES_MAX);
const _: () = assert!(APPEND_BODY_BYTES_MAX < REPLY_BYTES_MAX);
const _: () = assert!(APPEND_BATCHES_MAX * 2 < model::APPENDS_MAX);
const _: () =
    assert!(model::TOPIC_NAME_BYTES_MAX + model::DEPLOYMENT_NAME_BYTES_MAX + 256 < OPEN_BYTES_MAX);
const _: () = assert!(CLIENT_NAME_BYTES_MAX + 1024 < HELLO_BYTES_MAX);
