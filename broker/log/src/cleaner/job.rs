//! What the cleaner does at a time, and what comes of it.

use std::sync::Arc;

use logmill_model::internal::{RemovedRecord, SegmentsRecord};

use super::Throttle;
use super::rewrite::{Rewrite, Rewritten};
use super::survey::{Survey, Surveyed};
use crate::Error;
use crate::log_file::LogFile;

/// Something to do. Nothing has changed before [`run`](Self::run), and nothing that counts after it.
#[derive(Debug)]
#[must_use = "a job does nothing until it is run"]
pub struct Job(pub(super) Task);

#[derive(Debug)]
pub(super) enum Task {
    Drop(Dropping),
    Survey(Survey),
    Rewrite(Rewriting),
}

/// Files to be dropped as they are.
#[derive(Debug)]
pub(super) struct Dropping {
    pub(super) files: Vec<Arc<LogFile>>,
    pub(super) removed: RemovedRecord,
    pub(super) records: Vec<SegmentsRecord>,
}

/// Files to become one segment, and what makes that count.
#[derive(Debug)]
pub(super) struct Rewriting {
    pub(super) rewrite: Rewrite,
    pub(super) removed: RemovedRecord,
    pub(super) records: Vec<SegmentsRecord>,
}

/// What a job has done. It counts when its records are durable.
#[derive(Debug)]
#[must_use = "it counts only when its records are committed"]
pub struct Cleaned {
    pub(super) records: Vec<SegmentsRecord>,
    pub(super) result: Done,
}

#[derive(Debug)]
pub(super) enum Done {
    Dropped(Vec<Arc<LogFile>>, RemovedRecord),
    Surveyed(Surveyed),
    Rewritten(Rewritten, RemovedRecord),
}

impl Job {
    /// Does it. Blocks, for as long as the throttle wants.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the throttle was stopped; [`Error::Corrupt`] when a file is not
    /// what was written; [`Error::Io`], where a full disk is no harm; [`Error::Sync`], after which
    /// the broker must stop.
    pub fn run(self, throttle: &Throttle) -> Result<Cleaned, Error> {
        Ok(match self.0 {
            Task::Drop(Dropping { files, removed, records }) => {
                Cleaned { records, result: Done::Dropped(files, removed) }
            }
            Task::Survey(survey) => {
                Cleaned { records: Vec::new(), result: Done::Surveyed(survey.run(throttle)?) }
            }
            Task::Rewrite(Rewriting { rewrite, removed, records }) => {
                let rewritten = rewrite.run(throttle)?;
                Cleaned { records, result: Done::Rewritten(rewritten, removed) }
            }
        })
    }
}

/// What a job has won, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Files that go.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of the segment in their place, if there is one.
    pub segment_bytes: u64,
}

impl Cleaned {
    /// What must be committed to `_segments`; nothing for a job that only looked.
    #[must_use]
    pub fn records(&self) -> &[SegmentsRecord] {
        &self.records
    }

    /// What comes of it.
    #[must_use]
    pub fn report(&self) -> Report {
        let sizes = |files: &[Arc<LogFile>]| {
            let bytes = files.iter().map(|file| file.sealed_bytes()).sum();
            Report { files: files.len() as u64, bytes, segment_bytes: 0 }
        };
        match &self.result {
            Done::Surveyed(_) => Report::default(),
            Done::Dropped(files, _) => sizes(files),
            Done::Rewritten(it, _) => {
                Report { segment_bytes: it.new.sealed_bytes(), ..sizes(&it.old) }
            }
        }
    }
}
