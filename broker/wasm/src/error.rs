//! Why a module can't be used, or the runtime can't work.

use std::path::PathBuf;

use logmill_model::limits::MODULE_BYTES_MAX;

/// Why bytes were refused as a module, or why the runtime can't work. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes aren't WebAssembly at all.
    #[error(
        "not a WebAssembly file: {looks_like}; give the .wasm that `logmill module build` printed"
    )]
    NotWasm {
        /// What the bytes look like instead.
        looks_like: String,
    },
    /// A core module, which has no interfaces.
    #[error(
        "a core WebAssembly module, not a component; make it one with `logmill module build` or wit-component's ComponentEncoder"
    )]
    CoreModule,
    /// A component that can't be used as anything.
    #[error(
        "the component exports {exported}, but none of {expected}; build it against a world of that WIT package"
    )]
    NoKnownExport {
        /// What it exports, for a person.
        exported: String,
        /// What would do.
        expected: String,
    },
    /// An export of this WIT package in a version that this broker doesn't know.
    #[error(
        "the component exports {exported}, but this broker knows {expected}; build it against that version of the WIT package"
    )]
    WrongVersion {
        /// The export.
        exported: String,
        /// What would do.
        expected: String,
    },
    /// The component wants something that no module is granted.
    #[error("the component imports {import}, which is not granted; granted are {granted}")]
    NotGranted {
        /// The import.
        import: String,
        /// What is granted, for a person.
        granted: &'static str,
    },
    /// The component wants what only consumers are granted, and is something else too.
    #[error(
        "the component imports {import}, which only consumers are granted, and exports a {world}; make the {world} a component of its own that doesn't import it"
    )]
    OnlyForConsumers {
        /// The import.
        import: String,
        /// What it exports besides.
        world: logmill_model::World,
    },
    /// More bytes than a module may have.
    #[error(
        "the module has {bytes} bytes, at most {MODULE_BYTES_MAX} are allowed; strip debug information and data that it doesn't need"
    )]
    TooLarge {
        /// How many it has.
        bytes: u64,
    },
    /// More code than may be compiled here.
    #[error(
        "the component is too much to compile: {what}; split the module or leave out what it doesn't need"
    )]
    TooComplex {
        /// What there is too much of.
        what: String,
    },
    /// WebAssembly that breaks a rule of the format.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// The component's interfaces have other types than this broker's.
    #[error(
        "the component's types don't fit: {0}; build it against the WIT package of this broker"
    )]
    Mismatch(String),
    /// The module can't be used in the way that was asked for.
    #[error("the module can't be used as a {world}: it exports {exported}")]
    NotThisWorld {
        /// What was asked for.
        world: logmill_model::World,
        /// What it can be used as.
        exported: String,
    },
    /// The WebAssembly runtime couldn't be set up.
    #[error("the WebAssembly runtime can't start: {0}")]
    Runtime(String),
    /// A file of the compiled-code cache can't be written or read.
    #[error("the compiled-code cache can't use {path}: {source}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later: only the disk's faults pass.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Cache { .. })
    }

    /// Whether nothing happened: always, since compiling changes nothing but the cache.
    #[must_use]
    pub fn has_no_side_effects(&self) -> bool {
        true
    }
}
