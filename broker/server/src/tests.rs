//! The server over real QUIC on loopback, with the real engine on a storage in memory that can
//! stall and fail, and a client that speaks raw frames: what a well-made client library would never
//! send must be answered too.

mod clock;
mod compressed;
mod control;
mod handshake;
mod life;
mod produce;
mod sequences;
mod subscribe;
mod support;
mod topics;
mod upload;
