//! The directory behind [`FaultyStorage`](super::FaultyStorage): names, files, and planned faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::contents::Contents;
use super::random::Random;
use crate::ahead::AHEAD_PREFIX;
use crate::storage::SyncSite;

/// Linux's number of an input/output error.
const EIO: i32 = 5;

/// A change of names that the disk may not have yet. Each is atomic.
#[derive(Debug, Clone)]
enum NameChange {
    Folder(String),
    Link(String, u64),
    Unlink(String),
    Rename { from: String, to: String, inode: u64 },
}

impl NameChange {
    fn path(&self) -> &str {
        match self {
            Self::Folder(path) | Self::Link(path, _) | Self::Unlink(path) => path,
            Self::Rename { to, .. } => to,
        }
    }

    /// The folder whose sync makes it durable.
    fn folder(&self) -> &str {
        match self {
            Self::Folder(_) => "",
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename { to: path, .. } => {
                folder_of(path)
            }
        }
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// One higher after each power cut or restart: what was opened before is dead.
    pub(super) generation: u64,
    pub(super) locked: bool,
    pub(super) files: BTreeMap<u64, Contents>,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) durable_names: BTreeMap<String, u64>,
    folders: BTreeSet<String>,
    durable_folders: BTreeSet<String>,
    changes: Vec<NameChange>,
    next_inode: u64,

    pub(super) operations: u64,
    pub(super) syncs: BTreeMap<SyncSite, u64>,
    pub(super) hold_syncs: bool,
    pub(super) waiting_syncs: u64,

    dead: bool,
    pub(super) stop_at: Option<(u64, u64)>,
    pub(super) stop_at_sync: Option<u64>,
    pub(super) fail_sync: Option<u64>,
    pub(super) switched_off: BTreeSet<SyncSite>,
    pub(super) data_syncs_off: bool,
    pub(super) folder_syncs_off: bool,
    pub(super) capacity: Option<u64>,
    pub(super) renames_refused: bool,
}

/// What a sync is to do.
enum SyncFate {
    Happen,
    Lie,
}

impl Disk {
    pub(super) fn check_power(&self, generation: u64) -> io::Result<()> {
        if self.dead || generation != self.generation {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    /// Counts an operation; fails when the power goes off at it. A write that is cut off gets the
    /// seed that says how much of it happens.
    fn step(&mut self) -> Result<(), Option<u64>> {
        if self.dead {
            return Err(None);
        }
        self.operations += 1;
        match self.stop_at {
            Some((at, seed)) if self.operations >= at => {
                self.dead = true;
                Err(Some(seed))
            }
            _ => Ok(()),
        }
    }

    fn step_whole(&mut self) -> io::Result<()> {
        self.step().map_err(|_| io::Error::other("the power is off"))
    }

    /// What another thread does to the files that it makes ahead comes between the other operations
    /// anywhere, so it is not counted.
    fn step_unless_ahead(&mut self, path: &str) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with(AHEAD_PREFIX) {
            return self.check_power(self.generation);
        }
        self.step_whole()
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.values().sum()
    }

    pub(super) fn restart(&mut self) {
        self.generation += 1;
        self.locked = false;
        self.dead = false;
        self.stop_at = None;
        self.stop_at_sync = None;
        self.fail_sync = None;
    }

    pub(super) fn power_cut(&mut self, seed: u64) {
        self.restart();
        let mut randoms = BTreeMap::new();
        for change in std::mem::take(&mut self.changes) {
            let path = change.path().to_owned();
            let random = randoms.entry(path).or_insert_with_key(|path| Random::of(seed, path));
            if random.coin() {
                self.make_durable(change);
            }
        }
        self.folders = self.durable_folders.clone();
        let folders = &self.folders;
        self.durable_names.retain(|path, _| {
            let folder = folder_of(path);
            folder.is_empty() || folders.contains(folder)
        });
        self.names = self.durable_names.clone();
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|inode, _| linked.contains(inode));
        for (path, inode) in self.names.clone() {
            self.file(inode).power_cut(&mut Random::of(seed, &path));
        }
    }

    fn make_durable(&mut self, change: NameChange) {
        match change {
            NameChange::Folder(folder) => {
                self.durable_folders.insert(folder);
            }
            NameChange::Link(path, inode) => {
                self.durable_names.insert(path, inode);
            }
            NameChange::Unlink(path) => {
                self.durable_names.remove(&path);
            }
            NameChange::Rename { from, to, inode } => {
                if self.durable_names.get(&from) == Some(&inode) {
                    self.durable_names.remove(&from);
                }
                self.durable_names.insert(to, inode);
            }
        }
    }

    pub(super) fn make_folder(&mut self, folder: &str) -> io::Result<()> {
        self.step_whole()?;
        if self.folders.insert(folder.to_owned()) {
            self.changes.push(NameChange::Folder(folder.to_owned()));
        }
        Ok(())
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.check_power(self.generation)?;
        self.check_folder(folder)?;
        let names = self.names.keys().filter(|path| folder_of(path) == folder);
        Ok(names.filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect())
    }

    fn check_folder(&self, folder: &str) -> io::Result<()> {
        if folder.is_empty() || self.folders.contains(folder) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    pub(super) fn find(&self, path: &str) -> io::Result<u64> {
        self.check_power(self.generation)?;
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<u64> {
        self.step_unless_ahead(path)?;
        self.check_folder(folder_of(path))?;
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.new_file(path);
        self.changes.push(NameChange::Link(path.to_owned(), inode));
        Ok(inode)
    }

    fn new_file(&mut self, path: &str) -> u64 {
        self.next_inode += 1;
        self.files.insert(self.next_inode, Contents::default());
        self.names.insert(path.to_owned(), self.next_inode);
        self.next_inode
    }

    pub(super) fn set_contents(&mut self, path: &str, bytes: &[u8]) {
        let folder = folder_of(path).to_owned();
        if !folder.is_empty() {
            self.folders.insert(folder.clone());
            self.durable_folders.insert(folder);
        }
        let inode = match self.names.get(path) {
            Some(inode) => *inode,
            None => self.new_file(path),
        };
        self.durable_names.insert(path.to_owned(), inode);
        let file = self.files.entry(inode).or_default();
        file.truncate(0);
        file.write(bytes, 0);
        file.sync();
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step_whole()?;
        let inode = self.find(from)?;
        if self.renames_refused {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.names.remove(from);
        self.names.insert(to.to_owned(), inode);
        let (from, to) = (from.to_owned(), to.to_owned());
        self.changes.push(NameChange::Rename { from, to, inode });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        self.step_unless_ahead(path)?;
        self.find(path)?;
        self.names.remove(path);
        self.changes.push(NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    pub(super) fn write(&mut self, inode: u64, bytes: &[u8], position: u64) -> io::Result<()> {
        match self.step() {
            Ok(()) => {
                self.check_capacity(inode, position + bytes.len() as u64)?;
                self.file(inode).write(bytes, position);
                Ok(())
            }
            Err(seed) => {
                if let Some(seed) = seed {
                    let written = Random::new(seed).index_below(bytes.len() + 1);
                    self.file(inode).write(&bytes[..written], position);
                }
                Err(io::Error::other("the power is off"))
            }
        }
    }

    fn file(&mut self, inode: u64) -> &mut Contents {
        self.files.entry(inode).or_default()
    }

    fn check_capacity(&self, inode: u64, end: u64) -> io::Result<()> {
        let more = end.saturating_sub(self.files[&inode].bytes());
        if more > self.available() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn available(&self) -> u64 {
        let used = self.names.values().map(|inode| self.files[inode].bytes()).sum();
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used))
    }

    pub(super) fn preallocate(&mut self, inode: u64, end: u64) -> io::Result<()> {
        let path = self.names.iter().find(|(_, it)| **it == inode).map(|(path, _)| path.clone());
        self.step_unless_ahead(path.as_deref().unwrap_or_default())?;
        self.check_capacity(inode, end)?;
        self.file(inode).grow(end);
        Ok(())
    }

    pub(super) fn truncate(&mut self, inode: u64, bytes: u64) -> io::Result<()> {
        self.step_whole()?;
        self.file(inode).truncate(bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: u64, site: SyncSite) -> io::Result<()> {
        let off = self.data_syncs_off;
        match self.sync_fate(site, off) {
            Ok(SyncFate::Happen) => self.file(inode).sync(),
            Ok(SyncFate::Lie) => {}
            Err(error) => {
                self.file(inode).fail_sync();
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, folder: &str, site: SyncSite) -> io::Result<()> {
        self.check_folder(folder)?;
        let off = self.folder_syncs_off;
        if matches!(self.sync_fate(site, off)?, SyncFate::Happen) {
            let (synced, rest) = std::mem::take(&mut self.changes)
                .into_iter()
                .partition(|change| change.folder() == folder);
            self.changes = rest;
            let synced: Vec<NameChange> = synced;
            synced.into_iter().for_each(|change| self.make_durable(change));
        }
        Ok(())
    }

    fn sync_fate(&mut self, site: SyncSite, off: bool) -> io::Result<SyncFate> {
        self.step_whole()?;
        *self.syncs.entry(site).or_default() += 1;
        let nth = self.syncs();
        if self.stop_at_sync.is_some_and(|at| nth >= at) {
            self.dead = true;
            return Err(io::Error::other("the power is off"));
        }
        if self.fail_sync == Some(nth) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let off = off || self.switched_off.contains(&site);
        Ok(if off { SyncFate::Lie } else { SyncFate::Happen })
    }
}
