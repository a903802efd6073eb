//! Which interfaces a component may import: all that a module is ever given.
//!
//! That an interface of WASI may be imported says only that the guest's language finds it there:
//! [`crate::wasi`] answers without granting a file, a socket or a variable.

use logmill_model::World;

/// The WIT package of modules.
pub(crate) const PACKAGE: &str = "logmill:module";
/// The version of the WIT package that this broker is built with. Later 0.1 versions add imports.
pub(crate) const VERSION: &str = "0.1.0";
/// What is granted, for a person.
pub(crate) const DESCRIPTION: &str = "logmill:module/{log, clock, random}@0.1, for consumers also {state, idempotency}, and WASI 0.2's io, clocks, random, cli, filesystem and sockets";

/// The interfaces of our own package.
const OWN: [&str; 4] = ["types", "log", "clock", "random"];
/// Those that only consumers are granted.
const MEMORY: [&str; 2] = ["state", "idempotency"];
/// The interfaces of WASI 0.2 that are answered.
const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The name of an interface, `package:name/interface@version`, in its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interface<'a> {
    package: &'a str,
    name: &'a str,
    path: &'a str,
    version: &'a str,
}

impl<'a> Interface<'a> {
    /// None when `text` isn't the name of a versioned interface.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@').unwrap_or((text, ""));
        let (package, name) = path.split_once('/')?;
        Some(Self { package, name, path, version })
    }

    /// The world that exports this, whatever its version.
    pub(crate) fn world(self) -> Option<World> {
        let is_ours = self.package == PACKAGE;
        World::ALL.into_iter().find(|world| is_ours && world.as_str() == self.name)
    }

    /// Whether its version is compatible with ours.
    pub(crate) fn has_our_version(self) -> bool {
        self.version.starts_with("0.1.")
    }

    /// Whether a module may import it.
    pub(crate) fn is_granted(self) -> bool {
        if self.package == PACKAGE {
            let is_known = OWN.contains(&self.name) || self.is_memory();
            return self.has_our_version() && is_known;
        }
        self.version.starts_with("0.2.") && WASI.contains(&self.path)
    }

    /// Whether it is one that only consumers are granted.
    pub(crate) fn is_memory(self) -> bool {
        self.package == PACKAGE && MEMORY.contains(&self.name)
    }

    /// Whether it is one of WASI's.
    pub(crate) fn is_wasi(self) -> bool {
        self.package.starts_with("wasi:")
    }
}
