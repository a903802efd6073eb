//! A batch from when it is complete until its answer is known, and the way of a partition's batches.

use std::collections::VecDeque;

use logmill_model::limits::PRODUCER_BATCHES_MAX;
use logmill_model::{Compression, Offset, RecordBatch};
use logmill_wire::{Ack, Append, AppendBatch, Frame, Produce};

use super::super::ticket::{Answer, Ticket};

/// Batches that share their fate: one, or one for each of several partitions.
#[derive(Debug)]
pub(super) struct Flight {
    /// Where its records came from; None of what was given whole for several partitions.
    pub(super) lane: Option<usize>,
    pub(super) parts: Vec<Part>,
    pub(super) permits: u32,
    /// How often it was sent without its outcome being known since.
    pub(super) tries: u32,
    /// Those of its parts so far.
    pub(super) acks: Vec<Ack>,
}

/// One batch of a flight.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) partition: u32,
    pub(super) batch: RecordBatch,
    pub(super) compression: Compression,
    pub(super) answer: Answer,
    /// Once it was sent.
    pub(super) first_sequence: Option<u64>,
    pub(super) expected_end: Option<Offset>,
}

/// The batches of one partition.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// In the order in which they leave: what is sent again comes first.
    pub(super) waiting: VecDeque<Flight>,
    pub(super) on_the_way: usize,
    /// The sequence of the next batch that gets one.
    pub(super) next: u64,
    /// A batch was refused, and has taken no sequence: those behind it are refused as well, and get
    /// others when all of them are back.
    pub(super) rewinding: bool,
    pub(super) in_turn: bool,
}

impl Part {
    pub(super) fn new(partition: u32, batch: RecordBatch) -> Self {
        let (compression, answer) = (Compression::None, Answer::default());
        let (first_sequence, expected_end) = (None, None);
        Self { partition, batch, compression, answer, first_sequence, expected_end }
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket { answer: Answer::clone(&self.answer), delta: 0 }
    }

    /// How many sequences it takes.
    fn count(&self) -> u64 {
        u64::from(self.batch.record_count())
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.first_sequence.map(|first| first + self.count())
    }
}

impl Flight {
    /// Its partition, when it has only one.
    pub(super) fn only_partition(&self) -> Option<u32> {
        if let [only] = &self.parts[..] { Some(only.partition) } else { None }
    }
}

impl Track {
    pub(super) fn may_send(&self, idempotent: bool) -> bool {
        !self.waiting.is_empty()
            && !self.rewinding
            && (!idempotent || self.on_the_way < PRODUCER_BATCHES_MAX)
    }

    pub(super) fn launch(&mut self, part: &mut Part, idempotent: bool) {
        self.on_the_way += 1;
        if idempotent && part.first_sequence.is_none() {
            part.first_sequence = Some(self.next);
            self.next += part.count();
        }
    }

    /// Takes back a flight whose outcome is not known, or that is to be sent again: behind those
    /// that were sent before it.
    pub(super) fn put_back(&mut self, flight: Flight) {
        let sequence = |flight: &Flight| flight.parts.first().and_then(|part| part.first_sequence);
        let own = sequence(&flight);
        let is_before = |other: &Flight| match (sequence(other), own) {
            (Some(other), Some(own)) => other < own,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let at = self.waiting.partition_point(is_before);
        self.waiting.insert(at, flight);
    }

    /// A batch that had this sequence was refused.
    pub(super) fn rewind_to(&mut self, sequence: u64) {
        self.next = if self.rewinding { self.next.min(sequence) } else { sequence };
        self.rewinding = true;
    }

    /// Once nothing of a partition is on its way that rewinds: the batches that were refused behind
    /// another one take the sequences that it has not.
    pub(super) fn renumber(&mut self) {
        if !self.rewinding || self.on_the_way > 0 {
            return;
        }
        self.rewinding = false;
        for part in self.waiting.iter_mut().flat_map(|flight| &mut flight.parts) {
            if part.first_sequence.is_some() {
                part.first_sequence = Some(self.next);
                self.next += part.count();
            }
        }
    }
}

/// Batches on their way out. They are compressed by whoever sends them, since that takes time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Outgoing {
    pub(in super::super) request: u64,
    pub(in super::super) parts: Vec<OutgoingPart>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct OutgoingPart {
    pub(in super::super) partition: u32,
    pub(in super::super) batch: RecordBatch,
    pub(in super::super) compression: Compression,
    pub(in super::super) first_sequence: Option<u64>,
    pub(in super::super) expected_end: Option<Offset>,
}

impl Outgoing {
    pub(super) fn of(request: u64, flight: &Flight) -> Self {
        let part = |part: &Part| OutgoingPart {
            partition: part.partition,
            batch: part.batch.clone(),
            compression: part.compression,
            first_sequence: part.first_sequence,
            expected_end: part.expected_end,
        };
        Self { request, parts: flight.parts.iter().map(part).collect() }
    }

    /// Whether making the frame takes long, since that compresses as much as this or more.
    pub(in super::super) fn compresses(&self, bytes: usize) -> bool {
        self.parts
            .iter()
            .any(|it| it.compression != Compression::None && it.batch.records_bytes() > bytes)
    }

    /// The same, not to be compressed.
    pub(in super::super) fn plain(mut self) -> Self {
        self.parts.iter_mut().for_each(|part| part.compression = Compression::None);
        self
    }

    pub(in super::super) fn into_frame(self) -> Frame {
        let batch = |it: OutgoingPart| AppendBatch {
            first_sequence: it.first_sequence,
            expected_end: it.expected_end,
            ..AppendBatch::new(it.partition, &it.batch.compress(it.compression))
        };
        let Self { request, parts } = self;
        let mut batches: Vec<AppendBatch> = parts.into_iter().map(batch).collect();
        match batches.pop() {
            Some(only)
                if batches.is_empty()
                    && only.first_sequence.is_none()
                    && only.expected_end.is_none() =>
            {
                let AppendBatch { partition, crc, batch, .. } = only;
                Frame::Produce(Produce { request, partition, crc, batch })
            }
            last => {
                batches.extend(last);
                Frame::Append(Append { request, batches })
            }
        }
    }
}
