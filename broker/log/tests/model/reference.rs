//! What a log must do, without a disk: the commits that were appended, those of them that must be
//! there, and what a reader may be given. It knows nothing of files.

use std::collections::BTreeMap;

use logmill_log::StoredBatch;
use logmill_model::{Csn, Offset, PartitionId};

/// A complaint, for a person.
pub(crate) type Complaint = String;

/// What was appended, and what of it is certain.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    partitions: BTreeMap<PartitionId, Partition>,
    /// The newest commit that was appended.
    newest: Csn,
    /// The newest one that must be there: it was acknowledged, read, or there after a start.
    certain: Csn,
}

#[derive(Debug, Default)]
struct Partition {
    /// All that was appended, in order.
    batches: Vec<StoredBatch>,
    /// The highest end that anybody was told.
    seen_end: Offset,
}

impl Partition {
    fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |batch| batch.envelope.end_offset())
    }

    fn start(&self) -> Offset {
        Offset::ZERO
    }
}

impl Reference {
    pub(crate) fn newest(&self) -> Csn {
        self.newest
    }

    /// Where the next batch of a partition begins.
    pub(crate) fn end(&self, partition: PartitionId) -> Offset {
        self.partitions.get(&partition).map_or(Offset::ZERO, Partition::end)
    }

    pub(crate) fn start(&self, partition: PartitionId) -> Offset {
        self.partitions.get(&partition).map_or(Offset::ZERO, Partition::start)
    }

    /// The next commit is on its way.
    pub(crate) fn append(&mut self, csn: Csn, appends: &[StoredBatch]) {
        assert_eq!(csn, self.newest.next());
        self.newest = csn;
        for append in appends {
            self.partitions.entry(append.partition).or_default().batches.push(append.clone());
        }
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
        for (id, partition) in &mut self.partitions {
            partition.batches.retain(|batch| batch.envelope.csn <= last);
            if partition.end() < partition.seen_end {
                return Err(format!("{id} was seen up to {}", partition.seen_end));
            }
        }
        Ok(())
    }

    /// Somebody was told where a partition ends. `settled`: nothing is in flight.
    pub(crate) fn see_end(
        &mut self,
        id: PartitionId,
        end: Offset,
        settled: bool,
    ) -> Result<(), Complaint> {
        let expected = self.end(id);
        if settled && end != expected || end > expected {
            return Err(format!("{id} ends at {end} instead of {expected}"));
        }
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        if end < partition.seen_end {
            return Err(format!("{id} ends at {end}, but has ended at {}", partition.seen_end));
        }
        partition.seen_end = end;
        let visible = partition.batches.iter().rfind(|it| it.envelope.end_offset() <= end);
        self.certain = self.certain.max(visible.map_or(Csn(0), |batch| batch.envelope.csn));
        Ok(())
    }

    /// A reader that asked for what follows `from` was given this.
    pub(crate) fn see_read(
        &mut self,
        id: PartitionId,
        from: Offset,
        read: &[StoredBatch],
    ) -> Result<(), Complaint> {
        let mut next = from;
        for (batch, nth) in read.iter().zip(0..) {
            let base = batch.envelope.base_offset;
            let known = self.find(id, base).ok_or_else(|| format!("{id}@{base} is nobody's"))?;
            if known != batch {
                return Err(format!("{id}@{base} is altered"));
            }
            let follows = base == next || nth == 0 && base <= from;
            if !follows || batch.envelope.end_offset() <= from {
                return Err(format!("{id}@{base} is read where {next} follows"));
            }
            next = batch.envelope.end_offset();
        }
        let (csn, partition) =
            (read.last().map(|it| it.envelope.csn), self.partitions.get_mut(&id));
        if let (Some(csn), Some(partition)) = (csn, partition) {
            self.certain = self.certain.max(csn);
            partition.seen_end = partition.seen_end.max(next);
        }
        Ok(())
    }

    fn find(&self, id: PartitionId, base: Offset) -> Option<&StoredBatch> {
        let batches = &self.partitions.get(&id)?.batches;
        let at = batches.binary_search_by_key(&base, |it| it.envelope.base_offset).ok()?;
        Some(&batches[at])
    }
}
