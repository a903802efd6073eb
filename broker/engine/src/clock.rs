//! The one place of this crate that reads clocks; everything else takes the time as a value.
//!
//! What time an entry gets decides what retention removes and when a retry is due, and an entry's
//! time never goes back. So a wall clock that is set wrong for a moment could do lasting harm. The
//! engine therefore holds it against the clock that counts since the machine's boot: **a jump of
//! more than an hour, either way, is not believed.** Time then goes on by the boot clock, the
//! broker's status says so, and it ends when the wall clock comes back to within an hour, or when
//! an operator accepts it.
//!
//! At its start the engine believes the wall clock: nothing tells how long the broker was down.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use logmill_model::{ClockJump, Timestamp};

/// The largest jump that is believed, in milliseconds.
const JUMP_MS_MAX: u64 = 60 * 60 * 1000;

/// The wall clock now.
///
/// A clock before 1970 reads as the epoch: the sequencer never lets entry time go backwards, so a
/// bad clock delays retries and orders nothing.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the edge that the rule points to")]
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// The machine's clocks, or a test's.
pub trait TimeSource: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> Timestamp;

    /// Milliseconds since the machine's boot, suspended time included. Nobody can set it.
    fn since_boot_ms(&self) -> u64;
}

struct Machine;

impl TimeSource for Machine {
    fn wall(&self) -> Timestamp {
        now()
    }

    fn since_boot_ms(&self) -> u64 {
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds * 1000 + nanoseconds / 1_000_000
    }
}

/// The engine's clock. All clones are the same one.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    source: Box<dyn TimeSource>,
    guarded: Mutex<Guarded>,
}

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn machine() -> Self {
        Self::of(Box::new(Machine))
    }

    /// One that reads `source`.
    #[must_use]
    pub fn of(source: Box<dyn TimeSource>) -> Self {
        Self(Arc::new(Inner { source, guarded: Mutex::default() }))
    }

    /// The time, as far as the wall clock is believed.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let reading = self.reading();
        self.guarded().read(reading)
    }

    /// The jump of the wall clock that is not believed, if there is one.
    #[must_use]
    pub fn jump(&self) -> Option<ClockJump> {
        let reading = self.reading();
        let mut guarded = self.guarded();
        let believed = guarded.read(reading);
        guarded.jumped.then_some(ClockJump { wall: reading.wall, believed })
    }

    /// Believes the wall clock as it is now.
    pub fn accept(&self) {
        let reading = self.reading();
        *self.guarded() = Guarded { believed: Some(reading), jumped: false };
    }

    fn reading(&self) -> Reading {
        Reading { wall: self.0.source.wall(), boot_ms: self.0.source.since_boot_ms() }
    }

    fn guarded(&self) -> MutexGuard<'_, Guarded> {
        self.0.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    boot_ms: u64,
}

/// What is believed of the time.
#[derive(Debug, Default)]
struct Guarded {
    /// The last reading whose wall clock was believed, or when it was not, what stood in for it.
    believed: Option<Reading>,
    jumped: bool,
}

impl Guarded {
    /// The time at a reading.
    fn read(&mut self, reading: Reading) -> Timestamp {
        let Some(last) = self.believed else {
            self.believed = Some(reading);
            return reading.wall;
        };
        // Readings of two threads may come in the other order: then no time has passed.
        let passed_ms = reading.boot_ms.saturating_sub(last.boot_ms);
        let expected = last.wall.plus_ms(passed_ms);
        let jumped = expected.0.abs_diff(reading.wall.0) > JUMP_MS_MAX;
        if jumped && !self.jumped {
            tracing::error!(
                wall = reading.wall.0,
                expected = expected.0,
                "the wall clock has jumped by more than an hour and is not believed; set it right, \
                 or accept it with `logmill clock accept`"
            );
        } else if self.jumped && !jumped {
            tracing::info!(wall = reading.wall.0, "the wall clock is right again");
        }
        self.jumped = jumped;
        let wall = if jumped { expected } else { reading.wall };
        self.believed = Some(Reading { wall, boot_ms: last.boot_ms.max(reading.boot_ms) });
        wall
    }
}

/// A clock that stands until a test moves it, by less than a jump.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Hands(Arc<std::sync::atomic::AtomicU64>);

#[cfg(test)]
impl Hands {
    /// Beyond the jump that is not believed, so that nothing lies before 1970.
    pub(crate) const BEGIN: Timestamp = Timestamp(1_000_000_000);

    pub(crate) fn new() -> Self {
        Self(Arc::new(Self::BEGIN.0.into()))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[cfg(test)]
impl TimeSource for Hands {
    fn wall(&self) -> Timestamp {
        self.now()
    }

    fn since_boot_ms(&self) -> u64 {
        self.now().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = JUMP_MS_MAX;

    /// The time at each reading of (wall, since boot), and whether the wall clock was believed.
    fn times(readings: &[(u64, u64)]) -> Vec<(u64, bool)> {
        let mut guarded = Guarded::default();
        let read = |(wall, boot_ms): &(u64, u64)| {
            let time = guarded.read(Reading { wall: Timestamp(*wall), boot_ms: *boot_ms });
            (time.0, !guarded.jumped)
        };
        readings.iter().map(read).collect()
    }

    #[test]
    fn a_jump_of_more_than_an_hour_is_refused_and_time_goes_on_by_the_boot_clock() {
        let start = 100 * HOUR;
        let jumped = start + 1000 * HOUR;
        assert_eq!(
            times(&[
                (start, 5),
                (start + 10, 15),
                (jumped, 20),
                (jumped + 1000, 1020),
                // Right again.
                (start + 2020, 2030),
                // Backwards.
                (10, 2040),
                (start + 2035, 2045),
            ]),
            [
                (start, true),
                (start + 10, true),
                (start + 15, false),
                (start + 1015, false),
                (start + 2020, true),
                (start + 2030, false),
                (start + 2035, true),
            ]
        );
    }

    #[test]
    fn an_hour_to_either_side_and_any_time_of_sleep_are_believed() {
        let start = 100 * HOUR;
        assert_eq!(
            times(&[(start, 0), (start + HOUR, 0), (start, 0), (start + 900 * HOUR, 900 * HOUR)]),
            [(start, true), (start + HOUR, true), (start, true), (start + 900 * HOUR, true)]
        );
    }

    struct Far;

    impl TimeSource for Far {
        fn wall(&self) -> Timestamp {
            Timestamp(500 * HOUR)
        }

        fn since_boot_ms(&self) -> u64 {
            7
        }
    }

    #[test]
    fn an_accepted_jump_is_time() {
        let clock = Clock::of(Box::new(Far));
        let believed = Timestamp(HOUR);
        clock.guarded().believed = Some(Reading { wall: believed, boot_ms: 7 });
        let jump = ClockJump { wall: Timestamp(500 * HOUR), believed };
        assert_eq!((clock.now(), clock.jump()), (believed, Some(jump)));
        clock.accept();
        assert_eq!((clock.now(), clock.jump()), (Timestamp(500 * HOUR), None));
    }
}
