//! What a run of files holds of one partition.

use std::ops::Range;
use std::sync::Arc;

use logmill_model::{Envelope, Offset, PartitionId};

use super::walk::joined;
use crate::Error;
use crate::coverage::Coverage;
use crate::file_header::FileKind;
use crate::files::Files;
use crate::log_file::LogFile;
use crate::span::{Span, points_from};

#[derive(Debug)]
pub(super) struct Part {
    pub(super) partition: PartitionId,
    /// Of files of the run, in order; at least one.
    pub(super) spans: Vec<Span>,
    /// Nothing before it is needed.
    pub(super) start: Offset,
    /// Whether the partition has nothing before these spans.
    pub(super) from_first: bool,
    /// Whether only the last value of each key is needed.
    pub(super) compacted: bool,
}

impl Part {
    pub(super) fn bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes).sum()
    }

    /// What the segment that it goes to will hold of it.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        Some(Coverage {
            partition: self.partition,
            // What is needed of it begins here, within its first batch.
            base: first.base.max(self.start),
            end: last.end,
            first_time: first.first_time,
            last_time: last.last_time,
        })
    }

    fn span_in(&self, file: &LogFile) -> Option<&Span> {
        self.spans.iter().find(|span| span.file.id == file.id)
    }
}

/// Where in a file the batches of these partitions lie, of each from some offset on.
pub(super) fn places<'a>(
    files: &Files,
    file: &Arc<LogFile>,
    parts: impl Iterator<Item = (&'a Part, Offset)>,
) -> Result<Vec<Range<u64>>, Error> {
    let mut places = Vec::new();
    for (part, from) in parts {
        if let Some(span) = part.span_in(file).filter(|span| span.end > from) {
            let points = files.points(file, part.partition, span.points)?;
            let needed = points_from(&points, from);
            places.extend(needed.iter().map(|point| point.begin()..point.end()));
        }
    }
    Ok(joined(places))
}

/// Checks that the batches of one partition come as they must: in order, and those of a journal
/// file without a gap. A copy of less than all there is would be a loss.
#[derive(Debug)]
pub(super) struct Order<'a> {
    part: &'a Part,
    /// The file that is read, and where the next batch must begin.
    reading: Option<(u64, Offset)>,
}

impl<'a> Order<'a> {
    pub(super) fn of(part: &'a Part) -> Self {
        Self { part, reading: None }
    }

    /// Takes in a batch of this file; says what is wrong with it.
    pub(super) fn next(&mut self, file: &LogFile, envelope: &Envelope) -> Result<(), String> {
        let span = self.part.span_in(file).ok_or("a batch lies there that its index has not")?;
        let base = envelope.base_offset;
        let is_in_place = match self.reading {
            Some((id, next)) if id == file.id => is_next(file, next, base),
            // Batches that are not needed are skipped.
            _ => {
                envelope.end_offset() > span.base
                    && (!is_dense(file) || base <= span.base.max(self.part.start))
            }
        };
        if !is_in_place || envelope.end_offset() > span.end {
            return Err(format!(
                "a batch of {} begins at offset {base}, which is out of its order",
                self.part.partition
            ));
        }
        self.reading = Some((file.id, envelope.end_offset()));
        Ok(())
    }

    /// The file has been read to its end.
    pub(super) fn end(&self, file: &LogFile) -> Result<(), String> {
        let Some(span) = self.part.span_in(file) else { return Ok(()) };
        let ends_well = match self.reading {
            Some((id, next)) if id == file.id => !is_dense(file) || next == span.end,
            _ => !is_dense(file),
        };
        if ends_well {
            return Ok(());
        }
        Err(format!("batches of {} before offset {} are missing", self.part.partition, span.end))
    }
}

fn is_dense(file: &LogFile) -> bool {
    file.header.kind == FileKind::Journal
}

fn is_next(file: &LogFile, next: Offset, base: Offset) -> bool {
    if is_dense(file) { base == next } else { base >= next }
}
