//! What the benches share: a place on a disk, batches, the disk alone, the log and the engine
//! without a network.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use logmill_engine::{Engine, Options};
use logmill_log::storage::DiskStorage;
use logmill_log::{Cleaner, Durability, Journal, Log, NewEntry, Opened, Settings, StoredBatch};
use logmill_model::{
    Csn, Envelope, Offset, PartitionId, Record, RecordBatch, Timestamp, TopicId, TopicName,
    TopicPolicy,
};
use rustix::fs::{Advice, FallocateFlags};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::Chance;

/// Beyond its value, a record takes so many bytes of a batch.
const RECORD_OVERHEAD: usize = logmill_model::RECORD_OVERHEAD_BYTES;
/// As the journal preallocates.
const STEP_BYTES: u64 = 16 << 20;

/// A number from the environment, or this one.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The middle one, the lowest and the highest of these.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn middle(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1]]
}

/// A folder for one measurement, on the disk of `LOGMILL_BENCH_DIR` or else of the build's files.
///
/// # Panics
/// When there can be none.
#[must_use]
pub fn folder(of_build: &str) -> TempDir {
    let place = std::env::var("LOGMILL_BENCH_DIR").unwrap_or_else(|_| of_build.to_owned());
    std::fs::create_dir_all(&place).unwrap();
    tempfile::Builder::new().prefix("logmill-bench-").tempdir_in(place).unwrap()
}

/// A batch of records of this encoded size, which do not compress.
///
/// # Panics
/// When there is no such batch.
#[must_use]
pub fn batch(records: usize, record_bytes: usize) -> RecordBatch {
    let mut chance = Chance::of_seed(1);
    let value = |chance: &mut Chance| {
        let words = (record_bytes - RECORD_OVERHEAD).div_ceil(8);
        let mut value: Vec<u8> = (0..words).flat_map(|_| chance.number().to_le_bytes()).collect();
        value.truncate(record_bytes - RECORD_OVERHEAD);
        value
    };
    let records: Vec<Record> = (0..records)
        .map(|_| Record { value: Some(value(&mut chance).into()), ..Record::default() })
        .collect();
    RecordBatch::of(&records).unwrap()
}

/// The same batch in memory of its own, as each that comes in from a network is.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn copy(batch: &RecordBatch) -> RecordBatch {
    RecordBatch::check(Bytes::copy_from_slice(batch.bytes()), batch.crc()).unwrap()
}

/// The disk alone: a file that is preallocated as the journal is.
#[derive(Debug)]
pub struct RawDisk {
    file: File,
    end: u64,
    allocated: u64,
}

impl RawDisk {
    /// On the disk of this folder; leaves nothing there.
    ///
    /// # Panics
    /// When there can be no file.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { file: tempfile::tempfile_in(folder).unwrap(), end: 0, allocated: 0 }
    }

    /// How long it takes to write so many chunks behind one another, with an `fdatasync` after
    /// each. Space is taken before.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&mut self, chunk: &[u8], chunks: u64) -> Duration {
        let needed = self.end + chunks * chunk.len() as u64;
        if needed > self.allocated {
            self.allocated = needed + STEP_BYTES;
            let none = FallocateFlags::empty();
            rustix::fs::fallocate(&self.file, none, 0, self.allocated).unwrap();
            self.file.sync_all().unwrap();
        }
        let started = Instant::now();
        for _ in 0..chunks {
            self.file.write_all_at(chunk, self.end).unwrap();
            self.file.sync_data().unwrap();
            self.end += chunk.len() as u64;
        }
        started.elapsed()
    }
}

/// A log without an engine.
#[derive(Debug)]
pub struct OpenLog {
    /// To read it.
    pub log: Log,
    journal: Journal,
    next: Csn,
    partitions: u32,
    ends: HashMap<PartitionId, Offset>,
    done: (SyncSender<()>, Receiver<()>),
}

/// Entries that a bench may have on their way.
const IN_FLIGHT_MAX: usize = 4096;

impl OpenLog {
    /// Opens the log of a folder that holds none yet, for so many partitions; and its cleaner.
    ///
    /// # Panics
    /// When it can't be opened.
    #[must_use]
    pub fn new(folder: &Path, partitions: u32) -> (Self, Cleaner) {
        let storage = Arc::new(DiskStorage::create(folder).unwrap());
        let opened = logmill_log::open(storage, Settings::default()).unwrap();
        let Opened { log, journal, cleaner, recovered } = opened;
        let (next, done) = (recovered.last_csn.next(), sync_channel(IN_FLIGHT_MAX));
        (Self { log, journal, next, partitions, ends: HashMap::new(), done }, cleaner)
    }

    /// A partition by its number.
    #[must_use]
    pub fn partition(number: u32) -> PartitionId {
        PartitionId::new(TopicId(100), number)
    }

    /// Appends the batch so many times, to the partitions in turn, with at most so many that are not
    /// durable; returns when all are. Each is an entry of its own.
    pub fn append(&mut self, batch: &RecordBatch, times: u64, in_flight: u64) -> Duration {
        self.append_and(batch, times, in_flight, &mut |_| {})
    }

    /// The same, and does something else between each two.
    ///
    /// # Panics
    /// When one is not made durable.
    pub fn append_and(
        &mut self,
        batch: &RecordBatch,
        times: u64,
        in_flight: u64,
        between: &mut dyn FnMut(&mut Self),
    ) -> Duration {
        let started = Instant::now();
        for number in 0..times {
            if number >= in_flight {
                self.done.1.recv().unwrap();
            }
            let turn = u32::try_from(number % u64::from(self.partitions)).unwrap();
            let done = self.done.0.clone();
            self.commit(Self::partition(turn), batch.clone(), done);
            between(self);
        }
        for _ in 0..times.min(in_flight) {
            self.done.1.recv().unwrap();
        }
        started.elapsed()
    }

    /// Appends an entry; tells when it is durable.
    ///
    /// # Panics
    /// When it is not made durable.
    pub fn commit(&mut self, partition: PartitionId, batch: RecordBatch, done: SyncSender<()>) {
        let (csn, time) = (self.next, Timestamp(self.next.0));
        let end = self.ends.entry(partition).or_default();
        let envelope = Envelope {
            base_offset: *end,
            append_ts: time,
            csn,
            producer: None,
            last_delta: batch.last_delta(),
            records: batch.record_count(),
            bytes: u32::try_from(batch.bytes().len()).unwrap(),
            crc: batch.crc(),
            rewritten: false,
            compression: batch.compression(),
            hops: 0,
        };
        *end = envelope.end_offset();
        let appends = vec![StoredBatch { partition, envelope, batch }];
        let completion = Box::new(move |durability| {
            assert_eq!(durability, Durability::Durable);
            done.send(()).unwrap();
        });
        self.journal.append(NewEntry { csn, time, appends }, completion).unwrap();
        self.next = csn.next();
    }
}

/// The topic of the benches.
///
/// # Panics
/// Never.
#[must_use]
pub fn topic() -> TopicName {
    "bench".parse().unwrap()
}

/// Opens an engine on a folder: what `serve` does, but for the network.
///
/// # Panics
/// When it can't be opened.
pub async fn engine(folder: &Path) -> Engine {
    let storage = DiskStorage::create(folder).unwrap();
    let options = Options {
        storage: Arc::new(storage),
        data_dir: folder.to_owned(),
        create_topics: true,
        topics_on_demand: false,
        compile_apart: false,
        clock: logmill_engine::clock::Clock::machine(),
        retention_interval: Duration::from_secs(1),
        before_call: None,
        log: Settings::default(),
    };
    Engine::open(options).await.unwrap()
}

/// Makes the topic of the benches, unless it is there.
///
/// # Panics
/// When it can't be made.
pub async fn create_topic(engine: &Engine, partitions: u32) {
    match engine.create_topic(&topic(), partitions, TopicPolicy::default()).await {
        Ok(_) | Err(logmill_engine::Error::TopicExists(_)) => {}
        Err(error) => panic!("no topic: {error}"),
    }
}

/// How batches are produced.
#[derive(Debug, Clone, Copy)]
pub struct Producing {
    /// To the partitions from 0 on, in turn.
    pub partitions: u32,
    /// How many batches.
    pub batches: u64,
    /// How many of them may be without an ack.
    pub in_flight: u64,
}

/// Produces the batch through the engine's door, each time in memory of its own.
///
/// # Panics
/// When one is not acknowledged.
pub async fn produce(engine: &Engine, batch: &RecordBatch, how: Producing) -> Duration {
    let started = Instant::now();
    let mut producers = JoinSet::new();
    for first in 0..how.in_flight.min(how.batches) {
        let (engine, batch) = (engine.clone(), batch.clone());
        producers.spawn(async move {
            let topic = topic();
            for number in (first..how.batches).step_by(usize::try_from(how.in_flight).unwrap()) {
                let partition = u32::try_from(number % u64::from(how.partitions)).unwrap();
                let produced = engine.produce(&topic, partition, copy(&batch)).await.unwrap();
                produced.await.unwrap();
            }
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended.unwrap();
    }
    started.elapsed()
}

/// What this process has in memory now, and had at most, in bytes.
///
/// # Panics
/// When the system does not say.
#[must_use]
pub fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    (kilobytes("VmRSS:") * 1024, kilobytes("VmHWM:") * 1024)
}

/// Makes the system forget what it keeps in memory of a folder's files, so that they are read from
/// the disk.
///
/// # Panics
/// When they can't be opened.
pub fn forget_cached(folder: &Path) {
    for path in files(folder) {
        let file = File::open(path).unwrap();
        // Only clean pages are forgotten.
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}

/// All files below a folder.
///
/// # Panics
/// When it can't be listed.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
