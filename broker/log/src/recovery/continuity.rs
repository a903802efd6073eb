//! Whether the entries of one file follow those of the file before it, and what a gap between them
//! is: dropped, a file that is gone, or a loss that can be served around.

use logmill_model::Csn;
use logmill_model::internal::{CsnRange, RemovedRecord};

use super::directory::JournalFile;
use crate::accepted::Accepted;
use crate::active_file::Newest;
use crate::file_header::FILE_HEADER_BYTES;
use crate::file_name::{SEGMENT_FOLDER, file_name};
use crate::hole::{GONE_BYTES_MAX, entries_in};
use crate::known::Claim;
use crate::{Error, Hole};

/// What a file comes after.
pub(super) enum Before {
    /// This commit.
    Commit(Newest),
    /// Entries that are in no file, though nothing says that they were dropped.
    Gap(CsnRange),
}

/// A segment that a record names and that is not there, or can't be read at all.
#[derive(Debug, Clone)]
pub(super) struct MissingSegment {
    pub(super) name: String,
    pub(super) range: CsnRange,
    /// Whether its file is there, without a header.
    pub(super) is_there: bool,
}

/// What is known of entries that are in no file.
#[derive(Default)]
pub(super) struct Gaps {
    /// The entries whose files were dropped.
    pub(super) removed: RemovedRecord,
    /// What somebody has accepted as lost.
    pub(super) accepted: Accepted,
    /// A record of `_segments` may be lost that says what became of entries before this one.
    pub(super) unsure_before: Csn,
    pub(super) missing: Vec<MissingSegment>,
    /// The newest commit that anything but the files tells of.
    pub(super) claimed: Claim,
    /// Whether somebody is about to accept all that is lost.
    pub(super) accept_all: bool,
}

impl Gaps {
    /// A record of `_segments` may be lost that was older than this entry.
    pub(super) fn unsure(&mut self, before: Csn) {
        self.unsure_before = self.unsure_before.max(before);
    }

    /// Whether a file is that of a segment that counts, and can't be read: it stays as it is.
    pub(super) fn is_of_missing(&self, path: &str) -> bool {
        self.missing.iter().any(|it| it.is_there && file_name(path) == it.name)
    }

    /// Paths of segments that count, and can't be read.
    pub(super) fn headless_segments(&self) -> impl Iterator<Item = String> + '_ {
        let there = self.missing.iter().filter(|it| it.is_there);
        there.map(|it| format!("{SEGMENT_FOLDER}/{}", it.name))
    }

    /// Decides whether a file may come after the commit `newest`, and tells what it follows.
    pub(super) fn before(&self, file: &JournalFile, newest: Newest) -> Result<Before, Error> {
        let (first, expected) = (file.header.first, newest.csn.next());
        if first == expected {
            return Ok(Before::Commit(newest));
        }
        if first < expected {
            let what = format!("it begins at entry {first}, which an older file has");
            return Err(Error::foreign(&file.path, what));
        }
        let gap = CsnRange { first: expected, last: Csn(first.0 - 1) };
        if self.removed.contains(gap) {
            let entry_crc = first_prev_crc(file)?;
            return Ok(Before::Commit(Newest { csn: gap.last, entry_crc, time: newest.time }));
        }
        Ok(Before::Gap(gap))
    }

    /// The hole that a gap before the file at `next` is. It is refused where nothing explains it, so
    /// that a directory that was copied by half is not taken for all there was.
    ///
    /// Where records of `_segments` are lost, the files of the gap may have been dropped, and the
    /// record of it may be among those: then the rest is served, and the gap is told as a loss.
    pub(super) fn hole(
        &self,
        gap: CsnRange,
        place: &(String, u64),
        next: &str,
    ) -> Result<Hole, Error> {
        let CsnRange { first, last } = gap;
        let mut accepted = self.removed.clone();
        self.accepted.csns().for_each(|range| accepted.add(range));
        let headless = self.missing.iter().find(|it| it.is_there && it.range.contains(gap));
        let what = if let Some(MissingSegment { name, .. }) = headless {
            format!(
                "entries {first} to {last} are in segment {name}, both copies of whose header are bad"
            )
        } else if self.accept_all || accepted.contains(gap) {
            format!("entries {first} to {last} are in no file")
        } else if last < self.unsure_before {
            format!(
                "entries {first} to {last} are in no file; a record that they were dropped may be lost where the log is corrupt"
            )
        } else {
            return Err(self.refusal(gap, next));
        };
        Ok(gone(gap, place, what))
    }

    /// Whether a newer file than the last one that is there was written, which ends with this commit and
    /// whose broker stopped in order. All other seals tell of a newer file themselves.
    pub(super) fn is_followed(&self, newest: Csn) -> bool {
        newest < self.claimed.csn
    }

    /// The hole that follows the last file, though a newer one was written. Nobody knows how many
    /// entries that had.
    pub(super) fn hole_at_end(&self, newest: Csn, place: &(String, u64)) -> Result<Hole, Error> {
        let first = newest.next();
        if !self.accept_all {
            let (path, told_by) = (place.0.clone(), self.told_by(newest));
            return Err(Error::Missing { first, last: None, place: "after", path, told_by });
        }
        let last = self.last_of_gone(newest);
        let told_by = self.told_by(newest);
        let what = format!("entries from {first} on are in no file, though {told_by}");
        Ok(gone(CsnRange { first, last }, place, what))
    }

    /// The last entry that there can have been behind this one, where something tells that there was more.
    pub(super) fn last_of_gone(&self, newest: Csn) -> Csn {
        Csn(newest.0.saturating_add(entries_in(GONE_BYTES_MAX))).max(self.claimed.csn)
    }

    fn told_by(&self, newest: Csn) -> String {
        match self.is_followed(newest) {
            true => self.claimed.told_by.clone(),
            false => "it ends as one that another one follows".to_owned(),
        }
    }

    fn refusal(&self, gap: CsnRange, next: &str) -> Error {
        let CsnRange { first, last } = gap;
        let has = |it: &&MissingSegment| it.range.first <= first && first <= it.range.last;
        match self.missing.iter().find(has) {
            Some(MissingSegment { name, range, .. }) => {
                Error::SegmentMissing { file: name.clone(), first: range.first, last: range.last }
            }
            None => {
                let (last, path) = (Some(last), next.to_owned());
                Error::Missing { first, last, place: "before", path, told_by: String::new() }
            }
        }
    }
}

fn gone(gap: CsnRange, (path, position): &(String, u64), what: String) -> Hole {
    Hole {
        csns: Some(gap),
        may_hide_partitions: true,
        is_cut: true,
        ..Hole::at(path, *position, 0, what)
    }
}

/// The entry CRC of the commit that a file says it follows: what it can be held against is gone. 0
/// when that can't be read either.
pub(super) fn first_prev_crc(file: &JournalFile) -> Result<u32, Error> {
    let position = FILE_HEADER_BYTES as u64;
    let head = file.window()?.head(position, file.header.salt)?;
    Ok(head.map_or(0, |head| head.header.prev_crc))
}
