//! Makes the file that the new start writes to, and ends the old one behind what is proven.
//!
//! After an unclean stop the page cache is not believed: what nothing proves durable is written
//! again. Each step leaves a directory from which a next start recovers the same entries:
//!
//! 1. what is cut off is kept beside, durably;
//! 2. a new file says that it supersedes what follows the proven entries, and gets the unproven
//!    ones, durably. Until the next step, the old file is the source;
//! 3. the completion record, durably. From here on, the new file is the source. The record proves
//!    nothing about the copies before it: if the next start finds nothing behind it, it copies them
//!    again, since the record may have been in the page cache only;
//! 4. only then is the old file sealed behind its proven entries, and files that hold nothing go.

use std::io::IoSlice;

use bytes::Bytes;
use logmill_model::{ClusterId, Epoch};

use super::directory::{JournalFile, SHARD};
use super::history::{History, Tail};
use super::placed::Placed;
use crate::active_file::{ActiveFile, Beginning, Identity, seal_superseded};
use crate::ahead::AheadFile;
use crate::entry::{ENTRY_HEADER_BYTES, EntryHeader, Kind, Row};
use crate::file_name::{FOLDER, SUFFIX, TORN_SUFFIX};
use crate::index::EntryPlace;
use crate::layout::array_at;
use crate::storage::{Storage, SyncSite};
use crate::visible::Visible;
use crate::window::Window;
use crate::writer::Current;
use crate::{Error, Settings, index_file};

/// What one write of the torn bytes takes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Gives back what the tail has of space and never used, zeros alone: on a disk that is full, the
/// new file needs it.
pub(super) fn give_back(storage: &dyn Storage, tail: &Tail) -> Result<(), Error> {
    if tail.stopped {
        return Ok(());
    }
    let path = &tail.file.path;
    let end = tail.file.window()?.zeros_from(tail.whole_end)?;
    let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
    let bytes = file.bytes().map_err(|error| Error::io("look at", path, error))?;
    if end < bytes {
        file.truncate(end).map_err(|error| Error::io("truncate", path, error))?;
    }
    Ok(())
}

/// Keeps what follows the whole entries of the tail in a file beside it; returns how much it is.
pub(super) fn keep_torn(storage: &dyn Storage, tail: &Tail) -> Result<u64, Error> {
    if tail.stopped {
        return Ok(0);
    }
    let (bytes, _) = keep_beside(storage, &tail.file.path, tail.file.window()?, tail.whole_end)?;
    Ok(bytes)
}

/// Keeps what is in files without a header beside them, before they go: what the power cut of it, as a
/// rule, but it may be somebody's.
pub(super) fn keep_headless(storage: &dyn Storage, blank: &[String]) -> Result<(), Error> {
    for path in blank.iter().filter(|path| path.ends_with(SUFFIX)) {
        let file = storage.open(path).map_err(|error| Error::io("open", path, error))?;
        let (bytes, kept) = keep_beside(storage, path, Window::new(path, file), 0)?;
        if bytes > 0 {
            tracing::warn!(
                path,
                bytes,
                kept,
                "the file has the name of a journal file and no header of one: it was cut off as it was made, or is none of ours; what is in it is kept beside"
            );
        }
    }
    Ok(())
}

/// Keeps what a file holds from a position on in a file beside it, durably; returns how much that is, and
/// where.
fn keep_beside(
    storage: &dyn Storage,
    path: &str,
    mut window: Window,
    from: u64,
) -> Result<(u64, String), Error> {
    let end = window.zeros_from(from)?;
    let path = format!("{path}{TORN_SUFFIX}");
    if end == from {
        return Ok((0, path));
    }
    let file = match storage.create(&path) {
        // A recovery that did not get to its end has kept the same bytes.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            remove(storage, &path)?;
            storage.create(&path)
        }
        other => other,
    };
    let file = file.map_err(|error| Error::io("create", &path, error))?;
    let mut position = from;
    while position < end {
        let bytes = window.at(position, CHUNK_BYTES)?;
        let rest = usize::try_from(end - position).unwrap_or(usize::MAX);
        let bytes = bytes.slice(..bytes.len().min(rest));
        file.write_at(&[IoSlice::new(&bytes)], position - from)
            .map_err(|error| Error::io("write", &path, error))?;
        position += bytes.len() as u64;
    }
    // Its name becomes durable with that of the new file, before anything is cut.
    file.sync(SyncSite::TORN).map_err(|error| Error::sync(SyncSite::TORN, &path, error))?;
    Ok((end - from, path))
}

/// Makes the new file, with copies of the unproven entries, and shows those to readers.
pub(super) fn make(
    storage: &dyn Storage,
    settings: &Settings,
    identity: Identity,
    history: &History,
    visible: &Visible,
) -> Result<Current, Error> {
    let proven = history.proven();
    let first = proven.csn.next();
    let unproven = history.tail.iter().flat_map(|tail| &tail.unproven);
    let least = ActiveFile::least_bytes(unproven.map(|placed| u64::from(placed.length)).sum());
    let ahead = AheadFile::make_first(storage, settings, least)?;
    let beginning = Beginning { first, supersedes: Some(first) };
    let file = ActiveFile::begin(storage, ahead, identity, beginning)?;
    let mut current = Current::new(file, proven, visible);
    let mut positions = Vec::new();
    if let Some(tail) = &history.tail {
        let mut from = tail.file.window()?;
        for placed in &tail.unproven {
            let file = &mut current.file;
            positions.push(file.position());
            let (header, bytes) = read_whole(&tail.file, &mut from, placed)?;
            let header = EntryHeader { durable_csn: proven.csn, ..header };
            let (head, _) = header.encode(file.salt());
            let parts = [IoSlice::new(&head), IoSlice::new(&bytes[ENTRY_HEADER_BYTES..])];
            file.write_commits(&parts, bytes.len() as u64)?;
        }
    }
    if !positions.is_empty() {
        current.file.sync(SyncSite::COPIES)?;
    }
    current.file.write_mark(Kind::Recovered, history.newest, proven.csn, SyncSite::COMPLETION)?;
    let unproven = history.tail.iter().flat_map(|tail| &tail.unproven);
    for (placed, position) in unproven.zip(positions) {
        for Row { partition, envelope } in &placed.rows {
            history.losses.find_gap(*partition, envelope.base_offset, visible);
        }
        show_copy(&mut current, EntryPlace::new(position, placed.length), placed, visible)?;
    }
    Ok(current)
}

/// Shows readers a commit that was copied to `place`.
fn show_copy(
    current: &mut Current,
    place: EntryPlace,
    placed: &Placed,
    visible: &Visible,
) -> Result<(), Error> {
    for Row { partition, envelope } in &placed.rows {
        let state = visible.partition_or_new(*partition);
        let (base, end) = (envelope.base_offset, state.end());
        if base < end {
            let what = format!("{partition} ends at offset {end}, but a batch begins at {base}");
            return Err(Error::corrupt(&current.shown.path, u64::from(place.position), what));
        }
        current.add(*partition, place, envelope);
        state.push_place(&current.shown, place, envelope);
    }
    Ok(())
}

/// The header and all bytes of an entry that was read before. A copy of it is the same but for
/// what binds its header to its file.
fn read_whole(
    file: &JournalFile,
    window: &mut Window,
    placed: &Placed,
) -> Result<(EntryHeader, Bytes), Error> {
    let length = placed.length as usize;
    let bytes = window.at(placed.position, length)?;
    if bytes.len() >= length
        && let Ok((header, entry_crc)) = EntryHeader::decode(&array_at(&bytes, 0), file.header.salt)
        && entry_crc == placed.newest.entry_crc
    {
        return Ok((header, bytes.slice(..length)));
    }
    Err(Error::corrupt(&file.path, placed.position, "the entry changed while it was copied"))
}

/// Ends the old files, now that the new one has all that follows.
pub(super) fn end_old_files(
    storage: &dyn Storage,
    history: &History,
    dead: &[String],
    stray_indexes: &[String],
) -> Result<(), Error> {
    for old in &history.unsealed {
        seal_superseded(storage, &old.file.path, &old.file.header, old.newest, old.position)?;
    }
    if let Some(tail) = &history.tail
        && tail.has_proven
        && !tail.stopped
    {
        let JournalFile { path, header, .. } = &tail.file;
        seal_superseded(storage, path, header, tail.proven, tail.proven_end)?;
    }
    history.new_indexes.write(storage);
    for path in stray_indexes {
        // One that stays is tried again at the next start.
        let _ = storage.remove(path);
    }
    // One that a power cut brings back is as dead or empty as before, and goes with the next start.
    for path in dead.iter().chain(&history.empty) {
        index_file::remove(storage, path);
        remove(storage, path)?;
    }
    Ok(())
}

fn remove(storage: &dyn Storage, path: &str) -> Result<(), Error> {
    storage.remove(path).map_err(|error| Error::io("remove", path, error))
}

/// Who this start is: the cluster of the files, or a new one, and an epoch above all others.
pub(super) fn identity(cluster: Option<ClusterId>, newest_epoch: Epoch) -> Result<Identity, Error> {
    let cluster = match cluster {
        Some(cluster) => cluster,
        None => {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(|error| {
                let error = std::io::Error::other(error.to_string());
                Error::io("draw random bytes for", FOLDER, error)
            })?;
            ClusterId(id)
        }
    };
    Ok(Identity { cluster, shard: SHARD, epoch: newest_epoch.next() })
}
