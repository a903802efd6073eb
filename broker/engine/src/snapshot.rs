//! What the internal topics say, in one file, so that a start need not read years of them.
//!
//! The state that the engine keeps in memory is a fold over internal topics. Now and then, and at
//! a shutdown, it is written to `views/state`: for each of these topics the newest record of each
//! key, the offset up to which that is so, and the identity of the entry before that offset. A
//! start takes it in and reads the topics from there on.
//!
//! **A snapshot is never the truth.** It is believed only if it is whole, of this cluster, and the
//! log has the very entry that it stands at: else the entry's file was cleaned since, and records that
//! the snapshot does not know of may be gone, tombstones above all. A log that ends before that entry
//! has lost what was acknowledged, since a snapshot has durable entries alone: it is refused
//! (`known.rs`). A snapshot that is not believed, or can't be written since the disk is full, costs
//! time at the next start and nothing else. So it needs no sync either.

mod keeper;
mod layout;

use std::io;

use bytes::{Bytes, BytesMut};
use logmill_log::storage::Storage;
use logmill_log::{EntryId, KnownEntry, Log};
use logmill_model::internal::CatalogRecord;
use logmill_model::{ClusterId, Offset, PartitionId, Record, RecordBatch, RecordRef};

use crate::Error;
use crate::batches::batches;
use crate::views::Views;

pub(crate) use keeper::Keeper;
pub(crate) use layout::{PartitionSnapshot, Snapshot};

const FOLDER: &str = "views";
pub(crate) const FILE: &str = "views/state";
const NEW_FILE: &str = "views/state.new";
/// A snapshot that is larger than this is not read: something is wrong with it.
const BYTES_MAX: u64 = 1 << 30;

/// The snapshot of a directory, if there is one that is whole.
pub(crate) fn read_whole(storage: &dyn Storage) -> io::Result<Option<Snapshot>> {
    match read(storage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Snapshot::decode(bytes?)),
    }
}

/// That of a directory on which a broker starts.
pub(crate) fn load(storage: &dyn Storage) -> Option<Snapshot> {
    read_whole(storage).unwrap_or_else(|error| {
        tracing::warn!(%error, path = FILE, "the snapshot can't be read and is made anew");
        None
    })
}

impl Snapshot {
    /// Whether it may be believed of a log that was just opened.
    pub(crate) fn is_of(&self, log: &Log, cluster: ClusterId) -> bool {
        let is_of = self.cluster == cluster && self.partitions.iter().all(|it| stands(log, it));
        if !is_of {
            tracing::info!(
                path = FILE,
                "the snapshot is not of this log's history and is made anew"
            );
        }
        is_of
    }

    /// What it says of topics and deployments.
    pub(crate) fn catalog(&self) -> Vec<CatalogRecord> {
        let catalog = self.partitions.iter().filter(|it| it.partition == PartitionId::CATALOG);
        let plain = catalog.flat_map(|it| &it.batches).filter_map(RecordBatch::plain);
        let decoded = |record: RecordRef<'_>| CatalogRecord::decode(record.key, record.value).ok();
        plain.flat_map(|records| records.iter().filter_map(decoded).collect::<Vec<_>>()).collect()
    }

    /// The newest entry that it stands at.
    pub(crate) fn known_entry(&self) -> Option<KnownEntry> {
        let entries = self.partitions.iter().filter_map(|it| it.newest);
        let csn = entries.map(|entry| entry.csn).max()?;
        let told_by = format!(
            "{FILE} was made behind entry {csn} (remove it if the journal is older on purpose)"
        );
        Some(KnownEntry { cluster: self.cluster, csn, told_by })
    }
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
