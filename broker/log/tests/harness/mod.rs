//! A history of commits that can be made, cut off anywhere, and checked against what came back.

#![allow(dead_code, reason = "each test file uses its part of the harness")]

pub(crate) mod backups;
pub(crate) mod power_cuts;
pub(crate) mod recovery_cuts;
pub(crate) mod rot;
pub(crate) mod survivors;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::Storage;
use logmill_log::{
    Cleaner, Durability, Error, Journal, Known, Log, NewEntry, Opened, Recovered, Settings,
    StoredBatch, open_knowing,
};
use logmill_model::{Csn, Envelope, Offset, PartitionId, Record, RecordBatch, Timestamp, TopicId};

/// How many partitions a history writes to.
const PARTITIONS: u32 = 5;
const DEADLINE: Duration = Duration::from_secs(60);

/// The seeds of a run: at least this many, and as many as fit into `LOGMILL_SOAK` seconds when that
/// is set; always the same ones.
pub(crate) fn seeds(least: u64) -> impl Iterator<Item = u64> {
    let seconds = std::env::var("LOGMILL_SOAK")
        .map_or(0, |seconds| seconds.parse().expect("LOGMILL_SOAK is a number of seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    (0..).take_while(move |seed| *seed < least || Instant::now() < end)
}

/// Waits until something that other threads do has happened.
pub(crate) fn wait_until(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !happened() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::yield_now();
    }
}

pub(crate) fn partition(index: u32) -> PartitionId {
    PartitionId::new(TopicId(16), index)
}

pub(crate) fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(partition)
}

/// Small files, so that histories roll over; no checkpoints, so that syncs can be counted.
pub(crate) fn settings() -> Settings {
    Settings {
        journal_file_bytes: 16 * 1024,
        reserve_bytes: 32 * 1024,
        tail_bytes: 8 * 1024,
        checkpoint_after: Duration::from_secs(3600),
        ..Settings::default()
    }
}

/// A number that looks random and that anybody can compute again.
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The values that commit `csn` appends, with their partitions: a function of its number.
pub(crate) fn values(csn: Csn) -> Vec<(PartitionId, Vec<Vec<u8>>)> {
    let random = mix(77, csn.0);
    let appends = 1 + random % 3;
    (0..appends)
        .map(|append| {
            let random = mix(csn.0, append);
            let records = 1 + random % 4;
            let value = |record| {
                let length = match mix(random, record) % 20 {
                    0 => 5000,
                    n => n * 13,
                };
                let byte = u8::try_from(mix(csn.0, record) % 251).unwrap();
                vec![byte; usize::try_from(length).unwrap()]
            };
            let index = u32::try_from(random / 7 % u64::from(PARTITIONS)).unwrap();
            (partition(index), (0..records).map(value).collect())
        })
        .collect()
}

pub(crate) fn batch(values: &[Vec<u8>]) -> RecordBatch {
    let records: Vec<Record> = values
        .iter()
        .map(|value| Record { value: Some(value.clone().into()), ..Record::default() })
        .collect();
    RecordBatch::of(&records).unwrap()
}

pub(crate) fn stored(
    partition: PartitionId,
    base: Offset,
    csn: Csn,
    batch: RecordBatch,
) -> StoredBatch {
    let envelope = Envelope {
        base_offset: base,
        append_ts: Timestamp(1000 + csn.0),
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
    StoredBatch { partition, envelope, batch }
}

/// Where each partition ends.
pub(crate) type Ends = BTreeMap<PartitionId, Offset>;

/// Commit `csn` after partitions that end at `ends`, which it moves.
pub(crate) fn entry(csn: Csn, ends: &mut Ends) -> NewEntry {
    let appends = values(csn)
        .into_iter()
        .map(|(partition, values)| {
            let end = ends.entry(partition).or_default();
            let stored = stored(partition, *end, csn, batch(&values));
            *end = stored.envelope.end_offset();
            stored
        })
        .collect();
    NewEntry { csn, time: Timestamp(1000 + csn.0), appends }
}

/// The batches of each partition after commits 1 to `last`, and where they end.
fn expected(last: Csn) -> (BTreeMap<PartitionId, Vec<StoredBatch>>, Ends) {
    let mut batches: BTreeMap<PartitionId, Vec<StoredBatch>> = BTreeMap::new();
    let mut ends = Ends::new();
    for csn in 1..=last.0 {
        for stored in entry(Csn(csn), &mut ends).appends {
            batches.entry(stored.partition).or_default().push(stored);
        }
    }
    (batches, ends)
}

/// A running log, and what it has told so far.
pub(crate) struct Running {
    pub(crate) log: Log,
    pub(crate) journal: Option<Journal>,
    pub(crate) cleaner: Cleaner,
    pub(crate) recovered: Recovered,
    pub(crate) ends: Ends,
    pub(crate) next: Csn,
    tell: SyncSender<(Csn, Durability)>,
    told: Receiver<(Csn, Durability)>,
    /// What readers were shown at the moment of an ack.
    seen: Arc<Mutex<Ends>>,
}

impl Running {
    pub(crate) fn open(storage: &FaultyStorage, settings: Settings) -> Result<Self, Error> {
        Self::open_on(Arc::new(storage.clone()), settings)
    }

    pub(crate) fn open_on(storage: Arc<dyn Storage>, settings: Settings) -> Result<Self, Error> {
        Self::open_knowing(storage, settings, &Known::default())
    }

    pub(crate) fn open_knowing(
        storage: Arc<dyn Storage>,
        settings: Settings,
        known: &Known,
    ) -> Result<Self, Error> {
        let opened = open_knowing(storage, settings, known)?;
        let Opened { log, journal, cleaner, recovered } = opened;
        partitions().for_each(|partition| log.expect(partition));
        let ends = log.partitions().into_iter().map(|(partition, _, end)| (partition, end));
        let ends = ends.collect();
        let next = recovered.last_csn.next();
        let (tell, told) = sync_channel(100_000);
        let (journal, seen) = (Some(journal), Arc::default());
        Ok(Self { log, journal, cleaner, recovered, ends, next, tell, told, seen })
    }

    /// Appends the next commit; it is not durable yet.
    pub(crate) fn append(&mut self) {
        let entry = entry(self.next, &mut self.ends);
        self.append_entry(entry);
    }

    /// Appends this commit; it is not durable yet.
    pub(crate) fn append_entry(&mut self, entry: NewEntry) {
        let csn = entry.csn;
        let touched: Vec<PartitionId> = entry.appends.iter().map(|a| a.partition).collect();
        let (tell, log, seen) = (self.tell.clone(), self.log.clone(), Arc::clone(&self.seen));
        let done = Box::new(move |durability| {
            if durability == Durability::Durable {
                let mut seen = seen.lock().unwrap();
                for partition in touched {
                    seen.insert(partition, log.end_offset(partition));
                }
            }
            tell.send((csn, durability)).unwrap();
        });
        // A stopped journal tells the completion as well.
        let _ = self.journal.as_mut().unwrap().append(entry, done);
        self.next = csn.next();
    }

    pub(crate) fn told(&self) -> (Csn, Durability) {
        self.told.recv_timeout(DEADLINE).expect("every entry is told of")
    }

    /// Appends `commits`, at most `window` in flight; returns those that were acknowledged. Stops
    /// at the first that was not.
    pub(crate) fn run(&mut self, commits: u64, window: u64) -> Vec<Csn> {
        let mut acked = Vec::new();
        let (mut sent, mut heard) = (0, 0);
        while heard < commits {
            while sent < commits && sent - heard < window {
                self.append();
                sent += 1;
            }
            let (csn, durability) = self.told();
            heard += 1;
            match durability {
                Durability::Durable => acked.push(csn),
                Durability::Unknown => {
                    for _ in heard..sent {
                        let told = self.told();
                        assert_eq!(told.1, Durability::Unknown, "an ack after a failure");
                    }
                    return acked;
                }
            }
        }
        acked
    }

    pub(crate) fn seen(&self) -> Ends {
        self.seen.lock().unwrap().clone()
    }

    /// Stops as a crash does.
    pub(crate) fn drop_journal(&mut self) {
        drop(self.journal.take());
    }

    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.journal.take().unwrap().close()
    }

    /// Checks that the log holds commits 1 to its last one, unaltered, and that its partitions read
    /// so: densely, in parts of any size.
    pub(crate) fn check(&self) -> Result<(), String> {
        let last = self.recovered.last_csn;
        if last > Csn(0) && self.recovered.last_time != Timestamp(1000 + last.0) {
            return Err(format!("entry {last} is the last, but {:?}", self.recovered));
        }
        self.check_reads(last)
    }

    /// Checks that what is read is commits 1 to `last`, densely, and in parts of any size.
    pub(crate) fn check_reads(&self, last: Csn) -> Result<(), String> {
        let ends = expected(last).1;
        let found = self.log.partitions().into_iter().map(|(partition, _, end)| (partition, end));
        if found.clone().ne(ends.clone()) {
            return Err(format!("{:?} where there should be {ends:?}", found.collect::<Vec<_>>()));
        }
        self.check_what_is_read(last).map_err(|error| error.to_string())
    }

    /// Checks that each partition either reads as commits 1 to `last` made it, or reads so up to a
    /// failure; returns the first of those.
    pub(crate) fn check_what_is_read(&self, last: Csn) -> Result<(), Error> {
        let mut failed = Ok(());
        for (partition, expected) in expected(last).0 {
            for bytes_max in [1, 3000, 1 << 20] {
                let (read, result) = self.read_all(partition, bytes_max);
                failed = failed.and_then(|()| result.clone());
                let expected = &expected[..read.len().min(expected.len())];
                assert!(read == expected, "{partition} is altered, read by {bytes_max}");
            }
        }
        failed
    }

    /// The batches of a partition, read in parts of at most `bytes_max`, up to the end or a failure.
    pub(crate) fn read_all(
        &self,
        partition: PartitionId,
        bytes_max: usize,
    ) -> (Vec<StoredBatch>, Result<(), Error>) {
        let (mut all, mut next) = (Vec::new(), self.log.start_offset(partition));
        while next < self.log.end_offset(partition) {
            let batches = match self.log.read(partition, next, bytes_max) {
                Ok(batches) => batches,
                Err(error) => return (all, Err(error)),
            };
            let bytes: usize = batches.iter().map(StoredBatch::bytes).sum();
            assert!(!batches.is_empty() && (batches.len() == 1 || bytes <= bytes_max));
            next = batches.last().unwrap().envelope.end_offset();
            all.extend(batches);
        }
        (all, Ok(()))
    }

    /// Checks as [`check`](Self::check), and that nothing acknowledged or seen is gone.
    pub(crate) fn check_against(&self, acked: &[Csn], seen: &Ends) -> Result<(), String> {
        self.check()?;
        if let Some(last) = acked.last()
            && *last > self.recovered.last_csn
        {
            return Err(format!(
                "entry {last} was acknowledged, but {} is the last",
                self.recovered.last_csn
            ));
        }
        for (partition, end) in seen {
            if self.log.end_offset(*partition) < *end {
                return Err(format!("{partition} was seen up to {end}"));
            }
        }
        Ok(())
    }
}

/// All files of a storage.
pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

pub(crate) fn snapshot(storage: &FaultyStorage) -> Snapshot {
    let contents = |path: String| {
        let bytes = storage.contents(&path).unwrap();
        (path, bytes)
    };
    storage.paths().into_iter().map(contents).collect()
}

/// A storage that holds these files, durably.
pub(crate) fn restored(snapshot: &Snapshot) -> FaultyStorage {
    let storage = FaultyStorage::new();
    for (path, bytes) in snapshot {
        storage.set_contents(path, bytes);
    }
    storage
}

/// The path of the newest journal file.
pub(crate) fn newest_file(snapshot: &Snapshot) -> String {
    let epoch = |path: &&String| path.rsplit_once('-').map(|(_, epoch)| epoch.to_owned());
    let files = snapshot.keys().filter(|path| is_journal(path));
    files.max_by_key(|path| (epoch(path), (*path).clone())).unwrap().clone()
}

pub(crate) fn is_journal(path: &str) -> bool {
    path.ends_with(".journal")
}

pub(crate) fn is_index(path: &str) -> bool {
    path.ends_with(".index")
}

/// The same without the indexes.
pub(crate) fn without_indexes(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.retain(|path, _| !is_index(path));
    snapshot
}

/// Where each entry, mark or not, begins in a journal file, and its CSN; then the file's written
/// end.
pub(crate) fn entries_of(file: &[u8]) -> (Vec<(usize, Csn)>, usize) {
    let mut entries = Vec::new();
    let mut at = 4096;
    while file.len() >= at + 64 && &file[at..at + 4] == b"LMEN" {
        let length = u32::from_le_bytes(file[at + 16..at + 20].try_into().unwrap());
        if length < 64 {
            break;
        }
        let csn = u64::from_le_bytes(file[at + 24..at + 32].try_into().unwrap());
        entries.push((at, Csn(csn)));
        at += usize::try_from(length).unwrap();
    }
    (entries, at)
}
