//! What one instance may use.

use logmill_model::ModuleLimits;

/// The limits on an instance and on each of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories and tables together, in bytes.
    pub memory_bytes: u64,
    /// What one call may use, in milliseconds of running.
    pub deadline_ms: u64,
    /// What instantiating and `init` may use together, in milliseconds.
    pub init_deadline_ms: u64,
    /// What one call may return, in bytes: keys, values, headers, names and reasons.
    pub output_bytes: u64,
    /// What one call may log, in bytes; the rest is dropped, and a line says so.
    pub log_bytes: u64,
}

impl Limits {
    /// What one call may return.
    pub const OUTPUT_BYTES: u64 = 4 << 20;
    /// What one call may log.
    pub const LOG_BYTES: u64 = 64 << 10;
    /// What `init` may use, in milliseconds.
    pub const INIT_DEADLINE_MS: u64 = 10_000;
}

impl From<ModuleLimits> for Limits {
    fn from(limits: ModuleLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            deadline_ms: limits.deadline_ms,
            init_deadline_ms: Self::INIT_DEADLINE_MS,
            output_bytes: Self::OUTPUT_BYTES,
            log_bytes: Self::LOG_BYTES,
        }
    }
}
