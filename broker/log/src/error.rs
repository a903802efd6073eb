//! What can go wrong with the log.

use std::io;
use std::sync::Arc;

use logmill_model::{Csn, Offset, PartitionId};

use crate::Hole;
use crate::storage::SyncSite;

/// Why the log could not be opened, written or read. Cheap to clone, so that one failure can be
/// told to everybody whom it concerns.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process has the data directory.
    #[error("{place} is owned by another broker; stop it, or use another data directory")]
    Locked {
        /// The data directory.
        place: String,
    },
    /// The storage refused an operation. Where it was a write of a running journal, the broker must
    /// stop: what is on disk is known only after a new start.
    #[error("cannot {action} {path}: {source}{}", advice(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// A sync failed. The broker must stop, and nobody may sync again: the page cache may call
    /// clean what the disk does not have.
    #[error(
        "cannot make the {site} durable in {path}: {source}{}; stop the broker, look after the disk, and start again", advice(.source)
    )]
    Sync {
        /// What was to become durable.
        site: SyncSite,
        /// The file or folder.
        path: String,
        /// What the storage said.
        source: Arc<io::Error>,
    },
    /// Bytes that were durable are not what was written. Nothing was changed on disk.
    #[error(
        "journal file {path} is corrupt at byte {position}: {what}; keep a copy of the data directory and restore it from a backup"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
        /// What is wrong there.
        what: String,
    },
    /// Offsets that were asked for are lost: what held them is not what was written.
    #[error(
        "{partition} is corrupt from offset {from} to before {to}, at byte {position} of {path}; read on from {to}, or restore from a backup"
    )]
    CorruptRange {
        /// The partition.
        partition: PartitionId,
        /// The first offset that is lost.
        from: Offset,
        /// The first one that is not.
        to: Offset,
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
    },
    /// A backup came to what is corrupt, and nobody has accepted that as lost.
    #[error(
        "{path} is corrupt at byte {position}: {what}; a backup has only losses that were accepted: restore the data directory from an older backup, or stop the broker, run `logmill inspect repair --accept-loss` on the data directory, and back up again"
    )]
    NotAccepted {
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file was written by a newer Logmill. Nothing was changed on disk.
    #[error(
        "journal file {path} has format version {version}, this broker reads up to {newest}; start a newer broker"
    )]
    NewerFormat {
        /// The file.
        path: String,
        /// Its version.
        version: u8,
        /// The newest version that this broker reads.
        newest: u8,
    },
    /// A file is no part of this journal: of another cluster, left over from a backup, or renamed.
    /// Nothing was changed on disk.
    #[error("journal file {path} does not belong to this journal: {what}; move it elsewhere")]
    Foreign {
        /// The file.
        path: String,
        /// Why not.
        what: String,
    },
    /// Entries are missing between those of two files, or behind a file that is not the last one.
    /// Nothing was changed on disk.
    #[error(
        "{} are missing {place} {path}{}: a journal file is gone or cut; bring it back, or restore the data directory from a backup; `logmill inspect verify` shows what is lost, and `logmill inspect repair --accept-loss` goes on without it", missing(.first, .last), though(.told_by)
    )]
    Missing {
        /// The first entry that is missing.
        first: Csn,
        /// The last one, if that is known.
        last: Option<Csn>,
        /// Where they should be: `before` or `after` the file.
        place: &'static str,
        /// The file.
        path: String,
        /// What tells of them, as the words behind "though"; empty where the next file does.
        told_by: String,
    },
    /// What was asked for lies before the start of the partition.
    #[error("offset {asked} is out of range: {partition} has {start} to {end}")]
    OutOfRange {
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        asked: Offset,
        /// The first offset that is there.
        start: Offset,
        /// The durable end.
        end: Offset,
    },
    /// A segment is gone. Nothing was changed on disk.
    #[error(
        "segment {file} is missing, which holds entries {first} to {last}; put it back, or restore the data directory from a backup; `logmill inspect verify` shows what is lost, and `logmill inspect repair --accept-loss` goes on without it"
    )]
    SegmentMissing {
        /// Its name.
        file: String,
        /// The first entry that it was made of.
        first: Csn,
        /// The last one.
        last: Csn,
    },
    /// There is no journal, but what only a broker with a journal leaves. Nothing was changed on disk.
    #[error(
        "no journal file is there, but {found} is: the data directory is not whole; restore it from a backup"
    )]
    JournalMissing {
        /// What is there.
        found: String,
    },
    /// The directory is a backup that was not finished. Nothing was changed on disk.
    #[error(
        "{place} holds a backup that is not whole; run `logmill backup` to it again, or use another backup"
    )]
    IncompleteBackup {
        /// The directory.
        place: String,
    },
    /// The directory is a backup, and not as that was when it was made. Nothing was changed on disk.
    #[error(
        "{path} has {bytes} of the {expected} bytes that backup.json says: this copy of the backup is not whole; copy it again, or use another backup; `logmill inspect verify` shows what is lost, and `logmill inspect repair --accept-loss` goes on without it"
    )]
    ChangedBackup {
        /// The file.
        path: String,
        /// Its length; 0 where it is not there.
        bytes: u64,
        /// What its length was.
        expected: u64,
    },
    /// Work was ended before it was done. Nothing has changed.
    #[error("the work was interrupted; what is done so far is kept or made anew")]
    Interrupted,
}

fn missing(first: &Csn, last: &Option<Csn>) -> String {
    match last {
        Some(last) => format!("entries {first} to {last}"),
        None => format!("entries from {first} on"),
    }
}

fn though(told_by: &str) -> String {
    if told_by.is_empty() { String::new() } else { format!(", though {told_by}") }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn sync(site: SyncSite, path: &str, source: io::Error) -> Self {
        Self::Sync { site, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &str, position: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), position, what: what.into() }
    }

    pub(crate) fn not_accepted(Hole { path, position, what, .. }: Hole) -> Self {
        Self::NotAccepted { path, position, what }
    }

    pub(crate) fn foreign(path: &str, what: impl Into<String>) -> Self {
        Self::Foreign { path: path.to_owned(), what: what.into() }
    }

    /// Whether what was written and durable can't be read any more.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::CorruptRange { .. } | Self::NotAccepted { .. })
    }

    /// Whether a file of the log is gone. Its loss can be accepted.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::SegmentMissing { .. } | Self::ChangedBackup { .. }
        )
    }

    /// Whether the storage is full: space must be won before a new start helps.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } | Self::Sync { source, .. } if is_full(source))
    }
}

/// Whether a disk, or the part of it that this user may have, is full.
fn is_full(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        _ if is_full(source) => "; free some space and start again",
        io::ErrorKind::PermissionDenied => "; give the broker's user access to it",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable or use another data directory",
        io::ErrorKind::NotADirectory => "; a file is where a folder should be: move it elsewhere",
        io::ErrorKind::IsADirectory => "; a folder is where a file should be: move it elsewhere",
        _ => "",
    }
}

/// The journal takes nothing any more: it has failed, or was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct Stopped;
