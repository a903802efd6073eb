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

#[cfg(test)]
mod tests {
    use logmill_model::{Record, Timestamp};

    use super::*;
    use crate::verbs::demo::ledger::Row;

    const EXPECTED: &str = r#"{"line":1,"attempts":[{"verdict":"retry"},{"verdict":"done"}],"outputs":[{"topic":"out","key":null,"value":"v"}]}
{"line":2,"attempts":[{"verdict":"drop"}],"outputs":[]}
{"line":3,"attempts":[{"verdict":"dead-letter"}],"outputs":[]}"#;

    fn source() -> TopicName {
        "in".parse().unwrap()
    }

    fn output(value: &str) -> Output {
        Output { topic: "out".into(), key: None, value: Some(value.into()) }
    }

    fn death(offset: u64) -> (Source, Death) {
        let source = Source { topic: "in".into(), partition: 0, offset: Offset(offset) };
        (source, Death { reason: "rejected".into(), attempts: 1 })
    }

    /// The deliveries `d0` (malformed) to `d3` (of the expected lines) as they came to a consumer.
    fn inputs() -> Inputs {
        let mut inputs = Inputs::default();
        for offset in 0..4 {
            let consumed = ConsumedRecord {
                partition: 0,
                offset: Offset(offset),
                append_ts: Timestamp::ZERO,
                record: Record::default(),
            };
            assert!(inputs.add(&source(), &consumed, format!("d{offset}")));
        }
        inputs
    }

    fn account(inputs: Inputs) -> Account {
        let delivery = |line: usize| Delivery {
            id: format!("d{line}"),
            line: (line > 0).then_some(line),
            record: Record::default(),
        };
        let all: Vec<Delivery> = (0..4).map(delivery).collect();
        let sent = all.iter().map(|delivery| (delivery.id.as_str(), delivery)).collect();
        let mut account = Account::default();
        inputs.hold_against(&sent, &Expectation::parse(EXPECTED).unwrap(), &mut account);
        account
    }

    fn right() -> Inputs {
        let mut inputs = inputs();
        assert!(inputs.add_output("d1", output("v")));
        for offset in [0, 3] {
            let (source, death) = death(offset);
            assert!(inputs.add_death(&source, death));
        }
        inputs
    }

    #[test]
    fn the_expected_outcomes_add_up() {
        let account = account(right());
        assert_eq!(account.faults(), None);
        let row = Row {
            inputs: 4,
            outputs: 1,
            retried: 1,
            dropped: 1,
            dead_lettered: [("rejected".to_owned(), 2)].into(),
            ..Row::default()
        };
        assert_eq!(account.sum(&[source()]), row);
        assert_eq!((row.done(), row.deaths()), (1, 2));
    }

    #[test]
    fn an_outcome_that_is_missing_doubled_or_another_is_a_fault() {
        type Change = fn(&mut Inputs);
        let changes: [(&str, Change); 7] = [
            ("an output is missing", |inputs| {
                inputs.by_id.get_mut("d1").unwrap().outputs.clear();
            }),
            ("an output is doubled", |inputs| {
                inputs.add_output("d1", output("v"));
            }),
            ("an output is another", |inputs| {
                inputs.by_id.get_mut("d1").unwrap().outputs = vec![output("w")];
            }),
            ("what is dropped has an output", |inputs| {
                inputs.add_output("d2", output("v"));
            }),
            ("a dead letter is missing", |inputs| {
                inputs.by_id.get_mut("d0").unwrap().deaths.clear();
            }),
            ("a dead letter is doubled", |inputs| {
                let (source, death) = death(3);
                inputs.add_death(&source, death);
            }),
            ("an input is missing", |inputs| {
                inputs.by_id.remove("d2");
            }),
        ];
        for (what, change) in changes {
            let mut inputs = right();
            change(&mut inputs);
            assert!(account(inputs).faults().is_some(), "{what}");
        }
    }

    #[test]
    fn what_follows_from_nothing_is_told() {
        let mut inputs = inputs();
        assert!(!inputs.add_output("d9", output("v")));
        let (source, death) = death(9);
        assert!(!inputs.add_death(&source, death));
    }
}
