//! Randomness that can be had again.

use std::time::{Duration, Instant};

/// A stream of random numbers. Its seed is `LOGMILL_SEED`, or new in each run and told.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of this run; tells how to have it again, which is shown when the test fails.
    #[must_use]
    pub fn new() -> Self {
        let seed = match std::env::var("LOGMILL_SEED") {
            Ok(seed) => seed.parse().expect("LOGMILL_SEED is a number"),
            Err(_) => fresh_seed(),
        };
        eprintln!("to have this run again: LOGMILL_SEED={seed}");
        Self(seed)
    }

    /// The stream of this seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, which does not depend on how much of this one is used later.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// The next number (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.number().is_multiple_of(n)
    }

    /// A time up to `max`, to the microsecond.
    pub fn time_up_to(&mut self, max: Duration) -> Duration {
        let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.between(0, micros))
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(Instant::now())
}

/// How long a test is to go on when there is time: `LOGMILL_SOAK` seconds, none unless that is set.
///
/// # Panics
/// When `LOGMILL_SOAK` is not a number.
#[must_use]
pub fn soak() -> Duration {
    let seconds = std::env::var("LOGMILL_SOAK")
        .map_or(0, |seconds| seconds.parse().expect("LOGMILL_SOAK is a number of seconds"));
    Duration::from_secs(seconds)
}

/// Whether there is time.
///
/// # Panics
/// As [`soak`].
#[must_use]
pub fn soaks() -> bool {
    !soak().is_zero()
}

/// The numbers of the rounds to run: at least `least`, and as many as fit into `LOGMILL_SOAK`
/// seconds when that is set.
///
/// # Panics
/// As [`soak`].
pub fn rounds(least: u64) -> impl Iterator<Item = u64> {
    let end = Instant::now() + soak();
    (0..).take_while(move |round| *round < least || Instant::now() < end)
}
