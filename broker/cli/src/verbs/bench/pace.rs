//! When which batch is due, where a rate was asked for.
//!
//! A batch's latency counts from the moment it was due, whether or not it could leave then. So a
//! broker that stands still for a second pays for each batch that should have left in that second,
//! as its users would, instead of for the one that it kept waiting (coordinated omission).

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A rate, as the time of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Nanoseconds of a second, times records of a batch.
    batch_ns: u128,
    /// Records a second.
    rate: u128,
}

impl Pace {
    /// Batches of so many records, at so many records a second.
    pub(crate) fn new(rate: u64, batch: u32) -> Self {
        Self { batch_ns: u128::from(batch) * 1_000_000_000, rate: u128::from(rate) }
    }

    /// When a batch is due, from the start.
    pub(crate) fn due(&self, batch: u64) -> Duration {
        let ns = u128::from(batch) * self.batch_ns / self.rate;
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// How many batches are due by then: those before this number.
    pub(crate) fn due_by(&self, since_start: Duration) -> u64 {
        // The last whole nanosecond in which a batch can have become due counts.
        let batches = ((since_start.as_nanos() + 1) * self.rate - 1) / self.batch_ns;
        u64::try_from(batches).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Tells how many batches are due, as time goes on, until all are or nobody listens. Blocks: it is
/// for a thread of its own, since the runtime's timers are a thousand microseconds coarse.
pub(super) fn beat(pace: Pace, batches: u64, started: Instant, due: &watch::Sender<u64>) {
    loop {
        let elapsed = started.elapsed();
        let by_now = pace.due_by(elapsed).min(batches);
        due.send_replace(by_now);
        if by_now >= batches || due.is_closed() {
            return;
        }
        std::thread::park_timeout(pace.due(by_now).saturating_sub(elapsed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_due_evenly_from_the_start_on() {
        let pace = Pace::new(10_000, 100);
        assert_eq!(pace.due(0), Duration::ZERO);
        assert_eq!(pace.due(1), Duration::from_millis(10));
        assert_eq!(pace.due(250), Duration::from_millis(2500));
        assert_eq!(pace.due_by(Duration::ZERO), 1);
        assert_eq!(pace.due_by(Duration::from_micros(9_999)), 1);
        assert_eq!(pace.due_by(Duration::from_millis(10)), 2);
    }

    #[test]
    fn a_batch_is_due_by_its_time_and_not_before_it() {
        for (rate, batch) in [(1, 1), (3, 7), (999_983, 64), (u64::MAX, 1), (1, 65_536)] {
            let pace = Pace::new(rate, batch);
            for number in [0, 1, 2, 3, 1000, 12_345] {
                let due = pace.due(number);
                assert!(pace.due_by(due) > number, "{rate} {batch} {number}");
                if let Some(before) = due.checked_sub(Duration::from_nanos(1)) {
                    assert!(pace.due_by(before) <= number, "{rate} {batch} {number}");
                }
            }
        }
    }

    #[test]
    fn the_beat_ends_when_all_are_due_and_when_nobody_listens() {
        let (due, told) = watch::channel(0);
        beat(Pace::new(1_000_000, 1), 50, Instant::now(), &due);
        assert_eq!(*told.borrow(), 50);
        drop(told);
        beat(Pace::new(1, 1), u64::MAX, Instant::now(), &due);
    }
}
