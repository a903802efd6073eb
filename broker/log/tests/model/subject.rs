//! A real log on a faulty disk, to which operations are done as the engine does them, and which is
//! compared with the reference all the time.

use std::time::Duration;

use logmill_log::faulty::FaultyStorage;
use logmill_log::{
    Cleaned, Durability, Error, NewEntry, Policies, Settings, StoredBatch, Throttle,
};
use logmill_model::internal::{SegmentsRecord, StartRecord};
use logmill_model::{
    Compression, Csn, Offset, PartitionId, Record, RecordBatch, Timestamp, TopicId,
};

use super::operation::{CommitShape, Crash, Operation, PARTITIONS, Read, Views};
use super::reference::{Cleaning, Complaint, Reference};
use crate::harness::{self, Running, mix, stored};

/// How long tombstones stay, in milliseconds; a commit takes one.
const TOMBSTONES_KEPT: u64 = 30;
/// The one of the partitions that is compacted.
const COMPACTED: u32 = PARTITIONS - 1;

pub(crate) struct Subject {
    storage: FaultyStorage,
    settings: Settings,
    running: Running,
    reference: Reference,
    in_flight: u64,
    /// A job of the cleaner that does not count yet.
    prepared: Option<Cleaned>,
    /// How it dies when what was planned for the disk comes to pass.
    planned: Option<Crash>,
}

/// Whether the broker is still the one that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broker {
    Same,
    StartedAgain,
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 128 * 1024,
        compaction_bytes: 1024 * 1024,
        tombstones_kept: Duration::from_millis(TOMBSTONES_KEPT),
        ..harness::settings()
    }
}

fn time_of(csn: Csn) -> Timestamp {
    Timestamp(1000 + csn.0)
}

impl Subject {
    /// Does all of it to a new log on this disk, and then looks at what is there, stops in order,
    /// and looks again.
    pub(crate) fn run(storage: FaultyStorage, operations: &[Operation]) -> Result<(), Complaint> {
        let settings = settings();
        let running = Running::open(&storage, settings.clone()).map_err(told)?;
        let mut reference = Reference::default();
        reference.compact(PartitionId::CATALOG);
        reference.compact(PartitionId::SEGMENTS);
        let (prepared, planned) = (None, None);
        let mut it =
            Self { storage, settings, running, reference, in_flight: 0, prepared, planned };
        for (nth, operation) in operations.iter().enumerate() {
            it.apply(operation).map_err(|what| format!("at operation {nth}: {what}"))?;
        }
        let end = it.settle().and_then(|_| {
            // Where the disk is about to die, or dead, only a start tells.
            if it.planned.is_none() { it.read_all() } else { Ok(()) }
        });
        end.and_then(|()| it.close()).map_err(|what| format!("at the end: {what}"))
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), Complaint> {
        match operation {
            Operation::Append(commits) => {
                commits.iter().for_each(|commit| self.append(commit));
                Ok(())
            }
            Operation::Settle => self.settle().map(drop),
            Operation::Read(read) => self.read(read),
            Operation::Trim { partition, to } => self.trim(*partition, *to),
            Operation::Forget { partition } => self.forget(*partition),
            Operation::Clean { jobs, views } => self.clean(*jobs, *views),
            Operation::Prepare(views) => self.prepare(*views),
            Operation::Install => self.install().map(drop),
            Operation::Discard => {
                let prepared = self.prepared.take();
                prepared.into_iter().for_each(|it| self.running.cleaner.discard(it));
                Ok(())
            }
            Operation::Close => self.close(),
            Operation::Crash(crash) => self.crash(crash),
            Operation::DieAt { operation, crash } => {
                self.storage.stop_at_operation(*operation, crash.seed);
                self.planned = Some(crash.clone());
                Ok(())
            }
            Operation::FailSync { sync, crash } => {
                self.storage.fail_sync(*sync);
                self.planned = Some(crash.clone());
                Ok(())
            }
        }
    }

    /// The partition of this number: that of the newest topic of its name.
    fn partition(&mut self, index: u32) -> PartitionId {
        let ids = (16..).map(|topic| PartitionId::new(TopicId(topic), index));
        let id = ids.into_iter().find(|id| !self.reference.is_forgotten(*id)).unwrap();
        if index == COMPACTED {
            self.reference.compact(id);
        }
        id
    }

    fn append(&mut self, CommitShape(shapes): &CommitShape) {
        let csn = self.reference.newest().next();
        let mut appends = Vec::new();
        for (shape, number) in shapes.iter().zip(mix(csn.0, 1)..) {
            let records = shape.records.iter().zip(0..);
            let records = records.map(|(record, nth)| record.record(mix(number, nth)));
            appends.push((self.partition(shape.partition), records.collect()));
        }
        self.commit(appends);
    }

    /// Sends a commit on its way.
    fn commit(&mut self, appends: Vec<(PartitionId, Vec<Record>)>) {
        let csn = self.reference.newest().next();
        let mut batches: Vec<StoredBatch> = Vec::new();
        for (id, records) in appends {
            let before = batches.iter().rfind(|it| it.partition == id);
            let end = before.map(|it| it.envelope.end_offset());
            let end = end.unwrap_or_else(|| self.reference.end(id));
            let compression = match csn.0 % 4 {
                0 => Compression::Lz4,
                1 => Compression::Zstd,
                _ => Compression::None,
            };
            let batch = RecordBatch::of(&records).unwrap().compress(compression);
            batches.push(stored(id, end, csn, batch));
        }
        self.reference.append(csn, &batches);
        self.running.append_entry(NewEntry { csn, time: time_of(csn), appends: batches });
        self.in_flight += 1;
    }

    /// Waits until all that is on its way was heard of; a failure that was planned is one to come
    /// back from.
    fn settle(&mut self) -> Result<Broker, Complaint> {
        if self.hear() {
            return Ok(Broker::Same);
        }
        self.die("an entry is unknown, though nothing failed".to_owned())
    }

    /// Dies as it was planned to.
    fn die(&mut self, why: Complaint) -> Result<Broker, Complaint> {
        let crash = self.planned.clone().ok_or(why)?;
        self.crash(&crash)?;
        Ok(Broker::StartedAgain)
    }

    /// Hears of all that is on its way; false when some of it is unknown.
    fn hear(&mut self) -> bool {
        let mut all_durable = true;
        for _ in 0..std::mem::take(&mut self.in_flight) {
            match self.running.told() {
                (csn, Durability::Durable) => {
                    assert!(all_durable, "an ack after a failure");
                    self.reference.acknowledge(csn);
                }
                (_, Durability::Unknown) => all_durable = false,
            }
        }
        all_durable
    }

    fn trim(&mut self, index: u32, to: u64) -> Result<(), Complaint> {
        let id = self.partition(index);
        if self.settle()? == Broker::StartedAgain {
            return Ok(());
        }
        let (start, end) = (self.reference.start(id), self.reference.end(id));
        let start = StartRecord { offset: Offset(start.0 + start.distance_to(end) * to / 1000) };
        let record = SegmentsRecord::Start(id, Some(start)).encode();
        self.commit(vec![(PartitionId::SEGMENTS, vec![record])]);
        self.reference.trim(id, start.offset);
        if self.settle()? == Broker::Same {
            self.running.log.trim(id, start.offset);
        }
        Ok(())
    }

    fn forget(&mut self, index: u32) -> Result<(), Complaint> {
        let id = self.partition(index);
        let key = id.topic.0.to_le_bytes().into_iter().chain(id.index.to_le_bytes());
        let deleted = Record { key: Some(key.collect()), ..Record::default() };
        let deleted = Record { value: Some("deleted".into()), ..deleted };
        let no_start = SegmentsRecord::Start(id, None).encode();
        self.commit(vec![
            (PartitionId::CATALOG, vec![deleted]),
            (PartitionId::SEGMENTS, vec![no_start]),
        ]);
        self.reference.forget(id);
        if self.settle()? == Broker::Same {
            self.running.log.forget(id);
        }
        Ok(())
    }

    fn clean(&mut self, jobs: u32, views: Views) -> Result<(), Complaint> {
        if self.install()? == Broker::StartedAgain {
            return Ok(());
        }
        for _ in 0..jobs {
            self.prepare(views)?;
            if self.prepared.is_none() || self.install()? == Broker::StartedAgain {
                break;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, views: Views) -> Result<(), Complaint> {
        if self.prepared.is_some() {
            return Ok(());
        }
        let durable = self.running.log.durable_csn();
        let now = time_of(durable);
        let views = Csn(durable.0.saturating_sub(views.behind));
        let tombstones = Timestamp(now.0.saturating_sub(TOMBSTONES_KEPT));
        self.reference.clean(Cleaning { tombstones, views });
        let reference = &self.reference;
        let is_compacted = |id| reference.is_compacted(id);
        let policies = Policies { now, views_csn: views, is_compacted: &is_compacted };
        let Some(job) = self.running.cleaner.plan(&policies) else { return Ok(()) };
        match job.run(&Throttle::new(u64::MAX)) {
            Ok(cleaned) => self.prepared = Some(cleaned),
            Err(error @ Error::Sync { .. }) => return self.die(told(error)).map(drop),
            Err(error) if self.planned.is_some() && is_power_off(&error) => {}
            Err(error) => return Err(told(error)),
        }
        Ok(())
    }

    fn install(&mut self) -> Result<Broker, Complaint> {
        let Some(cleaned) = self.prepared.take() else { return Ok(Broker::Same) };
        let records: Vec<Record> = cleaned.records().iter().map(SegmentsRecord::encode).collect();
        if !records.is_empty() {
            self.commit(vec![(PartitionId::SEGMENTS, records)]);
        }
        let broker = self.settle()?;
        if broker == Broker::Same {
            self.running.cleaner.install(cleaned);
        }
        Ok(broker)
    }

    fn read(&mut self, read: &Read) -> Result<(), Complaint> {
        let id = self.partition(read.partition);
        let (start, end) = (self.reference.start(id), self.reference.end(id));
        let from = Offset(start.0 + start.distance_to(end) * read.from / 1000);
        let from = from.max(self.running.log.start_offset(id));
        self.read_from(id, from, read.bytes_max).map(drop)
    }

    /// Reads once, from memory if it is there; returns where the next read begins, if anything was
    /// read.
    fn read_from(
        &mut self,
        id: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Option<Offset>, Complaint> {
        let log = &self.running.log;
        let batches = match log.read_tail(id, from, bytes_max) {
            Some(batches) => batches,
            None => log.read(id, from, bytes_max).or_else(|error| self.dead(error))?,
        };
        let next = self.reference.see_read(id, from, &batches);
        let next = next.map_err(|what| format!("{id} from {from}, by {bytes_max}: {what}"))?;
        Ok((!batches.is_empty()).then_some(next))
    }

    /// Who reads when the machine is dead reads nothing.
    fn dead(&self, error: Error) -> Result<Vec<StoredBatch>, Complaint> {
        if self.planned.is_some() && is_power_off(&error) {
            Ok(Vec::new())
        } else {
            Err(told(error))
        }
    }

    fn see_ends(&mut self, settled: bool) -> Result<(), Complaint> {
        for (id, start, end) in self.running.log.partitions() {
            let seen = self.reference.see_ends(id, (start, end), settled);
            seen.map_err(|what| format!("{id}: {what}"))?;
        }
        Ok(())
    }

    /// Everything is there, and reads in steps of any size.
    fn read_all(&mut self) -> Result<(), Complaint> {
        if let Some(hole) = self.running.log.corrupt().first() {
            return Err(format!("it takes this for corrupt: {hole:?}"));
        }
        self.see_ends(true)?;
        for id in self.reference.partitions() {
            let (start, end) = (self.reference.start(id), self.reference.end(id));
            let log = &self.running.log;
            if log.end_offset(id) != end {
                return Err(format!("{id} ends at {}, not at {end}", log.end_offset(id)));
            }
            if let Some(below) = start.0.checked_sub(1)
                && !matches!(log.read(id, Offset(below), 1), Err(Error::OutOfRange { .. }))
            {
                return Err(format!("{id} reads at {below}, but starts at {start}"));
            }
            for bytes_max in [1, 3000, 1 << 20] {
                let mut next = self.running.log.start_offset(id);
                while let Some(after) = self.read_from(id, next, bytes_max)? {
                    next = after;
                }
                let seen = self.reference.see_all(id, next);
                seen.map_err(|what| format!("{id}, by {bytes_max}: {what}"))?;
            }
            self.look_up(id)?;
        }
        Ok(())
    }

    /// Looks up times and sizes in a partition.
    fn look_up(&self, id: PartitionId) -> Result<(), Complaint> {
        let (log, reference) = (&self.running.log, &self.reference);
        for back in [0, 1, 5, 50, 500] {
            let time = time_of(Csn(reference.newest().0.saturating_sub(back)));
            let found = log.offset_at(id, time).map_err(told)?;
            if reference.offset_at(id, time).is_some_and(|expected| expected != found) {
                return Err(format!("{id} is at {found} at {time}"));
            }
        }
        for bytes in [1, 3000, 30_000] {
            let (from, start) = (log.retained_from(id, bytes), log.start_offset(id));
            let is_too_far = !reference.is_compacted(id) && reference.bytes_from(id, from) < bytes;
            if from < start || from > start && is_too_far {
                return Err(format!("{id} from {from} on has less than {bytes} bytes"));
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Complaint> {
        self.settle()?;
        self.prepared = None;
        if let Err(error) = self.running.close() {
            return self.die(told(error)).map(drop);
        }
        self.storage.restart();
        self.planned = None;
        self.open()
    }

    fn crash(&mut self, crash: &Crash) -> Result<(), Complaint> {
        self.running.drop_journal();
        // What was acknowledged before the end was.
        self.hear();
        self.see_ends(false)?;
        (self.planned, self.prepared) = (None, None);
        self.end_of(crash, 0);
        for (at, nth) in crash.starts_cut_at.iter().zip(1..) {
            self.storage.stop_at_operation(*at, mix(crash.seed, nth));
            match Running::open(&self.storage, self.settings.clone()) {
                Ok(running) => {
                    self.running = running;
                    self.reference.recover(self.running.recovered.last_csn)?;
                    self.running.drop_journal();
                }
                Err(error) if is_power_off(&error) => {}
                Err(error) => return Err(format!("start {nth}: {error}")),
            }
            self.end_of(crash, nth);
        }
        self.open()
    }

    fn end_of(&self, crash: &Crash, nth: u64) {
        if crash.power {
            self.storage.power_cut(mix(crash.seed, 100 + nth));
        } else {
            self.storage.restart();
        }
    }

    /// Starts, and learns again from the internal topics what the log does not know by itself.
    fn open(&mut self) -> Result<(), Complaint> {
        self.running = Running::open(&self.storage, self.settings.clone()).map_err(told)?;
        self.reference.recover(self.running.recovered.last_csn)?;
        for record in self.internal(PartitionId::SEGMENTS)? {
            let decoded = SegmentsRecord::decode(record.key.as_deref(), record.value.as_deref());
            if let SegmentsRecord::Start(id, Some(start)) = decoded.map_err(|it| it.to_string())? {
                self.running.log.trim(id, start.offset);
            }
        }
        for record in self.internal(PartitionId::CATALOG)? {
            let key = record.key.unwrap();
            let topic = TopicId(u64::from_le_bytes(key[..8].try_into().unwrap()));
            let index = u32::from_le_bytes(key[8..].try_into().unwrap());
            self.running.log.forget(PartitionId::new(topic, index));
        }
        self.read_all()
    }

    fn internal(&mut self, id: PartitionId) -> Result<Vec<Record>, Complaint> {
        let (log, mut records) = (&self.running.log, Vec::new());
        let mut next = log.start_offset(id);
        loop {
            let batches = log.read(id, next, 1 << 20).map_err(told)?;
            let Some(last) = batches.last() else { return Ok(records) };
            next = last.envelope.end_offset();
            for batch in &batches {
                let plain = batch.batch.decompressed(1 << 21).map_err(|it| it.to_string())?;
                records.extend(plain.to_records().map(|(_, record)| record));
            }
        }
    }
}

fn told(error: Error) -> Complaint {
    error.to_string()
}

fn is_power_off(error: &Error) -> bool {
    error.to_string().contains("the power is off")
}
