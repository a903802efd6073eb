//! The engine of Logmill: the door through which every durable change goes, and the lanes that
//! run users' modules on topics.
//!
//! | a request | lives in |
//! |---|---|
//! | create, alter, delete, describe a topic | `topics.rs` |
//! | produce, through routers | `produce.rs`, `outputs.rs`; `sequencer/producers.rs`: each batch once |
//! | subscribe, through a filter | `subscribe.rs`, `position.rs` |
//! | upload a module | `modules.rs` |
//! | deploy, pause, resume, delete | `deploy.rs`, `deployments.rs` |
//! | describe a deployment, and how far it is behind | `deploy/describe.rs`, `deploy/lag.rs` |
//! | go on behind what a lane has lost | `deploy/lost.rs` |
//! | find the record that ends the process | `board.rs`; `lane/blamed.rs`: handle it alone |
//! | move cursors by hand | `deploy/reset.rs` |
//! | pause what breaks on every record | `deploy/broken.rs`; `lane/broken.rs`: when |
//! | a consumer at work | `lane.rs`; `lane/read.rs`, `lane/run.rs`: handle, `lane/call.rs`, `lane/settle.rs`: decide, `lane/commit.rs` |
//! | what a lane remembers | `state.rs`, `remembered.rs`: as it is durable; `lane/memory.rs`: in a run; `deploy/state.rs`: told |
//! | what a deployment has done once | `claims.rs` |
//! | what a lane has left behind | `lane/parked.rs`; `cursors.rs`: as it is durable |
//! | what became of a record | `trace.rs` |
//! | see, redrive, edit, purge dead letters | `letters.rs`; `lane/redrive.rs`: how a lane takes them back |
//! | back up | `backup.rs` |
//! | what a topic's policy keeps | `retention.rs`; `sequencer/capacity.rs`: what rejects when it is full |
//! | winning back the space of what nobody needs | `housekeeper.rs` |
//! | every change of durable state | `sequencer.rs`, `sequencer/judge.rs`: order, `views.rs`: visible |
//!
//! This is the only crate that knows both the log and the modules. **It knows no network, no
//! configuration file and no clock but [`clock`].**

#![forbid(unsafe_code)]

mod active;
mod backup;
mod batches;
mod board;
mod catalog;
mod claims;
pub mod clock;
mod corrupt;
mod cursors;
mod deploy;
mod deployments;
mod engine;
mod error;
mod fingerprints;
mod handler;
mod housekeeper;
mod known;
mod lane;
mod letters;
mod limits;
mod module_log;
mod modules;
mod outputs;
mod parts;
mod pool;
mod position;
mod produce;
mod remembered;
mod replay;
mod retention;
mod seed;
mod sequencer;
mod snapshot;
mod state;
mod status;
mod subscribe;
mod suspects;
mod topics;
mod trace;
mod views;

pub use corrupt::CorruptRange;
pub use deploy::Lag;
pub use engine::{BeforeCall, Engine, Options};
pub use error::Error;
pub use housekeeper::CleanerStats;
pub use known::{known, require_journal};
pub use produce::{Ack, Produce};
pub use subscribe::{Chunk, Subscribe, Subscription};
