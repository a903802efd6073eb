//! The seam between the log and the disk: everything durable goes through [`Storage`], so that a
//! test can cut the power, fail a sync or fill the disk where it likes.
//!
//! Paths are `FILE` or `FOLDER/FILE` below one data directory. **A file's bytes are durable when
//! [`StorageFile::sync`] has returned, its name when [`Storage::sync_folder`] of its folder has**;
//! no implementation promises more. A sync that failed is never tried again by who calls it.

mod disk;
mod sync_site;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use disk::DiskStorage;
pub use sync_site::SyncSite;

/// A data directory.
pub trait Storage: Send + Sync + fmt::Debug {
    /// How people call it: the directory's path.
    fn place(&self) -> String;

    /// How many bytes more its files can take.
    ///
    /// # Errors
    /// What the storage says.
    fn available(&self) -> io::Result<u64>;

    /// Makes this process the owner, until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it has an owner.
    fn lock(&self) -> io::Result<Box<dyn StorageLock>>;

    /// Makes a folder in the directory, unless it is there. Its name is durable after
    /// `sync_folder("")`.
    ///
    /// # Errors
    /// What the storage says.
    fn make_folder(&self, folder: &str) -> io::Result<()>;

    /// The names of the files in a folder, in no order.
    ///
    /// # Errors
    /// What the storage says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// A new, empty file to read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or what the storage says.
    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// A file to read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what the storage says.
    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name in the same folder, atomically; a file of that name is replaced.
    ///
    /// # Errors
    /// What the storage says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Who has it open can go on to read it.
    ///
    /// # Errors
    /// What the storage says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder durable; `""` is the data directory itself.
    ///
    /// # Errors
    /// What the storage says. What is durable is then unknown.
    fn sync_folder(&self, folder: &str, site: SyncSite) -> io::Result<()>;
}

/// An open file. All methods take `&self`: positions are arguments, so that readers share it.
pub trait StorageFile: Send + Sync + fmt::Debug {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the storage says.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` from `position`, or as far as the file goes; returns how much it filled.
    ///
    /// # Errors
    /// What the storage says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all the parts, one after another, from `position`.
    ///
    /// # Errors
    /// What the storage says. How much of it was written is then unknown.
    fn write_at(&self, parts: &[io::IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Takes space for the file up to `end`; what is beyond its length reads as zeros.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], or what the storage says.
    fn preallocate(&self, end: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`.
    ///
    /// # Errors
    /// What the storage says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the storage says. What is durable is then unknown, and a second sync that succeeds
    /// would prove nothing: the page cache may have called the pages clean.
    fn sync(&self, site: SyncSite) -> io::Result<()>;
}

/// The ownership of a data directory; dropping it gives it up.
pub trait StorageLock: Send + Sync + fmt::Debug {}
