//! What answers do, and what the end of a stream leaves open.
//!
//! Everything rests on two facts. The broker answers the frames of a stream in their order, and
//! judges the batches of a partition in it: behind one that is refused, others are out of turn, and
//! certainly not appended. And a batch that comes again with its sequence is appended once.

use logmill_wire::{Ack, ErrorCode};

use super::{Answer, Flight, Part, Queue};
use crate::Error;

/// Why a stream can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Trouble {
    /// It is of no further use; another one may be.
    Stream(Error),
    /// The producer's sequences are not what the broker knows: it has to register anew.
    Identity(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}

impl Queue {
    /// Takes the answer to a batch. Gives back the permits of its records.
    pub(in super::super) fn answer(
        &mut self,
        request: u64,
        answer: Result<Ack, Error>,
    ) -> Result<u32, Trouble> {
        let unknown =
            || Error::Protocol(format!("an answer to request {request}, which is not open"));
        let flight = self.sent.remove(&request).ok_or_else(unknown)?;
        match answer {
            Ok(ack) => self.acked(request, flight, ack),
            Err(error) if self.idempotent => self.refused(request, flight, error),
            Err(error) => Ok(self.settle(flight, |_| Err(error.clone()))),
        }
    }

    fn acked(&mut self, request: u64, mut flight: Flight, ack: Ack) -> Result<u32, Trouble> {
        let fits = flight.parts.get(flight.acks.len()).is_some_and(|part| fits(&ack, part));
        if !fits {
            let error = Error::Protocol("an ack that does not fit its batch".to_owned());
            self.settle(flight, |_| Err(error.clone()));
            return Err(error.into());
        }
        flight.acks.push(ack);
        if flight.acks.len() < flight.parts.len() {
            self.sent.insert(request, flight);
            return Ok(0);
        }
        for part in &flight.parts {
            let track = &mut self.tracks[part.partition as usize];
            track.next = part.end().map_or(track.next, |end| end.max(track.next));
        }
        let mut acks = std::mem::take(&mut flight.acks).into_iter();
        let lost = || Error::Protocol("an ack is missing".to_owned());
        Ok(self.settle(flight, |_| acks.next().ok_or_else(lost)))
    }

    fn refused(&mut self, request: u64, mut flight: Flight, error: Error) -> Result<u32, Trouble> {
        let (code, was_sent_before) = (error.code(), flight.tries > 1);
        if code == Some(ErrorCode::SequenceGap)
            && let Some(partition) = flight.only_partition()
            && self.tracks[partition as usize].rewinding
        {
            // It is out of turn only since another one was refused.
            flight.tries = 0;
            self.put_back(flight);
            self.go_on(partition);
            return Ok(0);
        }
        if !error.has_no_side_effects() || (was_sent_before && error.is_retryable()) {
            // Sending it again tells what has become of it.
            self.sent.insert(request, flight);
            return Err(Trouble::Stream(error));
        }
        match code {
            Some(ErrorCode::SequenceGap | ErrorCode::UnknownProducer) => {
                self.sent.insert(request, flight);
                Err(Trouble::Identity(error))
            }
            Some(ErrorCode::Fenced) => {
                self.sent.insert(request, flight);
                Err(Trouble::Stream(error))
            }
            Some(ErrorCode::Duplicate) => Ok(self.settle(flight, |_| Err(error.clone()))),
            _ if was_sent_before => {
                // Whether it has taken its sequences is not known: nothing else may have them.
                let unknown = Error::OutcomeUnknown { reason: error.to_string() };
                self.owed += self.settle(flight, |_| Err(unknown.clone()));
                Err(Trouble::Identity(error))
            }
            _ => {
                for part in &flight.parts {
                    if let Some(first) = part.first_sequence {
                        self.tracks[part.partition as usize].rewind_to(first);
                    }
                }
                Ok(self.settle(flight, |_| Err(error.clone())))
            }
        }
    }

    /// Ends a flight that was on its way, part by part; gives back its permits.
    fn settle(
        &mut self,
        flight: Flight,
        mut result: impl FnMut(&Part) -> Result<Ack, Error>,
    ) -> u32 {
        for part in &flight.parts {
            resolve(&part.answer, result(part));
            self.tracks[part.partition as usize].on_the_way -= 1;
        }
        self.leave_lane(&flight);
        for part in &flight.parts {
            self.go_on(part.partition);
        }
        flight.permits
    }

    fn leave_lane(&mut self, flight: &Flight) {
        let Some(at) = flight.lane else { return };
        let lane = &mut self.lanes[at];
        lane.outstanding -= 1;
        if lane.outstanding == 0 && lane.open.is_some() {
            self.due.push_back(at);
        }
    }

    /// Takes back a flight that was on its way.
    fn put_back(&mut self, mut flight: Flight) {
        flight.acks.clear();
        for part in &flight.parts {
            self.tracks[part.partition as usize].on_the_way -= 1;
        }
        match flight.only_partition() {
            Some(partition) => self.tracks[partition as usize].put_back(flight),
            None => self.together.push_front(flight),
        }
    }

    fn go_on(&mut self, partition: u32) {
        self.tracks[partition as usize].renumber();
        self.take_turn(partition);
    }

    /// Ends all that waits, of which nothing was sent; gives back its permits.
    pub(in super::super) fn refuse(&mut self, error: &Error) -> u32 {
        (0..self.lanes.len()).for_each(|lane| self.close_batch(lane));
        let waiting = self.tracks.iter_mut().flat_map(|track| track.waiting.drain(..));
        let flights: Vec<Flight> = waiting.chain(self.together.drain(..)).collect();
        let mut permits = 0;
        for flight in flights {
            flight.parts.iter().for_each(|part| resolve(&part.answer, Err(error.clone())));
            permits += flight.permits;
            self.leave_lane(&flight);
        }
        permits
    }

    /// The stream has ended: what has no answer waits to be sent again, on another one. `happened`
    /// is false when it is certain that none of that was appended.
    pub(in super::super) fn suspend(&mut self, happened: bool) {
        for (_, mut flight) in std::mem::take(&mut self.sent) {
            if !happened && flight.tries == 1 {
                flight.tries = 0;
            }
            self.put_back(flight);
        }
        (0..self.partitions).for_each(|partition| self.go_on(partition));
    }

    /// The producer has another identity from now on, and its sequences begin anew. What was sent,
    /// and may have been appended, is unknown for good; the rest goes on. To be called while
    /// nothing is on its way. Gives back permits.
    pub(in super::super) fn renew(&mut self, reason: &Error) -> u32 {
        let unknown = Error::OutcomeUnknown { reason: reason.to_string() };
        // What comes behind a batch of a producer that is not known was not appended either.
        let appended = if reason.code() == Some(ErrorCode::UnknownProducer) { 2 } else { 1 };
        let mut permits = std::mem::take(&mut self.owed);
        let mut flights: Vec<Flight> = self.together.drain(..).collect();
        for track in &mut self.tracks {
            flights.extend(track.waiting.drain(..));
            (track.next, track.rewinding) = (0, false);
        }
        for mut flight in flights {
            if flight.tries >= appended {
                flight.parts.iter().for_each(|part| resolve(&part.answer, Err(unknown.clone())));
                permits += flight.permits;
                self.leave_lane(&flight);
                continue;
            }
            flight.tries = 0;
            flight.parts.iter_mut().for_each(|part| part.first_sequence = None);
            match flight.only_partition() {
                Some(partition) => self.tracks[partition as usize].waiting.push_back(flight),
                None => self.together.push_back(flight),
            }
        }
        (0..self.partitions).for_each(|partition| self.go_on(partition));
        permits
    }

    /// Ends everything: the producer is of no further use. What was not sent did not happen; what
    /// was sent and has no answer is unknown.
    pub(in super::super) fn fail(&mut self, error: &Error) {
        if self.failed.is_some() {
            return;
        }
        self.failed = Some(error.of_unsent());
        let again = Error::OutcomeUnknown { reason: error.to_string() };
        for flight in std::mem::take(&mut self.sent).into_values() {
            let error = if flight.tries > 1 { again.clone() } else { error.of_unanswered() };
            flight.parts.iter().for_each(|part| resolve(&part.answer, Err(error.clone())));
        }
        let waiting = self.tracks.iter_mut().flat_map(|track| track.waiting.drain(..));
        for flight in waiting.chain(self.together.drain(..)) {
            let error = if flight.tries > 0 { again.clone() } else { error.of_unsent() };
            flight.parts.iter().for_each(|part| resolve(&part.answer, Err(error.clone())));
        }
        for open in self.lanes.iter_mut().filter_map(|lane| lane.open.take()) {
            resolve(&open.answer, Err(error.of_unsent()));
        }
    }
}

fn fits(ack: &Ack, part: &Part) -> bool {
    let records = part.batch.record_count();
    let indices = ack.duplicates.iter().map(|it| it.index);
    ack.partition == part.partition
        && ack.base_offset.checked_add(u64::from(records)).is_some()
        && indices.max().is_none_or(|index| index < records)
}

fn resolve(answer: &Answer, result: Result<Ack, Error>) {
    // A batch is in one place only, and leaves it with its answer: this is the first.
    let _ = answer.set(result);
}
