//! What a data directory tells of itself besides its log: a snapshot and, where it is a backup, the list of
//! its files. A log that ends before what they tell of has lost acknowledged records.

use logmill_log::Known;
use logmill_log::storage::Storage;

use crate::Error;
use crate::backup::Manifest;
use crate::modules;
use crate::snapshot::{self, Snapshot};

/// What a directory tells of itself besides its log.
#[must_use]
pub fn known(storage: &dyn Storage) -> Known {
    // To who only looks, one that can't be read tells nothing.
    known_with(storage, snapshot::read_whole(storage).ok().flatten().as_ref())
}

/// As [`known`], with the directory's snapshot.
pub(crate) fn known_with(storage: &dyn Storage, snapshot: Option<&Snapshot>) -> Known {
    let catalog = snapshot.map(Snapshot::catalog).unwrap_or_default();
    let manifest = Manifest::read(storage);
    let entries = [
        snapshot.and_then(Snapshot::known_entry),
        manifest.as_ref().and_then(Manifest::known_entry),
    ];
    let entry = entries.into_iter().flatten().max_by_key(|entry| entry.csn);
    Known { catalog, entry, files: manifest.map(Manifest::into_files).unwrap_or_default() }
}

/// Refuses a directory without a journal that has what only a broker with one leaves, a snapshot or modules:
/// half of it was copied.
///
/// # Errors
/// [`Error::Log`].
pub fn require_journal(storage: &dyn Storage) -> Result<(), Error> {
    // What is wrong with them matters to nobody here.
    let has_snapshot = storage.open(snapshot::FILE).is_ok();
    let modules = storage.list(modules::FOLDER).unwrap_or_default();
    let module = modules.iter().find(|name| modules::digest_of(name).is_some());
    let module = module.map(|name| format!("{}/{name}", modules::FOLDER));
    let found = if has_snapshot { Some(snapshot::FILE.to_owned()) } else { module };
    found.map_or(Ok(()), |found| Ok(logmill_log::require_journal(storage, &found)?))
}
