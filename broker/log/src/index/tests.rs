//! The bytes of an index, where points begin, and what bad bytes are: nothing.

use logmill_model::{Compression, TopicId};
use proptest::prelude::*;

use super::*;

fn envelope(base: u64, records: u32, bytes: u32, time: u64) -> Envelope {
    Envelope {
        base_offset: Offset(base),
        append_ts: Timestamp(time),
        csn: Csn(1),
        producer: None,
        last_delta: records - 1,
        records,
        bytes,
        crc: 0,
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    }
}

fn seal() -> Seal {
    let newest = Newest { csn: Csn(0x44), entry_crc: 0x66, time: Timestamp(0x55) };
    Seal { reason: SealReason::Rolled, prev_crc: 0x77, newest, end: 0x2000 }
}

const SALT: Salt = Salt([0x22; 16]);

fn partition(index: u32) -> PartitionId {
    PartitionId::new(TopicId(0x11), index)
}

fn points_of(index: &PartitionIndex) -> Vec<(u32, u32)> {
    index.points.iter().map(|point| (point.position, point.bytes)).collect()
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut builder = IndexBuilder::default();
    let place = |position, bytes| EntryPlace { position, bytes };
    builder.add(partition(2), place(0x1100, 0x100), &envelope(0, 2, 0x40, 0x50));
    builder.add(partition(1), place(0x1000, 0x100), &envelope(9, 3, 0x20, 0x51));
    builder.add(partition(1), place(0xf000, 0x100), &envelope(12, 1, 0x20, 0x55));
    let (summary, bytes) = builder.finish(SALT, Csn(0x33), seal());
    let mut points = Vec::new();
    points.extend([9, 0, 0, 0, 0, 0, 0, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0]);
    points.extend([12, 0, 0, 0, 0, 0, 0, 0, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0, 0, 0, 1, 0, 0]);
    let second = [0_u8, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 1, 0, 0];
    let mut golden = Vec::new();
    golden.extend(b"LOGMILLI");
    golden.extend([1, 4, 0, 0]);
    let rest = golden.len() + 4;
    golden.extend([0; 4]);
    golden.extend([0x22; 16]);
    golden
        .extend([0x33, 0, 0, 0, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0x55, 0, 0, 0, 0, 0, 0, 0]);
    golden
        .extend([0x66, 0, 0, 0, 0x77, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let mut row = |fields: [u8; 6], crc: u32, (at, count): (u64, u32), index| {
        golden.extend([0x11, 0, 0, 0, 0, 0, 0, 0, index, 0, 0, 0]);
        golden.extend(crc.to_le_bytes());
        fields.iter().for_each(|field| golden.extend([*field, 0, 0, 0, 0, 0, 0, 0]));
        golden.extend(at.to_le_bytes());
        golden.extend(count.to_le_bytes());
        golden.extend([0; 4]);
    };
    row([9, 13, 4, 0xc0, 0x51, 0x55], crc32c::crc32c(&points), (240, 2), 1);
    row([0, 2, 2, 0x80, 0x50, 0x50], crc32c::crc32c(&second), (288, 1), 2);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&golden[..12]), &golden[rest..]);
    golden[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode_summary(&golden), Some(summary));
    golden.extend(points);
    golden.extend(second);
    assert_eq!(bytes, golden);
}

#[test]
fn a_point_is_entries_that_lie_near_one_another_or_one_entry() {
    let place = |position, bytes| EntryPlace { position, bytes };
    let mut index = PartitionIndex::before(&envelope(0, 1, 100, 1));
    index.add(place(4096, 16 * 1024), &envelope(0, 1, 100, 1));
    index.add(place(4096 + 16 * 1024, 16 * 1024), &envelope(1, 1, 100, 2));
    assert_eq!(points_of(&index), [(4096, 32 * 1024)]);
    index.add(place(50_000, 8), &envelope(2, 1, 100, 3));
    index.add(place(60_000, 1_000_000), &envelope(3, 1, 100, 4));
    index.add(place(60_000, 1_000_000), &envelope(4, 1, 100, 4));
    index.add(place(1_060_000, 8), &envelope(5, 1, 100, 5));
    let expected = [(4096, 32 * 1024), (50_000, 8), (60_000, 1_000_000), (1_060_000, 8)];
    assert_eq!(points_of(&index), expected);
    assert_eq!((index.end, index.records, index.bytes), (Offset(6), 6, 6 * 164));
    assert_eq!((index.first_time, index.last_time), (Timestamp(1), Timestamp(5)));
}

/// Entries of some partitions, in the order of a file.
fn entries() -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
    prop::collection::vec((0..4_u32, 1..50_u32, 1..30_000_u32), 0..200)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(entries in entries()) {
        let mut builder = IndexBuilder::default();
        let (mut ends, mut position) = ([5_u64; 4], 4096);
        for (n, (index, records, bytes)) in entries.iter().enumerate() {
            let end = &mut ends[*index as usize];
            let place = EntryPlace { position, bytes: bytes + 200 };
            builder.add(partition(*index), place, &envelope(*end, *records, *bytes, n as u64));
            *end += u64::from(*records);
            position += bytes + 200;
        }
        let before = builder.partitions.clone();
        let (summary, bytes) = builder.finish(SALT, Csn(3), seal());
        let header = *bytes.first_chunk().unwrap();
        let length = usize::try_from(summary_bytes(&header).unwrap()).unwrap();
        prop_assert_eq!(decode_summary(&bytes[..length]), Some(summary.clone()));
        prop_assert_eq!(summary.partitions.len(), before.len());
        for row in summary.partitions {
            let begin = row.points.position as usize;
            let points = decode_points(&bytes[begin..begin + row.points.bytes()], row.points);
            let expected = &before[&row.partition];
            prop_assert_eq!(points.as_ref(), Some(&expected.points));
            prop_assert_eq!((row.base, row.end), (expected.base, expected.end));
            prop_assert_eq!((row.records, row.bytes), (expected.records, expected.bytes));
        }
    }

    #[test]
    fn any_bytes_are_an_index_or_nothing(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        honest in any::<bool>(),
        place in (any::<u32>(), any::<u32>()),
    ) {
        if honest && bytes.len() >= SUMMARY_HEADER_BYTES {
            bytes[..8].copy_from_slice(b"LOGMILLI");
            bytes[8] = 1;
            bytes[74..76].fill(0);
            let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(summary) = decode_summary(&bytes) {
            prop_assert_eq!(bytes.len(), 80 + 80 * summary.partitions.len());
        }
        let place = PointsPlace { position: place.0, count: place.1 % 20, crc: crc32c::crc32c(&bytes) };
        if let Some(points) = decode_points(&bytes, place) {
            prop_assert_eq!(bytes.len(), 24 * points.len());
        }
    }
}

#[test]
fn one_flipped_bit_makes_a_summary_or_points_nothing() {
    let mut builder = IndexBuilder::default();
    let place = EntryPlace { position: 4096, bytes: 1000 };
    builder.add(partition(0), place, &envelope(0, 1, 100, 1));
    builder.add(partition(1), place, &envelope(0, 1, 100, 1));
    let (summary, bytes) = builder.finish(SALT, Csn(3), seal());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let header = summary_bytes(bad.first_chunk().unwrap());
        let is_read = header == Some(240) && decode_summary(&bad[..240]) == Some(summary.clone());
        let points = |row: &PartitionSummary| {
            let begin = row.points.position as usize;
            decode_points(&bad[begin..begin + row.points.bytes()], row.points).is_some()
        };
        assert_eq!(is_read, bit >= 240 * 8, "bit {bit}");
        assert_eq!(summary.partitions.iter().all(points), bit < 240 * 8, "bit {bit}");
    }
}
