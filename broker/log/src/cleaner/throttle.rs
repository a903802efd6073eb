//! The cleaner's share of the disk: so many bytes a second, and an end when the broker stops.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// Counts the bytes that cleaning reads and writes, and makes it wait when they are too many.
#[derive(Debug)]
pub struct Throttle {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    bytes: u64,
    stopped: bool,
}

impl Throttle {
    /// As fast as `bytes_per_second`, read and written bytes together.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        let pace = Pace { bytes_per_second, free_at: None };
        Self { state: Mutex::new(State { pace, bytes: 0, stopped: false }), wake: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the pace, from the next bytes on.
    pub fn set_pace(&self, bytes_per_second: u64) {
        self.state().pace.bytes_per_second = bytes_per_second;
    }

    /// Ends the cleaning that takes from this, now and for good. Wakes it if it waits.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.wake.notify_all();
    }

    /// How many bytes were taken.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Takes bytes that are about to be read or written; waits until it is their turn.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Error> {
        let mut state = self.state();
        state.bytes += bytes;
        let now = Instant::now();
        let until = now + state.pace.take(bytes, now);
        loop {
            if state.stopped {
                return Err(Error::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            (state, _) =
                self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Which moment belongs to which bytes. Time that nobody used is not saved up.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    free_at: Option<Instant>,
}

impl Pace {
    /// How long these bytes must wait for those before them.
    fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let begin = self.free_at.map_or(now, |at| at.max(now));
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        // A wait of centuries is one that only a stop ends.
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).min(WAIT_NANOS_MAX);
        self.free_at = Some(begin + Duration::from_nanos(nanos));
        begin - now
    }
}

const WAIT_NANOS_MAX: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn bytes_wait_for_those_before_them() {
        let begin = Instant::now();
        let mut pace = Pace { bytes_per_second: 1000, free_at: None };
        let ms = Duration::from_millis;
        assert_eq!(pace.take(500, begin), ms(0));
        assert_eq!(pace.take(500, begin), ms(500));
        assert_eq!(pace.take(2000, begin + ms(900)), ms(100));
        assert_eq!(pace.take(1, begin + ms(2999)), ms(1));
        // An hour of rest earns no burst.
        assert_eq!(pace.take(1000, begin + ms(3_600_000)), ms(0));
        assert_eq!(pace.take(1000, begin + ms(3_600_000)), ms(1000));
    }

    #[test]
    fn a_stop_wakes_who_waits() {
        let throttle = Arc::new(Throttle::new(1));
        throttle.take(1 << 40).unwrap();
        let waiting = Arc::clone(&throttle);
        let waiter = std::thread::spawn(move || waiting.take(1));
        while throttle.bytes() <= 1 << 40 {
            std::thread::yield_now();
        }
        throttle.stop();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Interrupted)));
        assert!(matches!(throttle.take(1), Err(Error::Interrupted)));
    }
}
