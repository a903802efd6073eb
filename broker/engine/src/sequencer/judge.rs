//! The sequencer's judgement: a function of what was sequenced before, the commit, and the time.
//!
//! It gives a commit its number, its time and its offsets, or says why not. **It does no IO**, so
//! the order of commits can be tested without a disk.

use std::collections::HashMap;

use logmill_log::NewEntry;
use logmill_model::internal::{
    CatalogRecord, CursorsRecord, LettersRecord, ProducersRecord, SegmentsRecord,
};
use logmill_model::{
    Append, Commit, Csn, DuplicateRecord, Error, LaneId, Offset, PartitionId, Precondition,
    RecordBatch, Refusal, Timestamp, TopicId, limits,
};

use super::keys::Keys;
use super::producers::{Producers, Standing};
use crate::catalog::{Catalog, PartitionChange};

/// What a commit changes besides users' topics: decoded once, when it is sequenced or recovered.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) catalog: Vec<CatalogRecord>,
    pub(crate) cursors: Vec<CursorsRecord>,
    pub(crate) segments: Vec<SegmentsRecord>,
    /// Of those that are read back: what is appended to `_producers` is made of the table itself.
    pub(crate) producers: Vec<ProducersRecord>,
    pub(crate) letters: Vec<LettersRecord>,
    /// The entry of a checkpoint of the producers that is whole with it.
    pub(crate) checkpoint: Option<Csn>,
}

impl Changes {
    /// Reads the internal records of one batch, which the broker makes itself and never compresses.
    pub(crate) fn read(
        &mut self,
        partition: PartitionId,
        batch: &RecordBatch,
    ) -> Result<(), Error> {
        // The one thread that all commits pass does not walk through users' records, nor through what
        // is only for their lanes to read.
        let is_theirs =
            matches!(partition.topic, TopicId::CLAIMS | TopicId::STATE | TopicId::DECISIONS);
        if !partition.topic.is_internal() || is_theirs {
            return Ok(());
        }
        let compressed = || {
            let what = "its batch is compressed".to_owned();
            Error::Layout { noun: "internal record", what }
        };
        for record in &batch.plain().ok_or_else(compressed)? {
            let (key, value) = (record.key, record.value);
            match partition {
                PartitionId::CATALOG => self.catalog.push(CatalogRecord::decode(key, value)?),
                PartitionId::CURSORS => self.cursors.push(CursorsRecord::decode(key, value)?),
                PartitionId::SEGMENTS => self.segments.push(SegmentsRecord::decode(key, value)?),
                PartitionId::PRODUCERS => {
                    self.producers.push(ProducersRecord::decode(key, value)?);
                }
                PartitionId::LETTERS => self.letters.push(LettersRecord::decode(key, value)?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Changes {
    /// The starts of partitions that it moves.
    pub(crate) fn starts(&self) -> impl Iterator<Item = (PartitionId, Offset)> + '_ {
        self.segments.iter().filter_map(|record| match record {
            SegmentsRecord::Start(partition, Some(start)) => Some((*partition, start.offset)),
            _ => None,
        })
    }
}

/// The ends of all partitions, the revisions of all cursors, and the catalog, as sequenced.
#[derive(Debug)]
pub(crate) struct Judge {
    ends: HashMap<PartitionId, Offset>,
    cursors: HashMap<LaneId, (u32, u64)>,
    pub(super) producers: Producers,
    pub(super) keys: Keys,
    catalog: Catalog,
    last_csn: Csn,
    last_time: Timestamp,
}

/// A commit that has its place.
#[derive(Debug)]
pub(crate) struct Sequenced {
    pub(crate) entry: NewEntry,
    pub(crate) changes: Changes,
    /// Where each append lies, or would.
    pub(crate) bases: Vec<Offset>,
    /// The records that are not in it, since their idempotency keys were there, each with the number
    /// of its append.
    pub(crate) duplicates: Vec<(usize, DuplicateRecord)>,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            ends: PartitionId::INTERNAL
                .into_iter()
                .map(|partition| (partition, Offset::ZERO))
                .collect(),
            cursors: HashMap::new(),
            producers: Producers::default(),
            keys: Keys::default(),
            catalog: Catalog::default(),
            last_csn: Csn::ZERO,
            last_time: Timestamp::ZERO,
        }
    }
}

impl Judge {
    /// Takes in where a partition ends in the log; says whether there is such a partition.
    pub(crate) fn set_end(&mut self, partition: PartitionId, end: Offset) -> bool {
        self.ends.get_mut(&partition).map(|it| *it = end).is_some()
    }

    /// Takes in the log's newest commit.
    pub(crate) fn go_on_after(&mut self, csn: Csn, time: Timestamp) {
        (self.last_csn, self.last_time) = (csn, time);
    }

    pub(crate) fn last_csn(&self) -> Csn {
        self.last_csn
    }

    /// Where `_producers` ends.
    pub(super) fn producers_end(&self) -> Offset {
        self.ends.get(&PartitionId::PRODUCERS).copied().unwrap_or_default()
    }

    /// Whether none has ever registered.
    pub(super) fn has_no_producers(&self) -> bool {
        self.producers_end() == Offset::ZERO
    }

    /// The idempotency keys that are known.
    pub(crate) fn keys(&mut self) -> &mut Keys {
        &mut self.keys
    }

    /// What is known of producers.
    pub(crate) fn producers(&mut self) -> &mut Producers {
        &mut self.producers
    }

    /// Lets go of what is known of partitions that are not there.
    pub(crate) fn settle_producers(&mut self) {
        let ends = &self.ends;
        self.producers.keep_partitions(|partition| ends.contains_key(&partition));
    }

    /// The catalog as sequenced.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Gives the commit its place, or says why it has none; then nothing has changed.
    pub(crate) fn judge(&mut self, commit: Commit, now: Timestamp) -> Result<Sequenced, Refusal> {
        self.check_size(&commit)?;
        // Before what may have changed since: a batch that was appended before was so for good.
        self.check_producers(&commit, now)?;
        commit.preconditions.iter().try_for_each(|it| self.check(it))?;
        let changes = self.check_appends(&commit)?;
        self.check_keys(&commit, now)?;
        Ok(self.sequence(commit.appends, changes, now))
    }

    /// The time of the next entry.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_time)
    }

    /// Checks that the batches of producers are their next ones.
    pub(crate) fn check_producers(&self, commit: &Commit, now: Timestamp) -> Result<(), Refusal> {
        let time = self.time(now);
        let mut known = Vec::new();
        let stamped = commit.appends.iter().filter_map(|it| Some((it, it.producer?)));
        for (Append { partition, batch, .. }, stamp) in stamped.clone() {
            self.end(*partition)?;
            let count = batch.last_delta().saturating_add(1);
            match self.producers.standing(stamp, count, *partition, time)? {
                Standing::Next => {}
                Standing::Known(batch) => known.push((*partition, batch)),
            }
        }
        match known.first() {
            None => Ok(()),
            Some((partition, _)) if known.len() < stamped.count() => {
                let what = "a part of its commit was appended before, and a part was not";
                Err(Refusal::Invalid { partition: *partition, what: what.to_owned() })
            }
            Some(_) => {
                Err(Refusal::Duplicate(known.into_iter().map(|(_, it)| it.clone()).collect()))
            }
        }
    }

    fn check_size(&self, commit: &Commit) -> Result<(), Refusal> {
        let appends = commit.appends.len();
        if appends > limits::APPENDS_MAX {
            return Err(Refusal::TooManyAppends { appends, max: limits::APPENDS_MAX });
        }
        let bytes = logmill_log::entry_bytes(appends, commit.batch_bytes());
        if bytes > limits::COMMIT_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, max: limits::COMMIT_BYTES_MAX });
        }
        Ok(())
    }

    fn check(&self, precondition: &Precondition) -> Result<(), Refusal> {
        match precondition {
            Precondition::EndOffset { partition, end } => {
                let real = *self.end(*partition)?;
                if real == *end {
                    Ok(())
                } else {
                    Err(Refusal::EndMoved { partition: *partition, end: real })
                }
            }
            Precondition::Cursor { lane, generation, revision } => {
                let real = self.cursors.get(lane).copied().unwrap_or_default();
                if real == (*generation, *revision) {
                    Ok(())
                } else {
                    Err(Refusal::StaleCursor(*lane))
                }
            }
        }
    }

    pub(super) fn end(&self, partition: PartitionId) -> Result<&Offset, Refusal> {
        self.ends.get(&partition).ok_or(Refusal::NoSuchPartition(partition))
    }

    /// Checks that each append can be made, and reads the internal ones. A topic that the commit
    /// itself creates can't be written by it: its partitions exist from the next commit on.
    fn check_appends(&self, commit: &Commit) -> Result<Changes, Refusal> {
        let mut changes = Changes::default();
        for Append { partition, batch, .. } in &commit.appends {
            let end = self.end(*partition)?;
            let invalid = |what| Refusal::Invalid { partition: *partition, what };
            if end.checked_add(batch.span()).is_none() {
                return Err(invalid("its offsets have run out".to_owned()));
            }
            if *partition == PartitionId::PRODUCERS {
                return Err(invalid("only the sequencer appends to it".to_owned()));
            }
            changes.read(*partition, batch).map_err(|error| invalid(error.to_string()))?;
        }
        changes.starts().try_for_each(|(partition, start)| self.check_start(partition, start))?;
        Ok(changes)
    }

    /// A partition that is gone has no start, and none starts behind its end.
    fn check_start(&self, partition: PartitionId, start: Offset) -> Result<(), Refusal> {
        let end = *self.end(partition)?;
        if start <= end {
            return Ok(());
        }
        let what = format!("{partition} ends at {end} and can't start at {start}");
        Err(Refusal::Invalid { partition: PartitionId::SEGMENTS, what })
    }

    /// Takes in what internal records say. Those of the catalog that it is told of at the start come
    /// before those of other topics.
    pub(crate) fn apply(&mut self, changes: &Changes) {
        for record in &changes.catalog {
            if let CatalogRecord::Topic(_, Some(topic)) = record
                && topic.policy.dedupe_window_ms.is_none()
            {
                self.keys.expire(topic.id, None, self.last_time);
            }
            match self.catalog.apply(record) {
                Some(PartitionChange::Created(partitions)) => {
                    for partition in partitions {
                        self.ends.entry(partition).or_default();
                    }
                }
                Some(PartitionChange::Deleted(partitions)) => {
                    for partition in &partitions {
                        self.ends.remove(partition);
                    }
                    // They are all of one topic, or a deployment's own, where no producer appends.
                    if let Some(first) = partitions.first() {
                        self.producers.forget_topic(first.topic);
                        self.keys.expire(first.topic, None, self.last_time);
                    }
                }
                None => {}
            }
        }
        for (partition, start) in changes.starts() {
            // When all that lay before it has expired, nothing else may tell how far it came.
            if let Some(end) = self.ends.get_mut(&partition) {
                *end = start.max(*end);
            }
        }
        for record in &changes.cursors {
            match record {
                CursorsRecord::Cursor(lane, Some(cursor)) => {
                    self.cursors.insert(*lane, (cursor.generation, cursor.revision));
                }
                CursorsRecord::Cursor(lane, None) => {
                    self.cursors.remove(lane);
                }
                CursorsRecord::Hole(..) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
