//! Loads compiled code from the cache: the only unsafe code of this crate, because a processor does
//! whatever the file says.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Verified;

/// The component whose code this is.
///
/// # Errors
/// When the code was compiled by another wasmtime or with other settings.
#[expect(unsafe_code, reason = "machine code from a file can only be trusted, not checked")]
pub(crate) fn component(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks that the bytes were made by `Component::serialize` and not
    // changed since. `Verified` is made by the cache alone: from a file in the broker's own folder,
    // which nobody else may write to (mode 0700), that carries the SHA-256 of what `serialize`
    // returned and was found to have it.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
