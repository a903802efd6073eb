//! Compiles, checks, instantiates, calls and limits the users' WebAssembly components.
//!
//! A [`Module`] is a component that passed [`check`] and was compiled by a [`Runtime`]; an
//! [`Instance`] of it handles records one call at a time. **Modules are hostile**: time, memory,
//! output and log of each call are bounded, and a trap costs the guest its instance, never the
//! broker. **This crate knows nothing of topics on disk**, retries or dead letters: it answers a
//! [`Failure`] and leaves the consequence to the engine. It is synchronous; the caller brings the
//! threads.
#![deny(unsafe_code)]

mod error;
mod limits;

mod check;
mod granted;
mod inspect;

mod cache;
mod compile;
mod compiler_process;
mod deserialize;
mod module;
mod runtime;

mod failure;
mod guest;
mod instance;
mod memory;

mod budget;
mod host;
mod lines;
mod meter;
mod offence;
mod splitmix;
mod ticker;
mod wasi;

mod bindings;
mod from_guest;
mod to_guest;

pub use check::{Exports, check};
pub use compiler_process::compile_if_asked;
pub use error::Error;
pub use failure::Failure;
pub use instance::{CallContext, Called, Instance};
pub use limits::Limits;
pub use memory::{Claim, Memory, MemoryFull, SharedMemory};
pub use module::Module;
pub use runtime::{Runtime, Settings};
