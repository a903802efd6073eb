//! Requests and their answers.

use bytes::Bytes;
use logmill_model::{Limit, PolicyChange, Position, ResetRequest, TopicName, TopicPolicy};
use logmill_wire::{Frame, Request, Response, StreamKind};

use super::support::{Client, Site};

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

#[tokio::test]
async fn topics_are_created_listed_described_and_deleted() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    let created = client.create("a", 3).await;
    assert_eq!((created.name.as_str(), created.partitions.len()), ("a", 3));
    client.create("b", 1).await;
    match client.ask(Request::TopicLs).await {
        Ok(Response::Topics(topics)) => {
            let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
        }
        other => panic!("{other:?}"),
    }
    let described = client.ask(Request::TopicDescribe { topic: topic("a") }).await;
    assert_eq!(described, Ok(Response::Topic(created)));
    let deleted = client.ask(Request::TopicDelete { topic: topic("a") }).await;
    assert_eq!(deleted, Ok(Response::Done));
    match client.ask(Request::Status).await {
        Ok(Response::Status(status)) => {
            assert_eq!(status.topics.len(), 1);
            assert_eq!(status.epoch, server.engine().epoch().0);
        }
        other => panic!("{other:?}"),
    }
}

fn create(name: &str, partitions: u32) -> Request {
    Request::TopicCreate { topic: topic(name), partitions, policy: TopicPolicy::default() }
}

fn altered(name: &str, change: PolicyChange) -> Request {
    Request::TopicAlter { topic: topic(name), change }
}

#[tokio::test]
async fn what_cant_be_done_is_refused_with_its_number_and_changes_nothing() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    client.create("a", 1).await;
    let before = server.engine().durable_csn();
    let name = || "none".parse().unwrap();
    let unlimited =
        PolicyChange { retention_bytes: Some(Limit::Unlimited), ..PolicyChange::default() };
    let zero = PolicyChange { retention_time_ms: Some(Limit::Of(0)), ..PolicyChange::default() };
    let to = Position::Earliest;
    let reset = ResetRequest {
        name: name(),
        to,
        topic: None,
        partition: None,
        forget_claims: false,
        forget_state: false,
    };
    for (request, code) in [
        (create("a", 1), 13),
        (create("b", 0), 2),
        (create("b", 4097), 2),
        (altered("b", unlimited), 11),
        (altered("a", zero), 2),
        (Request::TopicDescribe { topic: topic("b") }, 11),
        (Request::TopicDelete { topic: topic("b") }, 11),
        (Request::ModuleDescribe { name: name() }, 30),
        (Request::ModulePause { name: name() }, 30),
        (Request::ModuleResume { name: name(), skip_lost: false }, 30),
        (Request::ModuleResume { name: name(), skip_lost: true }, 30),
        (Request::ModuleReset(reset), 30),
        (Request::ModuleDelete { name: name() }, 30),
        (Request::ModuleLogs { name: name(), after: None, max: 1, wait_ms: 30_000 }, 30),
    ] {
        let fault = client.ask(request.clone()).await.unwrap_err();
        assert_eq!(fault.code.number(), code, "{request:?}: {}", fault.text);
        assert!(fault.no_side_effects && fault.request == 0, "{request:?}");
    }
    assert_eq!(client.ask(Request::ModuleLs).await, Ok(Response::Deployments(Vec::new())));
    assert_eq!(server.engine().durable_csn(), before);
}

async fn ask_raw(client: &Client, bytes: &[u8]) -> logmill_wire::Fault {
    let mut stream = client.open().await;
    stream.send(&Frame::Open(StreamKind::Control, Bytes::copy_from_slice(bytes))).await;
    let fault = stream.fault().await;
    stream.ends().await;
    fault
}

#[tokio::test]
async fn what_is_no_request_is_a_bad_request_and_other_streams_go_on() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    for (bytes, says) in [
        (&b""[..], "ends early"),
        (b"\xa0", "op"),
        (b"\xa1\x62op\x64nope", "nope"),
        // {"op": "topic.describe", "topic": "_catalog"}
        (b"\xa2\x62op\x6etopic.describe\x65topic\x68_catalog", "bad topic name"),
    ] {
        let fault = ask_raw(&client, bytes).await;
        assert_eq!(fault.code.number(), 2, "{}", fault.text);
        assert!(fault.text.contains(says), "{}", fault.text);
    }
    let mut garbage = client.open().await;
    garbage.send_bytes(b"no frame at all").await;
    assert_eq!(garbage.fault().await.code.number(), 2);
    let mut again = client.open().await;
    again.send_bytes(&[0x4c, 1, 0, 0, 0, 0, 0, 0]).await;
    let fault = again.fault().await;
    assert_eq!(fault.code.number(), 2, "{}", fault.text);
    client.create("a", 1).await;
}

#[tokio::test]
async fn requests_do_not_wait_for_one_another() {
    let site = Site::new();
    let server = site.start().await;
    let client = site.client(&server).await;
    site.storage.hold_syncs();
    let request = create("slow", 1);
    let mut slow = client.open_with(StreamKind::Control, &request).await;
    assert!(matches!(client.ask(Request::TopicLs).await, Ok(Response::Topics(_))));
    site.storage.release_syncs();
    assert!(matches!(slow.reply().await, Ok(Response::Topic(_))));
}
