//! Running cargo on a module's crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::toolchain::{TARGET, Toolchain};
use crate::{Error, Options, process};

/// Small code first; the settings win over the project's, which needs no profile.
const PROFILE: [(&str, &str); 7] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_INCREMENTAL", "0"),
];

/// A crate that may be a module.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) folder: PathBuf,
    manifest: PathBuf,
    name: String,
}

impl Crate {
    pub(crate) fn find(folder: &Path) -> Result<Self, Error> {
        let none = || Error::NoManifest { folder: folder.to_owned() };
        let folder = folder.canonicalize().map_err(|_| none())?;
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(none());
        }
        let text = fs::read_to_string(&manifest)
            .map_err(|error| Error::io("can't read", &manifest, error))?;
        let wrong = |what: String| Error::Manifest { manifest: manifest.clone(), what };
        let parsed: toml::Table = toml::from_str(&text)
            .map_err(|error| wrong(format!("is not a manifest: {}", error.to_string().trim())))?;
        let name = parsed
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .ok_or_else(|| {
                wrong("has no [package] with a name; give the folder of a single crate".to_owned())
            })?;
        Ok(Self { name: name.to_owned(), folder, manifest })
    }

    /// Names its component: crates of the same name in different folders must not meet.
    pub(crate) fn component_name(&self) -> String {
        let digest = Sha256::digest(self.folder.as_os_str().as_encoded_bytes());
        let place: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{place}.wasm", self.name)
    }
}

/// A line of cargo's `--message-format=json`, as far as it matters.
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the crate and says where its library is.
pub(crate) fn build(
    crate_: &Crate,
    toolchain: &Toolchain,
    target_folder: &Path,
    options: &Options<'_>,
) -> Result<PathBuf, Error> {
    let mut library = None;
    let ran = process::run(&mut command(crate_, toolchain, target_folder), options, |line| {
        let Ok(message) = serde_json::from_str::<CargoMessage>(line) else { return };
        if message.reason == "compiler-artifact" && message.manifest_path == crate_.manifest {
            let wasm = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "wasm");
            if let Some(file) = message.filenames.into_iter().find(wasm) {
                library = Some(file);
            }
        }
    });
    let ran = ran.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoCargo,
        _ => Error::io("can't run", "cargo", error),
    })?;
    let not_cdylib = || Error::NotCdylib { manifest: crate_.manifest.clone() };
    match (ran.success, library) {
        (true, Some(library)) => Ok(library),
        (true, None) => Err(not_cdylib()),
        (false, _) if ran.output.contains("no library targets found") => Err(not_cdylib()),
        (false, _) => Err(Error::Compile { folder: crate_.folder.clone(), output: ran.output }),
    }
}

fn command(crate_: &Crate, toolchain: &Toolchain, target_folder: &Path) -> Command {
    let mut command = process::command("cargo");
    command
        .current_dir(&crate_.folder)
        .args(["build", "--release", "--lib", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", target_folder)
        .envs(PROFILE);
    toolchain.apply(&mut command);
    command
}

/// Runs a project's own build command.
pub(crate) fn run_build_command(
    module: &str,
    text: &str,
    folder: &Path,
    options: &Options<'_>,
) -> Result<(), Error> {
    let mut command = process::command("sh");
    command.args(["-c", text]).current_dir(folder);
    let ran = process::run(&mut command, options, |_| ())
        .map_err(|error| Error::io("can't run a build command in", folder, error))?;
    if ran.success {
        return Ok(());
    }
    let (module, command) = (module.to_owned(), text.to_owned());
    Err(Error::BuildCommand { module, command, output: ran.output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_crate_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = Crate::find(folder.path()).unwrap_err();
        assert!(error.to_string().contains("has no Cargo.toml"), "{error}");
        for (manifest, text) in [
            ("[workspace]\nmembers = []", "has no [package] with a name"),
            ("[package", "is not a manifest"),
        ] {
            fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
            let error = Crate::find(folder.path()).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn crates_of_one_name_in_two_folders_have_components_of_their_own() {
        let crate_ = |folder: &str| Crate {
            folder: folder.into(),
            manifest: PathBuf::new(),
            name: "router".to_owned(),
        };
        assert_ne!(crate_("/a").component_name(), crate_("/b").component_name());
        assert!(crate_("/a").component_name().starts_with("router-"));
    }
}
