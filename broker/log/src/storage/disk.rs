//! [`Storage`] as files of a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;

use super::{Storage, StorageFile, StorageLock, SyncSite};

const LOCK_FILE: &str = "lock";
/// The most parts that one `pwritev` takes (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// A data directory on a local file system.
#[derive(Debug)]
pub struct DiskStorage {
    root: PathBuf,
    is_read_only: bool,
}

impl DiskStorage {
    /// The directory at `root`, which must exist.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::NotADirectory`].
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        if !root.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, is_read_only: false })
    }

    /// The directory at `root`, in which nothing is changed: its files are opened for reading alone.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read_only(root: impl Into<PathBuf>) -> io::Result<Self> {
        Ok(Self { is_read_only: true, ..Self::open(root)? })
    }

    /// The directory at `root`, made if it is missing, with the directories above it. What is made
    /// is durable when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<&Path> = root.ancestors().take_while(is_missing).collect();
        std::fs::create_dir_all(&root)?;
        for made in missing {
            if let Some(parent) = made.canonicalize()?.parent() {
                sync_directory(parent)?;
            }
        }
        Self::open(root)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// As a file system answers that is read-only.
    fn check_writable(&self) -> io::Result<()> {
        if self.is_read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Storage for DiskStorage {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn available(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        let file = read_write().create(true).truncate(false).open(self.path(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.check_writable()?;
        match std::fs::create_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.check_writable()?;
        let file = read_write().create_new(true).open(self.path(path))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = read_write().write(!self.is_read_only).open(self.path(path))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::remove_file(self.path(path))
    }

    fn sync_folder(&self, folder: &str, _site: SyncSite) -> io::Result<()> {
        sync_directory(&self.path(folder))
    }
}

/// Holds the advisory lock of the lock file, which the kernel gives up when the process ends.
#[derive(Debug)]
struct DiskLock {
    _file: File,
}

impl StorageLock for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    file: File,
}

impl StorageFile for DiskFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], mut position: u64) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut rest = &mut parts[..];
        // Empty parts at the front would make a write of nothing look like a full disk.
        io::IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(PARTS_MAX)];
            match rustix::io::pwritev(&self.file, some, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    position += bytes as u64;
                    io::IoSlice::advance_slices(&mut rest, bytes);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn preallocate(&self, end: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, end) {
            // A file system without it still takes the length, as a hole.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                if self.file.metadata()?.len() < end {
                    self.file.set_len(end)
                } else {
                    Ok(())
                }
            }
            other => Ok(other?),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self, _site: SyncSite) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, DiskStorage) {
        let directory = tempfile::tempdir().unwrap();
        let disk = DiskStorage::open(directory.path()).unwrap();
        (directory, disk)
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let (_directory, disk) = disk();
        let lock = disk.lock().unwrap();
        assert_eq!(disk.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock().unwrap();
    }

    #[test]
    fn who_only_reads_changes_nothing() {
        let (directory, disk) = disk();
        disk.create("f").unwrap();
        let disk = DiskStorage::read_only(directory.path()).unwrap();
        let changes = [
            disk.create("g").err(),
            disk.rename("f", "g").err(),
            disk.remove("f").err(),
            disk.make_folder("d").err(),
            disk.open("f").unwrap().write_at(&[io::IoSlice::new(b"a")], 0).err(),
        ];
        assert!(changes.iter().all(Option::is_some), "{changes:?}");
        assert_eq!(disk.list("").unwrap(), ["f"]);
    }

    #[test]
    fn more_parts_than_one_call_takes_are_all_written() {
        let (_directory, disk) = disk();
        let file = disk.create("f").unwrap();
        let bytes: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let mut parts = vec![io::IoSlice::new(&[])];
        parts.extend(bytes.chunks(4).map(io::IoSlice::new));
        file.write_at(&parts, 7).unwrap();
        let mut read = vec![0; bytes.len() + 100];
        assert_eq!(file.read_at(&mut read, 7).unwrap(), bytes.len());
        assert_eq!(read[..bytes.len()], bytes);
    }

    #[test]
    fn preallocated_space_reads_as_zeros_and_is_cut_off_again() {
        let (_directory, disk) = disk();
        let file = disk.create("f").unwrap();
        file.write_at(&[io::IoSlice::new(b"abc")], 0).unwrap();
        file.preallocate(8192).unwrap();
        assert_eq!(file.bytes().unwrap(), 8192);
        let mut read = [1; 6];
        file.read_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"abc\0\0\0");
        file.truncate(3).unwrap();
        assert_eq!(file.bytes().unwrap(), 3);
    }

    #[test]
    fn a_missing_directory_is_an_error_and_stays_missing() {
        let (directory, _disk) = disk();
        let missing = directory.path().join("missing");
        assert_eq!(DiskStorage::open(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!missing.exists());
        DiskStorage::create(missing.join("deeper")).unwrap();
        assert!(missing.join("deeper").exists());
    }

    #[test]
    fn a_file_is_created_once() {
        let (_directory, disk) = disk();
        disk.make_folder("journal").unwrap();
        disk.make_folder("journal").unwrap();
        disk.create("journal/a").unwrap();
        assert_eq!(disk.create("journal/a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.sync_folder("journal", SyncSite::JOURNAL_FOLDER).unwrap();
        assert_eq!(disk.list("journal").unwrap(), ["a"]);
    }
}
