//! What waits to be sent and what waits for its answer. No IO and no clock: a state machine.
//!
//! A *lane* is what keeps its order: a partition, or all records without a key, whose batches get
//! a partition when they are closed. (With one partition they share its lane, so that a topic of one
//! partition has one order.) A lane has at most one open batch. It is closed when it is full, or
//! when its lane has nothing outstanding: so batches fill while others are on their way, and
//! nothing waits for a timer.

use std::collections::{HashMap, VecDeque};

use logmill_model::{BatchBuilder, Compression, Record, RecordBatch, limits};
use logmill_wire::{Ack, Produce};

use super::ProducerOptions;
use super::ticket::{Answer, Ticket};
use crate::Error;

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

/// A batch that is complete.
#[derive(Debug)]
struct Closed {
    lane: usize,
    partition: u32,
    batch: RecordBatch,
    compression: Compression,
    answer: Answer,
    permits: u32,
}

/// A batch on its way out. It is compressed by whoever sends it, since that takes time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) request: u64,
    pub(super) partition: u32,
    pub(super) batch: RecordBatch,
    pub(super) compression: Compression,
}

impl Outgoing {
    pub(super) fn into_frame(self) -> Produce {
        Produce::new(self.request, self.partition, &self.batch.compress(self.compression))
    }
}

/// A batch that was handed out.
#[derive(Debug)]
struct Sent {
    lane: usize,
    partition: u32,
    records: u32,
    answer: Answer,
    permits: u32,
}

#[derive(Debug)]
pub(super) struct Queue {
    partitions: u32,
    batch_bytes: usize,
    in_flight_max: usize,
    compression: Compression,
    /// One for each partition, and one for records without a key when there are several.
    lanes: Vec<Lane>,
    /// Complete batches, in the order in which they leave.
    ready: VecDeque<Closed>,
    /// Lanes whose open batch may leave once nothing is ready; some by now may not.
    due: VecDeque<usize>,
    sent: HashMap<u64, Sent>,
    last_request: u64,
    next_in_turn: u32,
    /// Nothing more will be pushed.
    closed: bool,
    /// Why the stream is of no further use.
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
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            ready: VecDeque::new(),
            due: VecDeque::new(),
            sent: HashMap::new(),
            last_request: 0,
            next_in_turn: 0,
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
        permits: u32,
    ) -> Result<(Ticket, Due), Error> {
        self.check()?;
        let lane = self.lane_of(Target::Partition(partition));
        self.close_batch(lane);
        let answer = Answer::default();
        let ticket = Ticket { answer: Answer::clone(&answer), delta: 0 };
        self.lanes[lane].outstanding += 1;
        let compression = Compression::None;
        self.ready.push_back(Closed { lane, partition, batch, compression, answer, permits });
        Ok((ticket, Due::Now))
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
        self.lanes[lane].outstanding += 1;
        let (batch, compression) = (builder.seal(), self.compression);
        self.ready.push_back(Closed { lane, partition, batch, compression, answer, permits });
    }

    /// The next batch that may leave now. From here on only an answer tells what became of it.
    pub(super) fn next_batch(&mut self) -> Option<Outgoing> {
        if self.failed.is_some() || self.sent.len() >= self.in_flight_max {
            return None;
        }
        while self.ready.is_empty() {
            let lane = self.due.pop_front()?;
            if self.lanes[lane].outstanding == 0 {
                self.close_batch(lane);
            }
        }
        let Closed { lane, partition, batch, compression, answer, permits } =
            self.ready.pop_front()?;
        self.last_request += 1;
        let request = self.last_request;
        let records = batch.record_count();
        self.sent.insert(request, Sent { lane, partition, records, answer, permits });
        Some(Outgoing { request, partition, batch, compression })
    }

    /// Takes the answer to a batch. Gives back the permits of its records.
    pub(super) fn answer(
        &mut self,
        request: u64,
        answer: Result<Ack, Error>,
    ) -> Result<u32, Error> {
        let unknown =
            || Error::Protocol(format!("an answer to request {request}, which is not open"));
        let sent = self.sent.remove(&request).ok_or_else(unknown)?;
        let lane = &mut self.lanes[sent.lane];
        lane.outstanding -= 1;
        if lane.outstanding == 0 && lane.open.is_some() {
            self.due.push_back(sent.lane);
        }
        let misplaced = answer.as_ref().is_ok_and(|ack| {
            ack.partition != sent.partition
                || ack.base_offset.checked_add(u64::from(sent.records)).is_none()
        });
        if misplaced {
            let error = Error::Protocol("an ack that does not fit its batch".to_owned());
            resolve(&sent.answer, Err(error.clone()));
            return Err(error);
        }
        resolve(&sent.answer, answer);
        Ok(sent.permits)
    }

    /// Says that nothing more will be pushed.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether all that ever will be sent was handed out.
    pub(super) fn is_exhausted(&self) -> bool {
        self.closed && self.ready.is_empty() && self.lanes.iter().all(|lane| lane.open.is_none())
    }

    /// The answers that are still to come, in no order.
    pub(super) fn outstanding(&self) -> Vec<Answer> {
        let sent = self.sent.values().map(|sent| &sent.answer);
        let ready = self.ready.iter().map(|closed| &closed.answer);
        let open = self.lanes.iter().filter_map(|lane| lane.open.as_ref().map(|open| &open.answer));
        sent.chain(ready).chain(open).cloned().collect()
    }

    /// Ends everything: the stream is of no further use. What was not sent did not happen; what
    /// was sent and has no answer is unknown.
    pub(super) fn fail(&mut self, error: &Error) {
        if self.failed.is_some() {
            return;
        }
        self.failed = Some(error.of_unsent());
        for sent in self.sent.drain().map(|(_, sent)| sent) {
            resolve(&sent.answer, Err(error.of_unanswered()));
        }
        let open = self.lanes.iter_mut().filter_map(|lane| lane.open.take());
        let unsent = self.ready.drain(..).map(|closed| closed.answer).chain(open.map(|o| o.answer));
        for answer in unsent {
            resolve(&answer, Err(error.of_unsent()));
        }
    }
}

fn resolve(answer: &Answer, result: Result<Ack, Error>) {
    // A batch is in one place only, and leaves it with its answer: this is the first.
    let _ = answer.set(result);
}

#[cfg(test)]
mod tests;
