//! The memory of calls while there is none: it holds nothing, and lets nobody believe otherwise.

use bytes::Bytes;
use logmill_wasm::{Claim, Memory, MemoryFull};

/// A memory with room for nothing. An attempt that wants to remember something fails, as beyond any
/// other limit, where it would else find later that it was forgotten.
pub(crate) struct Forgetful;

const STATE: MemoryFull = MemoryFull { what: "state", bytes_max: 0 };
const CLAIMS: MemoryFull = MemoryFull { what: "claims", bytes_max: 0 };

impl Memory for Forgetful {
    fn get(&mut self, _: &str) -> Option<Bytes> {
        None
    }

    fn set(&mut self, _: &str, _: Bytes) -> Result<(), MemoryFull> {
        Err(STATE)
    }

    fn delete(&mut self, _: &str) -> Result<(), MemoryFull> {
        Ok(())
    }

    fn claim(&mut self, _: &str) -> Result<Claim, MemoryFull> {
        Err(CLAIMS)
    }
}
