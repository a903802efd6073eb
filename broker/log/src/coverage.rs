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
//! | 12 | 4 | 0 |
//! | 16 | 8 | first offset |
//! | 24 | 8 | offset after the last |
//! | 32 | 8 | append time of the batch at the first offset |
//! | 40 | 8 | append time of the batch at the last offset |
//! | 48 | 32 | 0 |

use logmill_model::{Offset, PartitionId, Timestamp, TopicId};

use crate::entry::ROW_BYTES;
use crate::layout::{u32_at, u64_at};

const FIELDS_BYTES: usize = 48;

/// What a segment says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    /// Of the batches that were there, kept or not, so that a time finds its place between others.
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
}

impl Coverage {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + ROW_BYTES;
        out.extend(self.partition.topic.0.to_le_bytes());
        out.extend(self.partition.index.to_le_bytes());
        out.extend([0; 4]);
        for field in [self.base.0, self.end.0, self.first_time.0, self.last_time.0] {
            out.extend(field.to_le_bytes());
        }
        out.resize(end, 0);
    }

    /// None when the bytes break the layout.
    pub(crate) fn decode(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let (base, end) = (Offset(u64_at(bytes, 16)), Offset(u64_at(bytes, 24)));
        let is_zero = bytes[FIELDS_BYTES..].iter().all(|byte| *byte == 0);
        (u32_at(bytes, 12) == 0 && base <= end && is_zero).then(|| Self {
            partition: PartitionId::new(TopicId(u64_at(bytes, 0)), u32_at(bytes, 8)),
            base,
            end,
            first_time: Timestamp(u64_at(bytes, 32)),
            last_time: Timestamp(u64_at(bytes, 40)),
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
            first_time: Timestamp(0x55),
            last_time: Timestamp(0x66),
        };
        let mut bytes = Vec::new();
        coverage.encode(&mut bytes);
        let mut golden = [0; ROW_BYTES];
        (golden[0], golden[8]) = (0x11, 0x22);
        (golden[16], golden[24], golden[32], golden[40]) = (0x33, 0x44, 0x55, 0x66);
        assert_eq!(bytes, golden);
        assert_eq!(Coverage::decode(&golden), Some(coverage));
        for (at, bad) in [(12, 1), (24, 0x32), (48, 1), (79, 1)] {
            let mut bytes = golden;
            bytes[at] = bad;
            assert_eq!(Coverage::decode(&bytes), None, "{at}");
        }
    }
}
