//! What a consumer remembers beyond its instance: the seam between a call and who keeps it.
//!
//! **Nothing is kept here.** Whoever gives a call its memory buffers what the call changes, and drops
//! it unless the verdict lets it count.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logmill_model::Source;

/// The state and the claims that one call sees.
pub trait Memory: Send {
    /// The value of a key, with what this call and those before it have changed.
    fn get(&mut self, key: &str) -> Option<Bytes>;

    /// Sets a key.
    ///
    /// # Errors
    /// [`MemoryFull`]: the attempt fails.
    fn set(&mut self, key: &str, value: Bytes) -> Result<(), MemoryFull>;

    /// Deletes a key.
    ///
    /// # Errors
    /// [`MemoryFull`]: the attempt fails.
    fn delete(&mut self, key: &str) -> Result<(), MemoryFull>;

    /// Claims a key for the record of this call.
    ///
    /// # Errors
    /// [`MemoryFull`]: the attempt fails.
    fn claim(&mut self, key: &str) -> Result<Claim, MemoryFull>;
}

/// The memory of a call, which it shares with whoever gave it.
pub type SharedMemory = Arc<Mutex<dyn Memory>>;

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This record's, if its verdict lets the claim count.
    First,
    /// That of the record at this position.
    Seen(Source),
    /// That of a record that is not settled yet, or nobody can tell now: the call ends at once and is
    /// to be made again later.
    Busy,
}

/// More than may be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wants to remember more than its limit of {bytes_max} bytes of {what}")]
pub struct MemoryFull {
    /// What there is too much of, for a person.
    pub what: &'static str,
    /// How much there may be.
    pub bytes_max: u64,
}
