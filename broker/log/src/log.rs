//! The reading end of the log.

use std::ops::Range;
use std::sync::Arc;

use logmill_model::{Csn, Envelope, Offset, PartitionId, Timestamp};

use crate::accepted::Accepted;
use crate::backup::Cut;
use crate::partition::{AtTime, Available, Kept, Lost};
use crate::reader::{Found, Read};
use crate::visible::Visible;
use crate::{EntryId, Error, Hole, LostRange, Scrubber, Stats, StoredBatch, envelopes, reader};

/// The readers' handle. Clones are cheap and read at the same time. Only durable batches are ever
/// seen.
#[derive(Debug, Clone)]
pub struct Log {
    visible: Arc<Visible>,
}

impl Log {
    pub(crate) fn new(visible: Arc<Visible>) -> Self {
        Self { visible }
    }

    /// What was accepted of what is corrupt.
    pub(crate) fn accepted(&self) -> &Accepted {
        self.visible.holes.accepted().expect("an open log has taken it in")
    }

    /// The first offset that a partition serves: that of its first batch, or what it was trimmed to.
    #[must_use]
    pub fn start_offset(&self, partition: PartitionId) -> Offset {
        self.visible.partition(partition).map_or(Offset::ZERO, |partition| partition.start())
    }

    /// The offset after a partition's last durable batch: its high watermark. 0 when it has none.
    #[must_use]
    pub fn end_offset(&self, partition: PartitionId) -> Offset {
        self.visible.partition(partition).map_or(Offset::ZERO, |partition| partition.end())
    }

    /// All partitions that have batches or had some, each with its start and its end, in order.
    #[must_use]
    pub fn partitions(&self) -> Vec<(PartitionId, Offset, Offset)> {
        self.visible.partitions()
    }

    /// The batch that contains `from`, or the next one, and those that follow it, up to `bytes_max`
    /// by [`StoredBatch::bytes`]; at least one if there is one, none at the end. It never goes over
    /// a loss that was not accepted.
    ///
    /// May wait for the disk. Checksums are verified on every read from it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `from` is below the partition's start; [`Error::CorruptRange`]
    /// when it is lost; [`Error::Corrupt`], [`Error::Io`].
    pub fn read(
        &self,
        partition: PartitionId,
        mut from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, Error> {
        let Some(state) = self.visible.partition(partition) else { return Ok(Vec::new()) };
        loop {
            let (stretches, next_lost) = match state.available(from, bytes_max) {
                Available::InMemory(batches) => return Ok(batches),
                Available::OnDisk(stretches, next_lost) => (stretches, next_lost),
                Available::Lost(lost) => return Err(corrupt_range(partition, &lost)),
                Available::Gone { start, end } => {
                    return Err(Error::OutOfRange { partition, asked: from, start, end });
                }
            };
            let files = &self.visible.files;
            let Read { mut batches, lost } =
                reader::read(files, partition, &stretches, from, bytes_max)?;
            if let Some(next) = next_lost {
                batches.retain(|batch| batch.envelope.base_offset < next);
            }
            let found = lost.filter(|it| next_lost.is_none_or(|next| it.lost.from < next));
            if let Some(found) = &found {
                self.remember(partition, found);
            }
            let found = found.map(|it| it.lost);
            match (stretches.last(), found, next_lost) {
                _ if !batches.is_empty() => return Ok(batches),
                (_, Some(lost), _) if state.is_accepted(lost.from, lost.to) => from = lost.to,
                (_, Some(lost), _) => return Err(corrupt_range(partition, &lost)),
                (Some(last), None, Some(next)) if last.end >= next => from = next,
                // Compaction took all that was there.
                (Some(last), None, _) if last.end > from => from = last.end,
                _ => return Ok(batches),
            }
        }
    }

    fn remember(&self, partition: PartitionId, found: &Found) {
        let Found { lost: Lost { from, to, path, position }, bytes, what } = found;
        let lost = LostRange { partition, from: *from, to: *to };
        let hole = Hole { lost: Vec::from([lost]), ..Hole::at(path, *position, *bytes, what) };
        self.visible.found(hole);
    }

    /// Reads all sealed files over and over, at no more than this rate, and remembers what is
    /// corrupt; 0 is never.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn scrub(&self, bytes_per_second: u64) -> std::io::Result<Scrubber> {
        Scrubber::start(Arc::clone(&self.visible), bytes_per_second)
    }

    /// All that is corrupt, as far as it is known.
    pub(crate) fn holes(&self) -> Vec<Hole> {
        self.visible.holes.all()
    }

    /// Whether all that a hole has cost was accepted.
    pub(crate) fn is_accepted(&self, hole: &Hole) -> bool {
        self.visible.is_accepted(hole)
    }

    /// What is corrupt, as far as it is known, and whose loss nobody has accepted.
    #[must_use]
    pub fn corrupt(&self) -> Vec<Hole> {
        self.visible.open_holes()
    }

    /// Where reading goes on from `offset`: behind the accepted losses that it lies in.
    #[must_use]
    pub fn after_accepted(&self, partition: PartitionId, offset: Offset) -> Offset {
        self.visible.partition(partition).map_or(offset, |it| it.after_accepted(offset))
    }

    /// What of a range of offsets is in no loss that is known, accepted or not: what has records, as far as
    /// compaction has left them. Where an end has jumped past all that may be lost, offsets alone tell of
    /// records that never were.
    #[must_use]
    pub fn outside_losses(
        &self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Vec<Range<Offset>> {
        let lost = self.visible.holes.lost_of(partition);
        let state = self.visible.partition(partition).unwrap_or_default();
        state.outside_losses(range, &lost)
    }

    /// How many offsets of a range are in no loss that is known.
    #[must_use]
    pub fn count_outside_losses(&self, partition: PartitionId, range: Range<Offset>) -> u64 {
        let outside = self.outside_losses(partition, range).into_iter();
        outside.map(|it| it.start.distance_to(it.end)).sum()
    }

    /// Says that a partition exists. If the log has nothing of it, but lost entries that can have
    /// had records of it, its end moves past the offsets of those.
    pub fn expect(&self, partition: PartitionId) {
        let since = if self.visible.is_hiding() { self.created(partition) } else { Csn::ZERO };
        self.visible.expect(partition, since);
    }

    /// The commit that created a partition; 0 when it is not known any more.
    fn created(&self, partition: PartitionId) -> Csn {
        let Some(at) = partition.created_at() else { return Csn::ZERO };
        let read = self.read(PartitionId::CATALOG, at, 1);
        let batch = read.ok().and_then(|batches| batches.into_iter().next());
        let batch = batch.filter(|batch| batch.envelope.base_offset <= at);
        batch.map_or(Csn::ZERO, |batch| batch.envelope.csn)
    }

    /// As [`read`](Self::read), but from memory alone and without waiting. `None` when what follows
    /// `from` is not in memory any more: ask [`read`](Self::read).
    #[must_use]
    pub fn read_tail(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Option<Vec<StoredBatch>> {
        match self.visible.partition(partition) {
            Some(state) => state.tail_from(from, bytes_max),
            None => Some(Vec::new()),
        }
    }

    /// Moves the start of a partition up to `start`, and its end as well if that is lower; never
    /// down. What lies before the start is not served any more.
    pub fn trim(&self, partition: PartitionId, start: Offset) {
        self.visible.partition_or_new(partition).trim(start);
        self.visible.count_change();
    }

    /// The offset of the first batch that was appended at `time` or later; the end if there is none.
    /// May wait for the disk.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn offset_at(&self, partition: PartitionId, time: Timestamp) -> Result<Offset, Error> {
        let Some(state) = self.visible.partition(partition) else { return Ok(Offset::ZERO) };
        match state.at_time(time) {
            AtTime::Known(offset) => Ok(offset),
            AtTime::In(stretch) => {
                let files = &self.visible.files;
                let found = reader::offset_at(files, partition, &stretch, time)?;
                Ok(found.max(state.start()))
            }
        }
    }

    /// The bytes of a partition's batches from its start on, by [`StoredBatch::bytes`]. Where the
    /// start lies within a file, the part behind it is estimated from how many offsets it has.
    #[must_use]
    pub fn partition_bytes(&self, partition: PartitionId) -> u64 {
        self.visible.partition(partition).map_or(0, |partition| partition.bytes())
    }

    /// The highest offset known from which on the partition still has `bytes` bytes by
    /// [`StoredBatch::bytes`]; its start if it has fewer. What lies before it can be trimmed.
    /// May wait for the disk.
    #[must_use]
    pub fn retained_from(&self, partition: PartitionId, bytes: u64) -> Offset {
        let Some(state) = self.visible.partition(partition) else { return Offset::ZERO };
        let offset = match state.kept(bytes) {
            Kept::From(offset) => offset,
            Kept::In { stretch, base, spare_bytes } => {
                let files = &self.visible.files;
                let found = reader::point_after(files, partition, &stretch, spare_bytes);
                // What can't be read is kept.
                found.ok().flatten().unwrap_or(base)
            }
        };
        offset.max(state.start())
    }

    /// The entry that the batch with this offset was committed by, if all later ones of the
    /// partition are as they were committed. None when there is no such batch, or when it lies in
    /// one segment with later ones: the cleaner may have taken any of those. May wait for the disk.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn entry_of(
        &self,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<Option<EntryId>, Error> {
        let Some(state) = self.visible.partition(partition) else { return Ok(None) };
        let Some(stretch) = state.stretch_at(offset) else { return Ok(None) };
        reader::entry_of(&self.visible.files, partition, &stretch, offset)
    }

    /// Shows the envelopes of all entries after `csn`, in the order of entries, also those of
    /// partitions that were trimmed or forgotten; tells whether all of them were there to be shown,
    /// none in a hole. For a start, before anything is appended. Reads headers and tables alone.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn envelopes_after(
        &self,
        csn: Csn,
        visit: &mut dyn FnMut(PartitionId, &Envelope),
    ) -> Result<bool, Error> {
        envelopes::after(&self.visible, csn, visit)
    }

    /// Drops all that is known of a partition, whose topic was deleted: it reads as empty from then
    /// on. Nothing may be appended to it any more.
    pub fn forget(&self, partition: PartitionId) {
        self.visible.forget(partition);
    }

    /// Pins all that is durable now, to be copied. None when files come and go too fast: try again.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        Cut::of(&self.visible)
    }

    /// Counts of what was written.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.visible.counters.stats()
    }

    /// The newest durable entry.
    #[must_use]
    pub fn durable_csn(&self) -> Csn {
        self.visible.durable_csn()
    }
}

fn corrupt_range(partition: PartitionId, lost: &Lost) -> Error {
    let Lost { from, to, path, position } = lost;
    let (path, position) = (path.to_string(), *position);
    Error::CorruptRange { partition, from: *from, to: *to, path, position }
}
