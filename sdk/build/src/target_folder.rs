//! The folder that all modules are built in, one after the other.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Options};

/// The folder of `options`; `target/guests` of the Logmill repository around `project`; the
/// user's cache.
pub(crate) fn choose(project: &Path, options: &Options<'_>) -> Result<PathBuf, Error> {
    let folder = match &options.target_folder {
        Some(folder) => folder.clone(),
        None => match project.ancestors().find(|folder| is_repository(folder)) {
            Some(repository) => repository.join("target/guests"),
            None => cache()?.join("logmill/guests"),
        },
    };
    fs::create_dir_all(&folder).map_err(|error| Error::io("can't make", &folder, error))?;
    folder.canonicalize().map_err(|error| Error::io("can't find", folder, error))
}

fn is_repository(folder: &Path) -> bool {
    ["Cargo.lock", "wit/module.wit", "sdk/module/Cargo.toml", "broker"]
        .iter()
        .all(|part| folder.join(part).exists())
}

fn cache() -> Result<PathBuf, Error> {
    if let Some(cache) = env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute())
    {
        return Ok(cache.into());
    }
    let home = env::home_dir().ok_or_else(|| {
        let error = std::io::Error::other("HOME is not set");
        Error::io("can't find the user's cache in", "~", error)
    })?;
    Ok(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
}

/// The right to build in a folder; given back when it is dropped, or the process ends.
///
/// Cargo has a lock of its own, but the toolchain's installation before and the reading of the
/// library after it must not meet another build either.
pub(crate) struct Turn(#[expect(dead_code, reason = "holds the lock while it lives")] File);

impl Turn {
    pub(crate) fn take(folder: &Path, options: &Options<'_>) -> Result<Self, Error> {
        let path = folder.join(".lock");
        let failed = |error| Error::io("can't lock", &path, error);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        if file.try_lock().is_err() {
            options.note("waiting for another build of modules to finish");
            file.lock().map_err(failed)?;
        }
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_this_repository_share_its_target_folder() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = choose(&here.join("no/such/module"), &Options::default()).unwrap();
        assert!(folder.ends_with("target/guests"), "{}", folder.display());
    }

    #[test]
    fn a_given_folder_wins() {
        let temporary = tempfile::tempdir().unwrap();
        let options =
            Options { target_folder: Some(temporary.path().join("a/b")), ..Options::default() };
        let folder = choose(Path::new(env!("CARGO_MANIFEST_DIR")), &options).unwrap();
        assert!(folder.ends_with("a/b"));
    }
}
