//! Compressed batches: golden bytes, round trips, lies and bombs.

use super::*;

const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];
const MAX: usize = limits::BATCH_BYTES_MAX;

/// A batch that is a good deal smaller when it is compressed.
fn repetitive() -> RecordBatch {
    let record = Record { value: Some("again and again, ".repeat(4).into()), ..example() };
    RecordBatch::of(&vec![record; 3]).unwrap()
}

/// A compressed batch of these bytes, whose header says what it likes.
fn forged(compression: Compression, header: [u32; 3], records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION, compression.code(), 0, 0];
    header.iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes.extend_from_slice(records);
    bytes
}

fn decompressed(bytes: &[u8]) -> Result<PlainBatch, Error> {
    checked(bytes)?.decompressed(MAX)
}

/// The bytes are written by hand from the two formats, so that another library reads them alike.
#[test]
fn the_layout_is_the_documented_one() {
    let record = Record { value: Some(vec![b'a'; 32].into()), ..Record::default() };
    let batch = RecordBatch::of([&record]).unwrap();
    #[rustfmt::skip]
    let header = |code| [
        1, code, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0,  60, 0, 0, 0,
    ];
    #[rustfmt::skip]
    let lz4 = [
        // 29 literals, then 26 of the last one's kind, then 5 literals, as the format wants it.
        0xff, 14,
        56, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  2, 0,  0, 0,  0, 0, 0, 0,  32, 0, 0, 0,
        b'a',
        1, 0, 7,
        0x50, b'a', b'a', b'a', b'a', b'a',
    ];
    #[rustfmt::skip]
    let zstd = [
        // Magic number; one segment of 60 bytes.
        0x28, 0xb5, 0x2f, 0xfd,  0x20, 60,
        // A raw block of 28 bytes.
        28 << 3, 0, 0,
        56, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  2, 0,  0, 0,  0, 0, 0, 0,  32, 0, 0, 0,
        // The last block: a byte, 32 times.
        (32 << 3 | 1 << 1 | 1) as u8, (32 << 3 >> 8) as u8, 0,
        b'a',
    ];
    for (code, records) in [(1, &lz4[..]), (2, &zstd[..])] {
        let read = decompressed(&[&header(code)[..], records].concat()).unwrap();
        assert_eq!(read, plain(&batch), "{code}");
        let read = checked(&[&header(code)[..], records].concat()).unwrap();
        let facts = (read.record_count(), read.last_delta(), read.records_bytes());
        assert_eq!(facts, (1, 0, 60));
        assert_eq!(read.plain(), None, "compressed bytes are not given as records");
    }
}

#[test]
fn a_compressed_batch_keeps_its_header_and_gives_its_records_back() {
    let batch = repetitive();
    for compression in BOTH {
        let compressed = batch.compress(compression);
        assert_eq!(compressed.compression(), compression);
        assert!(compressed.bytes().len() < batch.bytes().len());
        assert_eq!(compressed.record_count(), batch.record_count());
        assert_eq!(compressed.last_delta(), batch.last_delta());
        assert_eq!(checked(compressed.bytes()).unwrap(), compressed);
        assert_eq!(compressed.decompressed(MAX), Ok(plain(&batch)));
        assert_eq!(compressed.compress(Compression::Lz4), compressed, "once is enough");
    }
    assert_eq!(batch.compress(Compression::None), batch);
}

#[test]
fn what_does_not_shrink_stays_as_it_is() {
    for batch in [
        RecordBatch::of([]).unwrap(),
        RecordBatch::of([&example()]).unwrap(),
        plain(&repetitive()).retain(|_| false),
    ] {
        for compression in BOTH {
            let same = batch.compress(compression);
            assert!(same == batch || same.bytes().len() < batch.bytes().len());
            assert!(same.record_count() > 0 || same == batch);
        }
    }
}

#[test]
fn the_callers_bound_is_kept() {
    let batch = repetitive();
    let bytes = batch.bytes().len();
    for compression in BOTH {
        let compressed = batch.compress(compression);
        assert!(compressed.decompressed(bytes).is_ok());
        let refused = compressed.decompressed(bytes - 1);
        assert_eq!(refused, Err(Error::BatchTooLarge { bytes, max: bytes - 1 }));
    }
    assert!(batch.decompressed(0).is_ok(), "what is not compressed takes no memory");
}

#[test]
fn a_header_that_lies_is_refused() {
    let batch = repetitive();
    let length = u32::try_from(batch.records_bytes()).unwrap();
    for compression in BOTH {
        let compressed = batch.compress(compression);
        let records = &compressed.bytes()[HEADER_BYTES..];
        assert!(decompressed(&forged(compression, [3, 2, length], records)).is_ok());
        for header in [
            [0, 2, length],
            [2, 2, length],
            [4, 3, length],
            [3, 1, length],
            [u32::MAX, u32::MAX, length],
            [65_536, 65_535, length],
            [3, 2, 0],
            [3, 2, length - 1],
            [3, 2, length + 1],
            [3, 2, 2_000_000],
        ] {
            let refused = decompressed(&forged(compression, header, records));
            assert!(matches!(refused, Err(Error::Batch { .. })), "{header:?}: {refused:?}");
        }
        for seen_at_once in [[0, 2, length], [3, 1, length], [65_537, 65_536, u32::MAX >> 12]] {
            let refused = checked(&forged(compression, seen_at_once, records));
            assert!(matches!(refused, Err(Error::Batch { .. })), "before decompressing");
        }
        for claimed in [u32::try_from(MAX).unwrap(), u32::MAX] {
            let refused = checked(&forged(compression, [3, 2, claimed], records));
            assert!(matches!(refused, Err(Error::BatchTooLarge { .. })), "before decompressing");
        }
    }
}

/// What is inside is checked as what comes plain is.
#[test]
fn records_that_break_the_layout_are_refused_once_they_are_seen() {
    let good = repetitive().bytes().to_vec();
    for (at, value) in [(16, 3), (16, 255), (20, 1), (32, 4), (33, 1), (34, 2), (36, 99), (40, 199)]
    {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(checked(&bad).is_err(), "byte {at} = {value}");
        for compression in BOTH {
            let records = compression.compress(&bad[HEADER_BYTES..]).unwrap();
            let length = u32::try_from(bad.len() - HEADER_BYTES).unwrap();
            let bytes = forged(compression, [3, 2, length], &records);
            assert!(checked(&bytes).is_ok(), "the header says nothing wrong");
            assert!(matches!(decompressed(&bytes), Err(Error::Batch { .. })), "{at} = {value}");
        }
    }
}

#[test]
fn what_may_be_produced_holds_for_compressed_batches() {
    let header = vec![Header::new("dlq-reason", vec![b'x'; 100])];
    let reserved = RecordBatch::of([&example(), &Record { headers: header, ..example() }]).unwrap();
    let large = Record { value: Some(vec![b'x'; 2000].into()), ..Record::default() };
    let large = RecordBatch::of([&large]).unwrap();
    for compression in BOTH {
        let check = |batch: &RecordBatch| {
            let compressed = batch.compress(compression);
            assert_eq!(compressed.compression(), compression);
            compressed.decompressed(MAX).unwrap().check_produced(1000)
        };
        let name = "dlq-reason".to_owned();
        assert_eq!(check(&reserved), Err(Error::ReservedHeader { index: 1, name }));
        let bytes = 2000 + RECORD_OVERHEAD_BYTES;
        assert_eq!(check(&large), Err(Error::RecordTooLarge { index: 0, bytes, max: 1000 }));
        let sparse = plain(&repetitive()).retain(|record| record.offset_delta != 1);
        assert!(matches!(check(&sparse), Err(Error::Batch { .. })));
    }
}

#[test]
fn compaction_keeps_offsets_span_and_compression() {
    for compression in BOTH {
        let before = repetitive().compress(compression);
        let kept = before.decompressed(MAX).unwrap().retain(|record| record.offset_delta == 1);
        let after = kept.compress(before.compression());
        assert_eq!(after.compression(), compression);
        assert_eq!((after.record_count(), after.span()), (1, 3));
        let records = after.decompressed(MAX).unwrap();
        assert_eq!(records.iter().next().unwrap().offset_delta, 1);
    }
}

/// Each single bit: it is refused, or what comes out keeps the layout.
#[test]
fn no_flipped_bit_panics_or_gives_records_that_break_the_layout() {
    for compression in BOTH {
        let good = repetitive().compress(compression);
        for at in 0..good.bytes().len() * 8 {
            let mut bytes = good.bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(RecordBatch::check(Bytes::from(bytes.clone()), good.crc()).is_err());
            let Ok(batch) = checked(&bytes) else { continue };
            if let Ok(read) = batch.decompressed(MAX) {
                assert_eq!(read.to_records().count(), batch.record_count() as usize);
                assert_eq!(read.bytes().len(), batch.records_bytes());
            }
        }
        for length in 0..good.bytes().len() {
            assert!(decompressed(&good.bytes()[..length]).is_err(), "cut at {length}");
        }
        assert!(decompressed(&[&good.bytes()[..], &[0]].concat()).is_err());
    }
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop::sample::select(BOTH.to_vec())
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(records in records(), compression in compressions()) {
        let batch = RecordBatch::of(&records).unwrap().compress(compression);
        let read = checked(batch.bytes()).unwrap();
        let plain = read.decompressed(MAX).unwrap();
        prop_assert_eq!(plain.to_records().map(|(_, record)| record).collect::<Vec<_>>(), records);
        prop_assert!(plain.check_produced(limits::RECORD_BYTES_MAX).is_ok());
    }

    #[test]
    fn no_bytes_behind_a_header_panic(
        compression in compressions(),
        count in 1..100u32,
        length in 0..5000u32,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        framed in any::<bool>(),
    ) {
        // Half of them begin as a frame does, so that they get beyond its first bytes.
        let start: &[u8] = if framed { &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38] } else { &[] };
        let bytes = [start, &bytes].concat();
        if let Ok(plain) = decompressed(&forged(compression, [count, count - 1, length], &bytes)) {
            prop_assert_eq!(plain.to_records().count(), count as usize);
        }
    }

    #[test]
    fn no_flipped_bytes_panic(
        records in records(),
        compression in compressions(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..6),
    ) {
        let mut bytes = RecordBatch::of(&records).unwrap().compress(compression).bytes().to_vec();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        let _ = decompressed(&bytes).map(|batch| batch.to_records().count());
    }
}
