//! What was found in the topics, in numbers, and what is wrong.

use std::collections::BTreeMap;

use logmill_model::{DeploymentDescription, TopicName};
use serde::Serialize;

/// How many faults are told; their number is in any case.
const TOLD_MAX: usize = 3;

#[derive(Debug, Default)]
pub(in crate::verbs::demo) struct Account {
    rows: BTreeMap<TopicName, Row>,
    wrong_count: u64,
    wrong: Vec<String>,
}

/// What was found in a topic and became of it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(in crate::verbs::demo) struct Row {
    pub(in crate::verbs::demo) records: u64,
    /// Of the records, those that came to a consumer.
    pub(in crate::verbs::demo) inputs: u64,
    /// Of these, those that came again and were skipped.
    pub(in crate::verbs::demo) duplicates: u64,
    pub(in crate::verbs::demo) outputs: u64,
    pub(in crate::verbs::demo) retried: u64,
    pub(in crate::verbs::demo) dropped: u64,
    /// By reason.
    pub(in crate::verbs::demo) dead_lettered: BTreeMap<String, u64>,
    /// Of the dead letters, those that were handled again.
    pub(in crate::verbs::demo) redriven: u64,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.inputs += other.inputs;
        self.duplicates += other.duplicates;
        self.outputs += other.outputs;
        self.retried += other.retried;
        self.dropped += other.dropped;
        for (reason, count) in &other.dead_lettered {
            *self.dead_lettered.entry(reason.clone()).or_default() += count;
        }
        self.redriven += other.redriven;
    }

    pub(in crate::verbs::demo) fn deaths(&self) -> u64 {
        self.dead_lettered.values().sum()
    }

    /// Dead letters whose records have no other outcome.
    pub(in crate::verbs::demo) fn given_up(&self) -> u64 {
        self.deaths().saturating_sub(self.redriven)
    }

    /// Records that were handled, which leaves no trace of its own when nothing follows.
    pub(in crate::verbs::demo) fn done(&self) -> u64 {
        self.inputs.saturating_sub(self.duplicates + self.dropped + self.given_up())
    }
}

impl Account {
    /// The row of a topic.
    pub(in crate::verbs::demo) fn row(&mut self, topic: &TopicName) -> &mut Row {
        self.rows.entry(topic.clone()).or_default()
    }

    /// What became of all inputs.
    pub(in crate::verbs::demo) fn outcomes(&self) -> Row {
        let mut sum = Row::default();
        self.rows.values().filter(|row| row.inputs > 0).for_each(|row| sum.add(row));
        sum
    }

    pub(in crate::verbs::demo) fn into_rows(self) -> BTreeMap<TopicName, Row> {
        self.rows
    }

    pub(in crate::verbs::demo) fn rows(&self) -> &BTreeMap<TopicName, Row> {
        &self.rows
    }

    /// Notes a fault.
    pub(in crate::verbs::demo) fn wrong(&mut self, what: String) {
        self.wrong_count += 1;
        if self.wrong.len() < TOLD_MAX {
            self.wrong.push(what);
        }
    }

    /// The faults on one line; None when there is none.
    pub(in crate::verbs::demo) fn faults(&self) -> Option<String> {
        let told = self.wrong.join("; ");
        (self.wrong_count > 0).then(|| format!("{} things are wrong: {told}", self.wrong_count))
    }

    /// The rows of these topics together.
    pub(in crate::verbs::demo) fn sum(&self, topics: &[TopicName]) -> Row {
        let mut sum = Row::default();
        topics.iter().filter_map(|topic| self.rows.get(topic)).for_each(|row| sum.add(row));
        sum
    }

    /// The broker's own durable counts must be what lies in the topics.
    pub(super) fn hold_counts_against(&mut self, deployment: &DeploymentDescription) {
        let (found, told) = (self.sum(&deployment.sources), &deployment.counts);
        for (what, found, told) in [
            ("done", found.done(), told.done),
            ("outputs", found.outputs, told.outputs),
            ("retried", found.retried, told.retried),
            ("dropped", found.dropped, told.dropped),
            ("duplicates", found.duplicates, told.duplicates),
            ("dead-lettered", found.deaths(), told.dead_lettered),
        ] {
            if found != told {
                let name = &deployment.name;
                self.wrong(format!("{name} counts {told} {what}, and there are {found}"));
            }
        }
    }
}
