//! Giving appends their places, once they were found to be good.

use logmill_log::{NewEntry, StoredBatch};
use logmill_model::internal::ProducersRecord;
use logmill_model::{
    Append, BatchKeys, Commit, Csn, DuplicateRecord, Envelope, Offset, PartitionId, Refusal,
    SequencedBatch, Timestamp,
};

use super::judge::{Changes, Judge, Sequenced};
use super::keys::Sorted;
use super::register;
use crate::limits::KEPT_DUPLICATES_MAX;

/// What an entry comes to.
#[derive(Default)]
struct Placed {
    appends: Vec<StoredBatch>,
    bases: Vec<Offset>,
    duplicates: Vec<(usize, DuplicateRecord)>,
    /// What is to be said of producers besides, since no envelope proves it.
    producers: Vec<(u64, PartitionId)>,
}

impl Judge {
    /// Gives appends that were found to be good their place.
    pub(super) fn sequence(
        &mut self,
        appends: Vec<Append>,
        changes: Changes,
        now: Timestamp,
    ) -> Sequenced {
        let (csn, time) = (self.last_csn().next(), self.time(now));
        let mut placed = Placed::default();
        for append in appends {
            self.place(append, (csn, time), &mut placed);
        }
        let unproven: Vec<ProducersRecord> =
            placed.producers.iter().map(|(id, at)| self.producers.sequences(*id, *at)).collect();
        if !unproven.is_empty() {
            let append =
                register::append(&unproven).expect("a record of each is far below a batch");
            let bases = placed.bases.len();
            self.place(append, (csn, time), &mut placed);
            placed.bases.truncate(bases);
        }
        self.apply(&changes);
        self.go_on_after(csn, time);
        let Placed { appends, bases, duplicates, .. } = placed;
        Sequenced { entry: NewEntry { csn, time, appends }, changes, bases, duplicates }
    }

    /// Refuses a commit whose keys there is no room for, and one of which nothing is to be stored: it
    /// needs no entry, unless a producer's sequences go on by it.
    pub(super) fn check_keys(&mut self, commit: &Commit, now: Timestamp) -> Result<(), Refusal> {
        let time = self.time(now);
        let (mut ends, mut duplicates, mut stored) = (Vec::new(), Vec::new(), 0);
        for (number, append) in commit.appends.iter().enumerate() {
            let partition = append.partition;
            let end = *self.end(partition)?;
            let window = self.catalog().dedupe_window_ms(partition.topic);
            let keys = append.keys.as_ref().filter(|_| window.is_some());
            if let Some(keys) = keys {
                self.keys.expire(partition.topic, window, time);
                if !self.keys.has_room(keys.keys.len()) {
                    return Err(Refusal::KeysFull(partition));
                }
            }
            let sorted = self.sorted(append, end, time);
            let records = append.batch.record_count() as usize;
            stored += records - sorted.duplicates.len();
            stored += usize::from(append.producer.is_some());
            duplicates.extend(sorted.duplicates.into_iter().map(|it| (number, it)));
            ends.push(end);
        }
        if stored == 0 && !duplicates.is_empty() {
            return Err(Refusal::KeysKnown { csn: self.last_csn(), time, ends, duplicates });
        }
        Ok(())
    }

    /// What the keys of an append come to at this end of its partition.
    fn sorted(&self, append: &Append, end: Offset, time: Timestamp) -> Sorted {
        let window = self.catalog().dedupe_window_ms(append.partition.topic);
        match append.keys.as_ref().zip(window) {
            Some((BatchKeys { keys, .. }, window)) => {
                self.keys.sort((append.partition, end), (window, time), keys)
            }
            None => Sorted::default(),
        }
    }

    fn place(&mut self, append: Append, (csn, append_ts): (Csn, Timestamp), placed: &mut Placed) {
        let base_offset = *self.end(append.partition).expect("check_appends found it");
        let Sorted { duplicates, new } = self.sorted(&append, base_offset, append_ts);
        let Append { partition, batch, producer, hops, keys } = append;
        let count = batch.last_delta().saturating_add(1);
        let rewritten = !duplicates.is_empty();
        let batch = match keys {
            Some(keys) if rewritten => keys.records.without(duplicates.iter().map(|it| it.index)),
            _ => Some(batch),
        };
        if !new.is_empty() {
            self.keys.insert(partition, append_ts, new);
        }
        let number = placed.bases.len();
        placed.bases.push(base_offset);
        placed.duplicates.extend(duplicates.iter().map(|it| (number, *it)));
        if let Some(stamp) = producer {
            let first = stamp.first_sequence;
            let kept = duplicates.into_iter().take(KEPT_DUPLICATES_MAX + 1).collect();
            let duplicates: Vec<DuplicateRecord> = kept;
            let batch = SequencedBatch { first, count, base_offset, append_ts, csn, duplicates };
            self.producers.append(partition, stamp, batch);
            if rewritten {
                placed.producers.push((stamp.id, partition));
            }
        }
        let Some(batch) = batch else { return };
        let envelope = Envelope {
            base_offset,
            append_ts,
            csn,
            producer,
            last_delta: batch.last_delta(),
            records: batch.record_count(),
            bytes: u32::try_from(batch.bytes().len()).expect("bounded by BATCH_BYTES_MAX"),
            crc: batch.crc(),
            rewritten,
            compression: batch.compression(),
            hops,
        };
        self.set_end(partition, envelope.end_offset());
        placed.appends.push(StoredBatch { partition, envelope, batch });
    }
}
