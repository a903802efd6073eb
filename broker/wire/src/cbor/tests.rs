//! Tests of messages.

use logmill_model::{
    BrokerStatus, Counts, DeployRequest, DeploymentDescription, DeploymentSettings,
    DeploymentStatus, Epoch, LaneDescription, LaneState, Limit, LogLevel, LostOffsets,
    ModuleDescription, ModuleDigest, ModuleLimits, ModuleLogLine, MovedLane, Offset, OnFull, Order,
    OutputGrant, PartitionDescription, PolicyChange, Position, ResetRequest, ShardId, SpaceLevel,
    StartOffset, StateEntry, StatePlace, StateQuery, Timestamp, TopicDescription, TopicPolicy,
    Unrouted, Window, World,
};
use proptest::prelude::*;

use super::*;
use crate::{
    Hello, Limits, ProduceOpen, ProduceOpened, Request, Response, SubscribeOpen, SubscribeOpened,
    Upload, Welcome,
};

fn there_and_back<M: Message + PartialEq + std::fmt::Debug>(message: M) {
    let bytes = message.to_bytes().unwrap();
    assert_eq!(M::from_bytes(&bytes).unwrap(), message);
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn deploy_request() -> DeployRequest {
    DeployRequest {
        name: name("triage"),
        digest: ModuleDigest([0xab; 32]),
        world: Some(World::Consumer),
        on: Some(vec![name("github.events")]),
        out: Some(vec![OutputGrant { alias: Some("a".into()), topic: name("alerts") }]),
        config: Some(vec![("team".into(), "core".into())]),
        from: Some(Position::Offset(Offset(7))),
        max_attempts: Some(3),
        backoff: Some(name("list:1s,2s")),
        order: Some(Order::Key),
        max_parked: Some(7),
        dlq: None,
        idempotency: Some(name("header:id")),
        idempotency_window_ms: Some(5),
        unrouted: Some(Unrouted::Refuse),
        memory_bytes: None,
        deadline_ms: Some(u64::MAX),
        paused: true,
    }
}

fn policy() -> TopicPolicy {
    TopicPolicy {
        retention_time_ms: Some(u64::MAX),
        dedupe_window_ms: None,
        retention_bytes: None,
        compact: true,
        on_full: OnFull::Reject,
    }
}

fn topic() -> TopicDescription {
    let (start, end, bytes) = (Offset(0), Offset(u64::MAX), 1);
    let partition = PartitionDescription { partition: 1, start, end, bytes, lost: 0 };
    let (name, created_ts, policy) = (name("t"), Timestamp(9), policy());
    TopicDescription { name, created_ts, policy, partitions: vec![partition; 3] }
}

fn deployment() -> DeploymentDescription {
    DeploymentDescription {
        name: name("triage"),
        world: World::Consumer,
        state: DeploymentStatus::Failed,
        reason: Some("no memory".into()),
        active_version: 2,
        digest: ModuleDigest([1; 32]),
        settings: DeploymentSettings {
            world: World::Consumer,
            on: vec![name("t")],
            out: Vec::new(),
            config: vec![("k".into(), "v".into())],
            from: Position::Latest,
            max_attempts: 5,
            backoff: name("exp:100ms..30s"),
            order: Order::Partition,
            max_parked: 10_000,
            dlq: name("triage.dlq"),
            idempotency: name("json:/id"),
            idempotency_window_ms: 1000,
            unrouted: Unrouted::Keep,
        },
        limits: ModuleLimits::default(),
        sources: vec![name("t")],
        lanes: vec![LaneDescription {
            topic: name("t"),
            partition: 0,
            cursor: Offset(1),
            lag: 2,
            parked: 3,
            in_flight: 4,
            state: LaneState::Lost,
            lost: Some(LostOffsets { from: Offset(1), to: Offset(2) }),
            waiting: None,
        }],
        counts: Counts { done: 5, ..Counts::default() },
    }
}

fn state_place() -> StatePlace {
    StatePlace { topic: name("t"), partition: 1, key: "é".into() }
}

#[test]
fn every_request_comes_back() {
    let deployment = || name("triage");
    for request in [
        Request::TopicCreate { topic: name("t"), partitions: 4096, policy: policy() },
        Request::TopicCreate { topic: name("t"), partitions: 1, policy: TopicPolicy::default() },
        Request::TopicAlter { topic: name("t"), change: PolicyChange::default() },
        Request::TopicAlter {
            topic: name("t"),
            change: PolicyChange {
                retention_time_ms: Some(Limit::Of(1)),
                retention_bytes: Some(Limit::Unlimited),
                compact: Some(false),
                on_full: Some(OnFull::DropOldest),
                dedupe_window_ms: Some(Window::Of(5)),
            },
        },
        Request::ProducerRegister { name: None },
        Request::ProducerRegister { name: Some("billing".parse().unwrap()) },
        Request::TopicLs,
        Request::TopicDescribe { topic: name("t") },
        Request::TopicDelete { topic: name("t") },
        Request::Status,
        Request::ClockAccept,
        Request::Backup { to: "/var/backups/logmill".into() },
        Request::ModuleDeploy(deploy_request()),
        Request::ModuleLs,
        Request::ModuleDescribe { name: deployment() },
        Request::ModulePause { name: deployment() },
        Request::ModuleResume { name: deployment(), skip_lost: false },
        Request::ModuleResume { name: deployment(), skip_lost: true },
        Request::ModuleReset(ResetRequest {
            name: deployment(),
            to: Position::Ago(60_000),
            topic: Some(name("t")),
            partition: Some(1),
            forget_claims: false,
            forget_state: true,
        }),
        Request::Trace { topic: name("t"), partition: 1, offset: Offset(2) },
        Request::ModuleDelete { name: deployment() },
        Request::ModuleState(StateQuery::all(deployment())),
        Request::ModuleState(StateQuery {
            topic: Some(name("t")),
            partition: Some(1),
            key: Some("k".into()),
            after: Some(state_place()),
            ..StateQuery::all(deployment())
        }),
        Request::ModuleLogs { name: deployment(), after: None, max: 10, wait_ms: 0 },
        Request::ModuleLogs { name: deployment(), after: Some(0), max: 10, wait_ms: 500 },
    ] {
        there_and_back(request);
    }
}

#[test]
fn every_response_comes_back() {
    let status = BrokerStatus {
        version: "0.1.0".into(),
        cluster: "c".into(),
        epoch: 1,
        uptime_ms: 2,
        journal_bytes: 3,
        disk_free_bytes: u64::MAX,
        disk_level: SpaceLevel::Critical,
        durable_csn: 5,
        open_dead_letters: 6,
        corrupt: Vec::new(),
        backup: Some(logmill_model::BackupProgress { done_bytes: 1, total_bytes: 2 }),
        clock_jump: Some(logmill_model::ClockJump { wall: Timestamp(9), believed: Timestamp(8) }),
        topics: vec![topic()],
        deployments: vec![deployment()],
    };
    let line = ModuleLogLine {
        sequence: 0,
        ts: Timestamp(1),
        level: LogLevel::Warn,
        topic: Some("t".into()),
        partition: Some(0),
        offset: None,
        attempt: Some(1),
        text: "é".into(),
    };
    let start = StartOffset { topic: name("t"), partition: 0, offset: Offset(3) };
    let deployed = logmill_model::Deployed {
        name: name("triage"),
        version: 1,
        digest: ModuleDigest([9; 32]),
        start: vec![start],
    };
    let module = ModuleDescription {
        digest: ModuleDigest([9; 32]),
        bytes: 46_000,
        worlds: World::ALL.into(),
        imports: vec!["logmill:module/log@0.1.0".into()],
        compile_ms: 31,
    };
    let lost = LostOffsets { from: Offset(3), to: Offset(9) };
    let skipped = logmill_model::SkippedLane { topic: name("t"), partition: 1, lost };
    for response in [
        Response::Done,
        Response::Topic(topic()),
        Response::Topics(vec![topic(), topic()]),
        Response::Status(status.into()),
        Response::Deployed(deployed),
        Response::Deployment(deployment().into()),
        Response::Deployments(vec![deployment()]),
        Response::Log(vec![line]),
        Response::Moved(vec![MovedLane {
            topic: name("t"),
            partition: 1,
            from: Offset(2),
            to: Offset(3),
        }]),
        Response::Skipped(vec![skipped]),
        Response::State(vec![StateEntry {
            place: state_place(),
            value: Bytes::from_static(&[0xff, 0]),
        }]),
        Response::Module(module),
    ] {
        there_and_back(response);
    }
}

#[test]
fn what_is_asked_and_told_of_dead_letters_comes_back() {
    let deployment = || name("triage");
    for request in [
        Request::DlqLs { name: deployment(), partition: 3, from: Offset(4), to: None, max: 5 },
        Request::DlqLs {
            name: deployment(),
            partition: 0,
            from: Offset(0),
            to: Some(Offset(9)),
            max: 1,
        },
        Request::DlqRedrive {
            name: deployment(),
            partition: 3,
            offsets: vec![Offset(4), Offset(7)],
            dry_run: false,
        },
        Request::DlqRedrive {
            name: deployment(),
            partition: 3,
            offsets: Vec::new(),
            dry_run: true,
        },
        Request::DlqPurge { name: deployment(), partition: 3, offsets: vec![Offset(4)] },
    ] {
        there_and_back(request);
    }
    let letter = logmill_model::LetterSummary {
        offset: Offset(7),
        status: logmill_model::LetterStatus::Redriven,
        reason: "trap".into(),
        source: logmill_model::Source { topic: "t".into(), partition: 1, offset: Offset(3) },
    };
    let page = logmill_model::LettersPage { letters: vec![letter], next: Some(Offset(8)) };
    let left = logmill_model::LettersLeft { why: "full".into(), offsets: vec![Offset(3)] };
    let marked = logmill_model::LettersMarked {
        marked: 3,
        no_room: vec![left],
        ..logmill_model::LettersMarked::default()
    };
    for response in [Response::Letters(page), Response::Marked(marked), Response::Edited(Offset(8))]
    {
        there_and_back(response);
    }
}

#[test]
fn the_messages_of_streams_come_back() {
    there_and_back(Hello { version: 1, client: "c".into(), token: "t".into() });
    let limits = Limits {
        record_bytes_max: 1,
        batch_bytes_max: 2,
        module_bytes_max: 3,
        streams_max: 4,
        produce_bytes_max: 5,
    };
    let (server, shard, epoch) = ("0.1.0".into(), ShardId(0), Epoch(7));
    there_and_back(Welcome { version: 1, server, shard, epoch, limits });
    there_and_back(ProduceOpen { topic: name("t"), partition: None, producer: None });
    let producer = Some(logmill_model::ProducerIdentity { id: 7, epoch: 2 });
    there_and_back(ProduceOpen { topic: name("t"), partition: Some(3), producer });
    there_and_back(ProduceOpened { partitions: 3 });
    for (from, filter) in [
        (Position::Earliest, None),
        (Position::Time(Timestamp(1_700_000_000_123)), Some(name("f"))),
        (Position::Ago(900_000), None),
    ] {
        there_and_back(SubscribeOpen {
            topic: name("t"),
            partition: 1,
            from,
            filter,
            credit: 1 << 20,
        });
    }
    there_and_back(SubscribeOpened { start: Offset(1), end: Offset(2) });
    there_and_back(Upload::of_module(u64::MAX));
    let (partition, offset) = (3, Offset(42));
    let edit = logmill_model::LetterEdit { name: name("triage"), partition, offset };
    there_and_back(Upload { length: 5, edit: Some(edit) });
}

#[test]
fn a_hello_does_not_show_its_token() {
    let hello = Hello { version: 1, client: "c".into(), token: "s3cret".into() };
    assert!(!format!("{hello:?}").contains("s3cret"));
}

fn cbor(value: &impl Serialize) -> Vec<u8> {
    minicbor_serde::to_vec(value).unwrap()
}

#[test]
fn unknown_names_are_passed_over_and_wrong_ones_are_told() {
    #[derive(Serialize)]
    struct Later {
        length: u64,
        colour: Vec<Vec<u8>>,
    }
    let later = cbor(&Later { length: 5, colour: vec![vec![1], vec![]] });
    assert_eq!(Upload::from_bytes(&later), Ok(Upload::of_module(5)));

    #[derive(Serialize)]
    struct Describe {
        op: &'static str,
        topic: &'static str,
    }
    let bad_name = cbor(&Describe { op: "topic.describe", topic: "a b" });
    let error = Request::from_bytes(&bad_name).unwrap_err().to_string();
    assert!(error.contains("bad topic name \"a b\""), "{error}");
    let bad_op = cbor(&Describe { op: "topic.paint", topic: "t" });
    let error = Request::from_bytes(&bad_op).unwrap_err().to_string();
    assert!(error.contains("topic.paint"), "{error}");
}

/// Both lengths of arrays and maps are CBOR, and other languages use either.
#[test]
fn maps_of_indefinite_length_are_understood() {
    let bytes = [&[0xbf, 0x66][..], b"length", &[0x18, 0x2a, 0xff]].concat();
    assert_eq!(Upload::from_bytes(&bytes), Ok(Upload::of_module(42)));
}

#[test]
fn shapes_that_messages_never_have_are_refused() {
    let upload = Upload::of_module(5).to_bytes().unwrap();
    let trailing = [&upload[..], &[0]].concat();
    let deep = [&[0xa1, 0x62][..], b"op", &[0x81; 20_000], &[0x80]].concat();
    let deep_map = [0xbf, 0x60].repeat(10_000);
    let long_array = [&[0x9b][..], &u64::MAX.to_be_bytes()].concat();
    let long_map = [&[0xbb][..], &(u64::MAX / 2).to_be_bytes()].concat();
    let long_text = [&[0x7b][..], &u64::MAX.to_be_bytes()].concat();
    for (bytes, what) in [
        (&trailing[..], "bytes follow its end"),
        (&deep, "it is nested too deeply"),
        (&deep_map, "it is nested too deeply"),
        (&long_array, "a count lies"),
        (&long_map, "a count lies"),
        (&long_text, "a length lies"),
        (&[], "it ends early"),
        (&[0xa1], "a count lies"),
        (&[0xff], "it has a break, a tag or a string in pieces where none may be"),
        (&[0xc1, 0], "it has a break, a tag or a string in pieces where none may be"),
        (&[0x7f, 0xff], "it has a break, a tag or a string in pieces where none may be"),
        (&[0x1c], "it is not CBOR"),
    ] {
        let expected = Error::Message { message: "request", what: what.to_owned() };
        assert_eq!(Request::from_bytes(bytes), Err(expected));
    }
}

#[test]
fn a_message_above_its_limit_is_neither_made_nor_read() {
    let hello = Hello { version: 1, client: String::new(), token: "t".repeat(5000) };
    let error = hello.to_bytes().unwrap_err();
    assert!(matches!(error, Error::MessageTooLong { message: "hello", .. }), "{error}");
    assert_eq!(Hello::from_bytes(&cbor(&hello)), Err(error));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Request::from_bytes(&bytes));
        drop(Response::from_bytes(&bytes));
        drop(Hello::from_bytes(&bytes));
    }

    #[test]
    fn no_damage_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Request::ModuleDeploy(deploy_request()).to_bytes().unwrap().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(Request::from_bytes(&bytes));
        drop(Request::from_bytes(&bytes[..cut.index(bytes.len())]));
    }

    /// Where the walk says that an item ends, serde's decoder ends too (it also checks UTF-8).
    #[test]
    fn the_walk_ends_where_the_decoder_does(bytes in prop::collection::vec(any::<u8>(), 1..60)) {
        let mut decoder = minicbor_serde::Deserializer::new(&bytes).into_decoder();
        if check_shape(&bytes).is_ok() && decoder.skip().is_ok() {
            prop_assert_eq!(decoder.position(), bytes.len());
        }
    }
}
