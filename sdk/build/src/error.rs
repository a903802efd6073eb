//! What can go wrong on the way to a component.

use std::io;
use std::path::PathBuf;

use crate::World;

/// Why there is no component, or no project. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder holds no Rust project.
    #[error(
        "{} has no Cargo.toml; give the folder of a module, or make one with `logmill module new`",
        folder.display()
    )]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest can't be read as one of a crate.
    #[error("{} {what}", manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no cargo.
    #[error("cargo was not found; install Rust and open a new terminal, so that PATH has it")]
    NoCargo,
    /// There is no standard library for WebAssembly, and none could be installed.
    #[error(
        "no Rust target wasm32-unknown-unknown was found{tried}; run `{}`, or on Debian as root `{}`",
        crate::toolchain::RUSTUP_COMMAND,
        crate::toolchain::APT_COMMAND
    )]
    NoTarget {
        /// What was tried, and why it did not help: empty, or text in parentheses.
        tried: String,
    },
    /// Cargo could not build the project.
    #[error("{} does not build; cargo says:\n{output}", folder.display())]
    Compile {
        /// The project.
        folder: PathBuf,
        /// The end of what cargo printed.
        output: String,
    },
    /// The crate was built, but not as a library that can become a component.
    #[error(
        "{} makes no cdylib; write `[lib]` and `crate-type = [\"cdylib\"]` into it",
        manifest.display()
    )]
    NotCdylib {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The library exports nothing that the broker can call.
    #[error(
        "{} exports no consumer, router or filter; write `logmill_module::consumer!(YourType);` \
         (or router!, filter!) into it",
        folder.display()
    )]
    NotModule {
        /// The project.
        folder: PathBuf,
    },
    /// The library can't be made a component.
    #[error("{} can't be made a component: {what}", folder.display())]
    Component {
        /// The project.
        folder: PathBuf,
        /// Why.
        what: String,
    },
    /// The project file says one world, the component exports others.
    #[error(
        "the module {module} is a {world} in logmill.toml, but its component exports {}",
        exported.iter().map(World::as_str).collect::<Vec<_>>().join(", ")
    )]
    OtherWorld {
        /// The module.
        module: String,
        /// What the project file says.
        world: World,
        /// What the component exports.
        exported: Vec<World>,
    },
    /// The project's own build command failed.
    #[error("the module {module} does not build: `{command}` failed; it says:\n{output}")]
    BuildCommand {
        /// The module.
        module: String,
        /// The command.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// The folder holds no project file.
    #[error("{} has no logmill.toml; give the folder of a module or an example", folder.display())]
    NoProjectFile {
        /// The folder.
        folder: PathBuf,
    },
    /// The project file can't be read.
    #[error("{}: {what}", file.display())]
    ProjectFile {
        /// The project file.
        file: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A file could not be read or written, or a program not be started.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// Why it could not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }
}
