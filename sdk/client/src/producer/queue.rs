//! What waits to be sent and what waits for its answer. No IO and no clock: a state machine.
//!
//! A *lane* is what keeps its order: a partition, or all records without a key, whose batches get
//! a partition when they are closed. (With one partition they share its lane, so that a topic of one
//! partition has one order.) A lane has at most one open batch. It is closed when it is full, or
//! when its lane has nothing outstanding: so batches fill while others are on their way, and
//! nothing waits for a timer.
//!
//! A batch gets its sequence when it leaves for the first time (`flight.rs`), and keeps it until its
//! answer is known (`answers.rs`): on whatever stream, and as often as that takes.

mod answers;
mod flight;

use std::collections::{BTreeMap, VecDeque};

use logmill_model::{BatchBuilder, Compression, Offset, Record, RecordBatch, limits};

use super::ProducerOptions;
use super::ticket::{Answer, Ticket};
use crate::Error;
pub(super) use answers::Trouble;
pub(super) use flight::Outgoing;
use flight::{Flight, Part, Track};

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Partition(u32),
    /// To whichever partition is next.
    InTurn,
}

/// Whether the stream has something to do because of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    Later,
}

#[derive(Debug, Default)]
struct Lane {
    open: Option<Open>,
    /// Closed batches without an answer.
    outstanding: usize,
}

/// A batch that takes records.
#[derive(Debug, Default)]
struct Open {
    builder: BatchBuilder,
    answer: Answer,
    permits: u32,
}

#[derive(Debug)]
pub(super) struct Queue {
    partitions: u32,
    batch_bytes: usize,
    in_flight_max: usize,
    compression: Compression,
    /// Whether batches have sequences, and are sent again where their outcome is not known.
    idempotent: bool,
    /// One for each partition, and one for records without a key when there are several.
    lanes: Vec<Lane>,
    /// One for each partition.
    tracks: Vec<Track>,
    /// Partitions with something that may leave, in turn; some by now may not.
    turn: VecDeque<u32>,
    /// Lanes whose open batch may leave once nothing else may; some by now may not.
    due: VecDeque<usize>,
    /// Batches for several partitions, which leave alone.
    together: VecDeque<Flight>,
    sent: BTreeMap<u64, Flight>,
    last_request: u64,
    next_in_turn: u32,
    /// Permits of what ended together with its stream.
    owed: u32,
    /// Nothing more will be pushed.
    closed: bool,
    /// Why the producer is of no further use.
    failed: Option<Error>,
}

impl Queue {
    pub(super) fn new(partitions: u32, options: &ProducerOptions) -> Self {
        let lanes = partitions as usize + usize::from(partitions > 1);
        Self {
            partitions,
            batch_bytes: options.batch_bytes,
            in_flight_max: options.in_flight,
            compression: options.compression,
            idempotent: options.idempotent,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            tracks: (0..partitions).map(|_| Track::default()).collect(),
            turn: VecDeque::new(),
            due: VecDeque::new(),
            together: VecDeque::new(),
            sent: BTreeMap::new(),
            last_request: 0,
            next_in_turn: 0,
            owed: 0,
            closed: false,
            failed: None,
        }
    }

    /// Fails as the stream has.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Adds a record, which has taken these permits.
    pub(super) fn push(
        &mut self,
        target: Target,
        record: &Record,
        permits: u32,
    ) -> Result<(Ticket, Due), Error> {
        self.check()?;
        let lane = self.lane_of(target);
        let bytes = BatchBuilder::encoded_bytes(record);
        let is_full = self.lanes[lane].open.as_ref().is_some_and(|open| {
            open.builder.encoded_len() + bytes > self.batch_bytes
                || open.builder.record_count() as usize >= limits::BATCH_RECORDS_MAX
        });
        if is_full {
            self.close_batch(lane);
        }
        let is_new = self.lanes[lane].open.is_none();
        let open = self.lanes[lane].open.get_or_insert_default();
        let delta = open.builder.record_count();
        if let Err(error) = open.builder.push(record) {
            if is_new {
                self.lanes[lane].open = None;
            }
            return Err(error.into());
        }
        open.permits += permits;
        let ticket = Ticket { answer: Answer::clone(&open.answer), delta };
        if is_new && self.lanes[lane].outstanding == 0 {
            self.due.push_back(lane);
            return Ok((ticket, Due::Now));
        }
        Ok((ticket, if is_full { Due::Now } else { Due::Later }))
    }

    /// Adds a complete batch, which has taken these permits.
    pub(super) fn push_batch(
        &mut self,
        partition: u32,
        batch: RecordBatch,
        expected_end: Option<Offset>,
        permits: u32,
    ) -> Result<(Ticket, Due), Error> {
        self.check()?;
        let lane = self.lane_of(Target::Partition(partition));
        self.close_batch(lane);
        let part = Part { expected_end, ..Part::new(partition, batch) };
        let ticket = part.ticket();
        self.enqueue(Some(lane), vec![part], permits);
        Ok((ticket, Due::Now))
    }

    /// Adds batches that are appended all or none, which have taken these permits.
    pub(super) fn push_together(
        &mut self,
        batches: Vec<(u32, RecordBatch)>,
        permits: u32,
    ) -> Result<(Vec<Ticket>, Due), Error> {
        self.check()?;
        let parts: Vec<Part> = batches.into_iter().map(|(to, it)| Part::new(to, it)).collect();
        let tickets = parts.iter().map(Part::ticket).collect();
        self.enqueue(None, parts, permits);
        Ok((tickets, Due::Now))
    }

    fn lane_of(&self, target: Target) -> usize {
        match target {
            Target::Partition(partition) => partition as usize,
            Target::InTurn => self.lanes.len() - 1,
        }
    }

    fn close_batch(&mut self, lane: usize) {
        let Some(Open { builder, answer, permits }) = self.lanes[lane].open.take() else { return };
        let partition = match u32::try_from(lane) {
            Ok(partition) if partition < self.partitions => partition,
            _ => {
                let partition = self.next_in_turn;
                self.next_in_turn = (partition + 1) % self.partitions;
                partition
            }
        };
        let part =
            Part { compression: self.compression, answer, ..Part::new(partition, builder.seal()) };
        self.enqueue(Some(lane), vec![part], permits);
    }

    /// Takes in what is complete.
    fn enqueue(&mut self, lane: Option<usize>, parts: Vec<Part>, permits: u32) {
        let flight = Flight { lane, parts, permits, tries: 0, acks: Vec::new() };
        if let Some(lane) = lane {
            self.lanes[lane].outstanding += 1;
        }
        match flight.only_partition() {
            Some(partition) => {
                self.tracks[partition as usize].waiting.push_back(flight);
                self.take_turn(partition);
            }
            None => self.together.push_back(flight),
        }
    }

    /// Lets a partition send, if it may.
    fn take_turn(&mut self, partition: u32) {
        let idempotent = self.idempotent;
        let track = &mut self.tracks[partition as usize];
        if track.may_send(idempotent) && !std::mem::replace(&mut track.in_turn, true) {
            self.turn.push_back(partition);
        }
    }

    /// What may leave now. From here on only an answer tells what became of it.
    pub(super) fn next_batch(&mut self) -> Option<Outgoing> {
        let goes_alone = |flight: &Flight| flight.only_partition().is_none();
        if self.failed.is_some()
            || self.sent.len() >= self.in_flight_max
            || self.sent.values().any(goes_alone)
        {
            return None;
        }
        if !self.together.is_empty() {
            let next = if self.sent.is_empty() { self.together.pop_front() } else { None };
            return next.map(|flight| self.launch(flight));
        }
        loop {
            while let Some(partition) = self.turn.pop_front() {
                let idempotent = self.idempotent;
                let track = &mut self.tracks[partition as usize];
                track.in_turn = false;
                let next =
                    if track.may_send(idempotent) { track.waiting.pop_front() } else { None };
                if let Some(flight) = next {
                    let outgoing = self.launch(flight);
                    self.take_turn(partition);
                    return Some(outgoing);
                }
            }
            let lane = self.due.pop_front()?;
            if self.lanes[lane].outstanding == 0 {
                self.close_batch(lane);
            }
        }
    }

    fn launch(&mut self, mut flight: Flight) -> Outgoing {
        self.last_request += 1;
        let request = self.last_request;
        flight.tries += 1;
        for part in &mut flight.parts {
            self.tracks[part.partition as usize].launch(part, self.idempotent);
        }
        let outgoing = Outgoing::of(request, &flight);
        self.sent.insert(request, flight);
        outgoing
    }

    /// Says that nothing more will be pushed.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether all that ever will be sent was handed out.
    pub(super) fn is_exhausted(&self) -> bool {
        self.closed
            && self.together.is_empty()
            && self.tracks.iter().all(|track| track.waiting.is_empty())
            && self.lanes.iter().all(|lane| lane.open.is_none())
    }

    /// Whether there is anything without an answer.
    pub(super) fn has_any(&self) -> bool {
        !self.together.is_empty()
            || self.lanes.iter().any(|lane| lane.outstanding > 0 || lane.open.is_some())
    }

    /// Whether nothing is left to do, now and ever.
    pub(super) fn is_settled(&self) -> bool {
        self.is_exhausted() && self.sent.is_empty()
    }

    /// The answers that are still to come, in no order.
    pub(super) fn outstanding(&self) -> Vec<Answer> {
        let waiting = self.tracks.iter().flat_map(|track| &track.waiting);
        let flights = self.sent.values().chain(waiting).chain(&self.together);
        let closed = flights.flat_map(|flight| &flight.parts).map(|part| &part.answer);
        let open = self.lanes.iter().filter_map(|lane| lane.open.as_ref().map(|open| &open.answer));
        closed.chain(open).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
