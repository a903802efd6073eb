//! What a log must do, without a disk: the commits that were appended, those of them that must be
//! there, and what a reader may be given. It knows nothing of files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;
use logmill_log::StoredBatch;
use logmill_model::{Csn, Offset, PartitionId, Record, RecordBatch, Timestamp, limits};

/// A complaint, for a person.
pub(crate) type Complaint = String;

/// What was appended, and what of it is certain.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    partitions: BTreeMap<PartitionId, Partition>,
    /// Partitions whose topics were deleted, and by which commit.
    forgotten: BTreeMap<PartitionId, Csn>,
    /// The newest commit that was appended.
    newest: Csn,
    /// The newest one that must be there: it was acknowledged, read, or there after a start.
    certain: Csn,
    /// Every cleaning that was begun.
    cleanings: Vec<Cleaning>,
}

/// What a cleaning may take from compacted partitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cleaning {
    /// Tombstones of this time and before.
    pub(crate) tombstones: Timestamp,
    /// Anything of this commit and before.
    pub(crate) views: Csn,
}

#[derive(Debug, Default)]
struct Partition {
    compacted: bool,
    /// All that was appended, in order.
    batches: Vec<StoredBatch>,
    /// Where it was told to start, and by which commit.
    starts: Vec<(Csn, Offset)>,
    /// The highest end that anybody was told.
    seen_end: Offset,
    /// What a reader has missed, since compaction took it.
    gone: BTreeSet<Offset>,
    /// The newest offset of each key.
    newest: HashMap<Bytes, Offset>,
}

/// The records of a batch, at their offsets.
fn records(batch: &StoredBatch) -> Vec<(Offset, Record)> {
    let plain = batch.batch.decompressed(limits::BATCH_BYTES_MAX).expect("it was made here");
    let base = batch.envelope.base_offset;
    plain.to_records().map(|(delta, it)| (RecordBatch::offset_at(base, delta), it)).collect()
}

impl Partition {
    fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |batch| batch.envelope.end_offset())
    }

    fn start(&self, certain: Csn) -> Offset {
        let starts = self.starts.iter().filter(|(csn, _)| *csn <= certain);
        starts.map(|(_, start)| *start).max().unwrap_or_default()
    }

    fn index_keys(&mut self) {
        let records = self.batches.iter().flat_map(records);
        self.newest = records.filter_map(|(at, record)| Some((record.key?, at))).collect();
    }

    fn find(&self, base: Offset) -> Option<&StoredBatch> {
        let at = self.batches.binary_search_by_key(&base, |it| it.envelope.base_offset).ok()?;
        Some(&self.batches[at])
    }

    /// Whether compaction may take a record.
    fn may_go(&self, at: Offset, record: &Record, batch: &StoredBatch, all: &[Cleaning]) -> bool {
        let Some(key) = record.key.as_ref().filter(|_| self.compacted) else { return false };
        let is_superseded = self.newest.get(key).is_some_and(|newest| *newest > at);
        let (csn, time) = (batch.envelope.csn, batch.envelope.append_ts);
        let has_served = |it: &Cleaning| record.value.is_none() && time <= it.tombstones;
        all.iter().any(|it| csn <= it.views && (is_superseded || has_served(it)))
    }

    /// A reader has missed all that lies here.
    fn miss(&mut self, range: Range<Offset>, cleanings: &[Cleaning]) -> Result<(), Complaint> {
        let first = self.batches.partition_point(|it| it.envelope.end_offset() <= range.start);
        let mut gone = Vec::new();
        for batch in
            self.batches[first..].iter().take_while(|it| it.envelope.base_offset < range.end)
        {
            for (at, record) in records(batch).iter().filter(|(at, _)| range.contains(at)) {
                if !self.may_go(*at, record, batch, cleanings) {
                    return Err(format!("offset {at} is lost"));
                }
                gone.push(*at);
            }
        }
        self.gone.extend(gone);
        Ok(())
    }

    /// A reader was given this batch.
    fn get(&mut self, read: &StoredBatch, cleanings: &[Cleaning]) -> Result<(), Complaint> {
        let base = read.envelope.base_offset;
        let known = self.find(base).ok_or_else(|| format!("the batch at {base} is nobody's"))?;
        let mut missed = Vec::new();
        if known != read {
            let envelope = known.envelope.around(&read.batch);
            if !self.compacted || read.envelope != envelope {
                return Err(format!("the batch at {base} is altered"));
            }
            let there: BTreeMap<Offset, Record> = records(read).into_iter().collect();
            let known = records(known);
            if there.iter().any(|(at, it)| !known.contains(&(*at, it.clone()))) {
                return Err(format!("a record of the batch at {base} is altered"));
            }
            missed.extend(known.iter().map(|(at, _)| *at).filter(|at| !there.contains_key(at)));
        }
        for at in missed {
            self.miss(at..at.next(), cleanings)?;
        }
        match records(read).iter().find(|(at, _)| self.gone.contains(at)) {
            Some((at, _)) => Err(format!("offset {at} was gone, and is back")),
            None => Ok(()),
        }
    }

    /// No reader from the start on holds a value for deleted that is gone but for a tombstone.
    fn check_deleted(&self, start: Offset) -> Result<(), Complaint> {
        let mut last_there = HashMap::new();
        let all = self.batches.iter().flat_map(records).filter(|(at, _)| *at >= start);
        for (at, record) in all.filter(|(at, _)| !self.gone.contains(at)) {
            if let Some(key) = record.key {
                last_there.insert(key, (at, record.value.is_some()));
            }
        }
        let is_back = |(key, (at, is_value)): &(&Bytes, &(Offset, bool))| {
            *is_value && self.newest.get(*key) != Some(at)
        };
        match last_there.iter().find(is_back) {
            Some((key, (at, _))) => Err(format!("{key:?} was deleted and has the value at {at}")),
            None => Ok(()),
        }
    }
}

impl Reference {
    pub(crate) fn newest(&self) -> Csn {
        self.newest
    }

    /// Where the next batch of a partition begins.
    pub(crate) fn end(&self, id: PartitionId) -> Offset {
        self.live(id).map_or(Offset::ZERO, Partition::end)
    }

    pub(crate) fn start(&self, id: PartitionId) -> Offset {
        self.live(id).map_or(Offset::ZERO, |partition| partition.start(self.certain))
    }

    fn live(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(&id).filter(|_| !self.is_forgotten(id))
    }

    pub(crate) fn is_forgotten(&self, id: PartitionId) -> bool {
        self.forgotten.contains_key(&id)
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        self.partitions.keys().copied().collect()
    }

    /// Only the last value of each key of this partition is needed.
    pub(crate) fn compact(&mut self, id: PartitionId) {
        self.partitions.entry(id).or_default().compacted = true;
    }

    pub(crate) fn is_compacted(&self, id: PartitionId) -> bool {
        self.partitions.get(&id).is_some_and(|partition| partition.compacted)
    }

    /// The next commit is on its way.
    pub(crate) fn append(&mut self, csn: Csn, appends: &[StoredBatch]) {
        assert_eq!(csn, self.newest.next());
        self.newest = csn;
        for append in appends {
            let partition = self.partitions.entry(append.partition).or_default();
            let keyed = records(append).into_iter().filter_map(|(at, it)| Some((it.key?, at)));
            partition.newest.extend(keyed);
            partition.batches.push(append.clone());
        }
    }

    /// The newest commit moves the start of a partition.
    pub(crate) fn trim(&mut self, id: PartitionId, start: Offset) {
        self.partitions.entry(id).or_default().starts.push((self.newest, start));
    }

    /// The newest commit deletes the topic of a partition.
    pub(crate) fn forget(&mut self, id: PartitionId) {
        self.forgotten.insert(id, self.newest);
    }

    pub(crate) fn clean(&mut self, cleaning: Cleaning) {
        self.cleanings.push(cleaning);
    }

    /// A commit was acknowledged.
    pub(crate) fn acknowledge(&mut self, csn: Csn) {
        self.certain = self.certain.max(csn);
    }

    /// The log was opened, and `last` is its newest commit: what is certain is there, and of the
    /// rest, some of the oldest, or none.
    pub(crate) fn recover(&mut self, last: Csn) -> Result<(), Complaint> {
        if last < self.certain {
            return Err(format!("commit {} was certain, but {last} is the last", self.certain));
        }
        if last > self.newest {
            return Err(format!("commit {last} is the last, but only {} were made", self.newest));
        }
        (self.newest, self.certain) = (last, last);
        self.forgotten.retain(|_, csn| *csn <= last);
        for partition in self.partitions.values_mut() {
            partition.batches.retain(|batch| batch.envelope.csn <= last);
            partition.starts.retain(|(csn, _)| *csn <= last);
            partition.index_keys();
        }
        Ok(())
    }

    /// Somebody was told where a partition begins and ends. `settled`: nothing is in flight.
    pub(crate) fn see_ends(
        &mut self,
        id: PartitionId,
        (start, end): (Offset, Offset),
        settled: bool,
    ) -> Result<(), Complaint> {
        if self.is_forgotten(id) {
            // The log may not have been told yet.
            return Ok(());
        }
        let (first, last) = (self.start(id), self.end(id));
        if settled && end != last || end > last {
            return Err(format!("it ends at {end} instead of {last}"));
        }
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        if end < partition.seen_end {
            return Err(format!("it ends at {end}, but has ended at {}", partition.seen_end));
        }
        partition.seen_end = end;
        if start < first {
            return Err(format!("it starts at {start}, but was trimmed to {first}"));
        }
        let visible = partition.batches.iter().rfind(|it| it.envelope.end_offset() <= end);
        self.certain = self.certain.max(visible.map_or(Csn(0), |batch| batch.envelope.csn));
        partition.miss(first..start, &self.cleanings)
    }

    /// A reader that asked for what follows `from` was given this; returns where it goes on.
    pub(crate) fn see_read(
        &mut self,
        id: PartitionId,
        from: Offset,
        read: &[StoredBatch],
    ) -> Result<Offset, Complaint> {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return if read.is_empty() { Ok(from) } else { Err("it is nobody's".to_owned()) };
        };
        let mut next = from;
        for (batch, nth) in read.iter().zip(0..) {
            let (base, end) = (batch.envelope.base_offset, batch.envelope.end_offset());
            if end <= from || base < next && nth > 0 {
                return Err(format!("{base} is read where {next} follows"));
            }
            partition.miss(next..base.max(next), &self.cleanings)?;
            partition.get(batch, &self.cleanings)?;
            next = end;
            self.certain = self.certain.max(batch.envelope.csn);
            partition.seen_end = partition.seen_end.max(end);
        }
        Ok(next)
    }

    /// A reader has come from the start to the end, and nothing followed `next`.
    pub(crate) fn see_all(&mut self, id: PartitionId, next: Offset) -> Result<(), Complaint> {
        let (start, end) = (self.start(id), self.end(id));
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        partition.miss(next..end, &self.cleanings)?;
        partition.check_deleted(start)
    }

    /// Where a reader begins who wants what was appended at `time` or later; None in a compacted
    /// partition, where a batch may be gone.
    pub(crate) fn offset_at(&self, id: PartitionId, time: Timestamp) -> Option<Offset> {
        let partition = self.live(id).filter(|it| !it.compacted)?;
        let found = partition.batches.iter().find(|it| it.envelope.append_ts >= time);
        let offset = found.map_or_else(|| partition.end(), |it| it.envelope.base_offset);
        Some(offset.max(partition.start(self.certain)))
    }

    /// The bytes of what lies at or behind `from`.
    pub(crate) fn bytes_from(&self, id: PartitionId, from: Offset) -> u64 {
        let batches = self.live(id).into_iter().flat_map(|it| &it.batches);
        let bytes = batches.filter(|it| it.envelope.base_offset >= from).map(StoredBatch::bytes);
        bytes.sum::<usize>() as u64
    }
}
