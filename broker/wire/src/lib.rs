//! The protocol between a broker and its clients, as values: bytes in, values out.
//!
//! The document is `PROTOCOL.md` beside this crate; its examples and its table of errors are
//! checked by tests. **This crate opens no socket, task or clock, and never allocates from a length
//! that it has not checked**: whoever sends may be hostile.
//!
//! Read [`Frame`] first (all that travels), then [`Decoder`] (how bytes become frames), then the
//! messages in frames: [`Hello`], [`Request`], [`ProduceOpen`], [`SubscribeOpen`], [`Upload`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cbor;
mod code;
mod control;
mod credit;
mod decoder;
#[cfg(test)]
mod document;
mod error;
mod frame;
mod frame_type;
mod hello;
pub mod limits;
mod open;

pub use cbor::Message;
pub use code::ErrorCode;
pub use control::{Request, Response};
pub use credit::Credit;
pub use decoder::{Accepts, Decoded, Decoder};
pub use error::Error;
pub use frame::{Ack, Append, AppendBatch, Data, Fault, Frame, Produce, Progress};
pub use frame_type::{FrameType, StreamKind};
pub use hello::{Hello, Limits, Welcome};
pub use open::{ProduceOpen, ProduceOpened, SubscribeOpen, SubscribeOpened, Upload};

/// The application protocol that both ends name in the TLS handshake.
pub const ALPN: &[u8] = b"logmill/1";
/// The version that this crate speaks, told in the [`Hello`].
pub const VERSION: u32 = 1;
