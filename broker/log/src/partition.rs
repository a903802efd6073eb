//! One partition as readers see it: where its batches lie, the newest ones themselves, its ends.
//!
//! Only the writer (and recovery before it) adds to it, and only what is durable.

mod cleaned;
mod lookup;
mod lost;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use logmill_model::{Envelope, Offset};

use crate::StoredBatch;
use crate::index::{EntryPlace, PartitionIndex, PartitionSummary, Point};
use crate::log_file::LogFile;
use crate::span::{Growing, Span, Stretch, points_from};

pub(crate) use cleaned::SpansIn;
pub(crate) use lookup::{AtTime, Kept};
use lost::LostOffsets;
pub(crate) use lost::{LastFile, Lost};

#[derive(Debug, Default)]
struct State {
    /// Of sealed files, in order.
    spans: VecDeque<Span>,
    growing: Option<Growing>,
    /// The newest batches: an end of all there are, without a gap.
    tail: VecDeque<StoredBatch>,
    losses: LostOffsets,
    /// Nothing before it is served.
    start: Offset,
    end: Offset,
}

/// What a partition has at an offset.
#[derive(Debug)]
pub(crate) enum Available {
    /// Batches from memory; none at the end.
    InMemory(Vec<StoredBatch>),
    /// Batches that must be read: these stretches lead to the first of them, and a few more. What
    /// lies from the second offset on is behind a loss.
    OnDisk(Vec<Stretch>, Option<Offset>),
    /// The offset is lost.
    Lost(Lost),
    /// The offset is before the partition's start.
    Gone { start: Offset, end: Offset },
}

/// All that is known of one partition.
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
        self.read().start()
    }

    /// What it was trimmed to.
    pub(crate) fn trimmed_to(&self) -> Offset {
        self.read().start
    }

    pub(crate) fn end(&self) -> Offset {
        self.read().end
    }

    /// Start and end, as of one moment.
    pub(crate) fn ends(&self) -> (Offset, Offset) {
        let state = self.read();
        (state.start(), state.end)
    }

    /// Makes a durable batch visible, which lies in this entry of the file being written.
    pub(crate) fn push(&self, file: &Arc<LogFile>, entry: EntryPlace, batch: StoredBatch) {
        let mut state = self.write();
        state.add(file, entry, &batch.envelope);
        state.tail.push_back(batch);
    }

    /// As [`push`](Self::push), without keeping it in memory.
    pub(crate) fn push_place(&self, file: &Arc<LogFile>, entry: EntryPlace, envelope: &Envelope) {
        self.write().add(file, entry, envelope);
    }

    /// The file being written is sealed.
    pub(crate) fn seal(&self, summary: &PartitionSummary, file: &Arc<LogFile>) {
        let mut state = self.write();
        let sealed = state.growing.take_if(|growing| Arc::ptr_eq(&growing.file, file));
        if sealed.is_some() && summary.end > state.start {
            state.spans.push_back(Span::new(summary, file));
        }
        drop(state);
    }

    /// Takes in a sealed file; fails with the partition's end when the file begins below that.
    pub(crate) fn push_span(&self, span: Span) -> Result<(), Offset> {
        let mut state = self.write();
        if span.base < state.end {
            return Err(state.end);
        }
        state.end = span.end;
        state.spans.push_back(span);
        Ok(())
    }

    /// Moves the start up to `start`, and the end as well if it is below that.
    pub(crate) fn trim(&self, start: Offset) {
        let mut state = self.write();
        state.start = state.start.max(start);
        state.end = state.end.max(start);
        let start = state.start;
        state.losses.trim(start);
        let gone = state.spans.partition_point(|span| span.end <= start);
        let gone: Vec<Span> = state.spans.drain(..gone).collect();
        drop(state);
        // Files that nobody needs any more go outside the lock.
        drop(gone);
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
        let start = state.start();
        if from < start {
            return Available::Gone { start, end: state.end };
        }
        let (lost, next_lost) = state.losses.around(from);
        if let Some(lost) = lost {
            return Available::Lost(lost.clone());
        }
        match state.tail_from(from, bytes_max) {
            Some(batches) => Available::InMemory(batches),
            None => Available::OnDisk(state.stretches(from, bytes_max as u64), next_lost),
        }
    }

    /// Where the batch that contains `from`, or the next one, lies on disk.
    pub(crate) fn stretch_at(&self, from: Offset) -> Option<Stretch> {
        self.read().stretches(from, 1).into_iter().next()
    }

    /// As [`available`](Self::available), from memory alone.
    pub(crate) fn tail_from(&self, from: Offset, bytes_max: usize) -> Option<Vec<StoredBatch>> {
        let state = self.read();
        let is_readable = from >= state.start() && state.losses.around(from).0.is_none();
        if is_readable { state.tail_from(from, bytes_max) } else { None }
    }
}

impl State {
    fn start(&self) -> Offset {
        let first = self.spans.front().map(|span| span.base);
        let first = first.or_else(|| self.growing.as_ref().map(|growing| growing.index.base));
        let first = first.into_iter().chain(self.losses.first()).min();
        first.map_or(self.start, |first| first.max(self.start))
    }

    fn add(&mut self, file: &Arc<LogFile>, entry: EntryPlace, envelope: &Envelope) {
        self.end = self.end.max(envelope.end_offset());
        let new = || {
            let index = PartitionIndex::before(envelope);
            Growing { file: Arc::clone(file), index }
        };
        self.growing.get_or_insert_with(new).index.add(entry, envelope);
    }

    fn tail_from(&self, from: Offset, bytes_max: usize) -> Option<Vec<StoredBatch>> {
        if from >= self.end {
            return Some(Vec::new());
        }
        if self.tail.front()?.envelope.base_offset > from {
            return None;
        }
        let at = self.tail.partition_point(|batch| batch.envelope.last_offset() < from);
        let mut limit = Limit::new(bytes_max);
        let (_, next_lost) = self.losses.around(from);
        let is_before =
            |batch: &&StoredBatch| next_lost.is_none_or(|lost| batch.envelope.base_offset < lost);
        let batches = self.tail.range(at..).take_while(is_before);
        let batches = batches.take_while(|batch| limit.takes(batch.bytes()));
        Some(batches.cloned().collect())
    }

    /// The stretch that holds `from`, the next one, and those that follow, up to `bytes_max`.
    fn stretches(&self, from: Offset, bytes_max: u64) -> Vec<Stretch> {
        // How much of the first one lies behind `from` is not known here.
        let mut bytes = None;
        let mut wanted = |more: u64| {
            let wanted = bytes.is_none_or(|bytes| bytes < bytes_max);
            bytes = Some(bytes.map_or(0, |bytes| bytes + more));
            wanted
        };
        let first = self.spans.partition_point(|span| span.end <= from);
        let spans = self.spans.range(first..).take_while(|span| wanted(span.bytes));
        let mut stretches: Vec<Stretch> = spans.map(Stretch::from).collect();
        if let Some(growing) = &self.growing
            && first + stretches.len() == self.spans.len()
        {
            let points = points_from(&growing.index.points, from);
            let is_wanted = |point: &&Point| wanted(u64::from(point.bytes));
            let count = points.iter().take_while(is_wanted).count();
            if count > 0 {
                stretches.push(growing.stretch(&points[..count]));
            }
        }
        stretches
    }
}

/// Bytes that may be taken; the first thing always may.
pub(crate) struct Limit {
    left: usize,
    any: bool,
}

impl Limit {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes, any: false }
    }

    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        if self.any && bytes > self.left {
            return false;
        }
        self.any = true;
        self.left = self.left.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests;
