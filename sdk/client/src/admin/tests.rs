//! Tests of control requests and uploads.

use logmill_model::{
    Limit, LogLevel, ModuleDigest, Offset, PartitionDescription, SpaceLevel, Timestamp,
};
use logmill_wire::Fault;

use super::*;
use crate::fake_broker::{FakeBroker, Peer, soon};

/// Answers one request, and gives it back.
async fn answer(peer: &Peer, response: Result<Response, Fault>) -> Request {
    let mut stream = peer.stream().await;
    assert_eq!(stream.kind, StreamKind::Control);
    let request = stream.message();
    assert_eq!(stream.next().await, None, "a request is all that is sent");
    match response {
        Ok(response) => stream.reply(&response).await,
        Err(fault) => stream.refuse(fault).await,
    }
    stream.writer.finish();
    request
}

fn topic() -> TopicDescription {
    TopicDescription {
        name: "t".parse().unwrap(),
        created_ts: Timestamp(1),
        policy: TopicPolicy::default(),
        partitions: vec![PartitionDescription {
            partition: 0,
            start: Offset(0),
            end: Offset(9),
            bytes: 800,
            lost: 0,
        }],
    }
}

#[tokio::test]
async fn a_call_is_one_request_and_takes_its_own_kind_of_answer() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let admin = client.admin();
    let name = || "t".parse().unwrap();

    let created = admin.create_topic(name(), 3);
    let answered = answer(&peer, Ok(Response::Topic(topic())));
    let (created, request) = soon(async { tokio::join!(created, answered) }).await;
    assert_eq!(created, Ok(topic()));
    let policy = TopicPolicy::default();
    assert_eq!(request, Request::TopicCreate { topic: name(), partitions: 3, policy });

    let change = PolicyChange { retention_bytes: Some(Limit::Unlimited), ..Default::default() };
    let altered = admin.alter_topic(name(), change);
    let answered = answer(&peer, Ok(Response::Topic(topic())));
    let (altered, request) = soon(async { tokio::join!(altered, answered) }).await;
    assert_eq!((altered, request), (Ok(topic()), Request::TopicAlter { topic: name(), change }));

    let listed = admin.topics();
    let answered = answer(&peer, Ok(Response::Topics(vec![topic()])));
    let (listed, request) = soon(async { tokio::join!(listed, answered) }).await;
    assert_eq!((listed, request), (Ok(vec![topic()]), Request::TopicLs));

    let deleted = admin.delete_topic(name());
    let answered = answer(&peer, Ok(Response::Status(status().into())));
    let (deleted, _) = soon(async { tokio::join!(deleted, answered) }).await;
    assert!(matches!(deleted, Err(Error::Protocol(_))), "{deleted:?}");

    let asked = admin.status();
    let answered = answer(&peer, Ok(Response::Status(status().into())));
    let (asked, request) = soon(async { tokio::join!(asked, answered) }).await;
    assert_eq!((asked, request), (Ok(status()), Request::Status));
}

fn status() -> BrokerStatus {
    BrokerStatus {
        version: "0.1.0".into(),
        cluster: "c".into(),
        epoch: 1,
        uptime_ms: 2,
        journal_bytes: 3,
        disk_free_bytes: 4,
        disk_level: SpaceLevel::Full,
        durable_csn: 5,
        open_dead_letters: 6,
        clock_jump: None,
        corrupt: Vec::new(),
        backup: None,
        topics: vec![topic()],
        deployments: Vec::new(),
    }
}

#[tokio::test]
async fn log_lines_are_asked_for_with_a_place_and_a_wait() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let line = ModuleLogLine {
        sequence: 8,
        ts: Timestamp(1),
        level: LogLevel::Info,
        topic: None,
        partition: None,
        offset: None,
        attempt: None,
        text: "hi".into(),
    };
    let query = LogQuery { after: Some(7), max: 10, wait: Duration::from_millis(1500) };
    let admin = client.admin();
    let name = || "triage".parse().unwrap();
    let asked = admin.module_logs(name(), query);
    let answered = answer(&peer, Ok(Response::Log(vec![line.clone()])));
    let (lines, request) = soon(async { tokio::join!(asked, answered) }).await;
    assert_eq!(lines, Ok(vec![line]));
    let expected = Request::ModuleLogs { name: name(), after: Some(7), max: 10, wait_ms: 1500 };
    assert_eq!(request, expected);
}

#[tokio::test]
async fn a_refusal_carries_the_brokers_code_and_bits() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let fault = Fault::new(ErrorCode::UnknownTopic, "there is no topic t");
    let admin = client.admin();
    let asked = admin.topic("t".parse().unwrap());
    let (asked, _) = soon(async { tokio::join!(asked, answer(&peer, Err(fault))) }).await;
    let error = asked.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopic));
    assert!(!error.is_retryable() && error.has_no_side_effects());
    assert_eq!(error.to_string(), "unknown topic: there is no topic t");
}

/// The connection is lost when the request was read: of a change the outcome is unknown then.
#[tokio::test]
async fn a_change_without_an_answer_is_unknown_and_a_question_is_not() {
    let broker = FakeBroker::start();
    for change in [true, false] {
        let (client, peer) = broker.connect().await;
        let admin = client.admin();
        let name = || "t".parse().unwrap();
        let asked = async {
            if change {
                admin.delete_topic(name()).await
            } else {
                admin.topic(name()).await.map(drop)
            }
        };
        let lose = async {
            let _stream = peer.stream().await;
            peer.close(ErrorCode::ShuttingDown.number(), "SIGTERM");
        };
        let (asked, ()) = soon(async { tokio::join!(asked, lose) }).await;
        let error = asked.unwrap_err();
        assert_eq!(error.has_no_side_effects(), !change, "{error}");
        assert_eq!(error.is_retryable(), !change, "{error}");
        assert!(error.to_string().contains("shutting down: SIGTERM"), "{error}");
    }
}

#[tokio::test]
async fn an_uploads_bytes_arrive_as_they_are() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let module: Bytes = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
    let described = ModuleDescription {
        digest: ModuleDigest([7; 32]),
        bytes: module.len() as u64,
        worlds: Vec::new(),
        imports: Vec::new(),
        compile_ms: 12,
    };
    let serve = async {
        let mut stream = peer.stream().await;
        assert_eq!(stream.kind, StreamKind::Upload);
        let Upload { length, edit: None } = stream.message() else { unreachable!("a module") };
        let bytes = soon(stream.reader.rest(length as usize + 1)).await;
        stream.reply(&Response::Module(described.clone())).await;
        stream.writer.finish();
        (length, bytes)
    };
    let admin = client.admin();
    let uploaded = admin.upload(module.clone());
    let (uploaded, (length, bytes)) = soon(async { tokio::join!(uploaded, serve) }).await;
    assert_eq!(uploaded, Ok(described.clone()));
    assert_eq!((length, bytes), (module.len() as u64, module.to_vec()));
}

/// The broker reads no further than the opening.
#[tokio::test]
async fn an_upload_that_is_refused_midway_tells_why() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let refuse = async {
        let mut stream = peer.stream().await;
        stream.reader.stop();
        stream.refuse(Fault::new(ErrorCode::DiskFull, "no room for it")).await;
        stream.writer.finish();
        stream
    };
    let admin = client.admin();
    let uploaded = admin.upload(vec![0; 20_000_000].into());
    let (uploaded, _stream) = soon(async { tokio::join!(uploaded, refuse) }).await;
    assert_eq!(uploaded.unwrap_err().code(), Some(ErrorCode::DiskFull));
    let too_large = soon(admin.upload(vec![0; MODULE_BYTES_MAX + 1].into())).await;
    assert_eq!(too_large.unwrap_err().code(), Some(ErrorCode::ModuleRefused));
}
