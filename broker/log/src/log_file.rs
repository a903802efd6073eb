//! A file of the log as everybody but its writer knows it.
//!
//! Whoever reads from it holds it by an `Arc`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::file_header::FileHeader;
use crate::index::Seal;
use crate::storage::{Storage, StorageFile};
use crate::window::Window;
use crate::{Error, index_file};

#[derive(Debug)]
pub(crate) struct LogFile {
    /// Its number, for as long as the log is open.
    pub(crate) id: u64,
    pub(crate) path: String,
    pub(crate) header: FileHeader,
    /// Set when it gets no more entries.
    seal: OnceLock<Seal>,
    /// Open, if it was read lately.
    handle: Mutex<Option<Arc<dyn StorageFile>>>,
    /// When it was read last, by a count of reads.
    pub(crate) used: AtomicU64,
    /// Set when nobody needs it any more: whoever lets it go last removes it.
    doomed: OnceLock<Arc<dyn Storage>>,
}

impl LogFile {
    pub(crate) fn new(id: u64, path: &str, header: FileHeader) -> Self {
        Self {
            id,
            path: path.to_owned(),
            header,
            seal: OnceLock::new(),
            handle: Mutex::default(),
            used: AtomicU64::new(0),
            doomed: OnceLock::new(),
        }
    }

    /// The file gets no more entries.
    pub(crate) fn set_seal(&self, seal: Seal) {
        self.seal.get_or_init(|| seal);
    }

    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.seal.get()
    }

    /// The length of a sealed file.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.seal().map_or(0, |seal| seal.end)
    }

    /// Removes the file, and its index, when nobody reads it any more.
    pub(crate) fn doom(&self, storage: Arc<dyn Storage>) {
        self.doomed.get_or_init(|| storage);
    }

    fn handle(&self) -> MutexGuard<'_, Option<Arc<dyn StorageFile>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, open; and whether this opened it.
    pub(crate) fn open(
        &self,
        storage: &dyn Storage,
        now: u64,
    ) -> Result<(Arc<dyn StorageFile>, bool), Error> {
        self.used.store(now, Relaxed);
        let mut handle = self.handle();
        if let Some(file) = &*handle {
            return Ok((Arc::clone(file), false));
        }
        let opened = storage.open(&self.path);
        let file = opened.map_err(|error| Error::io("open", &self.path, error))?;
        *handle = Some(Arc::clone(&file));
        Ok((file, true))
    }

    /// Closes the file, once those who read it now are done.
    pub(crate) fn close(&self) {
        let handle = self.handle().take();
        drop(handle);
    }

    pub(crate) fn window(&self, file: Arc<dyn StorageFile>) -> Window {
        Window::new(&self.path, file)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if let Some(storage) = self.doomed.get() {
            index_file::remove(&**storage, &self.path);
            if let Err(error) = storage.remove(&self.path) {
                tracing::warn!(
                    path = self.path,
                    %error,
                    "a file that nobody needs can't be removed; the next start will do it"
                );
            }
        }
    }
}
