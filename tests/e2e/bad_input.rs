//! Bad input: each has its own clear error, the exit code of its kind, and changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use logmill_client::{Record, RecordBatch};
use logmill_tests::{
    Broker, DataDir, RawConnection, RawStream, Setup, encoded, read_all, record, repository,
};
use logmill_wire::{
    Accepts, ErrorCode, Fault, Frame, Message as _, Produce, ProduceOpen, StreamKind,
};

use crate::PROGRAM;

/// All that a broker keeps, as far as it tells.
async fn kept(broker: &Broker) -> String {
    let status = broker.admin().await.status().await.unwrap();
    let modules = broker.data().path().join("modules");
    let modules = std::fs::read_dir(modules).map_or(0, Iterator::count);
    format!("{} {:?} {:?} {modules} modules", status.durable_csn, status.topics, status.deployments)
}

/// A broker with a topic `t` of one partition, in which one record lies.
async fn broker_with_a_record() -> Broker {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker.logmill(&["produce", "t", "first"]).await.ok();
    broker
}

#[tokio::test]
async fn what_does_not_exist_or_can_not_be_is_told_and_changes_nothing() {
    let broker = broker_with_a_record().await;
    let before = kept(&broker).await;
    for (line, code, says) in [
        ("produce nosuch v", 1, "topic nosuch does not exist"),
        ("consume nosuch", 1, "topic nosuch does not exist"),
        ("topic describe nosuch", 1, "topic nosuch does not exist"),
        ("topic delete nosuch --yes", 1, "topic nosuch does not exist"),
        ("topic create t", 1, "topic t exists"),
        ("topic create u --partitions 0", 1, "1 to 4096 partitions"),
        ("topic create u --partitions 4097", 1, "1 to 4096 partitions"),
        ("topic create a/b", 2, "bad topic name \"a/b\""),
        ("topic create _catalog", 2, "bad topic name \"_catalog\""),
        ("produce _cursors v", 2, "bad topic name \"_cursors\""),
        ("produce t v --partition 1", 1, "partition 1"),
        ("produce t v --header dlq-reason=x", 1, "dlq-reason"),
        ("produce t v --header logmill-x=x", 1, "logmill-x"),
        (
            "consume t --from 99",
            1,
            "offset out of range: 99 is not there, the partition has 0 to 1",
        ),
        ("consume t --partition 7", 1, "partition"),
        ("consume t --from @yesterday", 2, "bad position"),
        ("module describe nosuch", 1, "deployment nosuch does not exist"),
        ("module pause nosuch", 1, "deployment nosuch does not exist"),
        ("module logs nosuch", 1, "deployment nosuch does not exist"),
        ("dlq show nosuch", 1, "deployment nosuch does not exist"),
        ("produce t", 2, "nothing to produce"),
        ("group ls", 2, "unrecognized subcommand 'group'"),
        ("produce t v --compression gzip", 2, "none, lz4, zstd"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = broker.logmill(&words).await.refused(code, says);
        assert_eq!(ran.stdout, "", "{line}");
    }
    assert_eq!(kept(&broker).await, before);
}

#[tokio::test]
async fn a_file_that_is_no_module_is_refused_for_what_it_is() {
    let broker = broker_with_a_record().await;
    let before = kept(&broker).await;
    let folder = tempfile::tempdir().unwrap();
    let core = b"\0asm\x01\0\0\0".to_vec();
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    for (name, bytes, says) in [
        ("text.wasm", b"fn main() {}".to_vec(), "not a WebAssembly file"),
        ("empty.wasm", Vec::new(), "not a WebAssembly file"),
        ("core.wasm", core, "not a component"),
        ("nothing.wasm", component.clone(), "exports nothing"),
        (
            "greedy.wasm",
            importing(component.clone(), "wasi:http/outgoing-handler@0.2.0"),
            "wasi:http/outgoing-handler@0.2.0, which is not granted",
        ),
        ("cut.wasm", [component, vec![7, 9]].concat(), "not a valid component"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        let deploy = ["module", "deploy", "m", path, "--on", "t"];
        broker.logmill(&deploy).await.refused(1, says);
        // The same check without a broker: it ran, and the answer is no.
        broker.logmill(&["module", "check", path]).await.refused(3, says);
    }
    let missing = ["module", "deploy", "m", "no/such.wasm", "--on", "t"];
    broker.logmill(&missing).await.refused(1, "no/such.wasm");
    assert_eq!(kept(&broker).await, before);
}

/// A component of one import: an instance without anything in it.
fn importing(mut component: Vec<u8>, name: &str) -> Vec<u8> {
    component.extend([7, 3, 1, 0x42, 0]);
    let mut import = vec![1, 0, u8::try_from(name.len()).unwrap()];
    import.extend_from_slice(name.as_bytes());
    import.extend([5, 0]);
    component.extend([10, u8::try_from(import.len()).unwrap()]);
    component.extend(import);
    component
}

#[tokio::test]
async fn a_line_that_is_no_json_stops_with_its_number_and_how_many_were_produced() {
    let broker = broker_with_a_record().await;
    let args = ["produce", "t", "--file", "-", "--value-from", "/v"];
    let lines = b"{\"v\":1}\n{\"v\":2}\nthis is not JSON\n{\"v\":4}\n";
    let ran = broker.logmill_with_stdin(&args, lines).await.refused(1, "line 3");
    assert!(ran.stderr.contains("2 records were produced before it"), "{ran}");
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 3);
    broker.logmill(&["produce", "t", "--file", "no/such"]).await.refused(1, "no/such");
}

#[tokio::test]
async fn an_oversize_record_is_refused_by_the_client_and_by_the_broker() {
    let broker = broker_with_a_record().await;
    let before = kept(&broker).await;
    let large = vec![b'x'; 1024 * 1024 + 1];
    let ran = broker.logmill_with_stdin(&["produce", "t", "--file", "-"], &large).await;
    ran.refused(1, "at most 1048576 are allowed");

    let mut stream = produce_stream(&broker, "t").await;
    let batch = RecordBatch::of(&[record("k", large)]).unwrap();
    let fault = refused(&mut stream, &Produce::new(7, 0, &batch)).await;
    assert_eq!((fault.code, fault.request), (ErrorCode::RecordTooLarge, 7));
    assert_eq!((fault.index, fault.no_side_effects), (Some(0), true));
    assert_eq!(kept(&broker).await, before);
}

#[tokio::test]
async fn a_wrong_token_or_certificate_gets_nobody_in() {
    let broker = broker_with_a_record().await;
    let file = std::fs::read_to_string(&broker.connection().path).unwrap();
    let right: serde_json::Value = serde_json::from_str(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("connection.json");
    for (name, value, says) in [
        ("token", "0".repeat(64), "the token is not one of the broker's"),
        ("token", String::new(), "the token is not one of the broker's"),
        ("fingerprint", "0".repeat(64), "certificate"),
        ("address", "127.0.0.1:1".to_owned(), "127.0.0.1:1"),
    ] {
        let mut wrong = right.clone();
        wrong[name] = value.into();
        std::fs::write(&path, wrong.to_string()).unwrap();
        let args = ["--connect", path.to_str().unwrap(), "topic", "ls"];
        let ran = broker.logmill(&args).await.refused(1, says);
        assert!(!ran.stderr.contains(&broker.connection().token), "{ran}");
    }
}

#[tokio::test]
async fn a_client_of_another_protocol_is_turned_away_in_the_handshake() {
    let broker = broker_with_a_record().await;
    for alpn in [&b"logmill/9"[..], b"h3"] {
        let error = RawConnection::connect(broker.connection(), alpn).await.unwrap_err();
        assert!(error.to_string().contains("protocol"), "{error}");
    }
    assert!(RawConnection::connect(broker.connection(), logmill_wire::ALPN).await.is_ok());
}

async fn raw(broker: &Broker) -> RawConnection {
    let connection = RawConnection::connect(broker.connection(), logmill_wire::ALPN).await.unwrap();
    let answer = connection.hello(&broker.connection().token).await;
    assert!(matches!(answer, Frame::Reply(_)), "{answer:?}");
    connection
}

async fn produce_stream(broker: &Broker, topic: &str) -> RawStream {
    let connection = raw(broker).await;
    let open = ProduceOpen { topic: topic.parse().unwrap(), partition: None, producer: None };
    let open = Frame::Open(StreamKind::Produce, open.to_bytes().unwrap());
    let mut stream = connection.open(&open).await;
    let answer = stream.next(Accepts::REPLY).await;
    assert!(matches!(answer, Some(Frame::Reply(_))), "{answer:?}");
    stream
}

async fn refused(stream: &mut RawStream, produce: &Produce) -> Fault {
    stream.send.write_all(&encoded(&Frame::Produce(produce.clone()))).await.unwrap();
    match stream.next(Accepts::ACKS).await {
        Some(Frame::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// A produce frame whose checksum is right and whose batch is what `alter` makes of a good one.
fn altered(request: u64, alter: impl Fn(&mut Vec<u8>)) -> Produce {
    let batch = RecordBatch::of(&[record("k", "a"), record("k", "b")]).unwrap();
    let mut bytes = batch.bytes().to_vec();
    alter(&mut bytes);
    Produce { request, partition: 0, crc: crc32c::crc32c(&bytes), batch: Bytes::from(bytes) }
}

#[tokio::test]
async fn a_batch_that_lies_is_refused_at_the_border_and_its_stream_goes_on() {
    let broker = broker_with_a_record().await;
    let mut stream = produce_stream(&broker, "t").await;
    let before = kept(&broker).await;
    let put = |at: usize, value: u32| {
        move |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())
    };
    let mut request = 0;
    for (what, alter) in [
        ("its count is too high", Box::new(put(4, 3)) as Box<dyn Fn(&mut Vec<u8>)>),
        ("its count is a bomb", Box::new(put(4, u32::MAX))),
        ("its count is too low", Box::new(put(4, 1))),
        ("its last delta lies", Box::new(put(8, 9))),
        ("its length lies", Box::new(put(12, 5))),
        ("a record's length is a bomb", Box::new(put(16, u32::MAX))),
        ("a key's length lies", Box::new(put(16 + 20, 1 << 30))),
        ("it ends early", Box::new(|bytes: &mut Vec<u8>| bytes.truncate(40))),
        ("its version is unknown", Box::new(|bytes: &mut Vec<u8>| bytes[0] = 9)),
    ] {
        request += 1;
        let fault = refused(&mut stream, &altered(request, alter)).await;
        assert_eq!((fault.code, fault.request), (ErrorCode::MalformedBatch, request), "{what}");
        assert!(fault.no_side_effects && !fault.retryable, "{what}: {fault:?}");
    }
    let wrong_sum = Produce { crc: 1, ..altered(100, |_| ()) };
    assert_eq!(refused(&mut stream, &wrong_sum).await.code, ErrorCode::Checksum);
    let reserved = logmill_client::Header::new("dlq-reason", "x");
    let reserved = Record { headers: vec![reserved], ..record("k", "v") };
    let reserved = Produce::new(101, 0, &RecordBatch::of(&[reserved]).unwrap());
    assert_eq!(refused(&mut stream, &reserved).await.code, ErrorCode::ReservedHeader);
    let elsewhere = Produce { partition: 5, ..altered(102, |_| ()) };
    assert_eq!(refused(&mut stream, &elsewhere).await.code, ErrorCode::UnknownPartition);
    assert_eq!(kept(&broker).await, before);

    let good = Frame::Produce(altered(103, |_| ()));
    stream.send.write_all(&encoded(&good)).await.unwrap();
    let Some(Frame::Ack(ack)) = stream.next(Accepts::ACKS).await else { panic!("no ack") };
    assert_eq!((ack.request, ack.base_offset.0), (103, 1));
}

#[tokio::test]
async fn a_client_that_disconnects_in_mid_frame_costs_nothing_but_its_connection() {
    let broker = broker_with_a_record().await;
    let before = kept(&broker).await;
    let frame = encoded(&Frame::Produce(altered(1, |_| ())));
    for cut in [1, 7, 8, 20, frame.len() - 1] {
        let connection = raw(&broker).await;
        let open = ProduceOpen { topic: "t".parse().unwrap(), partition: None, producer: None };
        let open = Frame::Open(StreamKind::Produce, open.to_bytes().unwrap());
        let mut stream = connection.open(&open).await;
        assert!(stream.next(Accepts::REPLY).await.is_some());
        stream.send.write_all(&frame[..cut]).await.unwrap();
        connection.connection.close(0_u32.into(), b"");
    }
    broker.logmill(&["topic", "ls"]).await.ok();
    assert_eq!(kept(&broker).await, before);
}

#[tokio::test]
async fn a_second_broker_on_a_directory_is_refused_and_leaves_the_first_alone() {
    let broker = broker_with_a_record().await;
    let before = std::fs::read_to_string(&broker.connection().path).unwrap();
    let ended = Broker::try_start(PROGRAM, Setup::on(broker.data())).await.unwrap_err();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("owned by another broker"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&broker.connection().path).unwrap(), before);
    broker.logmill(&["produce", "t", "second"]).await.ok();
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 2);
}

#[tokio::test]
async fn a_broker_is_not_exposed_with_what_it_makes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let ran = PROGRAM.run(&["serve", "--data", data, "--listen", "0.0.0.0:0"]).await;
    ran.refused(1, "reachable from other machines");
    PROGRAM.run(&["serve"]).await.refused(2, "--data");
    let config = folder.path().join("broker.toml");
    std::fs::write(&config, "no_such_setting = 1\n").unwrap();
    let args = ["serve", "--data", data, "--config", config.to_str().unwrap()];
    PROGRAM.run(&args).await.refused(1, "no_such_setting");
}

/// What a data directory holds, but for the lock, whose content is nothing.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Starts a broker on this directory, which must be refused with all of these words and left as
/// it is.
async fn refuses_to_start(data: &DataDir, says: &[&str]) {
    let before = files(data.path());
    let ended = Broker::try_start(PROGRAM, Setup::on(data)).await.unwrap_err();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    for words in says {
        assert!(ended.stderr.contains(words), "{words} is not in: {}", ended.stderr);
    }
    assert!(files(data.path()) == before, "a refusal changes nothing");
}

/// The journal files in a data directory, in order.
fn journal_files(data: &DataDir) -> Vec<PathBuf> {
    let paths = files(&data.path().join("journal")).into_keys();
    paths.filter(|path| path.extension().is_some_and(|it| it == "journal")).collect()
}

#[tokio::test]
async fn a_data_directory_with_a_foreign_newer_or_missing_file_is_refused_by_its_name() {
    let (_, _, data) = broker_with_a_record().await.terminate().await;
    // A second start makes a second file.
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["produce", "t", "second"]).await.ok();
    let (_, _, data) = broker.terminate().await;

    let foreign = data.copy();
    std::fs::write(foreign.path().join("journal/notes.txt"), "mine").unwrap();
    refuses_to_start(&foreign, &["journal/notes.txt", "move it elsewhere"]).await;

    let newer = data.copy();
    let path = journal_files(&newer).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    (bytes[8], bytes[2048 + 8]) = (200, 200);
    std::fs::write(&path, bytes).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    refuses_to_start(&newer, &[name, "version 200", "start a newer broker"]).await;

    let missing = data.copy();
    std::fs::remove_file(&journal_files(&missing)[0]).unwrap();
    refuses_to_start(
        &missing,
        &["a journal file is gone", "bring it back", "from a backup", "inspect repair"],
    )
    .await;

    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 2);
}

#[tokio::test]
async fn a_data_directory_without_its_journal_is_refused_and_keeps_the_rest() {
    let broker = broker_with_a_record().await;
    let (_, _, data) = broker.terminate().await;
    let whole = data.copy();
    std::fs::remove_dir_all(data.path().join("journal")).unwrap();
    let says = ["no journal file is there", "views/state", "restore it from a backup"];
    refuses_to_start(&data, &says).await;
    let golden = DataDir::copy_of(&repository().join("tests/golden/v1/stopped"));
    std::fs::remove_dir_all(golden.path().join("journal")).unwrap();
    std::fs::remove_dir_all(golden.path().join("views")).unwrap();
    let says = ["no journal file is there", "modules/", "restore it from a backup"];
    refuses_to_start(&golden, &says).await;
    std::fs::remove_dir_all(golden.path().join("modules")).unwrap();
    let says = ["no journal file is there", "segments/0000", "restore it from a backup"];
    refuses_to_start(&golden, &says).await;
    let broker = Broker::start_on(PROGRAM, &whole).await;
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 1);
}

#[tokio::test]
async fn a_file_in_place_of_a_folder_and_the_other_way_round_is_refused_by_its_name() {
    let (_, _, data) = broker_with_a_record().await.terminate().await;
    let remove = |path: &Path| {
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_dir_all(path);
    };
    for name in ["journal", "segments", "modules", "cache", "server"] {
        let copy = data.copy();
        let path = copy.path().join(name);
        remove(&path);
        std::fs::write(&path, "mine").unwrap();
        refuses_to_start(&copy, &[name, "move it elsewhere"]).await;
    }
    for name in ["lock", "connection.json", "server/admin.token", "server/identity.pem"] {
        let copy = data.copy();
        let path = copy.path().join(name);
        remove(&path);
        std::fs::create_dir(&path).unwrap();
        let place = name.trim_end_matches("lock");
        refuses_to_start(&copy, &[place, "move it elsewhere"]).await;
    }
    for name in ["server/admin.token", "server/identity.pem"] {
        let copy = data.copy();
        std::fs::write(copy.path().join(name), "garbage").unwrap();
        refuses_to_start(&copy, &[name, "delete it and a new one is made"]).await;
    }
    let file = data.path().join("views/state");
    for place in [file.clone(), file.join("data")] {
        let place = place.to_str().unwrap();
        let ran = PROGRAM.run(&["serve", "--data", place, "--listen", "127.0.0.1:0"]).await;
        ran.refused(1, "is no folder");
    }
}

#[tokio::test]
async fn a_read_only_disk_is_refused_and_one_that_is_writable_again_is_not() {
    let Some(data) = DataDir::on_small_disk(1 << 30) else { return };
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("t", 1).await;
    broker.logmill(&["produce", "t", "first"]).await.ok();
    let (_, _, data) = broker.terminate().await;
    data.set_writable(false);
    let place = data.path().to_str().unwrap();
    refuses_to_start(&data, &[place, "mount it writable"]).await;
    data.set_writable(true);
    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(read_all(&broker.client().await, "t").await.len(), 1);
}

#[tokio::test]
async fn a_disk_too_full_for_a_first_start_is_said_so() {
    let Some(data) = DataDir::on_small_disk(4 << 10) else { return };
    let ended = Broker::try_start(PROGRAM, Setup::on(&data)).await.unwrap_err();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("free some space and start again"), "{}", ended.stderr);
}
