//! What a guest finds on the other side of its imports: the state of one instance, and the answers
//! of `log`, `clock` and `random`.

use logmill_model::Timestamp;

use crate::Limits;
use crate::bindings::logmill::module::{clock, log, random, types};
use crate::budget::Budget;
use crate::from_guest;
use crate::lines::SharedLines;
use crate::meter::Meter;
use crate::offence::Offence;
use crate::splitmix::SplitMix64;
use crate::wasi::Wasi;

/// Most random bytes that are given at once.
pub(crate) const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// The state of one instance. What belongs to a call is set by [`Host::begin`].
pub(crate) struct Host {
    pub budget: Budget,
    pub meter: Meter,
    pub lines: SharedLines,
    pub random: SplitMix64,
    pub now: Timestamp,
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
            wasi: None,
        }
    }

    /// Forgets the last call and is told of the next.
    pub(crate) fn begin(&mut self, now: Timestamp, seed: u64, deadline_ms: u64) {
        self.now = now;
        self.random = SplitMix64::new(seed);
        self.meter.begin(deadline_ms);
        self.budget.begin();
        self.lines.lock().begin();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin(now);
        }
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
