//! Dead letters: seen, handled again, edited and given up.

use std::time::Duration;

use logmill_client::{ConsumedRecord, DeadLetter, DeploymentDescription, Record, World};
use logmill_tests::{Broker, guest, read_all, text};
use serde_json::{Value, json};

use crate::PROGRAM;

/// A record whose key, headers and value are no text, but for the words that tell the module what to do.
const ODD: &str = r#"{"key":{"base64":"/wA="},"value":"0 reject","headers":[["h","1"],["h",{"base64":"gA=="}],["é",""]],"create_ts":5}"#;

async fn produce(broker: &Broker, lines: &str) {
    let args = ["produce", "in", "--file", "-", "--format", "record"];
    broker.logmill_with_stdin(&args, lines.as_bytes()).await.ok();
}

/// Records of few keys, each with the next of these verbs.
fn lines(verbs: &[&str], count: usize) -> String {
    let line = |at: usize| {
        let value = format!("{at} {}", verbs[at % verbs.len()]);
        format!("{}\n", json!({"key": format!("k{}", at % 3), "value": value}))
    };
    (0..count).map(line).collect()
}

async fn deploy(broker: &Broker, flags: &str) {
    let component = guest("scripted").await;
    let flags = format!("--on in --out out --max-attempts 2 --backoff fixed:1ms {flags}");
    broker.deploy("c", World::Consumer, &component, &flags).await;
}

/// A broker with as many records that are all dead letters.
async fn with_letters(verbs: &[&str], count: usize, flags: &str) -> Broker {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, &lines(verbs, count)).await;
    deploy(&broker, &format!("--from earliest {flags}")).await;
    let dead = count as u64;
    broker.described("c", |it| it.counts.dead_lettered == dead && lag(it) == 0).await;
    broker
}

fn lag(it: &DeploymentDescription) -> u64 {
    it.lanes.iter().map(|lane| lane.lag).sum()
}

async fn run(broker: &Broker, line: &str) -> logmill_tests::Ran {
    broker.logmill(&line.split_whitespace().collect::<Vec<_>>()).await
}

async fn redrive(broker: &Broker, flags: &str) -> Value {
    run(broker, &format!("dlq redrive c -o json {flags}")).await.ok().json_line()
}

/// The offsets and statuses of all letters.
async fn statuses(broker: &Broker) -> Vec<(u64, String)> {
    let shown: Vec<Value> = run(broker, "dlq show c --all -o json").await.ok().json();
    let of = |it: &Value| {
        (it["offset"].as_u64().unwrap(), it["dlq"]["status"].as_str().unwrap().to_owned())
    };
    shown.iter().map(of).collect()
}

/// How many are open, as three commands say it.
async fn open(broker: &Broker) -> u64 {
    let listed: Value = run(broker, "dlq ls -o json").await.ok().json_line();
    let status: Value = run(broker, "status -o json").await.ok().json_line();
    let shown: Vec<Value> = run(broker, "dlq show c -o json").await.ok().json();
    assert_eq!(listed["open"], status["open_dead_letters"], "{listed}");
    assert_eq!(listed["open"], shown.len());
    listed["open"].as_u64().unwrap()
}

async fn read(broker: &Broker, topic: &str) -> Vec<ConsumedRecord> {
    read_all(&broker.client().await, topic).await
}

async fn outputs(broker: &Broker) -> Vec<String> {
    read(broker, "out").await.iter().map(|it| text(&it.record).to_owned()).collect()
}

#[tokio::test]
async fn what_a_module_gave_up_is_handled_as_it_was_when_the_module_is_mended() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    produce(&broker, &format!("{ODD}\n{}", lines(&["fail", "retry"], 4))).await;
    deploy(&broker, "--from earliest").await;
    broker.described("c", |it| it.counts.dead_lettered == 5).await;
    let inputs: Vec<Record> = read(&broker, "in").await.into_iter().map(|it| it.record).collect();

    // A dry run says what would be done, and does nothing.
    let before = broker.describe("c").await;
    let report = redrive(&broker, "--dry-run").await;
    let expected = json!({
        "deployment": "c", "redriven": 5, "not_open": 0, "skipped": 0, "left": 0, "reasons": {},
        "dry_run": true,
    });
    assert_eq!(report, expected);
    assert_eq!((open(&broker).await, broker.describe("c").await), (5, before));

    // Not mended, each dies again, which is the history of its first death.
    assert_eq!(redrive(&broker, "").await["redriven"], 5);
    broker.described("c", |it| it.counts.dead_lettered == 10).await;
    let letters = read(&broker, "c.dlq").await;
    let (first, second) = letters.split_at(5);
    for (before, after) in first.iter().zip(second) {
        let [before, after] = [before, after].map(|it| DeadLetter::of(&it.record).unwrap());
        assert_eq!((before.history.len(), after.history.len()), (0, 1));
        assert!(after.history[0].contains(&after.reason), "{:?}", after.history);
        assert_eq!(DeadLetter { history: Vec::new(), ..after }, before);
    }
    let originals = |letters: &[ConsumedRecord]| -> Vec<Record> {
        letters.iter().map(|it| DeadLetter::original(&it.record)).collect()
    };
    assert_eq!(originals(first), inputs, "byte for byte");
    assert_eq!(originals(second), inputs);
    let shown: Vec<Value> = run(&broker, "dlq show c -o json").await.ok().json();
    assert_eq!(shown.len(), 5);
    assert_eq!(shown[0]["dlq"]["history"].as_array().unwrap().len(), 1);

    deploy(&broker, "--config mended=yes").await;
    assert_eq!(redrive(&broker, "").await["redriven"], 5);
    broker.described("c", |it| it.counts.done == 5 && lag(it) == 0).await;
    let expected = |it: &Record| (it.key.clone(), it.value.clone());
    let done: Vec<Record> = read(&broker, "out").await.into_iter().map(|it| it.record).collect();
    assert_eq!(
        done.iter().map(expected).collect::<Vec<_>>(),
        inputs.iter().map(expected).collect::<Vec<_>>()
    );
    assert_eq!(
        (open(&broker).await, redrive(&broker, "").await["redriven"].as_u64()),
        (0, Some(0))
    );
    assert_eq!(read(&broker, "in").await.len(), 5, "nothing was added to the source");

    // What became of them is durable.
    let broker = Broker::start_on(PROGRAM, &broker.kill().await).await;
    let redriven = (0..10).map(|at| (at, "redriven".to_owned()));
    assert_eq!((open(&broker).await, statuses(&broker).await), (0, redriven.collect()));
}

#[tokio::test]
async fn only_what_the_filter_names_is_redriven() {
    let broker = with_letters(&["reject", "fail", "retry"], 9, "").await;
    deploy(&broker, "--config mended=yes").await;
    run(&broker, "dlq redrive c --reason nonsense").await.refused(2, "rejected, retry, error");
    assert_eq!(redrive(&broker, "--reason error").await["redriven"], 3);
    let settled = broker.described("c", |it| it.counts.done == 3).await;
    assert_eq!(settled.counts.dead_lettered, 9);
    let listed: Value = run(&broker, "dlq ls -o json").await.ok().json_line();
    assert_eq!(listed["reasons"], json!({"rejected": 3, "retry": 3}));

    let letters: Vec<Value> = run(&broker, "dlq show c -o json").await.ok().json();
    let at = |nth: usize| letters[nth]["offset"].as_u64().unwrap();
    let report = redrive(&broker, &format!("--offset {} --offset {}", at(0), at(3))).await;
    assert_eq!((report["redriven"].as_u64(), report["not_open"].as_u64()), (Some(2), Some(0)));
    broker.described("c", |it| it.counts.done == 5).await;
    let report = redrive(&broker, &format!("--offset {}", at(0))).await;
    assert_eq!((report["redriven"].as_u64(), report["not_open"].as_u64()), (Some(0), Some(1)));
    run(&broker, "dlq redrive c --offset 99")
        .await
        .refused(1, "offset 99 of c.dlq/0 is no dead letter");
    run(&broker, "dlq redrive c --offset 0 --partition 1").await.refused(2, "partitions 0 to 0");
    run(&broker, "dlq redrive nosuch").await.refused(1, "deployment nosuch does not exist");
    run(&broker, "dlq redrive c --rate 0/s").await.refused(2, "bad rate");
    assert_eq!(open(&broker).await, 4);
}

#[tokio::test]
async fn an_offset_is_of_one_partition_and_letters_of_others_stay_theirs() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.create_topic("dead", 3).await;
    produce(&broker, &lines(&["reject"], 9)).await;
    for name in ["c", "d"] {
        let flags = "--on in --out out --dlq dead --from earliest";
        broker.deploy(name, World::Consumer, &component, flags).await;
        broker.described(name, |it| it.counts.dead_lettered == 9).await;
    }
    run(&broker, "dlq redrive c --offset 0").await.refused(2, "has 3 partitions");
    run(&broker, "dlq edit c 0 --value-file nosuch").await.refused(1, "can't read nosuch");
    assert_eq!(redrive(&broker, "").await["redriven"], 9);
    let settled = broker.described("c", |it| it.counts.dead_lettered == 18).await;
    assert_eq!(lag(&settled), 0);
    let listed: Vec<Value> = run(&broker, "dlq ls -o json").await.ok().json();
    let open: Vec<_> = listed.iter().map(|it| it["open"].as_u64().unwrap()).collect();
    assert_eq!(open, [9, 9], "what died again is open");
    assert_eq!(broker.describe("d").await.counts.dead_lettered, 9);
}

#[tokio::test]
async fn an_edited_letter_takes_the_place_of_the_one_before() {
    let broker = with_letters(&["reject"], 2, "").await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // Larger than a request may be.
    let value = format!("0 done 1 {}", "x".repeat(700_000));
    std::io::Write::write_all(&mut file, value.as_bytes()).unwrap();
    let edit = format!("dlq edit c 0 --value-file {} -o json", file.path().display());
    let edited: Value = run(&broker, &edit).await.ok().json_line();
    let expected = json!({"topic": "c.dlq", "partition": 0, "offset": 2, "edited_from": 0});
    assert_eq!(edited, expected);
    let status = |at, text: &str| (at, text.to_owned());
    let expected = [status(0, "purged"), status(1, "open"), status(2, "open")];
    assert_eq!((statuses(&broker).await, open(&broker).await), (expected.into(), 2));
    let shown: Vec<Value> = run(&broker, "dlq show c -o json").await.ok().json();
    assert_eq!(shown[1]["dlq"]["edited_from"], 0);
    run(&broker, &edit).await.refused(1, "it is purged already");

    assert_eq!(redrive(&broker, "--offset 2").await["redriven"], 1);
    broker.described("c", |it| it.counts.done == 1).await;
    let outputs = read(&broker, "out").await;
    let (input, output) = (&read(&broker, "in").await[0].record, &outputs[0].record);
    assert_eq!((&output.key, text(output)), (&input.key, value.as_str()));

    let large = "x".repeat(1 << 20);
    std::io::Write::write_all(&mut file, large.as_bytes()).unwrap();
    let edit = format!("dlq edit c 1 --value-file {}", file.path().display());
    run(&broker, &edit).await.refused(1, "record too large");
    file.as_file().set_len(5).unwrap();
    run(&broker, &edit.replace(" 1 ", " 9 ")).await.refused(1, "offset 9 of c.dlq/0 stays");
    assert_eq!(open(&broker).await, 1);
}

#[tokio::test]
async fn what_is_purged_is_neither_counted_nor_redriven() {
    let broker = with_letters(&["reject", "fail"], 6, "").await;
    run(&broker, "dlq purge c").await.refused(2, "--yes");
    let purged: Value =
        run(&broker, "dlq purge c --reason error --yes -o json").await.ok().json_line();
    assert_eq!(purged, json!({"deployment": "c", "purged": 3, "not_open": 0}));
    assert_eq!(open(&broker).await, 3);
    let first: Vec<Value> = run(&broker, "dlq show c -o json").await.ok().json();
    let first = first[0]["offset"].as_u64().unwrap();
    let line = format!("dlq purge c --offset {first} --yes -o json");
    let purged: Value = run(&broker, &line).await.ok().json_line();
    assert_eq!(purged["purged"], 1);
    deploy(&broker, "--config mended=yes").await;
    assert_eq!(redrive(&broker, "").await["redriven"], 2);
    broker.described("c", |it| it.counts.done == 2).await;
    assert_eq!((open(&broker).await, outputs(&broker).await.len()), (0, 2));
}

#[tokio::test]
async fn letters_are_redriven_no_faster_than_the_rate() {
    let broker = with_letters(&["reject"], 31, "").await;
    deploy(&broker, "--config mended=yes").await;
    let ran = run(&broker, "dlq redrive c --rate 20/s").await.ok();
    assert!(ran.stdout.contains("redriven to c: 31 of c.dlq"), "{ran}");
    assert!(ran.took >= Duration::from_millis(1500), "30 letters later is 1.5 s later: {ran}");
    broker.described("c", |it| it.counts.done == 31).await;
}

#[tokio::test]
async fn a_paused_deployment_takes_back_what_it_has_room_for_and_handles_it_when_it_goes_on() {
    let broker = with_letters(&["reject"], 12, "--order key --max-parked 5").await;
    deploy(&broker, "--config mended=yes --paused").await;
    let ran = run(&broker, "dlq redrive c -o json").await;
    let report: Value = ran.json_line();
    assert_eq!((report["redriven"].as_u64(), report["left"].as_u64()), (Some(5), Some(7)));
    ran.refused(1, "letters left: 7: c is paused");
    let paused = broker.describe("c").await;
    assert_eq!((paused.lanes[0].parked, open(&broker).await), (5, 7));
    assert_eq!(outputs(&broker).await.len(), 0);

    // A reset forgets what waits, and so these are open again; those that it comes to are its own.
    run(&broker, "module reset c --to latest --yes").await.ok();
    assert_eq!((broker.describe("c").await.lanes[0].parked, open(&broker).await), (0, 12));
    assert_eq!(redrive(&broker, "--offset 11").await["redriven"], 1);
    run(&broker, "module resume c").await.ok();
    // The rest waits for room, of which there is soon some.
    assert_eq!(redrive(&broker, "").await["redriven"], 11);
    broker.described("c", |it| it.counts.done == 12 && lag(it) == 0).await;
    let mut outputs = outputs(&broker).await;
    outputs.sort_unstable_by_key(|it| it.split(' ').next().unwrap().parse::<u64>().unwrap());
    let expected: Vec<String> = (0..12).map(|at| format!("{at} reject")).collect();
    assert_eq!(outputs, expected);
}

#[tokio::test]
async fn what_can_t_be_redriven_is_skipped_and_said_why() {
    let component = guest("scripted").await;
    let broker = with_letters(&["reject"], 3, "").await;
    broker.create_topic("other", 1).await;
    broker.deploy("c", World::Consumer, &component, "--on other --out out").await;
    let report = redrive(&broker, "").await;
    assert_eq!((report["redriven"].as_u64(), report["skipped"].as_u64()), (Some(0), Some(3)));
    assert_eq!(report["reasons"], json!({"topic in is no source of c any more": 3}));
    run(&broker, "dlq redrive c --offset 1")
        .await
        .refused(1, "topic in is no source of c any more");
    assert_eq!(open(&broker).await, 3);

    // When it is a source again, from its beginning, they are letters of its own.
    deploy(&broker, "--config mended=yes").await;
    broker.described("c", |it| it.counts.done == 3).await;
    assert_eq!(redrive(&broker, "").await["redriven"], 3);
    broker.described("c", |it| it.counts.done == 6).await;

    let component = guest("scripted").await;
    broker.deploy("f", World::Filter, &component, "--on in").await;
    run(&broker, "dlq redrive f").await.refused(1, "only consumers have dead letters");
}
