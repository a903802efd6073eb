//! Uploaded modules: files named by the SHA-256 of their bytes, and their compiled code.
//!
//! A module's file is synced, and so is its folder, before any commit names it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use logmill_log::storage::{Storage, SyncSite};
use logmill_model::{CommitClass, ModuleDescription, ModuleDigest};
use logmill_wasm::{Module, Runtime};
use sha2::{Digest, Sha256};

use crate::limits::COMPILED_MODULES_MAX;
use crate::{Engine, Error};

/// The folder in the data directory.
pub(crate) const FOLDER: &str = "modules";
const SUFFIX: &str = ".wasm";
/// The ending of a file that is being written.
const PARTIAL: &str = ".partial";

/// The modules of one data directory.
pub(crate) struct Modules {
    storage: Arc<dyn Storage>,
    runtime: Runtime,
    /// The newest compiled modules, the newest last; held for a look-up or an insert only.
    /// Deployments hold theirs themselves.
    compiled: Mutex<VecDeque<Module>>,
    /// Whoever writes files holds it.
    files: Mutex<()>,
}

impl Engine {
    /// Takes in a module: checks it, compiles it, and keeps it under the name of its digest.
    /// Uploading the same bytes again changes nothing.
    ///
    /// # Errors
    /// [`Error::ModuleRefused`]; [`Error::DiskFull`]; [`Error::Io`] when it can't be kept.
    pub async fn upload_module(&self, bytes: Bytes) -> Result<ModuleDescription, Error> {
        self.parts().check_space(CommitClass::Produce)?;
        let modules = self.shared_modules();
        tokio::task::spawn_blocking(move || {
            let module = modules.compile(&bytes)?;
            modules.keep(module.digest(), &bytes)?;
            Ok(describe(&module))
        })
        .await
        .map_err(|_| Error::ShuttingDown)?
    }
}

impl Modules {
    /// Opens the folder, making it where it is missing.
    pub(crate) fn open(storage: Arc<dyn Storage>, runtime: Runtime) -> Result<Self, Error> {
        let modules =
            Self { storage, runtime, compiled: Mutex::default(), files: Mutex::default() };
        modules.make_folder().map_err(|source| modules.io_error("create", FOLDER, source))?;
        modules.remove_partial().map_err(|source| modules.io_error("clean up", FOLDER, source))?;
        Ok(modules)
    }

    fn make_folder(&self) -> io::Result<()> {
        self.storage.make_folder(FOLDER)?;
        self.storage.sync_folder("", SyncSite::ROOT_FOLDER)
    }

    /// A module that was uploaded, compiled.
    ///
    /// # Errors
    /// [`Error::UnknownModule`], [`Error::ModuleRefused`] when the file is damaged.
    pub(crate) async fn get(self: &Arc<Self>, digest: ModuleDigest) -> Result<Module, Error> {
        if let Some(module) = self.compiled(digest) {
            return Ok(module);
        }
        let modules = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let bytes = modules.read_verified(digest)?;
            modules.compile(&bytes)
        })
        .await
        .map_err(|_| Error::ShuttingDown)?
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Module>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled(&self, digest: ModuleDigest) -> Option<Module> {
        self.lock().iter().find(|module| module.digest() == digest).cloned()
    }

    /// What uploads that a crash cut off have left.
    fn remove_partial(&self) -> io::Result<()> {
        let names = self.storage.list(FOLDER)?;
        let mut partial = names.iter().filter(|name| name.ends_with(PARTIAL));
        partial.try_for_each(|name| self.storage.remove(&format!("{FOLDER}/{name}")))
    }

    /// The modules that were uploaded.
    pub(crate) fn digests(&self) -> Result<Vec<ModuleDigest>, Error> {
        let names = self.storage.list(FOLDER);
        let names = names.map_err(|source| self.io_error("list", FOLDER, source))?;
        Ok(names.iter().filter_map(|name| digest_of(name)).collect())
    }

    /// The bytes of a module, if they are still those that were uploaded.
    pub(crate) fn read_verified(&self, digest: ModuleDigest) -> Result<Vec<u8>, Error> {
        let path = path(digest);
        let bytes = self.read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::UnknownModule(digest),
            _ => self.io_error("read", &path, error),
        })?;
        if Sha256::digest(&bytes)[..] != digest.0 {
            return Err(Error::ModuleRefused(format!(
                "{} is not what was uploaded; upload the module again",
                self.place(&path)
            )));
        }
        Ok(bytes)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.storage.open(path)?;
        let bytes = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
        let mut read = vec![0; bytes];
        let filled = file.read_at(&mut read, 0)?;
        read.truncate(filled);
        Ok(read)
    }

    fn compile(&self, bytes: &[u8]) -> Result<Module, Error> {
        let digest = ModuleDigest(Sha256::digest(bytes).into());
        if let Some(module) = self.compiled(digest) {
            return Ok(module);
        }
        let module =
            self.runtime.compile(bytes).map_err(|error| Error::ModuleRefused(error.to_string()))?;
        let mut compiled = self.lock();
        compiled.push_back(module.clone());
        if compiled.len() > COMPILED_MODULES_MAX {
            compiled.pop_front();
        }
        Ok(module)
    }

    /// Makes sure that the file is there, whole and durable. It is written under another name
    /// first, so that a file of its own name is whole; and always anew, since one that is there may
    /// be what a failed sync has left in the page cache alone.
    fn keep(&self, digest: ModuleDigest, bytes: &[u8]) -> Result<(), Error> {
        let _files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path(digest);
        let partial = format!("{path}{PARTIAL}");
        self.write(&path, &partial, bytes).map_err(|source| {
            // What can't be removed is removed by the next upload or the next start.
            let _ = self.storage.remove(&partial);
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull,
                _ => self.io_error("write", &path, source),
            }
        })
    }

    fn write(&self, path: &str, partial: &str, bytes: &[u8]) -> io::Result<()> {
        let file = match self.storage.create(partial) {
            // A write that failed has left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.storage.remove(partial)?;
                self.storage.create(partial)?
            }
            other => other?,
        };
        file.write_at(&[IoSlice::new(bytes)], 0)?;
        file.sync(SyncSite::MODULE)?;
        self.storage.rename(partial, path)?;
        self.storage.sync_folder(FOLDER, SyncSite::MODULES_FOLDER)
    }

    fn place(&self, path: &str) -> String {
        format!("{}/{path}", self.storage.place())
    }

    fn io_error(&self, verb: &str, path: &str, source: io::Error) -> Error {
        Error::Io { what: format!("can't {verb} {}", self.place(path)), source }
    }
}

pub(crate) fn path(digest: ModuleDigest) -> String {
    format!("{FOLDER}/{digest}{SUFFIX}")
}

/// The module that a file of this name holds.
pub(crate) fn digest_of(name: &str) -> Option<ModuleDigest> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

fn describe(module: &Module) -> ModuleDescription {
    ModuleDescription {
        digest: module.digest(),
        bytes: module.bytes(),
        worlds: module.worlds().to_vec(),
        imports: module.imports().to_vec(),
        compile_ms: module.compile_ms(),
    }
}

#[cfg(test)]
mod tests;
