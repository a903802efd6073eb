//! The state of a lane with the changes of a run.

use std::sync::Arc;

use bytes::Bytes;
use logmill_wasm::MemoryFull;

use crate::limits::{STATE_BYTES_MAX, STATE_CALL_BYTES_MAX};
use crate::state::{Changes, KEY_OVERHEAD_BYTES, LaneState, cost};

const STATE_FULL: MemoryFull = MemoryFull { what: "state", bytes_max: STATE_BYTES_MAX as u64 };
const CALL_FULL: MemoryFull =
    MemoryFull { what: "changes of the state in one call", bytes_max: STATE_CALL_BYTES_MAX as u64 };

pub(super) struct StateBuffer {
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

impl StateBuffer {
    pub(super) fn new(lane: Arc<LaneState>) -> Self {
        let state_bytes = lane.read().bytes();
        Self { lane, run: Layer { state_bytes, ..Layer::default() }, call: Layer::default() }
    }

    /// Forgets what the call before has changed and did not keep.
    pub(super) fn begin(&mut self) {
        self.call = Layer { state_bytes: self.run.state_bytes, ..Layer::default() };
    }

    /// Whether the call has changed anything.
    pub(super) fn is_changed(&self) -> bool {
        !self.call.changes.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        let changed = [&self.call, &self.run].into_iter().find_map(|it| it.changes.get(key));
        match changed {
            Some(value) => value.clone(),
            None => self.lane.read().get(key).cloned(),
        }
    }

    pub(super) fn change(&mut self, key: &str, value: Option<Bytes>) -> Result<(), MemoryFull> {
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

    /// Adds what the call has changed to what the run has; tells how many bytes that is.
    pub(super) fn keep(&mut self) -> usize {
        let call = std::mem::take(&mut self.call);
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
        call.bytes
    }

    /// What the run has changed.
    pub(super) fn take(&mut self) -> Changes {
        std::mem::take(&mut self.run.changes)
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
