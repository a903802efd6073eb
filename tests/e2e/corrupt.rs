//! A byte rots on the disk of a real data directory: the broker serves around it, `inspect` tells
//! where it is, and `repair` accepts the loss.

use std::path::{Path, PathBuf};

use logmill_client::{LaneDescription, LaneState, World};
use logmill_tests::{Broker, DataDir, Setup, guest, read_all, text, until};
use serde_json::Value;

use crate::PROGRAM;

/// Flips a bit in the last place of a journal file where these bytes are; returns the file's path.
fn rot(data: &Path, bytes: &[u8]) -> PathBuf {
    for entry in std::fs::read_dir(data.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let mut file = std::fs::read(&path).unwrap();
        if let Some(at) = file.windows(bytes.len()).rposition(|window| window == bytes) {
            file[at] ^= 1;
            std::fs::write(&path, file).unwrap();
            return path;
        }
    }
    panic!("the journal does not have it");
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_rotten_byte_costs_its_batch_and_can_be_accepted() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for value in ["first", "this one rots", "last"] {
        broker.logmill(&["produce", "t", value]).await.ok();
    }
    let dir = broker.data().path().to_string_lossy().into_owned();
    let verify = ["inspect", "verify", dir.as_str()];
    broker
        .logmill(&verify)
        .await
        .refused(1, "is owned by a broker that runs: stop it, or look into a backup");
    let (_, _, data) = broker.terminate().await;
    PROGRAM.run(&verify).await.ok();
    let dump = PROGRAM.run(&["inspect", "dump", &dir, "--topic", "t"]).await.ok();
    assert!(dump.stdout.contains("t/0 1: this one rots"), "{}", dump.stdout);

    let file = file_name(&rot(data.path(), b"this one rots"));
    let broker = Broker::start_on(PROGRAM, &data).await;
    let read = broker.logmill(&["consume", "t"]).await.refused(1, "read on from 2");
    assert!(read.stdout.contains("first") && !read.stdout.contains("last"), "{}", read.stdout);
    assert!(read.stderr.starts_with("error: corrupt: "), "{}", read.stderr);
    let read = broker.logmill(&["consume", "t", "--from", "2"]).await.ok();
    assert!(read.stdout.contains("last"), "{}", read.stdout);
    broker.logmill(&["produce", "t", "more"]).await.ok();
    let (backup, says) = (DataDir::new(), format!("{file} is corrupt at byte "));
    let to = backup.path().to_str().unwrap();
    let refused = broker.logmill(&["backup", to]).await.refused(1, &says);
    assert!(refused.stderr.contains("inspect repair --accept-loss"), "{}", refused.stderr);
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    let place = &status["corrupt"][0];
    assert!(place["file"].as_str().unwrap().ends_with(&file), "{place}");
    assert_eq!(place["lost"][0], serde_json::json!({"topic":"t","partition":0,"from":1,"to":2}));
    let (_, _, data) = broker.terminate().await;

    let found = PROGRAM.run(&verify).await.refused(3, ": 1; restore from a backup, or accept");
    assert!(found.stdout.contains(&format!("{file} at byte ")), "{}", found.stdout);
    let found = PROGRAM.run(&["inspect", "verify", &dir, "-o", "json"]).await;
    let reports: Vec<Value> = found.json();
    let findings = reports.iter().flat_map(|it| it["findings"].as_array().unwrap());
    assert_eq!(findings.count(), 1);
    PROGRAM.run(&["inspect", "repair", &dir]).await.refused(2, "--accept-loss");
    let repaired = PROGRAM.run(&["inspect", "repair", &dir, "--accept-loss"]).await.ok();
    let says = "lost: t/0 from offset 1 to before 2";
    assert!(repaired.stdout.contains(says), "{}", repaired.stdout);
    let found = PROGRAM.run(&verify).await.ok().stdout;
    assert!(found.contains(&format!("accepted: journal/{file} at byte ")), "{found}");
    assert!(found.contains(says) && found.ends_with("accepted as lost: 1\n"), "{found}");
    let reports: Vec<Value> =
        PROGRAM.run(&["inspect", "verify", &dir, "-o", "json"]).await.ok().json();
    let findings: Vec<&Value> =
        reports.iter().flat_map(|it| it["findings"].as_array().unwrap()).collect();
    assert_eq!((findings.len(), &findings[0]["accepted"]), (1, &Value::Bool(true)));

    let broker = Broker::start_on(PROGRAM, &data).await;
    let read = broker.logmill(&["consume", "t"]).await.ok();
    let values = ["first", "last", "more"].map(|value| read.stdout.contains(value));
    assert_eq!(values, [true; 3], "{}", read.stdout);
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    assert_eq!(status["corrupt"], Value::Null);

    broker.logmill(&["backup", to]).await.ok();
    let found = PROGRAM.run(&["inspect", "verify", to]).await.ok().stdout;
    assert!(found.contains(&format!("accepted: journal/{file} at byte ")), "{found}");
    let restored = Broker::start_on(PROGRAM, &backup).await;
    assert_eq!(restored.logmill(&["consume", "t"]).await.ok().stdout, read.stdout);
}

#[tokio::test]
async fn the_scrubber_finds_what_nobody_reads_unless_it_is_switched_off() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    for value in ["first", "this one rots", "last"] {
        broker.logmill(&["produce", "t", value]).await.ok();
    }
    let (_, _, data) = broker.terminate().await;
    rot(data.path(), b"this one rots");
    let corrupt = async |broker: &Broker| -> Value {
        let status: Value = broker.logmill(&["status", "-o", "json"]).await.ok().json_line();
        status["corrupt"].clone()
    };
    let config = Some("scrub_bytes_per_second = 0".to_owned());
    let broker = Broker::start_with(PROGRAM, Setup { config, ..Setup::on(&data) }).await;
    assert_eq!(corrupt(&broker).await, Value::Null);
    broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    let found = until("the scrubber finds it", async || {
        let found = corrupt(&broker).await;
        (found != Value::Null).then_some(found)
    })
    .await;
    assert_eq!(found[0]["lost"][0]["from"], 1, "{found}");
}

/// The lane of a deployment on a topic of one partition.
async fn lane(broker: &Broker, deployment: &str, topic: &str) -> LaneDescription {
    let lanes = broker.describe(deployment).await.lanes;
    lanes.into_iter().find(|lane| lane.topic.as_str() == topic).unwrap()
}

/// Waits until a lane stands since something is corrupt.
async fn stands(broker: &Broker, deployment: &str, topic: &str) -> LaneDescription {
    until("the lane stands", async || {
        let lane = lane(broker, deployment, topic).await;
        (lane.state == LaneState::Corrupt).then_some(lane)
    })
    .await
}

/// The values of a topic, in order.
async fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let records = read_all(&broker.client().await, topic).await;
    records.iter().map(|it| text(&it.record).to_owned()).collect()
}

#[tokio::test]
async fn a_lane_stands_before_a_rotten_batch_and_goes_on_behind_it_when_that_is_accepted() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.create_topic("other", 1).await;
    let flags = "--on in other --out out --from earliest --paused";
    broker.deploy("m", World::Consumer, &component, flags).await;
    for value in ["0 done", "1 drop", "2 done 1 rots", "3 done"] {
        broker.logmill(&["produce", "in", value]).await.ok();
    }
    let (_, _, data) = broker.terminate().await;
    let file = file_name(&rot(data.path(), b"2 done 1 rots"));

    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["module", "resume", "m"]).await.ok();
    broker.logmill(&["produce", "other", "4 done"]).await.ok();
    broker.logmill(&["produce", "in", "5 done"]).await.ok();
    broker.described("m", |it| (it.counts.done, it.counts.dropped) == (2, 1)).await;
    let stands = stands(&broker, "m", "in").await;
    assert_eq!((stands.cursor.0, stands.lost.unwrap().to.0), (2, 3));
    assert_eq!(lane(&broker, "m", "other").await.state, LaneState::Running);
    let why = "in/0 is corrupt from offset 2 to before 3, at byte ";
    for shown in [["module", "describe", "m"].as_slice(), &["status"]] {
        let shown = broker.logmill(shown).await.ok().stdout;
        let says = [why, file.as_str(), "inspect repair --accept-loss"];
        assert!(says.iter().all(|it| shown.contains(it)), "{shown}");
    }
    broker.logmill(&["consume", "in", "--from", "2"]).await.refused(1, why);
    broker.logmill(&["trace", "in", "0", "2"]).await.refused(1, why);
    let (_, _, data) = broker.terminate().await;

    let dir = data.path().to_str().unwrap();
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
    let broker = Broker::start_on(PROGRAM, &data).await;
    let counts = broker.settled("m").await.counts;
    assert_eq!((counts.done, counts.dropped, counts.lost, counts.dead_lettered), (4, 1, 1, 0));
    let mut outputs = values(&broker, "out").await;
    outputs.sort_unstable();
    assert_eq!(outputs, ["0 done", "3 done", "4 done", "5 done"], "each once");
    let (_, _, data) = broker.terminate().await;
    PROGRAM.run(&["inspect", "verify", data.path().to_str().unwrap()]).await.ok();
}

#[tokio::test]
async fn a_rotten_letter_is_passed_over_and_one_that_was_redriven_holds_up_its_lane() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.deploy("m", World::Consumer, &component, "--on in --out out --from earliest").await;
    for value in ["0 reject", "1 reject", "2 reject"] {
        broker.logmill(&["produce", "in", value]).await.ok();
        broker.settled("m").await;
    }
    broker.logmill(&["module", "pause", "m"]).await.ok();
    let (_, _, data) = broker.terminate().await;
    rot(data.path(), b"1 reject");

    let broker = Broker::start_on(PROGRAM, &data).await;
    let says = "m.dlq/0 is corrupt from offset 1 to before 2";
    broker.logmill(&["dlq", "show", "m"]).await.refused(1, says);
    let told: Value = broker.logmill(&["dlq", "redrive", "m", "-o", "json"]).await.json_line();
    assert_eq!(told["redriven"], 2, "what can't be read is no letter: {told}");
    let (_, _, data) = broker.terminate().await;
    rot(data.path(), b"2 reject");

    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["module", "resume", "m"]).await.ok();
    let why = stands(&broker, "m", "in").await.waiting.unwrap();
    let says = "corrupt: the dead letter of offset 2: m.dlq/0 is corrupt from offset 2 to before 3";
    assert!(why.starts_with(says), "{why}");
}

/// Where a bit flips in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// In its header: all of it is lost.
    Head,
    /// In its batch of `_cursors`: the others are there.
    Cursors,
}

/// Flips a bit in the newest entry that has a record of `_cursors`.
async fn rot_newest_cursor(data: &DataDir, hit: Hit) {
    let dump = ["inspect", "dump", data.path().to_str().unwrap(), "-o", "json"];
    let entries: Vec<Value> = PROGRAM.run(&dump).await.ok().json();
    let batches = |entry: &Value| entry["batches"].as_array().unwrap().clone();
    let is_cursors = |batch: &Value| batch["topic"] == "_cursors";
    let newest = entries.iter().rfind(|entry| batches(entry).iter().any(is_cursors)).unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let before = batches(newest).into_iter().take_while(|batch| !is_cursors(batch));
    let before: usize = before.map(|batch| number(&batch["bytes"])).sum();
    let in_entry = match hit {
        Hit::Head => 30,
        // Behind the header, the table and the batches before it.
        Hit::Cursors => 64 + 80 * batches(newest).len() + before + 30,
    };
    let path = data.path().join(newest["file"].as_str().unwrap());
    let mut file = std::fs::read(&path).unwrap();
    file[number(&newest["position"]) + in_entry] ^= 1;
    std::fs::write(&path, file).unwrap();
}

#[tokio::test]
async fn a_lane_whose_cursor_rots_stands_over_restarts_until_that_is_accepted() {
    let component = guest("scripted").await;
    for hit in [Hit::Head, Hit::Cursors] {
        let broker = Broker::start(PROGRAM).await;
        broker.create_topic("in", 1).await;
        let flags = "--on in --out out --from earliest";
        broker.deploy("m", World::Consumer, &component, flags).await;
        for value in ["0 done", "1 done", "2 done"] {
            broker.logmill(&["produce", "in", value]).await.ok();
            broker.settled("m").await;
        }
        broker.logmill(&["module", "pause", "m"]).await.ok();
        // What follows says that the cursor was durable, and where the topic had ended.
        broker.logmill(&["produce", "in", "3 done"]).await.ok();
        broker.create_topic("other", 1).await;
        let data = broker.kill().await;
        rot_newest_cursor(&data, hit).await;

        let mut end = None;
        for start in 0..2 {
            let broker = Broker::start_on(PROGRAM, &data).await;
            let resumed = broker.logmill(&["module", "resume", "m"]).await.ok().stdout;
            let says = [
                "resumed m, but all its lanes stand still",
                "in/0 stands still: corrupt: _cursors/0 is",
                "inspect repair --accept-loss",
            ];
            assert!(says.iter().all(|it| resumed.contains(it)), "{resumed}");
            assert!(!resumed.contains("--skip-lost"), "{resumed}");
            let listed = broker.logmill(&["module", "ls"]).await.ok().stdout;
            assert!(listed.contains("stands still: 1 of 1 lanes corrupt"), "{listed}");
            let stands = stands(&broker, "m", "in").await;
            assert_eq!(stands.cursor.0, 2, "{hit:?}");
            let why = stands.waiting.unwrap();
            let says =
                ["_cursors/0 is corrupt from offset ", ".journal", "inspect repair --accept"];
            assert!(says.iter().all(|it| why.contains(it)), "{why}");
            let status = broker.logmill(&["status"]).await.ok().stdout;
            assert!(status.contains("lost: _cursors/0 from offset "), "{status}");
            broker.logmill(&["produce", "in", &format!("{} done", 4 + start)]).await.ok();
            // Another lane on the same records goes on.
            if start == 0 {
                let flags = "--on in --out next --from 3";
                broker.deploy("n", World::Consumer, &component, flags).await;
            }
            broker.settled("n").await;
            let out = broker.admin().await.topic("out".parse().unwrap()).await.unwrap();
            let now = out.partitions[0].end;
            assert_eq!(*end.get_or_insert(now), now, "{hit:?}: nothing was handled twice");
            broker.terminate().await;
        }

        let dir = data.path().to_str().unwrap();
        PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
        let broker = Broker::start_on(PROGRAM, &data).await;
        let counts = broker.settled("m").await.counts;
        assert_eq!((counts.done, counts.lost), (6, 0), "{hit:?}");
        // What the lost cursor had said is handled again. Where the outputs are lost with it, there
        // is each once; where they are not, that is the price of the loss.
        let mut expected = vec!["0 done", "1 done", "2 done"];
        expected.truncate(if hit == Hit::Head { 2 } else { 3 });
        expected.extend(["2 done", "3 done", "4 done", "5 done"]);
        assert_eq!(values(&broker, "out").await, expected, "{hit:?}");
        assert_eq!(values(&broker, "next").await, ["3 done", "4 done", "5 done"]);
    }
}

#[tokio::test]
async fn a_lane_whose_only_cursor_rots_is_told_where_it_goes_on() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.logmill(&["produce", "in", "0 done"]).await.ok();
    let flags = "--on in --out out --from earliest --paused";
    broker.deploy("m", World::Consumer, &component, flags).await;
    broker.create_topic("other", 1).await;
    let data = broker.kill().await;
    rot_newest_cursor(&data, Hit::Cursors).await;

    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["module", "resume", "m"]).await.ok();
    let why = stands(&broker, "m", "in").await.waiting.unwrap();
    assert!(why.contains("_cursors/0 is corrupt from offset 0 to before 1"), "{why}");
    broker.logmill(&["module", "reset", "m", "--to", "earliest", "--yes"]).await.refused(1, &why);
    let (_, _, data) = broker.terminate().await;
    let dir = data.path().to_str().unwrap();
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();

    for _ in 0..2 {
        let broker = Broker::start_on(PROGRAM, &data).await;
        // A new version finds no cursor either, and makes none up.
        broker.deploy("m", World::Consumer, &component, "").await;
        let why = stands(&broker, "m", "in").await.waiting.unwrap();
        let says = "`logmill module reset m --topic in --partition 0 --to POSITION`";
        assert!(why.contains(says), "{why}");
        broker.terminate().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    let reset = "module reset m --topic in --partition 0 --to earliest --yes";
    broker.logmill(&reset.split(' ').collect::<Vec<_>>()).await.ok();
    assert_eq!(broker.settled("m").await.counts.done, 1);
    let data = broker.kill().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    assert_eq!(broker.settled("m").await.counts.done, 1);
    assert_eq!(values(&broker, "out").await, ["0 done"]);
}

#[tokio::test]
async fn who_looks_into_a_directory_is_told_what_stands_in_the_way() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    broker
        .logmill(&["backup", "/proc/none"])
        .await
        .refused(1, "choose a directory that the broker");
    let (_, _, data) = broker.terminate().await;
    let dir = data.path().to_str().unwrap();
    let dump = |topic| ["inspect", "dump", dir, "--topic", topic];
    PROGRAM.run(&dump("nope")).await.refused(1, "there was never a topic nope in ");
    PROGRAM.run(&dump("_catalog")).await.ok();
    for entry in std::fs::read_dir(data.path().join("journal")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let says = "no journal file is there, but views/state is";
    PROGRAM.run(&["inspect", "verify", dir]).await.refused(1, says);
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.refused(1, says);
}

#[tokio::test]
async fn what_can_only_be_read_can_be_looked_into() {
    let Some(data) = DataDir::on_small_disk(1 << 30) else { return };
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("t", 1).await;
    broker.logmill(&["produce", "t", "hello"]).await.ok();
    broker.terminate().await;
    data.set_writable(false);
    let dir = data.path().to_str().unwrap();
    PROGRAM.run(&["inspect", "verify", dir]).await.ok();
    let dump = PROGRAM.run(&["inspect", "dump", dir, "--topic", "t"]).await.ok();
    assert!(dump.stdout.contains("t/0 0: hello"), "{}", dump.stdout);
    let says = "Read-only file system (os error 30); mount it writable";
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.refused(1, says);
}

/// The files of the journal, the oldest first.
fn journal(data: &DataDir) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data.path().join("journal")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|it| it.extension().is_some_and(|it| it == "journal")).collect();
    paths.sort_unstable();
    paths
}

/// Makes both copies of a file's header bad.
fn behead(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(path, bytes).unwrap();
}

/// All that is lost at these places, in order.
fn lost(places: &[&Value]) -> Vec<String> {
    let lost = places.iter().flat_map(|it| it["lost"].as_array().unwrap());
    let mut lost: Vec<String> = lost.map(ToString::to_string).collect();
    lost.sort_unstable();
    lost
}

/// Two starts, each with a topic and a record of it in its own file.
async fn two_files() -> DataDir {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("old", 1).await;
    broker.logmill(&["produce", "old", "hello"]).await.ok();
    let (_, _, data) = broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("new", 1).await;
    broker.logmill(&["produce", "new", "hello"]).await.ok();
    broker.terminate().await;
    data
}

const UNKNOWN: &str =
    "topics and deployments that were created, changed or deleted there are not known";
const PRICE: &str = "gives up all topics and deployments that are not known any more";

#[tokio::test]
async fn of_a_lost_catalog_it_is_said_what_may_be_missing_and_what_a_repair_costs() {
    let data = two_files().await;
    std::fs::remove_dir_all(data.path().join("views")).unwrap();
    behead(&journal(&data)[0]);
    let dir = data.path().to_str().unwrap();
    let verify = ["inspect", "verify", dir];
    let found =
        PROGRAM.run(&verify).await.refused(3, "restore from a backup, or bring the missing");
    assert!(found.stderr.contains(PRICE) && found.stdout.contains(UNKNOWN), "{found:?}");
    let reports: Vec<Value> = PROGRAM.run(&[&verify[..], &["-o", "json"]].concat()).await.json();
    let findings = reports.iter().flat_map(|it| it["findings"].as_array().unwrap());
    let found = lost(&findings.collect::<Vec<_>>());

    let broker = Broker::start_on(PROGRAM, &data).await;
    assert!(broker.stderr().contains(UNKNOWN), "{}", broker.stderr());
    let shown = broker.logmill(&["status"]).await.ok().stdout;
    let says = ["lost: _catalog/0 from offset 0 to before 1: topics", UNKNOWN, PRICE];
    assert!(says.iter().all(|it| shown.contains(it)), "{shown}");
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    let places: Vec<&Value> = status["corrupt"].as_array().unwrap().iter().collect();
    assert_eq!(lost(&places), found, "both name the same");
    for asked in [&["consume", "old"][..], &["produce", "old", "x"], &["topic", "describe", "old"]]
    {
        let says =
            "whether topic old exists is not known, since the catalog is corrupt; `logmill status`";
        broker.logmill(asked).await.refused(1, says);
    }
    let says = "whether deployment m exists is not known";
    broker.logmill(&["module", "describe", "m"]).await.refused(1, says);
    broker.logmill(&["topic", "create", "old"]).await.refused(1, UNKNOWN);
    broker.logmill(&["produce", "new", "x"]).await.ok();
    broker.terminate().await;

    std::fs::remove_file(&journal(&data)[0]).unwrap();
    let found = PROGRAM.run(&verify).await.refused(3, PRICE);
    assert!(found.stdout.contains("entries 1 to ") && found.stdout.contains(UNKNOWN), "{found:?}");
    let repaired = PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
    assert!(repaired.stdout.contains(UNKNOWN), "{}", repaired.stdout);
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["consume", "old"]).await.refused(1, "topic old does not exist");
    broker.logmill(&["consume", "new"]).await.ok();
}

/// The snapshot of the catalog tells of a topic whose records are all lost: an accepted loss has those of
/// it, too, so that no offset is used again.
#[tokio::test]
async fn what_the_snapshot_alone_knows_of_is_lost_and_accepted_as_well() {
    let data = two_files().await;
    std::fs::remove_file(&journal(&data)[0]).unwrap();
    let dir = data.path().to_str().unwrap();
    let found = PROGRAM.run(&["inspect", "verify", dir]).await.refused(3, PRICE);
    assert!(found.stdout.contains("lost: old/0 from offset 0 to"), "{}", found.stdout);
    let repaired = PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
    assert!(repaired.stdout.contains("lost: old/0 from offset 0 to"), "{}", repaired.stdout);
    let broker = Broker::start_on(PROGRAM, &data).await;
    let told: Value = broker.logmill(&["produce", "old", "x", "-o", "json"]).await.json_line();
    assert!(told["offset"].as_u64().unwrap() > 0, "{told}");
}

/// Where nothing tells how many records were lost, ends jump past all that there can have been. Those are
/// no records, nobody is behind by them, and no letter is open for them.
#[tokio::test]
async fn what_an_end_jumps_over_counts_as_nothing() {
    let component = guest("scripted").await;
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("in", 1).await;
    broker.deploy("m", World::Consumer, &component, "--on in --out out --from earliest").await;
    let (_, _, data) = broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    for value in ["0 done", "1 reject"] {
        broker.logmill(&["produce", "in", value]).await.ok();
    }
    broker.settled("m").await;
    broker.terminate().await;
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.create_topic("other", 1).await;
    broker.terminate().await;
    behead(&journal(&data)[1]);

    let dir = data.path().to_str().unwrap();
    for is_accepted in [false, true] {
        if is_accepted {
            PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
        }
        let broker = Broker::start_on(PROGRAM, &data).await;
        let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
        assert_eq!((&status["lag"], &status["open_dead_letters"]), (&0.into(), &0.into()));
        let topics = status["topics"].as_array().unwrap();
        for topic in topics.iter().filter(|it| it["name"] != "other") {
            let partition = &topic["partitions"][0];
            assert!(partition["end"].as_u64() > Some(1_000_000), "{partition}");
            let records = partition["end"].as_u64().unwrap() - partition["start"].as_u64().unwrap();
            assert_eq!(partition["lost"], records, "{partition}");
        }
        let shown = broker.logmill(&["topic", "describe", "in"]).await.ok().stdout;
        let row = shown.lines().last().unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[3], "0", "{shown}");
        broker.terminate().await;
    }
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["produce", "in", "2 reject"]).await.ok();
    assert_eq!(broker.settled("m").await.counts.dead_lettered, 1);
    let status: Value = broker.logmill(&["status", "-o", "json"]).await.json_line();
    assert_eq!(status["open_dead_letters"], 1);
}

#[tokio::test]
async fn what_is_no_journal_is_told_by_name_and_no_repair_is_advised_that_would_be_refused() {
    let broker = Broker::start(PROGRAM).await;
    broker.create_topic("t", 1).await;
    let (_, _, data) = broker.terminate().await;
    let dir = data.path().to_str().unwrap();
    for (foreign, says) in [
        ("journal/notes.txt", "move it elsewhere"),
        ("backup-incomplete", "run `logmill backup` to it again"),
    ] {
        let path = data.path().join(foreign);
        std::fs::write(&path, "notes").unwrap();
        let advice = "no broker starts on it, and none would after a repair";
        let found = PROGRAM.run(&["inspect", "verify", dir]).await.refused(3, advice);
        assert!(found.stdout.contains(says), "{}", found.stdout);
        PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.refused(1, says);
        std::fs::remove_file(&path).unwrap();
    }
    let name = "00000000000000000900-00000000000000000007.journal";
    let path = data.path().join("journal").join(name);
    std::fs::write(&path, "notes").unwrap();
    let broker = Broker::start_on(PROGRAM, &data).await;
    let says = broker.stderr();
    let line = says.lines().find(|line| line.contains("WARN") && line.contains(name));
    assert!(line.is_some_and(|line| line.contains("kept beside")), "{says}");
    let kept = std::fs::read(path.with_extension("journal.torn")).unwrap();
    assert_eq!((kept.as_slice(), path.exists()), (&b"notes"[..], false));
}

/// The newest file is gone with its index: the snapshot alone tells that there was more.
#[tokio::test]
async fn a_start_is_refused_that_would_go_on_without_what_the_snapshot_tells_of() {
    let data = two_files().await;
    let newest = journal(&data)[1].clone();
    std::fs::remove_file(newest.with_extension("index")).unwrap();
    std::fs::remove_file(newest).unwrap();
    let ended = Broker::try_start(PROGRAM, Setup::on(&data)).await.unwrap_err();
    for words in ["views/state was made behind entry", "bring it back", "inspect repair"] {
        assert!(ended.stderr.contains(words), "{words} is not in: {}", ended.stderr);
    }
    let dir = data.path().to_str().unwrap();
    let found = PROGRAM
        .run(&["inspect", "verify", dir])
        .await
        .refused(3, "restore from a backup, or bring the");
    assert!(found.stdout.contains("how many is not known"), "{found:?}");
    PROGRAM.run(&["inspect", "repair", dir, "--accept-loss"]).await.ok();
    PROGRAM.run(&["inspect", "verify", dir]).await.ok();
    let broker = Broker::start_on(PROGRAM, &data).await;
    broker.logmill(&["consume", "old"]).await.ok();
}

/// What an upload needs is there, and the log is not.
#[tokio::test]
async fn a_directory_that_has_modules_and_no_journal_is_refused() {
    let data = two_files().await;
    for folder in ["journal", "views"] {
        std::fs::remove_dir_all(data.path().join(folder)).unwrap();
    }
    let module = format!("{}.wasm", "0".repeat(64));
    std::fs::write(data.path().join("modules").join(module), "a module").unwrap();
    let ended = Broker::try_start(PROGRAM, Setup::on(&data)).await.unwrap_err();
    assert!(ended.stderr.contains("the data directory is not whole"), "{}", ended.stderr);
}
