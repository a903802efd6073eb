//! A delivery that came to a consumer, and what became of it.

use logmill_model::{Timestamp, TopicName};

use super::timeline::{Place, Settled};
use super::{Account, SentDelivery};
use crate::verbs::demo::deliveries::Origin;
use crate::verbs::demo::expectation::{Expected, Outcome, Output};

/// A delivery that came to a consumer.
#[derive(Debug)]
pub(super) struct Input {
    /// The topic where it lay first.
    pub(super) topic: TopicName,
    pub(super) key: Option<String>,
    /// Where it lies, once for each time that it came.
    pub(super) places: Vec<Place>,
    pub(super) outputs: Vec<Written>,
    pub(super) deaths: Vec<Death>,
}

/// An output that lies in its topic.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) output: Output,
    pub(super) place: Place,
    pub(super) at: Timestamp,
}

/// A dead letter that lies in its topic.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) is_redriven: bool,
    /// Where the record lay.
    pub(super) of: Place,
    /// Where the letter lies.
    pub(super) place: Place,
    pub(super) at: Timestamp,
}

/// What must have become of a delivery: how often it died, how many of these letters were redriven,
/// and how often it was skipped.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    deaths: u64,
    redriven: u64,
    duplicates: u64,
}

impl Due {
    /// One outcome, however often it came; but who died has claimed nothing, and dies each time.
    fn of(origin: Origin, outcome: Option<&Outcome>, times: u64) -> Self {
        let skipped = times.saturating_sub(1);
        match (origin, outcome) {
            (Origin::Ghost { is_poisoned: true, .. }, _) => {
                Self { deaths: 1, redriven: 1, duplicates: skipped }
            }
            (_, Some(Outcome::Done(_) | Outcome::Dropped)) => {
                Self { deaths: 0, redriven: 0, duplicates: skipped }
            }
            (_, Some(Outcome::DeadLettered)) | (Origin::Malformed, None) => {
                Self { deaths: times, redriven: 0, duplicates: 0 }
            }
            // It should not have come.
            (_, None) => Self { deaths: 0, redriven: 0, duplicates: times },
        }
    }
}

impl Input {
    /// Enters the outcome into the account, and what is wrong with it.
    pub(super) fn hold_against(
        mut self,
        sent: &SentDelivery<'_>,
        expected: Option<&Expected>,
        account: &mut Account,
    ) {
        let outcome = expected.map(|expected| &expected.outcome);
        self.outputs.sort_by(|a, b| a.output.cmp(&b.output));
        let came = self.places.len() as u64;
        let redriven = self.deaths.iter().filter(|death| death.is_redriven).count() as u64;
        let outputs: &[Output] = match outcome {
            Some(Outcome::Done(outputs)) => outputs,
            _ => &[],
        };
        let due = Due::of(sent.delivery.origin, outcome, sent.times);
        let is_right = self.outputs.iter().map(|it| &it.output).eq(outputs)
            && (self.deaths.len() as u64, redriven) == (due.deaths, due.redriven)
            && came == sent.times;
        if !is_right {
            let (id, written) = (&sent.delivery.id, self.outputs.len());
            let (deaths, times) = (&self.deaths, sent.times);
            account.wrong(format!(
                "{id} came {came} times of {times}, has {written} outputs and the dead letters \
                 {deaths:?}, which is not {due:?} and {expected:?}"
            ));
        }
        let row = account.row(&self.topic);
        row.inputs += came;
        row.duplicates += due.duplicates;
        row.outputs += self.outputs.len() as u64;
        row.redriven += redriven;
        // A dead letter counts its attempts itself; the last of them was not retried.
        row.retried += self
            .deaths
            .iter()
            .map(|death| u64::from(death.attempts.saturating_sub(1)))
            .sum::<u64>();
        if due.deaths == due.redriven {
            row.retried += expected.map_or(0, |expected| expected.retried);
        }
        if outcome == Some(&Outcome::Dropped) && self.deaths.is_empty() {
            row.dropped += 1;
        }
        for death in self.deaths {
            *row.dead_lettered.entry(death.reason).or_default() += 1;
        }
    }

    /// The outcomes that have left something to be read, where they have an order: in one partition.
    pub(super) fn settled(&self) -> Vec<Settled> {
        let (Some(key), Some(first)) = (&self.key, self.places.iter().min()) else {
            return Vec::new();
        };
        if self.places.iter().any(|place| (&place.0, place.1) != (&first.0, first.1)) {
            return Vec::new();
        }
        let died = self.deaths.iter().map(|death| Settled {
            place: death.of.clone(),
            key: key.clone(),
            at: death.at,
            is_redriven: false,
            wrote: vec![death.place.clone()],
        });
        let handled = self.outputs.iter().map(|it| it.at).min().map(|at| Settled {
            place: first.clone(),
            key: key.clone(),
            at,
            is_redriven: self.deaths.iter().any(|death| death.is_redriven),
            wrote: self.outputs.iter().map(|it| it.place.clone()).collect(),
        });
        died.chain(handled).collect()
    }
}
