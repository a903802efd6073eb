//! Lanes on topics whose producers compress.

use bytes::Bytes;
use logmill_model::{Compression, limits::BATCH_BYTES_MAX};

use super::*;
use crate::limits::READ_BYTES_MAX;

const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

/// A compressed batch of records that are numbered from here on.
fn batch(numbers: std::ops::Range<u32>, compression: Compression) -> RecordBatch {
    let record = |number| Record {
        value: Some(format!("{number} {}", "again ".repeat(20)).into()),
        ..Record::default()
    };
    let batch = RecordBatch::of(&numbers.map(record).collect::<Vec<_>>()).unwrap();
    let compressed = batch.compress(compression);
    assert_eq!(compressed.compression(), compression);
    compressed
}

#[tokio::test]
async fn each_record_of_a_compressed_batch_is_handled_once() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(3).await;
    for (index, compression) in BOTH.into_iter().enumerate() {
        let first = 3 + u32::try_from(index).unwrap() * 300;
        bench.append_batch(SOURCE, batch(first..first + 300, compression)).await;
    }
    let module = module(|offset, _| match offset % 3 {
        0 => Ok(Verdict::DeadLetter("bad".into())),
        _ => Ok(Verdict::Done(vec![output(offset, 0)])),
    });
    bench.run(&module, 603).await;
    let values: Vec<_> = bench.read(OUT).into_iter().map(|it| it.value.unwrap()).collect();
    let expected: Vec<Bytes> =
        (0..603).filter(|it| it % 3 != 0).map(|it| format!("{it}.0").into()).collect();
    assert_eq!(values, expected);
    let dead = bench.read(DEAD);
    assert_eq!(dead.len(), 201);
    assert_eq!(dead[1].value.as_ref().unwrap(), &format!("3 {}", "again ".repeat(20)));
    bench.close().await;
}

/// Many batches that are small on disk and large in memory: a run takes a bounded part of them.
#[tokio::test]
async fn a_run_holds_a_bounded_part_of_what_batches_decompress_to() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(1).await;
    let zeros = Record { value: Some(vec![0; 1_000_000].into()), ..Record::default() };
    let bomb = RecordBatch::of([&zeros, &Record::default()]).unwrap().compress(Compression::Zstd);
    assert!(bomb.bytes().len() < 1000);
    for _ in 0..20 {
        bench.append_batch(SOURCE, bomb.clone()).await;
    }
    let module = module(|_, _| Ok(Verdict::Done(vec![])));
    let lane = bench.lane(&module);
    let batches = bench.parts.read(SOURCE, Offset(0), READ_BYTES_MAX).await.unwrap();
    assert_eq!(batches.len(), 21, "one read brings all");
    let ran = Run {
        lane: LANE,
        context: Arc::clone(&lane.context),
        handler: None,
        cursor: lane.cursor.clone(),
        parked: lane.parked.clone(),
        memory: lane.memory.run(),
        due: Vec::new(),
        gone: Vec::new(),
        batches,
        records_max: crate::limits::RUN_RECORDS_MAX,
        refused: None,
        level: SpaceLevel::Normal,
    }
    .execute();
    assert!(ran.broken.is_none());
    // The record of the first batch, and two of each of three batches.
    assert!(ran.records <= 1 + 2 * 3, "{} records", ran.records);
    bench.run(&module, 41).await;
    bench.close().await;
}

#[tokio::test]
async fn a_lane_waits_at_a_batch_that_does_not_hold_what_its_header_says() {
    let storage = FaultyStorage::new();
    let bench = Bench::open(&storage);
    bench.prepare(2).await;
    let mut bytes = batch(2..5, Compression::Lz4).bytes().to_vec();
    let last = bytes.len() - 1;
    bytes.truncate(last);
    let crc = match RecordBatch::check(bytes.clone().into(), 0) {
        Err(logmill_model::Error::Checksum { actual, .. }) => actual,
        other => panic!("{other:?}"),
    };
    let bad = RecordBatch::check(bytes.into(), crc).unwrap();
    assert!(bad.decompressed(BATCH_BYTES_MAX).is_err());
    bench.append_batch(SOURCE, bad).await;
    let module = module(|offset, _| {
        assert!(offset < 2);
        Ok(Verdict::Done(vec![]))
    });
    let lane = tokio::spawn(bench.lane(&module).run());
    let waiting = || bench.status.lock().unwrap().waiting.clone();
    soon(async {
        while waiting().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(waiting().unwrap().starts_with("the batch at offset 2 can't be read: "));
    assert_eq!(bench.parts.views.cursor(LANE).unwrap().floor(), Offset(2), "those before are done");
    bench.stop.send_replace(true);
    soon(lane).await.unwrap();
    bench.close().await;
}
