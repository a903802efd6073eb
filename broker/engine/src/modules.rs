//! Uploaded modules: files named by the SHA-256 of their bytes, and their compiled code.
//!
//! A module's file is synced, and so is its directory, before any commit names it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use logmill_model::{ModuleDescription, ModuleDigest};
use logmill_wasm::{Module, Runtime};
use sha2::{Digest, Sha256};

use crate::limits::COMPILED_MODULES_MAX;
use crate::{Engine, Error};

/// The ending of a file that is being written.
const PARTIAL: &str = "partial";

/// The modules of one data directory.
pub(crate) struct Modules {
    dir: PathBuf,
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
    /// [`Error::ModuleRefused`]; [`Error::Io`] when it can't be kept.
    pub async fn upload_module(&self, bytes: Bytes) -> Result<ModuleDescription, Error> {
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
    /// Opens the directory, making it where it is missing.
    pub(crate) fn open(dir: &Path, runtime: Runtime) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|source| io_error("create", dir, source))?;
        let modules = Self {
            dir: dir.to_owned(),
            runtime,
            compiled: Mutex::default(),
            files: Mutex::default(),
        };
        modules.remove_partial().map_err(|source| io_error("clean up", dir, source))?;
        Ok(modules)
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
            let path = modules.path(digest);
            let bytes = fs::read(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::UnknownModule(digest),
                _ => io_error("read", &path, error),
            })?;
            if Sha256::digest(&bytes)[..] != digest.0 {
                return Err(Error::ModuleRefused(format!(
                    "{} is not what was uploaded; upload the module again",
                    path.display()
                )));
            }
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
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == PARTIAL) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
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

    /// Makes sure that the file is there, whole and durable. A new one is written under another
    /// name first, so that a file of that name is whole; one that is damaged is written anew.
    fn keep(&self, digest: ModuleDigest, bytes: &[u8]) -> Result<(), Error> {
        let _files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(digest);
        let partial = path.with_extension(PARTIAL);
        let is_there = fs::read(&path).is_ok_and(|there| there == bytes);
        let write = || {
            if is_there {
                // It may be there since a moment ago, and not on the disk yet.
                File::open(&path)?.sync_all()?;
            } else {
                let mut file = File::create(&partial)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                fs::rename(&partial, &path)?;
            }
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| io_error("write", &path, source))
    }
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

fn io_error(verb: &str, path: &Path, source: io::Error) -> Error {
    Error::Io { what: format!("can't {verb} {}", path.display()), source }
}
