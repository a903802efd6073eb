//! Tests of reading, against a broker whose every frame the test sends.

use bytes::Bytes;
use logmill_model::{
    Compression, Offset, PartitionDescription, Position, RecordBatch, Timestamp, TopicDescription,
};
use logmill_wire::{Credit, Data, ErrorCode, Fault, Frame, Request, Response};

use super::*;
use crate::fake_broker::{FakeBroker, Peer, Served, data, record, soon};

fn options() -> SubscribeOptions {
    SubscribeOptions::new("t".parse().unwrap()).partition(0)
}

async fn open(
    client: &Client,
    peer: &Peer,
    options: SubscribeOptions,
    ends: (u64, u64),
) -> (Subscriber, Served, SubscribeOpen) {
    let opened = client.subscribe(options);
    let (subscriber, (stream, open)) =
        soon(async { tokio::join!(opened, peer.subscriber(ends.0, ends.1)) }).await;
    (subscriber.unwrap(), stream, open)
}

fn value(n: u64) -> Bytes {
    n.to_string().into()
}

fn values(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(value).collect()
}

/// All offsets up to the end, each with the value that belongs to it.
async fn offsets(subscriber: &mut Subscriber) -> Vec<u64> {
    let mut offsets = Vec::new();
    while let Some(record) = soon(subscriber.next()).await {
        let record = record.unwrap();
        assert_eq!(record.record.value, Some(value(record.offset.0)));
        offsets.push(record.offset.0);
    }
    offsets
}

#[tokio::test]
async fn records_come_with_their_places() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let asked =
        options().from(Position::Offset(Offset(40))).credit(10_000).filter("f".parse().unwrap());
    let (mut subscriber, mut stream, open) = open(&client, &peer, asked, (40, 40)).await;
    let expected = SubscribeOpen {
        topic: "t".parse().unwrap(),
        partition: 0,
        from: Position::Offset(Offset(40)),
        filter: Some("f".parse().unwrap()),
        credit: 10_000,
    };
    assert_eq!(open, expected);
    stream.send(&Frame::Data(data(40, &values(40..42)))).await;
    for offset in [40, 41] {
        let record = soon(subscriber.next()).await.unwrap().unwrap();
        assert_eq!((record.partition, record.offset.0), (0, offset));
        assert_eq!(record.append_ts, Timestamp(1001));
        assert_eq!(record.record, crate::fake_broker::record(value(offset)));
    }
}

/// The broker sends whole batches: from 40 on, the one at 38; up to 44, the one of 43 and 44.
#[tokio::test]
async fn only_what_was_asked_for_is_given() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let asked = options().from(Position::Offset(Offset(40))).to(Offset(44));
    let (mut subscriber, mut stream, _) = open(&client, &peer, asked, (40, 100)).await;
    for (base, end) in [(38, 41), (41, 43), (43, 46)] {
        stream.send(&Frame::Data(data(base, &values(base..end)))).await;
    }
    assert_eq!(offsets(&mut subscriber).await, [40, 41, 42, 43]);
    assert!(soon(subscriber.next()).await.is_none());
}

#[tokio::test]
async fn until_the_end_means_the_end_at_the_opening() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut subscriber, mut stream, _) = open(&client, &peer, options().until_end(), (0, 3)).await;
    stream.send(&Frame::Data(data(0, &values(0..2)))).await;
    stream.send(&Frame::Data(data(2, &values(2..9)))).await;
    assert_eq!(offsets(&mut subscriber).await, [0, 1, 2]);

    let (mut empty, _stream, _) = open(&client, &peer, options().until_end(), (5, 5)).await;
    assert!(soon(empty.next()).await.is_none());

    let beyond = options().until_end().to(Offset(100));
    let (mut subscriber, mut stream, _) = open(&client, &peer, beyond, (0, 1)).await;
    stream.send(&Frame::Data(data(0, &values(0..1)))).await;
    assert_eq!(offsets(&mut subscriber).await, [0]);
}

#[tokio::test]
async fn a_time_to_end_at_ends_before_the_first_batch_of_it() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let asked = options().to_time(Timestamp(2000));
    let (mut subscriber, mut stream, _) = open(&client, &peer, asked, (0, 100)).await;
    for (base, append_ts) in [(0, 1999), (2, 2000), (4, 2001)] {
        let mut data = data(base, &values(base..base + 2));
        data.envelope.append_ts = Timestamp(append_ts);
        stream.send(&Frame::Data(data)).await;
    }
    assert_eq!(offsets(&mut subscriber).await, [0, 1]);
}

/// A filter lets nothing through at the end: only progress tells that it was reached.
#[tokio::test]
async fn progress_reaches_the_end_where_no_record_does() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut subscriber, mut stream, _) =
        open(&client, &peer, options().until_end(), (0, 50)).await;
    stream.send(&Frame::Data(data(10, &values(10..11)))).await;
    stream.progress(30, 50).await;
    stream.progress(50, 60).await;
    assert_eq!(offsets(&mut subscriber).await, [10]);
}

#[tokio::test]
async fn credit_comes_back_when_the_application_goes_on() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut subscriber, mut stream, _) = open(&client, &peer, options(), (0, 0)).await;
    let frames = [data(0, &values(0..2)), data(2, &values(2..5)), data(5, &values(5..6))];
    for frame in &frames {
        stream.send(&Frame::Data(frame.clone())).await;
    }
    for _ in 0..2 {
        soon(subscriber.next()).await.unwrap().unwrap();
    }
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), stream.reader.next());
    assert!(quiet.await.is_err(), "the first batch is still at hand");
    soon(subscriber.next()).await.unwrap().unwrap();
    assert_eq!(stream.credited().await, frames[0].body_bytes());
    soon(subscriber.next_batch()).await.unwrap().unwrap();
    assert_eq!(stream.credited().await, frames[1].body_bytes());
}

/// A broker that keeps to the credit, a small window, batches small, large and larger than it.
#[tokio::test]
async fn a_slow_reader_gets_everything_within_its_credit() {
    const WINDOW: u64 = 3000;
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let asked = options().until_end().credit(WINDOW);
    let sizes: Vec<usize> = (0..60).map(|n| [10, 1400, 2800, 5000][n % 4]).collect();
    let (mut subscriber, mut stream, open) =
        open(&client, &peer, asked, (0, sizes.len() as u64)).await;
    let serve = async {
        let mut credit = Credit::new(open.credit);
        for (offset, size) in (0..).zip(&sizes) {
            let frame = data(offset, &[vec![7; *size].into()]);
            while !credit.allows(frame.body_bytes()) {
                credit.give_back(stream.credited().await);
            }
            credit.spend(frame.body_bytes());
            stream.send(&Frame::Data(frame)).await;
        }
    };
    let read = async {
        let mut read = Vec::new();
        while let Some(record) = subscriber.next().await {
            read.push(record.unwrap().record.value.unwrap().len());
            tokio::task::yield_now().await;
        }
        read
    };
    let ((), read) = soon(async { tokio::join!(serve, read) }).await;
    assert_eq!((open.credit, read), (WINDOW, sizes));
}

#[tokio::test]
async fn a_batch_that_was_damaged_is_not_given() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut subscriber, mut stream, _) = open(&client, &peer, options(), (0, 0)).await;
    let mut frame = data(7, &values(7..9));
    let mut bytes = frame.batch.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    frame.batch = bytes.into();
    stream.send(&Frame::Data(frame)).await;
    let error = soon(subscriber.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("offset 7"), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    assert!(soon(subscriber.next()).await.is_none(), "and it ends");
}

#[tokio::test]
async fn a_fault_ends_the_subscription_behind_what_was_sent_before() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut subscriber, mut stream, _) = open(&client, &peer, options(), (0, 0)).await;
    stream.send(&Frame::Data(data(0, &values(0..1)))).await;
    stream.refuse(Fault::new(ErrorCode::FilterFailed, "trap at offset 1")).await;
    stream.writer.finish();
    assert!(soon(subscriber.next()).await.unwrap().is_ok());
    let error = soon(subscriber.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FilterFailed));
    assert!(soon(subscriber.next()).await.is_none());
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_batch_gives_nothing_of_it() {
    let broker = FakeBroker::start();
    for lose_connection in [false, true] {
        let (client, peer) = broker.connect().await;
        let (mut subscriber, mut stream, _) = open(&client, &peer, options(), (0, 0)).await;
        let mut bytes = Vec::new();
        Frame::Data(data(0, &values(0..100))).encode(&mut bytes).unwrap();
        bytes.truncate(bytes.len() / 2);
        stream.writer.send_raw(bytes.into()).await.unwrap();
        if lose_connection {
            peer.close(0, "");
        } else {
            stream.writer.finish();
        }
        let error = soon(subscriber.next()).await.unwrap().unwrap_err();
        let fits = if lose_connection {
            matches!(error, Error::Disconnected { .. })
        } else {
            matches!(error, Error::Protocol(_))
        };
        assert!(fits, "{error}");
        assert!(soon(subscriber.next()).await.is_none());
    }
}

#[tokio::test]
async fn an_unknown_filter_is_told_at_once() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let refuse = async {
        let mut stream = peer.stream().await;
        stream.refuse(Fault::new(ErrorCode::UnknownDeployment, "there is no filter f")).await;
    };
    let opened = client.subscribe(options());
    let (opened, ()) = soon(async { tokio::join!(opened, refuse) }).await;
    assert_eq!(opened.unwrap_err().code(), Some(ErrorCode::UnknownDeployment));
}

/// Answers the question how many partitions there are.
async fn describe(peer: &Peer, partitions: u32) {
    let mut stream = peer.stream().await;
    assert!(matches!(stream.message(), Request::TopicDescribe { .. }));
    let (start, end, bytes) = (Offset(0), Offset(3), 300);
    let describe = |partition| PartitionDescription { partition, start, end, bytes, lost: 0 };
    let topic = TopicDescription {
        name: "t".parse().unwrap(),
        created_ts: Timestamp(1),
        policy: logmill_model::TopicPolicy::default(),
        partitions: (0..partitions).map(describe).collect(),
    };
    stream.reply(&Response::Topic(topic)).await;
    stream.writer.finish();
}

#[tokio::test]
async fn all_partitions_are_read_each_in_its_order() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let serve = async {
        describe(&peer, 4).await;
        let mut streams = Vec::new();
        for partition in 0..4 {
            let (mut stream, open) = peer.subscriber(0, 3).await;
            assert_eq!((open.partition, open.credit), (partition, 1 << 20));
            for offset in 0..3 {
                stream.send(&Frame::Data(data(offset, &values(offset..offset + 1)))).await;
            }
            streams.push(stream);
        }
        streams
    };
    let asked = SubscribeOptions::new("t".parse().unwrap()).until_end();
    let (subscriber, _streams) = soon(async { tokio::join!(client.subscribe(asked), serve) }).await;
    let mut subscriber = subscriber.unwrap();
    let mut read = vec![Vec::new(); 4];
    while let Some(record) = soon(subscriber.next()).await {
        let record = record.unwrap();
        read[record.partition as usize].push(record.offset.0);
    }
    assert_eq!(read, vec![vec![0, 1, 2]; 4]);
}

#[tokio::test]
async fn more_partitions_than_streams_are_refused_before_any_is_opened() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let asked = SubscribeOptions::new("t".parse().unwrap());
    let (opened, ()) =
        soon(async { tokio::join!(client.subscribe(asked), describe(&peer, 101)) }).await;
    assert!(matches!(opened, Err(Error::Options(_))));
}

#[tokio::test]
async fn dropping_a_subscriber_ends_its_streams() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (subscriber, mut stream, _) = open(&client, &peer, options(), (0, 0)).await;
    drop(subscriber);
    assert_eq!(stream.next().await, None);
}

/// The data frame of this batch from offset 0 on.
fn framed(batch: &RecordBatch) -> Data {
    let mut data = data(0, &[]);
    data.envelope.last_delta = batch.last_delta();
    data.envelope.records = batch.record_count();
    data.envelope.bytes = u32::try_from(batch.bytes().len()).unwrap();
    data.envelope.crc = batch.crc();
    data.envelope.compression = batch.compression();
    Data { batch: batch.bytes().clone(), ..data }
}

#[tokio::test]
async fn compressed_batches_are_read_as_others_are() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let records: Vec<_> = (0..50).map(|n| record(value(n))).collect();
    let plain = RecordBatch::of(&records).unwrap();
    for compression in [Compression::Lz4, Compression::Zstd] {
        let batch = plain.compress(compression);
        assert_eq!(batch.compression(), compression);
        let (mut subscriber, mut stream, _) =
            open(&client, &peer, options().until_end(), (0, 50)).await;
        stream.send(&Frame::Data(framed(&batch))).await;
        let read = soon(subscriber.next_batch()).await.unwrap().unwrap();
        assert_eq!(read.batch, batch, "the bytes are those that were sent");
        assert!(read.records().map(|it| it.record).eq(records.iter().cloned()));
        assert!(soon(subscriber.next()).await.is_none());
    }
}

/// Its checksum is right, so that only decompressing it can tell.
#[tokio::test]
async fn a_batch_that_does_not_decompress_ends_the_subscription_and_says_where() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let records: Vec<_> = (0..50).map(|n| record(value(n))).collect();
    for compression in [Compression::Lz4, Compression::Zstd] {
        let mut bytes = RecordBatch::of(&records).unwrap().compress(compression).bytes().to_vec();
        bytes[12] ^= 1;
        let crc = match RecordBatch::check(bytes.clone().into(), 0) {
            Err(logmill_model::Error::Checksum { actual, .. }) => actual,
            other => panic!("{other:?}"),
        };
        let bad = RecordBatch::check(bytes.into(), crc).unwrap();
        let (mut subscriber, mut stream, _) = open(&client, &peer, options(), (0, 50)).await;
        stream.send(&Frame::Data(framed(&bad))).await;
        let error = soon(subscriber.next()).await.unwrap().unwrap_err();
        let Error::Protocol(text) = &error else { panic!("{error}") };
        assert!(text.contains("offset 0 of partition 0") && text.contains("decompress"), "{text}");
        assert!(soon(subscriber.next()).await.is_none(), "nothing more comes");
    }
}
