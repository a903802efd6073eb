//! A data directory in memory that fails as disks do: for the tests of this crate and of those
//! above it.
//!
//! It keeps two states of everything, what the page cache has and what the disk has, and moves
//! bytes from one to the other only on a sync of that file, names only on a sync of that folder.
//! [`FaultyStorage::power_cut`] then loses any subset of what was not synced, page by page, tears
//! pages in the middle, and loses or keeps each change of a name on its own. A failed sync leaves
//! pages that the cache calls clean and the disk does not have, as Linux does.
//!
//! It never chooses by itself: the seed and the number of the operation decide, so that a run can
//! be had again. What is done to files made ahead is not counted, and what becomes of a name or a
//! file depends on the seed and its path alone: a thread of its own makes those files, whenever it
//! gets to it.

mod contents;
mod disk;
mod random;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::storage::{Storage, StorageFile, StorageLock, SyncSite};
use disk::Disk;

/// The storage. Clones are the same directory.
#[derive(Debug, Clone, Default)]
pub struct FaultyStorage {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// Told when a sync is held or released.
    syncs: Condvar,
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while syncs are held.
    fn pass_sync(&self) {
        let mut disk = self.disk();
        disk.waiting_syncs += 1;
        self.syncs.notify_all();
        while disk.hold_syncs {
            disk = self.syncs.wait(disk).unwrap_or_else(PoisonError::into_inner);
        }
        disk.waiting_syncs -= 1;
    }
}

impl FaultyStorage {
    /// An empty directory on a disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power and starts again: what was not synced is lost or kept, in parts, as the seed
    /// says. Files that were open stay dead, the lock is free, planned faults are forgotten, but
    /// not the syncs that are switched off.
    pub fn power_cut(&self, seed: u64) {
        self.shared.disk().power_cut(seed);
        self.release_syncs();
    }

    /// The process ends and starts again; the page cache stays. Otherwise as
    /// [`power_cut`](Self::power_cut).
    pub fn restart(&self) {
        self.shared.disk().restart();
        self.release_syncs();
    }

    /// The `n`th operation from now that changes anything (1 is the next one) does not happen, or
    /// if it is a write, happens in part as the seed says; every operation after it fails, until
    /// [`power_cut`](Self::power_cut) or [`restart`](Self::restart).
    pub fn stop_at_operation(&self, n: u64, seed: u64) {
        let mut disk = self.shared.disk();
        disk.stop_at = Some((disk.operations + n, seed));
    }

    /// Whether the power is off: the operation or sync at which it stops was reached.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        let disk = self.shared.disk();
        disk.check_power(disk.generation).is_err()
    }

    /// The `n`th sync from now (1 is the next one) does not happen and every operation after it
    /// fails, until [`power_cut`](Self::power_cut) or [`restart`](Self::restart).
    pub fn stop_at_sync(&self, n: u64) {
        let mut disk = self.shared.disk();
        disk.stop_at_sync = Some(disk.syncs() + n);
    }

    /// The `n`th sync from now (1 is the next one) fails with `EIO`. Later ones succeed, and lie.
    pub fn fail_sync(&self, n: u64) {
        let mut disk = self.shared.disk();
        disk.fail_sync = Some(disk.syncs() + n);
    }

    /// Every sync at this place says that it happened, and does nothing.
    pub fn switch_off(&self, site: SyncSite) {
        self.shared.disk().switched_off.insert(site);
    }

    /// Every sync of a file says that it happened, and does nothing.
    pub fn switch_off_data_syncs(&self) {
        self.shared.disk().data_syncs_off = true;
    }

    /// Every sync of a folder says that it happened, and does nothing.
    pub fn switch_off_folder_syncs(&self) {
        self.shared.disk().folder_syncs_off = true;
    }

    /// Syncs wait from now on, until [`release_syncs`](Self::release_syncs).
    pub fn hold_syncs(&self) {
        self.shared.disk().hold_syncs = true;
    }

    /// Lets the syncs that wait go on.
    pub fn release_syncs(&self) {
        self.shared.disk().hold_syncs = false;
        self.shared.syncs.notify_all();
    }

    /// Waits until a sync is held.
    pub fn wait_for_held_sync(&self) {
        let mut disk = self.shared.disk();
        while disk.waiting_syncs == 0 || !disk.hold_syncs {
            disk = self.shared.syncs.wait(disk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Bounds the bytes of all files together; an operation that would pass it fails with
    /// `ENOSPC`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.disk().capacity = bytes;
    }

    /// Whether the folders have no room for another name: to give a file a new one fails with
    /// `ENOSPC`.
    pub fn refuse_renames(&self, refuse: bool) {
        self.shared.disk().renames_refused = refuse;
    }

    /// How many operations have changed anything, syncs included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.disk().operations
    }

    /// How many syncs were asked for, of files and folders.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.shared.disk().syncs()
    }

    /// How many syncs were asked for at each place.
    #[must_use]
    pub fn syncs_by_site(&self) -> BTreeMap<SyncSite, u64> {
        self.shared.disk().syncs.clone()
    }

    /// The paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.shared.disk().names.keys().cloned().collect()
    }

    /// What a file holds, as the page cache has it; `None` when there is none.
    #[must_use]
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let disk = self.shared.disk();
        let inode = disk.names.get(path)?;
        Some(disk.files[inode].read_all())
    }

    /// Makes a file hold exactly this, durably; makes it and its folder if they are missing.
    pub fn set_contents(&self, path: &str, bytes: &[u8]) {
        self.shared.disk().set_contents(path, bytes);
    }

    /// Removes a file, durably.
    pub fn erase(&self, path: &str) {
        let mut disk = self.shared.disk();
        disk.names.remove(path);
        disk.durable_names.remove(path);
    }
}

impl Storage for FaultyStorage {
    fn place(&self) -> String {
        "the storage in memory".to_owned()
    }

    fn available(&self) -> io::Result<u64> {
        let disk = self.shared.disk();
        disk.check_power(disk.generation)?;
        Ok(disk.available())
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        let mut disk = self.shared.disk();
        disk.check_power(disk.generation)?;
        if disk.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locked = true;
        let generation = disk.generation;
        Ok(Box::new(FaultyLock { shared: Arc::clone(&self.shared), generation }))
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.shared.disk().make_folder(folder)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.shared.disk().list(folder)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.shared.disk();
        let inode = disk.create(path)?;
        Ok(self.file(&disk, inode))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        let disk = self.shared.disk();
        let inode = disk.find(path)?;
        Ok(self.file(&disk, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shared.disk().rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.shared.disk().remove(path)
    }

    fn sync_folder(&self, folder: &str, site: SyncSite) -> io::Result<()> {
        self.shared.pass_sync();
        self.shared.disk().sync_folder(folder, site)
    }
}

impl FaultyStorage {
    fn file(&self, disk: &Disk, inode: u64) -> Arc<dyn StorageFile> {
        let shared = Arc::clone(&self.shared);
        Arc::new(FaultyFile { shared, inode, generation: disk.generation })
    }
}

/// The lock of one run; it does not free that of a later one.
#[derive(Debug)]
struct FaultyLock {
    shared: Arc<Shared>,
    generation: u64,
}

impl StorageLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut disk = self.shared.disk();
        if disk.generation == self.generation {
            disk.locked = false;
        }
    }
}

/// A file opened in one run; dead in the next.
#[derive(Debug)]
struct FaultyFile {
    shared: Arc<Shared>,
    inode: u64,
    generation: u64,
}

impl StorageFile for FaultyFile {
    fn bytes(&self) -> io::Result<u64> {
        let disk = self.shared.disk();
        disk.check_power(self.generation)?;
        Ok(disk.files[&self.inode].bytes())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let disk = self.shared.disk();
        disk.check_power(self.generation)?;
        Ok(disk.files[&self.inode].read(buffer, position))
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut disk = self.shared.disk();
        disk.check_power(self.generation)?;
        disk.write(self.inode, &bytes, position)
    }

    fn preallocate(&self, end: u64) -> io::Result<()> {
        let mut disk = self.shared.disk();
        disk.check_power(self.generation)?;
        disk.preallocate(self.inode, end)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.shared.disk();
        disk.check_power(self.generation)?;
        disk.truncate(self.inode, bytes)
    }

    fn sync(&self, site: SyncSite) -> io::Result<()> {
        self.shared.pass_sync();
        let mut disk = self.shared.disk();
        disk.check_power(self.generation)?;
        disk.sync(self.inode, site)
    }
}

#[cfg(test)]
mod tests;
