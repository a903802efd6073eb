//! The sealed files of the log, in the order of their entries: also those of which no partition has
//! anything any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_model::Csn;

use crate::index::Summary;
use crate::log_file::LogFile;

/// A sealed file, and the bytes of all batches that it holds, needed or not, by
/// [`StoredBatch::bytes`](crate::StoredBatch::bytes).
#[derive(Debug, Clone)]
pub(crate) struct SealedFile {
    pub(crate) file: Arc<LogFile>,
    pub(crate) data_bytes: u64,
}

/// Held for a look-up or an insert only.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles(Mutex<BTreeMap<Csn, SealedFile>>);

impl SealedFiles {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Csn, SealedFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a file whose batches all readers know.
    pub(crate) fn add(&self, file: &Arc<LogFile>, summary: &Summary) {
        let data_bytes = summary.partitions.iter().map(|row| row.bytes).sum();
        let sealed = SealedFile { file: Arc::clone(file), data_bytes };
        self.lock().insert(file.header.first, sealed);
    }

    pub(crate) fn all(&self) -> Vec<SealedFile> {
        self.lock().values().cloned().collect()
    }

    /// Forgets files; they are of no use to anybody but those who read them now.
    pub(crate) fn remove(&self, files: &[Arc<LogFile>]) {
        let mut all = self.lock();
        for file in files {
            let is_it = all.get(&file.header.first).is_some_and(|it| Arc::ptr_eq(&it.file, file));
            if is_it {
                all.remove(&file.header.first);
            }
        }
    }
}
