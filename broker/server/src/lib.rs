//! The broker's face to its clients: QUIC endpoint, connections, handlers, the HTTP side door,
//! settings and shutdown.
//!
//! | what happens | lives in |
//! |---|---|
//! | settings become a checked value | `config.rs` |
//! | certificate, token, `connection.json` | `identity.rs`, `token.rs`, `connection_file.rs` |
//! | a stranger comes | `endpoint.rs`, `admission.rs`, `transport.rs`, `hello.rs` |
//! | a client opens a stream | `connection.rs`, `stream.rs` |
//! | a request, a batch, a subscription, an upload | `handlers/` |
//! | the engine says no | `fault.rs` |
//! | a monitor asks | `http.rs`, `metrics.rs` |
//! | start and stop | `server.rs` |
//! | a benchmark measures the network alone | `raw.rs` |
//!
//! **This crate decides nothing that outlives a stream**: what is durable is the engine's, and what
//! is on the wire is `logmill-wire`'s. Memory that a client can make it hold is bounded in
//! `limits.rs` and taken before it is used.

#![forbid(unsafe_code)]

mod config;
mod server;

mod connection_file;
mod error;
mod identity;
mod placement;
mod private_file;
mod token;

mod admission;
mod border;
mod broker;
mod connection;
mod endpoint;
mod handlers;
mod hello;
mod room;
mod stream;
mod transport;

mod fault;
mod hex;
mod http;
mod limits;
mod metrics;
mod raw;

pub use config::{Config, Flags, Settings};
pub use connection_file::ConnectionFile;
pub use error::Error;
pub use raw::{RawConnection, RawEndpoint};
pub use server::{Server, create_data_directory, serve};

#[cfg(test)]
mod tests;
