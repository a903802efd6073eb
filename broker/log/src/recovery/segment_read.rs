//! What a segment holds, from all its bytes, when its index is missing or bad.

use super::directory::JournalFile;
use crate::Error;
use crate::active_file::Newest;
use crate::entry::{Kind, SealReason};
use crate::file_header::FILE_HEADER_BYTES;
use crate::index::{EntryPlace, IndexBuilder};

/// A segment as it was read.
pub(super) struct SegmentRead {
    pub(super) index: IndexBuilder,
    /// The last commit of the files that it was made from.
    pub(super) newest: Newest,
    /// The entry CRC of the commit before the first of those files.
    pub(super) prev_crc: u32,
    /// Where its seal begins.
    pub(super) position: u64,
}

impl SegmentRead {
    /// Reads a segment that counts: all of it must be whole.
    pub(super) fn of(file: &JournalFile) -> Result<Self, Error> {
        let mut window = file.window()?;
        let mut index = IndexBuilder::default();
        let mut position = FILE_HEADER_BYTES as u64;
        let mut prev_crc = 0;
        loop {
            let corrupt = |what: String| Error::corrupt(&file.path, position, what);
            let head = window.head(position, file.header.salt)?;
            let head = head.map_err(|what| corrupt(what.to_owned()))?;
            let header = head.header;
            match header.kind {
                Kind::Seal(SealReason::Cleaned) => {
                    let newest =
                        Newest { csn: header.csn, entry_crc: header.prev_crc, time: header.time };
                    return Ok(Self { index, newest, prev_crc, position });
                }
                Kind::Block => {
                    let length = header.length as usize;
                    let entry = window.at(position, length)?;
                    if entry.len() < length {
                        return Err(corrupt("the file ends within the entry".to_owned()));
                    }
                    head.batches(&entry.slice(..length)).map_err(corrupt)?;
                    let place = EntryPlace::new(position, header.length);
                    head.rows.iter().for_each(|row| index.add(row.partition, place, &row.envelope));
                }
                Kind::Coverage => head.coverage.iter().for_each(|it| index.cover(it)),
                _ => return Err(corrupt("a segment has no such entry".to_owned())),
            }
            prev_crc = header.prev_crc;
            position += u64::from(header.length);
        }
    }
}
