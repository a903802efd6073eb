//! The sequencer: one thread that owns the order of commits, and the door to it.
//!
//! Proposals wait in one queue, bounded in bytes by permits that are taken before anything is
//! queued. The thread judges each against all that was sequenced before (durable yet or not, so
//! that proposals pipeline) and hands the entry to the journal. When the journal says that it is
//! durable and visible, the views take it in and its ticket resolves, in that order.
//!
//! **The sequencer never reads a disk, and never waits for one.**

mod capacity;
mod judge;
mod keys;
mod place;
mod producers;
mod register;
mod ticket;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use logmill_log::{Durability, Journal, StoredBatch};
use logmill_model::{
    Commit, CommitClass, Committed, Csn, Epoch, Offset, Outcome, PartitionId, ProducerIdentity,
    ProducerName, Refusal,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub(crate) use judge::{Changes, Judge, Sequenced};
pub(crate) use ticket::Ticket;

use crate::Error;
use crate::clock::Clock;
use crate::limits::{CHECKPOINT_LOG_BYTES, CHECKPOINT_PART, PROPOSALS_BYTES_MAX, PROPOSALS_MAX};
use crate::views::Views;
use capacity::Capacity;
use ticket::Answer;

/// What a proposal takes of the permits besides its batches, in bytes.
const PROPOSAL_OVERHEAD_BYTES: usize = 512;

enum Event {
    Proposed {
        commit: Commit,
        answer: Answer,
        permit: OwnedSemaphorePermit,
    },
    Registered {
        name: Option<ProducerName>,
        identity: oneshot::Sender<ProducerIdentity>,
        answer: Answer,
    },
    Checkpoint {
        answer: Answer,
    },
    Closed,
}

/// The door: every change of durable state goes through [`propose`](Self::propose).
#[derive(Clone)]
pub(crate) struct Sequencer {
    events: mpsc::Sender<Event>,
    bytes: Arc<Semaphore>,
}

impl Sequencer {
    /// Starts the thread. It ends after [`close`](Self::close), with the journal closed.
    pub(crate) fn start(
        judge: Judge,
        journal: Journal,
        views: Arc<Views>,
        epoch: Epoch,
        clock: Clock,
    ) -> std::io::Result<(Self, JoinHandle<Result<(), logmill_log::Error>>)> {
        let (events, queue) = mpsc::channel(PROPOSALS_MAX);
        let held = Arc::new(HeldRefusals::after(judge.last_csn()));
        let capacity = Capacity::of(views.log().clone());
        let state = Thread { judge, journal, views, epoch, clock, held, capacity, grown: 0 };
        let thread =
            std::thread::Builder::new().name("sequencer".into()).spawn(move || state.run(queue))?;
        let bytes = Arc::new(Semaphore::new(PROPOSALS_BYTES_MAX));
        Ok((Self { events, bytes }, thread))
    }

    /// Takes room for a commit of up to `batch_bytes`. Waits while too many bytes are in flight:
    /// that is the backpressure of the whole broker.
    pub(crate) async fn reserve(&self, batch_bytes: usize) -> Result<Room, Error> {
        let permits = permits(batch_bytes);
        let room = Arc::clone(&self.bytes).acquire_many_owned(permits).await;
        room.map(Room).map_err(|_| Error::ShuttingDown)
    }

    /// Queues a commit in room that was taken for it, in the order of the calls. Room that it does
    /// not need is given back.
    pub(crate) async fn propose_in(&self, room: Room, commit: Commit) -> Result<Ticket, Error> {
        let Room(mut permit) = room;
        let needed = permits(commit.batch_bytes()) as usize;
        drop(permit.split(permit.num_permits().saturating_sub(needed)));
        let (answer, ticket) = Ticket::new();
        let event = Event::Proposed { commit, answer, permit };
        self.events.send(event).await.map_err(|_| Error::ShuttingDown)?;
        Ok(ticket)
    }

    /// Queues a commit, in the order of the calls, and returns its ticket.
    pub(crate) async fn propose(&self, commit: Commit) -> Result<Ticket, Error> {
        self.propose_in(self.reserve(commit.batch_bytes()).await?, commit).await
    }

    /// Registers a producer, and waits until that is durable.
    pub(crate) async fn register(
        &self,
        name: Option<ProducerName>,
    ) -> Result<(Outcome, Option<ProducerIdentity>), Error> {
        let (identity, identified) = oneshot::channel();
        let (answer, ticket) = Ticket::new();
        let event = Event::Registered { name, identity, answer };
        self.events.send(event).await.map_err(|_| Error::ShuttingDown)?;
        Ok((ticket.await, identified.await.ok()))
    }

    /// Puts what has changed of producers into `_producers`, and waits until that is durable.
    pub(crate) async fn checkpoint(&self) -> Result<Outcome, Error> {
        let (answer, ticket) = Ticket::new();
        let sent = self.events.send(Event::Checkpoint { answer }).await;
        sent.map_err(|_| Error::ShuttingDown)?;
        Ok(ticket.await)
    }

    /// Takes no more proposals; those that are queued are sequenced and made durable.
    pub(crate) async fn close(&self) {
        self.bytes.close();
        // A thread that has ended already is closed.
        let _ = self.events.send(Event::Closed).await;
    }

    /// Proposes and waits for the outcome.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Outcome, Error> {
        Ok(self.propose(commit).await?.await)
    }
}

/// Bytes that are counted as in flight.
pub(crate) struct Room(OwnedSemaphorePermit);

fn permits(batch_bytes: usize) -> u32 {
    let bytes = (batch_bytes + PROPOSAL_OVERHEAD_BYTES).min(PROPOSALS_BYTES_MAX);
    u32::try_from(bytes).expect("PROPOSALS_BYTES_MAX fits")
}

struct Thread {
    judge: Judge,
    journal: Journal,
    views: Arc<Views>,
    epoch: Epoch,
    clock: Clock,
    held: Arc<HeldRefusals>,
    capacity: Capacity,
    /// How much the log has grown since the last checkpoint of the producers, in bytes.
    grown: usize,
}

impl Thread {
    fn run(mut self, mut queue: mpsc::Receiver<Event>) -> Result<(), logmill_log::Error> {
        while let Some(event) = queue.blocking_recv() {
            match event {
                Event::Proposed { commit, answer, permit } => self.take(commit, answer, permit),
                Event::Registered { name, identity, answer } => {
                    self.register(name, identity, answer);
                }
                Event::Checkpoint { answer } => self.checkpoint(answer),
                // What is queued already is still taken; then the queue is at its end.
                Event::Closed => queue.close(),
            }
        }
        self.journal.close()
    }

    fn take(&mut self, commit: Commit, answer: Answer, permit: OwnedSemaphorePermit) {
        let rests_on = self.judge.last_csn();
        let judged = match self.check_room(&commit) {
            Ok(()) => self.judge.judge(commit, self.clock.now()),
            // What was appended before takes no room.
            Err(no_room) => match self.judge.check_producers(&commit, self.clock.now()) {
                Err(duplicate @ Refusal::Duplicate(_)) => Err(duplicate),
                _ => Err(no_room),
            },
        };
        match judged {
            Ok(sequenced) => self.append(sequenced, answer, Some(permit)),
            // It rests on no entry, and those before it may wait for space themselves.
            Err(Refusal::DiskFull) => drop(answer.send(Outcome::Refused(Refusal::DiskFull))),
            Err(refusal) => self.held.hold(rests_on, refusal, answer),
        }
        let due = self.judge.producers().changed_bytes().saturating_mul(CHECKPOINT_PART);
        if self.grown >= CHECKPOINT_LOG_BYTES.max(due) {
            self.checkpoint(Ticket::new().0);
        }
    }

    fn check_room(&self, commit: &Commit) -> Result<(), Refusal> {
        if !self.journal.space_level().admits(commit.class) {
            return Err(Refusal::DiskFull);
        }
        self.capacity.check(self.judge.catalog(), commit)
    }

    fn register(
        &mut self,
        name: Option<ProducerName>,
        identity: oneshot::Sender<ProducerIdentity>,
        answer: Answer,
    ) {
        if !self.journal.space_level().admits(CommitClass::Produce) {
            let _ = answer.send(Outcome::Refused(Refusal::DiskFull));
            return;
        }
        let rests_on = self.judge.last_csn();
        match self.judge.register(name, self.clock.now()) {
            Ok((sequenced, registered)) => {
                // Whoever asked may have gone.
                let _ = identity.send(registered);
                self.append(sequenced, answer, None);
            }
            Err(refusal) => self.held.hold(rests_on, refusal, answer),
        }
    }

    /// Appends what has changed of producers, whatever the room: that is what lets the cleaner go on.
    fn checkpoint(&mut self, answer: Answer) {
        self.grown = 0;
        if self.judge.has_no_producers() {
            return;
        }
        loop {
            match self.judge.checkpoint(self.clock.now()) {
                Ok((sequenced, true)) => return self.append(sequenced, answer, None),
                Ok((sequenced, false)) => self.append(sequenced, Ticket::new().0, None),
                Err(refusal) => {
                    let rests_on = self.judge.last_csn();
                    return self.held.hold(rests_on, refusal, answer);
                }
            }
        }
    }

    fn append(
        &mut self,
        sequenced: Sequenced,
        answer: Answer,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let Sequenced { entry, changes, bases, duplicates } = sequenced;
        let committed = Committed {
            csn: entry.csn,
            epoch: self.epoch,
            time: entry.time,
            base_offsets: bases,
            duplicates,
        };
        self.grown += entry.appends.iter().map(StoredBatch::bytes).sum::<usize>();
        let ends: Vec<(PartitionId, Offset)> =
            entry.appends.iter().map(|it| (it.partition, it.envelope.end_offset())).collect();
        let (views, held) = (Arc::clone(&self.views), Arc::clone(&self.held));
        let load = self.capacity.load(self.judge.catalog(), &entry);
        let completion = Box::new(move |durability| {
            let outcome = match durability {
                Durability::Durable => {
                    views.apply(&changes, &ends, committed.time);
                    held.release(committed.csn);
                    Outcome::Committed(committed)
                }
                Durability::Unknown => {
                    held.abandon();
                    Outcome::Unknown
                }
            };
            drop((load, permit));
            // Whoever proposed it may have gone; the commit stands all the same.
            let _ = answer.send(outcome);
        });
        // A stopped journal has run the completion with Unknown, or dropped it, which is the same.
        let _ = self.journal.append(entry, completion);
    }
}

/// Refusals that rest on entries which are not durable yet: telling them earlier could tell of
/// something that a power cut takes back.
struct HeldRefusals(Mutex<Held>);

struct Held {
    durable: Csn,
    /// In the order of what they rest on.
    waiting: VecDeque<(Csn, Refusal, Answer)>,
    failed: bool,
}

impl HeldRefusals {
    fn after(durable: Csn) -> Self {
        Self(Mutex::new(Held { durable, waiting: VecDeque::new(), failed: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, rests_on: Csn, refusal: Refusal, answer: Answer) {
        let mut held = self.lock();
        if rests_on <= held.durable {
            let _ = answer.send(Outcome::Refused(refusal));
        } else if held.failed {
            let _ = answer.send(Outcome::Unknown);
        } else {
            held.waiting.push_back((rests_on, refusal, answer));
        }
    }

    fn release(&self, durable: Csn) {
        let mut held = self.lock();
        held.durable = durable;
        while let Some((_, refusal, answer)) =
            held.waiting.pop_front_if(|(rests_on, ..)| *rests_on <= durable)
        {
            let _ = answer.send(Outcome::Refused(refusal));
        }
    }

    /// The journal has failed: what the refusals rest on will never be durable.
    fn abandon(&self) {
        let mut held = self.lock();
        held.failed = true;
        held.waiting.drain(..).for_each(|(.., answer)| drop(answer.send(Outcome::Unknown)));
    }
}

#[cfg(test)]
mod tests;
