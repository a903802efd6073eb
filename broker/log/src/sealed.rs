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
pub(crate) struct SealedFiles(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    sealed: BTreeMap<Csn, SealedFile>,
    growing: Option<Arc<LogFile>>,
    /// Segments that are durable, and of which it is open whether they count.
    pending: Vec<Arc<LogFile>>,
    /// Paths of files that can't be read at all, and stay as they are.
    headless: Vec<String>,
}

/// All files of the log at one moment.
#[derive(Debug, Clone)]
pub(crate) struct FileSnapshot {
    /// In the order of their entries, without the one that is being written.
    pub(crate) sealed: Vec<Arc<LogFile>>,
    pub(crate) growing: Arc<LogFile>,
    /// Segments that may count, in the place of some of those.
    pub(crate) pending: Vec<Arc<LogFile>>,
    /// Paths of those that can't be read at all.
    pub(crate) headless: Vec<String>,
}

impl FileSnapshot {
    /// Whether another snapshot is of the same files.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let all = |it: &Self| {
            it.sealed.iter().chain([&it.growing]).chain(&it.pending).map(Arc::as_ptr).collect()
        };
        let (mine, others): (Vec<_>, Vec<_>) = (all(self), all(other));
        mine == others
    }
}

impl SealedFiles {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a file whose batches all readers know.
    pub(crate) fn add(&self, file: &Arc<LogFile>, summary: &Summary) {
        self.lock().add(file, summary);
    }

    /// Takes in a segment whose records are about to be committed: from some moment on it counts, and
    /// only who commits them hears of that.
    pub(crate) fn add_pending(&self, segment: &Arc<LogFile>) {
        self.lock().pending.push(Arc::clone(segment));
    }

    /// The segment will not count.
    pub(crate) fn remove_pending(&self, segment: &Arc<LogFile>) {
        self.lock().remove_pending(segment);
    }

    /// The segment counts, in the place of these files.
    pub(crate) fn replace(&self, old: &[Arc<LogFile>], segment: &Arc<LogFile>, summary: &Summary) {
        let mut all = self.lock();
        all.remove(old);
        all.remove_pending(segment);
        all.add(segment, summary);
    }

    pub(crate) fn all(&self) -> Vec<SealedFile> {
        self.lock().sealed.values().cloned().collect()
    }

    /// The file that is written from now on.
    pub(crate) fn set_growing(&self, file: &Arc<LogFile>) {
        self.lock().growing = Some(Arc::clone(file));
    }

    /// Files that can't be read at all, since their headers are bad.
    pub(crate) fn set_headless(&self, paths: Vec<String>) {
        self.lock().headless = paths;
    }

    /// All files at one moment; None before any is written.
    pub(crate) fn snapshot(&self) -> Option<FileSnapshot> {
        let all = self.lock();
        let growing = Arc::clone(all.growing.as_ref()?);
        let sealed = all.sealed.values().map(|it| &it.file);
        // At a roll, the old file is sealed before the new one is there.
        let sealed = sealed.filter(|file| !Arc::ptr_eq(file, &growing)).cloned().collect();
        let (pending, headless) = (all.pending.clone(), all.headless.clone());
        Some(FileSnapshot { sealed, growing, pending, headless })
    }

    /// Forgets files; they are of no use to anybody but those who read them now.
    pub(crate) fn remove(&self, files: &[Arc<LogFile>]) {
        self.lock().remove(files);
    }
}

impl All {
    fn add(&mut self, file: &Arc<LogFile>, summary: &Summary) {
        let data_bytes = summary.partitions.iter().map(|row| row.bytes).sum();
        let sealed = SealedFile { file: Arc::clone(file), data_bytes };
        self.sealed.insert(file.header.first, sealed);
    }

    fn remove(&mut self, files: &[Arc<LogFile>]) {
        for file in files {
            let first = file.header.first;
            if self.sealed.get(&first).is_some_and(|it| Arc::ptr_eq(&it.file, file)) {
                self.sealed.remove(&first);
            }
        }
    }

    fn remove_pending(&mut self, segment: &Arc<LogFile>) {
        self.pending.retain(|it| !Arc::ptr_eq(it, segment));
    }
}
