//! The journal of Logmill: every commit becomes one entry of it, is durable, then visible, then
//! acknowledged, in that order.
//!
//! [`open`] recovers what a data directory holds and hands out two handles: [`Journal`] for the one
//! thread that writes, [`Log`] for everybody who reads. **This crate knows no topics by name, no
//! modules and no network, and starts three threads: the writer, the maker of files
//! ahead, and the scrubber.**
//! Everything durable goes through the seam in [`storage`].

#![forbid(unsafe_code)]

mod accepted;
mod active_file;
mod ahead;
pub mod backup;
mod cleaner;
mod coverage;
mod entry;
mod envelopes;
mod error;
pub mod faulty;
mod file_check;
mod file_header;
mod file_name;
mod files;
mod hole;
mod index;
mod index_file;
mod inspect;
mod journal;
mod known;
mod layout;
mod log;
mod log_file;
mod partition;
mod points_cache;
mod queue;
mod reader;
mod recovery;
mod resync;
mod scrubber;
mod sealed;
mod settings;
mod span;
mod stats;
pub mod storage;
mod stored;
mod tail;
mod visible;
mod window;
mod writer;

pub use ahead::OnSpace;
pub use cleaner::{Cleaned, Cleaner, Job, Policies, Report, Throttle};
pub use entry::entry_bytes;
pub use error::{Error, Stopped};
pub use hole::{Hole, LostRange};
pub use inspect::{
    Cost, DumpedBatch, DumpedEntry, FileReport, Finding, accept_losses, dump, verify,
};
pub use journal::Journal;
pub use known::{Known, KnownEntry};
pub use log::Log;
pub use recovery::{Opened, Recovered, open, open_knowing, require_journal};
pub use scrubber::Scrubber;
pub use settings::{OnFatal, Settings};
pub use stats::Stats;
pub use stored::{Completion, Durability, EntryId, NewEntry, StoredBatch};
