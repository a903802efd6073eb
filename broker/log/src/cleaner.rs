//! The cleaner: wins back the space of what nobody needs any more.
//!
//! It works on sealed files only, in three kinds of [`Job`]: files of which nothing is needed are
//! dropped; files that are more than half dead are rewritten into one segment (`rewrite.rs`), and
//! what newer values have superseded in compacted partitions is found out (`survey.rs`). Which comes
//! next is decided by a function of what is known of the files (`plan.rs`).
//!
//! **The cleaner changes nothing that counts.** A job leaves the files as they are and, at most, a
//! new one beside them. What it has done counts when the records that it returns are durable in
//! `_segments`; only then may [`Cleaner::install`] show readers the segment and doom the old
//! files, which go when their last reader lets them. A start judges from the same records.

mod compact;
mod facts;
mod job;
mod keys;
mod part;
mod plan;
mod rewrite;
mod segment;
mod survey;
mod throttle;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use logmill_model::internal::{CsnRange, RemovedRecord, SegmentRecord, SegmentsRecord};
use logmill_model::{Csn, Offset, PartitionId, Timestamp};

use crate::active_file::Identity;
use crate::file_header::FileKind;
use crate::file_name::{SegmentName, file_name};
use crate::log_file::LogFile;
use crate::span::Span;
use crate::visible::Visible;
use crate::{Error, OnFatal, Settings};
use compact::Horizon;
use facts::Facts;
use job::{Done, Dropping, Rewriting, Task};
use keys::KeyMap;
use plan::{Bounds, Planned, backlog_bytes, plan};
use rewrite::{Rewrite, Rewritten};
use segment::Origin;
use survey::{Survey, Surveyed};

pub use job::{Cleaned, Job, Report};
pub use throttle::Throttle;

/// How long a producer that sends nothing is known, in milliseconds.
const PRODUCER_IDLE_MS: u64 = 7 * 24 * 3600 * 1000;
/// The most files that one job takes: its record names them all.
const FILES_MAX: usize = 1024;
/// A rewrite must win at least this part of a journal file.
const GAIN_PART: u64 = 128;

/// What only the broker knows of what is needed.
pub struct Policies<'a> {
    /// The time of the newest entry, or a little before it.
    pub now: Timestamp,
    /// Every view has durably taken in the entries up to this one; later ones are not touched.
    pub views_csn: Csn,
    /// Whether only the last value of each key of a partition is needed.
    pub is_compacted: &'a dyn Fn(PartitionId) -> bool,
}

/// Plans the cleaning of a log, and makes it count. It does one job at a time.
pub struct Cleaner {
    visible: Arc<Visible>,
    identity: Identity,
    bounds: Bounds,
    /// The bound on a segment, or less while the disk is full.
    segment_bytes: u64,
    on_fatal: OnFatal,
    keys_bytes_max: usize,
    tombstones_kept: Duration,
    /// How many segments this start began.
    segments: u64,
    /// The entries whose files were dropped.
    removed: RemovedRecord,
    /// Files that a job failed on, by their ids.
    avoided: HashSet<u64>,
    /// Up to where compacted partitions were looked at.
    surveyed: HashMap<PartitionId, Offset>,
    /// The bytes that were superseded then, by file and partition.
    superseded: HashMap<(u64, PartitionId), u64>,
    /// The newest offsets of what was new then.
    keys: Option<Arc<KeyMap>>,
    /// The partitions of which not all keys fitted when they were looked at.
    partial: Vec<PartitionId>,
    /// Whether anything was rewritten since there was nothing to do.
    has_rewritten: bool,
    backlog_bytes: u64,
    /// The count of changes at the last plan.
    planned_at: u64,
}

impl Cleaner {
    pub(crate) fn new(
        visible: Arc<Visible>,
        identity: Identity,
        settings: &Settings,
        removed: RemovedRecord,
    ) -> Self {
        let bounds = Bounds {
            segment_bytes: settings.segment_bytes.min(Settings::JOURNAL_FILE_BYTES_MAX),
            gain_bytes_min: settings.journal_file_bytes / GAIN_PART,
            files_max: FILES_MAX,
        };
        Self {
            visible,
            identity,
            bounds,
            segment_bytes: bounds.segment_bytes,
            on_fatal: Arc::clone(&settings.on_fatal),
            // One map is kept from the last survey, the other one is made for each job.
            keys_bytes_max: settings.compaction_bytes / 2,
            tombstones_kept: settings.tombstones_kept,
            segments: 0,
            removed,
            avoided: HashSet::new(),
            surveyed: HashMap::new(),
            superseded: HashMap::new(),
            keys: None,
            partial: Vec::new(),
            has_rewritten: false,
            backlog_bytes: 0,
            planned_at: 0,
        }
    }

    /// What to do next, if anything is worth it.
    pub fn plan(&mut self, policies: &Policies<'_>) -> Option<Job> {
        self.planned_at = self.visible.changes();
        let task = self.next_task(policies);
        let task =
            if task.is_none() && self.looks_again() { self.next_task(policies) } else { task };
        if task.is_none() {
            self.keys = None;
        }
        task.map(Job)
    }

    fn next_task(&mut self, policies: &Policies<'_>) -> Option<Task> {
        let facts = self.facts(policies);
        self.backlog_bytes = backlog_bytes(&facts.facts);
        let bounds = Bounds { segment_bytes: self.segment_bytes, ..self.bounds };
        let planned = plan(&facts.facts, bounds);
        // What is superseded is found out before a rewrite could leave it out; but what the last
        // survey found is used up before the next one.
        let looks_first = !facts.due.is_empty() && (self.keys.is_none() || planned.is_none());
        match planned {
            Some(Planned::Drop(files)) => Some(Task::Drop(self.dropping(&facts, &files))),
            _ if looks_first => Some(Task::Survey(self.survey(&facts, policies))),
            Some(Planned::Rewrite(run)) => {
                let files = facts.files[run].iter().map(|it| Arc::clone(&it.file)).collect();
                self.rewriting(files, policies).map(Task::Rewrite)
            }
            None => None,
        }
    }

    /// Whether compacted partitions have more keys than fitted, and what was known of them was
    /// worth a rewrite: then others are taken next.
    fn looks_again(&mut self) -> bool {
        let partial = std::mem::take(&mut self.partial);
        let again = std::mem::take(&mut self.has_rewritten) && !partial.is_empty();
        if again {
            self.surveyed.extend(partial.into_iter().map(|partition| (partition, Offset::ZERO)));
        }
        again
    }

    /// The newest entry of the files that it may have something to do with.
    #[must_use]
    pub fn newest(&self) -> Csn {
        let files = self.visible.sealed.all();
        let seal = files.last().and_then(|last| last.file.seal());
        seal.map_or(Csn::ZERO, |seal| seal.newest.csn)
    }

    /// Whether anything happened since the last [`plan`](Self::plan) that may have left something to
    /// do: a file was sealed, a start moved, a topic was deleted. Time alone does not count.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.visible.changes() != self.planned_at
    }

    /// The bytes that cleaning would win back, as of the last [`plan`](Self::plan).
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    fn dropping(&self, facts: &Facts, files: &[usize]) -> Dropping {
        let files: Vec<_> = files.iter().map(|at| Arc::clone(&facts.files[*at].file)).collect();
        let mut removed = self.removed.clone();
        files.iter().filter_map(|file| range_of(file)).for_each(|range| removed.add(range));
        let mut records = vec![SegmentsRecord::Removed(Some(removed.clone()))];
        records.extend(files.iter().filter_map(no_segment));
        Dropping { files, removed, records }
    }

    fn survey(&self, facts: &Facts, policies: &Policies<'_>) -> Survey {
        let readable = facts.files.iter().filter(|it| !self.is_avoided(&it.file));
        let files: Vec<_> = readable.map(|it| Arc::clone(&it.file)).collect();
        let ids = files.iter().map(|file| file.id).collect();
        let due: HashMap<PartitionId, Offset> = facts.due.iter().copied().collect();
        let parts = self.parts(&ids, &|partition| due.contains_key(&partition));
        let parts =
            parts.into_iter().filter_map(|part| Some((due.get(&part.partition).copied()?, part)));
        Survey {
            visible: Arc::clone(&self.visible),
            files,
            parts: parts.map(|(new, part)| (part, new)).collect(),
            horizon: self.horizon(policies),
            keys_bytes_max: self.keys_bytes_max,
        }
    }

    fn rewriting(
        &mut self,
        files: Vec<Arc<LogFile>>,
        policies: &Policies<'_>,
    ) -> Option<Rewriting> {
        let ids = files.iter().map(|file| file.id).collect();
        let parts = self.parts(&ids, policies.is_compacted);
        let (first, last) = (files.first()?, files.last()?.seal()?);
        // What died since the files were looked at is dropped as it is, next time.
        parts.first()?;
        let prev_crc = first.seal()?.prev_crc;
        self.segments += 1;
        let (epoch, number) = (self.identity.epoch, self.segments);
        let name = SegmentName { first: first.header.first, epoch, number };
        let range = CsnRange { first: first.header.first, last: last.newest.csn };
        let origin = Origin { identity: self.identity, name, prev_crc, newest: last.newest };
        let mut removed = self.removed.clone();
        let records = records_of(name, range, &files, &mut removed);
        let rewrite = Rewrite {
            visible: Arc::clone(&self.visible),
            origin,
            files,
            parts,
            horizon: self.horizon(policies),
            keys_bytes_max: self.keys_bytes_max,
            elsewhere: self.keys.clone(),
        };
        Some(Rewriting { rewrite, removed, records })
    }

    fn horizon(&self, policies: &Policies<'_>) -> Horizon {
        let before = |ms: u64| Timestamp(policies.now.0.saturating_sub(ms));
        let kept = u64::try_from(self.tombstones_kept.as_millis()).unwrap_or(u64::MAX);
        Horizon {
            tombstones: before(kept),
            synced: policies.views_csn,
            producers: before(PRODUCER_IDLE_MS),
        }
    }

    /// The records of a job are durable: readers take what they need from the new files, and the
    /// old ones go when nobody reads them any more.
    pub fn install(&mut self, cleaned: Cleaned) {
        self.visible.counters.count_cleaned(cleaned.report());
        match cleaned.result {
            Done::Surveyed(surveyed) => self.take_in(surveyed),
            Done::Dropped(files, removed) => {
                self.removed = removed;
                self.visible.sealed.remove(&files);
                self.doom(&files);
            }
            Done::Rewritten(rewritten, removed) => {
                self.removed = removed;
                self.swap(&rewritten);
            }
        }
    }

    /// The records of a job were refused: nothing has changed, and the segment goes.
    ///
    /// Where it is unknown what became of them, neither this nor [`install`](Self::install) is right:
    /// the next start finds out.
    pub fn discard(&mut self, cleaned: Cleaned) {
        if let Done::Rewritten(rewritten, _) = cleaned.result {
            self.visible.sealed.remove_pending(&rewritten.new);
            rewritten.new.doom(self.visible.files.shared_storage());
        }
    }

    /// A job has failed. A file that is not what was written is left alone from now on. On a full
    /// disk the next job takes fewer files. After a sync that failed the broker stops.
    pub fn failed(&mut self, error: &Error) {
        match error {
            Error::Corrupt { path, .. } => {
                let all = self.visible.sealed.all();
                let bad = all.iter().filter(|it| it.file.path == *path).map(|it| it.file.id);
                self.avoided.extend(bad);
            }
            Error::Sync { .. } => (self.on_fatal)(error),
            _ if error.is_disk_full() => self.segment_bytes /= 4,
            _ => {}
        }
    }

    fn take_in(&mut self, surveyed: Surveyed) {
        let Surveyed { ends, superseded, keys } = surveyed;
        let looked_at: HashSet<PartitionId> =
            ends.iter().map(|(partition, _)| *partition).collect();
        self.superseded.retain(|(_, partition), _| !looked_at.contains(partition));
        self.superseded.extend(superseded);
        self.surveyed.extend(ends);
        self.partial.retain(|partition| !looked_at.contains(partition));
        if keys.one_of() > 1 {
            self.partial.extend(looked_at);
        }
        self.keys = Some(keys);
    }

    fn swap(&mut self, rewritten: &Rewritten) {
        let Rewritten { old, new, summary, partitions } = rewritten;
        let ids: HashSet<u64> = old.iter().map(|file| file.id).collect();
        for id in partitions {
            if let Some(partition) = self.visible.partition(*id) {
                let row = summary.partitions.iter().find(|row| row.partition == *id);
                partition.replace(&ids, row.map(|row| Span::new(row, new)));
            }
        }
        self.has_rewritten = true;
        self.segment_bytes = self.bounds.segment_bytes.min(2 * self.segment_bytes.max(1));
        self.visible.sealed.replace(old, new, summary);
        self.doom(old);
    }

    /// Lets files go that nobody needs any more.
    fn doom(&mut self, files: &[Arc<LogFile>]) {
        for file in files {
            file.doom(self.visible.files.shared_storage());
            self.superseded.retain(|(id, _), _| *id != file.id);
        }
    }
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaner")
            .field("backlog_bytes", &self.backlog_bytes)
            .finish_non_exhaustive()
    }
}

/// The entries that a sealed file stands for.
fn range_of(file: &LogFile) -> Option<CsnRange> {
    Some(CsnRange { first: file.header.first, last: file.seal()?.newest.csn })
}

/// What says that a file is no segment any more, if it was one.
fn no_segment(file: &Arc<LogFile>) -> Option<SegmentsRecord> {
    let is_segment = file.header.kind == FileKind::Segment;
    is_segment.then(|| SegmentsRecord::Segment(file_name(&file.path).to_owned(), None))
}

/// What makes a segment count in the place of these files.
fn records_of(
    name: SegmentName,
    range: CsnRange,
    files: &[Arc<LogFile>],
    removed: &mut RemovedRecord,
) -> Vec<SegmentsRecord> {
    let replaces = files.iter().map(|file| file_name(&file.path).to_owned()).collect();
    let segment = SegmentRecord { first: range.first, last: range.last, replaces };
    let mut records = vec![SegmentsRecord::Segment(name.to_string(), Some(segment))];
    records.extend(files.iter().filter_map(no_segment));
    if removed.leave_out(range) {
        records.push(SegmentsRecord::Removed(Some(removed.clone())));
    }
    records
}
