//! What the internal topics say, in one file, so that a start need not read years of them.
//!
//! The state that the engine keeps in memory is a fold over internal topics. Now and then, and at
//! a shutdown, it is written to `views/state`: for each of these topics the newest record of each
//! key, the offset up to which that is so, and the identity of the entry before that offset. A
//! start takes it in and reads the topics from there on.
//!
//! **A snapshot is never the truth.** It is believed only if it is whole, of this cluster, and the
//! log has the very entry that it stands at: else the log has lost its end (and the snapshot, which has
//! durable entries alone, is ahead of it: acknowledged records are gone, which is told as an error), or the
//! entry's file was cleaned since (and records that the snapshot
//! does not know of may be gone, tombstones above all). A snapshot that is not believed, or can't be
//! written since the disk is full, costs time at the next start and nothing else. So it needs no
//! sync either.

mod keeper;
mod layout;

use std::io;

use bytes::{Bytes, BytesMut};
use logmill_log::storage::Storage;
use logmill_log::{EntryId, Log};
use logmill_model::internal::CatalogRecord;
use logmill_model::{ClusterId, Offset, PartitionId, Record, RecordBatch, RecordRef};

use crate::Error;
use crate::batches::batches;
use crate::views::Views;

pub(crate) use keeper::Keeper;
pub(crate) use layout::{PartitionSnapshot, Snapshot};

const FOLDER: &str = "views";
const FILE: &str = "views/state";
const NEW_FILE: &str = "views/state.new";
/// A snapshot that is larger than this is not read: something is wrong with it.
const BYTES_MAX: u64 = 1 << 30;

/// Refuses a directory that has a snapshot and no journal: half of it was copied.
///
/// # Errors
/// [`Error::Log`].
pub fn require_journal(storage: &dyn Storage) -> Result<(), Error> {
    match storage.open(FILE) {
        Ok(_) => Ok(logmill_log::require_journal(storage, FILE)?),
        // What is wrong with it matters to nobody.
        Err(_) => Ok(()),
    }
}

/// The snapshot of a log that was just opened, if there is one to be believed.
pub(crate) fn load(storage: &dyn Storage, log: &Log, cluster: ClusterId) -> Option<Snapshot> {
    let bytes = match read(storage) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, path = FILE, "the snapshot can't be read and is made anew");
            return None;
        }
    };
    let snapshot = Snapshot::decode(bytes).filter(|it| it.cluster == cluster);
    let entries = snapshot.iter().flat_map(|it| &it.partitions).filter_map(|it| it.newest);
    let newest = entries.map(|entry| entry.csn).max();
    let believed =
        snapshot.filter(|it| it.partitions.iter().all(|partition| stands(log, partition)));
    match (&believed, newest) {
        (Some(_), _) => {}
        (None, Some(stands_at)) if stands_at > log.durable_csn() => tracing::error!(
            path = FILE,
            stands_at = stands_at.0,
            log_ends_at = log.durable_csn().0,
            "entries that were durable are gone from the end of the log, and what was acknowledged with them; stop the broker and bring the missing files back, or restore from a backup: it goes on without them, and gives their offsets to other records"
        ),
        _ => tracing::info!(
            path = FILE,
            "the snapshot is not of this log's history and is made anew"
        ),
    }
    believed
}

/// What the snapshot of a directory says of topics and deployments, if it has one that is whole: for who
/// looks into the directory, to whom it may name what nothing else does.
#[must_use]
pub fn snapshot_catalog(storage: &dyn Storage) -> Vec<CatalogRecord> {
    let snapshot = read(storage).ok().and_then(Snapshot::decode);
    let partitions = snapshot.into_iter().flat_map(|it| it.partitions);
    let catalog = partitions.filter(|it| it.partition == PartitionId::CATALOG);
    let batches: Vec<RecordBatch> = catalog.flat_map(|it| it.batches).collect();
    let plain = batches.iter().filter_map(RecordBatch::plain);
    let decoded = |record: RecordRef<'_>| CatalogRecord::decode(record.key, record.value).ok();
    plain.flat_map(|records| records.iter().filter_map(decoded).collect::<Vec<_>>()).collect()
}

fn read(storage: &dyn Storage) -> io::Result<Bytes> {
    let file = storage.open(FILE)?;
    let length = file.bytes()?.min(BYTES_MAX);
    let mut bytes = BytesMut::zeroed(usize::try_from(length).expect("a GiB fits"));
    let filled = file.read_at(&mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes.freeze())
}

/// Whether the log has the entry that this part of a snapshot stands at.
fn stands(log: &Log, partition: &PartitionSnapshot) -> bool {
    match (partition.newest, before(partition.next)) {
        (None, None) => partition.batches.is_empty(),
        (Some(entry), Some(last)) => {
            matches!(log.entry_of(partition.partition, last), Ok(Some(found)) if found.agrees_with(entry))
        }
        _ => false,
    }
}

fn before(offset: Offset) -> Option<Offset> {
    offset.0.checked_sub(1).map(Offset)
}

/// The durable state now. None when the log can't say at which entries it stands, since those have
/// been cleaned away: there is a newer state soon.
pub(crate) fn capture(
    views: &Views,
    log: &Log,
    cluster: ClusterId,
) -> Result<Option<Snapshot>, Error> {
    let catalog = views.catalog();
    let records: Vec<Record> = catalog.records().map(|record| record.encode()).collect();
    let Some(catalog) = part(log, PartitionId::CATALOG, catalog.end(), &records)? else {
        return Ok(None);
    };
    let cursors = views.all_cursors();
    let records: Vec<Record> = cursors.records().map(|record| record.encode()).collect();
    let cursors = part(log, PartitionId::CURSORS, cursors.end, &records)?;
    Ok(cursors.map(|cursors| Snapshot { cluster, partitions: vec![catalog, cursors] }))
}

fn part(
    log: &Log,
    partition: PartitionId,
    next: Offset,
    records: &[Record],
) -> Result<Option<PartitionSnapshot>, Error> {
    let newest: Option<EntryId> = match before(next) {
        Some(last) => match log.entry_of(partition, last)? {
            None => return Ok(None),
            found => found,
        },
        None => None,
    };
    Ok(Some(PartitionSnapshot { partition, newest, next, batches: batches(records)? }))
}

/// Puts a snapshot in the place of the one before. Until the rename the old one is whole.
pub(crate) fn write(storage: &dyn Storage, snapshot: &Snapshot) -> io::Result<()> {
    storage.make_folder(FOLDER)?;
    match storage.remove(NEW_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(NEW_FILE)?;
    file.write_at(&[io::IoSlice::new(&snapshot.encode())], 0)?;
    storage.rename(NEW_FILE, FILE)
}
