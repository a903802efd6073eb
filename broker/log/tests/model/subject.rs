//! A real log on a faulty disk, to which operations are done, and which is compared with the
//! reference all the time.

use logmill_log::faulty::FaultyStorage;
use logmill_log::{Durability, Error, NewEntry, Settings, StoredBatch};
use logmill_model::{Offset, PartitionId, RecordBatch, Timestamp};

use super::operation::{CommitShape, Crash, Operation, PARTITIONS, Read};
use super::reference::{Complaint, Reference};
use crate::harness::{self, Running, mix, stored};

pub(crate) struct Subject {
    storage: FaultyStorage,
    settings: Settings,
    running: Running,
    reference: Reference,
    in_flight: u64,
    /// How it dies when what was planned for the disk comes to pass.
    planned: Option<Crash>,
}

/// The broker has met a failure that was planned.
struct Failed;

fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(harness::partition)
}

impl Subject {
    /// Does all of it to a new log on this disk, and then looks at what is there, stops in order,
    /// and looks again.
    pub(crate) fn run(storage: FaultyStorage, operations: &[Operation]) -> Result<(), Complaint> {
        let settings = harness::settings();
        let running = Running::open(&storage, settings.clone()).map_err(told)?;
        let reference = Reference::default();
        let mut it = Self { storage, settings, running, reference, in_flight: 0, planned: None };
        for (nth, operation) in operations.iter().enumerate() {
            it.apply(operation).map_err(|what| format!("at operation {nth}: {what}"))?;
        }
        it.close().and_then(|()| it.read_all()).map_err(|what| format!("at the end: {what}"))
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), Complaint> {
        match operation {
            Operation::Append(commits) => {
                commits.iter().for_each(|commit| self.append(commit));
                Ok(())
            }
            Operation::Settle => self.settle(),
            Operation::Read(read) => self.read(read),
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

    fn append(&mut self, CommitShape(shapes): &CommitShape) {
        let csn = self.reference.newest().next();
        let mut appends: Vec<StoredBatch> = Vec::new();
        for (shape, number) in shapes.iter().zip(mix(csn.0, 1)..) {
            let id = harness::partition(shape.partition);
            let before = appends.iter().rfind(|it| it.partition == id);
            let end = before.map(|it| it.envelope.end_offset());
            let records: Vec<_> = shape
                .records
                .iter()
                .zip(0..)
                .map(|(record, nth)| record.record(mix(number, nth)))
                .collect();
            let batch = RecordBatch::of(&records).unwrap();
            appends.push(stored(id, end.unwrap_or_else(|| self.reference.end(id)), csn, batch));
        }
        self.reference.append(csn, &appends);
        self.running.append_entry(NewEntry { csn, time: Timestamp(1000 + csn.0), appends });
        self.in_flight += 1;
    }

    /// Waits until all that is on its way was heard of; a failure that was planned is one to come
    /// back from.
    fn settle(&mut self) -> Result<(), Complaint> {
        match self.hear() {
            Ok(()) => Ok(()),
            Err(Failed) => {
                let crash = self.planned.clone().ok_or("it failed, though nothing did")?;
                self.crash(&crash)
            }
        }
    }

    fn hear(&mut self) -> Result<(), Failed> {
        let mut failed = false;
        for _ in 0..std::mem::take(&mut self.in_flight) {
            match self.running.told() {
                (csn, Durability::Durable) => {
                    assert!(!failed, "an ack after a failure");
                    self.reference.acknowledge(csn);
                }
                (_, Durability::Unknown) => failed = true,
            }
        }
        if failed { Err(Failed) } else { Ok(()) }
    }

    fn read(&mut self, read: &Read) -> Result<(), Complaint> {
        let id = harness::partition(read.partition);
        let (start, end) = (self.reference.start(id), self.reference.end(id));
        let from = Offset(start.0 + start.distance_to(end) * read.from / 1000);
        self.read_from(id, from, read.bytes_max).map(drop)
    }

    /// Reads once, from memory if it is there; returns where the next read begins.
    fn read_from(
        &mut self,
        id: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Offset, Complaint> {
        let log = &self.running.log;
        let batches = match log.read_tail(id, from, bytes_max) {
            Some(batches) => batches,
            None => log.read(id, from, bytes_max).or_else(|error| self.dead(error))?,
        };
        self.reference.see_read(id, from, &batches)?;
        Ok(batches.last().map_or(from, |batch| batch.envelope.end_offset()))
    }

    /// Who reads when the machine is dead reads nothing.
    fn dead(&self, error: Error) -> Result<Vec<StoredBatch>, Complaint> {
        if self.planned.is_some() && is_power_off(&error) {
            Ok(Vec::new())
        } else {
            Err(told(error))
        }
    }

    /// Everything is there, and reads in steps of any size.
    fn read_all(&mut self) -> Result<(), Complaint> {
        for id in partitions() {
            self.reference.see_end(id, self.running.log.end_offset(id), true)?;
            let end = self.reference.end(id);
            for bytes_max in [1, 3000, 1 << 20] {
                let mut next = self.reference.start(id);
                while next < end {
                    let after = self.read_from(id, next, bytes_max)?;
                    if after <= next {
                        return Err(format!("{id} has nothing at {next}"));
                    }
                    next = after;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Complaint> {
        self.settle()?;
        if let Err(error) = self.running.close() {
            let crash = self.planned.clone().ok_or_else(|| told(error))?;
            return self.crash(&crash);
        }
        self.storage.restart();
        self.planned = None;
        self.open()
    }

    fn crash(&mut self, crash: &Crash) -> Result<(), Complaint> {
        self.running.drop_journal();
        // What was acknowledged before the end was.
        let _ = self.hear();
        for id in partitions() {
            self.reference.see_end(id, self.running.log.end_offset(id), false)?;
        }
        self.planned = None;
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

    fn open(&mut self) -> Result<(), Complaint> {
        self.running = Running::open(&self.storage, self.settings.clone()).map_err(told)?;
        self.reference.recover(self.running.recovered.last_csn)?;
        self.read_all()
    }
}

fn told(error: Error) -> Complaint {
    error.to_string()
}

fn is_power_off(error: &Error) -> bool {
    error.to_string().contains("the power is off")
}
