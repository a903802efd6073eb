//! What a topic's policy does to who produces and who reads.

use logmill_model::{
    Limit, Offset, OnFull, PolicyChange, Position, TopicDescription, TopicName, TopicPolicy,
};
use logmill_wire::{
    Data, Frame, Produce, ProduceOpen, ProduceOpened, Request, Response, StreamKind, SubscribeOpen,
    SubscribeOpened,
};

use super::support::{Client, Site, Stream, large_batch, soon};

const BATCH_BYTES: usize = 10_000;

fn topic() -> TopicName {
    "t".parse().unwrap()
}

fn altered(change: PolicyChange) -> Request {
    Request::TopicAlter { topic: topic(), change }
}

fn bytes(limit: u64, on_full: OnFull) -> PolicyChange {
    PolicyChange {
        retention_bytes: Some(Limit::Of(limit)),
        on_full: Some(on_full),
        ..PolicyChange::default()
    }
}

async fn ask(client: &Client, request: Request) -> TopicDescription {
    match client.ask(request).await {
        Ok(Response::Topic(topic)) => topic,
        other => panic!("{other:?}"),
    }
}

async fn producer(client: &Client) -> Stream {
    let open = ProduceOpen { topic: topic(), partition: Some(0), producer: None };
    let mut stream = client.open_with(StreamKind::Produce, &open).await;
    stream.reply::<ProduceOpened>().await.unwrap();
    stream
}

async fn produce(client: &Client, batches: u64) {
    let mut stream = producer(client).await;
    for request in 1..=batches {
        stream.send(&Frame::Produce(Produce::new(request, 0, &large_batch(BATCH_BYTES)))).await;
        assert!(matches!(stream.frame().await, Frame::Ack(_)));
    }
}

fn from(from: Position, credit: u64) -> SubscribeOpen {
    SubscribeOpen { topic: topic(), partition: 0, from, filter: None, credit }
}

async fn data(stream: &mut Stream) -> Data {
    match stream.frame().await {
        Frame::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

/// The start of the topic's partition, once retention has moved it.
async fn trimmed(client: &Client) -> u64 {
    let moved = async {
        loop {
            let described = ask(client, Request::TopicDescribe { topic: topic() }).await;
            if described.partitions[0].start > Offset(0) {
                return described.partitions[0].start.0;
            }
        }
    };
    soon(moved).await
}

#[tokio::test]
async fn a_policy_changes_only_where_it_is_told_to() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let policy = |request| async {
        match client.ask(request).await {
            Ok(Response::Topic(topic)) => topic.policy,
            other => panic!("{other:?}"),
        }
    };
    let week =
        PolicyChange { retention_time_ms: Some(Limit::Of(604_800_000)), ..Default::default() };
    let expected = TopicPolicy { retention_time_ms: Some(604_800_000), ..Default::default() };
    assert_eq!(policy(altered(week)).await, expected);
    let full = PolicyChange {
        retention_bytes: Some(Limit::Of(1 << 30)),
        on_full: Some(OnFull::Reject),
        ..Default::default()
    };
    let expected =
        TopicPolicy { retention_bytes: Some(1 << 30), on_full: OnFull::Reject, ..expected };
    assert_eq!(policy(altered(full)).await, expected);
    let ageless = PolicyChange { retention_time_ms: Some(Limit::Unlimited), ..Default::default() };
    let expected = TopicPolicy { retention_time_ms: None, ..expected };
    assert_eq!(policy(altered(ageless)).await, expected);
    server.shutdown().await.unwrap();
    let server = site.start().await;
    let client = site.client(&server).await;
    match client.ask(Request::TopicDescribe { topic: topic() }).await {
        Ok(Response::Topic(topic)) => assert_eq!(topic.policy, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_behind_the_start_is_told_the_real_range() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    produce(&client, 30).await;
    // It has credit for the first batch alone, and is overtaken while it waits for more.
    let credit = BATCH_BYTES as u64;
    let open = from(Position::Earliest, credit);
    let mut overtaken = client.open_with(StreamKind::Subscribe, &open).await;
    overtaken.reply::<SubscribeOpened>().await.unwrap();
    let first = data(&mut overtaken).await;
    ask(&client, altered(bytes(1, OnFull::DropOldest))).await;
    let start = trimmed(&client).await;
    overtaken.send(&Frame::Credit(first.body_bytes())).await;
    let fault = overtaken.fault().await;
    assert_eq!((fault.code.number(), fault.request), (15, 0));
    let says = format!("the partition has {start} to 30");
    assert!(fault.text.contains(&says) && start < 30, "{}", fault.text);
    overtaken.ends().await;

    let behind = from(Position::Offset(Offset(start - 1)), 1 << 20);
    let mut behind = client.open_with(StreamKind::Subscribe, &behind).await;
    let fault = behind.fault().await;
    assert!(fault.code.number() == 15 && fault.text.contains(&says), "{}", fault.text);
    let earliest = from(Position::Earliest, 1 << 20);
    let mut earliest = client.open_with(StreamKind::Subscribe, &earliest).await;
    assert_eq!(earliest.reply::<SubscribeOpened>().await.unwrap().start, Offset(start));
}

#[tokio::test]
async fn a_full_topic_that_rejects_refuses_what_may_be_sent_again_and_takes_no_batch_too_many() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let limit = 5 * BATCH_BYTES as u64;
    ask(&client, altered(bytes(limit, OnFull::Reject))).await;
    // All are on their way before the first is durable.
    site.storage.hold_syncs();
    let mut stream = producer(&client).await;
    for request in 1..=20 {
        stream.produce(request, 0, &large_batch(BATCH_BYTES)).await;
    }
    site.storage.release_syncs();
    let mut acked = 0;
    for _ in 1..=20 {
        match stream.frame().await {
            Frame::Ack(_) => acked += 1,
            Frame::Fault(fault) => {
                assert_eq!(fault.code.number(), 16, "{}", fault.text);
                assert!(fault.retryable && fault.no_side_effects, "{fault:?}");
                assert!(fault.text.contains("partition 0 of t"), "{}", fault.text);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acked, 5, "the limit is reached by the fifth batch");
    let described = ask(&client, altered(bytes(2 * limit, OnFull::Reject))).await;
    let partition = described.partitions[0];
    assert_eq!((partition.start, partition.end), (Offset(0), Offset(5)));
    assert!((limit..limit + BATCH_BYTES as u64).contains(&partition.bytes), "{partition:?}");
    stream.produce(21, 0, &large_batch(BATCH_BYTES)).await;
    assert!(matches!(stream.frame().await, Frame::Ack(_)));
}

#[tokio::test]
async fn a_time_is_the_first_batch_that_was_appended_then_or_later() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("t", 1).await;
    let mut times = Vec::new();
    let mut subscriber =
        client.open_with(StreamKind::Subscribe, &from(Position::Earliest, u64::MAX)).await;
    subscriber.reply::<SubscribeOpened>().await.unwrap();
    while times.len() < 40 {
        produce(&client, 1).await;
        loop {
            match subscriber.frame().await {
                Frame::Data(data) => break times.push(data.envelope.append_ts),
                Frame::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let start = async |position| {
        let mut stream = client.open_with(StreamKind::Subscribe, &from(position, 1)).await;
        stream.reply::<SubscribeOpened>().await.unwrap().start.0
    };
    for time in &times {
        for asked in [time.minus_ms(1), *time, time.plus_ms(1)] {
            let expected = times.partition_point(|it| *it < asked) as u64;
            assert_eq!(start(Position::Time(asked)).await, expected);
        }
    }
    assert_eq!(start(Position::Ago(3_600_000)).await, 0);
    assert_eq!(start(Position::Ago(u64::MAX)).await, 0);
    let last = times[39];
    server.engine().topic(&topic()).unwrap();
    assert_eq!(start(Position::Time(last.plus_ms(1))).await, 40);
}
