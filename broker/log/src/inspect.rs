//! Looking into a data directory that no broker has open. Nothing is changed in it, but that a loss
//! can be accepted.

mod dump;
mod expect;
mod repair;
mod verify;

use std::io;

pub use dump::{DumpedBatch, DumpedEntry, dump};
pub use repair::accept_losses;
pub use verify::{Cost, FileReport, Finding, verify};

use crate::Error;
use crate::file_name::{FOLDER, SEGMENT_FOLDER, SEGMENT_SUFFIX, SUFFIX};
use crate::storage::{Storage, StorageLock};

/// Keeps brokers out; where nobody can write, there is nobody to be kept out.
fn own(storage: &dyn Storage) -> Result<Option<Box<dyn StorageLock>>, Error> {
    match storage.lock() {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(Error::Locked { place: storage.place() })
        }
        Err(error) => Err(Error::io("take the lock of", &storage.place(), error)),
    }
}

/// The paths of all files of the log, in order.
fn paths(storage: &dyn Storage) -> Result<Vec<String>, Error> {
    let mut paths = Vec::new();
    for folder in [FOLDER, SEGMENT_FOLDER] {
        let names = match storage.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(|error| Error::io("list", folder, error))?,
        };
        paths.extend(names.into_iter().map(|name| format!("{folder}/{name}")));
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a file is of entries.
fn is_log_file(path: &str) -> bool {
    path.ends_with(SUFFIX) || path.ends_with(SEGMENT_SUFFIX)
}
