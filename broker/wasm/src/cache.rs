//! Compiled code on disk, so that a restart needn't compile again.
//!
//! A file is named by the digest of its module and by a hash of the compiler: its version, its
//! settings and the processor's features. Layout, little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `LMCODE01` |
//! | 8..40 | SHA-256 of the rest |
//! | 40.. | what wasmtime serialized |
//!
//! Nothing is lost with a file: what is missing, torn or of another compiler is compiled again. So
//! nothing here is synced, and no fault of the folder stops the broker once it is open.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use logmill_model::ModuleDigest;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::Error;
use crate::deserialize::Serialized;

const MAGIC: &[u8; 8] = b"LMCODE01";
const HEADER_BYTES: usize = 40;
const EXTENSION: &str = "code";
const UNFINISHED: &str = "unfinished";

/// A folder of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    compiler: String,
}

impl Cache {
    /// Makes the folder, and takes it from everybody else.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64, engine: &Engine) -> Result<Self, Error> {
        let failed = |source| Error::Cache { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(failed)?;
        let compiler = compiler_hash(engine);
        let cache = Self { folder, bytes_max, compiler };
        cache.bound();
        Ok(cache)
    }

    /// The code of a module, or None when it isn't here or isn't whole.
    pub(crate) fn load(&self, digest: ModuleDigest) -> Option<Serialized> {
        let path = self.path(digest);
        match read_verified(&path) {
            Ok(Some(code)) => Some(code),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "cached code is damaged; compiling again");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "cached code can't be read: {error}");
                None
            }
        }
    }

    /// Keeps the code of a module, and removes what was used longest ago where there is too much.
    pub(crate) fn store(&self, digest: ModuleDigest, code: &[u8]) {
        let path = self.path(digest);
        if let Err(error) = write_whole(&path, code) {
            tracing::warn!(path = %path.display(), "compiled code can't be cached: {error}");
        }
        self.bound();
    }

    fn path(&self, digest: ModuleDigest) -> PathBuf {
        self.folder.join(format!("{digest}-{}.{EXTENSION}", self.compiler))
    }

    fn bound(&self) {
        if let Err(error) = remove_oldest(&self.folder, self.bytes_max) {
            tracing::warn!(folder = %self.folder.display(), "can't be kept small: {error}");
        }
    }
}

/// The first 64 bits of a hash of all that the code depends on besides the module.
fn compiler_hash(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let hash: [u8; 32] = self.0.clone().finalize().into();
            hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// None when the file isn't what was written.
fn read_verified(path: &Path) -> io::Result<Option<Serialized>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let is_whole = bytes.len() > HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && bytes[MAGIC.len()..HEADER_BYTES] == Sha256::digest(&bytes[HEADER_BYTES..])[..];
    if !is_whole {
        return Ok(None);
    }
    // The time of the last change says when it was last used.
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    futimens(&file, &Timestamps { last_access: omit, last_modification: now })?;
    Ok(Some(Serialized::by_cache(bytes, HEADER_BYTES)))
}

/// The file appears under its name whole or not at all.
fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(MAGIC)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    fs::rename(&unfinished, path)
}

fn remove_oldest(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let Some(extension) = path.extension() else { continue };
        if extension == UNFINISHED {
            fs::remove_file(&path)?;
        } else if extension == EXTENSION {
            let metadata = entry.metadata()?;
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((used, metadata.len(), path));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, file_bytes, path) in files {
        if bytes <= bytes_max {
            break;
        }
        fs::remove_file(&path)?;
        bytes -= file_bytes;
    }
    Ok(())
}
