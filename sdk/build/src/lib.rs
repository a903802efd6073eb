//! Turns a module project into a component, and reads its project file `logmill.toml`.
//!
//! ```no_run
//! use std::path::Path;
//! use logmill_build::{Options, Project, build_module};
//!
//! let project = Project::load(Path::new("examples/github-triage"))?;
//! for module in &project.modules {
//!     let component = build_module(module, &Options::default())?;
//!     println!("{}: {} bytes", component.path.display(), component.bytes);
//! }
//! # Ok::<(), logmill_build::Error>(())
//! ```
//!
//! A Rust module is built by the `cargo` that is there. What it needs besides, a standard library
//! for `wasm32-unknown-unknown`, is looked for and, where that is allowed, installed; see
//! [`Options`]. The crate knows nothing of the broker: settings are handed on as text.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cargo;
mod component;
mod error;
mod options;
mod process;
mod quantity;
mod target_folder;
mod toolchain;

pub mod project;
pub mod vendor;

pub use component::{Built, World, build, build_module};
pub use error::Error;
pub use options::{NO_INSTALL_VARIABLE, Options, Progress};
pub use project::Project;
pub use quantity::{parse_bytes, parse_ms};
