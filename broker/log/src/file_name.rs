//! The names of files: `<first CSN>-<epoch>.journal`, and `<first CSN>-<epoch>-<number>.segment`,
//! where the number counts the segments of one start. The numbers have 20 digits, so that a listing
//! is in the order of the entries. No name is ever given twice.

use std::fmt;
use std::str::FromStr;

use logmill_model::{Csn, Epoch};

/// The folder of the journal files.
pub(crate) const FOLDER: &str = "journal";
pub(crate) const SUFFIX: &str = ".journal";
/// What is added to a file's name for the bytes that recovery cut from it.
pub(crate) const TORN_SUFFIX: &str = ".torn";
/// The folder of the segments.
pub(crate) const SEGMENT_FOLDER: &str = "segments";
pub(crate) const SEGMENT_SUFFIX: &str = ".segment";
/// The suffix of an index, which is called like its file otherwise.
pub(crate) const INDEX_SUFFIX: &str = ".index";
const DIGITS: usize = 20;

/// Ordered by epoch, then by first CSN: the order in which files were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName {
    pub(crate) epoch: Epoch,
    pub(crate) first: Csn,
}

impl FileName {
    /// The file's path in the data directory.
    pub(crate) fn path(self) -> String {
        format!("{FOLDER}/{self}")
    }
}

/// The name of a file in its folder.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The path of the index of the file at `path`.
pub(crate) fn index_path(path: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    format!("{stem}{INDEX_SUFFIX}")
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:020}{SUFFIX}", self.first.0, self.epoch.0)
    }
}

/// The name of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) first: Csn,
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
}

impl SegmentName {
    /// The file's path in the data directory.
    pub(crate) fn path(self) -> String {
        format!("{SEGMENT_FOLDER}/{self}")
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, epoch, number } = self;
        write!(f, "{:020}-{:020}-{number:020}{SEGMENT_SUFFIX}", first.0, epoch.0)
    }
}

impl FromStr for SegmentName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let stem = text.strip_suffix(SEGMENT_SUFFIX).ok_or(NotAName)?;
        let (first, rest) = stem.split_once('-').ok_or(NotAName)?;
        let (epoch, count) = rest.split_once('-').ok_or(NotAName)?;
        Ok(Self {
            first: Csn(number(first)?),
            epoch: Epoch(number(epoch)?),
            number: number(count)?,
        })
    }
}

/// The text is not the name of such a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAName;

impl FromStr for FileName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let stem = text.strip_suffix(SUFFIX).ok_or(NotAName)?;
        let (first, epoch) = stem.split_once('-').ok_or(NotAName)?;
        Ok(Self { first: Csn(number(first)?), epoch: Epoch(number(epoch)?) })
    }
}

fn number(text: &str) -> Result<u64, NotAName> {
    if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAName);
    }
    text.parse().map_err(|_| NotAName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_prints() {
        let name = FileName { first: Csn(17), epoch: Epoch(u64::MAX) };
        assert_eq!(name.to_string(), "00000000000000000017-18446744073709551615.journal");
        assert_eq!(name.to_string().parse(), Ok(name));
        for bad in ["", "1-1.journal", "00000000000000000017-00000000000000000001.torn"] {
            assert_eq!(bad.parse::<FileName>(), Err(NotAName), "{bad}");
        }
        let plus = "+0000000000000000017-00000000000000000001.journal";
        assert_eq!(plus.parse::<FileName>(), Err(NotAName));
    }

    #[test]
    fn the_name_of_a_segment_reads_as_it_prints() {
        let name = SegmentName { first: Csn(17), epoch: Epoch(4), number: 2 };
        let text = "00000000000000000017-00000000000000000004-00000000000000000002.segment";
        assert_eq!((name.to_string().as_str(), text.parse()), (text, Ok(name)));
        for bad in ["", "1-1-1.segment", "00000000000000000017-00000000000000000004.segment"] {
            assert_eq!(bad.parse::<SegmentName>(), Err(NotAName), "{bad}");
        }
    }

    #[test]
    fn names_sort_by_start_and_then_by_place() {
        let name = |first, epoch| FileName { first: Csn(first), epoch: Epoch(epoch) };
        assert!(name(9, 1) < name(3, 2) && name(3, 2) < name(4, 2));
    }
}
