//! Counts of what the log has done since it was opened.

/// Counts since the log was opened, but for `journal_bytes` and `journal_files`, which are what
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
    /// Bytes of all journal files: what is written, without what is only preallocated.
    pub journal_bytes: u64,
}
