//! What goes in comes out: real webhooks, byte for byte, in order, also after `kill -9`.

use std::collections::{BTreeMap, HashMap};

use logmill_tests::{Broker, example};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::PROGRAM;

/// A delivery as it stands in the file.
#[derive(Deserialize)]
struct Delivery<'a> {
    delivery: String,
    event: String,
    /// Its exact source bytes.
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Keyed {
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

/// A record as `consume -o json` prints it.
#[derive(Deserialize, Debug, PartialEq)]
struct Printed {
    partition: u32,
    offset: u64,
    key: Option<String>,
    value: String,
    headers: Vec<(String, String)>,
}

impl Printed {
    fn delivery(&self) -> &str {
        &self.headers.iter().find(|(name, _)| name == "delivery").expect("a delivery").1
    }
}

const TOPIC: &str = "github.events";

#[tokio::test]
async fn deliveries_come_back_byte_for_byte_and_in_order_of_their_keys_also_after_kill_9() {
    let file = example("data/github-webhooks.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic(TOPIC, 4).await;
    let produced: serde_json::Value = broker
        .logmill(&[
            "produce",
            TOPIC,
            "--file",
            file.to_str().unwrap(),
            "--key-from=/payload/repository/full_name",
            "--value-from=/payload",
            "--header-from=event=/event",
            "--header-from=delivery=/delivery",
            "-o",
            "json",
        ])
        .await
        .ok()
        .json_line();
    assert_eq!(produced["records"], 329);
    assert_eq!(produced["duplicates"], 0);

    let first = consumed(&broker).await;
    compare(&text, &first);
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    let second = consumed(&broker).await;
    compare(&text, &second);
    let by_place = |records: &[Printed]| {
        let places = records.iter().map(|it| ((it.partition, it.offset), it.delivery().to_owned()));
        places.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(by_place(&first), by_place(&second), "no record moved");
}

async fn consumed(broker: &Broker) -> Vec<Printed> {
    broker.logmill(&["consume", TOPIC, "-o", "json"]).await.ok().json()
}

fn compare(file: &str, read: &[Printed]) {
    let sent: Vec<Delivery<'_>> =
        file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: HashMap<&str, &Printed> = read.iter().map(|it| (it.delivery(), it)).collect();
    assert_eq!((sent.len(), read.len(), found.len()), (329, 329, 329));
    let mut sent_by_key: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for delivery in &sent {
        let record = found[delivery.delivery.as_str()];
        let keyed: Keyed = serde_json::from_str(delivery.payload.get()).unwrap();
        let key = keyed.repository.and_then(|it| it.full_name);
        assert_eq!(record.value, delivery.payload.get(), "{}", delivery.delivery);
        assert_eq!(record.key, key, "{}", delivery.delivery);
        let event = ("event".to_owned(), delivery.event.clone());
        let id = ("delivery".to_owned(), delivery.delivery.clone());
        assert_eq!(record.headers, [event, id], "{}", delivery.delivery);
        if let Some(key) = key {
            sent_by_key.entry(key).or_default().push(&delivery.delivery);
        }
    }
    assert!(sent_by_key.len() > 3, "there are several keys to compare the order of");
    for (key, sent) in sent_by_key {
        let of_key = read.iter().filter(|it| it.key.as_ref() == Some(&key));
        let mut placed: Vec<&Printed> = of_key.collect();
        assert!(placed.iter().all(|it| it.partition == placed[0].partition), "{key}");
        placed.sort_by_key(|it| it.offset);
        let read: Vec<&str> = placed.iter().map(|it| it.delivery()).collect();
        assert_eq!(read, sent, "the order of {key}");
    }
}

#[tokio::test]
async fn a_record_of_flags_is_printed_as_it_was_made() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 3).await;
    let acked: serde_json::Value = broker
        .logmill(&[
            "produce",
            "t",
            "ünï",
            "--key",
            "k",
            "--header",
            "a=1",
            "--header",
            "a=2=3",
            "--partition",
            "2",
            "--idempotency-key",
            "once",
            "-o",
            "json",
        ])
        .await
        .ok()
        .json_line();
    let expected =
        serde_json::json!({"topic": "t", "partition": 2, "offset": 0, "duplicate": false});
    assert_eq!(acked, expected);
    broker.logmill(&["produce", "t", "--key", "k", "--tombstone", "--partition=2"]).await.ok();
    let stdin = b"{\"key\":{\"base64\":\"AP8=\"},\"value\":null,\"headers\":[[\"h\",{\"base64\":\"/w==\"}]]}\n";
    let args = ["produce", "t", "--file=-", "--format=record", "--partition=2"];
    broker.logmill_with_stdin(&args, stdin).await.ok();

    let printed: Vec<serde_json::Value> =
        broker.logmill(&["consume", "t", "-o", "json"]).await.ok().json();
    assert_eq!(printed.len(), 3);
    assert_eq!(printed[0]["topic"], "t");
    assert_eq!(printed[0]["value"], "ünï");
    let headers = serde_json::json!([["a", "1"], ["a", "2=3"], ["idempotency-key", "once"]]);
    assert_eq!(printed[0]["headers"], headers);
    assert!(printed[0]["create_ts"].as_u64() <= printed[0]["append_ts"].as_u64());
    assert_eq!((&printed[1]["key"], &printed[1]["value"]), (&"k".into(), &serde_json::Value::Null));
    assert_eq!(printed[2]["key"], serde_json::json!({"base64": "AP8="}));
    assert_eq!(printed[2]["headers"], serde_json::json!([["h", {"base64": "/w=="}]]));
}

#[tokio::test]
async fn positions_and_bounds_choose_what_is_read() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    let lines: String = (0..10).map(|number| format!("v{number}\n")).collect();
    broker.logmill_with_stdin(&["produce", "t", "--file", "-"], lines.as_bytes()).await.ok();
    for (flags, expected) in [
        ("", (0..10).collect::<Vec<u64>>()),
        ("--from earliest --max 2", vec![0, 1]),
        ("--from 7", vec![7, 8, 9]),
        ("--from 3 --to 5", vec![3, 4]),
        ("--from latest", vec![]),
        ("--from 10", vec![]),
    ] {
        let mut args = vec!["consume", "t", "-o", "json"];
        args.extend(flags.split_whitespace());
        let read: Vec<serde_json::Value> = broker.logmill(&args).await.ok().json();
        let offsets: Vec<u64> = read.iter().map(|it| it["offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, expected, "{flags}");
    }
}
