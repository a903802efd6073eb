//! Reads the batches of some partitions from parts of a file, in the order in which they lie there,
//! and checks all that it hands out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use logmill_model::{PartitionId, RecordBatch};

use super::Throttle;
use crate::Error;
use crate::entry::{Head, Row};
use crate::files::Files;
use crate::log_file::LogFile;

/// Parts that overlap or touch become one. Parts begin where an entry does, and end where one ends.
pub(super) fn joined(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.sort_unstable_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(parts.len());
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    joined
}

/// Who is told of each batch.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&Row, RecordBatch) -> Result<(), Error>;

/// A file that is read at the pace of a throttle.
pub(super) struct Walk<'a> {
    pub(super) files: &'a Files,
    pub(super) file: &'a Arc<LogFile>,
    pub(super) throttle: &'a Throttle,
}

impl Walk<'_> {
    /// Gives `visit` each batch of a wanted partition in these parts.
    pub(super) fn visit(
        &self,
        parts: &[Range<u64>],
        wanted: &dyn Fn(PartitionId) -> bool,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let mut window = self.file.window(self.files.open(self.file)?);
        for part in parts {
            window.read_ahead_to(part.end);
            let mut position = part.start;
            while position < part.end {
                let head = window
                    .head(position, self.file.header.salt)?
                    .map_err(|what| self.corrupt(position, what))?;
                self.throttle.take(u64::from(head.header.length))?;
                let length = head.header.length as usize;
                let entry = window.at(position, length)?;
                if entry.len() < length {
                    return Err(self.corrupt(position, "the file ends within the entry"));
                }
                self.visit_entry(position, &head, &entry.slice(..length), wanted, visit)?;
                position += length as u64;
            }
        }
        Ok(())
    }

    fn visit_entry(
        &self,
        position: u64,
        head: &Head,
        entry: &Bytes,
        wanted: &dyn Fn(PartitionId) -> bool,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        for (row, at) in head.rows.iter().zip(head.batch_positions()) {
            if !wanted(row.partition) {
                continue;
            }
            let end = at + row.envelope.bytes as usize;
            if end > entry.len() {
                let what = "the lengths of its batches are not those of the entry";
                return Err(self.corrupt(position, what));
            }
            let batch = row.envelope.check_batch(entry.slice(at..end));
            visit(row, batch.map_err(|error| self.corrupt(position, error.to_string()))?)?;
        }
        Ok(())
    }

    pub(super) fn corrupt(&self, position: u64, what: impl Into<String>) -> Error {
        Error::corrupt(&self.file.path, position, what)
    }
}
