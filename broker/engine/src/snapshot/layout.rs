//! The bytes of a snapshot.
//!
//! # Layout, version 1 (little-endian)
//!
//! | at | bytes | snapshot |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LOGMILLV` |
//! | 8 | 1 | version, 1 |
//! | 9 | 3 | 0 |
//! | 12 | 4 | CRC-32C of all that follows |
//! | 16 | 16 | cluster |
//! | 32 | 4 | partitions |
//! | 36 | 4 | 0 |
//! | 40 | | the partitions, one after another |
//!
//! | at | bytes | partition |
//! |---:|---:|---|
//! | 0 | 8 | topic |
//! | 8 | 4 | index |
//! | 12 | 4 | entry CRC of the entry with the newest record; 0 when it is not known |
//! | 16 | 8 | CSN of that entry; 0 when there is none |
//! | 24 | 8 | next offset |
//! | 32 | 4 | batches |
//! | 36 | 4 | 0 |
//! | 40 | | the batches, each as 4 bytes of length, 4 bytes of CRC-32C, and a record batch |

use bytes::{Buf, BufMut, Bytes};
use logmill_log::EntryId;
use logmill_model::{ClusterId, Csn, Offset, PartitionId, RecordBatch, TopicId};

const MAGIC: [u8; 8] = *b"LOGMILLV";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 40;
const CHECKED_FROM: usize = 16;
const PARTITION_BYTES: usize = 40;
const BATCH_HEAD_BYTES: usize = 8;

/// What the internal topics say, as of an entry each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) cluster: ClusterId,
    pub(crate) partitions: Vec<PartitionSnapshot>,
}

/// One internal partition: the records that are the newest of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionSnapshot {
    pub(crate) partition: PartitionId,
    /// The entry that holds the record before `next`; None in an empty partition.
    pub(crate) newest: Option<EntryId>,
    /// The first offset that is not part of it.
    pub(crate) next: Offset,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_bytes(0, 7);
        out.put_slice(&self.cluster.0);
        out.put_u32_le(count(self.partitions.len()));
        out.put_u32_le(0);
        for partition in &self.partitions {
            partition.encode(&mut out);
        }
        let crc = crc32c::crc32c(&out[CHECKED_FROM..]);
        out[12..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a snapshot; None when the bytes are not one that was written whole, by this version.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let head = bytes.get(..HEAD_BYTES)?;
        if head[..8] != MAGIC || head[8] != VERSION || head[9..12] != [0; 3] {
            return None;
        }
        let crc = u32::from_le_bytes(head[12..CHECKED_FROM].try_into().ok()?);
        if crc32c::crc32c(&bytes[CHECKED_FROM..]) != crc {
            return None;
        }
        bytes.advance(CHECKED_FROM);
        let cluster = ClusterId(bytes.split_to(16)[..].try_into().ok()?);
        let (partitions, reserved) = (bytes.get_u32_le(), bytes.get_u32_le());
        if reserved != 0 || (partitions as usize).checked_mul(PARTITION_BYTES)? > bytes.len() {
            return None;
        }
        let partitions = (0..partitions).map(|_| PartitionSnapshot::decode(&mut bytes));
        let partitions = partitions.collect::<Option<_>>()?;
        bytes.is_empty().then_some(Self { cluster, partitions })
    }
}

impl PartitionSnapshot {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.partition.topic.0);
        out.put_u32_le(self.partition.index);
        out.put_u32_le(self.newest.and_then(|entry| entry.crc).unwrap_or(0));
        out.put_u64_le(self.newest.map_or(0, |entry| entry.csn.0));
        out.put_u64_le(self.next.0);
        out.put_u32_le(count(self.batches.len()));
        out.put_u32_le(0);
        for batch in &self.batches {
            out.put_u32_le(count(batch.bytes().len()));
            out.put_u32_le(batch.crc());
            out.put_slice(batch.bytes());
        }
    }

    fn decode(bytes: &mut Bytes) -> Option<Self> {
        if bytes.len() < PARTITION_BYTES {
            return None;
        }
        let partition = PartitionId::new(TopicId(bytes.get_u64_le()), bytes.get_u32_le());
        let (crc, csn) = (bytes.get_u32_le(), Csn(bytes.get_u64_le()));
        let crc = (crc != 0).then_some(crc);
        let newest = (csn > Csn::ZERO).then_some(EntryId { csn, crc });
        let next = Offset(bytes.get_u64_le());
        let (batches, reserved) = (bytes.get_u32_le(), bytes.get_u32_le());
        if reserved != 0 || (batches as usize).checked_mul(BATCH_HEAD_BYTES)? > bytes.len() {
            return None;
        }
        let batches = (0..batches).map(|_| batch(bytes)).collect::<Option<_>>()?;
        Some(Self { partition, newest, next, batches })
    }
}

fn batch(bytes: &mut Bytes) -> Option<RecordBatch> {
    if bytes.len() < BATCH_HEAD_BYTES {
        return None;
    }
    let (length, crc) = (bytes.get_u32_le() as usize, bytes.get_u32_le());
    (length <= bytes.len())
        .then(|| bytes.split_to(length))
        .and_then(|it| RecordBatch::check(it, crc).ok())
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("internal topics have fewer than 2³² batches, each of a few MiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use logmill_model::Record;

    fn snapshot() -> Snapshot {
        let record = |key: &'static [u8], value: &'static [u8]| Record {
            key: Some(Bytes::from_static(key)),
            value: Some(Bytes::from_static(value)),
            ..Record::default()
        };
        Snapshot {
            cluster: ClusterId([7; 16]),
            partitions: vec![
                PartitionSnapshot {
                    partition: PartitionId::CATALOG,
                    newest: Some(EntryId { csn: Csn(5), crc: Some(6) }),
                    next: Offset(7),
                    batches: vec![
                        RecordBatch::of(&[record(b"a", b"1"), record(b"b", b"2")]).unwrap(),
                        RecordBatch::of(&[record(b"c", b"3")]).unwrap(),
                    ],
                },
                PartitionSnapshot {
                    partition: PartitionId::CURSORS,
                    newest: None,
                    next: Offset(0),
                    batches: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn a_snapshot_comes_back() {
        let snapshot = snapshot();
        assert_eq!(Snapshot::decode(snapshot.encode().into()), Some(snapshot));
    }

    #[test]
    fn a_snapshot_that_was_cut_or_changed_anywhere_is_none() {
        let bytes = snapshot().encode();
        for end in 0..bytes.len() {
            assert_eq!(Snapshot::decode(Bytes::copy_from_slice(&bytes[..end])), None, "{end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Snapshot::decode(flipped.into()), None, "{bit}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Snapshot::decode(longer.into()), None);
    }

    #[test]
    fn a_snapshot_has_golden_bytes() {
        let empty = Snapshot { partitions: vec![snapshot().partitions.remove(1)], ..snapshot() };
        let mut expected = b"LOGMILLV\x01\0\0\0".to_vec();
        expected.extend([0; 4]);
        expected.extend([7; 16]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0; 32]);
        let crc = crc32c::crc32c(&expected[16..]);
        expected[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(empty.encode(), expected);
    }
}
