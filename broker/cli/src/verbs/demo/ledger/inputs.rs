//! What came to a consumer, and what became of each of them.

use std::collections::HashMap;

use logmill_client::ConsumedRecord;
use logmill_model::{Offset, Source, TopicName};

use super::Account;
use crate::verbs::demo::deliveries::Delivery;
use crate::verbs::demo::expectation::{Expectation, Expected, Outcome, Output};

/// The records of a consumer's topics, by delivery.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    by_id: HashMap<String, Input>,
    /// The delivery of each place.
    by_place: HashMap<(String, u32, Offset), String>,
}

/// A record that came to a consumer.
#[derive(Debug)]
struct Input {
    topic: TopicName,
    outputs: Vec<Output>,
    deaths: Vec<Death>,
}

/// That a record is a dead letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) reason: String,
    pub(super) attempts: u32,
}

impl Inputs {
    /// Adds a record; false when the delivery is there already.
    pub(super) fn add(&mut self, topic: &TopicName, consumed: &ConsumedRecord, id: String) -> bool {
        let place = (topic.to_string(), consumed.partition, consumed.offset);
        self.by_place.insert(place, id.clone());
        let input = Input { topic: topic.clone(), outputs: Vec::new(), deaths: Vec::new() };
        self.by_id.insert(id, input).is_none()
    }

    /// Adds an output to what it follows from; false when that is nothing.
    pub(super) fn add_output(&mut self, id: &str, output: Output) -> bool {
        let input = self.by_id.get_mut(id);
        input.map(|input| input.outputs.push(output)).is_some()
    }

    /// Adds a dead letter to what it was; false when that is nothing.
    pub(super) fn add_death(&mut self, source: &Source, death: Death) -> bool {
        let place = (source.topic.clone(), source.partition, source.offset);
        let input = self.by_place.get(&place).and_then(|id| self.by_id.get_mut(id));
        input.map(|input| input.deaths.push(death)).is_some()
    }

    /// Enters each record's outcome into the account, and what is wrong with it.
    pub(super) fn hold_against(
        mut self,
        sent: &HashMap<&str, &Delivery>,
        expectation: &Expectation,
        account: &mut Account,
    ) {
        for (id, delivery) in sent {
            let expected = delivery.line.and_then(|line| expectation.of(line));
            match (self.by_id.remove(*id), expected) {
                (Some(input), expected) => input.hold_against(id, delivery, expected, account),
                (None, Some(_)) => account.wrong(format!("{id} did not come to its consumer")),
                (None, None) => {}
            }
        }
        for id in self.by_id.keys() {
            account.wrong(format!("{id} came to a consumer and was never sent"));
        }
    }
}

impl Input {
    fn hold_against(
        mut self,
        id: &str,
        delivery: &Delivery,
        expected: Option<&Expected>,
        account: &mut Account,
    ) {
        self.outputs.sort_unstable();
        let is_right = match expected.map(|expected| &expected.outcome) {
            Some(Outcome::Done(outputs)) => self.deaths.is_empty() && self.outputs == *outputs,
            Some(Outcome::Dropped) => self.deaths.is_empty() && self.outputs.is_empty(),
            Some(Outcome::DeadLettered) => self.deaths.len() == 1 && self.outputs.is_empty(),
            // What is malformed must die, each in its own way.
            None => delivery.line.is_none() && self.deaths.len() == 1 && self.outputs.is_empty(),
        };
        if !is_right {
            let (outputs, deaths) = (self.outputs.len(), &self.deaths);
            account.wrong(format!(
                "{id} has {outputs} outputs and the dead letters {deaths:?}, which is not {expected:?}"
            ));
        }
        let row = account.row(&self.topic);
        row.outputs += self.outputs.len() as u64;
        row.inputs += 1;
        // A dead letter counts its attempts itself; the last of them was not retried.
        let attempts = self.deaths.iter().map(|death| u64::from(death.attempts.saturating_sub(1)));
        let died_after: u64 = attempts.sum();
        row.retried +=
            if self.deaths.is_empty() { expected.map_or(0, |it| it.retried) } else { died_after };
        if self.deaths.is_empty()
            && matches!(expected.map(|it| &it.outcome), Some(Outcome::Dropped))
        {
            row.dropped += 1;
        }
        for death in self.deaths {
            *row.dead_lettered.entry(death.reason).or_default() += 1;
        }
    }
}
