//! What a file of the log holds, and where: gathered while it is written or read, and kept in a file
//! of its own beside it once it is sealed.
//!
//! **An index is derived and never the truth.** It is not synced; whoever reads one checks its
//! checksums, and that it is of this very file. One that is missing or bad is made anew from the
//! file.
//!
//! # Layout of an index file, version 1 (little-endian)
//!
//! | at | bytes | index file |
//! |---:|---:|---|
//! | 0 | 80 | header |
//! | 80 | 80 × partitions | a row for each partition, by topic and partition; with the header, the *summary* |
//! | | 24 × points | the points of the first partition, then those of the second, and so on |
//!
//! | at | bytes | header |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LOGMILLI` |
//! | 8 | 1 | version, 1 |
//! | 9 | 1 | why the file was sealed, as the kind of its seal |
//! | 10 | 2 | 0 |
//! | 12 | 4 | CRC-32C of all the summary but this field |
//! | 16 | 16 | salt of the file |
//! | 32 | 8 | first CSN of the file, as its header has it |
//! | 40 | 8 | CSN of its last commit; one below the first if it has none |
//! | 48 | 8 | time of its last commit |
//! | 56 | 4 | entry CRC of its last commit |
//! | 60 | 4 | entry CRC of the commit before its first |
//! | 64 | 8 | length of the file, with its seal |
//! | 72 | 4 | partitions |
//! | 76 | 4 | 0 |
//!
//! | at | bytes | row |
//! |---:|---:|---|
//! | 0 | 8 | topic |
//! | 8 | 4 | partition |
//! | 12 | 4 | CRC-32C of its points |
//! | 16 | 8 | offset of its first batch |
//! | 24 | 8 | offset after its last batch |
//! | 32 | 8 | records |
//! | 40 | 8 | bytes of its batches and their envelopes |
//! | 48 | 8 | append time of its first batch |
//! | 56 | 8 | append time of its last batch |
//! | 64 | 8 | where its points begin in the index file |
//! | 72 | 4 | points |
//! | 76 | 4 | 0 |
//!
//! | at | bytes | point |
//! |---:|---:|---|
//! | 0 | 8 | offset of its first batch |
//! | 8 | 8 | append time of that batch |
//! | 16 | 4 | where in the file the entry with that batch begins |
//! | 20 | 4 | bytes from there to the end of the point's last entry |
//!
//! A point stands for batches of one partition that lie near one another: all entries with such
//! batches begin and end within the bytes that it names, which are at most 32 KiB, or one entry.

mod codec;

use std::collections::HashMap;

use logmill_model::{Csn, ENVELOPE_BYTES, Envelope, Offset, PartitionId, Timestamp};

use crate::active_file::Newest;
use crate::coverage::Coverage;
use crate::entry::SealReason;
use crate::file_header::Salt;

pub(crate) use codec::{SUMMARY_HEADER_BYTES, decode_points, decode_summary, summary_bytes};

/// How far the entries of a point may reach, in bytes, when there is more than one.
const POINT_SPAN_BYTES: u64 = 32 * 1024;

/// Where an entry lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryPlace {
    pub(crate) position: u32,
    pub(crate) bytes: u32,
}

impl EntryPlace {
    /// The entry at `position`, as the index has it.
    pub(crate) fn new(position: u64, bytes: u32) -> Self {
        let position = u32::try_from(position)
            .expect("a file is at most JOURNAL_FILE_BYTES_MAX and one entry");
        Self { position, bytes }
    }

    fn end(self) -> u64 {
        u64::from(self.position) + u64::from(self.bytes)
    }
}

/// Batches of one partition that lie near one another in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) base: Offset,
    pub(crate) time: Timestamp,
    pub(crate) position: u32,
    pub(crate) bytes: u32,
}

impl Point {
    pub(crate) fn begin(self) -> u64 {
        u64::from(self.position)
    }

    /// Where its last entry ends.
    pub(crate) fn end(self) -> u64 {
        u64::from(self.position) + u64::from(self.bytes)
    }
}

/// What a file holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionIndex {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) records: u64,
    /// As [`StoredBatch::bytes`](crate::StoredBatch::bytes) counts them.
    pub(crate) bytes: u64,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) points: Vec<Point>,
}

impl PartitionIndex {
    /// The index of a partition whose first batch in the file this is; it has no batch yet.
    pub(crate) fn before(envelope: &Envelope) -> Self {
        Self {
            base: envelope.base_offset,
            end: envelope.base_offset,
            records: 0,
            bytes: 0,
            first_time: envelope.append_ts,
            last_time: envelope.append_ts,
            points: Vec::new(),
        }
    }

    /// Takes in a batch that lies in this entry. Entries come in the order of the file.
    pub(crate) fn add(&mut self, entry: EntryPlace, envelope: &Envelope) {
        self.end = envelope.end_offset();
        self.records += u64::from(envelope.records);
        self.bytes += ENVELOPE_BYTES as u64 + u64::from(envelope.bytes);
        self.last_time = envelope.append_ts;
        match self.points.last_mut() {
            // Its last entry is this one: a second append to the partition.
            Some(point) if point.end() > u64::from(entry.position) => {}
            Some(point) if entry.end() - point.begin() <= POINT_SPAN_BYTES => {
                point.bytes = entry.position + entry.bytes - point.position;
            }
            _ => self.points.push(Point {
                base: envelope.base_offset,
                time: envelope.append_ts,
                position: entry.position,
                bytes: entry.bytes,
            }),
        }
    }
}

/// What a file holds, while it is written or read.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    partitions: HashMap<PartitionId, PartitionIndex>,
}

impl IndexBuilder {
    /// Takes in a batch that lies in this entry. Entries come in the order of the file.
    pub(crate) fn add(&mut self, partition: PartitionId, entry: EntryPlace, envelope: &Envelope) {
        self.partitions
            .entry(partition)
            .or_insert_with(|| PartitionIndex::before(envelope))
            .add(entry, envelope);
    }

    /// Takes in what a segment says of a partition, after its batches.
    pub(crate) fn cover(&mut self, coverage: &Coverage) {
        let Coverage { partition, base, end, first_time, last_time } = *coverage;
        let index = self.partitions.entry(partition).or_insert_with(|| PartitionIndex {
            base,
            end,
            records: 0,
            bytes: 0,
            first_time,
            last_time,
            points: Vec::new(),
        });
        // Its first batch may begin before, when retention has taken the first of its records.
        (index.base, index.end) = (base, end);
        (index.first_time, index.last_time) = (first_time, last_time);
    }

    /// Where the batches of each partition begin and end in the file.
    pub(crate) fn places(&self) -> HashMap<PartitionId, (u64, u64)> {
        let place = |(id, index): (&PartitionId, &PartitionIndex)| {
            let (first, last) = (index.points.first()?, index.points.last()?);
            Some((*id, (first.begin(), last.end())))
        };
        self.partitions.iter().filter_map(place).collect()
    }

    pub(crate) fn partition(&self, partition: PartitionId) -> Option<&PartitionIndex> {
        self.partitions.get(&partition)
    }
}

/// How a file ends: what stands in its seal, and what the file follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) reason: SealReason,
    /// The entry CRC of the commit before its first.
    pub(crate) prev_crc: u32,
    /// Its last commit, or the one before its first if it has none.
    pub(crate) newest: Newest,
    /// The file's length.
    pub(crate) end: u64,
}

/// What is known of a sealed file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) salt: Salt,
    pub(crate) first: Csn,
    pub(crate) seal: Seal,
    /// By partition, rising.
    pub(crate) partitions: Vec<PartitionSummary>,
}

/// What a sealed file holds of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionSummary {
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) points: PointsPlace,
}

/// Where the points of one partition lie in an index file, and what they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PointsPlace {
    pub(crate) position: u32,
    pub(crate) count: u32,
    pub(crate) crc: u32,
}

#[cfg(test)]
mod tests;
