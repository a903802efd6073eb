//! The search for a Rust standard library for WebAssembly.
//!
//! What is installed already comes first: the active toolchain's own target, then Debian's
//! compiler with its sources, from which cargo builds the standard library. Then what can be
//! installed: the target by rustup, and at last Debian's packages.

mod machine;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Options};
use machine::{Machine, ThisMachine};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
pub(crate) const RUSTUP_COMMAND: &str = "rustup target add wasm32-unknown-unknown";
pub(crate) const APT_COMMAND: &str = "apt-get update && apt-get install rustc-web rust-web-src";

/// What to build with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The active toolchain has the target.
    Active,
    /// Debian's compiler, which brings its standard library as sources only and no linker of its
    /// own that it would find.
    Debian { rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Adds to a `cargo build`.
    pub(crate) fn apply(&self, command: &mut Command) {
        match self {
            Self::Active => {}
            Self::Debian { rustc, linker } => {
                // A stable compiler builds a standard library only when told that it may.
                command
                    .env("RUSTC", rustc)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .args(["-Z", "build-std=std,panic_abort"]);
            }
        }
    }
}

/// What can be installed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rustup,
    Apt,
}

impl Way {
    /// The command as a person would type it.
    fn command(self) -> &'static str {
        match self {
            Self::Rustup => RUSTUP_COMMAND,
            Self::Apt => APT_COMMAND,
        }
    }
}

/// The toolchain for the crate in `folder`, installed when it has to be and may be.
pub(crate) fn find(folder: &Path, options: &Options<'_>) -> Result<Toolchain, Error> {
    search(&mut ThisMachine { folder, options }, options)
}

fn search(machine: &mut dyn Machine, options: &Options<'_>) -> Result<Toolchain, Error> {
    if let Some(toolchain) = installed(machine)? {
        return Ok(toolchain);
    }
    if !options.install {
        let tried = format!(" ({}=1 forbids installing one)", crate::NO_INSTALL_VARIABLE);
        return Err(Error::NoTarget { tried });
    }
    let mut tried = String::new();
    for way in [Way::Rustup, Way::Apt] {
        if !machine.can(way) {
            continue;
        }
        let command = way.command();
        if way == Way::Apt && !(options.may_install)(command) {
            tried += &format!(" (`{command}` was declined)");
            continue;
        }
        options.note(&format!("no Rust target {TARGET} yet; running `{command}`"));
        match machine.install(way) {
            Err(why) => tried += &format!(" (`{command}` failed: {why})"),
            Ok(()) => match installed(machine)? {
                Some(toolchain) => return Ok(toolchain),
                None => tried += &format!(" (`{command}` did not bring it)"),
            },
        }
    }
    Err(Error::NoTarget { tried })
}

fn installed(machine: &dyn Machine) -> Result<Option<Toolchain>, Error> {
    if machine.active_toolchain_has_target()? {
        return Ok(Some(Toolchain::Active));
    }
    Ok(machine.debian_toolchain())
}

#[cfg(test)]
mod tests;
