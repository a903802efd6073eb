//! What the calls of a run remember: the state of their lane and the keys that its deployment has
//! claimed, with what the run has changed of both.
//!
//! Nothing here is durable. A call sees what is, what the records before it in the run have changed,
//! and what it has changed itself; its changes go to the run when its verdict lets them count, and the
//! run's go into its commit. A run that is refused, or ends badly, is dropped with all of them; the keys
//! that it held are then free.

mod claims;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use logmill_model::{LaneId, Offset, Timestamp, TopicName};
use logmill_wasm::{Claim, Memory, MemoryFull, SharedMemory};

use super::settle::Settled;
use crate::claims::{Claims, HeldKeys, Places};
use crate::parts::Parts;
use crate::remembered::Remembered;
use crate::state::{Changes, LaneState};
use claims::ClaimBuffer;
use state::StateBuffer;

pub(crate) use claims::{ClaimWait, Standing};

/// What a lane remembers, as it is durable.
pub(crate) struct LaneMemory {
    parts: Arc<Parts>,
    id: LaneId,
    topic: TopicName,
    pub(crate) state: Arc<LaneState>,
    pub(crate) claims: Arc<Claims>,
}

/// The memory of a run, which it shares with the call under way.
#[derive(Clone)]
pub(crate) struct RunMemory(Arc<Mutex<Buffered>>);

/// What a run has changed of what its lane remembers.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) state: Changes,
    /// None when it has claimed nothing.
    pub(crate) claims: Option<HeldKeys>,
}

struct Buffered {
    parts: Arc<Parts>,
    state: StateBuffer,
    claims: ClaimBuffer,
}

/// What of a record's changes counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    All,
    Claims,
    Nothing,
}

impl LaneMemory {
    /// That of the lane on this topic.
    pub(crate) fn new(
        parts: &Arc<Parts>,
        remembered: &Remembered,
        (id, topic): (LaneId, TopicName),
        window_ms: u64,
    ) -> Self {
        let (state, claims) = (remembered.lane(id.source), remembered.claims(window_ms));
        Self { parts: Arc::clone(parts), id, topic, state, claims }
    }

    /// For a run of it.
    pub(crate) fn run(&self) -> RunMemory {
        let places = Places::new(Arc::clone(&self.parts), self.id.deployment);
        let (topic, source) = (self.topic.clone(), self.id.source);
        let claims = ClaimBuffer::new(Arc::clone(&self.claims), places, (topic, source));
        let state = StateBuffer::new(Arc::clone(&self.state));
        RunMemory(Arc::new(Mutex::new(Buffered { parts: Arc::clone(&self.parts), state, claims })))
    }
}

impl RunMemory {
    /// As a call takes it.
    pub(crate) fn shared(&self) -> SharedMemory {
        // Not `Arc::clone`, which would ask for the memory of a call already.
        self.0.clone()
    }

    /// A record begins: nothing is left of the one before but what counts.
    pub(crate) fn begin(&self, offset: Offset, now: Timestamp) {
        let mut buffered = self.lock();
        let now = now.max(buffered.parts.views.time());
        buffered.state.begin();
        buffered.claims.begin(offset, now);
    }

    /// Looks up the keys of records that come.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, now: Timestamp) {
        let claims = Arc::clone(self.lock().claims.of_deployment());
        claims.look_ahead(keys, now);
    }

    /// Claims the key that the record itself has.
    pub(crate) fn claim(&self, key: Bytes) -> Standing {
        self.lock().claims.claim_declared(key)
    }

    /// What the record waits for, whose call has ended at a claim.
    pub(crate) fn take_wait(&self) -> ClaimWait {
        self.lock().claims.take_wait()
    }

    /// Forgets what the record has changed.
    pub(crate) fn forget(&self) {
        let mut buffered = self.lock();
        buffered.state.begin();
        buffered.claims.release();
    }

    /// Whether the record would change the state with this outcome.
    pub(crate) fn changes_state(&self, settled: &Settled) -> bool {
        counts(settled) == Counts::All && self.lock().state.is_changed()
    }

    /// Lets what the record has changed count, as far as its outcome does; tells how many bytes there
    /// are to commit for it.
    pub(crate) fn settle(&self, settled: &Settled) -> usize {
        let mut buffered = self.lock();
        let bytes = match counts(settled) {
            Counts::All => buffered.state.keep() + buffered.claims.keep(),
            Counts::Claims => buffered.claims.keep(),
            Counts::Nothing => 0,
        };
        buffered.state.begin();
        buffered.claims.release();
        bytes
    }

    /// What is to be committed.
    pub(crate) fn take(&self) -> Kept {
        let mut buffered = self.lock();
        Kept { state: buffered.state.take(), claims: buffered.claims.take() }
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

fn counts(settled: &Settled) -> Counts {
    match settled {
        Settled::Done(_) => Counts::All,
        Settled::Dropped => Counts::Claims,
        Settled::Duplicate | Settled::Parked(_) | Settled::Buried(_) => Counts::Nothing,
    }
}

impl Memory for Buffered {
    fn get(&mut self, key: &str) -> Option<Bytes> {
        self.state.get(key)
    }

    fn set(&mut self, key: &str, value: Bytes) -> Result<(), MemoryFull> {
        self.state.change(key, Some(value))
    }

    fn delete(&mut self, key: &str) -> Result<(), MemoryFull> {
        self.state.change(key, None)
    }

    fn claim(&mut self, key: &str) -> Result<Claim, MemoryFull> {
        self.claims.claim(key)
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::FailureReason;
    use logmill_model::internal::FailedAttempts;

    use super::super::settle::Burial;
    use super::*;

    #[test]
    fn state_counts_when_a_record_is_done_and_claims_also_when_it_is_dropped() {
        let at = Timestamp(1);
        let failed =
            FailedAttempts { attempts: 1, first_failed_ts: at, last_failed_ts: at, retry_at: at };
        let burial = Burial {
            reason: FailureReason::Rejected,
            detail: String::new(),
            attempts: 1,
            first_failed_ts: at,
            last_failed_ts: at,
        };
        for (settled, expected) in [
            (Settled::Done(Vec::new()), Counts::All),
            (Settled::Dropped, Counts::Claims),
            (Settled::Duplicate, Counts::Nothing),
            (Settled::Parked(failed), Counts::Nothing),
            (Settled::Buried(burial), Counts::Nothing),
        ] {
            assert!(counts(&settled) == expected, "{settled:?}");
        }
    }
}
