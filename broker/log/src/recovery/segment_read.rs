//! What a segment holds, from all its bytes, when its index is missing or bad.
//!
//! Nothing of a segment can be torn: it counted only once all of it was durable. So what is bad in
//! it is a hole. Its partitions come one after another, so the entry that a hole has taken was of
//! those around it, between the batches around it; nobody can tell there what compaction took before.

use logmill_model::internal::CsnRange;
use logmill_model::{Offset, PartitionId, limits};

use super::directory::JournalFile;
use crate::active_file::Newest;
use crate::coverage::Coverage;
use crate::entry::{EntryHeader, Head, Kind, ROW_BYTES};
use crate::file_header::FILE_HEADER_BYTES;
use crate::index::{EntryPlace, IndexBuilder};
use crate::resync::next_entry;
use crate::window::Window;
use crate::{Error, Hole, LostRange};

/// What a coverage entry takes behind which another one follows.
const FULL_COVERAGE_BYTES: u64 = (limits::APPENDS_MAX * ROW_BYTES) as u64;

/// A segment as it was read.
pub(super) struct SegmentRead {
    pub(super) index: IndexBuilder,
    /// The last commit of the files that it was made from.
    pub(super) newest: Newest,
    /// The entry CRC of the commit before the first of those files.
    pub(super) prev_crc: u32,
    /// Where its seal begins.
    pub(super) position: u64,
    pub(super) holes: Vec<Hole>,
}

impl SegmentRead {
    /// Reads a segment that counts.
    pub(super) fn of(file: &JournalFile) -> Result<Self, Error> {
        let mut window = file.window()?;
        let end = window.zeros_from_end()?;
        let mut reading = Reading::of(file);
        let mut position = FILE_HEADER_BYTES as u64;
        while position < end {
            let (head, entry) = match read_entry(&mut window, position, file)? {
                Ok(read) => read,
                Err(what) => {
                    let next = next_entry(&mut window, file.header.salt, position, end)?;
                    let next = next.unwrap_or(end);
                    reading.bad(position, next - position, what);
                    position = next;
                    continue;
                }
            };
            let length = u64::from(head.header.length);
            reading.take(position, &head, &entry);
            if let Kind::Seal(_) = head.header.kind {
                return reading.end(position);
            }
            position += length;
        }
        // What closes it is bad; where that was is not asked.
        let seal_at = reading.holes.last().map_or(position, |hole| hole.position);
        reading.end(seal_at)
    }
}

fn read_entry(
    window: &mut Window,
    position: u64,
    file: &JournalFile,
) -> Result<Result<(Head, bytes::Bytes), &'static str>, Error> {
    let head = match window.head(position, file.header.salt)? {
        Ok(head) => head,
        Err(what) => return Ok(Err(what)),
    };
    if matches!(head.header.kind, Kind::Commit | Kind::Checkpoint | Kind::Recovered) {
        return Err(Error::corrupt(&file.path, position, "a segment has no such entry"));
    }
    let length = head.header.length as usize;
    let bytes = window.at(position, length)?;
    if bytes.len() < length {
        return Ok(Err("the file ends within the entry"));
    }
    Ok(Ok((head, bytes.slice(..length))))
}

/// A segment while it is read.
struct Reading<'a> {
    file: &'a JournalFile,
    index: IndexBuilder,
    coverage: Vec<Coverage>,
    /// The last batch so far, by its partition and the offset after it.
    last: Option<(PartitionId, Offset)>,
    holes: Vec<Hole>,
    /// For each hole that took an entry whole, the batches before and behind it.
    around: Vec<Around>,
    /// Whether the last hole lies before what is read next.
    is_behind_hole: bool,
    /// The last commit of the files that it was made from: any entry says which that is, the seal
    /// its checksum as well.
    newest: Option<Newest>,
    prev_crc: u32,
    is_sealed: bool,
}

/// Where an entry is missing.
struct Around {
    hole: usize,
    before: Option<(PartitionId, Offset)>,
    behind: Option<(PartitionId, Offset)>,
    /// Whether it can have been what the segment says of its partitions.
    is_coverage: bool,
}

impl<'a> Reading<'a> {
    fn of(file: &'a JournalFile) -> Self {
        Self {
            file,
            index: IndexBuilder::default(),
            coverage: Vec::new(),
            last: None,
            holes: Vec::new(),
            around: Vec::new(),
            is_behind_hole: false,
            newest: None,
            prev_crc: 0,
            is_sealed: false,
        }
    }

    fn bad(&mut self, position: u64, bytes: u64, what: &str) {
        let (hole, before) = (self.holes.len(), self.last);
        self.holes.push(Hole::at(&self.file.path, position, bytes, what));
        self.around.push(Around { hole, before, behind: None, is_coverage: true });
        self.is_behind_hole = true;
    }

    fn take(&mut self, position: u64, head: &Head, entry: &bytes::Bytes) {
        let EntryHeader { csn, time, prev_crc, kind, .. } = head.header;
        self.is_sealed = matches!(kind, Kind::Seal(_));
        let entry_crc = if self.is_sealed { prev_crc } else { 0 };
        self.newest = Some(Newest { csn, entry_crc, time });
        if !self.is_sealed {
            self.prev_crc = prev_crc;
        }
        if std::mem::take(&mut self.is_behind_hole)
            && let Some(around) = self.around.last_mut()
        {
            let row = head.rows.first();
            around.behind = row.map(|row| (row.partition, row.envelope.base_offset));
            let bytes = self.holes.last().map_or(0, |hole| hole.bytes);
            around.is_coverage = match kind {
                Kind::Block => false,
                Kind::Coverage => bytes >= FULL_COVERAGE_BYTES,
                _ => self.coverage.is_empty() || bytes >= FULL_COVERAGE_BYTES,
            };
        }
        if kind == Kind::Block {
            let place = EntryPlace::new(position, head.header.length);
            for row in &head.rows {
                self.index.add(row.partition, place, &row.envelope);
                self.last = Some((row.partition, row.envelope.end_offset()));
            }
            if let Err(what) = head.batches(entry) {
                let lost = head.bad_batches(entry);
                let bytes = u64::from(head.header.length);
                let hole = Hole::at(&self.file.path, position, bytes, what);
                self.holes.push(Hole { lost, ..hole });
            }
        }
        self.coverage.extend(&head.coverage);
    }

    /// The file ends; its seal begins, or began, at `position`.
    fn end(mut self, position: u64) -> Result<SegmentRead, Error> {
        let Some(newest) = self.newest else {
            let what = "no entry of the segment is whole";
            return Err(Error::corrupt(&self.file.path, position, what));
        };
        self.coverage.iter().for_each(|it| self.index.cover(it));
        for around in &self.around {
            let hole = &mut self.holes[around.hole];
            hole.lost = around.lost(&self.coverage);
            // Where the seal alone is bad, all of the coverage is there.
            if around.is_coverage && (self.is_sealed || self.coverage.is_empty()) {
                hole.csns = Some(CsnRange { first: self.file.header.first, last: newest.csn });
                (hole.is_cut, hole.may_hide_partitions) = (true, true);
            }
        }
        let Self { index, prev_crc, holes, .. } = self;
        Ok(SegmentRead { index, newest, prev_crc, position, holes })
    }
}

impl Around {
    /// What is missing between the batches around the hole, of all partitions that have their place
    /// there.
    fn lost(&self, coverage: &[Coverage]) -> Vec<LostRange> {
        let lost = |it: &Coverage| {
            let partition = it.partition;
            if self.before.is_some_and(|(before, _)| partition < before)
                || self.behind.is_some_and(|(behind, _)| behind < partition)
            {
                return None;
            }
            let from = self.before.filter(|(before, _)| *before == partition);
            let to = self.behind.filter(|(behind, _)| *behind == partition);
            let from = from.map_or(it.base, |(_, end)| end.max(it.base));
            let to = to.map_or(it.end, |(_, base)| base.min(it.end));
            (from < to).then_some(LostRange { partition, from, to })
        };
        coverage.iter().filter_map(lost).collect()
    }
}
