//! Tests of producing, against a broker whose every answer the test gives.

use std::collections::HashMap;
use std::time::Duration;

use logmill_model::{Compression, Header, Offset};
use logmill_wire::{ErrorCode, Fault, Frame};

use super::*;

mod again;
use crate::fake_broker::{FakeBroker, IDENTITY, Peer, Served, keyed, record, soon};

async fn open_with(
    client: &Client,
    peer: &Peer,
    partitions: u32,
    options: ProducerOptions,
) -> (Producer, Served) {
    let opened = client.producer_with("t".parse().unwrap(), options);
    let (producer, stream) = soon(async { tokio::join!(opened, peer.producer(partitions)) }).await;
    (producer.unwrap(), stream)
}

async fn open(client: &Client, peer: &Peer, partitions: u32) -> (Producer, Served) {
    open_with(client, peer, partitions, ProducerOptions::default()).await
}

/// A producer that sends nothing twice.
fn once() -> ProducerOptions {
    ProducerOptions { idempotent: false, ..ProducerOptions::default() }
}

fn batch_of(values: std::ops::Range<u32>) -> RecordBatch {
    let records: Vec<_> = values.map(|n| record(n.to_string())).collect();
    RecordBatch::of(&records).unwrap()
}

#[tokio::test]
async fn an_unknown_topic_is_told_at_once() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let refuse = async {
        let mut stream = peer.stream().await;
        stream.refuse(Fault::new(ErrorCode::UnknownTopic, "there is no topic t")).await;
    };
    let opened = client.producer("t".parse().unwrap());
    let (opened, ()) = soon(async { tokio::join!(opened, refuse) }).await;
    assert_eq!(opened.unwrap_err().code(), Some(ErrorCode::UnknownTopic));
}

#[tokio::test]
async fn batches_are_in_flight_together_and_tickets_give_each_records_place() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 3).await;
    let mut tickets = Vec::new();
    for n in 0..5 {
        tickets.push(soon(producer.send_batch(2, batch_of(n * 2..n * 2 + 2))).await.unwrap());
    }
    let mut frames = Vec::new();
    for n in 0..5 {
        let (frame, batch) = stream.produced().await;
        assert_eq!((frame.partition, &batch), (2, &batch_of(n * 2..n * 2 + 2)));
        frames.push(frame);
    }
    // Answers are matched by request, in whatever order they come.
    for (n, frame) in frames.iter().enumerate().rev() {
        stream.ack(frame, 100 + n as u64 * 2).await;
    }
    for (n, ticket) in tickets.iter().enumerate() {
        let ack = soon(ticket.wait()).await.unwrap();
        let expected = Ack {
            partition: 2,
            offset: Offset(100 + n as u64 * 2),
            duplicate: false,
            append_ts: Timestamp(1001),
            csn: logmill_model::Csn(7),
            shard: logmill_model::ShardId(0),
            epoch: logmill_model::Epoch(3),
        };
        assert_eq!(ack, expected);
    }
    soon(producer.flush()).await.unwrap();
}

#[tokio::test]
async fn records_fill_a_batch_while_another_is_on_its_way() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let first = soon(producer.send(record("first"))).await.unwrap();
    let (frame, batch) = stream.produced().await;
    assert_eq!(batch.record_count(), 1);
    let mut rest = Vec::new();
    for n in 0..99 {
        rest.push(soon(producer.send(record(n.to_string()))).await.unwrap());
    }
    stream.ack(&frame, 7).await;
    assert_eq!(soon(first.wait()).await.unwrap().offset, Offset(7));
    let (frame, batch) = stream.produced().await;
    assert_eq!(batch.record_count(), 99);
    stream.ack(&frame, 8).await;
    for (n, ticket) in (8..).zip(&rest) {
        assert_eq!(soon(ticket.wait()).await.unwrap().offset, Offset(n));
    }
}

#[tokio::test]
async fn a_key_has_one_partition_and_keeps_its_order() {
    const PARTITIONS: u32 = 5;
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let options = ProducerOptions { batch_bytes: 400, ..ProducerOptions::default() };
    let (producer, mut stream) = open_with(&client, &peer, PARTITIONS, options).await;
    let serve = async {
        let (mut seen, mut next) = (HashMap::<Vec<u8>, Vec<u32>>::new(), [0; PARTITIONS as usize]);
        while let Some(Frame::Produce(frame)) = stream.next().await {
            let batch = RecordBatch::check(frame.batch.clone(), frame.crc).unwrap();
            for record in &batch.plain().unwrap() {
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                assert_eq!(logmill_model::partition_of_key(key, PARTITIONS), frame.partition);
                let value = str::from_utf8(value).unwrap().parse().unwrap();
                seen.entry(key.to_vec()).or_default().push(value);
            }
            let end = &mut next[frame.partition as usize];
            stream.ack(&frame, *end).await;
            *end += u64::from(batch.record_count());
        }
        stream.writer.finish();
        seen
    };
    let produce = async {
        for n in 0..1000_u32 {
            let record = keyed(format!("key-{}", n % 17), n.to_string());
            let _ticket = producer.send(record).await.unwrap();
        }
        producer.flush().await.unwrap();
        drop(producer);
    };
    let (seen, ()) = soon(async { tokio::join!(serve, produce) }).await;
    assert_eq!(seen.len(), 17);
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 1000);
    assert!(seen.values().all(|values| values.is_sorted()));
}

#[tokio::test]
async fn a_refused_batch_does_not_end_the_stream() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let refused = soon(producer.send_batch(0, batch_of(0..3))).await.unwrap();
    let kept = soon(producer.send_batch(0, batch_of(3..4))).await.unwrap();
    let (frame, _) = stream.produced().await;
    let fault = Fault::new(ErrorCode::RouterRefused, "record 2 has no route")
        .of_request(frame.request)
        .at_record(Some(2));
    stream.refuse(fault).await;
    let (frame, _) = stream.produced().await;
    stream.ack(&frame, 0).await;
    let error = soon(refused.wait()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RouterRefused));
    assert!(matches!(error, Error::Refused { index: Some(2), .. }));
    assert!(!error.is_retryable() && error.has_no_side_effects());
    soon(kept.wait()).await.unwrap();
}

#[tokio::test]
async fn flushing_tells_of_a_refusal() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let _ticket = soon(producer.send(record("x"))).await.unwrap();
    let refuse = async {
        let (frame, _) = stream.produced().await;
        stream.refuse(Fault::new(ErrorCode::DiskFull, "no room").of_request(frame.request)).await;
    };
    let (flushed, ()) = soon(async { tokio::join!(producer.flush(), refuse) }).await;
    let error = flushed.unwrap_err();
    assert!(error.is_retryable() && error.has_no_side_effects(), "{error}");
}

/// What was sent and has no answer is unknown; what was not sent did not happen; nothing hangs.
#[tokio::test]
async fn a_lost_connection_tells_what_was_sent_from_what_was_not() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let options = ProducerOptions { in_flight: 1, ..once() };
    let (producer, mut stream) = open_with(&client, &peer, 1, options).await;
    let sent = soon(producer.send_batch(0, batch_of(0..1))).await.unwrap();
    let unsent = soon(producer.send_batch(0, batch_of(1..2))).await.unwrap();
    stream.produced().await;
    peer.close(ErrorCode::ShuttingDown.number(), "SIGTERM");
    let error = soon(sent.wait()).await.unwrap_err();
    assert!(matches!(&error, Error::OutcomeUnknown { reason } if reason.contains("SIGTERM")));
    assert!(!error.is_retryable() && !error.has_no_side_effects());
    assert_eq!(error.code(), Some(ErrorCode::Unknown));
    for error in [
        soon(unsent.wait()).await.unwrap_err(),
        soon(producer.send(record("x"))).await.unwrap_err(),
        soon(producer.send_batch(0, batch_of(0..1))).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Disconnected { .. }), "{error}");
        assert!(error.is_retryable() && error.has_no_side_effects());
        assert_eq!(error.code(), Some(ErrorCode::ShuttingDown));
    }
    soon(producer.flush()).await.unwrap();
}

#[tokio::test]
async fn a_final_fault_ends_the_stream_with_its_reason() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let sent = soon(producer.send(record("x"))).await.unwrap();
    stream.produced().await;
    stream.reader.stop();
    stream.refuse(Fault::new(ErrorCode::UnknownTopic, "topic t was deleted")).await;
    for error in
        [soon(sent.wait()).await.unwrap_err(), soon(producer.send(record("x"))).await.unwrap_err()]
    {
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopic));
        assert!(error.to_string().contains("topic t was deleted"), "{error}");
        assert!(!error.is_retryable() && error.has_no_side_effects());
    }
}

/// Its answers come before the fault: only what has none is judged by it.
#[tokio::test]
async fn a_final_fault_says_whether_what_has_no_answer_happened() {
    let broker = FakeBroker::start();
    for (code, happened) in [(ErrorCode::ShuttingDown, "no"), (ErrorCode::Internal, "unknown")] {
        let (client, peer) = broker.connect().await;
        let (producer, mut stream) = open_with(&client, &peer, 1, once()).await;
        let answered = soon(producer.send_batch(0, batch_of(0..1))).await.unwrap();
        let unanswered = soon(producer.send_batch(0, batch_of(1..2))).await.unwrap();
        let (frame, _) = stream.produced().await;
        stream.produced().await;
        stream.ack(&frame, 0).await;
        stream.refuse(Fault::new(code, "the end")).await;
        stream.writer.finish();
        soon(answered.wait()).await.unwrap();
        let error = soon(unanswered.wait()).await.unwrap_err();
        assert_eq!(error.has_no_side_effects(), happened == "no", "{error}");
        assert_eq!(error.is_retryable(), happened == "no", "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_in_its_middle_leaves_the_outcome_unknown() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let sent = soon(producer.send(record("x"))).await.unwrap();
    let (frame, _) = stream.produced().await;
    let mut bytes = Vec::new();
    let ack = logmill_wire::Ack {
        request: frame.request,
        base_offset: Offset(0),
        append_ts: Timestamp(1),
        csn: logmill_model::Csn(1),
        epoch: logmill_model::Epoch(1),
        partition: 0,
        shard: logmill_model::ShardId(0),
        was_there: false,
        duplicates: Vec::new(),
    };
    Frame::Ack(ack).encode(&mut bytes).unwrap();
    bytes.truncate(bytes.len() - 1);
    stream.writer.send_raw(bytes.into()).await.unwrap();
    stream.writer.finish();
    let error = soon(sent.wait()).await.unwrap_err();
    assert!(matches!(&error, Error::OutcomeUnknown { .. }), "{error}");
}

/// 5 records of 900 KB and room for 2 MiB: the third waits until the first has its answer.
#[tokio::test]
async fn sending_waits_for_room() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let options = ProducerOptions { buffer_bytes: 0, ..ProducerOptions::default() };
    let (producer, mut stream) = open_with(&client, &peer, 1, options).await;
    let large = || record(vec![7; 900_000]);
    for _ in 0..2 {
        let _ticket = soon(producer.send(large())).await.unwrap();
    }
    let (frame, _) = stream.produced().await;
    let mut third = std::pin::pin!(producer.send(large()));
    let waiting = tokio::time::timeout(Duration::from_millis(50), &mut third).await;
    assert!(waiting.is_err(), "there is no room for a third");
    stream.ack(&frame, 0).await;
    let third = soon(third).await.unwrap();
    for offset in 1..3 {
        let (frame, _) = stream.produced().await;
        stream.ack(&frame, offset).await;
    }
    assert_eq!(soon(third.wait()).await.unwrap().offset, Offset(2));
}

#[tokio::test]
async fn dropped_producers_send_what_they_were_given() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let clone = producer.clone();
    let mut tickets = Vec::new();
    for n in 0..10 {
        tickets.push(soon(clone.send(record(n.to_string()))).await.unwrap());
    }
    drop((producer, clone));
    let mut records = 0;
    while let Some(Frame::Produce(frame)) = stream.next().await {
        stream.ack(&frame, records).await;
        records += u64::from(RecordBatch::check(frame.batch, frame.crc).unwrap().record_count());
    }
    assert_eq!(records, 10, "and then the stream ends");
    stream.writer.finish();
    for ticket in tickets {
        soon(ticket.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_not_sent() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 2).await;
    let reserved = |name: &str| Record { headers: vec![Header::new(name, "")], ..record("x") };
    for bad in [record(vec![0; 1 << 20]), reserved("dlq-reason"), reserved("logmill-x")] {
        let error = soon(producer.send(bad)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
        assert!(!error.is_retryable() && error.has_no_side_effects());
    }
    let error = soon(producer.send_to(2, record("x"))).await.unwrap_err();
    assert_eq!(error, Error::NoSuchPartition { partition: 2, partitions: 2 });
    let error = soon(producer.send_batch(2, batch_of(0..1))).await.unwrap_err();
    assert_eq!(error, Error::NoSuchPartition { partition: 2, partitions: 2 });
    let _ticket = soon(producer.send_to(1, keyed("k", "good"))).await.unwrap();
    let (frame, batch) = stream.produced().await;
    assert_eq!((frame.request, frame.partition, batch.record_count()), (1, 1, 1));
}

#[tokio::test]
async fn a_record_without_a_date_gets_that_of_now() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let undated = Record { create_ts: Timestamp::ZERO, ..record("x") };
    let before = clock::now();
    let _ticket = soon(producer.send(undated)).await.unwrap();
    let (_, batch) = stream.produced().await;
    let dated = batch.plain().unwrap().iter().next().unwrap().create_ts;
    assert!((before..=clock::now()).contains(&dated));
}

#[tokio::test]
async fn batches_are_compressed_as_told_unless_they_were_given_whole() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    for compression in [Compression::Lz4, Compression::Zstd] {
        let options = ProducerOptions { compression, ..ProducerOptions::default() };
        let (producer, mut stream) = open_with(&client, &peer, 1, options).await;
        let mut offset = 0;
        // One that is compressed where it is, and one on another thread.
        for value in ["again ".repeat(100), "again ".repeat(10_000)] {
            let ticket = soon(producer.send(record(value.clone()))).await.unwrap();
            let (frame, batch) = stream.produced().await;
            assert_eq!(batch.compression(), compression);
            assert!(batch.bytes().len() < batch.records_bytes());
            let records = batch.decompressed(1 << 21).unwrap();
            let (_, read) = records.to_records().next().unwrap();
            assert_eq!(read, record(value));
            stream.ack(&frame, offset).await;
            assert_eq!(soon(ticket.wait()).await.unwrap().offset, Offset(offset));
            offset += 1;
        }
        let whole = RecordBatch::of(&vec![record("again"); 100]).unwrap();
        let ticket = soon(producer.send_batch(0, whole.clone())).await.unwrap();
        let (frame, batch) = stream.produced().await;
        assert_eq!(batch, whole);
        stream.ack(&frame, offset).await;
        soon(ticket.wait()).await.unwrap();
    }
}
