//! Backups: the log as of one entry and the modules that it names, copied while the broker works.
//!
//! What a broker makes for itself (its certificate, its tokens, compiled code, snapshots) is not
//! part of one: it is made anew where the backup is served.

use std::fs;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use logmill_log::KnownEntry;
use logmill_log::backup::{Cut, INCOMPLETE, MANIFEST, Target};
use logmill_log::storage::{DiskStorage, Storage, SyncSite};
use logmill_model::{BackupProgress, BackupReport, Csn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::modules::{self, Modules};
use crate::{Engine, Error};

/// What the manifest says of a backup.
#[derive(Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: String,
    cluster: String,
    csn: u64,
    created_ts: Timestamp,
    files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct File {
    path: String,
    bytes: u64,
}

/// A manifest that is larger than this is not read: something is wrong with it.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

impl Manifest {
    /// That of a backup; None where the directory is none, or the manifest is not whole.
    pub(crate) fn read(storage: &dyn Storage) -> Option<Self> {
        let file = storage.open(MANIFEST).ok()?;
        let length = file.bytes().ok()?.min(MANIFEST_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let filled = file.read_at(&mut bytes, 0).ok()?;
        serde_json::from_slice(&bytes[..filled]).ok()
    }

    /// The last entry of the backup.
    pub(crate) fn known_entry(&self) -> Option<KnownEntry> {
        let cluster = self.cluster.parse().ok()?;
        let told_by = format!("{MANIFEST} says that it ends with entry {}", self.csn);
        Some(KnownEntry { cluster, csn: Csn(self.csn), told_by })
    }

    /// The files and their lengths.
    pub(crate) fn into_files(self) -> Vec<(String, u64)> {
        self.files.into_iter().map(|File { path, bytes }| (path, bytes)).collect()
    }
}

/// Whether a backup is made, and how far it is.
#[derive(Default)]
pub(crate) struct Backups {
    running: AtomicBool,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Backups {
    /// How far the backup is that is being made.
    pub(crate) fn progress(&self) -> Option<BackupProgress> {
        self.running.load(Relaxed).then(|| BackupProgress {
            done_bytes: self.done_bytes.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
        })
    }
}

/// Ends what [`Backups::progress`] tells, however the backup ends.
struct Running<'a>(&'a Backups);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Relaxed);
    }
}

impl Engine {
    /// Copies all that is durable now to a directory of this machine, verified. What is there from
    /// an earlier backup is not copied again.
    ///
    /// # Errors
    /// [`Error::Backup`] when the directory holds something else or another backup is being made;
    /// [`Error::Log`] when a file of the log is not what was written, or the directory can't be
    /// written: the backup is then marked as not whole, and can be gone on with.
    pub async fn backup(&self, to: PathBuf) -> Result<BackupReport, Error> {
        let engine = self.clone();
        tokio::task::spawn_blocking(move || engine.back_up(&to))
            .await
            .map_err(|_| Error::ShuttingDown)?
    }

    fn back_up(&self, to: &Path) -> Result<BackupReport, Error> {
        let started = Instant::now();
        let backups = self.backups();
        if backups.running.swap(true, Relaxed) {
            return Err(Error::Backup("another backup is being made".to_owned()));
        }
        let _running = Running(backups);
        let storage = open_directory(to)?;
        let cut = self.parts().log.cut();
        let cut = cut.ok_or_else(|| {
            Error::Backup("the log's files change too fast; try again".to_owned())
        })?;
        backups.total_bytes.store(cut.bytes(), Relaxed);
        backups.done_bytes.store(0, Relaxed);
        let target = Target::begin(Arc::new(storage), cut.cluster(), &[modules::FOLDER])?;
        let mut copied = cut.copy_to(&target, &mut |done| {
            backups.done_bytes.store(done, Relaxed);
            !self.is_stopping()
        })?;
        // After the cut: all modules that its entries name are there by now.
        self.shared_modules().copy_to(&target, &mut copied.files, &mut copied.copied_bytes)?;
        let manifest = manifest(&cut, self.options().clock.now(), &copied.files);
        let paths: Vec<String> = copied.files.iter().map(|(path, _)| path.clone()).collect();
        target.finish(&paths, &[modules::FOLDER], &manifest)?;
        Ok(BackupReport {
            to: to.display().to_string(),
            csn: cut.csn(),
            files: copied.files.len() as u64,
            bytes: copied.files.iter().map(|(_, bytes)| bytes).sum(),
            copied_bytes: copied.copied_bytes,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// A directory that is empty, or is a backup or a part of one: nothing else is touched.
fn open_directory(to: &Path) -> Result<DiskStorage, Error> {
    let failed = |source: io::Error| {
        Error::Backup(format!(
            "can't use {}: {source}; choose a directory that the broker may write to",
            to.display()
        ))
    };
    if !to.is_absolute() {
        return Err(Error::Backup(format!(
            "{} is not an absolute path of the broker's machine",
            to.display()
        )));
    }
    fs::create_dir_all(to).map_err(failed)?;
    let is_backup = [INCOMPLETE, MANIFEST].iter().any(|name| to.join(name).exists());
    // A log's lock file alone is what a backup that ended at once leaves.
    if !is_backup && !is_empty(to).map_err(failed)? {
        return Err(Error::Backup(format!(
            "{} is neither empty nor a backup; choose an empty directory",
            to.display()
        )));
    }
    DiskStorage::open(to).map_err(failed)
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name() != "lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn manifest(cut: &Cut, created_ts: Timestamp, files: &[(String, u64)]) -> Vec<u8> {
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: cut.cluster().to_string(),
        csn: cut.csn().0,
        created_ts,
        files: files
            .iter()
            .map(|(path, bytes)| File { path: path.clone(), bytes: *bytes })
            .collect(),
    };
    serde_json::to_vec_pretty(&manifest).expect("numbers and strings are JSON")
}

impl Modules {
    /// Copies all modules, each verified by its digest.
    fn copy_to(
        &self,
        target: &Target,
        files: &mut Vec<(String, u64)>,
        copied_bytes: &mut u64,
    ) -> Result<(), Error> {
        for digest in self.digests()? {
            let (path, bytes) = (modules::path(digest), self.read_verified(digest)?);
            let length = bytes.len() as u64;
            let there = target.storage().open(&path).and_then(|file| {
                let mut there = vec![0; bytes.len()];
                let filled = file.read_at(&mut there, 0)?;
                Ok(filled == bytes.len() && file.bytes()? == length && there == bytes)
            });
            if !there.unwrap_or(false) {
                write(target, &path, &bytes).map_err(|source| Error::Io {
                    what: format!("can't copy {path} to {}", target.storage().place()),
                    source,
                })?;
                *copied_bytes += length;
            }
            files.push((path, length));
        }
        Ok(())
    }
}

fn write(target: &Target, path: &str, bytes: &[u8]) -> io::Result<()> {
    let storage = target.storage();
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(path)?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    file.sync(SyncSite::BACKUP)
}
