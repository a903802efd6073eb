//! What has become of dead letters: a fold over `_letters`, and the requests that change it.
//!
//! A letter is open unless it is marked as redriven or purged. The marks lie beside the letters, in
//! blocks of two bits a letter. Whoever marks letters reads the marks of their blocks, changes them and
//! appends them again, on condition that `_letters` still ends where it did: so no change overtakes
//! another, and a letter is redriven once.

mod edit;
mod find;
mod purge;
mod redrive;
mod scan;
pub(crate) mod sweep;

use std::collections::BTreeMap;

use logmill_model::internal::{LetterMarks, LettersRecord, RecordPlace};
use logmill_model::{Append, LetterStatus, Offset, PartitionId, Precondition, Record};

use crate::Error;
use crate::batches::batches;
use crate::limits::LETTER_BLOCKS_MAX;

/// The marks of all dead letters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letters {
    blocks: BTreeMap<(PartitionId, u64), Block>,
    /// The end of `_letters` that this is the fold of: what a change must be conditional on.
    pub(crate) end: Offset,
}

#[derive(Debug, Clone)]
struct Block {
    marks: LetterMarks,
    marked: u64,
}

/// A change of marks, to be part of a commit.
#[derive(Debug)]
pub(crate) struct Marking {
    pub(crate) appends: Vec<Append>,
    /// That nobody has marked anything meanwhile.
    pub(crate) precondition: Precondition,
}

impl Letters {
    /// Takes in one record.
    pub(crate) fn apply(&mut self, record: &LettersRecord) {
        let key = (record.partition, record.block);
        match &record.marks {
            Some(marks) => {
                let marked = marks.marked(0..LetterMarks::LETTERS);
                self.blocks.insert(key, Block { marks: marks.clone(), marked })
            }
            None => self.blocks.remove(&key),
        };
    }

    /// What has become of a letter.
    pub(crate) fn status(&self, place: RecordPlace) -> LetterStatus {
        let block = self.blocks.get(&key_of(place));
        block.map_or(LetterStatus::Open, |block| block.marks.status(place.offset))
    }

    /// How many letters of a partition, from one offset to before another, are not open.
    pub(crate) fn marked(&self, partition: PartitionId, from: Offset, to: Offset) -> u64 {
        let first = LetterMarks::block_of(from);
        let blocks = self.blocks.range((partition, first)..=(partition, u64::MAX));
        let blocks = blocks.take_while(|((_, number), _)| *number * LetterMarks::LETTERS < to.0);
        let marked = blocks.map(|((_, number), block)| {
            let base = number * LetterMarks::LETTERS;
            let inside = from.0.saturating_sub(base)..(to.0 - base).min(LetterMarks::LETTERS);
            let is_whole = inside == (0..LetterMarks::LETTERS);
            if is_whole { block.marked } else { block.marks.marked(inside) }
        });
        marked.sum()
    }

    /// Marks letters.
    pub(crate) fn mark(
        &self,
        letters: impl IntoIterator<Item = RecordPlace>,
        status: LetterStatus,
    ) -> Result<Marking, Error> {
        let mut changed = BTreeMap::<(PartitionId, u64), LetterMarks>::new();
        for place in letters {
            let key = key_of(place);
            let known = || self.blocks.get(&key).map(|it| it.marks.clone()).unwrap_or_default();
            changed.entry(key).or_insert_with(known).set(place.offset, status);
        }
        let new = changed.keys().filter(|key| !self.blocks.contains_key(*key)).count();
        if self.blocks.len() + new > LETTER_BLOCKS_MAX {
            return Err(Error::LettersFull);
        }
        let record = |((partition, block), marks)| {
            LettersRecord { partition, block, marks: Some(marks) }.encode()
        };
        let records: Vec<Record> = changed.into_iter().map(record).collect();
        let batches = batches(records)?.into_iter();
        let appends = batches.map(|batch| Append::new(PartitionId::LETTERS, batch)).collect();
        let precondition =
            Precondition::EndOffset { partition: PartitionId::LETTERS, end: self.end };
        Ok(Marking { appends, precondition })
    }

    /// Marks those of these letters as open that were redriven: their lane is not to handle them any
    /// more. None when there are none.
    pub(crate) fn reopen(
        &self,
        letters: impl IntoIterator<Item = RecordPlace>,
    ) -> Result<Option<Marking>, Error> {
        let is_redriven = |place: &RecordPlace| self.status(*place) == LetterStatus::Redriven;
        let redriven: Vec<RecordPlace> = letters.into_iter().filter(is_redriven).collect();
        let marking = || self.mark(redriven.iter().copied(), LetterStatus::Open);
        (!redriven.is_empty()).then(marking).transpose()
    }

    /// What deletes blocks of which no letter is there any more, at most `max` of them. A partition
    /// that is gone has no start.
    pub(crate) fn stale(
        &self,
        start_of: impl Fn(PartitionId) -> Option<Offset>,
        max: usize,
    ) -> Vec<LettersRecord> {
        let is_stale = |(partition, block): &(PartitionId, u64)| {
            start_of(*partition).is_none_or(|start| *block < LetterMarks::block_of(start))
        };
        let stale = self.blocks.keys().copied().filter(is_stale).take(max);
        stale.map(|(partition, block)| LettersRecord { partition, block, marks: None }).collect()
    }
}

fn key_of(place: RecordPlace) -> (PartitionId, u64) {
    (place.partition, LetterMarks::block_of(place.offset))
}

#[cfg(test)]
mod tests {
    use logmill_model::TopicId;

    use super::*;

    const DEAD: PartitionId = PartitionId::new(TopicId(20), 0);

    fn place(offset: u64) -> RecordPlace {
        RecordPlace { partition: DEAD, offset: Offset(offset) }
    }

    /// Takes in what marks these letters, as a commit would.
    fn marked(letters: &mut Letters, offsets: &[u64], status: LetterStatus) {
        let marking = letters.mark(offsets.iter().map(|at| place(*at)), status).unwrap();
        take_in(letters, marking);
    }

    fn take_in(letters: &mut Letters, marking: Marking) {
        for append in marking.appends {
            for record in &append.batch.plain().unwrap() {
                letters.apply(&LettersRecord::decode(record.key, record.value).unwrap());
            }
        }
    }

    #[test]
    fn a_letter_is_open_until_it_is_marked_and_others_stay_so() {
        let mut letters = Letters::default();
        marked(&mut letters, &[3, 4095, 4096, 9000], LetterStatus::Redriven);
        marked(&mut letters, &[4, 9000], LetterStatus::Purged);
        for (offset, status) in [
            (2, LetterStatus::Open),
            (3, LetterStatus::Redriven),
            (4, LetterStatus::Purged),
            (4095, LetterStatus::Redriven),
            (4096, LetterStatus::Redriven),
            (9000, LetterStatus::Purged),
            (90_000, LetterStatus::Open),
        ] {
            assert_eq!(letters.status(place(offset)), status, "{offset}");
        }
        for (from, to, count) in
            [(0, 10_000, 5), (4, 10_000, 4), (4, 4096, 2), (4, 4097, 3), (9000, 9001, 1), (5, 5, 0)]
        {
            assert_eq!(letters.marked(DEAD, Offset(from), Offset(to)), count, "{from} {to}");
        }
        let other = PartitionId::new(TopicId(20), 1);
        assert_eq!(letters.marked(other, Offset(0), Offset(10_000)), 0);
    }

    #[test]
    fn what_its_lane_does_not_handle_any_more_is_open_again() {
        let mut letters = Letters::default();
        marked(&mut letters, &[1, 3, 5000], LetterStatus::Redriven);
        marked(&mut letters, &[2], LetterStatus::Purged);
        assert!(letters.reopen([place(2), place(4)]).unwrap().is_none());
        let reopened = letters.reopen([2, 3, 4, 5000].map(place)).unwrap().unwrap();
        take_in(&mut letters, reopened);
        let status = [1, 2, 3, 4, 5000].map(|at| letters.status(place(at)));
        let [open, purged] = [LetterStatus::Open, LetterStatus::Purged];
        assert_eq!(status, [LetterStatus::Redriven, purged, open, open, open]);
    }

    #[test]
    fn a_million_redriven_letters_take_a_quarter_of_a_mebibyte() {
        let mut letters = Letters::default();
        for block in 0..256 {
            let all: Vec<u64> = (block * 4096..(block + 1) * 4096).collect();
            marked(&mut letters, &all, LetterStatus::Redriven);
        }
        assert_eq!(letters.marked(DEAD, Offset(0), Offset(1 << 20)), 1 << 20);
        let bytes: usize = letters.blocks.values().map(|block| block.marks.bytes()).sum();
        assert_eq!((letters.blocks.len(), bytes), (256, 256 << 10));
    }

    #[test]
    fn marks_that_would_take_too_much_memory_are_refused() {
        let mut letters = Letters::default();
        for block in 0..LETTER_BLOCKS_MAX as u64 {
            let marks = Some(LetterMarks::default());
            letters.apply(&LettersRecord { partition: DEAD, block, marks });
        }
        let beyond = place(LETTER_BLOCKS_MAX as u64 * LetterMarks::LETTERS);
        let refused = letters.mark([place(1), beyond], LetterStatus::Purged);
        assert!(matches!(refused, Err(Error::LettersFull)), "{refused:?}");
        marked(&mut letters, &[1], LetterStatus::Purged);
    }

    #[test]
    fn blocks_that_nobody_needs_are_deleted() {
        let mut letters = Letters::default();
        marked(&mut letters, &[1, 5000, 9000], LetterStatus::Purged);
        let blocks = |stale: Vec<LettersRecord>| -> Vec<u64> {
            assert!(stale.iter().all(|it| it.marks.is_none()));
            stale.iter().map(|it| it.block).collect()
        };
        for (start, stale) in [
            (Some(0), &[][..]),
            (Some(4095), &[]),
            (Some(4096), &[0]),
            (Some(10_000), &[0, 1]),
            (None, &[0, 1, 2]),
        ] {
            assert_eq!(blocks(letters.stale(|_| start.map(Offset), 10)), stale, "{start:?}");
        }
        let gone = letters.stale(|_| None, 2);
        assert_eq!(gone.len(), 2);
        gone.iter().for_each(|record| letters.apply(record));
        assert_eq!(blocks(letters.stale(|_| None, 10)), [2]);
        letters.stale(|_| None, 10).iter().for_each(|record| letters.apply(record));
        assert_eq!(letters.blocks.len(), 0);
    }
}
