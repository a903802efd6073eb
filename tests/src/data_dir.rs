//! A data directory of a test's own.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::small_disk::Mount;

/// A data directory, which is removed with the last handle on it.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    /// Goes first: a folder that is mounted over can't be removed.
    mount: Option<Mount>,
    folder: TempDir,
}

impl DataDir {
    /// An empty one.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Folder { mount: None, folder: tempfile::tempdir().unwrap() }))
    }

    /// An empty one on a file system of its own, of this size; None, with a message, where this
    /// machine lets nobody mount one.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn on_small_disk(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        match Mount::over(folder.path(), bytes) {
            Ok(mount) => Some(Self(Arc::new(Folder { mount: Some(mount), folder }))),
            Err(why) => {
                eprintln!("skipped: a small disk needs root, and to be allowed to mount: {why}");
                None
            }
        }
    }

    /// Makes its small disk writable or not.
    ///
    /// # Panics
    /// When it has none, or that can't be.
    pub fn set_writable(&self, writable: bool) {
        let mount = self.0.mount.as_ref().expect("it is on a small disk");
        mount.change(if writable { "rw" } else { "ro" }).unwrap();
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }

    /// Another one with the same files.
    ///
    /// # Panics
    /// When they can't be copied.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::copy_of(self.path())
    }

    /// Another one with its log and nothing that a broker makes anew from it.
    ///
    /// # Panics
    /// When the files can't be copied.
    #[must_use]
    pub fn copy_of_log(&self) -> Self {
        let copy = self.copy();
        remove_derived(copy.path()).unwrap();
        copy
    }

    /// One with the files of this folder.
    ///
    /// # Panics
    /// When they can't be copied.
    #[must_use]
    pub fn copy_of(folder: &Path) -> Self {
        let copy = Self::new();
        copy_folder(folder, copy.path()).unwrap();
        copy
    }
}

impl Default for DataDir {
    fn default() -> Self {
        Self::new()
    }
}

fn remove_derived(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_derived(&path)?;
        } else if path.extension().is_some_and(|it| it == "index") || path.ends_with("views/state")
        {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&to)?;
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
