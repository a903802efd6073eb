//! Produce streams: acks in order and only when durable, each refusal its own, memory bounded.

use std::time::Duration;

use logmill_model::{Header, Offset, Record, RecordBatch};
use logmill_wire::{Ack, Fault, Frame, Produce, ProduceOpen, ProduceOpened, StreamKind};

use super::support::{Client, Site, Stream, batch, http, large_batch, record, soon};

pub(super) async fn open(client: &Client, topic: &str) -> Stream {
    let mut stream = try_open(client, topic, None).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    stream
}

async fn try_open(client: &Client, topic: &str, partition: Option<u32>) -> Stream {
    let open = ProduceOpen { topic: topic.parse().unwrap(), partition, producer: None };
    client.open_with(StreamKind::Produce, &open).await
}

pub(super) async fn ack(stream: &mut Stream) -> Ack {
    match stream.frame().await {
        Frame::Ack(ack) => ack,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pipelined_batches_are_acked_in_order_with_dense_offsets() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 2).await;
    let mut stream = try_open(&client, "t", None).await;
    assert_eq!(stream.reply::<ProduceOpened>().await.unwrap().partitions, 2);
    for request in 1..=100 {
        stream.produce(request, 1, &batch(&["a", "b", "c"])).await;
    }
    stream.send.finish().unwrap();
    for request in 1..=100 {
        let ack = ack(&mut stream).await;
        assert_eq!((ack.request, ack.partition), (request, 1));
        assert_eq!(ack.base_offset, Offset((request - 1) * 3));
        assert_eq!((ack.epoch, ack.shard), (server.engine().epoch(), server.engine().shard()));
    }
    stream.ends().await;
    let topic = server.engine().topic(&"t".parse().unwrap()).unwrap();
    assert_eq!(topic.partitions[1].end, Offset(300));
    let metrics = http(server.http_address(), "/metrics").await;
    for name in ["logmill_received_records_total", "logmill_ack_seconds_bucket"] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test]
async fn an_ack_waits_for_the_sync() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut stream = open(&client, "t").await;
    site.storage.hold_syncs();
    stream.produce(1, 0, &batch(&["a"])).await;
    let storage = site.storage.clone();
    soon(tokio::task::spawn_blocking(move || storage.wait_for_held_sync())).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), stream.recv.read_chunk(1, true));
    assert!(early.await.is_err(), "an answer before the sync");
    site.storage.release_syncs();
    assert_eq!(ack(&mut stream).await.base_offset, Offset(0));
}

/// Each refusal answers its own frame, and the frames behind it are accepted.
#[tokio::test]
async fn a_bad_batch_is_refused_with_its_number_and_the_stream_goes_on() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let before = server.engine().durable_csn();
    let mut stream = open(&client, "t").await;

    let good = batch(&["a", "b"]);
    let mut lying = good.bytes().to_vec();
    lying[4] = 3;
    let mut huge = good.bytes().to_vec();
    huge[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let reserved = Record { headers: vec![Header::new("dlq-reason", "x")], ..record("b") };
    let reserved = RecordBatch::of(&[record("a"), reserved]).unwrap();
    let oversize = large_batch((1 << 20) + 1);
    let empty = RecordBatch::of(&[]).unwrap();
    let frame = |batch: Vec<u8>, partition| Produce {
        request: 0,
        partition,
        crc: crc_of(&batch),
        batch: batch.into(),
    };
    let bad = [
        (Produce { crc: !good.crc(), ..Produce::new(0, 0, &good) }, 21, None),
        (frame(lying, 0), 20, None),
        (frame(huge, 0), 20, None),
        (frame(vec![9; 40], 0), 20, None),
        (frame(Vec::new(), 0), 20, None),
        (Produce::new(0, 0, &empty), 20, None),
        (Produce::new(0, 0, &reserved), 24, Some(1)),
        (Produce::new(0, 0, &oversize), 23, Some(0)),
        (Produce::new(0, 1, &good), 12, None),
    ];
    let count = bad.len() as u64;
    for (request, (produce, ..)) in (1..).zip(&bad) {
        stream.send(&Frame::Produce(Produce { request, ..produce.clone() })).await;
    }
    stream.produce(count + 1, 0, &good).await;
    for (request, (_, code, index)) in (1..).zip(&bad) {
        let fault = stream.fault().await;
        assert_eq!((fault.request, fault.code.number()), (request, *code), "{}", fault.text);
        assert_eq!((fault.index, fault.no_side_effects), (*index, true), "{}", fault.text);
    }
    let ack = ack(&mut stream).await;
    assert_eq!((ack.request, ack.base_offset), (count + 1, Offset(0)));
    assert_eq!(ack.csn, before.next());
}

/// The checksum of bytes that are no batch.
pub(super) fn crc_of(bytes: &[u8]) -> u32 {
    match RecordBatch::check(bytes.to_vec().into(), 0) {
        Err(logmill_model::Error::Checksum { actual, .. }) => actual,
        _ => 0,
    }
}

#[tokio::test]
async fn what_cant_be_a_produce_stream_is_refused_whole() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    for (topic, partition, code) in [("none", None, 11), ("t", Some(1), 12)] {
        let mut stream = try_open(&client, topic, partition).await;
        assert_eq!(stream.fault().await.code.number(), code);
        stream.ends().await;
    }
    let mut only = try_open(&client, "t", Some(0)).await;
    only.reply::<ProduceOpened>().await.unwrap();
    only.produce(1, 1, &batch(&["a"])).await;
    assert_eq!(only.fault().await.code.number(), 2);
    only.produce(2, 0, &batch(&["a"])).await;
    ack(&mut only).await;

    let ended = async |mut stream: Stream, code: u16| {
        let fault = stream.fault().await;
        assert_eq!((fault.request, fault.code.number()), (0, code), "{}", fault.text);
        stream.ends().await;
    };
    let mut unnumbered = open(&client, "t").await;
    unnumbered.produce(0, 0, &batch(&["a"])).await;
    ended(unnumbered, 2).await;
    let mut credit = open(&client, "t").await;
    credit.send(&Frame::Credit(1)).await;
    ended(credit, 2).await;
    let mut oversize = open(&client, "t").await;
    oversize.send_bytes(&[0x4c, 32, 0, 0, 17, 0, 32, 0]).await;
    ended(oversize, 22).await;
    let mut cut = open(&client, "t").await;
    cut.send_bytes(&[0x4c, 32, 0, 0, 90, 0, 0, 0, 1]).await;
    cut.send.finish().unwrap();
    ended(cut, 2).await;
}

#[tokio::test]
async fn a_client_that_vanishes_in_mid_frame_costs_nothing_but_its_connection() {
    let site = Site::new();
    let server = site.start().await;
    let good = site.client(&server).await;
    good.create("t", 1).await;
    let mut other = open(&good, "t").await;
    other.produce(1, 0, &batch(&["a"])).await;
    let acked = ack(&mut other).await;
    for way in 0..3 {
        let client = site.client(&server).await;
        let mut stream = open(&client, "t").await;
        let mut bytes = Vec::new();
        Frame::Produce(Produce::new(1, 0, &large_batch(100_000))).encode(&mut bytes).unwrap();
        stream.send_bytes(&bytes[..50_000]).await;
        match way {
            0 => client.connection.close(0_u32.into(), b""),
            1 => stream.send.reset(0_u32.into()).unwrap(),
            _ => drop(client),
        }
    }
    other.produce(2, 0, &batch(&["b"])).await;
    let next = ack(&mut other).await;
    assert_eq!((next.base_offset, next.csn), (Offset(1), acked.csn.next()));
}

/// With a disk that does not sync, the client's writes stall; nothing is refused or lost.
#[tokio::test]
async fn a_producer_that_is_faster_than_the_disk_waits_in_its_own_memory() {
    const BATCH: usize = 1_000_000;
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut stream = open(&client, "t").await;
    site.storage.hold_syncs();
    let batch = large_batch(BATCH);
    let (mut sent, mut pending) = (0_u64, Vec::new());
    let stalled = loop {
        assert!(sent < 100, "100 MB were taken in while nothing became durable");
        pending.clear();
        Frame::Produce(Produce::new(sent + 1, 0, &batch)).encode(&mut pending).unwrap();
        let mut written = 0;
        let whole = async {
            while written < pending.len() {
                written += stream.send.write(&pending[written..]).await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_millis(500), whole).await.is_err() {
            break written;
        }
        sent += 1;
    };
    assert!(sent > 5, "{sent}");
    // Other streams of the client, and other clients, are served.
    client.ask(logmill_wire::Request::TopicLs).await.unwrap();
    site.storage.release_syncs();
    let rest = pending.split_off(stalled);
    let (mut send, mut recv) = (stream.send, stream.recv);
    let writing = tokio::spawn(async move {
        send.write_all(&rest).await.unwrap();
        send.finish().unwrap();
    });
    let answers = soon(recv.read_to_end(1 << 20)).await.unwrap();
    soon(writing).await.unwrap();
    // An ack is 56 bytes with its header, and there was nothing but acks.
    assert_eq!(answers.len() as u64, 56 * (sent + 1));
    let topic = server.engine().topic(&"t".parse().unwrap()).unwrap();
    assert_eq!(topic.partitions[0].end, Offset(sent + 1));
}

/// When a sync fails, what is in flight is unknown, and nothing is acked afterwards.
#[tokio::test]
async fn a_failed_sync_leaves_what_was_in_flight_unknown() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut stream = open(&client, "t").await;
    site.storage.fail_sync(1);
    stream.produce(1, 0, &batch(&["a"])).await;
    let Fault { request, code, retryable, no_side_effects, .. } = stream.fault().await;
    assert_eq!((request, code.number()), (1, 7));
    assert!(!retryable && !no_side_effects);
    stream.produce(2, 0, &batch(&["b"])).await;
    assert_eq!(stream.fault().await.request, 2);
    let unready = http(server.http_address(), "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(http(server.http_address(), "/healthz").await.starts_with("HTTP/1.1 200"));
    let error = soon(server.run_until(std::future::pending())).await.unwrap_err();
    assert!(matches!(error, crate::Error::Journal(_)), "{error}");
}
