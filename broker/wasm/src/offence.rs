//! What the broker stops a guest for, carried through wasmtime as the error of the call.

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
}
