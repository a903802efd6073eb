//! What is known of a data directory from elsewhere than its log: from a snapshot of the engine, or from
//! what a backup says of itself.

use logmill_model::internal::CatalogRecord;
use logmill_model::{ClusterId, Csn};

use crate::Error;
use crate::storage::Storage;

/// What is known of a directory.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Topics and deployments, of which the catalog may have lost some.
    pub catalog: Vec<CatalogRecord>,
    /// An entry that was durable.
    pub entry: Option<KnownEntry>,
    /// The files of a backup, and their lengths in bytes; none where the directory is not one.
    pub files: Vec<(String, u64)>,
}

/// An entry that was durable, so that a log which ends before it has lost some.
#[derive(Debug, Clone)]
pub struct KnownEntry {
    /// The cluster that it was of.
    pub cluster: ClusterId,
    /// The entry.
    pub csn: Csn,
    /// What tells of it, as the words behind "though".
    pub told_by: String,
}

impl Known {
    /// The files of the backup that are not there as it says: which, how many bytes each has and
    /// how many it should have.
    pub(crate) fn changed_files(
        &self,
        storage: &dyn Storage,
    ) -> Result<Vec<(&str, u64, u64)>, Error> {
        let mut changed = Vec::new();
        for (path, expected) in &self.files {
            let bytes = match storage.open(path).and_then(|file| file.bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                found => found.map_err(|error| Error::io("look at", path, error))?,
            };
            if bytes != *expected {
                changed.push((path.as_str(), bytes, *expected));
            }
        }
        Ok(changed)
    }

    /// Refuses a copy of a backup that is not whole.
    pub(crate) fn refuse_changed_files(&self, storage: &dyn Storage) -> Result<(), Error> {
        match self.changed_files(storage)?.first() {
            Some(&(path, bytes, expected)) => {
                Err(Error::ChangedBackup { path: path.to_owned(), bytes, expected })
            }
            None => Ok(()),
        }
    }
}

/// The newest entry that anything tells of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    pub(crate) csn: Csn,
    /// The words behind "though".
    pub(crate) told_by: String,
}

impl Claim {
    pub(crate) fn of(known: &KnownEntry) -> Self {
        Self { csn: known.csn, told_by: known.told_by.clone() }
    }
}
