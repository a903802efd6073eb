//! `_letters`: what has become of dead letters, beside the topics that they lie in.
//!
//! A letter is open as long as nothing says otherwise. What is redriven or purged is marked: a record
//! has the marks of [`LetterMarks::LETTERS`] offsets of a partition, so that millions of letters take
//! two bits each in the log and in memory.
//!
//! # Layout of a value, version 1
//!
//! | at | bytes | marks |
//! |---:|---:|---|
//! | 0 | 1 | type, 22 |
//! | 1 | 1 | version, 1 |
//! | 2 | up to 1024 | two bits for each offset from the block's first on, lowest bits first: 0 open, 1 redriven, 2 purged. Bytes that are 0 are left out at the end |

use std::ops::Range;

use super::{Reader, VERSION};
use crate::{Error, LetterStatus, Offset, PartitionId, Record};

const MARKS: u8 = 22;
const NOUN: &str = "letters record";
const IN_BYTE: u64 = 4;
/// The lower bit of each mark of a byte.
const LOWER: u8 = 0b0101_0101;

/// The marks of the dead letters in one block of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LetterMarks {
    /// Never ends with a byte that is 0.
    packed: Vec<u8>,
}

/// A record of `_letters`: the marks of a block; None when none of its letters is there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LettersRecord {
    /// The partition that the letters lie in.
    pub partition: PartitionId,
    /// The number of the block, from 0.
    pub block: u64,
    /// The marks.
    pub marks: Option<LetterMarks>,
}

impl LetterMarks {
    /// How many offsets a block has.
    pub const LETTERS: u64 = 4096;
    /// What the marks of a block take at most, in bytes.
    pub const BYTES_MAX: usize = (Self::LETTERS / IN_BYTE) as usize;

    /// The block that an offset lies in.
    #[must_use]
    pub fn block_of(offset: Offset) -> u64 {
        offset.0 / Self::LETTERS
    }

    /// What has become of the letter at this offset, which lies in the block.
    #[must_use]
    pub fn status(&self, offset: Offset) -> LetterStatus {
        let (byte, shift) = Self::place(offset);
        match self.packed.get(byte).map_or(0, |byte| (byte >> shift) & 0b11) {
            0 => LetterStatus::Open,
            1 => LetterStatus::Redriven,
            _ => LetterStatus::Purged,
        }
    }

    /// Marks the letter at this offset, which lies in the block.
    pub fn set(&mut self, offset: Offset, status: LetterStatus) {
        let (byte, shift) = Self::place(offset);
        if self.packed.len() <= byte {
            self.packed.resize(byte + 1, 0);
        }
        let mark = match status {
            LetterStatus::Open => 0,
            LetterStatus::Redriven => 1,
            LetterStatus::Purged => 2,
        };
        self.packed[byte] = (self.packed[byte] & !(0b11 << shift)) | (mark << shift);
        while self.packed.last() == Some(&0) {
            self.packed.pop();
        }
    }

    /// How many letters of the block have these numbers in it and are not open.
    #[must_use]
    pub fn marked(&self, within: Range<u64>) -> u64 {
        let bytes = self.packed.iter().zip(0_u64..);
        let marked = bytes.map(|(byte, at)| {
            let first = at * IN_BYTE;
            let marks = (byte | (byte >> 1)) & LOWER;
            if within.start <= first && first + IN_BYTE <= within.end {
                return u64::from(marks.count_ones());
            }
            let inside = (0..IN_BYTE).filter(|it| within.contains(&(first + it)));
            inside.map(|it| u64::from((marks >> (2 * it)) & 1)).sum()
        });
        marked.sum()
    }

    /// What they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packed.len()
    }

    fn place(offset: Offset) -> (usize, u32) {
        let index = offset.0 % Self::LETTERS;
        let byte = usize::try_from(index / IN_BYTE).expect("a block has few bytes");
        (byte, 2 * u32::try_from(index % IN_BYTE).expect("a byte has four marks"))
    }
}

impl LettersRecord {
    /// The record as it is appended.
    #[must_use]
    pub fn encode(&self) -> Record {
        let mut key = Vec::with_capacity(20);
        key.extend_from_slice(&self.partition.topic.0.to_be_bytes());
        key.extend_from_slice(&self.partition.index.to_be_bytes());
        key.extend_from_slice(&self.block.to_be_bytes());
        let value = self.marks.as_ref().map(|marks| {
            let mut value = Vec::with_capacity(2 + marks.packed.len());
            value.extend_from_slice(&[MARKS, VERSION]);
            value.extend_from_slice(&marks.packed);
            value.into()
        });
        Record { key: Some(key.into()), value, ..Record::default() }
    }

    /// Reads a record of `_letters`.
    ///
    /// # Errors
    /// [`Error::Layout`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Error> {
        let bad = |what: &str| Error::Layout { noun: NOUN, what: what.to_owned() };
        let mut key = Reader::untyped(NOUN, key.ok_or_else(|| bad("it has no key"))?);
        let (partition, block) = (key.partition()?, key.u64()?);
        key.end()?;
        if block > LetterMarks::block_of(Offset(u64::MAX)) {
            return Err(bad("its block lies beyond all offsets"));
        }
        let Some(value) = value else { return Ok(Self { partition, block, marks: None }) };
        let packed = Reader::of(NOUN, MARKS, value)?.rest();
        if packed.len() > LetterMarks::BYTES_MAX {
            return Err(bad("it has marks beyond its block"));
        }
        if packed.iter().any(|byte| byte & (byte >> 1) & LOWER != 0) {
            return Err(bad("it has a mark that means nothing"));
        }
        if packed.last() == Some(&0) {
            return Err(bad("it has marks that mark nothing at its end"));
        }
        Ok(Self { partition, block, marks: Some(LetterMarks { packed: packed.to_vec() }) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TopicId;

    const ALL: Range<u64> = 0..LetterMarks::LETTERS;

    fn decoded(record: &Record) -> Result<LettersRecord, Error> {
        LettersRecord::decode(record.key.as_deref(), record.value.as_deref())
    }

    #[test]
    fn marks_have_golden_bytes() {
        let mut marks = LetterMarks::default();
        marks.set(Offset(4096 + 1), LetterStatus::Redriven);
        marks.set(Offset(4096 + 3), LetterStatus::Purged);
        marks.set(Offset(4096 + 8), LetterStatus::Redriven);
        let partition = PartitionId::new(TopicId(0x0102), 3);
        let mut letters = LettersRecord { partition, block: 1, marks: Some(marks) };
        let record = letters.encode();
        assert_eq!(
            record.key.as_deref(),
            Some(&b"\0\0\0\0\0\0\x01\x02\0\0\0\x03\0\0\0\0\0\0\0\x01"[..])
        );
        assert_eq!(record.value.as_deref(), Some(&b"\x16\x01\x84\0\x01"[..]));
        assert_eq!(decoded(&record), Ok(letters.clone()));
        letters.marks = None;
        assert_eq!(letters.encode().value, None);
        assert_eq!(decoded(&letters.encode()), Ok(letters));
        let key = record.key.as_deref();
        let long = [&[22, 1][..], &[1; 1025]].concat();
        for bad in
            [&b"\x16"[..], b"\x15\x01", b"\x16\x02", b"\x16\x01\x03", b"\x16\x01\x01\0", &long]
        {
            assert!(LettersRecord::decode(key, Some(bad)).is_err(), "{bad:?}");
        }
        for bad in [None, Some(&[0; 19][..]), Some(&[0; 21]), Some(&[0xff; 20])] {
            assert!(LettersRecord::decode(bad, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_block_of_redriven_letters_takes_two_bits_each() {
        let mut marks = LetterMarks::default();
        (0..4096).for_each(|at| marks.set(Offset(at), LetterStatus::Redriven));
        assert_eq!((marks.bytes(), marks.marked(ALL)), (LetterMarks::BYTES_MAX, 4096));
        (0..4096).for_each(|at| marks.set(Offset(at), LetterStatus::Open));
        assert_eq!(marks, LetterMarks::default());
    }

    proptest! {
        #[test]
        fn marks_are_as_a_list_of_them(
            set in proptest::collection::vec((0..4096_u64, 0..3_u8), 0..40),
            from in 0..4096_u64,
            length in 0..4096_u64,
        ) {
            let status = |code| match code {
                0 => LetterStatus::Open,
                1 => LetterStatus::Redriven,
                _ => LetterStatus::Purged,
            };
            let mut marks = LetterMarks::default();
            let mut model = vec![LetterStatus::Open; 4096];
            for (at, code) in set {
                marks.set(Offset(7 * LetterMarks::LETTERS + at), status(code));
                model[at as usize] = status(code);
            }
            for (at, status) in model.iter().enumerate() {
                prop_assert_eq!(marks.status(Offset(at as u64)), *status);
            }
            let within = from..(from + length).min(4096);
            let counted = within.clone().filter(|at| model[*at as usize] != LetterStatus::Open);
            prop_assert_eq!(marks.marked(within), counted.count() as u64);
            let partition = PartitionId::new(TopicId(20), 0);
            let letters = LettersRecord { partition, block: 7, marks: Some(marks) };
            prop_assert_eq!(decoded(&letters.encode()), Ok(letters));
        }
    }
}
