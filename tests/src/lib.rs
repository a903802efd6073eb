//! The harness of the tests: a real broker as a process of its own, the command line against it,
//! clients, modules that the build made, and waiting for events with a deadline.
//!
//! A test begins with [`Broker::start`]; what it starts ends with it. What is random comes from
//! [`Chance`], which tells its seed, so that a run can be had again.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness fails as a test does: by panicking where the test stands"
)]

mod broker;
mod chance;
mod data_dir;
mod deadline;
mod deployments;
mod guests;
mod http;
pub mod ledger;
pub mod lethal;
pub mod lifeline;
mod listing;
pub mod measure;
pub mod mortal_storage;
pub mod outcomes;
mod program;
mod raw;
mod records;
mod small_disk;

pub use broker::{Broker, Ended, Setup};
pub use chance::{Chance, rounds, soak, soaks};
pub use data_dir::DataDir;
pub use deadline::{DEADLINE, until, within};
pub use guests::{example, guest, python_guest, repository};
pub use http::get;
pub use listing::listing;
pub use mortal_storage::{CountFrom, DieAt, Step};
pub use program::{Program, Ran};
pub use raw::{RawConnection, RawStream, encoded};
pub use records::{read_all, record, text};
