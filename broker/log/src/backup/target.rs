//! Where a backup lies: a data directory in the making.
//!
//! **An older backup there stays whole until the new one has all it needs**: what is copied waits
//! beside it under names of its own, and only then takes its place.

use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use logmill_model::ClusterId;

use super::copy::{PART_SUFFIX, create_anew};
use crate::Error;
use crate::file_name::{FOLDER, SEGMENT_FOLDER, index_path};
use crate::recovery::cluster_of;
use crate::storage::{Storage, StorageLock, SyncSite};

/// The file that says that a backup is not whole.
pub const INCOMPLETE: &str = "backup-incomplete";
/// The file that says what a whole backup is of.
pub const MANIFEST: &str = "backup.json";
const INCOMPLETE_TEXT: &[u8] =
    b"This backup is not whole. Run `logmill backup` to this directory again.\n";

/// The place of a backup, owned while it is filled.
#[derive(Debug)]
pub struct Target {
    storage: Arc<dyn Storage>,
    /// Files that wait for their names, since there is an older backup.
    waiting: Mutex<Vec<String>>,
    has_older: bool,
    _lock: Box<dyn StorageLock>,
}

impl Target {
    /// Takes a storage to be filled with a backup of `cluster`: an empty one, or one that holds an
    /// older backup of it or a part of one. Unless it holds a whole one, it is marked as not whole.
    ///
    /// # Errors
    /// [`Error::Locked`] when a broker or another backup has it; [`Error::Foreign`] when it holds
    /// something else; [`Error::Io`], [`Error::Sync`].
    pub fn begin(
        storage: Arc<dyn Storage>,
        cluster: ClusterId,
        folders: &[&str],
    ) -> Result<Self, Error> {
        let lock = storage.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Locked { place: storage.place() },
            _ => Error::io("take the lock of", &storage.place(), error),
        })?;
        let has_older = is_there(&*storage, MANIFEST)? && !is_there(&*storage, INCOMPLETE)?;
        let target = Self { storage, waiting: Mutex::default(), has_older, _lock: lock };
        for folder in [FOLDER, SEGMENT_FOLDER].iter().chain(folders) {
            let made = target.storage.make_folder(folder);
            made.map_err(|error| Error::io("make", folder, error))?;
        }
        target.check_is_backup(cluster)?;
        if !has_older {
            target.mark_incomplete()?;
        }
        Ok(target)
    }

    fn mark_incomplete(&self) -> Result<(), Error> {
        self.put(INCOMPLETE, INCOMPLETE_TEXT)?;
        self.sync_folder("")
    }

    /// A file is durable under the name of its part, and gets its own: at the end, where there is an
    /// older backup.
    pub(super) fn add(&self, path: &str) -> Result<(), Error> {
        if self.has_older {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
            return Ok(());
        }
        self.name(path)
    }

    fn name(&self, path: &str) -> Result<(), Error> {
        self.storage
            .rename(&format!("{path}{PART_SUFFIX}"), path)
            .map_err(|error| Error::io("rename", path, error))
    }

    /// Where the files lie.
    #[must_use]
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// A log that is no backup is never written over, nor one of another cluster.
    fn check_is_backup(&self, cluster: ClusterId) -> Result<(), Error> {
        let is_part = is_there(&*self.storage, INCOMPLETE)?;
        let found = match cluster_of(&self.storage) {
            // It got as far as a segment or an index.
            Err(Error::JournalMissing { .. }) if is_part => None,
            found => found?,
        };
        let Some((path, found)) = found else { return Ok(()) };
        if found != cluster {
            let what = format!("it is of cluster {found}, the backup is of cluster {cluster}");
            return Err(Error::foreign(&path, what));
        }
        if self.has_older || is_part {
            Ok(())
        } else {
            Err(Error::foreign(&path, "a broker has used this directory: it is no backup any more"))
        }
    }

    /// Ends a backup: makes its names durable, removes what is not part of it from its folders, and
    /// says that it is whole. `files` are the paths of all that belongs to it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Sync`]; the backup is then still marked as not whole.
    pub fn finish(self, files: &[String], folders: &[&str], manifest: &[u8]) -> Result<(), Error> {
        let folders: Vec<&str> =
            [FOLDER, SEGMENT_FOLDER].into_iter().chain(folders.iter().copied()).collect();
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !waiting.is_empty() {
            self.mark_incomplete()?;
            waiting.iter().try_for_each(|path| self.name(path))?;
        }
        for folder in &folders {
            self.sync_folder(folder)?;
        }
        let kept: HashSet<String> =
            files.iter().flat_map(|path| [path.clone(), index_path(path)]).collect();
        for folder in &folders {
            let names =
                self.storage.list(folder).map_err(|error| Error::io("list", folder, error))?;
            for path in names.iter().map(|name| format!("{folder}/{name}")) {
                if !kept.contains(&path) {
                    self.remove(&path)?;
                }
            }
        }
        let part = format!("{MANIFEST}{PART_SUFFIX}");
        self.put(&part, manifest)?;
        self.storage
            .rename(&part, MANIFEST)
            .map_err(|error| Error::io("rename", MANIFEST, error))?;
        self.sync_folder("")?;
        self.remove(INCOMPLETE)?;
        self.sync_folder("")
    }

    /// Writes a small file, durably but for its name.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = create_anew(&*self.storage, path);
        let file = file.map_err(|error| Error::io("create", path, error))?;
        file.write_at(&[IoSlice::new(bytes)], 0)
            .map_err(|error| Error::io("write", path, error))?;
        file.sync(SyncSite::BACKUP).map_err(|error| Error::sync(SyncSite::BACKUP, path, error))
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        self.storage.remove(path).map_err(|error| Error::io("remove", path, error))
    }

    fn sync_folder(&self, folder: &str) -> Result<(), Error> {
        let site = SyncSite::BACKUP_FOLDER;
        self.storage.sync_folder(folder, site).map_err(|error| Error::sync(site, folder, error))
    }
}

pub(super) fn is_there(storage: &dyn Storage, path: &str) -> Result<bool, Error> {
    match storage.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look for", path, error)),
    }
}
