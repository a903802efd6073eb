//! Subscribe streams: what was produced, as it lies, as far as credit allows.

use std::time::Duration;

use logmill_model::{Offset, Position, RecordBatch};
use logmill_wire::{
    Data, Frame, Produce, ProduceOpen, ProduceOpened, Progress, StreamKind, SubscribeOpen,
    SubscribeOpened,
};

use super::support::{Client, Site, Stream, batch, large_batch, soon};

const PLENTY: u64 = 1 << 20;

async fn produce(client: &Client, batches: &[RecordBatch]) {
    let open = ProduceOpen { topic: "t".parse().unwrap(), partition: Some(0), producer: None };
    let mut stream = client.open_with(StreamKind::Produce, &open).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    for (request, batch) in (1..).zip(batches) {
        stream.send(&Frame::Produce(Produce::new(request, 0, batch))).await;
        assert!(matches!(stream.frame().await, Frame::Ack(_)));
    }
}

pub(super) fn from(from: Position, credit: u64) -> SubscribeOpen {
    SubscribeOpen { topic: "t".parse().unwrap(), partition: 0, from, filter: None, credit }
}

pub(super) async fn subscribe(client: &Client, open: SubscribeOpen) -> (Stream, SubscribeOpened) {
    let mut stream = client.open_with(StreamKind::Subscribe, &open).await;
    let opened = stream.reply().await.unwrap();
    (stream, opened)
}

pub(super) async fn data(stream: &mut Stream) -> Data {
    match stream.frame().await {
        Frame::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

async fn progress(stream: &mut Stream) -> (u64, u64) {
    match stream.frame().await {
        Frame::Progress(Progress { next, end }) => (next.0, end.0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subscriber_gets_the_bytes_that_were_produced_and_then_what_comes() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let batches = [batch(&["a", "b"]), batch(&["c"])];
    produce(&client, &batches).await;
    let (mut stream, opened) = subscribe(&client, from(Position::Earliest, PLENTY)).await;
    assert_eq!(opened, SubscribeOpened { start: Offset(0), end: Offset(3) });
    for (sent, base) in batches.iter().zip([0, 2]) {
        let data = data(&mut stream).await;
        assert_eq!(data.envelope.base_offset, Offset(base));
        assert_eq!(data.envelope.check_batch(data.batch).unwrap(), *sent);
    }
    assert_eq!(progress(&mut stream).await, (3, 3));
    let live = batch(&["d"]);
    produce(&client, std::slice::from_ref(&live)).await;
    assert_eq!(data(&mut stream).await.batch, *live.bytes());
    assert_eq!(progress(&mut stream).await, (4, 4));
}

#[tokio::test]
async fn positions_are_found_and_an_empty_rest_is_told_at_once() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    produce(&client, &[batch(&["a", "b"]), batch(&["c"])]).await;
    let (mut latest, opened) = subscribe(&client, from(Position::Latest, PLENTY)).await;
    assert_eq!(opened, SubscribeOpened { start: Offset(3), end: Offset(3) });
    assert_eq!(progress(&mut latest).await, (3, 3));
    let (mut middle, opened) = subscribe(&client, from(Position::Offset(Offset(1)), PLENTY)).await;
    assert_eq!(opened.start, Offset(1));
    assert_eq!(data(&mut middle).await.envelope.base_offset, Offset(0));
}

#[tokio::test]
async fn nothing_is_sent_beyond_the_credit() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let batches: Vec<_> = (0..10).map(|_| large_batch(10_000)).collect();
    produce(&client, &batches).await;
    let (mut stream, _) = subscribe(&client, from(Position::Earliest, 25_000)).await;
    let size = data(&mut stream).await.body_bytes();
    data(&mut stream).await;
    let early = tokio::time::timeout(Duration::from_millis(50), stream.recv.read_chunk(1, true));
    assert!(early.await.is_err(), "more than the credit allows");
    for offset in 2..10 {
        stream.send(&Frame::Credit(size)).await;
        assert_eq!(data(&mut stream).await.envelope.base_offset, Offset(offset));
    }
    assert_eq!(progress(&mut stream).await, (10, 10));
}

#[tokio::test]
async fn a_batch_larger_than_the_credit_goes_alone() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    produce(&client, &[large_batch(1_000_000), large_batch(1_000_000)]).await;
    for credit in [0, 1000] {
        let (mut stream, _) = subscribe(&client, from(Position::Earliest, credit)).await;
        let size = data(&mut stream).await.body_bytes();
        stream.send(&Frame::Credit(size)).await;
        assert_eq!(data(&mut stream).await.envelope.base_offset, Offset(1));
    }
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_gets_what_it_has_credit_for() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let batches: Vec<_> = (0..4).map(|_| large_batch(10_000)).collect();
    produce(&client, &batches).await;
    let (mut stream, _) = subscribe(&client, from(Position::Earliest, 25_000)).await;
    stream.send.finish().unwrap();
    data(&mut stream).await;
    data(&mut stream).await;
    stream.ends().await;
}

#[tokio::test]
async fn what_cant_be_subscribed_to_is_refused_with_its_number() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    produce(&client, &[batch(&["a"])]).await;
    let good = from(Position::Earliest, PLENTY);
    for (open, code) in [
        (SubscribeOpen { topic: "none".parse().unwrap(), ..good.clone() }, 11),
        (SubscribeOpen { partition: 1, ..good.clone() }, 12),
        (SubscribeOpen { from: Position::Offset(Offset(2)), ..good.clone() }, 15),
        (SubscribeOpen { filter: Some("none".parse().unwrap()), ..good.clone() }, 30),
    ] {
        let mut stream = client.open_with(StreamKind::Subscribe, &open).await;
        let fault = stream.fault().await;
        assert_eq!((fault.request, fault.code.number()), (0, code), "{}", fault.text);
        stream.ends().await;
    }
    let (mut stream, _) = subscribe(&client, good).await;
    data(&mut stream).await;
    progress(&mut stream).await;
    stream.produce(1, 0, &batch(&["x"])).await;
    assert_eq!(stream.fault().await.code.number(), 2);
    stream.ends().await;
}

/// A subscriber that takes nothing holds up nobody, and leaves when it says so.
#[tokio::test]
async fn a_reader_that_reads_nothing_holds_up_nobody() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let batches: Vec<_> = (0..20).map(|_| large_batch(1_000_000)).collect();
    produce(&client, &batches).await;
    let lazy = site.client(&server).await;
    let (_unread, _) = subscribe(&lazy, from(Position::Earliest, u64::MAX)).await;
    let (mut stream, _) = subscribe(&client, from(Position::Earliest, u64::MAX)).await;
    for offset in 0..20 {
        assert_eq!(data(&mut stream).await.envelope.base_offset, Offset(offset));
    }
    soon(server.shutdown()).await.unwrap();
}
