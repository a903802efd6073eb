//! Says whether bytes are a component that the broker would run, and if not, why.

use logmill_model::World;
use logmill_model::limits::MODULE_BYTES_MAX;
use wasmparser::Validator;

use crate::Error;
use crate::granted::{self, Interface};
use crate::inspect::{Surface, inspect, invalid};

/// What a component offers and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exports {
    /// What it can be used as; never empty.
    pub worlds: Vec<World>,
    /// The interfaces it imports, as `package:name/interface@version`.
    pub imports: Vec<String>,
}

/// Checks bytes without compiling them. Whether the types of the exports fit is found out by
/// [`crate::Runtime::compile`], which does all of this too.
///
/// # Errors
/// Each way to be refused is a variant of its own: see [`Error`].
pub fn check(bytes: &[u8]) -> Result<Exports, Error> {
    let exports = check_surface(bytes)?;
    Validator::new().validate_all(bytes).map_err(invalid)?;
    Ok(exports)
}

/// All of [`check`] but the validation of the code, which the compiler does again.
pub(crate) fn check_surface(bytes: &[u8]) -> Result<Exports, Error> {
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(Error::TooLarge { bytes: bytes.len() as u64 });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Error::NotWasm { looks_like: looks_like(bytes) });
    }
    let surface = inspect(bytes)?;
    for import in &surface.imports {
        let granted = Interface::parse(&import.name).is_some_and(|name| name.is_granted());
        if !(granted && import.is_interface) {
            return Err(Error::NotGranted {
                import: import.name.clone(),
                granted: granted::DESCRIPTION,
            });
        }
    }
    let worlds = worlds(&surface)?;
    check_memory(&surface, &worlds)?;
    Ok(Exports { worlds, imports: surface.imports.into_iter().map(|import| import.name).collect() })
}

/// Only consumers remember: a router is asked before a record has a place, a filter by many at once.
fn check_memory(surface: &Surface, worlds: &[World]) -> Result<(), Error> {
    let remembers = |name: &str| Interface::parse(name).is_some_and(Interface::is_memory);
    let import = surface.imports.iter().find(|import| remembers(&import.name));
    let other = worlds.iter().find(|world| **world != World::Consumer);
    match (import, other) {
        (Some(import), Some(world)) => {
            Err(Error::OnlyForConsumers { import: import.name.clone(), world: *world })
        }
        _ => Ok(()),
    }
}

/// What the exports can be used as.
fn worlds(surface: &Surface) -> Result<Vec<World>, Error> {
    let expected =
        || World::ALL.map(|world| format!("{}/{world}@{}", granted::PACKAGE, granted::VERSION));
    let mut other_version = None;
    let mut worlds = Vec::new();
    for export in &surface.exports {
        let Some(name) = Interface::parse(export) else { continue };
        let Some(world) = name.world() else { continue };
        if name.has_our_version() {
            worlds.push(world);
        } else {
            other_version = Some(export);
        }
    }
    match (worlds.is_empty(), other_version) {
        (false, _) => Ok(worlds),
        (true, Some(export)) => {
            Err(Error::WrongVersion { exported: export.clone(), expected: expected().join(", ") })
        }
        (true, None) => Err(Error::NoKnownExport {
            exported: listed(&surface.exports),
            expected: expected().join(", "),
        }),
    }
}

/// Names for a person: a few of them, or "nothing".
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names {
        [] => "nothing".to_owned(),
        _ if names.len() > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
        }
        _ => names.join(", "),
    }
}

/// What bytes that aren't WebAssembly may be, for a person.
fn looks_like(bytes: &[u8]) -> String {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    const TEXT_FORM: &str = "WebAssembly in its text form, which needs to be assembled";
    let known: [(&[u8], &str); 7] = [
        (b"\x7fELF", "a native program for Linux"),
        (b"\xcf\xfa\xed\xfe", "a native program for macOS"),
        (b"MZ", "a native program for Windows"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "gzip-compressed data"),
        (b"(component", TEXT_FORM),
        (b"(module", TEXT_FORM),
    ];
    if let Some((_, what)) = known.iter().find(|(prefix, _)| starts(prefix)) {
        return format!("it looks like {what}");
    }
    let head = &bytes[..bytes.len().min(64)];
    match std::str::from_utf8(head)
        .or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()]))
    {
        Ok(text) if text.len() + 3 >= head.len() && !text.contains('\0') => {
            let line: String = text.lines().next().unwrap_or_default().chars().take(30).collect();
            format!("it looks like text that begins with {line:?}")
        }
        _ => {
            let hex: Vec<_> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("it begins with the bytes {}", hex.join(" "))
        }
    }
}
