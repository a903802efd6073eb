//! One partition as readers see it: where its batches lie, the newest ones themselves, its ends.
//!
//! Only the writer (and recovery before it) adds to it, and only what is durable.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use logmill_model::{ENVELOPE_BYTES, Offset, RecordBatch};

use crate::StoredBatch;
use crate::files::FileId;

/// Where a batch lies, and what must be found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchPlace {
    pub(crate) base: Offset,
    pub(crate) last_delta: u32,
    pub(crate) file: FileId,
    /// The position of its row in the table of its entry.
    pub(crate) row_at: u32,
    /// CRC-32C of that row: its own checksum covers the batch only.
    pub(crate) row_crc: u32,
    /// The position of its bytes.
    pub(crate) batch_at: u32,
    pub(crate) bytes: u32,
}

// There is one for every batch of the journal.
const _: () = assert!(size_of::<BatchPlace>() == 32);

impl BatchPlace {
    fn last_offset(&self) -> Offset {
        RecordBatch::offset_at(self.base, self.last_delta)
    }
}

/// Places in order, in chunks, so that a growing partition never copies what it has.
#[derive(Debug, Default)]
struct Places {
    chunks: Vec<Vec<BatchPlace>>,
}

const CHUNK_PLACES: usize = 1024;

impl Places {
    fn push(&mut self, place: BatchPlace) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_PLACES => chunk.push(place),
            _ => self.chunks.push(vec![place]),
        }
    }

    fn first(&self) -> Option<&BatchPlace> {
        self.chunks.first()?.first()
    }

    /// The places from the one that contains `from`, or else from the next one.
    fn from(&self, from: Offset) -> impl Iterator<Item = &BatchPlace> {
        let ends_before = |place: &BatchPlace| place.last_offset() < from;
        let at = self.chunks.partition_point(|chunk| chunk.last().is_none_or(ends_before));
        let chunks = &self.chunks[at..];
        let within = chunks.first().map_or(0, |chunk| chunk.partition_point(ends_before));
        chunks.iter().flatten().skip(within)
    }
}

#[derive(Debug, Default)]
struct State {
    places: Places,
    /// The newest batches: an end of what `places` lists, without a gap.
    tail: VecDeque<StoredBatch>,
    end: Offset,
}

/// What a partition has at an offset.
#[derive(Debug)]
pub(crate) enum Available {
    /// Batches from memory; none at the end.
    InMemory(Vec<StoredBatch>),
    /// Batches that must be read.
    OnDisk(Vec<BatchPlace>),
}

#[derive(Debug, Default)]
pub(crate) struct Partition {
    state: RwLock<State>,
}

impl Partition {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self) -> Offset {
        self.read().places.first().map_or(Offset::ZERO, |place| place.base)
    }

    pub(crate) fn end(&self) -> Offset {
        self.read().end
    }

    /// Makes a durable batch visible.
    pub(crate) fn push(&self, place: BatchPlace, batch: StoredBatch) {
        let mut state = self.write();
        state.end = batch.envelope.end_offset();
        state.places.push(place);
        state.tail.push_back(batch);
    }

    /// Makes a recovered batch visible, without keeping it in memory.
    pub(crate) fn push_place(&self, place: BatchPlace) {
        let mut state = self.write();
        state.end = place.last_offset().next();
        state.places.push(place);
    }

    /// Drops the oldest batch from memory.
    pub(crate) fn evict_oldest(&self) {
        let oldest = self.write().tail.pop_front();
        drop(oldest);
    }

    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.write());
        drop(state);
    }

    /// Batches from `from` on, up to `bytes_max`, at least one if there is one.
    pub(crate) fn available(&self, from: Offset, bytes_max: usize) -> Available {
        let state = self.read();
        if let Some(batches) = state.tail_from(from, bytes_max) {
            return Available::InMemory(batches);
        }
        let mut limit = Limit { left: bytes_max, any: false };
        let places = state
            .places
            .from(from)
            .take_while(|place| limit.takes(ENVELOPE_BYTES + place.bytes as usize));
        Available::OnDisk(places.copied().collect())
    }

    /// As [`available`](Self::available), from memory alone.
    pub(crate) fn tail_from(&self, from: Offset, bytes_max: usize) -> Option<Vec<StoredBatch>> {
        self.read().tail_from(from, bytes_max)
    }
}

impl State {
    fn tail_from(&self, from: Offset, bytes_max: usize) -> Option<Vec<StoredBatch>> {
        if from >= self.end {
            return Some(Vec::new());
        }
        if self.tail.front()?.envelope.base_offset > from {
            return None;
        }
        let at = self.tail.partition_point(|batch| batch.envelope.last_offset() < from);
        let mut limit = Limit { left: bytes_max, any: false };
        let batches = self.tail.range(at..).take_while(|batch| limit.takes(batch.bytes()));
        Some(batches.cloned().collect())
    }
}

/// Bytes that may be taken; the first thing always may.
struct Limit {
    left: usize,
    any: bool,
}

impl Limit {
    fn takes(&mut self, bytes: usize) -> bool {
        if self.any && bytes > self.left {
            return false;
        }
        self.any = true;
        self.left = self.left.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_offset_leads_to_the_batch_that_holds_it_or_the_next_one() {
        let files =
            crate::files::Files::new(std::sync::Arc::new(crate::faulty::FaultyStorage::new()));
        let file = files.add("journal/a");
        let partition = Partition::default();
        let mut places = Vec::new();
        let mut base = 3;
        for n in 0..3000_u32 {
            let last_delta = n % 3;
            let place = BatchPlace {
                base: Offset(base),
                last_delta,
                file,
                row_at: n,
                row_crc: 0,
                batch_at: n,
                bytes: 10,
            };
            partition.push_place(place);
            places.push(place);
            // Offsets that compaction took leave gaps.
            base += u64::from(last_delta) + 1 + u64::from(n % 50 == 0) * 4;
        }
        assert_eq!(partition.start(), Offset(3));
        for offset in 0..base {
            let expected = places.iter().find(|place| place.last_offset() >= Offset(offset));
            match partition.available(Offset(offset), 1) {
                Available::OnDisk(found) => assert_eq!(found.first(), expected, "{offset}"),
                Available::InMemory(none) => assert!(none.is_empty() && expected.is_none()),
            }
        }
        let Available::OnDisk(three) = partition.available(Offset(0), 3 * 74) else { panic!() };
        assert_eq!(three, places[..3]);
    }
}
