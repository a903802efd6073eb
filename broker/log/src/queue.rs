//! The entries that wait for the writer.
//!
//! Who appends takes permits in bytes before it queues anything: that bounds the queue, which
//! itself never makes anyone wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logmill_model::{Csn, Timestamp};

use crate::entry::Table;
use crate::{Completion, Durability, StoredBatch};

/// An entry on its way. Whatever happens to it, its completion runs once: an entry that is dropped
/// before it is durable is [`Durability::Unknown`].
pub(crate) struct Pending {
    pub(crate) csn: Csn,
    pub(crate) time: Timestamp,
    pub(crate) appends: Vec<StoredBatch>,
    pub(crate) table: Table,
    done: Option<Completion>,
}

impl Pending {
    pub(crate) fn new(
        csn: Csn,
        time: Timestamp,
        appends: Vec<StoredBatch>,
        done: Completion,
    ) -> Self {
        Self { csn, time, table: Table::of(&appends), appends, done: Some(done) }
    }

    /// Tells the proposer that the entry is durable and visible.
    pub(crate) fn complete(mut self) {
        if let Some(done) = self.done.take() {
            done(Durability::Durable);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Durability::Unknown);
        }
    }
}

/// What the writer is to do next.
pub(crate) enum Work {
    Entries,
    /// Nothing came for a while.
    Idle,
    /// Seal the journal: no entries will come.
    Close,
    /// Stop at once: the handle was dropped.
    Abandon,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Abandoned,
    Stopped,
}

struct State {
    entries: Vec<Pending>,
    phase: Phase,
    /// Whether the writer sleeps; else nobody need wake it.
    waiting: bool,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let state = State { entries: Vec::new(), phase: Phase::Open, waiting: false };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an entry; gives it back when nobody will write it.
    pub(crate) fn push(&self, entry: Pending) -> Result<(), Pending> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(entry);
        }
        state.entries.push(entry);
        let wake = state.waiting;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for work and takes all of it, adding to `taken`. Is idle after `idle_after`, if that
    /// is given.
    pub(crate) fn take(
        &self,
        taken: &mut impl Extend<Pending>,
        idle_after: Option<Duration>,
    ) -> Work {
        let mut state = self.state();
        loop {
            if state.phase == Phase::Abandoned {
                return Work::Abandon;
            }
            if !state.entries.is_empty() {
                taken.extend(state.entries.drain(..));
                return Work::Entries;
            }
            if state.phase != Phase::Open {
                return Work::Close;
            }
            state.waiting = true;
            let timed_out = match idle_after {
                None => {
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                    false
                }
                Some(duration) => {
                    let (guard, timeout) = self
                        .wake
                        .wait_timeout(state, duration)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = guard;
                    timeout.timed_out()
                }
            };
            state.waiting = false;
            if timed_out && state.entries.is_empty() && state.phase == Phase::Open {
                return Work::Idle;
            }
        }
    }

    /// No entries come any more; those that are queued are to be written.
    pub(crate) fn close(&self) {
        self.end(Phase::Closing);
    }

    /// No entries come any more, and none need be written.
    pub(crate) fn abandon(&self) {
        self.end(Phase::Abandoned);
    }

    fn end(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = phase;
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The writer is gone: what is queued is unknown, and nothing more is taken. Tells whether the
    /// journal was to be closed in order.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.state();
        let closing = state.phase == Phase::Closing;
        state.phase = Phase::Stopped;
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        drop(entries);
        closing
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
