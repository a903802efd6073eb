//! Waiting for what must come, but not for ever.

use std::future::Future;
use std::time::Duration;

/// How long anything may take that is not slow by intent. Generous: the machine may be busy, and
/// a test that passes never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What `future` gives, within [`DEADLINE`].
///
/// # Panics
/// After it.
#[track_caller]
pub fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(value) => value,
            Err(_) => panic!("{what}: not within {DEADLINE:?}, at {caller}"),
        }
    }
}

/// Looks again and again until there is something, within [`DEADLINE`].
///
/// # Panics
/// After it.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    within(what, async move {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        loop {
            interval.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    })
}
