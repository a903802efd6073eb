//! From a project to a component.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::project::{Module, Source};
use crate::{Error, Options, cargo, target_folder, toolchain};

/// The WIT package of modules; what follows is the interface.
const PACKAGE: &str = "logmill:module/";

/// What a module is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Gives each record of its topics a verdict.
    Consumer,
    /// Says where a produced record goes besides its own topic.
    Router,
    /// Says which records a subscriber sees.
    Filter,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 3] = [Self::Consumer, Self::Router, Self::Filter];

    /// The name of the world and of the interface that it exports.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Router => "router",
            Self::Filter => "filter",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub digest: String,
    /// What it can be used as. Empty when it is not a component of ours: the broker will say.
    pub worlds: Vec<World>,
}

impl Built {
    fn of(path: PathBuf, component: &[u8]) -> Self {
        let digest = Sha256::digest(component);
        Self {
            path,
            bytes: component.len() as u64,
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            worlds: worlds(component),
        }
    }
}

/// Builds a module of a project, in whatever language.
///
/// # Errors
/// As [`build`]; [`Error::BuildCommand`]; [`Error::OtherWorld`] when the project file is wrong.
pub fn build_module(module: &Module, options: &Options<'_>) -> Result<Built, Error> {
    let built = match &module.source {
        Source::Cargo => build(&module.folder, options)?,
        Source::Component(path) => read(path)?,
        Source::Command { command, component } => {
            cargo::run_build_command(&module.name, command, &module.folder, options)?;
            read(component)?
        }
    };
    match module.world {
        Some(world) if !built.worlds.is_empty() && !built.worlds.contains(&world) => {
            let module = module.name.clone();
            Err(Error::OtherWorld { module, world, exported: built.worlds })
        }
        _ => Ok(built),
    }
}

/// Builds the Rust crate in `folder`. Safe to call from several processes at once: they take
/// turns.
///
/// # Errors
/// Any variant of [`Error`] that is not about project files; the text says what to do.
pub fn build(folder: &Path, options: &Options<'_>) -> Result<Built, Error> {
    let crate_ = cargo::Crate::find(folder)?;
    let target_folder = target_folder::choose(&crate_.folder, options)?;
    let _turn = target_folder::Turn::take(&target_folder, options)?;
    let toolchain = toolchain::find(&crate_.folder, options)?;
    let library = cargo::build(&crate_, &toolchain, &target_folder, options)?;
    let component = encode(&library, &crate_.folder)?;
    let built =
        Built::of(target_folder.join("components").join(crate_.component_name()), &component);
    if built.worlds.is_empty() {
        return Err(Error::NotModule { folder: crate_.folder });
    }
    write(&built.path, &component)?;
    Ok(built)
}

fn encode(library: &Path, folder: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(library).map_err(|error| Error::io("can't read", library, error))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode());
    encoded
        .map_err(|error| Error::Component { folder: folder.to_owned(), what: format!("{error:#}") })
}

/// Replaces the file in one step, so that who reads it meanwhile has the old or the new one.
fn write(path: &Path, component: &[u8]) -> Result<(), Error> {
    let failed = |error| Error::io("can't write", path, error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let new = path.with_extension("new");
    fs::write(&new, component).and_then(|()| fs::rename(&new, path)).map_err(failed)
}

fn read(path: &Path) -> Result<Built, Error> {
    let bytes = fs::read(path).map_err(|error| Error::io("can't read", path, error))?;
    Ok(Built::of(path.to_owned(), &bytes))
}

fn worlds(component: &[u8]) -> Vec<World> {
    let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(component) else {
        return Vec::new();
    };
    let exports = &resolve.worlds[world].exports;
    let exported: Vec<String> = exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports = |world: &World| {
        exported.iter().any(|name| {
            let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split('@').next());
            interface == Some(world.as_str())
        })
    };
    World::ALL.into_iter().filter(exports).collect()
}
