//! Which files are the log, when cleaning and its crashes have left more than that.
//!
//! A segment counts from the moment its record in `_segments` is durable. It then replaces every
//! other file that begins in its range, however long those are still there; and so do entries that
//! were removed. The records themselves lie in such files, so files are judged from the newest on:
//! what replaces a file is always newer than all that is in it, and a replaced file is not even
//! asked.
//!
//! **Where records of `_segments` may be lost, nothing is removed**, and a segment without a record
//! counts if it is whole and has entries that are nowhere else (`adoption.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};

use logmill_model::internal::{CsnRange, SegmentRecord, SegmentsKey, SegmentsRecord, StartRecord};
use logmill_model::{Csn, Offset, PartitionId};

use super::adoption::adoptable;
use super::continuity::{Gaps, MissingSegment};
use super::directory::{HeadlessFile, JournalFile};
use super::plan::Live;
use crate::Error;
use crate::file_header::{FileHeader, FileKind};
use crate::file_name::{SEGMENT_FOLDER, file_name};

/// The files of the log.
#[derive(Default)]
pub(super) struct FileSet {
    /// In the order of their entries.
    pub(super) live: Vec<Live>,
    /// Paths of files that something has replaced, or that never came to count.
    pub(super) dead: Vec<String>,
    /// What is known of entries that none of them has.
    pub(super) gaps: Gaps,
    /// Where partitions start.
    pub(super) starts: HashMap<PartitionId, Offset>,
    /// Segments of which no record was found, by their names.
    pub(super) unclaimed: HashMap<String, JournalFile>,
}

/// What there is to be judged.
pub(super) struct Candidates<'a> {
    pub(super) journal: &'a [Live],
    pub(super) segments: &'a [JournalFile],
    pub(super) headless: &'a [HeadlessFile],
    /// Paths of files that can't be read at all.
    pub(super) blank: &'a [String],
}

/// Something that one file says of which files are the log.
pub(super) enum Said {
    Record(SegmentsRecord),
    /// Here it can't be read. What was lost is older than this entry.
    Bad(Csn),
}

/// Reads the records of `_segments` in one file, the newest one first. The first entry of a newer
/// file is given, if there is one.
pub(super) type ReadRecords<'a> = &'a dyn Fn(&Live, Option<Csn>) -> Result<Vec<Said>, Error>;

impl FileSet {
    /// Judges the files of the journal and the segments.
    pub(super) fn of(
        candidates: &Candidates<'_>,
        read_records: ReadRecords<'_>,
    ) -> Result<Self, Error> {
        let mut adopted = Vec::new();
        loop {
            let mut judge = Judge::new(candidates, &adopted);
            judge.judge(read_records)?;
            let set = judge.end();
            match adoptable(&set)? {
                Some(segment) => adopted.push(segment),
                None => return Ok(set),
            }
        }
    }
}

struct Judge<'a> {
    blank: &'a [String],
    /// Files that are not judged yet, by their first entry.
    waiting: BTreeMap<Csn, Live>,
    known: HashSet<SegmentsKey>,
    /// What segments stand for.
    replaced: Vec<CsnRange>,
    set: FileSet,
}

impl<'a> Judge<'a> {
    /// `adopted` are segments that count without a record.
    fn new(candidates: &Candidates<'a>, adopted: &[(String, SegmentRecord)]) -> Self {
        let Candidates { journal, segments, headless, blank } = candidates;
        let by_first = |live: &Live| (live.file.header.first, live.clone());
        let by_name = |file: &JournalFile| (file_name(&file.path).to_owned(), file.clone());
        let mut judge = Self {
            blank,
            waiting: journal.iter().map(by_first).collect(),
            known: HashSet::new(),
            replaced: Vec::new(),
            set: FileSet {
                unclaimed: segments.iter().map(by_name).collect(),
                ..FileSet::default()
            },
        };
        for HeadlessFile { name, .. } in *headless {
            let next = judge.waiting.range(name.first.next()..).next();
            judge.set.gaps.unsure(next.map_or(Csn(u64::MAX), |(first, _)| *first));
        }
        for (name, SegmentRecord { first, last, .. }) in adopted {
            if let Some(file) = judge.set.unclaimed.remove(name) {
                judge.stand(file, CsnRange { first: *first, last: *last });
            }
        }
        judge
    }

    fn judge(&mut self, read_records: ReadRecords<'_>) -> Result<(), Error> {
        let mut newer = None;
        while let Some((first, mut live)) = self.waiting.pop_last() {
            if live.file.header.kind == FileKind::Journal && self.is_replaced(first) {
                self.set.dead.push(live.file.path);
                continue;
            }
            for said in read_records(&live, newer)? {
                match said {
                    Said::Record(record) => self.take(record)?,
                    Said::Bad(before) => {
                        live.has_bad = true;
                        self.set.gaps.unsure(before);
                    }
                }
            }
            // A header that was made ahead says nothing.
            if newer.is_some() || live.file.has_entries()? {
                newer = Some(first);
            }
            self.set.live.push(live);
        }
        Ok(())
    }

    fn is_replaced(&self, first: Csn) -> bool {
        let first = CsnRange { first, last: first };
        self.set.gaps.removed.contains(first) || self.replaced.iter().any(|it| it.contains(first))
    }

    fn take(&mut self, record: SegmentsRecord) -> Result<(), Error> {
        if !self.known.insert(record.key()) {
            return Ok(());
        }
        match record {
            SegmentsRecord::Segment(name, Some(segment)) => self.add_segment(name, &segment)?,
            SegmentsRecord::Removed(Some(removed)) => self.set.gaps.removed = removed,
            SegmentsRecord::Accepted(path, position, Some(accepted)) => {
                self.set.gaps.accepted.add(path, position, accepted);
            }
            SegmentsRecord::Start(partition, Some(StartRecord { offset })) => {
                self.set.starts.insert(partition, offset);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_segment(&mut self, name: String, segment: &SegmentRecord) -> Result<(), Error> {
        let SegmentRecord { first, last, .. } = *segment;
        if self.is_replaced(first) {
            // A newer one stands for it, though the record that says so is lost.
            return Ok(());
        }
        let range = CsnRange { first, last };
        let Some(file) = self.set.unclaimed.remove(&name) else {
            // What it was made from may be there. If it is not, its entries are found to be missing.
            let is_there = self.blank.contains(&format!("{SEGMENT_FOLDER}/{name}"));
            self.set.gaps.missing.push(MissingSegment { name, range, is_there });
            return Ok(());
        };
        if file.header.first != first {
            return Err(Error::foreign(&file.path, "its header is not the one of its record"));
        }
        self.stand(file, range);
        Ok(())
    }

    /// A segment stands for these entries.
    fn stand(&mut self, segment: JournalFile, range: CsnRange) {
        self.replaced.push(range);
        if let Some(old) = self.waiting.insert(range.first, Live::new(segment, None)) {
            self.set.dead.push(old.file.path);
        }
    }

    fn end(self) -> FileSet {
        let mut set = self.set;
        set.dead.extend(set.unclaimed.values().map(|file| file.path.clone()));
        if set.gaps.unsure_before > Csn::ZERO {
            set.dead.clear();
        }
        set.live.reverse();
        let mut next = None;
        for live in set.live.iter_mut().rev() {
            let header = &live.file.header;
            live.until = match next {
                Some(next) if header.kind == FileKind::Journal => until(live, next, &set.gaps),
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
fn until(live: &Live, next: FileHeader, gaps: &Gaps) -> Option<Csn> {
    let begins = gaps.removed.ranges().iter().map(|range| range.first);
    let removed = begins.filter(|it| *it > live.file.header.first && *it < next.first).min();
    let replaced = live.until.filter(|until| next.supersedes == Some(*until));
    let cleaned = (next.kind == FileKind::Segment).then_some(next.first);
    removed.or(replaced).or(cleaned)
}
