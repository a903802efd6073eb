//! Holes: bytes that were durable and are not what was written, and what was lost with them.
//!
//! **A file with a hole is quarantined**: it is never cleaned, dropped or cut where the hole is. It
//! stays when the loss has been accepted.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use logmill_model::internal::CsnRange;
use logmill_model::{Offset, PartitionId, limits};

use crate::accepted::Accepted;
use crate::entry::{ENTRY_HEADER_BYTES, ROW_BYTES};

/// The most holes that are remembered; there is no end of them on a disk that is dying.
const HOLES_MAX: usize = 1000;
/// The most ranges that are remembered of one hole.
const LOST_MAX: usize = 16 * 1024;
/// What a range takes in a record at most, in bytes.
const RANGE_BYTES_MAX: usize = 53;
// What a hole has cost, with what was accepted of it before, is one record.
const _: () = assert!(2 * LOST_MAX * RANGE_BYTES_MAX < limits::BATCH_BYTES_MAX * 9 / 10);
/// More than the files of one gap have held, in bytes, where nobody can say how much it was.
pub(crate) const GONE_BYTES_MAX: u64 = 1 << 40;
/// What the smallest entry with a record takes.
const ENTRY_BYTES_MIN: u64 = (ENTRY_HEADER_BYTES + ROW_BYTES + BATCH_BYTES_MIN) as u64;
/// What the smallest batch takes: its header.
const BATCH_BYTES_MIN: usize = 16;

/// Bytes of a file that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The file.
    pub path: String,
    /// Where in it.
    pub position: u64,
    /// How much of it can't be read, in bytes.
    pub bytes: u64,
    /// The entries that were lost whole; None when none was, or which is not known.
    pub csns: Option<CsnRange>,
    /// What is wrong there.
    pub what: String,
    /// The offsets that are known to be lost, or that lost records may have had.
    pub lost: Vec<LostRange>,
    /// Whether partitions that are nowhere else in the log may have lost records.
    pub may_hide_partitions: bool,
    /// Whether bytes are gone from the file, so that they can't be counted.
    pub(crate) is_cut: bool,
}

/// Offsets of a partition that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostRange {
    /// The partition.
    pub partition: PartitionId,
    /// The first.
    pub from: Offset,
    /// The one after the last.
    pub to: Offset,
}

impl Hole {
    pub(crate) fn at(path: &str, position: u64, bytes: u64, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            position,
            bytes,
            csns: None,
            what: what.into(),
            lost: Vec::new(),
            may_hide_partitions: false,
            is_cut: false,
        }
    }

    /// Tells whoever looks after the broker.
    pub(crate) fn report(&self) {
        let Self { path, position, bytes, what, .. } = self;
        tracing::error!(
            path,
            position,
            bytes,
            what,
            "the log is corrupt here; what can be read is served; `logmill inspect repair` accepts the loss"
        );
    }

    /// How many entries were lost whole, at most.
    pub(crate) fn entries_max(&self) -> u64 {
        match self.csns {
            Some(CsnRange { first, last }) => last.0 - first.0 + 1,
            None => 0,
        }
    }

    /// How many offsets of one partition lost entries can have used: what its end jumps by when
    /// nothing later proves it, so that no offset is ever used twice.
    ///
    /// Every append takes a row, a batch of it no less than the batch's header, and has no more
    /// than `BATCH_RECORDS_MAX` records, however well they compress. A commit has no more than
    /// `APPENDS_MAX` appends. The hole's bytes count only where all that was lost is still there to
    /// be counted: not when the file was cut, or is gone.
    pub(crate) fn offsets_max(&self) -> u64 {
        let by_entries = self.entries_max().saturating_mul(limits::APPENDS_MAX as u64);
        let bytes = if self.is_cut { GONE_BYTES_MAX } else { self.bytes };
        let by_bytes = bytes / (ROW_BYTES + BATCH_BYTES_MIN) as u64;
        by_entries.min(by_bytes).saturating_mul(limits::BATCH_RECORDS_MAX as u64)
    }
}

/// How many entries so many bytes can have held: what the newest CSN jumps by when nothing later
/// tells it.
pub(crate) fn entries_in(bytes: u64) -> u64 {
    bytes / ENTRY_BYTES_MIN + 1
}

/// The holes that are known, and what was accepted of them.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    known: Mutex<Vec<Hole>>,
    /// Set once, when the log is opened.
    accepted: OnceLock<Accepted>,
}

impl Holes {
    fn lock(&self) -> MutexGuard<'_, Vec<Hole>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a hole, or what more is known of it; true when it is new.
    pub(crate) fn add(&self, hole: Hole) -> bool {
        let mut holes = self.lock();
        if let Some(known) = holes.iter_mut().find(|it| it.is_at(&hole.path, hole.position)) {
            known.bytes = known.bytes.max(hole.bytes);
            hole.lost.into_iter().for_each(|lost| known.add_lost(lost));
            return false;
        }
        if holes.len() >= HOLES_MAX {
            return false;
        }
        holes.push(hole);
        true
    }

    /// Remembers that a hole has cost these offsets.
    pub(crate) fn add_lost(&self, path: &str, position: u64, lost: LostRange) {
        if let Some(known) = self.lock().iter_mut().find(|it| it.is_at(path, position)) {
            known.add_lost(lost);
        }
    }

    /// Nobody asks any more what this partition has lost.
    pub(crate) fn forget(&self, partition: PartitionId) {
        for hole in self.lock().iter_mut() {
            hole.lost.retain(|lost| lost.partition != partition);
        }
    }

    /// What this partition has lost in all of them.
    pub(crate) fn lost_of(&self, partition: PartitionId) -> Vec<LostRange> {
        let holes = self.lock();
        let lost = holes.iter().flat_map(|hole| &hole.lost);
        lost.filter(|lost| lost.partition == partition).copied().collect()
    }

    pub(crate) fn all(&self) -> Vec<Hole> {
        self.lock().clone()
    }

    /// Whether a file has a hole: then it is quarantined.
    pub(crate) fn is_in(&self, path: &str) -> bool {
        self.lock().iter().any(|it| it.path == path)
    }

    /// Takes in what was accepted.
    pub(crate) fn accept(&self, accepted: Accepted) {
        let is_first = self.accepted.set(accepted).is_ok();
        debug_assert!(is_first, "a log is opened once");
    }

    /// What was accepted.
    pub(crate) fn accepted(&self) -> Option<&Accepted> {
        self.accepted.get()
    }
}

impl Hole {
    pub(crate) fn is_at(&self, path: &str, position: u64) -> bool {
        self.path == path && self.position == position
    }

    fn add_lost(&mut self, lost: LostRange) {
        if !self.lost.contains(&lost) && self.lost.len() < LOST_MAX {
            self.lost.push(lost);
        }
    }
}
