//! What a guest finds on the other side of its imports: the state of one instance, and the answers
//! of `log`, `clock`, `random`, `state` and `idempotency`.

use std::sync::{MutexGuard, PoisonError};

use logmill_model::Timestamp;
use logmill_model::limits::{CLAIM_KEY_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};

use crate::bindings::logmill::module::{clock, idempotency, log, random, state, types};
use crate::budget::Budget;
use crate::from_guest;
use crate::lines::SharedLines;
use crate::meter::Meter;
use crate::offence::Offence;
use crate::splitmix::SplitMix64;
use crate::wasi::Wasi;
use crate::{CallContext, Claim, Limits, Memory, SharedMemory, to_guest};

/// Most random bytes that are given at once.
pub(crate) const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// The state of one instance. What belongs to a call is set by [`Host::begin`].
pub(crate) struct Host {
    pub budget: Budget,
    pub meter: Meter,
    pub lines: SharedLines,
    pub random: SplitMix64,
    pub now: Timestamp,
    /// What the call remembers; none is empty and forgets.
    pub memory: Option<SharedMemory>,
    /// Made when the guest first asks WASI for something, so that others don't pay for it.
    pub wasi: Option<Box<Wasi>>,
}

impl Host {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            budget: Budget::new(limits.memory_bytes),
            meter: Meter::default(),
            lines: SharedLines::new(limits.log_bytes),
            random: SplitMix64::new(0),
            now: Timestamp::ZERO,
            memory: None,
            wasi: None,
        }
    }

    /// Forgets the last call and is told of the next.
    pub(crate) fn begin(&mut self, call: &mut CallContext<'_>, deadline_ms: u64) {
        self.now = call.now;
        self.random = SplitMix64::new(call.seed);
        self.memory = call.memory.take();
        self.meter.begin(deadline_ms);
        self.budget.begin();
        self.lines.lock().begin();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin(call.now);
        }
    }

    /// The memory of the call, where it has one.
    fn memory(&self) -> Option<MutexGuard<'_, dyn Memory + 'static>> {
        let memory = self.memory.as_ref()?;
        Some(memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As many random bytes as are asked for, within bounds.
    pub(crate) fn random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        if count > RANDOM_BYTES_MAX {
            return Err(Offence::RandomBytes { count }.into());
        }
        Ok(self.random.bytes(count as usize))
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        self.lines.lock().push(from_guest::level(level), text);
        Ok(())
    }
}

impl clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.now.0)
    }
}

impl random::Host for Host {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(u64::from(count))
    }
}

impl state::Host for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        check_state_key(&key)?;
        Ok(self.memory().and_then(|mut memory| memory.get(&key)).map(Into::into))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<()> {
        check_state_key(&key)?;
        if value.len() > STATE_VALUE_BYTES_MAX {
            return Err(Offence::StateValue { bytes: value.len() }.into());
        }
        match self.memory() {
            Some(mut memory) => Ok(memory.set(&key, value.into()).map_err(Offence::Full)?),
            None => Ok(()),
        }
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        check_state_key(&key)?;
        match self.memory() {
            Some(mut memory) => Ok(memory.delete(&key).map_err(Offence::Full)?),
            None => Ok(()),
        }
    }
}

fn check_state_key(key: &str) -> Result<(), Offence> {
    if key.len() > STATE_KEY_BYTES_MAX {
        return Err(Offence::StateKey { bytes: key.len() });
    }
    Ok(())
}

impl idempotency::Host for Host {
    fn claim_key(&mut self, key: String) -> wasmtime::Result<idempotency::Claim> {
        if key.len() > CLAIM_KEY_BYTES_MAX {
            return Err(Offence::ClaimKey { bytes: key.len() }.into());
        }
        let Some(mut memory) = self.memory() else { return Ok(idempotency::Claim::First) };
        match memory.claim(&key).map_err(Offence::Full)? {
            Claim::First => Ok(idempotency::Claim::First),
            Claim::Seen(source) => Ok(idempotency::Claim::Seen(to_guest::position(source))),
            // No guest waits for another: it would hold its worker, and may hold what that one needs.
            Claim::Busy => Err(Offence::Busy.into()),
        }
    }
}
