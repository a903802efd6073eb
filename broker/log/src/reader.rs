//! Reads batches from files of the log and checks every byte that it hands out: the header of the
//! entry, which the file's salt binds to the file, its table, and the batch.

use std::sync::Arc;

use logmill_model::{ENVELOPE_BYTES, Offset, PartitionId, RecordBatch, Timestamp};

use crate::entry::{Head, Kind, Row};
use crate::files::Files;
use crate::index::Point;
use crate::log_file::LogFile;
use crate::partition::Limit;
use crate::span::{PointsOf, Stretch, points_around, points_from};
use crate::window::Window;
use crate::{EntryId, Error, StoredBatch};

/// Bytes between two points that are read along rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;
/// The least and the most that one read takes, if there is as much to read.
const READ_BYTES_MIN: usize = 32 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Reads the batches from `from` on, up to `bytes_max`, at least one if these stretches have one.
pub(crate) fn read(
    files: &Files,
    partition: PartitionId,
    stretches: &[Stretch],
    from: Offset,
    bytes_max: usize,
) -> Result<Vec<StoredBatch>, Error> {
    let mut limit = Limit::new(bytes_max);
    let mut batches = Vec::new();
    for stretch in stretches {
        let points = points(files, partition, stretch)?;
        let mut walk = Walk::new(files, &stretch.file, partition, bytes_max)?;
        let flow = walk.visit(points_from(&points, from), |place| {
            let envelope = place.row.envelope;
            if envelope.end_offset() <= from {
                return Ok(Flow::On);
            }
            if !limit.takes(ENVELOPE_BYTES + envelope.bytes as usize) {
                return Ok(Flow::Done);
            }
            batches.push(StoredBatch { partition, envelope, batch: place.read()? });
            Ok(Flow::On)
        })?;
        if flow == Flow::Done {
            break;
        }
    }
    Ok(batches)
}

/// The offset of the first batch of `time` or later in a stretch that has one.
pub(crate) fn offset_at(
    files: &Files,
    partition: PartitionId,
    stretch: &Stretch,
    time: Timestamp,
) -> Result<Offset, Error> {
    let points = points(files, partition, stretch)?;
    let mut found = stretch.end;
    let mut walk = Walk::new(files, &stretch.file, partition, READ_BYTES_MIN)?;
    walk.visit(points_around(&points, time), |place| {
        if place.row.envelope.append_ts < time {
            return Ok(Flow::On);
        }
        found = place.row.envelope.base_offset;
        Ok(Flow::Done)
    })?;
    Ok(found)
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
    let mut walk = Walk::new(files, &stretch.file, partition, READ_BYTES_MIN)?;
    walk.visit(points_from(&points, offset), |place| {
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
        file: &'a Arc<LogFile>,
        partition: PartitionId,
        bytes_max: usize,
    ) -> Result<Self, Error> {
        let read_bytes = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let window = file.window(files.open(file)?).in_reads_of(read_bytes);
        Ok(Self { file, window, partition })
    }

    /// Shows the batches of these points until `visit` is done.
    fn visit(
        &mut self,
        points: &[Point],
        mut visit: impl FnMut(Place<'_>) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        let mut run_end = 0;
        for (n, point) in points.iter().enumerate() {
            if point.end() > run_end {
                run_end = end_of_run(&points[n..]);
                self.window.read_ahead_to(run_end);
            }
            let mut entry_at = point.begin();
            while entry_at < point.end() {
                let head = self
                    .window
                    .head(entry_at, self.file.header.salt)?
                    .map_err(|what| Error::corrupt(&self.file.path, entry_at, what))?;
                for (row, in_entry) in head.rows.iter().zip(head.batch_positions()) {
                    if row.partition != self.partition {
                        continue;
                    }
                    let batch_at = entry_at + in_entry as u64;
                    let window = &mut self.window;
                    let head = &head;
                    let place = Place { head, row, file: self.file, window, entry_at, batch_at };
                    if visit(place)? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                }
                entry_at += u64::from(head.header.length);
            }
        }
        Ok(Flow::On)
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
    fn read(self) -> Result<RecordBatch, Error> {
        let length = self.row.envelope.bytes as usize;
        let bytes = self.window.at(self.batch_at, length)?;
        let corrupt = |what: String| Error::corrupt(&self.file.path, self.entry_at, what);
        if bytes.len() < length {
            return Err(corrupt("the file ends within the entry".to_owned()));
        }
        let batch = self.row.envelope.check_batch(bytes.slice(..length));
        batch.map_err(|error| corrupt(error.to_string()))
    }
}
