//! Entries: what a journal file is a run of.
//!
//! # Layout, version 1 (little-endian); an entry begins at a multiple of 8
//!
//! | at | bytes | entry |
//! |---:|---:|---|
//! | 0 | 64 | header |
//! | 64 | 80 × appends | table: a row for each append |
//! | | | the batches, in the order of the rows, one after another |
//! | | 0–7 | zeros up to a multiple of 8 |
//!
//! | at | bytes | header |
//! |---:|---:|---|
//! | 0 | 4 | magic, `LMEN` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | kind: 1 commit, 2 checkpoint, 3 recovered, 7 block, 8 coverage; a seal: 4 rolled, 5 stopped, 6 superseded, 9 cleaned |
//! | 6 | 2 | shard |
//! | 8 | 4 | header CRC: CRC-32C of the file's salt and all the header but this field |
//! | 12 | 4 | entry CRC of the commit before, 0 for the first |
//! | 16 | 4 | length of the entry in bytes, a multiple of 8 |
//! | 20 | 4 | appends |
//! | 24 | 8 | CSN; that of the commit before for other kinds |
//! | 32 | 8 | epoch |
//! | 40 | 8 | time, ms since the Unix epoch |
//! | 48 | 8 | durable CSN: the newest commit known durable when this was written |
//! | 56 | 4 | key id, 0: not encrypted |
//! | 60 | 4 | CRC-32C of the table |
//!
//! | at | bytes | row |
//! |---:|---:|---|
//! | 0 | 8 | topic |
//! | 8 | 4 | partition |
//! | 12 | 4 | 0 |
//! | 16 | 64 | envelope, with the batch's length and checksum |
//!
//! The *entry CRC* is the identity of a commit: the CRC-32C of its header without header CRC and
//! durable CSN (bytes 0–7, 12–47, 56–63), and through the table's CRC of all that the commit says.
//! It is the same in every copy of the commit, whatever file that lies in. The *header CRC* binds it
//! to one file, and can be checked without the table.
//!
//! A checkpoint, a seal and a recovery's completion record are bare headers. **They are written
//! only when all that lies before them in the file is durable**, so a whole one proves that.
//!
//! A segment holds blocks, the coverage of its partitions (`coverage.rs`) and its seal. A *block*
//! looks like a commit, but its appends are those of many commits to one partition, with the
//! envelopes that they had. All entries of a segment have the CSN and the time of the last commit of
//! the files that it was made from, and its seal has that one's entry CRC: the next file follows it.
//! Blocks and coverages have the entry CRC of the commit that the first of those files followed.
//! Nothing counts a segment before all of it is durable.

mod batches;

use logmill_model::{
    Csn, ENVELOPE_BYTES, Envelope, Epoch, PartitionId, ShardId, Timestamp, TopicId, limits,
};

use crate::coverage::Coverage;
use crate::file_header::Salt;
use crate::layout::{array_at, u16_at, u32_at, u64_at};
use crate::{LostRange, StoredBatch};

/// The size of an entry's header: all there is of an entry that is no commit.
pub(crate) const ENTRY_HEADER_BYTES: usize = 64;
/// The size of a row of the table of appends.
pub(crate) const ROW_BYTES: usize = 16 + ENVELOPE_BYTES;
/// Entries begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// What an entry begins with.
pub(crate) const MAGIC: [u8; 4] = *b"LMEN";
const VERSION: u8 = 1;

const _: () = assert!(limits::COMMIT_BYTES_MAX.is_multiple_of(ALIGNMENT));
const _: () = assert!(limits::APPENDS_MAX * ROW_BYTES < limits::COMMIT_BYTES_MAX);

/// The size of an entry with this many appends and bytes of batches: at most
/// [`limits::COMMIT_BYTES_MAX`] may be appended.
#[must_use]
pub const fn entry_bytes(appends: usize, batch_bytes: usize) -> usize {
    (ENTRY_HEADER_BYTES + appends * ROW_BYTES + batch_bytes).next_multiple_of(ALIGNMENT)
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Appends to partitions.
    Commit,
    /// Nothing new: an idle journal proves its last commit durable.
    Checkpoint,
    /// The file ends here.
    Seal(SealReason),
    /// What this file supersedes has been copied whole.
    Recovered,
    /// Appends of older commits to one partition.
    Block,
    /// Which offsets of which partitions a segment is all there is of.
    Coverage,
}

/// Why a file got no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealReason {
    /// It was full; the next file is there.
    Rolled,
    /// The broker was shut down.
    Stopped,
    /// A recovery copied what follows into a newer file, which is there.
    Superseded,
    /// The segment is whole.
    Cleaned,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Checkpoint => 2,
            Self::Recovered => 3,
            Self::Seal(SealReason::Rolled) => 4,
            Self::Seal(SealReason::Stopped) => 5,
            Self::Seal(SealReason::Superseded) => 6,
            Self::Block => 7,
            Self::Coverage => 8,
            Self::Seal(SealReason::Cleaned) => 9,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Commit,
            2 => Self::Checkpoint,
            3 => Self::Recovered,
            4 => Self::Seal(SealReason::Rolled),
            5 => Self::Seal(SealReason::Stopped),
            6 => Self::Seal(SealReason::Superseded),
            7 => Self::Block,
            8 => Self::Coverage,
            9 => Self::Seal(SealReason::Cleaned),
            _ => return None,
        })
    }
}

/// The fields of an entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: Kind,
    pub(crate) shard: ShardId,
    pub(crate) prev_crc: u32,
    pub(crate) length: u32,
    pub(crate) appends: u32,
    pub(crate) csn: Csn,
    pub(crate) epoch: Epoch,
    pub(crate) time: Timestamp,
    pub(crate) durable_csn: Csn,
    pub(crate) table_crc: u32,
}

/// CRC-32C of a table without rows.
pub(crate) const EMPTY_TABLE_CRC: u32 = 0;

impl EntryHeader {
    /// The header's bytes and the entry CRC.
    pub(crate) fn encode(&self, salt: Salt) -> ([u8; ENTRY_HEADER_BYTES], u32) {
        let mut bytes = [0; ENTRY_HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind.code();
        bytes[6..8].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.prev_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.appends.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.csn.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.time.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.durable_csn.0.to_le_bytes());
        bytes[60..].copy_from_slice(&self.table_crc.to_le_bytes());
        let header_crc = header_crc(salt, &bytes);
        bytes[8..12].copy_from_slice(&header_crc.to_le_bytes());
        (bytes, entry_crc(&bytes))
    }

    /// Reads a header, and the entry CRC with it, and checks what can be checked without the table.
    pub(crate) fn decode(
        raw: &[u8; ENTRY_HEADER_BYTES],
        salt: Salt,
    ) -> Result<(Self, u32), &'static str> {
        if raw[..4] != MAGIC {
            return Err("there is no entry");
        }
        if u32_at(raw, 8) != header_crc(salt, raw) {
            return Err("the checksum of the entry's header is wrong");
        }
        if raw[4] != VERSION || u32_at(raw, 56) != 0 {
            return Err("the entry has an unknown version or flags");
        }
        let header = Self {
            kind: Kind::from_code(raw[5]).ok_or("the entry has an unknown kind")?,
            shard: ShardId(u16_at(raw, 6)),
            prev_crc: u32_at(raw, 12),
            length: u32_at(raw, 16),
            appends: u32_at(raw, 20),
            csn: Csn(u64_at(raw, 24)),
            epoch: Epoch(u64_at(raw, 32)),
            time: Timestamp(u64_at(raw, 40)),
            durable_csn: Csn(u64_at(raw, 48)),
            table_crc: u32_at(raw, 60),
        };
        header.check_lengths()?;
        Ok((header, entry_crc(raw)))
    }

    fn check_lengths(&self) -> Result<(), &'static str> {
        let length = self.length as usize;
        if length > limits::COMMIT_BYTES_MAX || !length.is_multiple_of(ALIGNMENT) {
            return Err("the entry has an impossible length");
        }
        if self.appends as usize > limits::APPENDS_MAX || length < self.head_bytes() {
            return Err("the entry has more appends than it has room for");
        }
        match self.kind {
            Kind::Commit | Kind::Block => Ok(()),
            Kind::Coverage if length == self.head_bytes() => Ok(()),
            Kind::Checkpoint | Kind::Recovered | Kind::Seal(_) if length == ENTRY_HEADER_BYTES => {
                Ok(())
            }
            _ => Err("an entry of its kind has another length"),
        }
    }

    /// How much of the entry header and table take.
    fn head_bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.appends as usize * ROW_BYTES
    }
}

fn entry_crc(header: &[u8; ENTRY_HEADER_BYTES]) -> u32 {
    let crc = crc32c::crc32c(&header[..8]);
    let crc = crc32c::crc32c_append(crc, &header[12..48]);
    crc32c::crc32c_append(crc, &header[56..])
}

fn header_crc(salt: Salt, header: &[u8; ENTRY_HEADER_BYTES]) -> u32 {
    let crc = crc32c::crc32c(&salt.0);
    let crc = crc32c::crc32c_append(crc, &header[..8]);
    crc32c::crc32c_append(crc, &header[12..])
}

/// A row of the table of appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) partition: PartitionId,
    pub(crate) envelope: Envelope,
}

impl Row {
    /// The offsets of its batch.
    pub(crate) fn offsets(&self) -> LostRange {
        let (from, to) = (self.envelope.base_offset, self.envelope.end_offset());
        LostRange { partition: self.partition, from, to }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.partition.topic.0.to_le_bytes());
        out.extend(self.partition.index.to_le_bytes());
        out.extend([0; 4]);
        self.envelope.encode(out);
    }

    pub(crate) fn decode(bytes: &[u8; ROW_BYTES]) -> Result<Self, String> {
        if u32_at(bytes, 12) != 0 {
            return Err("a row has unknown flags".to_owned());
        }
        let envelope = Envelope::decode(&array_at(bytes, 16)).map_err(|error| error.to_string())?;
        let partition = PartitionId::new(TopicId(u64_at(bytes, 0)), u32_at(bytes, 8));
        Ok(Self { partition, envelope })
    }
}

/// The encoded table of a commit's appends, made ahead of the write.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: u32,
    /// The bytes of all batches.
    batch_bytes: usize,
}

impl Table {
    pub(crate) fn of(appends: &[StoredBatch]) -> Self {
        let mut bytes = Vec::with_capacity(appends.len() * ROW_BYTES);
        let mut batch_bytes = 0;
        for StoredBatch { partition, envelope, batch } in appends {
            Row { partition: *partition, envelope: *envelope }.encode(&mut bytes);
            batch_bytes += batch.bytes().len();
        }
        Self { crc: crc32c::crc32c(&bytes), bytes, batch_bytes }
    }

    /// The size of the whole entry, and how much of it is padding.
    pub(crate) fn entry_bytes(&self) -> (usize, usize) {
        let bare = ENTRY_HEADER_BYTES + self.bytes.len() + self.batch_bytes;
        let whole = bare.next_multiple_of(ALIGNMENT);
        (whole, whole - bare)
    }
}

/// Header and table of an entry whose checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) header: EntryHeader,
    pub(crate) entry_crc: u32,
    /// The appends of a commit or a block.
    pub(crate) rows: Vec<Row>,
    /// The table of a coverage.
    pub(crate) coverage: Vec<Coverage>,
}

/// What some bytes are, as far as they go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecodedHead {
    Head(Head),
    /// There could be an entry; this many bytes are needed to tell.
    Needs(usize),
    Bad(&'static str),
}

impl Head {
    /// Reads header and table of the entry that begins where `bytes` do.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> DecodedHead {
        if bytes.len() < ENTRY_HEADER_BYTES {
            return DecodedHead::Needs(ENTRY_HEADER_BYTES);
        }
        let (header, entry_crc) = match EntryHeader::decode(&array_at(bytes, 0), salt) {
            Ok(decoded) => decoded,
            Err(what) => return DecodedHead::Bad(what),
        };
        let Some(table) = bytes.get(ENTRY_HEADER_BYTES..header.head_bytes()) else {
            return DecodedHead::Needs(header.head_bytes());
        };
        if crc32c::crc32c(table) != header.table_crc {
            return DecodedHead::Bad("the checksum of the entry's table is wrong");
        }
        let table = table.chunks_exact(ROW_BYTES).map(|row| array_at(row, 0));
        let mut head = Self { header, entry_crc, rows: Vec::new(), coverage: Vec::new() };
        let read = if header.kind == Kind::Coverage {
            table
                .map(|row| Coverage::decode(&row))
                .collect::<Option<_>>()
                .map(|it| head.coverage = it)
        } else {
            table.map(|row| Row::decode(&row).ok()).collect::<Option<_>>().map(|it| head.rows = it)
        };
        match read {
            Some(()) => DecodedHead::Head(head),
            None => DecodedHead::Bad("its table breaks the layout"),
        }
    }
}

#[cfg(test)]
mod tests;
