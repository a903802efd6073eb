//! The board: which records modules were being called for, noted outside of the log, so that a
//! record which ends the *process* is found after it.
//!
//! Before a run of calls, its lane and range are written to a slot of a small file: one plain write,
//! never synced. It outlives the process, not the machine: a note says which boot it is of, so that
//! a power cut blames nobody. Notes are not cleared, since a range that a lane's cursor has passed says
//! nothing; an orderly stop removes the file. What a start finds is handled alone (`lane/blamed.rs`).
//!
//! A note is little-endian: 0 CRC-32C of the rest · 4 version · 8 boot (16) · 24 deployment · 32 topic · 40
//! partition · 44 zero · 48 and 56 what was left behind, from and to · 64 and 72 what was new.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use logmill_model::{DeploymentId, LaneId, Offset, PartitionId, TopicId};

const FILE: &str = "board";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const NOTE_BYTES: usize = 80;
const VERSION: u32 = 1;

type Boot = [u8; 16];

/// The records of a lane that were being handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Those that had been left behind before.
    pub(crate) left: Range<Offset>,
    /// Those that were new.
    pub(crate) new: Range<Offset>,
}

/// Where runs note what they handle. Each slot is of one run at a time.
pub(crate) struct Board {
    file: Option<Open>,
    free: Mutex<Vec<u64>>,
    /// What was being handled when the process before this one ended.
    found: Mutex<BTreeMap<LaneId, Vec<Ranges>>>,
}

struct Open {
    file: File,
    path: PathBuf,
    boot: Boot,
}

/// A slot, until its run has ended.
pub(crate) struct Slot<'a> {
    board: &'a Board,
    slot: u64,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.board.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

impl Board {
    /// A board that nothing is noted on: nobody will be blamed.
    pub(crate) fn none() -> Self {
        Self { file: None, free: Mutex::default(), found: Mutex::default() }
    }

    /// Reads what is noted in the data directory, and begins anew with so many slots. A board that
    /// can't be used is none: it is no reason not to start.
    pub(crate) fn open(data_dir: &Path, slots: usize) -> Self {
        let Some(boot) = boot() else { return Self::none() };
        let path = data_dir.join(FILE);
        let found = std::fs::read(&path).map(|bytes| read(&bytes, boot)).unwrap_or_default();
        let mut for_its_owner = OpenOptions::new();
        for_its_owner.write(true).create(true).truncate(true).mode(0o600);
        let made = for_its_owner.open(&path).and_then(|file| {
            // Its room is taken now, since a full disk must not keep a run from being noted.
            file.write_all_at(&vec![0; slots * NOTE_BYTES], 0)?;
            Ok(Open { file, path: path.clone(), boot })
        });
        match made {
            Ok(open) => Self {
                file: Some(open),
                free: Mutex::new((0..slots as u64).collect()),
                found: Mutex::new(found),
            },
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "records that end the process will not be found");
                Self { found: Mutex::new(found), ..Self::none() }
            }
        }
    }

    /// Notes what a run is about to handle.
    pub(crate) fn note(&self, lane: LaneId, ranges: &Ranges) -> Option<Slot<'_>> {
        let open = self.file.as_ref()?;
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let note = encode(open.boot, lane, ranges);
        if let Err(error) = open.file.write_all_at(&note, slot * NOTE_BYTES as u64) {
            tracing::debug!(%error, "a run is not noted");
        }
        Some(Slot { board: self, slot })
    }

    /// What a lane was handling when the process before this one ended; told once.
    pub(crate) fn take(&self, lane: LaneId) -> Vec<Ranges> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.remove(&lane).unwrap_or_default()
    }

    /// Ends in order: nobody is to be blamed for that.
    pub(crate) fn remove(&self) {
        if let Some(open) = &self.file
            && let Err(error) = std::fs::remove_file(&open.path)
        {
            tracing::warn!(path = %open.path.display(), %error, "the board of calls is left behind");
        }
    }
}

fn boot() -> Option<Boot> {
    let text = std::fs::read_to_string(BOOT_ID).ok()?;
    let hex: String = text.trim().chars().filter(|it| *it != '-').collect();
    u128::from_str_radix(&hex, 16).ok().map(u128::to_le_bytes)
}

/// The notes of this boot.
fn read(bytes: &[u8], boot: Boot) -> BTreeMap<LaneId, Vec<Ranges>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for (lane, ranges) in bytes.as_chunks().0.iter().filter_map(|note| decode(note, boot)) {
        found.entry(lane).or_default().push(ranges);
    }
    found
}

fn encode(boot: Boot, lane: LaneId, ranges: &Ranges) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[4..8].copy_from_slice(&VERSION.to_le_bytes());
    note[8..24].copy_from_slice(&boot);
    note[24..32].copy_from_slice(&lane.deployment.0.to_le_bytes());
    note[32..40].copy_from_slice(&lane.source.topic.0.to_le_bytes());
    note[40..44].copy_from_slice(&lane.source.index.to_le_bytes());
    let offsets = [ranges.left.start, ranges.left.end, ranges.new.start, ranges.new.end];
    for (at, offset) in offsets.into_iter().enumerate() {
        note[48 + at * 8..56 + at * 8].copy_from_slice(&offset.0.to_le_bytes());
    }
    let crc = crc32c::crc32c(&note[4..]);
    note[..4].copy_from_slice(&crc.to_le_bytes());
    note
}

/// A note of this boot; None for another, one that is half written, and a slot that was never used.
fn decode(note: &[u8; NOTE_BYTES], boot: Boot) -> Option<(LaneId, Ranges)> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(note[at..].first_chunk().copied()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(note[at..].first_chunk().copied()?));
    let is_ours = u32_at(0)? == crc32c::crc32c(&note[4..])
        && u32_at(4)? == VERSION
        && note[8..24] == boot[..];
    if !is_ours {
        return None;
    }
    let source = PartitionId::new(TopicId(u64_at(32)?), u32_at(40)?);
    let lane = LaneId { deployment: DeploymentId(u64_at(24)?), source };
    let offset = |at: usize| Some(Offset(u64_at(at)?));
    let ranges = Ranges { left: offset(48)?..offset(56)?, new: offset(64)?..offset(72)? };
    Some((lane, ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(deployment: u64) -> LaneId {
        let source = PartitionId::new(TopicId(0x0102), 3);
        LaneId { deployment: DeploymentId(deployment), source }
    }

    fn ranges(from: u64) -> Ranges {
        Ranges { left: Offset(1)..Offset(2), new: Offset(from)..Offset(from + 10) }
    }

    #[test]
    fn a_note_has_golden_bytes() {
        let note = encode([9; 16], lane(7), &ranges(0x0405));
        let mut expected = [0; NOTE_BYTES];
        expected[..4].copy_from_slice(&[0; 4]);
        expected[4] = 1;
        expected[8..24].copy_from_slice(&[9; 16]);
        expected[24] = 7;
        expected[32..34].copy_from_slice(&[2, 1]);
        expected[40] = 3;
        (expected[48], expected[56]) = (1, 2);
        expected[64..66].copy_from_slice(&[5, 4]);
        expected[72..74].copy_from_slice(&[15, 4]);
        assert_eq!(note[4..], expected[4..]);
        assert_eq!(decode(&note, [9; 16]), Some((lane(7), ranges(0x0405))));
        assert_eq!(decode(&note, [8; 16]), None, "of another boot");
        for bit in 0..NOTE_BYTES * 8 {
            let mut flipped = note;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, [9; 16]), None, "half written at bit {bit}");
        }
        assert_eq!(decode(&[0; NOTE_BYTES], [0; 16]), None, "a slot that was never used");
    }

    #[test]
    fn what_was_being_handled_is_found_after_the_process_and_not_after_an_orderly_stop() {
        let data = tempfile::tempdir().unwrap();
        let board = Board::open(data.path(), 2);
        let slot = board.note(lane(1), &ranges(10));
        drop(board.note(lane(1), &ranges(20)));
        drop(board.note(lane(2), &ranges(30)));
        assert!(slot.is_some());
        // Killed: nothing is done any more.
        let next = Board::open(data.path(), 2);
        assert_eq!(next.take(lane(1)), [ranges(10)], "its slot was in use");
        assert_eq!(next.take(lane(1)), [], "told once");
        assert_eq!(next.take(lane(2)), [ranges(30)], "the last of its slot");
        drop(next.note(lane(3), &ranges(40)));
        next.remove();
        assert_eq!(Board::open(data.path(), 2).take(lane(3)), []);
    }

    #[test]
    fn a_board_that_can_not_be_used_is_none() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join(FILE)).unwrap();
        let board = Board::open(data.path(), 2);
        assert!(board.note(lane(1), &ranges(1)).is_none());
        board.remove();
        let small = Board::open(tempfile::tempdir().unwrap().path(), 1);
        let first = small.note(lane(1), &ranges(1));
        assert!(first.is_some() && small.note(lane(2), &ranges(1)).is_none());
    }
}
