//! `PROTOCOL.md` says what the code does: its examples byte for byte, its tables of errors and of
//! frames row by row, its limits by name.

use std::collections::BTreeMap;

use crate::{
    Accepts, Ack, Append, AppendBatch, Data, Decoded, Decoder, ErrorCode, Fault, Frame, FrameType,
    Hello, Limits, Message, Produce, ProduceOpen, ProduceOpened, Progress, Request, Response,
    StreamKind, SubscribeOpen, SubscribeOpened, Upload, Welcome, limits,
};
use bytes::Bytes;
use logmill_model::{
    Compression, Csn, DuplicateRecord, Envelope, Epoch, Header, LetterEdit, Offset, Position,
    ProducerIdentity, Record, RecordBatch, ShardId, Timestamp, TopicPolicy,
};

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// The bytes of each ```` ```golden NAME ```` block: hex up to two spaces, the rest is for people.
fn golden_blocks() -> BTreeMap<&'static str, Vec<u8>> {
    let mut blocks = BTreeMap::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```golden ") else { continue };
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            let hex = line.split_once("  ").map_or(line, |(hex, _)| hex);
            for byte in hex.split(' ').filter(|byte| !byte.is_empty()) {
                assert_eq!(byte.len(), 2, "{name}: {line}");
                bytes.push(u8::from_str_radix(byte, 16).expect(line));
            }
        }
        assert!(blocks.insert(name, bytes).is_none(), "{name} stands twice");
    }
    blocks
}

fn batch() -> RecordBatch {
    let record = Record {
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"hi")),
        headers: vec![Header::new("n", &b"v"[..])],
        create_ts: Timestamp(1000),
    };
    RecordBatch::of([&record]).unwrap()
}

fn envelope() -> Envelope {
    let batch = batch();
    Envelope {
        base_offset: Offset(42),
        append_ts: Timestamp(1001),
        csn: Csn(7),
        producer: None,
        last_delta: batch.last_delta(),
        records: batch.record_count(),
        bytes: u32::try_from(batch.bytes().len()).unwrap(),
        crc: batch.crc(),
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    }
}

fn ack() -> Ack {
    Ack {
        request: 1,
        base_offset: Offset(42),
        append_ts: Timestamp(1001),
        csn: Csn(7),
        epoch: Epoch(3),
        partition: 2,
        shard: ShardId(0),
        was_there: false,
        duplicates: Vec::new(),
    }
}

fn append() -> Append {
    let first = AppendBatch { first_sequence: Some(5), ..AppendBatch::new(2, &batch()) };
    let second = AppendBatch { expected_end: Some(Offset(42)), ..AppendBatch::new(3, &batch()) };
    Append { request: 2, batches: vec![first, second] }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        server: "0.1.0".into(),
        shard: ShardId(0),
        epoch: Epoch(3),
        limits: Limits {
            record_bytes_max: 1_048_576,
            batch_bytes_max: 2_097_152,
            module_bytes_max: 67_108_864,
            streams_max: 256,
            produce_bytes_max: 8_388_608,
        },
    }
}

fn open<M: Message>(kind: StreamKind, message: &M) -> Frame {
    Frame::Open(kind, message.to_bytes().unwrap())
}

fn reply<M: Message>(message: &M) -> Frame {
    Frame::Reply(message.to_bytes().unwrap())
}

fn openings() -> Vec<(&'static str, Frame)> {
    let topic = || "t".parse().unwrap();
    let hello = Hello { version: 1, client: "c".into(), token: "abc".into() };
    let policy = TopicPolicy::default();
    let create = Request::TopicCreate { topic: topic(), partitions: 3, policy };
    let produce = ProduceOpen { topic: topic(), partition: None, producer: None };
    let identity = ProducerIdentity { id: 7, epoch: 1 };
    let sequenced = ProduceOpen { producer: Some(identity), ..produce.clone() };
    let register = Request::ProducerRegister { name: Some("p".parse().unwrap()) };
    let from = Position::Offset(Offset(42));
    let subscribe =
        SubscribeOpen { topic: topic(), partition: 2, from, filter: None, credit: 65536 };
    let edit = LetterEdit { name: "d".parse().unwrap(), partition: 0, offset: Offset(7) };
    vec![
        ("hello", open(StreamKind::Hello, &hello)),
        ("request", open(StreamKind::Control, &create)),
        ("register", open(StreamKind::Control, &register)),
        ("produce-open", open(StreamKind::Produce, &produce)),
        ("produce-open-sequenced", open(StreamKind::Produce, &sequenced)),
        ("subscribe-open", open(StreamKind::Subscribe, &subscribe)),
        ("upload", open(StreamKind::Upload, &Upload::of_module(46_000))),
        ("upload-edit", open(StreamKind::Upload, &Upload { length: 5, edit: Some(edit) })),
    ]
}

fn examples() -> Vec<(&'static str, Frame)> {
    let refused = Fault::new(ErrorCode::RouterRefused, "no route").of_request(1).at_record(Some(0));
    let unknown = Fault::new(ErrorCode::UnknownTopic, "unknown topic t");
    let opened = SubscribeOpened { start: Offset(42), end: Offset(43) };
    let duplicate = DuplicateRecord { index: 1, partition: 0, offset: Offset(9) };
    let mut examples = openings();
    examples.extend([
        ("welcome", reply(&welcome())),
        ("reply", reply(&Response::Done)),
        ("produce-opened", reply(&ProduceOpened { partitions: 3 })),
        ("subscribe-opened", reply(&opened)),
        ("produce", Frame::Produce(Produce::new(1, 2, &batch()))),
        ("append", Frame::Append(append())),
        ("ack", Frame::Ack(ack())),
        (
            "ack-duplicates",
            Frame::Ack(Ack { was_there: true, duplicates: vec![duplicate], ..ack() }),
        ),
        ("registered", reply(&Response::Producer(ProducerIdentity { id: 7, epoch: 1 }))),
        ("fault", Frame::Fault(refused)),
        ("fault-end", Frame::Fault(unknown)),
        ("credit", Frame::Credit(119)),
        ("data", Frame::Data(Data { envelope: envelope(), batch: batch().bytes().clone() })),
        ("progress", Frame::Progress(Progress { next: Offset(43), end: Offset(43) })),
    ]);
    examples
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn the_examples_are_what_is_sent() {
    let mut blocks = golden_blocks();
    COMPRESSED.iter().for_each(|name| drop(blocks.remove(*name)));
    for (name, frame) in examples() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        let golden = blocks.remove(name).unwrap_or_default();
        assert_eq!(hex(&golden), hex(&bytes), "the example {name} is not what the code writes");
        let decoded = Decoder::new(Accepts::of(FrameType::ALL)).feed(&mut Bytes::from(golden));
        assert_eq!(decoded, Decoded::Frame(frame));
    }
    assert!(blocks.is_empty(), "examples that no test knows: {:?}", blocks.keys());
}

/// Examples written by hand: which of its ways to compress a library takes is up to it.
const COMPRESSED: [&str; 2] = ["produce-lz4", "data-zstd"];

#[test]
fn the_compressed_examples_can_be_read() {
    let record = Record {
        value: Some(Bytes::from_static(&[b'a'; 32])),
        create_ts: Timestamp(1000),
        ..Record::default()
    };
    let mut blocks = golden_blocks();
    for name in COMPRESSED {
        let mut golden = Bytes::from(blocks.remove(name).unwrap());
        let decoded = Decoder::new(Accepts::of(FrameType::ALL)).feed(&mut golden);
        let (batch, compression) = match decoded {
            Decoded::Frame(Frame::Produce(it)) => {
                (RecordBatch::check(it.batch, it.crc), Compression::Lz4)
            }
            Decoded::Frame(Frame::Data(it)) => {
                let (bytes, crc) = (it.envelope.bytes, it.envelope.crc);
                let compression = Compression::Zstd;
                assert_eq!(it.envelope, Envelope { bytes, crc, compression, ..envelope() });
                assert_eq!(bytes as usize, it.batch.len());
                (it.envelope.check_batch(it.batch), Compression::Zstd)
            }
            other => panic!("{name} is no batch: {other:?}"),
        };
        let batch = batch.unwrap();
        assert_eq!(batch.compression(), compression, "{name}");
        let records = batch.decompressed(logmill_model::limits::BATCH_BYTES_MAX).unwrap();
        assert_eq!(records.to_records().collect::<Vec<_>>(), [(0, record.clone())], "{name}");
    }
}

/// The cells of the rows of five whose first is a number, in the section of this heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let start = DOCUMENT.find(heading).expect(heading);
    let section = &DOCUMENT[start + heading.len()..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells.len() == 5 && cells[0].parse::<u32>().is_ok())
        .collect()
}

#[test]
fn the_table_of_errors_is_the_code() {
    let yes = |bit| if bit { "yes" } else { "no" };
    let documented: Vec<_> = rows("\n## Errors").iter().map(|cells| cells[..4].to_vec()).collect();
    let numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.number().to_string()).collect();
    let coded: Vec<_> = ErrorCode::ALL
        .iter()
        .zip(&numbers)
        .map(|(code, number)| {
            let nothing_happened = yes(code.has_no_side_effects());
            vec![number.as_str(), code.name(), yes(code.is_retryable()), nothing_happened]
        })
        .collect();
    assert_eq!(documented, coded);
}

#[test]
fn the_table_of_frames_is_the_code() {
    let documented: Vec<_> = rows("\n## Frames")
        .iter()
        .map(|cells| (cells[0].to_owned(), cells[1].to_owned(), cells[2].replace(',', "")))
        .collect();
    let coded: Vec<_> = FrameType::ALL
        .iter()
        .map(|frame| {
            let max = frame.body_bytes_max().to_string();
            (frame.number().to_string(), frame.to_string(), max)
        })
        .collect();
    assert_eq!(documented, coded);
}

#[test]
fn the_limits_in_the_text_are_those_of_the_code() {
    for (text, value) in [
        ("nested at most 16 deep", limits::NESTING_MAX as u64),
        ("a client name has at most 200 bytes", limits::CLIENT_NAME_BYTES_MAX as u64),
        ("waits at most 30000 ms", limits::LOG_WAIT_MS_MAX),
        ("at most 1000 lines", u64::from(limits::LOG_LINES_MAX)),
        ("at most 1000 keys", u64::from(limits::STATE_ENTRIES_MAX)),
        ("at most 1000 letters", logmill_model::limits::LETTERS_PAGE_MAX as u64),
        ("at most 256 letters", logmill_model::limits::LETTERS_MAX as u64),
        ("more than 67108864 counts as that", limits::CREDIT_BYTES_MAX),
        ("at most 1024 batches", limits::APPEND_BATCHES_MAX as u64),
        ("its last 16 batches", logmill_model::limits::PRODUCER_BATCHES_MAX as u64),
        ("More than 67108864 bytes is refused", logmill_model::limits::MODULE_BYTES_MAX as u64),
    ] {
        assert!(DOCUMENT.contains(text), "{text}");
        assert!(text.contains(&value.to_string()), "{text}: {value}");
    }
}
