//! Producers whose connection is lost.

use logmill_wire::{Ack, Append, Hello, ProduceOpen, Request};

use super::*;
use crate::fake_broker::welcome;

async fn welcome_back(broker: &FakeBroker) -> Peer {
    let peer = broker.accept().await;
    let mut hello = peer.stream().await;
    hello.message::<Hello>();
    hello.reply(&welcome()).await;
    hello.writer.finish();
    peer
}

async fn ack(stream: &mut Served, append: &Append, base_offset: u64, was_there: bool) {
    for batch in &append.batches {
        let ack = Ack {
            request: append.request,
            base_offset: Offset(base_offset),
            append_ts: Timestamp(1001),
            csn: logmill_model::Csn(7),
            epoch: logmill_model::Epoch(3),
            partition: batch.partition,
            shard: logmill_model::ShardId(0),
            was_there,
            duplicates: Vec::new(),
        };
        stream.send(&Frame::Ack(ack)).await;
    }
}

#[tokio::test]
async fn what_has_no_answer_is_sent_again_as_it_was_on_a_new_connection() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let mut tickets = Vec::new();
    for n in 0..3 {
        tickets.push(soon(producer.send_batch(0, batch_of(n..n + 2))).await.unwrap());
    }
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(stream.appended().await);
    }
    assert_eq!(stream.message::<ProduceOpen>().producer, Some(IDENTITY));
    ack(&mut stream, &sent[0], 10, false).await;
    soon(tickets[0].wait()).await.unwrap();
    peer.close(ErrorCode::ShuttingDown.number(), "SIGTERM");
    let peer = welcome_back(&broker).await;
    let mut stream = peer.producer(1).await;
    assert_eq!(stream.message::<ProduceOpen>().producer, Some(IDENTITY), "as who it was");
    for (n, was_there) in [(1, true), (2, false)] {
        let again = stream.appended().await;
        assert_eq!(again.batches, sent[n].batches);
        assert_eq!(again.batches[0].first_sequence, Some(n as u64 * 2));
        ack(&mut stream, &again, 10 + n as u64 * 2, was_there).await;
        assert_eq!(soon(tickets[n].wait()).await.unwrap().offset, Offset(10 + n as u64 * 2));
    }
    let next = soon(producer.send_batch(0, batch_of(0..1))).await.unwrap();
    let append = stream.appended().await;
    assert_eq!(append.batches[0].first_sequence, Some(6));
    ack(&mut stream, &append, 16, false).await;
    soon(next.wait()).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_does_not_come_back_in_time_leaves_the_outcome_unknown() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let retry_for = Duration::from_millis(100);
    let options = ProducerOptions { retry_for, in_flight: 1, ..ProducerOptions::default() };
    let (producer, mut stream) = open_with(&client, &peer, 1, options).await;
    let sent = soon(producer.send_batch(0, batch_of(0..1))).await.unwrap();
    let unsent = soon(producer.send_batch(0, batch_of(1..2))).await.unwrap();
    stream.appended().await;
    // It takes connections, and closes each of them.
    let closes = async {
        peer.close(ErrorCode::Overloaded.number(), "too much");
        loop {
            broker.accept().await.close(ErrorCode::Overloaded.number(), "too much");
        }
    };
    let outcome = async { (sent.wait().await, unsent.wait().await) };
    let (sent, unsent) = tokio::select! {
        outcome = soon(outcome) => outcome,
        () = closes => unreachable!("it goes on for ever"),
    };
    assert!(matches!(sent, Err(Error::OutcomeUnknown { .. })), "{sent:?}");
    assert!(matches!(unsent, Err(Error::Disconnected { .. })), "{unsent:?}");
}

#[tokio::test]
async fn closing_the_client_ends_a_producer_that_looks_for_its_broker() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = open(&client, &peer, 1).await;
    let sent = soon(producer.send(record("x"))).await.unwrap();
    stream.appended().await;
    soon(client.close()).await;
    let error = soon(sent.wait()).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
}

#[tokio::test]
async fn a_name_is_registered_and_whoever_is_fenced_is_of_no_further_use() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let name: logmill_model::ProducerName = "billing".parse().unwrap();
    let options = ProducerOptions { name: Some(name.clone()), ..ProducerOptions::default() };
    let opened = client.producer_with("t".parse().unwrap(), options);
    let serve = async {
        let mut control = peer.stream().await;
        assert_eq!(control.message::<Request>(), Request::ProducerRegister { name: Some(name) });
        control.register(IDENTITY).await;
        peer.producer(1).await
    };
    let (producer, mut stream) = soon(async { tokio::join!(opened, serve) }).await;
    let producer = producer.unwrap();
    let sent = soon(producer.send(record("x"))).await.unwrap();
    let append = stream.appended().await;
    let fenced = Fault::new(ErrorCode::Fenced, "epoch 2 has taken over");
    stream.refuse(fenced.of_request(append.request)).await;
    let error = soon(sent.wait()).await.unwrap_err();
    assert_eq!((error.code(), error.has_no_side_effects()), (Some(ErrorCode::Fenced), true));
    assert_eq!(soon(producer.send(record("y"))).await.unwrap_err().code(), Some(ErrorCode::Fenced));
}

#[tokio::test]
async fn a_producer_that_is_not_registered_is_refused_its_records_and_tries_again() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let opened = client.producer("t".parse().unwrap());
    let serve = async {
        let mut stream = peer.stream().await;
        stream.reply(&logmill_wire::ProduceOpened { partitions: 1 }).await;
        stream
    };
    let (producer, _stream) = soon(async { tokio::join!(opened, serve) }).await;
    let producer = producer.unwrap();
    let refused = soon(producer.send(record("x"))).await.unwrap();
    let mut control = peer.stream().await;
    assert_eq!(control.message::<Request>(), Request::ProducerRegister { name: None });
    control.refuse(Fault::new(ErrorCode::DiskFull, "no room")).await;
    let error = soon(refused.wait()).await.unwrap_err();
    assert!(error.code() == Some(ErrorCode::DiskFull) && error.is_retryable(), "{error}");
    let taken = soon(producer.send(record("y"))).await.unwrap();
    peer.stream().await.register(IDENTITY).await;
    let mut stream = peer.producer(1).await;
    let append = stream.appended().await;
    assert_eq!(append.batches[0].first_sequence, Some(0));
    ack(&mut stream, &append, 5, false).await;
    assert_eq!(soon(taken.wait()).await.unwrap().offset, Offset(5));
}
