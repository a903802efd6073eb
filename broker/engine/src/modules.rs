//! Uploaded modules: files named by the SHA-256 of their bytes, and their compiled code.
//!
//! A module's file is synced, and so is its directory, before any commit names it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use logmill_model::{ModuleDescription, ModuleDigest};
use logmill_wasm::{Module, Runtime};
use sha2::{Digest, Sha256};

use crate::{Engine, Error};

/// The modules of one data directory.
pub(crate) struct Modules {
    dir: PathBuf,
    runtime: Runtime,
    /// Compiled and in use or used before; held for a look-up or an insert only.
    compiled: Mutex<HashMap<ModuleDigest, Module>>,
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
        Ok(Self { dir: dir.to_owned(), runtime, compiled: Mutex::default() })
    }

    /// A module that was uploaded, compiled.
    ///
    /// # Errors
    /// [`Error::UnknownModule`], [`Error::ModuleRefused`] when the file is damaged.
    pub(crate) async fn get(self: &Arc<Self>, digest: ModuleDigest) -> Result<Module, Error> {
        if let Some(module) = self.lock().get(&digest) {
            return Ok(module.clone());
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

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ModuleDigest, Module>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    fn compile(&self, bytes: &[u8]) -> Result<Module, Error> {
        let digest = ModuleDigest(Sha256::digest(bytes).into());
        if let Some(module) = self.lock().get(&digest) {
            return Ok(module.clone());
        }
        let module =
            self.runtime.compile(bytes).map_err(|error| Error::ModuleRefused(error.to_string()))?;
        self.lock().insert(digest, module.clone());
        Ok(module)
    }

    /// Writes under another name first, so that a file of that name is always whole.
    fn keep(&self, digest: ModuleDigest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(digest);
        if path.exists() {
            return Ok(());
        }
        let partial = path.with_extension("partial");
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
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
