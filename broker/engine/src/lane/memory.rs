//! What the calls of a run remember: the state of their lane, with what the run has changed of it.
//!
//! Nothing here is durable. A call sees what is, what the records before it in the run have changed,
//! and what it has changed itself; its changes go to the run when its verdict lets them count, and the
//! run's go into its commit. A run that is refused, or ends badly, is dropped with all of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use logmill_wasm::{Claim, Memory, MemoryFull, SharedMemory};

use super::settle::Settled;
use crate::limits::{STATE_BYTES_MAX, STATE_CALL_BYTES_MAX};
use crate::state::{Changes, KEY_OVERHEAD_BYTES, LaneState, cost};

const STATE_FULL: MemoryFull = MemoryFull { what: "state", bytes_max: STATE_BYTES_MAX as u64 };
const CALL_FULL: MemoryFull =
    MemoryFull { what: "changes of the state in one call", bytes_max: STATE_CALL_BYTES_MAX as u64 };
const CLAIMS: MemoryFull = MemoryFull { what: "claims", bytes_max: 0 };

/// The memory of a run, which it shares with the call under way.
#[derive(Clone)]
pub(crate) struct RunMemory(Arc<Mutex<Buffered>>);

/// What a run has changed of what its lane remembers.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) state: Changes,
}

struct Buffered {
    lane: Arc<LaneState>,
    /// What the records of the run have changed that are settled.
    run: Layer,
    /// What the call has changed.
    call: Layer,
}

/// Changes of the state.
#[derive(Default)]
struct Layer {
    changes: Changes,
    /// What the changes count for, in bytes.
    bytes: usize,
    /// What all of the state counts for with them, in bytes.
    state_bytes: usize,
}

impl RunMemory {
    /// Of a run of this lane.
    pub(crate) fn of(lane: &Arc<LaneState>) -> Self {
        let state_bytes = lane.read().bytes();
        let run = Layer { state_bytes, ..Layer::default() };
        let buffered = Buffered { lane: Arc::clone(lane), run, call: Layer::default() };
        Self(Arc::new(Mutex::new(buffered)))
    }

    /// As a call takes it.
    pub(crate) fn shared(&self) -> SharedMemory {
        // Not `Arc::clone`, which would ask for the memory of a call already.
        self.0.clone()
    }

    /// A record begins: nothing is left of the one before but what counts.
    pub(crate) fn begin(&self) {
        let mut buffered = self.lock();
        let state_bytes = buffered.run.state_bytes;
        buffered.call = Layer { state_bytes, ..Layer::default() };
    }

    /// Whether the record would change the state with this outcome.
    pub(crate) fn changes_state(&self, settled: &Settled) -> bool {
        lets_state_count(settled) && !self.lock().call.changes.is_empty()
    }

    /// Lets what the record has changed count, as far as its outcome does; tells how many bytes there
    /// are to commit for it.
    pub(crate) fn settle(&self, settled: &Settled) -> usize {
        let mut buffered = self.lock();
        let call = std::mem::take(&mut buffered.call);
        if !lets_state_count(settled) {
            return 0;
        }
        let bytes = call.bytes;
        buffered.keep(call);
        bytes
    }

    /// What is to be committed.
    pub(crate) fn take(&self) -> Kept {
        let mut buffered = self.lock();
        Kept { state: std::mem::take(&mut buffered.run.changes) }
    }

    fn lock(&self) -> MutexGuard<'_, Buffered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RunMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunMemory").finish_non_exhaustive()
    }
}

/// Whether what a record has changed of the state counts.
fn lets_state_count(settled: &Settled) -> bool {
    match settled {
        Settled::Done(_) => true,
        Settled::Dropped | Settled::Parked(_) | Settled::Buried(_) => false,
    }
}

impl Buffered {
    fn change(&mut self, key: &str, value: Option<Bytes>) -> Result<(), MemoryFull> {
        let count = |value: Option<&Bytes>| value.map_or(0, |value| cost(key, value));
        let (before, after) = (count(self.get(key).as_ref()), count(value.as_ref()));
        if before == 0 && after == 0 {
            return Ok(());
        }
        let state_bytes = self.call.state_bytes - before + after;
        if after > before && state_bytes > STATE_BYTES_MAX {
            return Err(STATE_FULL);
        }
        self.call.put(key.to_owned(), value);
        self.call.state_bytes = state_bytes;
        if self.call.bytes > STATE_CALL_BYTES_MAX { Err(CALL_FULL) } else { Ok(()) }
    }

    /// Adds what a call has changed to what the run has.
    fn keep(&mut self, call: Layer) {
        let lane = self.lane.read();
        for (key, value) in call.changes {
            if value.is_none() && lane.get(&key).is_none() {
                // It came and went without ever having been durable.
                self.run.remove(&key);
            } else {
                self.run.put(key, value);
            }
        }
        self.run.state_bytes = call.state_bytes;
    }
}

impl Memory for Buffered {
    fn get(&mut self, key: &str) -> Option<Bytes> {
        let changed = [&self.call, &self.run].into_iter().find_map(|it| it.changes.get(key));
        match changed {
            Some(value) => value.clone(),
            None => self.lane.read().get(key).cloned(),
        }
    }

    fn set(&mut self, key: &str, value: Bytes) -> Result<(), MemoryFull> {
        self.change(key, Some(value))
    }

    fn delete(&mut self, key: &str) -> Result<(), MemoryFull> {
        self.change(key, None)
    }

    fn claim(&mut self, _: &str) -> Result<Claim, MemoryFull> {
        Err(CLAIMS)
    }
}

impl Layer {
    fn put(&mut self, key: String, value: Option<Bytes>) {
        self.remove(&key);
        self.bytes += change_bytes(&key, value.as_ref());
        self.changes.insert(key, value);
    }

    fn remove(&mut self, key: &str) {
        if let Some(value) = self.changes.remove(key) {
            self.bytes -= change_bytes(key, value.as_ref());
        }
    }
}

fn change_bytes(key: &str, value: Option<&Bytes>) -> usize {
    KEY_OVERHEAD_BYTES + key.len() + value.map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests;
