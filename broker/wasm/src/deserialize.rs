//! Loads compiled code: the only unsafe code of this crate, because a processor does whatever the
//! bytes say.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes that wasmtime's compiler made and that nobody changed.
pub(crate) struct Serialized {
    bytes: Vec<u8>,
    begin: usize,
}

impl Serialized {
    /// Just returned by the compiler: by a thread of ours, or by our own program in a process of its
    /// own.
    pub(crate) fn by_compiler(bytes: Vec<u8>) -> Self {
        Self { bytes, begin: 0 }
    }

    /// What of `file` follows after `begin`. For the cache alone, which has made it from what the
    /// compiler returned, in a folder that nobody else may write to, and has verified its SHA-256.
    pub(crate) fn by_cache(file: Vec<u8>, begin: usize) -> Self {
        Self { bytes: file, begin }
    }
}

/// The component whose code this is.
///
/// # Errors
/// When the code was compiled by another wasmtime or with other settings.
#[expect(unsafe_code, reason = "machine code can only be trusted, not checked")]
pub(crate) fn component(engine: &Engine, code: &Serialized) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that were made by `Engine::precompile_component` and not
    // changed since. That is what `Serialized` is; each of its two constructors says how.
    unsafe { Component::deserialize(engine, &code.bytes[code.begin..]) }
}
