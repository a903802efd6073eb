//! Which files are the log, when cleaning and its crashes have left more than that.
//!
//! A segment counts from the moment its record in `_segments` is durable. It then replaces every
//! other file that begins in its range, however long those are still there; and so do entries that
//! were removed. The records themselves lie in such files, so files are judged from the newest on:
//! what replaces a file is always newer than all that is in it, and a replaced file is not even
//! asked.

use std::collections::{BTreeMap, HashMap, HashSet};

use logmill_model::Csn;
use logmill_model::internal::{
    CsnRange, RemovedRecord, SegmentRecord, SegmentsKey, SegmentsRecord,
};

use super::directory::JournalFile;
use super::plan::Live;
use crate::Error;
use crate::file_header::{FileHeader, FileKind};
use crate::file_name::file_name;

/// The files of the log.
#[derive(Default)]
pub(super) struct FileSet {
    /// In the order of their entries.
    pub(super) live: Vec<Live>,
    /// Paths of files that something has replaced, or that never came to count.
    pub(super) dead: Vec<String>,
    /// The entries whose files were dropped.
    pub(super) removed: RemovedRecord,
}

/// Reads the records of `_segments` in one file, the newest one first.
pub(super) type ReadRecords<'a> = &'a dyn Fn(&Live) -> Result<Vec<SegmentsRecord>, Error>;

impl FileSet {
    /// Judges the files of the journal and the segments.
    pub(super) fn of(
        journal: Vec<Live>,
        segments: Vec<JournalFile>,
        read_records: ReadRecords<'_>,
    ) -> Result<Self, Error> {
        let mut judge = Judge {
            waiting: journal.into_iter().map(|live| (live.file.header.first, live)).collect(),
            segments: segments
                .into_iter()
                .map(|file| (file_name(&file.path).to_owned(), file))
                .collect(),
            known: HashSet::new(),
            replaced: Vec::new(),
            set: Self::default(),
        };
        while let Some((first, live)) = judge.waiting.pop_last() {
            if live.file.header.kind == FileKind::Journal && judge.is_replaced(first) {
                judge.set.dead.push(live.file.path);
                continue;
            }
            for record in read_records(&live)? {
                judge.take(record)?;
            }
            judge.set.live.push(live);
        }
        Ok(judge.end())
    }
}

struct Judge {
    /// Files that are not judged yet, by their first entry.
    waiting: BTreeMap<Csn, Live>,
    /// Segments of which no record was found yet.
    segments: HashMap<String, JournalFile>,
    known: HashSet<SegmentsKey>,
    /// What segments stand for.
    replaced: Vec<CsnRange>,
    set: FileSet,
}

impl Judge {
    fn is_replaced(&self, first: Csn) -> bool {
        let first = CsnRange { first, last: first };
        self.set.removed.contains(first) || self.replaced.iter().any(|it| it.contains(first))
    }

    fn take(&mut self, record: SegmentsRecord) -> Result<(), Error> {
        if !self.known.insert(record.key()) {
            return Ok(());
        }
        match record {
            SegmentsRecord::Segment(name, Some(segment)) => self.add_segment(name, &segment),
            SegmentsRecord::Removed(Some(removed)) => {
                self.set.removed = removed;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_segment(&mut self, name: String, segment: &SegmentRecord) -> Result<(), Error> {
        let SegmentRecord { first, last, .. } = *segment;
        if self.is_replaced(first) {
            // A newer one stands for it, though the record that says so is lost.
            return Ok(());
        }
        let Some(file) = self.segments.remove(&name) else {
            return Err(Error::SegmentMissing { file: name, first, last });
        };
        if file.header.first != first {
            return Err(Error::foreign(&file.path, "its header is not the one of its record"));
        }
        self.replaced.push(CsnRange { first, last });
        if let Some(old) = self.waiting.insert(first, Live { file, until: None }) {
            self.set.dead.push(old.file.path);
        }
        Ok(())
    }

    fn end(self) -> FileSet {
        let mut set = self.set;
        set.dead.extend(self.segments.into_values().map(|file| file.path));
        set.live.reverse();
        let mut next = None;
        for live in set.live.iter_mut().rev() {
            let header = &live.file.header;
            live.until = match next {
                Some(next) if header.kind == FileKind::Journal => until(live, next, &set.removed),
                _ => None,
            };
            next = Some(live.file.header);
        }
        set
    }
}

/// Up to where a journal file is read that `next` follows, if something has replaced what lies
/// behind that: the next file replaces its end; or what followed was removed or is in a segment, and
/// all before it was durable by then. The file's own seal need not be: a crash may have kept it
/// from the disk, and the start after that, which went on behind it, said so in a file that is gone.
fn until(live: &Live, next: FileHeader, removed: &RemovedRecord) -> Option<Csn> {
    let begins = removed.ranges().iter().map(|range| range.first);
    let removed = begins.filter(|it| *it > live.file.header.first && *it < next.first).min();
    let replaced = live.until.filter(|until| next.supersedes == Some(*until));
    let cleaned = (next.kind == FileKind::Segment).then_some(next.first);
    removed.or(replaced).or(cleaned)
}
