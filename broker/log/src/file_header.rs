//! The head of a file of the log: what it is, what it belongs to, and the salt that makes its entries
//! its own.
//!
//! # Layout, version 1: 4096 bytes (little-endian)
//!
//! | at | bytes | file header |
//! |---:|---:|---|
//! | 0 | 80 | the fields below |
//! | 2048 | 80 | the same again, so that one bad sector takes nothing |
//! | | | zeros between and after |
//!
//! | at | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LOGMILLJ` |
//! | 8 | 1 | format version, 1 |
//! | 9 | 1 | kind: 0 journal, 1 segment |
//! | 10 | 2 | shard |
//! | 12 | 4 | 0 |
//! | 16 | 16 | cluster id |
//! | 32 | 16 | salt: random, never sent out |
//! | 48 | 8 | CSN of the first entry; of a segment, that of the first file that it was made from |
//! | 56 | 8 | epoch: the start that made the file |
//! | 64 | 8 | supersedes: 0, or the CSN from which on this file replaces all older ones; 0 in a segment |
//! | 72 | 4 | 0 |
//! | 76 | 4 | CRC-32C of the 76 bytes before |
//!
//! The salt goes into the checksum of every entry's header. So no bytes that a client sent, and no
//! bytes left over from another file, can pass for an entry of this one.

use logmill_model::{ClusterId, Csn, Epoch, ShardId};

use crate::Error;
use crate::layout::{array_at, u16_at, u32_at, u64_at};

/// How much of a file its header takes: the entries begin here.
pub(crate) const FILE_HEADER_BYTES: usize = 4096;
/// The newest format that this crate reads, and the one it writes.
pub(crate) const FORMAT_VERSION: u8 = 1;
const MAGIC: [u8; 8] = *b"LOGMILLJ";
const FIELDS_BYTES: usize = 80;
const CRC_AT: usize = 76;
const COPIES_AT: [usize; 2] = [0, 2048];

const _: () = assert!(COPIES_AT[1] + FIELDS_BYTES <= FILE_HEADER_BYTES);

/// 128 random bits of one file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) [u8; 16]);

impl Salt {
    /// A new one, for the file at `path`.
    pub(crate) fn random(path: &str) -> Result<Self, Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| {
            Error::io("draw random bytes for", path, std::io::Error::other(error.to_string()))
        })?;
        Ok(Self(salt))
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

/// What a file of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Commits, in the order in which they were made.
    Journal,
    /// What the cleaner kept of older files, sorted by partition.
    Segment,
}

impl FileKind {
    fn code(self) -> u8 {
        match self {
            Self::Journal => 0,
            Self::Segment => 1,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Journal),
            1 => Some(Self::Segment),
            _ => None,
        }
    }
}

/// The fields of a file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: FileKind,
    pub(crate) shard: ShardId,
    pub(crate) cluster: ClusterId,
    pub(crate) salt: Salt,
    pub(crate) first: Csn,
    pub(crate) epoch: Epoch,
    pub(crate) supersedes: Option<Csn>,
}

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodedFileHeader {
    Header(FileHeader),
    /// Of a newer format; its fields mean nothing to us.
    Newer(u8),
    /// Neither copy is whole.
    Bad,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut fields = [0; FIELDS_BYTES];
        fields[..8].copy_from_slice(&MAGIC);
        fields[8] = FORMAT_VERSION;
        fields[9] = self.kind.code();
        fields[10..12].copy_from_slice(&self.shard.0.to_le_bytes());
        fields[16..32].copy_from_slice(&self.cluster.0);
        fields[32..48].copy_from_slice(&self.salt.0);
        fields[48..56].copy_from_slice(&self.first.0.to_le_bytes());
        fields[56..64].copy_from_slice(&self.epoch.0.to_le_bytes());
        fields[64..72].copy_from_slice(&self.supersedes.map_or(0, |csn| csn.0).to_le_bytes());
        let crc = crc32c::crc32c(&fields[..CRC_AT]);
        fields[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        let mut bytes = [0; FILE_HEADER_BYTES];
        for at in COPIES_AT {
            bytes[at..at + FIELDS_BYTES].copy_from_slice(&fields);
        }
        bytes
    }

    /// Reads the first bytes of a file, however many there are.
    pub(crate) fn decode(bytes: &[u8]) -> DecodedFileHeader {
        let copies = COPIES_AT.map(|at| match bytes.get(at..at + FIELDS_BYTES) {
            Some(fields) => Self::decode_copy(fields),
            None => DecodedFileHeader::Bad,
        });
        let [first, second] = copies;
        match (first, second) {
            (DecodedFileHeader::Header(_), _) | (_, DecodedFileHeader::Bad) => first,
            _ => second,
        }
    }

    fn decode_copy(fields: &[u8]) -> DecodedFileHeader {
        if fields[..8] != MAGIC {
            return DecodedFileHeader::Bad;
        }
        if fields[8] > FORMAT_VERSION {
            return DecodedFileHeader::Newer(fields[8]);
        }
        if fields[8] != FORMAT_VERSION
            || u32_at(fields, CRC_AT) != crc32c::crc32c(&fields[..CRC_AT])
        {
            return DecodedFileHeader::Bad;
        }
        let Some(kind) = FileKind::from_code(fields[9]) else { return DecodedFileHeader::Bad };
        let supersedes = u64_at(fields, 64);
        DecodedFileHeader::Header(Self {
            kind,
            shard: ShardId(u16_at(fields, 10)),
            cluster: ClusterId(array_at(fields, 16)),
            salt: Salt(array_at(fields, 32)),
            first: Csn(u64_at(fields, 48)),
            epoch: Epoch(u64_at(fields, 56)),
            supersedes: (supersedes != 0).then_some(Csn(supersedes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> FileHeader {
        FileHeader {
            kind: FileKind::Journal,
            shard: ShardId(0x21),
            cluster: ClusterId([0x11; 16]),
            salt: Salt([0x22; 16]),
            first: Csn(0x33),
            epoch: Epoch(0x44),
            supersedes: Some(Csn(0x33)),
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut golden = Vec::new();
        golden.extend(b"LOGMILLJ");
        golden.extend([1, 0, 0x21, 0, 0, 0, 0, 0]);
        golden.extend([0x11; 16]);
        golden.extend([0x22; 16]);
        golden.extend([0x33, 0, 0, 0, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([0x33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend(0x8261_9ed9_u32.to_le_bytes());
        let bytes = example().encode();
        assert_eq!(bytes[..80], golden);
        assert_eq!(bytes[2048..2128], golden);
        assert!(bytes[80..2048].iter().chain(&bytes[2128..]).all(|byte| *byte == 0));
    }

    #[test]
    fn a_segment_says_that_it_is_one() {
        let segment = FileHeader { kind: FileKind::Segment, supersedes: None, ..example() };
        let bytes = segment.encode();
        assert_eq!(bytes[9], 1);
        assert_eq!(FileHeader::decode(&bytes), DecodedFileHeader::Header(segment));
    }

    #[test]
    fn one_whole_copy_is_enough() {
        let good = example().encode();
        for at in (0..80).chain(2048..2128) {
            let mut bytes = good;
            bytes[at] ^= 0x10;
            assert_eq!(FileHeader::decode(&bytes), DecodedFileHeader::Header(example()), "{at}");
            bytes[(at + 2048) % 4096] ^= 1;
            assert!(!matches!(FileHeader::decode(&bytes), DecodedFileHeader::Header(_)), "{at}");
        }
        assert_eq!(FileHeader::decode(&good[..80]), DecodedFileHeader::Header(example()));
        for short in [0, 1, 79] {
            assert_eq!(FileHeader::decode(&good[..short]), DecodedFileHeader::Bad);
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_garbage() {
        let mut bytes = example().encode();
        bytes[8] = 2;
        bytes[2048 + 8] = 2;
        assert_eq!(FileHeader::decode(&bytes), DecodedFileHeader::Newer(2));
        assert_eq!(FileHeader::decode(&[0xff; 4096]), DecodedFileHeader::Bad);
    }
}
