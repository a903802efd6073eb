//! The wait of a record that can't be handled for a while, and what was handled meanwhile.

use logmill_client::Client;
use logmill_model::{DeploymentName, TopicName, TracedAttempt};
use serde::Serialize;

use super::timeline::{Place, Timeline};
use crate::Failure;

/// A record that was tried until its attempts ran out.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) place: Place,
    pub(super) key: String,
}

/// The longest wait of a record.
#[derive(Debug, Serialize)]
pub(in crate::verbs::demo) struct Wait {
    /// The record's key, which waited with it.
    pub(in crate::verbs::demo) key: String,
    /// The attempt that it waited for.
    pub(in crate::verbs::demo) attempt: u32,
    pub(in crate::verbs::demo) waited_ms: u64,
    /// How many records of other keys, in the same partition, had their outcome in that time.
    pub(in crate::verbs::demo) others_meanwhile: usize,
    /// How many records of its own key came later, and had their outcome after it.
    pub(in crate::verbs::demo) later_of_key: usize,
}

impl Wait {
    /// Asks the broker for the record's attempts; None when it had but one.
    pub(super) async fn of(
        client: &Client,
        consumer: &DeploymentName,
        stuck: &Stuck,
        timeline: &Timeline,
    ) -> Result<Option<Self>, Failure> {
        let Stuck { place, key } = stuck;
        let topic: TopicName = place.0.parse().map_err(anyhow::Error::from)?;
        let trace = client.admin().trace(topic, place.1, place.2).await?;
        let mut attempts = trace.attempts;
        attempts.retain(|attempt| attempt.deployment == *consumer);
        Ok(longest(&attempts).map(|(failed, next)| Self {
            key: key.clone(),
            attempt: next.attempt,
            waited_ms: next.ts.0.saturating_sub(failed.ts.0),
            others_meanwhile: timeline.others_within(place, key, failed.ts, next.ts),
            later_of_key: timeline.later_of_key(place, key),
        }))
    }
}

/// The attempts before and after the longest wait.
fn longest(attempts: &[TracedAttempt]) -> Option<(&TracedAttempt, &TracedAttempt)> {
    let pairs = attempts.windows(2).map(|pair| (&pair[0], &pair[1]));
    pairs.max_by_key(|(failed, next)| next.ts.0.saturating_sub(failed.ts.0))
}

#[cfg(test)]
mod tests {
    use logmill_model::{Timestamp, TracedVerdict};

    use super::*;

    #[test]
    fn the_longest_wait_is_found_between_two_attempts() {
        let attempt = |attempt: u32, ts: u64| TracedAttempt {
            deployment: "d".parse().unwrap(),
            version: 1,
            attempt,
            verdict: TracedVerdict::Retry,
            reason: None,
            ts: Timestamp(ts),
            outputs: Vec::new(),
        };
        for (times, expected) in [
            (&[5][..], None),
            (&[5, 15, 1015, 1035], Some((2, 3))),
            (&[5, 15, 35, 1035], Some((3, 4))),
        ] {
            let attempts: Vec<_> = (1..).zip(times).map(|(n, ts)| attempt(n, *ts)).collect();
            let found = longest(&attempts).map(|(failed, next)| (failed.attempt, next.attempt));
            assert_eq!(found, expected, "{times:?}");
        }
    }
}
