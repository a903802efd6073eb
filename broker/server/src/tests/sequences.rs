//! Batches with sequences and expected ends, as frames.

use std::time::Duration;

use logmill_model::{Offset, ProducerIdentity};
use logmill_wire::{
    Ack, Append, AppendBatch, ErrorCode, Frame, ProduceOpen, ProduceOpened, Request, Response,
    StreamKind,
};

use super::produce::ack;
use super::support::{Client, Site, Stream, batch, soon};

async fn register(client: &Client, name: Option<&str>) -> ProducerIdentity {
    let name = name.map(|name| name.parse().unwrap());
    match client.ask(Request::ProducerRegister { name }).await {
        Ok(Response::Producer(identity)) => identity,
        other => panic!("{other:?}"),
    }
}

async fn open(client: &Client, producer: Option<ProducerIdentity>) -> Stream {
    let open = ProduceOpen { topic: "t".parse().unwrap(), partition: None, producer };
    let mut stream = client.open_with(StreamKind::Produce, &open).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    stream
}

fn of(partition: u32, first_sequence: u64) -> AppendBatch {
    let first_sequence = Some(first_sequence);
    AppendBatch { first_sequence, ..AppendBatch::new(partition, &batch(&["a", "b"])) }
}

async fn send(stream: &mut Stream, request: u64, batches: Vec<AppendBatch>) {
    stream.send(&Frame::Append(Append { request, batches })).await;
}

async fn code(stream: &mut Stream) -> (ErrorCode, bool) {
    match stream.frame().await {
        Frame::Fault(fault) => (fault.code, fault.no_side_effects),
        other => panic!("{other:?}"),
    }
}

fn place(ack: &Ack) -> (u32, Offset, bool) {
    (ack.partition, ack.base_offset, ack.was_there)
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_told_where_it_lies_whatever_connection_brings_it() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 2).await;
    let producer = register(&client, Some("billing")).await;
    assert_eq!(producer.epoch, 1);
    let mut stream = open(&client, Some(producer)).await;
    for request in 1..=3 {
        send(&mut stream, request, vec![of(1, (request - 1) * 2)]).await;
    }
    for request in 1..=3 {
        assert_eq!(place(&ack(&mut stream).await), (1, Offset((request - 1) * 2), false));
    }
    let other = site.client(&server).await;
    let mut stream = open(&other, Some(producer)).await;
    send(&mut stream, 1, vec![of(1, 2)]).await;
    send(&mut stream, 2, vec![of(1, 8)]).await;
    send(&mut stream, 3, vec![of(1, 6)]).await;
    assert_eq!(place(&ack(&mut stream).await), (1, Offset(2), true));
    assert_eq!(code(&mut stream).await, (ErrorCode::SequenceGap, true));
    assert_eq!(place(&ack(&mut stream).await), (1, Offset(6), false));

    let next = register(&other, Some("billing")).await;
    assert_eq!((next.id, next.epoch), (producer.id, 2));
    send(&mut stream, 4, vec![of(1, 8)]).await;
    assert_eq!(code(&mut stream).await, (ErrorCode::Fenced, true));
    let mut stranger = open(&other, Some(ProducerIdentity { id: 999, epoch: 1 })).await;
    send(&mut stranger, 1, vec![of(1, 0)]).await;
    assert_eq!(code(&mut stranger).await, (ErrorCode::UnknownProducer, true));
    let mut nobody = open(&other, None).await;
    send(&mut nobody, 1, vec![of(1, 0)]).await;
    assert_eq!(code(&mut nobody).await, (ErrorCode::BadRequest, true));
}

#[tokio::test]
async fn the_ack_of_a_duplicate_waits_for_the_sync_of_its_original() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let producer = register(&client, None).await;
    let mut first = open(&client, Some(producer)).await;
    let mut again = open(&client, Some(producer)).await;
    site.storage.hold_syncs();
    send(&mut first, 1, vec![of(0, 0)]).await;
    let storage = site.storage.clone();
    soon(tokio::task::spawn_blocking(move || storage.wait_for_held_sync())).await.unwrap();
    send(&mut again, 1, vec![of(0, 0)]).await;
    let early = tokio::time::timeout(Duration::from_millis(100), again.recv.read_chunk(1, true));
    assert!(early.await.is_err(), "an answer before the sync");
    site.storage.release_syncs();
    assert_eq!(place(&ack(&mut again).await), (0, Offset(0), true));
    assert_eq!(place(&ack(&mut first).await), (0, Offset(0), false));
}

#[tokio::test]
async fn a_frame_of_several_batches_is_one_commit_and_each_has_its_ack() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 3).await;
    let producer = register(&client, None).await;
    let mut stream = open(&client, Some(producer)).await;
    for (request, was_there) in [(1, false), (2, true)] {
        send(&mut stream, request, vec![of(2, 0), of(0, 0)]).await;
        let (first, second) = (ack(&mut stream).await, ack(&mut stream).await);
        assert_eq!(place(&first), (2, Offset(0), was_there));
        assert_eq!(place(&second), (0, Offset(0), was_there));
        assert_eq!((first.request, first.csn), (request, second.csn));
    }
    let expecting = |end| AppendBatch { expected_end: Some(Offset(end)), ..of(1, 0) };
    send(&mut stream, 3, vec![of(0, 2), expecting(1)]).await;
    assert_eq!(code(&mut stream).await, (ErrorCode::EndMoved, true));
    send(&mut stream, 4, vec![of(1, 0), of(1, 2)]).await;
    assert_eq!(code(&mut stream).await, (ErrorCode::BadRequest, true));
    send(&mut stream, 5, vec![of(0, 2), of(3, 0)]).await;
    assert_eq!(code(&mut stream).await, (ErrorCode::UnknownPartition, true));
    send(&mut stream, 6, vec![of(0, 2), expecting(0)]).await;
    assert_eq!(place(&ack(&mut stream).await), (0, Offset(2), false));
    assert_eq!(place(&ack(&mut stream).await), (1, Offset(0), false));
}
