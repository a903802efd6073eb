//! The journal files as readers know them: numbered, opened when they are read, and closed again
//! when too many are open.
//!
//! A reader holds its file by an `Arc`: closing here takes it from nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::Error;
use crate::storage::{Storage, StorageFile};

/// The most files that stay open for readers.
const OPEN_MAX: usize = 64;

/// A journal file's number, for as long as the log is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId(u32);

#[derive(Debug, Default)]
struct OpenFiles {
    files: HashMap<FileId, (Arc<dyn StorageFile>, u64)>,
    /// Counts uses, so that the file that was not used for longest can be told.
    uses: u64,
}

#[derive(Debug)]
pub(crate) struct Files {
    storage: Arc<dyn Storage>,
    paths: RwLock<Vec<Arc<str>>>,
    open: Mutex<OpenFiles>,
}

impl Files {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, paths: RwLock::default(), open: Mutex::default() }
    }

    /// Gives a number to a file.
    pub(crate) fn add(&self, path: &str) -> FileId {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        let id = u32::try_from(paths.len()).expect("a directory holds fewer than 2³² files");
        paths.push(Arc::from(path));
        FileId(id)
    }

    pub(crate) fn path(&self, id: FileId) -> Arc<str> {
        Arc::clone(&self.paths.read().unwrap_or_else(PoisonError::into_inner)[id.0 as usize])
    }

    /// The file, open.
    pub(crate) fn get(&self, id: FileId) -> Result<Arc<dyn StorageFile>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let now = open.uses;
        if let Some((file, used)) = open.files.get_mut(&id) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        let path = self.path(id);
        let file = self.storage.open(&path).map_err(|error| Error::io("open", &path, error))?;
        if open.files.len() >= OPEN_MAX {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                open.files.remove(&id);
            }
        }
        open.files.insert(id, (Arc::clone(&file), now));
        Ok(file)
    }
}
