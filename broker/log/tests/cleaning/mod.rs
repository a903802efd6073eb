//! A log that is written, trimmed and cleaned, and what it must hold then.

#![allow(dead_code, reason = "each test file uses its part of the harness")]

pub(crate) mod cuts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use logmill_log::faulty::FaultyStorage;
use logmill_log::{
    Cleaned, Cleaner, Durability, Error, Job, Journal, Log, NewEntry, Opened, Policies, Settings,
    StoredBatch, Throttle, open,
};
use logmill_model::internal::SegmentsRecord;
use logmill_model::{
    Compression, Csn, Envelope, Offset, PartitionId, ProducerStamp, Record, RecordBatch, Timestamp,
    TopicId,
};

pub(crate) const SEGMENTS: PartitionId = PartitionId::SEGMENTS;

pub(crate) fn partition(index: u32) -> PartitionId {
    PartitionId::new(TopicId(16), index)
}

/// Small files, and nothing in memory, so that every read comes from a file.
pub(crate) fn settings() -> Settings {
    Settings {
        journal_file_bytes: 16 * 1024,
        reserve_bytes: 64 * 1024,
        tail_bytes: 0,
        checkpoint_after: Duration::from_secs(3600),
        segment_bytes: 256 * 1024,
        compaction_bytes: 1024 * 1024,
        tombstones_kept: Duration::from_secs(3600),
        ..Settings::default()
    }
}

pub(crate) fn record(key: Option<&str>, value: Option<&[u8]>) -> Record {
    Record {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: value.map(Bytes::copy_from_slice),
        ..Record::default()
    }
}

/// Bytes that look random and that anybody can compute again: they compress to no less.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let words = (0..=bytes as u64 / 8).flat_map(|n| mix(seed, n).to_le_bytes());
    words.take(bytes).collect()
}

pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

type KeyValue = (Option<Bytes>, Option<Bytes>);
type Records = BTreeMap<PartitionId, BTreeMap<Offset, KeyValue>>;

/// What is known to have happened, over all starts.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    /// What was acknowledged.
    written: Records,
    /// What was appended when the broker stopped, and its number.
    in_flight: Option<(Csn, Records)>,
    starts: BTreeMap<PartitionId, Offset>,
    pub(crate) compacted: BTreeSet<PartitionId>,
    pub(crate) now: u64,
    /// Up to where views have taken entries in; all of them, if nothing is said.
    pub(crate) views_csn: Option<Csn>,
}

/// A running log.
pub(crate) struct Broker {
    pub(crate) log: Log,
    pub(crate) cleaner: Cleaner,
    pub(crate) history: History,
    journal: Option<Journal>,
    next: Csn,
    ends: BTreeMap<PartitionId, Offset>,
}

/// The broker has stopped.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) String);

impl Broker {
    pub(crate) fn open(
        storage: &FaultyStorage,
        settings: Settings,
        history: History,
    ) -> Result<Self, Error> {
        let Opened { log, journal, cleaner, recovered } =
            open(Arc::new(storage.clone()), settings)?;
        let mut history = history;
        history.compacted.insert(SEGMENTS);
        history.now = history.now.max(1000);
        if let Some((csn, records)) = history.in_flight.take()
            && csn <= recovered.last_csn
        {
            history.acknowledged(records);
        }
        history.starts.iter().for_each(|(partition, start)| log.trim(*partition, *start));
        let ends = log.partitions().into_iter().map(|(partition, _, end)| (partition, end));
        let (journal, next, ends) = (Some(journal), recovered.last_csn.next(), ends.collect());
        Ok(Self { log, cleaner, history, journal, next, ends })
    }

    /// Appends one commit and waits until it is durable.
    pub(crate) fn append(&mut self, appends: &[(PartitionId, Vec<Record>)]) -> Result<(), Stopped> {
        self.append_as(None, appends)
    }

    pub(crate) fn append_as(
        &mut self,
        producer: Option<ProducerStamp>,
        appends: &[(PartitionId, Vec<Record>)],
    ) -> Result<(), Stopped> {
        self.history.now += 1;
        let (csn, time) = (self.next, Timestamp(self.history.now));
        let mut records = Records::new();
        let mut stored = Vec::new();
        for (partition, appended) in appends {
            let end = self.ends.entry(*partition).or_default();
            let batch = RecordBatch::of(appended).unwrap();
            let batch = match csn.0 % 4 {
                0 => batch.compress(Compression::Lz4),
                1 => batch.compress(Compression::Zstd),
                _ => batch,
            };
            for (record, offset) in appended.iter().zip(end.0..) {
                let record = (record.key.clone(), record.value.clone());
                records.entry(*partition).or_default().insert(Offset(offset), record);
            }
            let envelope = Envelope {
                base_offset: *end,
                append_ts: time,
                csn,
                producer,
                last_delta: batch.last_delta(),
                records: batch.record_count(),
                bytes: u32::try_from(batch.bytes().len()).unwrap(),
                crc: batch.crc(),
                rewritten: false,
                compression: batch.compression(),
                hops: 0,
            };
            *end = envelope.end_offset();
            stored.push(StoredBatch { partition: *partition, envelope, batch });
        }
        self.history.in_flight = Some((csn, records));
        self.next = csn.next();
        let (tell, told) = sync_channel(1);
        let done = Box::new(move |durability| tell.send(durability).unwrap());
        let _ =
            self.journal.as_mut().unwrap().append(NewEntry { csn, time, appends: stored }, done);
        match told.recv().unwrap() {
            Durability::Durable => {
                let (_, records) = self.history.in_flight.take().unwrap();
                self.history.acknowledged(records);
                Ok(())
            }
            Durability::Unknown => Err(Stopped("it is unknown".to_owned())),
        }
    }

    /// One record with a value of so many bytes, which tells where it belongs.
    pub(crate) fn append_value(&mut self, to: PartitionId, bytes: usize) -> Result<(), Stopped> {
        let value = noise(self.next.0, bytes);
        self.append(&[(to, vec![record(None, Some(&value))])])
    }

    /// Moves the start of a partition.
    pub(crate) fn trim(&mut self, partition: PartitionId, start: Offset) {
        self.log.trim(partition, start);
        self.history.starts.insert(partition, start);
    }

    pub(crate) fn trim_all(&mut self, partition: PartitionId) {
        self.trim(partition, self.ends[&partition]);
    }

    pub(crate) fn end(&self, partition: PartitionId) -> Offset {
        self.ends.get(&partition).copied().unwrap_or_default()
    }

    /// The next append to a partition begins here.
    pub(crate) fn go_on_at(&mut self, partition: PartitionId, end: Offset) {
        self.ends.insert(partition, end);
    }

    pub(crate) fn plan(&mut self) -> Option<Job> {
        let compacted = self.history.compacted.clone();
        self.cleaner.plan(&Policies {
            now: Timestamp(self.history.now),
            views_csn: self.history.views_csn.unwrap_or(Csn(u64::MAX)),
            is_compacted: &|partition| compacted.contains(&partition),
        })
    }

    /// Does one job; returns whether there was one.
    pub(crate) fn clean_once(&mut self) -> Result<bool, Stopped> {
        let Some(job) = self.plan() else { return Ok(false) };
        let cleaned = job.run(&Throttle::new(u64::MAX));
        let cleaned = cleaned.map_err(|error| Stopped(error.to_string()))?;
        self.commit(&cleaned)?;
        self.cleaner.install(cleaned);
        Ok(true)
    }

    /// Commits what makes a job count.
    pub(crate) fn commit(&mut self, cleaned: &Cleaned) -> Result<(), Stopped> {
        let records: Vec<Record> = cleaned.records().iter().map(SegmentsRecord::encode).collect();
        if records.is_empty() { Ok(()) } else { self.append(&[(SEGMENTS, records)]) }
    }

    /// Cleans until there is nothing to do; returns how many jobs there were.
    pub(crate) fn clean(&mut self) -> Result<usize, Stopped> {
        let mut jobs = 0;
        while self.clean_once()? {
            jobs += 1;
            assert!(jobs < 1000, "cleaning has no end");
        }
        Ok(jobs)
    }

    /// Stops as a crash does.
    pub(crate) fn stop(mut self) -> History {
        drop(self.journal.take());
        self.history
    }

    pub(crate) fn close(mut self) -> History {
        self.journal.take().unwrap().close().unwrap();
        self.history
    }

    /// Checks that each partition reads as it must, in parts of any size.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (partition, written) in &self.history.written {
            let start = self.history.starts.get(partition).copied().unwrap_or_default();
            if self.log.end_offset(*partition) != self.end(*partition) {
                return Err(format!("{partition} has another end"));
            }
            for bytes_max in [1, 5000, 1 << 20] {
                let found = read(&self.log, *partition, start, bytes_max)?;
                let expected = written.range(start..).map(|(offset, it)| (*offset, it.clone()));
                let compacted = self.history.compacted.contains(partition);
                check_partition(&found, &expected.collect(), compacted)
                    .map_err(|what| format!("{partition}, by {bytes_max}: {what}"))?;
            }
        }
        Ok(())
    }

    /// How many records of a partition there are to read.
    pub(crate) fn count(&self, partition: PartitionId) -> usize {
        let start = self.log.start_offset(partition);
        read(&self.log, partition, start, 1 << 20).unwrap().len()
    }

    pub(crate) fn found(&self, partition: PartitionId) -> BTreeMap<Offset, KeyValue> {
        read(&self.log, partition, self.log.start_offset(partition), 1 << 20).unwrap()
    }
}

impl History {
    fn acknowledged(&mut self, records: Records) {
        for (partition, records) in records {
            self.written.entry(partition).or_default().extend(records);
        }
    }
}

/// All records of a partition from `start` on: each offset once, and rising.
fn read(
    log: &Log,
    partition: PartitionId,
    start: Offset,
    bytes_max: usize,
) -> Result<BTreeMap<Offset, KeyValue>, String> {
    let mut found = BTreeMap::new();
    let mut next = start;
    loop {
        let batches = log.read(partition, next, bytes_max).map_err(|error| error.to_string())?;
        if batches.is_empty() {
            return Ok(found);
        }
        for StoredBatch { envelope, batch, .. } in batches {
            if envelope.end_offset() <= next {
                return Err(format!("a batch at {} where {next} was asked", envelope.base_offset));
            }
            for (delta, record) in batch.decompressed(1 << 21).unwrap().to_records() {
                let offset = RecordBatch::offset_at(envelope.base_offset, delta);
                if offset >= start && found.insert(offset, (record.key, record.value)).is_some() {
                    return Err(format!("offset {offset} is there twice"));
                }
            }
            next = envelope.end_offset();
        }
    }
}

fn check_partition(
    found: &BTreeMap<Offset, KeyValue>,
    expected: &BTreeMap<Offset, KeyValue>,
    compacted: bool,
) -> Result<(), String> {
    if let Some((offset, _)) = found.iter().find(|(offset, it)| expected.get(offset) != Some(it)) {
        return Err(format!("offset {offset} is not what was written"));
    }
    if !compacted {
        let lost = expected.keys().find(|offset| !found.contains_key(offset));
        return lost.map_or(Ok(()), |offset| Err(format!("offset {offset} is lost")));
    }
    let (state, expected) = (fold(found), fold(expected));
    match expected.iter().find(|(key, it)| state.get(*key) != Some(it)) {
        Some((key, it)) => Err(format!("{key:?} is {:?} and not {it:?}", state.get(key))),
        None if state.len() != expected.len() => Err("a deleted key is back".to_owned()),
        None => Ok(()),
    }
}

/// The last value of each key, and each record without one.
fn fold(records: &BTreeMap<Offset, KeyValue>) -> BTreeMap<(Option<Bytes>, u64), (Offset, Bytes)> {
    let mut state = BTreeMap::new();
    for (offset, (key, value)) in records {
        let id = (key.clone(), if key.is_none() { offset.0 } else { 0 });
        match value {
            Some(value) => state.insert(id, (*offset, value.clone())),
            None => state.remove(&id),
        };
    }
    state
}

/// The names of the files in a folder.
pub(crate) fn files_in(storage: &FaultyStorage, folder: &str, suffix: &str) -> Vec<String> {
    let paths = storage.paths();
    paths.into_iter().filter(|it| it.starts_with(folder) && it.ends_with(suffix)).collect()
}

pub(crate) fn bytes_on(storage: &FaultyStorage) -> usize {
    storage.paths().iter().map(|path| storage.contents(path).unwrap().len()).sum()
}
