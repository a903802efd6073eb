//! What can be chosen about the log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// Called once, with the failure that stopped the journal.
pub type OnFatal = Arc<dyn Fn(&Error) + Send + Sync>;

/// The log's settings. The defaults suit a broker; tests make files small.
#[derive(Clone)]
pub struct Settings {
    /// How large a journal file is before the next one is begun, in bytes; at most
    /// [`Settings::JOURNAL_FILE_BYTES_MAX`] counts. Its space is taken in advance, and that of two
    /// more, so a journal takes three times this at least. An entry is never split: one that is
    /// larger than a file has a file for itself.
    pub journal_file_bytes: u64,
    /// How much of the disk is left free for the cleaner, in bytes: with less than this and a file,
    /// the disk counts as full. It should hold one segment, and what may be in flight.
    pub reserve_bytes: u64,
    /// How much of the newest records stays in memory for readers at the tail, in bytes.
    pub tail_bytes: usize,
    /// How much of the index of sealed files stays in memory, in bytes. Less means that a reader who
    /// is behind reads more of it from the disk.
    pub points_cache_bytes: usize,
    /// How much a segment holds at most, in bytes, where the cleaner makes one of several files; at
    /// most [`Settings::JOURNAL_FILE_BYTES_MAX`] counts. More means fewer files.
    pub segment_bytes: u64,
    /// How much the cleaner reads and writes, in bytes a second, while it keeps up. It goes faster
    /// the more there is to win. Less leaves more of the disk to producers and readers.
    pub cleaner_bytes_per_second: u64,
    /// How much of the keys of compacted partitions the cleaner keeps in memory, in bytes. Less means
    /// that more passes are needed where there are many keys.
    pub compaction_bytes: usize,
    /// How long a tombstone stays, so that readers see it.
    pub tombstones_kept: Duration,
    /// How much of the sealed files is read each second to find what is corrupt before somebody
    /// needs it, in bytes; 0 is nothing.
    pub scrub_bytes_per_second: u64,
    /// How long the journal is idle before a checkpoint proves its last entries durable. Until then
    /// a bit that flips in them looks like a write that a power cut tore.
    pub checkpoint_after: Duration,
    /// Called once, when a write or a sync fails. Nothing is acknowledged after it; the process is
    /// expected to end.
    pub on_fatal: OnFatal,
}

impl Settings {
    /// The largest journal file, in bytes: positions in the index are 32 bits.
    pub const JOURNAL_FILE_BYTES_MAX: u64 = 1 << 30;

    /// The smallest journal file, in bytes: its header, and little more.
    const JOURNAL_FILE_BYTES_MIN: u64 = 8 * 1024;

    /// The size of a journal file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.journal_file_bytes.clamp(Self::JOURNAL_FILE_BYTES_MIN, Self::JOURNAL_FILE_BYTES_MAX)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal_file_bytes: 128 * 1024 * 1024,
            reserve_bytes: 128 * 1024 * 1024,
            tail_bytes: 64 * 1024 * 1024,
            points_cache_bytes: 16 * 1024 * 1024,
            segment_bytes: 512 * 1024 * 1024,
            cleaner_bytes_per_second: 64 * 1024 * 1024,
            compaction_bytes: 64 * 1024 * 1024,
            tombstones_kept: Duration::from_secs(24 * 3600),
            scrub_bytes_per_second: 8 * 1024 * 1024,
            checkpoint_after: Duration::from_millis(25),
            on_fatal: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("journal_file_bytes", &self.journal_file_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .field("points_cache_bytes", &self.points_cache_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("cleaner_bytes_per_second", &self.cleaner_bytes_per_second)
            .field("compaction_bytes", &self.compaction_bytes)
            .field("tombstones_kept", &self.tombstones_kept)
            .field("scrub_bytes_per_second", &self.scrub_bytes_per_second)
            .field("checkpoint_after", &self.checkpoint_after)
            .finish_non_exhaustive()
    }
}
