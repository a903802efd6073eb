//! The journal file that is being written.
//!
//! It grows at its end only. Where a method fails, the file must not be written any more: what it
//! holds is for the next start to find out.

use std::io::IoSlice;
use std::sync::Arc;

use logmill_model::{ClusterId, Csn, Epoch, ShardId, Timestamp};

use crate::entry::{EMPTY_TABLE_CRC, ENTRY_HEADER_BYTES, EntryHeader, Kind, SealReason};
use crate::file_header::{FILE_HEADER_BYTES, FileHeader, FileKind, Salt};
use crate::file_name::{FOLDER, FileName};
use crate::storage::{Storage, StorageFile, SyncSite};
use crate::{Error, Settings};

/// What all files of one start share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
}

/// The newest commit: what the next one is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Newest {
    pub(crate) csn: Csn,
    pub(crate) entry_crc: u32,
    pub(crate) time: Timestamp,
}

impl Newest {
    /// Whether its entry CRC is known; it is 0 where the commit is lost, and in an empty journal.
    pub(crate) fn is_chained(self) -> bool {
        self.entry_crc != 0 || self.csn == Csn::ZERO
    }
}

#[derive(Debug)]
pub(crate) struct ActiveFile {
    path: String,
    file: Arc<dyn StorageFile>,
    header: FileHeader,
    position: u64,
    allocated: u64,
    has_commits: bool,
    bytes_max: u64,
    step_bytes: u64,
}

impl ActiveFile {
    /// Makes a file for the entries from `first` on. When this returns, header and name are
    /// durable.
    pub(crate) fn create(
        storage: &dyn Storage,
        settings: &Settings,
        identity: Identity,
        first: Csn,
        supersedes: Option<Csn>,
    ) -> Result<Self, Error> {
        let Identity { cluster, shard, epoch } = identity;
        let path = FileName { epoch, first }.path();
        let salt = Salt::random(&path)?;
        let kind = FileKind::Journal;
        let header = FileHeader { kind, shard, cluster, salt, first, epoch, supersedes };
        let file = storage.create(&path).map_err(|error| Error::io("create", &path, error))?;
        let mut active = Self {
            path,
            file,
            header,
            position: 0,
            allocated: 0,
            has_commits: false,
            bytes_max: settings.journal_file_bytes.min(Settings::JOURNAL_FILE_BYTES_MAX),
            step_bytes: settings.preallocate_bytes,
        };
        active.write(&[IoSlice::new(&header.encode())], FILE_HEADER_BYTES as u64)?;
        active.sync(SyncSite::HEADER)?;
        storage
            .sync_folder(FOLDER, SyncSite::JOURNAL_FOLDER)
            .map_err(|error| Error::sync(SyncSite::JOURNAL_FOLDER, FOLDER, error))?;
        Ok(active)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn header(&self) -> &FileHeader {
        &self.header
    }

    pub(crate) fn salt(&self) -> Salt {
        self.header.salt
    }

    /// Where the next entry will lie.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether an entry may be written at `position`, with room for the seal after it. The first
    /// one always may.
    pub(crate) fn has_room(&self, position: u64, entry_bytes: u64) -> bool {
        let end = position + entry_bytes + ENTRY_HEADER_BYTES as u64;
        end <= self.bytes_max || (!self.has_commits && position == self.position)
    }

    /// Writes entries at the end. They are not durable yet.
    pub(crate) fn write_commits(&mut self, parts: &[IoSlice<'_>], bytes: u64) -> Result<(), Error> {
        self.write(parts, bytes)?;
        self.has_commits = true;
        Ok(())
    }

    fn write(&mut self, parts: &[IoSlice<'_>], bytes: u64) -> Result<(), Error> {
        let end = self.position + bytes;
        if end > self.allocated {
            let step = (self.allocated + self.step_bytes).min(self.bytes_max);
            self.allocated = end.max(step);
            self.file
                .preallocate(self.allocated)
                .map_err(|error| Error::io("allocate space for", &self.path, error))?;
        }
        self.file
            .write_at(parts, self.position)
            .map_err(|error| Error::io("write", &self.path, error))?;
        self.position = end;
        Ok(())
    }

    pub(crate) fn sync(&self, site: SyncSite) -> Result<(), Error> {
        self.file.sync(site).map_err(|error| Error::sync(site, &self.path, error))
    }

    /// Writes a bare header. All that lies before it must be durable; so is it when this returns.
    pub(crate) fn write_mark(
        &mut self,
        kind: Kind,
        newest: Newest,
        durable_csn: Csn,
        site: SyncSite,
    ) -> Result<(), Error> {
        let bytes = mark(kind, newest, durable_csn, &self.header);
        self.write(&[IoSlice::new(&bytes)], bytes.len() as u64)?;
        if matches!(kind, Kind::Seal(_)) {
            // Gives back what was allocated ahead.
            self.file
                .truncate(self.position)
                .map_err(|error| Error::io("truncate", &self.path, error))?;
        }
        self.sync(site)
    }
}

/// A bare header for the file of `header`.
pub(crate) fn mark(
    kind: Kind,
    newest: Newest,
    durable_csn: Csn,
    header: &FileHeader,
) -> [u8; ENTRY_HEADER_BYTES] {
    let entry = EntryHeader {
        kind,
        shard: header.shard,
        prev_crc: newest.entry_crc,
        length: u32::try_from(ENTRY_HEADER_BYTES).expect("a header is 64 bytes"),
        appends: 0,
        csn: newest.csn,
        epoch: header.epoch,
        time: newest.time,
        durable_csn,
        table_crc: EMPTY_TABLE_CRC,
    };
    entry.encode(header.salt).0
}

/// Seals an older file behind `newest`, whose entry ends at `position`, cutting off what follows.
/// A newer file must hold all of that, durably.
pub(crate) fn seal_superseded(
    storage: &dyn Storage,
    path: &str,
    header: &FileHeader,
    newest: Newest,
    position: u64,
) -> Result<(), Error> {
    let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
    let bytes = mark(Kind::Seal(SealReason::Superseded), newest, newest.csn, header);
    file.truncate(position).map_err(|error| Error::io("truncate", path, error))?;
    file.write_at(&[IoSlice::new(&bytes)], position)
        .map_err(|error| Error::io("write", path, error))?;
    file.sync(SyncSite::SEAL).map_err(|error| Error::sync(SyncSite::SEAL, path, error))
}
