//! What a module project needs of Logmill: the SDK and the WIT package it is generated from.
//!
//! They are carried along, so that a new project builds without this repository. The SDK finds
//! `wit/` two folders up, in a project as in the repository.

use std::path::Path;
use std::{fs, io};

macro_rules! carried {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../", $path)))),+]
    };
}

/// The files, by their path from the root.
pub const FILES: &[(&str, &str)] = carried![
    "sdk/module/Cargo.toml",
    "sdk/module/src/bindings.rs",
    "sdk/module/src/clock.rs",
    "sdk/module/src/config.rs",
    "sdk/module/src/consumer.rs",
    "sdk/module/src/error.rs",
    "sdk/module/src/filter.rs",
    "sdk/module/src/guest.rs",
    "sdk/module/src/idempotency.rs",
    "sdk/module/src/lib.rs",
    "sdk/module/src/log.rs",
    "sdk/module/src/message.rs",
    "sdk/module/src/output.rs",
    "sdk/module/src/random.rs",
    "sdk/module/src/router.rs",
    "sdk/module/src/state.rs",
    "sdk/module/src/testing.rs",
    "sdk/module/src/verdict.rs",
    "wit/module.wit",
];

/// Lays the files into `folder`, by convention `vendor/logmill` of the project, whose manifest
/// then says `logmill-module = { path = "vendor/logmill/sdk/module" }`.
///
/// # Errors
/// When a file can't be written.
pub fn lay_into(folder: &Path) -> io::Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn files_under(root: &Path, folder: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files_under(root, &path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_of_the_sdk_and_of_the_wit_package_is_carried() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut there = Vec::new();
        files_under(&root, "sdk/module", &mut there);
        files_under(&root, "wit", &mut there);
        there.sort();
        let mut carried: Vec<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        carried.sort();
        assert_eq!(carried, there);
    }
}
