//! Golden bytes, round trips, and bytes that lie.

use proptest::prelude::*;

use super::*;
use crate::{Header, Timestamp};

mod compressed;

fn example() -> Record {
    Record {
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"val")),
        headers: vec![Header::new("h", &b"x"[..])],
        create_ts: Timestamp(0x0102),
    }
}

fn plain(batch: &RecordBatch) -> PlainBatch {
    batch.plain().unwrap()
}

fn checked(bytes: &[u8]) -> Result<RecordBatch, Error> {
    RecordBatch::check(Bytes::copy_from_slice(bytes), crc32c::crc32c(bytes))
}

#[test]
fn the_layout_is_the_documented_one() {
    let batch = RecordBatch::of([&example(), &Record::default()]).unwrap();
    #[rustfmt::skip]
    let golden = [
        1, 0, 0, 0,  2, 0, 0, 0,  1, 0, 0, 0,  68, 0, 0, 0,
        36, 0, 0, 0,  0, 0, 0, 0,  2, 1, 0, 0, 0, 0, 0, 0,  3, 0,  1, 0,  1, 0, 0, 0,  3, 0, 0, 0,
        b'k', b'v', b'a', b'l',  1, 0,  1, 0, 0, 0,  b'h', b'x',
        24, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
    ];
    assert_eq!(&batch.bytes()[..], &golden[..]);
    assert_eq!(batch.crc(), 0x503c_9d61);
}

#[test]
fn lengths_and_counts_that_lie_are_refused() {
    let good = RecordBatch::of([&example(), &example()]).unwrap().bytes().to_vec();
    assert!(checked(&good).is_ok());
    for (at, value) in [
        (0, 2),
        (1, 9),
        (2, 1),
        (4, 1),
        (4, 3),
        (8, 0),
        (12, 0),
        (16, 255),
        (16, 3),
        (20, 1),
        (32, 4),
        (33, 1),
        (34, 0),
        (34, 2),
        (36, 99),
        (40, 99),
        (48, 9),
        (50, 9),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(matches!(checked(&bad), Err(Error::Batch { .. })), "byte {at} = {value}");
    }
    for length in 0..good.len() {
        assert!(checked(&good[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_wrong_checksum_is_refused_before_the_layout_is_read() {
    let batch = RecordBatch::of([&example()]).unwrap();
    let refused = RecordBatch::check(batch.bytes().clone(), batch.crc() ^ 1);
    assert!(matches!(refused, Err(Error::Checksum { .. })));
}

#[test]
fn a_client_may_not_send_headers_of_the_broker() {
    for name in ["dlq-reason", "logmill-hops"] {
        let record = Record { headers: vec![Header::new(name, &b""[..])], ..Record::default() };
        let refused = plain(&RecordBatch::of([&record]).unwrap());
        let refused = refused.check_produced(limits::RECORD_BYTES_MAX);
        assert_eq!(refused, Err(Error::ReservedHeader { index: 0, name: name.to_owned() }));
    }
}

#[test]
fn retain_keeps_offsets_and_span() {
    let batch = plain(&RecordBatch::of(&vec![example(); 5]).unwrap());
    let kept = batch.retain(|record| record.offset_delta % 2 == 1);
    assert_eq!(plain(&kept).iter().map(|record| record.offset_delta).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(kept.span(), 5);
    assert_eq!(checked(kept.bytes()).unwrap(), kept);
    let none = batch.retain(|_| false);
    assert_eq!((none.record_count(), none.span()), (0, 5));
    assert!(checked(none.bytes()).is_ok());
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let header = (".{0,8}", bytes()).prop_map(|(name, value)| Header::new(name, value));
    let record = (
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        prop::collection::vec(header, 0..4),
        any::<u64>(),
    )
        .prop_map(|(key, value, headers, ts)| Record {
            key,
            value,
            headers,
            create_ts: Timestamp(ts),
        });
    prop::collection::vec(record, 1..20)
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(records in records()) {
        let batch = RecordBatch::of(&records).unwrap();
        let read = plain(&checked(batch.bytes()).unwrap());
        prop_assert_eq!(read.to_records().map(|(_, record)| record).collect::<Vec<_>>(), records);
        prop_assert!(read.check_produced(limits::RECORD_BYTES_MAX).is_ok());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = checked(&bytes);
    }

    #[test]
    fn no_flipped_byte_panics(records in records(), at in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let mut bytes = RecordBatch::of(&records).unwrap().bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(batch) = checked(&bytes) {
            let _ = batch.decompressed(limits::BATCH_BYTES_MAX).map(|it| it.to_records().count());
        }
    }
}
