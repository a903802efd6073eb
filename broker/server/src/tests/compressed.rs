//! Compressed batches: served as they were sent, looked into before they are taken, and never in
//! more memory than a batch may have.

use logmill_model::{Compression, Header, Offset, Position, Record, RecordBatch};
use logmill_wire::{Frame, Produce};

use super::produce::{ack, crc_of, open};
use super::subscribe::{data, from, subscribe};
use super::support::{Site, batch, record};

const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

/// A batch that is compressed, since it is worth it.
fn compressed(records: &[Record], compression: Compression) -> RecordBatch {
    let batch = RecordBatch::of(records).unwrap().compress(compression);
    assert_eq!(batch.compression(), compression);
    batch
}

fn repetitive() -> Record {
    record("again and again, ".repeat(10))
}

fn frame(batch: &[u8]) -> Produce {
    Produce { request: 0, partition: 0, crc: crc_of(batch), batch: batch.to_vec().into() }
}

/// The header of a compressed batch of one record that says it has so many bytes.
fn header(compression: u8, length: u32) -> Vec<u8> {
    let mut header = vec![1, compression, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    header.extend(length.to_le_bytes());
    header
}

#[tokio::test]
async fn a_compressed_batch_is_served_as_it_was_sent() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut stream = open(&client, "t").await;
    // Small ones are looked into where they are read, large ones on another thread.
    let large = vec![repetitive(); 5000];
    let sent: Vec<_> = BOTH
        .into_iter()
        .flat_map(|it| [compressed(&[repetitive(), repetitive()], it), compressed(&large, it)])
        .collect();
    let mut expected = Offset(0);
    for (request, batch) in (1..).zip(&sent) {
        stream.produce(request, 0, batch).await;
        assert_eq!(ack(&mut stream).await.base_offset, expected);
        expected = Offset(expected.0 + batch.span());
    }
    let (mut subscription, opened) = subscribe(&client, from(Position::Earliest, 1 << 20)).await;
    assert_eq!(opened.end, expected);
    for batch in &sent {
        let data = data(&mut subscription).await;
        assert_eq!(data.batch, batch.bytes());
        assert_eq!((data.envelope.crc, data.envelope.rewritten), (batch.crc(), false));
        assert_eq!(data.envelope.compression, batch.compression());
        let read = data.envelope.check_batch(data.batch).unwrap();
        assert_eq!(read.decompressed(1 << 20), batch.decompressed(1 << 20));
    }
}

/// Each refusal answers its own frame, nothing of it is stored, and the stream goes on.
#[tokio::test]
async fn a_bad_compressed_batch_is_refused_with_its_number_and_the_stream_goes_on() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let before = server.engine().durable_csn();
    let mut stream = open(&client, "t").await;
    let reserved = Record { headers: vec![Header::new("dlq-reason", "x")], ..repetitive() };
    let mut bad = Vec::new();
    for (compression, code) in BOTH.into_iter().zip([1, 2]) {
        let good = compressed(&[repetitive(), repetitive()], compression);
        let altered = |at: usize, value: u8| {
            let mut bytes = good.bytes().to_vec();
            bytes[at] = value;
            frame(&bytes)
        };
        let large = record("x".repeat((1 << 20) + 1));
        let whole = u32::try_from(2 << 20).unwrap();
        let mut bomb = header(code, whole - 16);
        bomb.resize(1 << 20, 0xff);
        bad.extend([
            (Produce { crc: !good.crc(), ..Produce::new(0, 0, &good) }, 21, None),
            (altered(1, 3), 20, None),
            (altered(1, 3 - code), 20, None),
            (altered(4, 3), 20, None),
            (altered(4, 1), 20, None),
            (altered(8, 5), 20, None),
            (altered(12, 1), 20, None),
            (frame(&good.bytes()[..good.bytes().len() - 1]), 20, None),
            (frame(&header(code, 28)), 20, None),
            (frame(&header(code, whole - 15)), 22, None),
            (frame(&header(code, u32::MAX)), 22, None),
            (frame(&bomb), 20, None),
            (
                Produce::new(0, 0, &compressed(&[repetitive(), reserved.clone()], compression)),
                24,
                Some(1),
            ),
            (Produce::new(0, 0, &compressed(&[large], compression)), 23, Some(0)),
        ]);
    }
    for (request, (produce, ..)) in (1..).zip(&bad) {
        stream.send(&Frame::Produce(Produce { request, ..produce.clone() })).await;
    }
    for (request, (_, code, index)) in (1..).zip(&bad) {
        let fault = stream.fault().await;
        assert_eq!((fault.request, fault.code.number()), (request, *code), "{}", fault.text);
        assert_eq!((fault.index, fault.no_side_effects), (*index, true), "{}", fault.text);
    }
    stream.produce(1000, 0, &batch(&["good"])).await;
    let ack = ack(&mut stream).await;
    assert_eq!((ack.base_offset, ack.csn), (Offset(0), before.next()));
}

/// A few hundred batches whose header is sound and whose records are noise.
#[tokio::test]
async fn noise_that_says_it_is_compressed_is_refused() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut stream = open(&client, "t").await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    for request in 1..=300 {
        let compression = u8::try_from(1 + noise() % 2).unwrap();
        let length = u32::try_from(28 + noise() % (1 << (noise() % 22))).unwrap();
        let mut bytes = header(compression, length);
        if compression == 2 && noise() % 2 == 0 {
            bytes.extend([0x28, 0xb5, 0x2f, 0xfd]);
        }
        bytes.extend((0..noise() % 400).map(|_| u8::try_from(noise() & 0xff).unwrap()));
        stream.send(&Frame::Produce(Produce { request, ..frame(&bytes) })).await;
        let fault = stream.fault().await;
        assert!(matches!(fault.code.number(), 20 | 22 | 23), "{}", fault.text);
        assert!(fault.no_side_effects);
    }
    stream.produce(1000, 0, &batch(&["good"])).await;
    assert_eq!(ack(&mut stream).await.base_offset, Offset(0));
}
