//! Reads batches from files of the log and checks every byte that it hands out: the header of the
//! entry, which the file's salt binds to the file, its table, and the batch.

use std::sync::Arc;

use logmill_model::{ENVELOPE_BYTES, Offset, PartitionId, RecordBatch, Timestamp};

use crate::entry::{Head, Kind, Row};
use crate::files::Files;
use crate::index::Point;
use crate::log_file::LogFile;
use crate::partition::{Limit, Lost};
use crate::resync::next_entry;
use crate::span::{PointsOf, Stretch, points_around, points_from};
use crate::window::Window;
use crate::{EntryId, Error, StoredBatch};

/// Bytes between two points that are read along rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;
/// The least and the most that one read takes, if there is as much to read.
const READ_BYTES_MIN: usize = 32 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) batches: Vec<StoredBatch>,
    /// The loss that reading came to, after these batches.
    pub(crate) lost: Option<Found>,
}

/// A loss that a read came to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) lost: Lost,
    /// How much can't be read there, in bytes.
    pub(crate) bytes: u64,
    /// What is wrong there.
    pub(crate) what: String,
}

/// Reads the batches from `from` on, up to `bytes_max`, at least one if these stretches have one;
/// no further than to a loss.
pub(crate) fn read(
    files: &Files,
    partition: PartitionId,
    stretches: &[Stretch],
    from: Offset,
    bytes_max: usize,
) -> Result<Read, Error> {
    let mut limit = Limit::new(bytes_max);
    let mut read = Read::default();
    for stretch in stretches {
        let points = points(files, partition, stretch)?;
        let mut walk = Walk::new(files, stretch, partition, bytes_max)?;
        let flow = walk.visit(points_from(&points, from), |seen| {
            let place = match seen {
                Seen::Batch(place) => place,
                Seen::Lost(found) if found.lost.to <= from => return Ok(Flow::On),
                Seen::Lost(found) => {
                    read.lost = Some(found);
                    return Ok(Flow::Done);
                }
            };
            let envelope = place.row.envelope;
            if envelope.end_offset() <= from {
                return Ok(Flow::On);
            }
            if !limit.takes(ENVELOPE_BYTES + envelope.bytes as usize) {
                return Ok(Flow::Done);
            }
            match place.read()? {
                Ok(batch) => read.batches.push(StoredBatch { partition, envelope, batch }),
                Err(found) => {
                    read.lost = Some(found);
                    return Ok(Flow::Done);
                }
            }
            Ok(Flow::On)
        })?;
        if flow == Flow::Done {
            break;
        }
    }
    Ok(read)
}

/// The offset of the first batch of `time` or later in a stretch that has one; of a loss, if the
/// batch can have been in that.
pub(crate) fn offset_at(
    files: &Files,
    partition: PartitionId,
    stretch: &Stretch,
    time: Timestamp,
) -> Result<Offset, Error> {
    let points = points(files, partition, stretch)?;
    let (mut found, mut lost_before) = (None, None);
    let mut walk = Walk::new(files, stretch, partition, READ_BYTES_MIN)?;
    walk.visit(points_around(&points, time), |seen| {
        let envelope = match seen {
            Seen::Batch(place) => place.row.envelope,
            Seen::Lost(found) => {
                lost_before = Some(found.lost.from);
                return Ok(Flow::On);
            }
        };
        if envelope.append_ts < time {
            lost_before = None;
            return Ok(Flow::On);
        }
        found = Some(envelope.base_offset);
        Ok(Flow::Done)
    })?;
    Ok(lost_before.or(found).unwrap_or(stretch.end))
}

/// The commit in this stretch that a batch with this offset belongs to.
pub(crate) fn entry_of(
    files: &Files,
    partition: PartitionId,
    stretch: &Stretch,
    offset: Offset,
) -> Result<Option<EntryId>, Error> {
    let points = points(files, partition, stretch)?;
    let mut found = None;
    let mut walk = Walk::new(files, stretch, partition, READ_BYTES_MIN)?;
    walk.visit(points_from(&points, offset), |seen| {
        let Seen::Batch(place) = seen else { return Ok(Flow::On) };
        let envelope = place.row.envelope;
        if envelope.end_offset() <= offset {
            return Ok(Flow::On);
        }
        let Head { header, entry_crc, .. } = place.head;
        if envelope.base_offset > offset {
            return Ok(Flow::Done);
        }
        if header.kind == Kind::Commit {
            found = Some(EntryId { csn: header.csn, crc: Some(*entry_crc) });
        } else if stretch.end == offset.next() {
            found = Some(EntryId { csn: envelope.csn, crc: None });
        }
        Ok(Flow::Done)
    })?;
    Ok(found)
}

/// The highest point of a stretch before which no more than `spare_bytes` of it lie.
pub(crate) fn point_after(
    files: &Files,
    partition: PartitionId,
    stretch: &Stretch,
    spare_bytes: u64,
) -> Result<Option<Offset>, Error> {
    let points = points(files, partition, stretch)?;
    // A point's entries are no smaller than its batches.
    let mut bytes = 0;
    let is_spare = |point: &&Point| {
        bytes += u64::from(point.bytes);
        bytes <= spare_bytes
    };
    let spare = points.iter().take_while(is_spare).count();
    Ok(points.get(spare).map(|point| point.base))
}

fn points(files: &Files, partition: PartitionId, stretch: &Stretch) -> Result<Arc<[Point]>, Error> {
    match &stretch.points {
        PointsOf::Growing(points) => Ok(Arc::clone(points)),
        PointsOf::Sealed(place) => files.points(&stretch.file, partition, *place),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Done,
}

/// Goes through the entries of one file that have batches of one partition.
struct Walk<'a> {
    file: &'a LogFile,
    window: Window,
    partition: PartitionId,
    /// Where the stretch ends.
    end: Offset,
    /// The offset that the next batch begins with if nothing is missing before it.
    expected: Offset,
    /// The last bad place behind which no batch of the partition was seen yet.
    bad: Option<Bad>,
}

/// A place where no entry can be read.
struct Bad {
    at: u64,
    bytes: u64,
    what: &'static str,
}

/// What a walk comes to.
enum Seen<'a> {
    Batch(Place<'a>),
    Lost(Found),
}

/// A batch, and where it lies.
struct Place<'a> {
    head: &'a Head,
    row: &'a Row,
    file: &'a LogFile,
    window: &'a mut Window,
    entry_at: u64,
    batch_at: u64,
}

impl<'a> Walk<'a> {
    fn new(
        files: &Files,
        stretch: &'a Stretch,
        partition: PartitionId,
        bytes_max: usize,
    ) -> Result<Self, Error> {
        let (file, end) = (&stretch.file, stretch.end);
        let read_bytes = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let window = file.window(files.open(file)?).in_reads_of(read_bytes);
        Ok(Self { file, window, partition, end, expected: Offset::ZERO, bad: None })
    }

    /// Shows the batches of these points until `visit` is done.
    fn visit(
        &mut self,
        points: &[Point],
        mut visit: impl FnMut(Seen<'_>) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        let mut run_end = 0;
        for (n, point) in points.iter().enumerate() {
            if point.end() > run_end {
                run_end = end_of_run(&points[n..]);
                self.window.read_ahead_to(run_end);
            }
            if self.is_missing_before(point.base, &mut visit)? == Flow::Done
                || self.visit_point(*point, &mut visit)? == Flow::Done
            {
                return Ok(Flow::Done);
            }
        }
        // As far as these points go: all of the stretch, unless they were chosen by their time.
        if self.bad.is_some() { self.is_missing_before(self.end, &mut visit) } else { Ok(Flow::On) }
    }

    fn visit_point(
        &mut self,
        point: Point,
        visit: &mut impl FnMut(Seen<'_>) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        let salt = self.file.header.salt;
        let mut entry_at = point.begin();
        while entry_at < point.end() {
            let head = match self.window.head(entry_at, salt)? {
                Ok(head) => head,
                Err(what) => {
                    let next = next_entry(&mut self.window, salt, entry_at, point.end())?;
                    let next = next.unwrap_or_else(|| point.end());
                    self.bad = Some(Bad { at: entry_at, bytes: next - entry_at, what });
                    entry_at = next;
                    continue;
                }
            };
            for (row, in_entry) in head.rows.iter().zip(head.batch_positions()) {
                if row.partition != self.partition {
                    continue;
                }
                if self.is_missing_before(row.envelope.base_offset, visit)? == Flow::Done {
                    return Ok(Flow::Done);
                }
                self.expected = row.envelope.end_offset();
                let batch_at = entry_at + in_entry as u64;
                let (file, window) = (self.file, &mut self.window);
                let head = &head;
                let place = Place { head, row, file, window, entry_at, batch_at };
                if visit(Seen::Batch(place))? == Flow::Done {
                    return Ok(Flow::Done);
                }
            }
            entry_at += u64::from(head.header.length);
        }
        Ok(Flow::On)
    }

    /// Shows what is missing before a batch at `base`, if there was a bad place since the last one.
    /// Without one, compaction took it.
    fn is_missing_before(
        &mut self,
        base: Offset,
        visit: &mut impl FnMut(Seen<'_>) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        let from = std::mem::replace(&mut self.expected, base);
        match self.bad.take() {
            Some(Bad { at: position, bytes, what }) if from < base => {
                let path = self.file.path.as_str().into();
                let lost = Lost { from, to: base, path, position };
                visit(Seen::Lost(Found { lost, bytes, what: what.to_owned() }))
            }
            _ => Ok(Flow::On),
        }
    }
}

/// Where the first of these points, and those that lie next to it, end.
fn end_of_run(points: &[Point]) -> u64 {
    let (begin, mut end) = points.first().map_or((0, 0), |point| (point.begin(), point.end()));
    for point in &points[1..] {
        if point.begin() > end + GAP_BYTES_MAX || end - begin > READ_BYTES_MAX as u64 {
            break;
        }
        end = point.end();
    }
    end
}

impl Place<'_> {
    /// The batch; its loss, when it is not what was written.
    fn read(self) -> Result<Result<RecordBatch, Found>, Error> {
        let envelope = self.row.envelope;
        let length = envelope.bytes as usize;
        let bytes = self.window.at(self.batch_at, length)?;
        let batch = bytes.slice(..length.min(bytes.len()));
        Ok(envelope.check_batch(batch).map_err(|error| {
            let (from, to) = (envelope.base_offset, envelope.end_offset());
            let (path, position) = (self.file.path.as_str().into(), self.entry_at);
            let lost = Lost { from, to, path, position };
            Found { lost, bytes: self.head.header.length.into(), what: error.to_string() }
        }))
    }
}
