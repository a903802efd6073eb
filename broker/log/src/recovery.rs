//! What happens between a stop and the next start.
//!
//! First everything is judged, and nothing is changed: a file that is not ours, is newer than us, or
//! is found to be corrupt refuses the start with its name. A sealed file is known by its index, the
//! last one and those without an index are read whole. Then the end of the journal is made
//! certain again (`successor.rs` says in which steps), and only then can anybody read.

mod adoption;
mod continuity;
mod directory;
mod evidence;
mod file_read;
mod file_set;
mod history;
mod losses;
mod new_indexes;
mod placed;
mod plan;
mod scan;
mod segment_read;
mod segments_records;
mod successor;

use std::io;
use std::sync::Arc;

use logmill_model::internal::RemovedRecord;
use logmill_model::{ClusterId, Csn, Epoch, ShardId, Timestamp};

use crate::active_file::Identity;
use crate::ahead::{self, Maker};
use crate::backup;
use crate::file_name::{FOLDER, SEGMENT_FOLDER};
use crate::files::Files;
use crate::known::{Claim, Known};
use crate::stats::add;
use crate::storage::{Storage, StorageLock, SyncSite};
use crate::visible::Visible;
use crate::writer::{Current, Start, Writer};
use crate::{Cleaner, Error, Hole, Journal, Log, Settings};
use directory::{Directory, JournalFile};
use file_set::{Candidates, FileSet};
use history::History;
use plan::Plan;

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// For everybody who reads.
    pub log: Log,
    /// For the one who writes.
    pub journal: Journal,
    /// For the one who wins space back.
    pub cleaner: Cleaner,
    /// What was found.
    pub recovered: Recovered,
}

/// What was found on opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The cluster that the directory belongs to.
    pub cluster: ClusterId,
    /// The shard that it holds.
    pub shard: ShardId,
    /// The number of this start: one higher than that of any before.
    pub epoch: Epoch,
    /// The newest entry; 0 in an empty journal.
    pub last_csn: Csn,
    /// Its time.
    pub last_time: Timestamp,
    /// Whether the last broker ended without closing the journal.
    pub unclean: bool,
    /// Entries that were whole, but not proven durable, and were therefore written again.
    pub superseded_entries: u64,
    /// Bytes that were cut off, and are kept in a `.torn` file beside.
    pub torn_bytes: u64,
    /// Journal files that were read whole: the last one, unless it was closed, and those without an
    /// index.
    pub scanned_files: u64,
    /// Their bytes.
    pub scanned_bytes: u64,
}

/// Opens the log of a data directory, which is then owned by the returned [`Journal`].
///
/// # Errors
/// [`Error::Locked`] when another broker has the directory; [`Error::Corrupt`], [`Error::Missing`],
/// [`Error::NewerFormat`] and [`Error::Foreign`] for files that cannot be served, with nothing
/// changed on disk; [`Error::Io`], [`Error::Sync`].
pub fn open(storage: Arc<dyn Storage>, settings: Settings) -> Result<Opened, Error> {
    open_knowing(storage, settings, &Known::default())
}

/// Opens a log of which something is known from elsewhere.
///
/// # Errors
/// As [`open`]; [`Error::Missing`] as well where the log ends before an entry that is known, and
/// [`Error::ChangedBackup`] where it is a backup that is not whole.
pub fn open_knowing(
    storage: Arc<dyn Storage>,
    settings: Settings,
    known: &Known,
) -> Result<Opened, Error> {
    open_as(storage, settings, known, Missing::Refused)
}

/// Refuses a directory without a journal; `found` is what only a broker with a journal leaves, and is
/// there.
///
/// # Errors
/// [`Error::JournalMissing`]; [`Error::Foreign`] and [`Error::Io`] as [`open`].
pub fn require_journal(storage: &dyn Storage, found: &str) -> Result<(), Error> {
    if directory::has_journal(storage)? {
        return Ok(());
    }
    Err(Error::JournalMissing { found: found.to_owned() })
}

/// What becomes of a start when files are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is refused, unless that was accepted before.
    Refused,
    /// What was in them is lost.
    Accepted,
}

/// As [`open_knowing`].
pub(crate) fn open_as(
    storage: Arc<dyn Storage>,
    settings: Settings,
    known: &Known,
    missing: Missing,
) -> Result<Opened, Error> {
    let lock = own(&*storage)?;
    refuse_half_backup(&*storage)?;
    if missing == Missing::Refused {
        known.refuse_changed_files(&*storage)?;
    }
    let directory = Directory::read(&storage)?;
    let claimed = directory.claimed(&*storage, known);
    let cluster = directory.cluster();
    let Directory { files, headless, segments, blank, stray_indexes, epoch } = directory;
    let unread = blank.clone();
    let plan = Plan::of(files, headless, blank)?;
    let files = Files::new(Arc::clone(&storage), settings.points_cache_bytes);
    let visible = Arc::new(Visible::new(files));
    let set = file_set((&plan, &segments), claimed, missing)?;
    visible.set_starts(set.starts);
    let headless = plan.headless.iter().map(|file| file.path.clone());
    visible.sealed.set_headless(headless.chain(set.gaps.headless_segments()).collect());
    let history = History::read(set.live, plan.headless, &set.gaps, &visible)?;

    // All is judged; from here on, the directory changes.
    make_folders(&*storage)?;
    begin_life(&*storage)?;
    ahead::clear(&*storage)?;
    let torn_bytes = match &history.tail {
        Some(tail) => {
            successor::give_back(&*storage, tail)?;
            successor::keep_torn(&*storage, tail)?
        }
        None => 0,
    };
    successor::keep_headless(&*storage, &unread)?;
    let identity = successor::identity(cluster, epoch)?;
    let current = successor::make(&*storage, &settings, identity, &history, &visible)?;
    history.losses.move_ends(&visible);
    let dead = plan.dead.into_iter().filter(|path| !set.gaps.is_of_missing(path));
    let dead: Vec<String> = dead.chain(set.dead).collect();
    successor::end_old_files(&*storage, &history, &dead, &stray_indexes)?;
    visible.accept(set.gaps.accepted);
    visible.open_holes().iter().for_each(Hole::report);
    visible.set_durable_csn(history.newest.csn);
    add(&visible.counters.journal_files, history.files + 1);
    add(&visible.counters.journal_bytes, history.bytes + current.file.position());

    let recovered = recovered(identity, &history, torn_bytes);
    if torn_bytes > 0 {
        tracing::warn!(
            torn_bytes,
            "the journal ended with bytes that are no whole entry, which nobody was told of as durable; they were cut off and are kept in a file that ends in .torn"
        );
    }
    if recovered.unclean {
        tracing::warn!(
            last_csn = recovered.last_csn.0,
            superseded_entries = recovered.superseded_entries,
            torn_bytes,
            scanned_files = recovered.scanned_files,
            "the last broker did not close its journal; what was not proven durable was written again"
        );
    }
    let removed = set.gaps.removed;
    let parts = Parts { storage, settings, lock, visible, current, identity, history, removed };
    start(parts, recovered)
}

/// What an opening of the log would find. Changes nothing.
pub(crate) fn judge(
    storage: &Arc<dyn Storage>,
    known: &Known,
    missing: Missing,
) -> Result<Log, Error> {
    refuse_half_backup(&**storage)?;
    let directory = Directory::read(storage)?;
    let claimed = directory.claimed(&**storage, known);
    let Directory { files, headless, segments, blank, .. } = directory;
    let plan = Plan::of(files, headless, blank)?;
    let visible = Visible::new(Files::new(Arc::clone(storage), 0));
    let set = file_set((&plan, &segments), claimed, missing)?;
    visible.set_starts(set.starts);
    let history = History::read(set.live, plan.headless, &set.gaps, &visible)?;
    history.losses.move_ends(&visible);
    visible.accept(set.gaps.accepted);
    Ok(Log::new(Arc::new(visible)))
}

fn file_set(
    (plan, segments): (&Plan, &[JournalFile]),
    claimed: Claim,
    missing: Missing,
) -> Result<FileSet, Error> {
    let Plan { live: journal, headless, dead: blank } = plan;
    let candidates = Candidates { journal, segments, headless, blank };
    let mut set = FileSet::of(&candidates, &segments_records::read)?;
    set.gaps.claimed = claimed;
    set.gaps.accept_all = missing == Missing::Accepted;
    Ok(set)
}

struct Parts {
    storage: Arc<dyn Storage>,
    settings: Settings,
    lock: Box<dyn StorageLock>,
    visible: Arc<Visible>,
    current: Current,
    identity: Identity,
    history: History,
    removed: RemovedRecord,
}

fn start(parts: Parts, recovered: Recovered) -> Result<Opened, Error> {
    let Parts { storage, settings, lock, visible, current, identity, history, removed } = parts;
    let log = Log::new(Arc::clone(&visible));
    let cleaner = Cleaner::new(Arc::clone(&visible), identity, &settings, removed);
    let newest = history.newest;
    let proven = history.tail.map_or(newest.csn, |tail| tail.proven.csn);
    let maker = Maker::start(Arc::clone(&storage), settings.clone())?;
    let writer = Writer::new(Start {
        storage,
        settings,
        visible,
        identity,
        current,
        newest,
        proven,
        maker,
        lock,
    });
    let journal = Journal::start(writer, newest.csn)?;
    Ok(Opened { log, journal, cleaner, recovered })
}

fn recovered(identity: Identity, history: &History, torn_bytes: u64) -> Recovered {
    let Identity { cluster, shard, epoch } = identity;
    Recovered {
        cluster,
        shard,
        epoch,
        last_csn: history.newest.csn,
        last_time: history.newest.time,
        unclean: history.lost_tail || history.tail.as_ref().is_some_and(|tail| !tail.stopped),
        superseded_entries: history.tail.as_ref().map_or(0, |tail| tail.unproven.len() as u64),
        torn_bytes,
        scanned_files: history.scanned_files,
        scanned_bytes: history.scanned_bytes,
    }
}

/// A backup is opened only when it is whole.
fn refuse_half_backup(storage: &dyn Storage) -> Result<(), Error> {
    if backup::is_incomplete(storage)? {
        return Err(Error::IncompleteBackup { place: storage.place() });
    }
    Ok(())
}

/// A backup that is opened is a backup no more: else a later one could be written over what a
/// broker has added. What waited to become part of it never will.
fn begin_life(storage: &dyn Storage) -> Result<(), Error> {
    match storage.remove(backup::MANIFEST) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", backup::MANIFEST, error));
        }
        _ => {}
    }
    backup::clear_parts(storage)
}

/// The cluster of a directory's files, and one of them; None when it has none.
pub(crate) fn cluster_of(storage: &Arc<dyn Storage>) -> Result<Option<(String, ClusterId)>, Error> {
    let Directory { files, .. } = Directory::read(storage)?;
    Ok(files.into_iter().next().map(|file| (file.path, file.header.cluster)))
}

fn own(storage: &dyn Storage) -> Result<Box<dyn StorageLock>, Error> {
    storage.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { place: storage.place() },
        _ => Error::io("take the lock of", &storage.place(), error),
    })
}

fn make_folders(storage: &dyn Storage) -> Result<(), Error> {
    for folder in [FOLDER, SEGMENT_FOLDER] {
        storage.make_folder(folder).map_err(|error| Error::io("make", folder, error))?;
    }
    storage
        .sync_folder("", SyncSite::ROOT_FOLDER)
        .map_err(|error| Error::sync(SyncSite::ROOT_FOLDER, &storage.place(), error))
}
