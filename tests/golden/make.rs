//! Makes the golden data directories of a version: what a broker of today leaves behind, for all later
//! ones to read.
//!
//! ```text
//! cargo run --release -p logmill-tests --example golden -- tests/golden/v2
//! ```
//!
//! It makes two: `stopped`, which a broker was told to leave, and `killed`, which one had no time to
//! leave. Beside each stands, in a text file, what is in it. **A version's directories are made once,
//! when its format changes, and never again**: they are what is on somebody's disk.
#![expect(
    clippy::unwrap_used,
    reason = "it fails as a test does: where something is not as it should be"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logmill_client::{
    Admin, Backoff, Client, Compression, ConnectOptions, ConnectionFile, DeployRequest, Header,
    LaneState, Limit, OnFull, OutputGrant, PolicyChange, Position, ProducerOptions, Record,
    Timestamp, TopicPolicy, World,
};
use logmill_engine::Options;
use logmill_engine::clock::Clock;
use logmill_log::storage::DiskStorage;
use logmill_log::{Known, accept_losses};
use logmill_server::{Config, Server};
use logmill_tests::{DataDir, guest, listing, until};

const JOURNAL_FILE_BYTES: u64 = 16 * 1024;
/// What of a data directory holds state; the rest is secrets, and what can be made again.
const KEPT: [&str; 5] = ["journal", "segments", "views", "modules", "cluster"];
/// A hundred years: of an age that no record comes to.
const LONG_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

#[tokio::main]
async fn main() {
    let to = PathBuf::from(std::env::args_os().nth(1).expect("the folder to make"));
    assert!(!to.exists(), "{} is there; a golden directory is never made again", to.display());
    let component = Bytes::from(std::fs::read(guest("scripted").await).unwrap());

    let data = DataDir::new();
    let life = Life::begin(data.path()).await;
    life.make_topics().await;
    life.fill_topics().await;
    life.end().await;
    flip(data.path(), b"this rots and is accepted");
    let storage = Arc::new(DiskStorage::open(data.path()).unwrap());
    assert_eq!(accept_losses(&(storage as _), &Known::default()).unwrap().len(), 1);

    let life = Life::begin(data.path()).await;
    life.deploy_modules(component).await;
    life.win_space_back().await;
    let stopped = life.image().await;
    life.end().await;

    let life = Life::begin(stopped.path()).await;
    let torn = walk(stopped.path()).into_iter().filter(|it| ends_with(it, ".torn"));
    assert!(torn.count() > 0, "something was torn");
    life.put("plain", 0, &[record("k", "after a kill")]).await;
    for value in ["third", "this rots", "fifth"] {
        life.put("rotten", 0, &[record("k", value)]).await;
    }
    life.end().await;
    flip(stopped.path(), b"this rots");
    let killed = stopped.copy();
    keep(&stopped, &to.join("stopped")).await;

    let life = Life::begin(killed.path()).await;
    life.put("plain", 1, &[record("k", "before another kill")]).await;
    life.put("compacted", 0, &[record("key 2", "after the segment")]).await;
    life.put("in", 0, &[record("k", "20 done"), record("k", "21 reject")]).await;
    life.settled("worker").await;
    keep(&life.image().await, &to.join("killed")).await;
    life.end().await;
}

/// A broker in this process.
struct Life {
    data: PathBuf,
    server: Server,
    client: Client,
    admin: Admin,
}

impl Life {
    async fn begin(data: &Path) -> Self {
        let any_port = ([127, 0, 0, 1], 0).into();
        let config = Config { listen: any_port, http: any_port, ..Config::new(data.to_owned()) };
        let settings = logmill_server::Settings::check(config).unwrap();
        let log = logmill_log::Settings {
            journal_file_bytes: JOURNAL_FILE_BYTES,
            // What was appended last has nothing behind it that proves it durable.
            checkpoint_after: Duration::from_secs(3600),
            ..logmill_log::Settings::default()
        };
        let options = Options {
            storage: Arc::new(DiskStorage::open(data).unwrap()),
            data_dir: data.to_owned(),
            create_topics: true,
            topics_on_demand: false,
            compile_apart: false,
            clock: Clock::machine(),
            retention_interval: Duration::from_millis(50),
            before_call: None,
            log,
        };
        let server = logmill_server::serve(settings, options).await.unwrap();
        let file = ConnectionFile::load(&data.join("connection.json")).unwrap();
        let client = Client::connect(ConnectOptions::from(file)).await.unwrap();
        let admin = client.admin();
        Self { data: data.to_owned(), server, client, admin }
    }

    async fn end(self) {
        self.client.close().await;
        self.server.shutdown().await.unwrap();
    }

    /// Sends these records as one batch.
    async fn put(&self, topic: &str, partition: u32, records: &[Record]) {
        self.put_compressed(topic, partition, records, Compression::None).await;
    }

    async fn put_compressed(
        &self,
        topic: &str,
        partition: u32,
        records: &[Record],
        compression: Compression,
    ) {
        let options = ProducerOptions { compression, ..ProducerOptions::default() };
        let producer = self.client.producer_with(topic.parse().unwrap(), options).await.unwrap();
        for record in records {
            // Whether it is durable is known when all are.
            drop(producer.send_to(partition, record.clone()).await.unwrap());
        }
        producer.flush().await.unwrap();
    }

    async fn make_topics(&self) {
        let none = TopicPolicy::default();
        for (name, partitions, policy) in [
            ("aged", 1, TopicPolicy { retention_time_ms: Some(LONG_MS), ..none }),
            ("compacted", 1, TopicPolicy { compact: true, ..none }),
            ("deleted", 1, none),
            ("empty", 3, none),
            (
                "full",
                1,
                TopicPolicy {
                    retention_bytes: Some(1 << 20),
                    on_full: OnFull::Reject,
                    ..TopicPolicy::default()
                },
            ),
            ("in", 2, none),
            ("lz4", 1, none),
            ("plain", 2, none),
            ("rotten", 1, none),
            ("routed", 1, none),
            ("short", 1, none),
            ("sized", 1, TopicPolicy { retention_bytes: Some(4096), ..none }),
            ("slow", 1, none),
            ("zstd", 1, none),
        ] {
            let name = name.parse().unwrap();
            self.admin.create_topic_with(name, partitions, policy).await.unwrap();
        }
    }

    async fn fill_topics(&self) {
        let header = |name: &str, value: &'static [u8]| Header {
            name: name.to_owned(),
            value: Bytes::from_static(value),
        };
        let kinds = [
            record("key", "value"),
            Record { create_ts: Timestamp(1_234_567_890_123), ..record("key", "with a time") },
            Record {
                headers: vec![header("a", b"1"), header("b", b""), header("a", b"\0\xff")],
                ..record("key", "with headers")
            },
            Record { value: None, ..record("key", "") },
            Record { key: None, ..record("", "without a key") },
            Record { key: None, value: None, ..record("", "") },
            record("", ""),
            Record {
                value: Some(Bytes::from_static(b"\0\x01\xfe\xff\n\"")),
                ..record("bytes", "")
            },
            record("large", "a large value; ".repeat(200)),
        ];
        self.put("plain", 0, &kinds).await;
        self.put("plain", 1, &kinds[..1]).await;
        self.put_compressed("lz4", 0, &kinds, Compression::Lz4).await;
        self.put_compressed("zstd", 0, &kinds, Compression::Zstd).await;
        self.put("zstd", 0, &kinds[..2]).await;
        self.put("aged", 0, &kinds[..3]).await;
        self.put("full", 0, &kinds[..3]).await;
        self.put("compacted", 0, &[record("deleted", "has been")]).await;
        self.set_keys(0..60).await;
        self.put("compacted", 0, &[Record { value: None, ..record("deleted", "") }]).await;
        for value in ["first", "this rots and is accepted"] {
            self.put("rotten", 0, &[record("k", value)]).await;
        }
        self.put("rotten", 0, &[record("k", "second")]).await;
    }

    /// Sets the eight keys of the compacted topic again and again.
    async fn set_keys(&self, numbers: std::ops::Range<u32>) {
        for nth in numbers {
            let value = format!("value {nth:>4} ").repeat(40);
            self.put("compacted", 0, &[record(&format!("key {}", nth % 8), value)]).await;
        }
    }

    async fn deploy(
        &self,
        name: &str,
        world: World,
        on: &[&str],
        out: &[&str],
        more: impl FnOnce(&mut DeployRequest),
        component: &Bytes,
    ) {
        let digest = self.admin.upload(component.clone()).await.unwrap().digest;
        let grant = |granted: &&str| {
            let (alias, topic) = granted.split_once('=').unwrap_or(("", granted));
            let alias = (!alias.is_empty()).then(|| alias.to_owned());
            OutputGrant { alias, topic: topic.parse().unwrap() }
        };
        let mut request = DeployRequest::new(name.parse().unwrap(), digest);
        request.world = Some(world);
        request.on = Some(on.iter().map(|topic| topic.parse().unwrap()).collect());
        request.out = Some(out.iter().map(grant).collect());
        more(&mut request);
        self.admin.deploy(request).await.unwrap();
    }

    async fn deploy_modules(&self, component: Bytes) {
        let earliest = |it: &mut DeployRequest| it.from = Some(Position::Earliest);
        let consumer = World::Consumer;
        let work = async |name: &str, on: &[&str], more: fn(&mut DeployRequest)| {
            let settings = |it: &mut DeployRequest| {
                earliest(it);
                more(it);
            };
            self.deploy(name, consumer, on, &["main=out"], settings, &component).await;
        };
        work("worker", &["in"], |it| it.backoff = Some(Backoff::List(vec![5, 1]))).await;
        let values = ["0 done", "1 drop", "2 flaky 2", "3 fail", "4 done 2"];
        self.put("in", 0, &values.map(|value| record("k", value))).await;
        self.settled("worker").await;
        let tagged = |it: &mut DeployRequest| {
            it.config = Some(vec![("tag".to_owned(), "again".to_owned())]);
            it.max_attempts = Some(2);
        };
        self.deploy("worker", consumer, &["in"], &["out"], tagged, &component).await;
        self.put("in", 1, &["5 done", "6 fail", "7 reject"].map(|value| record("k", value))).await;
        self.settled("worker").await;

        work("gone", &["in"], |it| it.paused = true).await;
        self.admin.delete_deployment("gone".parse().unwrap()).await.unwrap();
        work("patient", &["slow"], |it| {
            it.backoff = Some(Backoff::List(vec![3000, 1]));
            it.max_attempts = Some(3);
        })
        .await;
        self.put("slow", 0, &["0 fail", "1 done"].map(|value| record("k", value))).await;
        self.counted("patient", |it| it.errors == 1).await;
        self.admin.pause("patient".parse().unwrap()).await.unwrap();
        self.counted("patient", |it| it.errors == 1).await;

        self.deploy("router", World::Router, &["routed"], &["elsewhere"], |_| (), &component).await;
        let keep = |it: &mut DeployRequest| {
            it.config = Some(vec![("keep".to_owned(), "elsewhere".to_owned())]);
        };
        self.deploy("filter", World::Filter, &["routed"], &[], keep, &component).await;
        let values = ["0 to elsewhere", "1 none"].map(|value| record("k", value));
        until("the router takes records", async || {
            let read = logmill_tests::read_all(&self.client, "elsewhere").await;
            if read.is_empty() {
                self.put("routed", 0, &values).await;
            }
            (!read.is_empty()).then_some(())
        })
        .await;
        work("lagging", &["short"], |it| it.paused = true).await;
        self.lose_records("lagging", "short").await;
    }

    /// Lets retention take what a deployment has not seen.
    async fn lose_records(&self, deployment: &str, topic: &str) {
        self.put(topic, 0, &["0 done", "1 done"].map(|value| record("k", value))).await;
        let keep = async |limit| {
            let change = PolicyChange { retention_time_ms: Some(limit), ..PolicyChange::default() };
            self.admin.alter_topic(topic.parse().unwrap(), change).await.unwrap();
        };
        keep(Limit::Of(1)).await;
        until("retention takes them", async || {
            let topic = self.admin.topic(topic.parse().unwrap()).await.unwrap();
            (topic.partitions[0].start.0 == 2).then_some(())
        })
        .await;
        keep(Limit::Unlimited).await;
        self.put(topic, 0, &[record("k", "2 done")]).await;
        self.admin.resume(deployment.parse().unwrap()).await.unwrap();
        self.is_lost(deployment).await;
    }

    async fn is_lost(&self, deployment: &str) {
        until("the loss is found", async || {
            let found = self.admin.deployment(deployment.parse().unwrap()).await.unwrap();
            (found.lanes[0].state == LaneState::Lost).then_some(())
        })
        .await;
    }

    /// Fills files and waits until some are dropped and some are rewritten.
    async fn win_space_back(&self) {
        for (topic, records) in [("deleted", 60), ("sized", 15)] {
            for nth in 0..records {
                let value = format!("{nth:>3} ").repeat(250);
                self.put(topic, 0, &[record("k", value)]).await;
            }
        }
        self.admin.delete_topic("deleted".parse().unwrap()).await.unwrap();
        self.set_keys(60..200).await;
        let mut stats = self.server.engine().watch_cleaner();
        stats.wait_for(|it| it.segments > 0 && it.files_removed > 5).await.unwrap();
    }

    async fn settled(&self, name: &str) {
        until("all records have an outcome", async || {
            let found = self.admin.deployment(name.parse().unwrap()).await.unwrap();
            found.lanes.iter().all(|lane| lane.lag == 0).then_some(())
        })
        .await;
    }

    async fn counted(&self, name: &str, holds: impl Fn(&logmill_client::Counts) -> bool) {
        until("its records are counted", async || {
            let found = self.admin.deployment(name.parse().unwrap()).await.unwrap();
            holds(&found.counts).then_some(())
        })
        .await;
    }

    /// The directory as it is while the broker runs, with a last entry that was not written to its
    /// end.
    async fn image(&self) -> DataDir {
        self.put("plain", 0, &[record("k", "never acknowledged")]).await;
        let image = DataDir::new();
        copy_kept(&self.data, image.path());
        tear_last_entry(image.path());
        image
    }
}

fn record(key: &str, value: impl Into<String>) -> Record {
    let (key, value) = (Some(key.to_owned().into()), Some(value.into().into()));
    Record { key, value, create_ts: Timestamp(1_700_000_000_000), ..Record::default() }
}

/// Keeps a directory, and beside it what a broker finds in it.
async fn keep(data: &DataDir, to: &Path) {
    copy_kept(data.path(), to);
    let copy = data.copy();
    let life = Life::begin(copy.path()).await;
    life.is_lost("lagging").await;
    std::fs::write(to.with_extension("txt"), listing(&life.client).await).unwrap();
    life.end().await;
}

fn copy_kept(from: &Path, to: &Path) {
    for path in walk(from) {
        let within = path.strip_prefix(from).unwrap();
        if KEPT.iter().any(|kept| within.starts_with(kept)) {
            let to = to.join(within);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&path, to).unwrap();
        }
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.to_string_lossy().ends_with(end)
}

/// Flips a bit in the one place of the journal where these bytes are.
fn flip(data: &Path, bytes: &[u8]) {
    for path in walk(&data.join("journal")) {
        let mut file = std::fs::read(&path).unwrap();
        if let Some(at) = file.windows(bytes.len()).position(|window| window == bytes) {
            file[at] ^= 1;
            return std::fs::write(&path, file).unwrap();
        }
    }
    unreachable!("the journal has it");
}

/// Takes the second half of the newest entry back, as a power cut does.
fn tear_last_entry(data: &Path) {
    let files = walk(&data.join("journal")).into_iter().filter(|it| ends_with(it, ".journal"));
    let path = files.max_by_key(|it| (epoch(it), it.clone())).unwrap();
    let mut file = std::fs::read(&path).unwrap();
    let (mut at, mut last) = (4096, None);
    while file.len() >= at + 64 && &file[at..at + 4] == b"LMEN" {
        let bytes = u32::from_le_bytes(file[at + 16..at + 20].try_into().unwrap());
        last = Some(at);
        at += usize::try_from(bytes).unwrap();
    }
    let last = last.expect("the newest file has an entry");
    file[last + (at - last) / 2..at].fill(0);
    std::fs::write(&path, file).unwrap();
}

fn epoch(path: &Path) -> String {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    name.rsplit_once('-').unwrap().1.to_owned()
}
