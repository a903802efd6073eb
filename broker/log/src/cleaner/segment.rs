//! Writes a segment: blocks of batches sorted by partition, what they cover, and the seal.
//!
//! The file has its name from the start. It counts only once its record in `_segments` is durable,
//! and that is proposed only when [`SegmentWriter::finish`] has returned: a file that a crash leaves
//! before that is garbage, and the next start removes it.

use std::io::IoSlice;
use std::sync::Arc;

use logmill_model::{PartitionId, limits};

use super::Throttle;
use crate::active_file::{Identity, Newest, mark};
use crate::coverage::Coverage;
use crate::entry::{
    ALIGNMENT, ENTRY_HEADER_BYTES, EntryHeader, Kind, ROW_BYTES, Row, SealReason, entry_bytes,
};
use crate::file_header::{FileHeader, FileKind, Salt};
use crate::file_name::{SEGMENT_FOLDER, SegmentName};
use crate::index::{EntryPlace, IndexBuilder, Seal};
use crate::storage::{Storage, StorageFile, SyncSite};
use crate::{Error, StoredBatch};

/// How much of one partition is gathered in one block, unless a single batch is larger.
const BLOCK_BYTES: usize = 256 * 1024;
/// How much is written between two syncs: what a sync finds to write is what others wait for.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

const _: () = assert!(BLOCK_BYTES + ROW_BYTES + limits::BATCH_BYTES_MAX < limits::COMMIT_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES / ROW_BYTES < limits::APPENDS_MAX);

/// What a segment is made of, and who makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) identity: Identity,
    pub(super) name: SegmentName,
    /// The entry CRC of the commit before the first of the files that it is made from.
    pub(super) prev_crc: u32,
    /// The last commit of those files.
    pub(super) newest: Newest,
}

/// A segment that is being written.
pub(super) struct SegmentWriter<'a> {
    storage: &'a dyn Storage,
    throttle: &'a Throttle,
    path: String,
    file: Arc<dyn StorageFile>,
    header: FileHeader,
    origin: Origin,
    position: u64,
    synced: u64,
    block: Block,
    index: IndexBuilder,
}

/// The batches of the block that is gathered.
#[derive(Default)]
struct Block {
    rows: Vec<Row>,
    batches: Vec<u8>,
}

/// A segment that is whole and durable.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: String,
    pub(super) header: FileHeader,
    pub(super) seal: Seal,
    pub(super) index: IndexBuilder,
}

impl<'a> SegmentWriter<'a> {
    /// Makes the file.
    pub(super) fn create(
        storage: &'a dyn Storage,
        origin: Origin,
        throttle: &'a Throttle,
    ) -> Result<Self, Error> {
        let path = origin.name.path();
        let Identity { cluster, shard, epoch } = origin.identity;
        let header = FileHeader {
            kind: FileKind::Segment,
            shard,
            cluster,
            salt: Salt::random(&path)?,
            first: origin.name.first,
            epoch,
            supersedes: None,
        };
        let file = storage.create(&path).map_err(|error| Error::io("create", &path, error))?;
        let (block, index) = (Block::default(), IndexBuilder::default());
        let mut writer = Self {
            storage,
            throttle,
            path,
            file,
            header,
            origin,
            position: 0,
            synced: 0,
            block,
            index,
        };
        writer.write(&[&header.encode()])?;
        Ok(writer)
    }

    /// Adds a batch. Partitions come one after another, and the batches of one in their order.
    pub(super) fn push(&mut self, stored: &StoredBatch) -> Result<(), Error> {
        let StoredBatch { partition, envelope, batch } = stored;
        if self.block.is_full() || self.block.partition() != Some(*partition) {
            self.flush()?;
        }
        self.block.rows.push(Row { partition: *partition, envelope: *envelope });
        self.block.batches.extend_from_slice(batch.bytes());
        Ok(())
    }

    /// Ends the file: when this returns, it is whole and durable, and so is its name.
    pub(super) fn finish(mut self, coverage: &[Coverage]) -> Result<Written, Error> {
        self.flush()?;
        for part in coverage.chunks(limits::APPENDS_MAX) {
            let mut table = Vec::with_capacity(part.len() * ROW_BYTES);
            part.iter().for_each(|it| it.encode(&mut table));
            self.write_entry(Kind::Coverage, &table, &[])?;
            part.iter().for_each(|it| self.index.cover(it));
        }
        let newest = self.origin.newest;
        let reason = SealReason::Cleaned;
        self.write(&[&mark(Kind::Seal(reason), newest, newest.csn, &self.header)])?;
        self.sync()?;
        self.storage
            .sync_folder(SEGMENT_FOLDER, SyncSite::SEGMENT_FOLDER)
            .map_err(|error| Error::sync(SyncSite::SEGMENT_FOLDER, SEGMENT_FOLDER, error))?;
        let prev_crc = self.origin.prev_crc;
        let seal = Seal { reason, prev_crc, newest, end: self.position };
        Ok(Written { path: self.path, header: self.header, seal, index: self.index })
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.block.rows.is_empty() {
            return Ok(());
        }
        let Block { mut rows, mut batches } = std::mem::take(&mut self.block);
        let mut table = Vec::with_capacity(rows.len() * ROW_BYTES);
        rows.iter().for_each(|row| row.encode(&mut table));
        let place = self.write_entry(Kind::Block, &table, &batches)?;
        rows.iter().for_each(|row| self.index.add(row.partition, place, &row.envelope));
        rows.clear();
        batches.clear();
        self.block = Block { rows, batches };
        Ok(())
    }

    fn write_entry(
        &mut self,
        kind: Kind,
        table: &[u8],
        batches: &[u8],
    ) -> Result<EntryPlace, Error> {
        let Origin { prev_crc, newest, .. } = self.origin;
        let appends = table.len() / ROW_BYTES;
        let bytes = entry_bytes(appends, batches.len());
        let header = EntryHeader {
            kind,
            shard: self.header.shard,
            prev_crc,
            length: u32::try_from(bytes).expect("at most COMMIT_BYTES_MAX"),
            appends: u32::try_from(appends).expect("at most APPENDS_MAX"),
            csn: newest.csn,
            epoch: self.header.epoch,
            time: newest.time,
            durable_csn: newest.csn,
            table_crc: crc32c::crc32c(table),
        };
        let place = EntryPlace::new(self.position, header.length);
        let (head, _) = header.encode(self.header.salt);
        let padding = bytes - ENTRY_HEADER_BYTES - table.len() - batches.len();
        self.write(&[&head, table, batches, &[0; ALIGNMENT][..padding]])?;
        Ok(place)
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.throttle.take(bytes)?;
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        self.file
            .write_at(&slices, self.position)
            .map_err(|error| Error::io("write", &self.path, error))?;
        self.position += bytes;
        if self.position - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.synced = self.position;
        let site = SyncSite::SEGMENT;
        self.file.sync(site).map_err(|error| Error::sync(site, &self.path, error))
    }
}

impl Block {
    fn partition(&self) -> Option<PartitionId> {
        self.rows.first().map(|row| row.partition)
    }

    fn is_full(&self) -> bool {
        self.rows.len() * ROW_BYTES + self.batches.len() >= BLOCK_BYTES
    }
}
