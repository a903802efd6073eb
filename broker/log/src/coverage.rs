//! Which offsets of a partition a segment is all there is of.
//!
//! A journal file is dense: an offset that it should have and has not is lost. A segment may have
//! holes, where records were compacted away, before its first batch, between its batches and after
//! its last one. Its coverage, which is durable with it, tells the one from the other.
//!
//! # Layout: a row of the table of a coverage entry, 80 bytes (little-endian)
//!
//! | at | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | topic |
//! | 8 | 4 | partition |
//! | 12 | 4 | flags: bit 0 compacted; others 0 |
//! | 16 | 8 | first offset |
//! | 24 | 8 | offset after the last |
//! | 32 | 48 | 0 |

use logmill_model::{Offset, PartitionId, TopicId};

use crate::entry::ROW_BYTES;
use crate::layout::{u32_at, u64_at};

const COMPACTED: u32 = 1;
const FIELDS_BYTES: usize = 32;

/// What a segment says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    /// Whether only the last value of each key was kept. A hint for the cleaner, to spare a pass.
    pub(crate) compacted: bool,
}

impl Coverage {
    /// None when the bytes break the layout.
    pub(crate) fn decode(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let flags = u32_at(bytes, 12);
        let (base, end) = (Offset(u64_at(bytes, 16)), Offset(u64_at(bytes, 24)));
        let is_zero = bytes[FIELDS_BYTES..].iter().all(|byte| *byte == 0);
        (flags & !COMPACTED == 0 && base <= end && is_zero).then(|| Self {
            partition: PartitionId::new(TopicId(u64_at(bytes, 0)), u32_at(bytes, 8)),
            base,
            end,
            compacted: flags & COMPACTED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let coverage = Coverage {
            partition: PartitionId::new(TopicId(0x11), 0x22),
            base: Offset(0x33),
            end: Offset(0x44),
            compacted: true,
        };
        let mut golden = [0; ROW_BYTES];
        (golden[0], golden[8], golden[12], golden[16], golden[24]) = (0x11, 0x22, 1, 0x33, 0x44);
        assert_eq!(Coverage::decode(&golden), Some(coverage));
        for (at, bad) in [(12, 2), (24, 0x32), (32, 1), (79, 1)] {
            let mut bytes = golden;
            bytes[at] = bad;
            assert_eq!(Coverage::decode(&bytes), None, "{at}");
        }
    }
}
