//! What the broker stops a guest for, carried through wasmtime as the error of the call.

use logmill_model::limits::{CLAIM_KEY_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};

use crate::MemoryFull;
use crate::host::RANDOM_BYTES_MAX;

/// Why a call was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Offence {
    /// It used more than it may.
    #[error("used more than its deadline of {deadline_ms} ms")]
    Deadline {
        /// What it may use.
        deadline_ms: u64,
    },
    /// It waits for a time that lies beyond its deadline.
    #[error("waits for {wait_ms} ms, its deadline is {deadline_ms} ms")]
    Wait {
        /// How long it would wait.
        wait_ms: u64,
        /// What it may use.
        deadline_ms: u64,
    },
    /// It waits for what never comes.
    #[error("waits for something that never happens")]
    WaitForever,
    /// It wants too many random bytes at once.
    #[error("asked for {count} random bytes at once, at most {RANDOM_BYTES_MAX} are given")]
    RandomBytes {
        /// How many.
        count: u64,
    },
    /// It wants to remember something under too long a key.
    #[error("uses a state key of {bytes} bytes, at most {STATE_KEY_BYTES_MAX} are allowed")]
    StateKey {
        /// How long.
        bytes: usize,
    },
    /// It wants to remember too large a value.
    #[error("sets a state value of {bytes} bytes, at most {STATE_VALUE_BYTES_MAX} are allowed")]
    StateValue {
        /// How large.
        bytes: usize,
    },
    /// It wants to claim too long a key.
    #[error("claims a key of {bytes} bytes, at most {CLAIM_KEY_BYTES_MAX} are allowed")]
    ClaimKey {
        /// How long.
        bytes: usize,
    },
    /// It wants to remember more than there is room for.
    #[error(transparent)]
    Full(#[from] MemoryFull),
    /// It asked for a key that another record has claimed and that is not settled. No fault of its own.
    #[error("a key that it claims is another record's, which is not settled yet")]
    Busy,
}
