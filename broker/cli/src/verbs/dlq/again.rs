//! Asking again: what others change at the same time, and how fast letters may be redriven.

use std::time::Duration;

use logmill_client::{Error, ErrorCode, LettersMarked};
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::verbs::bench::Pace;

/// How often a change is tried that others have overtaken.
const TRIES_MAX: usize = 100;
/// How long to wait before that.
const WAIT: Duration = Duration::from_millis(50);

/// Asks until no other change of dead letters comes between.
pub(super) async fn until_done(
    mut request: impl AsyncFnMut() -> Result<LettersMarked, Error>,
) -> Result<LettersMarked, Failure> {
    for _ in 1..TRIES_MAX {
        match request().await {
            Err(error) if error.is_retryable() && error.code() == Some(ErrorCode::Overloaded) => {
                sleep(WAIT).await;
            }
            done => return Ok(done?),
        }
    }
    Ok(request().await?)
}

/// How many letters are due.
#[derive(Debug)]
pub(super) struct Rate {
    pace: Option<Pace>,
    started: Option<Instant>,
    done: u64,
}

impl Rate {
    /// So many a second; all at once without.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { pace: rate.map(|rate| Pace::new(rate, 1)), started: None, done: 0 }
    }

    /// Waits until one is due; tells how many are, at most `max`.
    pub(super) async fn due(&mut self, max: usize) -> usize {
        let Some(pace) = self.pace else { return max };
        let started = *self.started.get_or_insert_with(Instant::now);
        sleep(pace.due(self.done).saturating_sub(started.elapsed())).await;
        self.due_by(started.elapsed(), max)
    }

    /// How many are due so long after the first one was, at most `max`; one is for sure.
    fn due_by(&self, elapsed: Duration, max: usize) -> usize {
        let due = self.pace.map_or(u64::MAX, |pace| pace.due_by(elapsed));
        usize::try_from(due.saturating_sub(self.done)).unwrap_or(max).clamp(1, max)
    }

    /// So many of those that were due are done.
    pub(super) fn count(&mut self, done: u64) {
        self.done += done;
    }

    /// Nothing of the time in which nothing could be done is made up for.
    pub(super) fn begin_anew(&mut self) {
        (self.started, self.done) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_due_than_the_rate_allows() {
        let mut rate = Rate::new(Some(10));
        for done in 0..30 {
            let elapsed = rate.pace.unwrap().due(done);
            assert_eq!(elapsed, Duration::from_millis(100) * u32::try_from(done).unwrap());
            assert_eq!(rate.due_by(elapsed, 256), 1, "{done}");
            rate.count(1);
        }
        // What was not asked for in time is due together, unless it could not be done.
        assert_eq!(rate.due_by(Duration::from_secs(5), 256), 21);
        assert_eq!(rate.due_by(Duration::from_secs(5), 8), 8);
        rate.begin_anew();
        assert_eq!(rate.due_by(Duration::ZERO, 256), 1);
        assert_eq!(Rate::new(None).due_by(Duration::ZERO, 256), 256);
    }
}
