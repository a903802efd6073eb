//! Counts of what the log has done since it was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Report;

/// Counts since the log was opened, but for `journal_files` and `journal_bytes`, which are what
/// the journal holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Syncs that made entries durable, one for each group.
    pub syncs: u64,
    /// Checkpoints of an idle journal, each with a sync of its own.
    pub checkpoints: u64,
    /// Entries made durable.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Journal files.
    pub journal_files: u64,
    /// Bytes of all journal files, without what is only preallocated.
    pub journal_bytes: u64,
}

/// [`Stats`] as they grow. Only the writer adds; readers may see one count before another.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) entries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) journal_files: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            syncs: self.syncs.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            entries: self.entries.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            journal_files: self.journal_files.load(Relaxed),
            journal_bytes: self.journal_bytes.load(Relaxed),
        }
    }
}

impl Counters {
    /// Takes off what the cleaner has won.
    pub(crate) fn count_cleaned(&self, report: Report) {
        let Report { files, bytes, segment_bytes } = report;
        self.journal_files.fetch_sub(files.saturating_sub(u64::from(segment_bytes > 0)), Relaxed);
        self.journal_bytes.fetch_sub(bytes.saturating_sub(segment_bytes), Relaxed);
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
