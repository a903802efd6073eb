//! The journal file that is being written.
//!
//! It grows at its end only. Where a method fails, the file must not be written any more: what it
//! holds is for the next start to find out.

use std::io::IoSlice;
use std::sync::Arc;

use logmill_model::{ClusterId, Csn, Epoch, ShardId, Timestamp};

use crate::ahead::AheadFile;
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

/// What is kept free behind the entries of a file: for the checkpoint after the last one, and the
/// seal. Where there is an entry, these need no space that is not there.
const MARKS_BYTES: u64 = 2 * ENTRY_HEADER_BYTES as u64;
/// Space is taken in whole pages.
const PAGE_BYTES: u64 = 4096;

#[derive(Debug)]
pub(crate) struct ActiveFile {
    path: String,
    file: Arc<dyn StorageFile>,
    header: FileHeader,
    position: u64,
    /// Up to where space was taken. Nothing is written beyond.
    allocated: u64,
    has_commits: bool,
}

/// What a new file is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub(crate) first: Csn,
    pub(crate) supersedes: Option<Csn>,
}

impl ActiveFile {
    /// What a file takes at least, in bytes, when `entries_bytes` of entries and one mark go into
    /// it at once.
    pub(crate) fn least_bytes(entries_bytes: u64) -> u64 {
        let mark = ENTRY_HEADER_BYTES as u64;
        (FILE_HEADER_BYTES as u64 + entries_bytes + mark + MARKS_BYTES).next_multiple_of(PAGE_BYTES)
    }

    /// Makes a file that was made ahead the next one of the journal. When this returns, header and
    /// name are durable.
    pub(crate) fn begin(
        storage: &dyn Storage,
        ahead: AheadFile,
        identity: Identity,
        beginning: Beginning,
    ) -> Result<Self, Error> {
        let Identity { cluster, shard, epoch } = identity;
        let Beginning { first, supersedes } = beginning;
        let path = FileName { epoch, first }.path();
        let salt = Salt::random(&path)?;
        let kind = FileKind::Journal;
        let header = FileHeader { kind, shard, cluster, salt, first, epoch, supersedes };
        let AheadFile { path: ahead_path, file, bytes: allocated } = ahead;
        let mut active = Self { path, file, header, position: 0, allocated, has_commits: false };
        active.write(&[IoSlice::new(&header.encode())], FILE_HEADER_BYTES as u64)?;
        active.sync(SyncSite::HEADER)?;
        storage
            .rename(&ahead_path, &active.path)
            .map_err(|error| Error::io("rename", &ahead_path, error))?;
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

    /// Whether it has an entry.
    pub(crate) fn has_commits(&self) -> bool {
        self.has_commits
    }

    /// Whether there is space for an entry at `position`, and for the marks after it.
    pub(crate) fn has_room(&self, position: u64, entry_bytes: u64) -> bool {
        position + entry_bytes + MARKS_BYTES <= self.allocated
    }

    /// Takes space for more entries behind the last; false when the disk has none, and when the
    /// file would be larger than the index can say.
    pub(crate) fn grow(&mut self, entries_bytes: u64) -> Result<bool, Error> {
        let end = self.position + entries_bytes + MARKS_BYTES;
        let end = end.next_multiple_of(PAGE_BYTES);
        if self.has_commits && end > Settings::JOURNAL_FILE_BYTES_MAX {
            return Ok(false);
        }
        match self.file.preallocate(end) {
            Ok(()) => {
                self.allocated = self.allocated.max(end);
                Ok(true)
            }
            Err(error) => {
                let error = Error::io("allocate space for", &self.path, error);
                if error.is_disk_full() { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Writes entries at the end. They are not durable yet.
    pub(crate) fn write_commits(&mut self, parts: &[IoSlice<'_>], bytes: u64) -> Result<(), Error> {
        self.write(parts, bytes)?;
        self.has_commits = true;
        Ok(())
    }

    /// Writes into space that was taken before.
    fn write(&mut self, parts: &[IoSlice<'_>], bytes: u64) -> Result<(), Error> {
        let end = self.position + bytes;
        assert!(end <= self.allocated, "who writes has found room before");
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
