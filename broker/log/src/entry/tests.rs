//! Golden bytes, round trips, and bytes that lie.

use bytes::Bytes;
use logmill_model::{Compression, Offset, ProducerStamp, Record, RecordBatch};
use proptest::prelude::*;

use super::*;

const SALT: Salt = Salt([7; 16]);

fn stored(partition: PartitionId, offset: u64, csn: Csn, value: &[u8]) -> StoredBatch {
    let record = Record { value: Some(Bytes::copy_from_slice(value)), ..Record::default() };
    let batch = RecordBatch::of([&record]).unwrap();
    let envelope = Envelope {
        base_offset: Offset(offset),
        append_ts: Timestamp(9),
        csn,
        producer: Some(ProducerStamp { id: 1, epoch: 2, first_sequence: 3 }),
        last_delta: batch.last_delta(),
        records: batch.record_count(),
        bytes: u32::try_from(batch.bytes().len()).unwrap(),
        crc: batch.crc(),
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    };
    StoredBatch { partition, envelope, batch }
}

fn header(kind: Kind, length: usize, appends: usize, table_crc: u32) -> EntryHeader {
    EntryHeader {
        kind,
        shard: ShardId(0x11),
        prev_crc: 0x22,
        length: u32::try_from(length).unwrap(),
        appends: u32::try_from(appends).unwrap(),
        csn: Csn(0x33),
        epoch: Epoch(0x44),
        time: Timestamp(0x55),
        durable_csn: Csn(0x32),
        table_crc,
    }
}

fn encode(appends: &[StoredBatch], salt: Salt) -> (Vec<u8>, u32) {
    encode_as(Kind::Commit, appends, salt)
}

fn encode_as(kind: Kind, appends: &[StoredBatch], salt: Salt) -> (Vec<u8>, u32) {
    let table = Table::of(appends);
    let (whole, padding) = table.entry_bytes();
    let (head, crc) = header(kind, whole, appends.len(), table.crc).encode(salt);
    let mut bytes = head.to_vec();
    bytes.extend(&table.bytes);
    appends.iter().for_each(|append| bytes.extend(append.batch.bytes()));
    bytes.extend(vec![0; padding]);
    (bytes, crc)
}

fn decode(bytes: &[u8], salt: Salt) -> Option<(Head, Vec<StoredBatch>)> {
    match Head::decode(bytes, salt) {
        DecodedHead::Head(head) => {
            let batches = head.batches(&Bytes::copy_from_slice(bytes)).ok()?;
            Some((head, batches))
        }
        _ => None,
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let append = stored(PartitionId::new(TopicId(0x77), 0x66), 0x88, Csn(0x33), b"abc");
    let (bytes, crc) = encode(std::slice::from_ref(&append), SALT);
    #[rustfmt::skip]
    let golden = [
        b'L', b'M', b'E', b'N', 1, 1, 0x11, 0,  0x24, 0x94, 0x48, 0x13,  0x22, 0, 0, 0,
        192, 0, 0, 0,  1, 0, 0, 0,  0x33, 0, 0, 0, 0, 0, 0, 0,  0x44, 0, 0, 0, 0, 0, 0, 0,
        0x55, 0, 0, 0, 0, 0, 0, 0,  0x32, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  0x96, 0x02, 0xc0, 0x83,
        0x77, 0, 0, 0, 0, 0, 0, 0,  0x66, 0, 0, 0,  0, 0, 0, 0,
        0x88, 0, 0, 0, 0, 0, 0, 0,  9, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[..golden.len()], golden);
    assert_eq!(crc, 0x03fb_4cf1);
    let batch = append.batch.bytes();
    assert_eq!(bytes[144..144 + batch.len()], batch[..]);
    assert_eq!(bytes[144 + batch.len()..], [0]);
    assert_eq!(entry_bytes(1, batch.len()), bytes.len());
}

#[test]
fn other_kinds_are_bare_headers() {
    for (kind, code) in [
        (Kind::Checkpoint, 2),
        (Kind::Recovered, 3),
        (Kind::Seal(SealReason::Rolled), 4),
        (Kind::Seal(SealReason::Stopped), 5),
        (Kind::Seal(SealReason::Superseded), 6),
        (Kind::Seal(SealReason::Cleaned), 9),
    ] {
        let header = header(kind, ENTRY_HEADER_BYTES, 0, EMPTY_TABLE_CRC);
        let (bytes, _) = header.encode(SALT);
        assert_eq!(bytes[5], code);
        let (head, batches) = decode(&bytes, SALT).unwrap();
        assert_eq!(head.header, header);
        assert!(batches.is_empty());
    }
}

#[test]
fn a_block_holds_appends_as_a_commit_does() {
    let partition = PartitionId::new(TopicId(0x77), 0x66);
    let appends = [stored(partition, 0, Csn(0x11), b"a"), stored(partition, 7, Csn(0x22), b"b")];
    let (bytes, _) = encode_as(Kind::Block, &appends, SALT);
    assert_eq!(bytes[5], 7);
    let (head, batches) = decode(&bytes, SALT).unwrap();
    assert_eq!((head.header.kind, &batches[..]), (Kind::Block, &appends[..]));
}

#[test]
fn a_coverage_is_a_table_of_partitions() {
    let mut row = [0; ROW_BYTES];
    (row[0], row[8], row[16], row[24]) = (0x77, 0x66, 0x11, 0x22);
    let table = [row, row].concat();
    let length = ENTRY_HEADER_BYTES + table.len();
    let (head, _) = header(Kind::Coverage, length, 2, crc32c::crc32c(&table)).encode(SALT);
    assert_eq!(head[5], 8);
    let bytes = [&head[..], &table].concat();
    let DecodedHead::Head(head) = Head::decode(&bytes, SALT) else { panic!("it is a coverage") };
    let expected = Coverage {
        partition: PartitionId::new(TopicId(0x77), 0x66),
        base: Offset(0x11),
        end: Offset(0x22),
        first_time: Timestamp(0),
        last_time: Timestamp(0),
    };
    assert_eq!((head.rows.len(), head.coverage), (0, vec![expected; 2]));
    let (short, _) = header(Kind::Coverage, length + 8, 2, crc32c::crc32c(&table)).encode(SALT);
    let bytes = [&short[..], &table, &[0; 8]].concat();
    assert!(matches!(Head::decode(&bytes, SALT), DecodedHead::Bad(_)));
}

#[test]
fn an_entry_is_the_same_in_another_file_but_not_for_it() {
    let append = stored(PartitionId::CATALOG, 0, Csn(0x33), b"x");
    let (bytes, crc) = encode(std::slice::from_ref(&append), SALT);
    let (copy, copy_crc) = encode(std::slice::from_ref(&append), Salt([8; 16]));
    assert_eq!(crc, copy_crc);
    assert_ne!(bytes[8..12], copy[8..12]);
    assert_eq!(decode(&bytes, Salt([8; 16])), None);
}

#[test]
fn any_flipped_bit_is_found() {
    let appends = [
        stored(PartitionId::CATALOG, 0, Csn(0x33), b"x"),
        stored(PartitionId::CURSORS, 5, Csn(0x33), b"yz"),
    ];
    let (good, _) = encode(&appends, SALT);
    assert_eq!(decode(&good, SALT).unwrap().1, appends);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(decode(&bad, SALT), None, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_cut_entry_asks_for_what_is_missing() {
    let append = stored(PartitionId::CATALOG, 0, Csn(0x33), b"x");
    let (bytes, _) = encode(std::slice::from_ref(&append), SALT);
    assert_eq!(Head::decode(&bytes[..63], SALT), DecodedHead::Needs(64));
    assert_eq!(Head::decode(&bytes[..143], SALT), DecodedHead::Needs(144));
    assert!(matches!(Head::decode(&bytes[..144], SALT), DecodedHead::Head(_)));
}

proptest! {
    #[test]
    fn a_commit_reads_as_it_was_written(
        values in prop::collection::vec(
            (any::<u64>(), any::<u32>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..200)),
            0..20,
        ),
        salt in any::<[u8; 16]>(),
    ) {
        let appends: Vec<StoredBatch> = values
            .iter()
            .map(|(topic, index, offset, value)| {
                stored(PartitionId::new(TopicId(*topic), *index), *offset, Csn(0x33), value)
            })
            .collect();
        let (bytes, crc) = encode(&appends, Salt(salt));
        let (head, batches) = decode(&bytes, Salt(salt)).unwrap();
        prop_assert_eq!(head.entry_crc, crc);
        prop_assert_eq!(batches, appends);
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        honest in any::<bool>(),
    ) {
        if honest && bytes.len() >= 6 {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4] = VERSION;
            bytes[5] = bytes[5] % 9 + 1;
        }
        if let DecodedHead::Needs(more) = Head::decode(&bytes, SALT) {
            prop_assert!(more > bytes.len() && more <= limits::COMMIT_BYTES_MAX);
        }
    }
}
