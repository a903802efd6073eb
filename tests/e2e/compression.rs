//! Compression: the producer chooses, the broker keeps what was sent, readers see no difference.

use bytes::Bytes;
use logmill_client::{
    Client, Compression, Error, ErrorCode, Producer, RecordBatch, SubscribeOptions, World,
};
use logmill_tests::{Broker, Setup, example, guest, read_all, record, text, within};

use crate::PROGRAM;

const CODECS: [(&str, Compression); 3] =
    [("none", Compression::None), ("lz4", Compression::Lz4), ("zstd", Compression::Zstd)];
const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

/// The batches of a topic of one partition, as they are served.
async fn batches(client: &Client, topic: &str) -> Vec<RecordBatch> {
    let options = SubscribeOptions::new(topic.parse().unwrap()).until_end();
    let mut subscriber = client.subscribe(options).await.unwrap();
    let mut batches = Vec::new();
    while let Some(read) = within("a batch", subscriber.next_batch()).await {
        let read = read.unwrap();
        assert_eq!(read.envelope.compression, read.batch.compression());
        assert!(!read.envelope.rewritten);
        batches.push(read.batch);
    }
    batches
}

fn bytes(batches: &[RecordBatch]) -> usize {
    batches.iter().map(|batch| batch.bytes().len()).sum()
}

#[tokio::test]
async fn each_codec_gives_back_the_same_records_byte_for_byte_and_takes_less() {
    let file = example("data/github-webhooks.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    let broker = Broker::start(PROGRAM).await;
    for (codec, _) in CODECS {
        broker.create_topic(codec, 1).await;
        let args = ["produce", codec, "--file", file.to_str().unwrap(), "--compression", codec];
        broker.logmill(&args).await.ok();
    }
    let client = broker.client().await;
    let mut served = Vec::new();
    for (codec, compression) in CODECS {
        let read = read_all(&client, codec).await;
        assert!(read.iter().map(|it| text(&it.record)).eq(lines.lines()), "{codec}");
        let batches = batches(&client, codec).await;
        assert!(batches.iter().all(|batch| batch.compression() == compression), "{codec}");
        served.push((codec, batches));
    }
    let [none, lz4, zstd] = [0, 1, 2].map(|nth: usize| bytes(&served[nth].1));
    assert!(none > lines.len() && lz4 * 4 < none && zstd < lz4, "{none} {lz4} {zstd}");
    let raw = broker.logmill(&["consume", "zstd", "-o", "json"]).await.ok().stdout;
    let plain = broker.logmill(&["consume", "none", "-o", "json"]).await.ok().stdout;
    let values = |printed: &str| -> Vec<serde_json::Value> {
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        printed.lines().map(|line| value(line)["value"].clone()).collect()
    };
    assert_eq!(values(&raw), values(&plain));

    // Read from the disk, they are the same bytes.
    let (_, _, data) = broker.terminate().await;
    let broker = Broker::start_with(PROGRAM, Setup::on(&data)).await;
    let client = broker.client().await;
    for (codec, before) in &served {
        assert_eq!(&batches(&client, codec).await, before, "{codec}");
    }
}

#[tokio::test]
async fn a_single_value_may_be_compressed_and_what_does_not_shrink_is_not() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    let long = "again ".repeat(100);
    for value in [long.as_str(), "no"] {
        broker.logmill(&["produce", "t", value, "--compression", "zstd"]).await.ok();
    }
    let client = broker.client().await;
    let read = read_all(&client, "t").await;
    assert!(read.iter().map(|it| text(&it.record)).eq([long.as_str(), "no"]));
    let batches = batches(&client, "t").await;
    assert_eq!(batches[0].compression(), Compression::Zstd);
    assert!(batches[1].bytes().len() <= 16 + batches[1].records_bytes());
}

async fn producer(client: &Client, topic: &str) -> Producer {
    client.producer(topic.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn modules_see_compressed_records_as_any_other() {
    const WORDS: [&str; 3] = ["to a", "fail", "none"];
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.create_topic("routed", 1).await;
    let consumer = "--on t --out a --from earliest --max-attempts 1";
    broker.deploy("c", World::Consumer, &component, consumer).await;
    broker.deploy("f", World::Filter, &component, "--on routed --config keep=to").await;
    broker.deploy("r", World::Router, &component, "--on routed --out b").await;
    for name in ["c", "f", "r"] {
        broker.running(name).await;
    }
    let client = broker.client().await;
    let (t, routed) = (producer(&client, "t").await, producer(&client, "routed").await);
    let values = |words: &[&str]| -> Vec<String> {
        (0..90).map(|n| format!("{n} {}", words[n % words.len()])).collect()
    };
    for compression in BOTH {
        for (producer, words) in [(&t, &WORDS[..]), (&routed, &["to b", "none"][..])] {
            let records: Vec<_> =
                values(words).into_iter().map(|value| record("k", value)).collect();
            let batch = RecordBatch::of(&records).unwrap().compress(compression);
            assert_eq!(batch.compression(), compression);
            producer.send_batch(0, batch).await.unwrap().wait().await.unwrap();
        }
    }
    let counts = broker.settled("c").await.counts;
    assert_eq!((counts.done, counts.dead_lettered, counts.outputs), (120, 60, 60));
    assert_eq!(read_all(&client, "a").await.len(), 60);
    let b: Vec<_> =
        read_all(&client, "b").await.iter().map(|it| text(&it.record).to_owned()).collect();
    let expected: Vec<_> =
        (0..2).flat_map(|_| values(&["to b", "none"]).into_iter().step_by(2)).collect();
    assert_eq!(b, expected);
    // What a filter has taken records out of is served anew and says so.
    let options =
        SubscribeOptions::new("routed".parse().unwrap()).until_end().filter("f".parse().unwrap());
    let mut filtered = client.subscribe(options).await.unwrap();
    let mut offsets = Vec::new();
    while let Some(read) = within("a batch", filtered.next_batch()).await {
        let read = read.unwrap();
        assert!(read.envelope.rewritten);
        assert_eq!(read.batch.compression(), Compression::None);
        offsets.extend(read.records().map(|it| it.offset.0));
    }
    assert_eq!(offsets, (0..180).step_by(2).collect::<Vec<_>>());
}

/// A batch whose header says 2 MiB, and whose 100 bytes decompress to that many: of zeros, which
/// are no records.
fn bomb() -> RecordBatch {
    const LENGTH: u32 = (2 << 20) - 16;
    let mut bytes = vec![1, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(LENGTH.to_le_bytes());
    bytes.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3]);
    let mut rest = LENGTH;
    while rest > 0 {
        let block = rest.min(128 << 10);
        rest -= block;
        let header = block << 3 | 1 << 1 | u32::from(rest == 0);
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.push(0);
    }
    let crc = crc32c::crc32c(&bytes);
    RecordBatch::check(Bytes::from(bytes), crc).unwrap()
}

/// 128 streams send them at once.
#[tokio::test]
async fn bombs_are_refused_in_bounded_memory_while_others_are_served() {
    const CLIENTS: usize = 8;
    const STREAMS: usize = 16;
    const EACH: usize = 10;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.logmill(&["produce", "t", "before"]).await.ok();
    let before = broker.peak_memory();
    let mut attacks = Vec::new();
    for _ in 0..CLIENTS {
        let client = broker.client().await;
        for _ in 0..STREAMS {
            let producer = producer(&client, "t").await;
            attacks.push(tokio::spawn(async move {
                let mut tickets = Vec::new();
                for _ in 0..EACH {
                    tickets.push(producer.send_batch(0, bomb()).await.unwrap());
                }
                for ticket in tickets {
                    let Err(Error::Refused { code, no_side_effects, .. }) = ticket.wait().await
                    else {
                        panic!("a bomb was not refused");
                    };
                    assert_eq!((code, no_side_effects), (ErrorCode::MalformedBatch, true));
                }
            }));
        }
    }
    broker.logmill(&["produce", "t", "meanwhile"]).await.ok();
    for attack in attacks {
        within("all bombs are answered", attack).await.unwrap();
    }
    let client = broker.client().await;
    let read = read_all(&client, "t").await;
    assert!(read.iter().map(|it| text(&it.record)).eq(["before", "meanwhile"]));
    let grown = broker.peak_memory() - before;
    assert!(grown < 96 << 20, "{} MiB", grown >> 20);
}
