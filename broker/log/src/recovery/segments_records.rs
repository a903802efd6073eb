//! The records of `_segments` in one file, before it is known whether the file counts.

use bytes::Bytes;
use logmill_model::internal::SegmentsRecord;
use logmill_model::{Csn, PartitionId, limits};

use super::directory::JournalFile;
use super::evidence::{Behind, look_behind};
use super::file_set::Said;
use super::plan::Live;
use crate::Error;
use crate::entry::{Head, Kind};
use crate::file_header::FILE_HEADER_BYTES;
use crate::index::{Point, Summary};
use crate::window::Window;

const PARTITION: PartitionId = PartitionId::SEGMENTS;

/// Reads them, the newest one first: by the file's index, or else all of the file as far as it is
/// whole or was durable, as all of it was that has a `newer` file behind it. What can have been torn
/// is judged later.
pub(super) fn read(live: &Live, newer: Option<Csn>) -> Result<Vec<Said>, Error> {
    let file = &live.file;
    let mut records = Records { file, newer, window: file.window()?, found: Vec::new() };
    let summary = file.summary()?;
    let summary =
        summary.filter(|it| live.until.is_none_or(|until| until == it.seal.newest.csn.next()));
    match summary.map(|summary| points(file, &summary)) {
        Some(Some(points)) => {
            for point in points {
                records.window.read_ahead_to(point.end());
                records.read(point.begin(), point.end(), live)?;
            }
        }
        _ => records.read(FILE_HEADER_BYTES as u64, u64::MAX, live)?,
    }
    records.found.reverse();
    Ok(records.found)
}

/// Where they lie; None when the index does not tell.
fn points(file: &JournalFile, summary: &Summary) -> Option<Vec<Point>> {
    match summary.partitions.iter().find(|row| row.partition == PARTITION) {
        Some(row) => file.points(row.points),
        None => Some(Vec::new()),
    }
}

struct Records<'a> {
    file: &'a JournalFile,
    newer: Option<Csn>,
    window: Window,
    found: Vec<Said>,
}

impl Records<'_> {
    /// Reads the entries from `position` on.
    fn read(&mut self, mut position: u64, end: u64, live: &Live) -> Result<(), Error> {
        let mut expected = self.file.header.first;
        while position < end {
            let Ok(head) = self.window.head(position, self.file.header.salt)? else {
                match self.behind_corrupt(position, expected)? {
                    Some(next) => position = next,
                    None => break,
                }
                continue;
            };
            expected = head.header.csn.next();
            let length = head.header.length as usize;
            match head.header.kind {
                Kind::Commit | Kind::Block => {
                    if live.until.is_some_and(|until| head.header.csn >= until) {
                        break;
                    }
                    let entry = self.window.at(position, length)?;
                    let entry = entry.get(..length).map(|_| entry.slice(..length));
                    let is_whole = entry.as_ref().is_some_and(|it| head.batches(it).is_ok());
                    if !is_whole && self.behind_corrupt(position, head.header.csn)?.is_none() {
                        break;
                    }
                    if let Some(entry) = entry {
                        self.take(position, &head, &entry)?;
                    }
                }
                Kind::Seal(_) => break,
                _ => {}
            }
            position += length as u64;
        }
        Ok(())
    }

    /// Where it goes on behind a bad place, if what was there had been durable: else it can have been
    /// torn, and nothing behind it counts.
    fn behind_corrupt(&mut self, position: u64, expected: Csn) -> Result<Option<u64>, Error> {
        let durable = self.newer.map(|_| "a later file follows");
        let Behind { proof, next } = look_behind(self.file, position, expected, durable)?;
        match (proof, next) {
            (Some(_), Some((next, header))) => {
                self.found.push(Said::Bad(header.csn));
                Ok(Some(next))
            }
            // The file ends here, or it has no end.
            (Some(_), None) if self.window.zeros_from(position)? > position => {
                self.found.extend(self.newer.map(Said::Bad));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Takes in what of an entry can be read.
    fn take(&mut self, position: u64, head: &Head, entry: &Bytes) -> Result<(), Error> {
        let corrupt = |error: logmill_model::Error| {
            Error::corrupt(&self.file.path, position, error.to_string())
        };
        let of_segments = head.checked(entry).filter(|(row, _)| row.partition == PARTITION);
        for batch in of_segments.filter_map(|(_, batch)| batch.ok()) {
            let records = batch.decompressed(limits::BATCH_BYTES_MAX).map_err(corrupt)?;
            for record in &records {
                let record = SegmentsRecord::decode(record.key, record.value).map_err(corrupt)?;
                self.found.push(Said::Record(record));
            }
        }
        Ok(())
    }
}
