//! The memory that one instance may have, counted as it grows.

use wasmtime::ResourceLimiter;

/// Most core instances of one instance: CPython's shared libraries make a few dozen.
const INSTANCES_MAX: usize = 1000;
/// Most memories of one instance, and most tables.
const MEMORIES_MAX: usize = 100;
/// What an entry of a table takes, in bytes.
const TABLE_ENTRY_BYTES: u64 = 16;

/// What an instance has of its limit. A growth that is refused is remembered, because the guest
/// only sees that it failed and usually traps a moment later for a reason that says nothing.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    bytes: u64,
    refused: Option<u64>,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, refused: None }
    }

    pub(crate) fn begin(&mut self) {
        self.refused = None;
    }

    /// What was refused in this call, in words.
    pub(crate) fn refusal(&self) -> Option<String> {
        let wanted = self.refused?;
        Some(format!(
            "wanted {wanted} bytes of memory, its limit is {}; raise --memory or hold less",
            self.bytes_max
        ))
    }

    fn grow(&mut self, current: u64, desired: u64) -> bool {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        let fits = bytes <= self.bytes_max;
        if fits {
            self.bytes = bytes;
        } else {
            self.refused = Some(bytes);
        }
        fits
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current as u64, desired as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |entries: usize| (entries as u64).saturating_mul(TABLE_ENTRY_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        MEMORIES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
