//! The broker's part in a unit test: what `log`, `clock`, `random`, `state` and `idempotency` answer on
//! the host.
//!
//! ```
//! use logmill_module::{info, log::Level, testing::TestHost};
//!
//! let host = TestHost::new().at_ms(1_000).with_seed(7);
//! info!("seen");
//! assert_eq!(host.log(), [(Level::Info, "seen".to_owned())]);
//! ```
//!
//! Without a [`TestHost`] the log is dropped, the time is 0, the seed is 0, the state is empty and
//! forgets, and every key is claimed for the first time. It holds for the
//! thread that made it; each test of `cargo test` runs in a thread of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::log::Level;
use crate::{Claim, Position};

struct State {
    now_ms: u64,
    random: u64,
    /// None without a [`TestHost`], which is what empties it.
    log: Option<Vec<(Level, String)>>,
    state: BTreeMap<String, Vec<u8>>,
    /// Keys of earlier records.
    claimed: BTreeMap<String, Position>,
    /// Keys that were claimed since.
    claims: Vec<String>,
}

impl State {
    const IDLE: Self = Self {
        now_ms: 0,
        random: 0,
        log: None,
        state: BTreeMap::new(),
        claimed: BTreeMap::new(),
        claims: Vec::new(),
    };
}

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::IDLE) };
}

fn with_state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

/// The host of this thread's handlers, until it is dropped. One at a time.
#[derive(Debug)]
pub struct TestHost {
    /// What it sets belongs to this thread.
    stays_here: PhantomData<*const ()>,
}

impl TestHost {
    /// A host with an empty log, at time 0, with seed 0.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making one has an effect, and dropping it too")]
    pub fn new() -> Self {
        with_state(|state| *state = State { log: Some(Vec::new()), ..State::IDLE });
        Self { stays_here: PhantomData }
    }

    /// The same host at this time.
    #[must_use]
    pub fn at_ms(self, now_ms: u64) -> Self {
        self.set_now_ms(now_ms);
        self
    }

    /// The same host with random bytes that follow from this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        with_state(|state| state.random = seed);
        self
    }

    /// The same host with this in its state.
    #[must_use]
    pub fn with_state(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        state_set(key, value.as_ref());
        self
    }

    /// The same host, where the record at `by` has claimed the key.
    #[must_use]
    pub fn with_claimed(self, key: &str, by: Position) -> Self {
        with_state(|state| state.claimed.insert(key.to_owned(), by));
        self
    }

    /// The state as it is. It keeps what every call has changed: what a broker does with a verdict is
    /// not played here.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        with_state(|state| state.state.clone())
    }

    /// The keys that were claimed for the first time, in order.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        with_state(|state| state.claims.clone())
    }

    /// Moves the clock.
    pub fn set_now_ms(&self, now_ms: u64) {
        with_state(|state| state.now_ms = now_ms);
    }

    /// What was written to the log so far.
    #[must_use]
    pub fn log(&self) -> Vec<(Level, String)> {
        with_state(|state| state.log.clone().unwrap_or_default())
    }

    /// What was written to the log since it was last taken.
    #[must_use]
    pub fn take_log(&self) -> Vec<(Level, String)> {
        with_state(|state| state.log.replace(Vec::new()).unwrap_or_default())
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        with_state(|state| *state = State::IDLE);
    }
}

pub(crate) fn write_log(level: Level, text: &str) {
    with_state(|state| {
        if let Some(log) = &mut state.log {
            log.push((level, text.to_owned()));
        }
    });
}

pub(crate) fn now_ms() -> u64 {
    with_state(|state| state.now_ms)
}

pub(crate) fn state_get(key: &str) -> Option<Vec<u8>> {
    with_state(|state| state.state.get(key).cloned())
}

pub(crate) fn state_set(key: &str, value: &[u8]) {
    with_state(|state| {
        if state.log.is_some() {
            state.state.insert(key.to_owned(), value.to_owned());
        }
    });
}

pub(crate) fn state_delete(key: &str) {
    with_state(|state| {
        state.state.remove(key);
    });
}

pub(crate) fn claim_key(key: &str) -> Claim {
    with_state(|state| match state.claimed.get(key) {
        Some(by) => Claim::Seen(by.clone()),
        None => {
            if state.log.is_some() && !state.claims.iter().any(|it| it == key) {
                state.claims.push(key.to_owned());
            }
            Claim::First
        }
    })
}

/// SplitMix64, a byte a step: plenty for a test.
pub(crate) fn random_bytes(count: u32) -> Vec<u8> {
    with_state(|state| {
        let mut next = || {
            state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)).to_le_bytes()[0]
        };
        (0..count).map(|_| next()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, idempotency, random, state, warn};

    #[test]
    fn a_host_answers_until_it_is_dropped_and_leaves_nothing_behind() {
        let host = TestHost::new().at_ms(5).with_seed(1);
        warn!("odd: {}", 3);
        let first = random::bytes(8);
        assert_eq!(clock::now_ms(), 5);
        host.set_now_ms(6);
        assert_eq!(clock::now_ms(), 6);
        assert_eq!(host.take_log(), [(Level::Warn, "odd: 3".to_owned())]);
        assert_eq!(host.log(), []);
        assert_ne!(random::bytes(8), first);
        drop(host);
        assert_eq!(clock::now_ms(), 0);
        warn!("nobody hears this");
        let host = TestHost::new().with_seed(1);
        assert_eq!((host.log(), random::bytes(8)), (vec![], first));
    }

    #[test]
    fn a_host_remembers_until_it_is_dropped() {
        state::set("nobody", "keeps this");
        let by = Position { topic: "t".to_owned(), partition: 1, offset: 2 };
        let host = TestHost::new().with_state("a", "1").with_claimed("old", by.clone());
        assert_eq!(state::get("nobody"), None);
        assert_eq!(state::get_text("a").unwrap().as_deref(), Some("1"));
        state::set("b", [0xff]);
        assert!(state::get_text("b").is_err());
        state::delete("a");
        assert_eq!(host.state().into_iter().collect::<Vec<_>>(), [("b".to_owned(), vec![0xff])]);
        assert_eq!(idempotency::claim_key("old"), Claim::Seen(by));
        assert_eq!(idempotency::claim_key("new"), Claim::First);
        assert_eq!(idempotency::claim_key("new"), Claim::First);
        assert_eq!(host.claims(), ["new"]);
        drop(host);
        assert_eq!(state::get("b"), None);
        assert_eq!(idempotency::claim_key("old"), Claim::First);
    }
}
