//! What came to a consumer, and what became of each of them.

use std::collections::HashMap;

use logmill_client::{Client, ConsumedRecord};
use logmill_model::{DeploymentDescription, FailureReason, LetterStatus, TopicName};

use super::input::{Death, Input, Written};
use super::timeline::{Place, Settled};
use super::wait::Stuck;
use super::{Account, Sent, each};
use crate::Failure;
use crate::verbs::demo::deliveries;
use crate::verbs::demo::expectation::{Expectations, Output};
use crate::verbs::dlq::{Letter, Letters};

/// The records of a consumer's topics, by delivery.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    by_id: HashMap<String, Input>,
    /// The delivery of each place.
    by_place: HashMap<Place, String>,
}

impl Inputs {
    /// Reads what a consumer was given, and what it made of it.
    pub(super) async fn read(
        client: &Client,
        consumer: &DeploymentDescription,
        account: &mut Account,
    ) -> Result<Self, Failure> {
        let mut inputs = Self::default();
        for topic in &consumer.sources {
            each(client, topic, |consumed| inputs.add(topic, &consumed)).await?;
        }
        for grant in &consumer.settings.out {
            let topic = &grant.topic;
            each(client, topic, |consumed| {
                account.row(topic).records += 1;
                let id = deliveries::id(&consumed.record)?;
                if !inputs.add_output(&id, written(topic, &consumed)) {
                    account.wrong(format!("{id} in {topic} follows from nothing"));
                }
                Ok(())
            })
            .await?;
        }
        let dlq = &consumer.settings.dlq;
        let mut letters = Letters::of(client, consumer).await?;
        while let Some(letter) = letters.next().await? {
            account.row(dlq).records += 1;
            let death = death(dlq, letter);
            let (topic, _, offset) = death.of.clone();
            if !inputs.add_death(death) {
                account.wrong(format!(
                    "a dead letter of {topic} offset {offset} follows from nothing"
                ));
            }
        }
        Ok(inputs)
    }

    fn add(&mut self, topic: &TopicName, consumed: &ConsumedRecord) -> Result<(), Failure> {
        let id = deliveries::id(&consumed.record)?;
        let place = place(topic, consumed);
        self.by_place.insert(place.clone(), id.clone());
        let input = self.by_id.entry(id).or_insert_with(|| Input {
            topic: topic.clone(),
            key: consumed.record.key.as_deref().map(text),
            places: Vec::new(),
            outputs: Vec::new(),
            deaths: Vec::new(),
        });
        input.places.push(place);
        Ok(())
    }

    /// Adds an output to what it follows from; false when that is nothing.
    fn add_output(&mut self, id: &str, written: Written) -> bool {
        let input = self.by_id.get_mut(id);
        input.map(|input| input.outputs.push(written)).is_some()
    }

    /// Adds a dead letter to what it was; false when that is nothing.
    fn add_death(&mut self, death: Death) -> bool {
        let input = self.by_place.get(&death.of).and_then(|id| self.by_id.get_mut(id));
        input.map(|input| input.deaths.push(death)).is_some()
    }

    /// When the records had their outcomes.
    pub(super) fn settled(&self) -> impl Iterator<Item = Settled> {
        self.by_id.values().flat_map(Input::settled)
    }

    /// A record that the module wanted to be tried again until its attempts ran out.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        let reason = FailureReason::Retry.as_str();
        self.by_id.values().find_map(|input| {
            let death = input.deaths.iter().find(|death| death.reason == reason)?;
            Some(Stuck { place: death.of.clone(), key: input.key.clone()? })
        })
    }

    /// Enters each delivery's outcome into the account, and what is wrong with it.
    pub(super) fn hold_against(
        mut self,
        sent: &Sent<'_>,
        expectations: &Expectations,
        account: &mut Account,
    ) -> Result<(), Failure> {
        for (id, it) in sent {
            let expected = expectations.of(it.delivery.origin)?;
            match (self.by_id.remove(*id), &expected) {
                (Some(input), expected) => input.hold_against(it, expected.as_ref(), account),
                (None, Some(_)) => account.wrong(format!("{id} did not come to its consumer")),
                (None, None) => {}
            }
        }
        for id in self.by_id.keys() {
            account.wrong(format!("{id} came to a consumer and was never sent"));
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn place(topic: &TopicName, consumed: &ConsumedRecord) -> Place {
    (topic.to_string(), consumed.partition, consumed.offset)
}

fn written(topic: &TopicName, consumed: &ConsumedRecord) -> Written {
    let output = Output {
        topic: topic.to_string(),
        key: consumed.record.key.as_deref().map(text),
        value: consumed.record.value.as_deref().map(text),
    };
    Written { output, place: place(topic, consumed), at: consumed.append_ts }
}

fn death(dlq: &TopicName, letter: Letter) -> Death {
    let Letter { consumed, death, status } = letter;
    Death {
        reason: death.reason,
        attempts: death.attempts,
        is_redriven: status == LetterStatus::Redriven,
        of: (death.source.topic, death.source.partition, death.source.offset),
        place: place(dlq, &consumed),
        at: consumed.append_ts,
    }
}

#[cfg(test)]
mod tests;
