//! Where the batches of a partition lie: a span for each sealed file, points for the one being
//! written.

use std::sync::Arc;

use logmill_model::{Offset, Timestamp};

use crate::index::{PartitionIndex, PartitionSummary, Point, PointsPlace};
use crate::log_file::LogFile;

/// What a sealed file holds of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    /// As [`StoredBatch::bytes`](crate::StoredBatch::bytes) counts them.
    pub(crate) bytes: u64,
    pub(crate) file: Arc<LogFile>,
    pub(crate) points: PointsPlace,
}

// There is one for every partition in every file.
const _: () = assert!(size_of::<Span>() == 64);

impl Span {
    pub(crate) fn new(summary: &PartitionSummary, file: &Arc<LogFile>) -> Self {
        Self {
            base: summary.base,
            end: summary.end,
            first_time: summary.first_time,
            last_time: summary.last_time,
            bytes: summary.bytes,
            file: Arc::clone(file),
            points: summary.points,
        }
    }

    /// How many of its bytes lie from `start` on, if all its offsets are of one size.
    pub(crate) fn bytes_from(&self, start: Offset) -> u64 {
        bytes_from(start, self.base, self.end, self.bytes)
    }
}

/// What the file being written holds of one partition.
#[derive(Debug)]
pub(crate) struct Growing {
    pub(crate) file: Arc<LogFile>,
    pub(crate) index: PartitionIndex,
}

/// A part of one file in which batches of a partition lie.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) file: Arc<LogFile>,
    pub(crate) points: PointsOf,
    /// The offset after its last batch.
    pub(crate) end: Offset,
}

/// The points of a stretch.
#[derive(Debug)]
pub(crate) enum PointsOf {
    /// In the index of the file.
    Sealed(PointsPlace),
    /// Of the file that is being written.
    Growing(Arc<[Point]>),
}

impl From<&Span> for Stretch {
    fn from(span: &Span) -> Self {
        let file = Arc::clone(&span.file);
        Self { file, points: PointsOf::Sealed(span.points), end: span.end }
    }
}

impl Growing {
    /// The part of it that these points lead to.
    pub(crate) fn stretch(&self, points: &[Point]) -> Stretch {
        let file = Arc::clone(&self.file);
        Stretch { file, points: PointsOf::Growing(points.into()), end: self.index.end }
    }
}

/// The points that batches from `from` on lie in.
pub(crate) fn points_from(points: &[Point], from: Offset) -> &[Point] {
    let after = points.partition_point(|point| point.base <= from);
    &points[after.saturating_sub(1)..]
}

/// The points that the first batch of `time` or later lies in: it is in the first of them, or
/// begins the second.
pub(crate) fn points_around(points: &[Point], time: Timestamp) -> &[Point] {
    let after = points.partition_point(|point| point.time < time);
    &points[after.saturating_sub(1)..points.len().min(after + 1)]
}

/// How many of the bytes of the offsets `base..end` lie from `start` on, if all are of one size.
pub(crate) fn bytes_from(start: Offset, base: Offset, end: Offset, bytes: u64) -> u64 {
    let all = base.distance_to(end).max(1);
    let kept = start.max(base).distance_to(end);
    let bytes = u128::from(bytes) * u128::from(kept) / u128::from(all);
    u64::try_from(bytes).expect("a part of a u64 is one")
}
