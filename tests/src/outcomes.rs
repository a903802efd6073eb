//! What became of each input of a deployment of the scripted module, against what was to become of it.
//!
//! The claim: an input that was acknowledged lies at its place. Each input in the source has the outcome
//! that it asks for, once, with the attempts that it takes; nothing else came of anything. Outcomes lie in
//! the order of their inputs, within a key or a partition as the deployment says. The durable counts add up
//! to just that. The source decides what was to be handled: an input whose answer was cut off is there
//! once, or not at all.
//!
//! The comparison takes what others have read. **An input takes 40 bytes**, and each key some 100 more: a
//! million inputs of a few thousand keys take 40 MB.

mod difference;
mod input;
mod read;
mod told;
mod verb;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use logmill_client::{Counts, DeadLetter, Record};
use logmill_model::Order;

use input::Input;

pub use difference::{Compared, Difference, Summary};
pub use input::Inputs;
pub use read::compare;
pub use told::{Sender, Told, ToldInput};
pub use verb::{Verb, Wanted, value};

/// What a deployment promises.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Its name.
    pub deployment: String,
    /// The topic it works on.
    pub source: String,
    /// Attempts until a record is given up.
    pub max_attempts: u32,
    /// Whose outcomes are in order.
    pub order: Order,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
    /// Its place there.
    pub offset: u64,
    /// The commit that appended it.
    pub csn: u64,
    /// The record.
    pub record: &'a Record,
}

/// A stretch of outcomes that are in order: in a partition of a topic, those of one key or partition.
type Line = (String, u32, u64);

/// The comparison, which has all inputs and takes what came of them.
#[derive(Debug)]
pub struct Outcomes {
    rules: Rules,
    inputs: Inputs,
    /// The newest input of each line.
    lines: HashMap<Line, u64>,
    compared: Compared,
}

impl Outcomes {
    /// Of these inputs, which are all that the source has.
    #[must_use]
    pub fn of(mut inputs: Inputs, rules: Rules) -> Self {
        let mut compared = Compared::default();
        inputs.index(&rules.source, &mut compared);
        Self { rules, inputs, lines: HashMap::new(), compared }
    }

    /// Takes what a producer was told of an input.
    pub fn told(&mut self, told: &ToldInput) {
        let (id, acked) = (told.id, told.place());
        self.compared.summary.count_told(acked.is_some());
        let acked = acked.map(|(partition, offset)| place(&told.topic, partition, offset));
        let Some(input) = self.inputs.find(id) else {
            // One that was cut off need not be there.
            if let Some(at) = acked {
                self.compared.add(Difference::LostInput { id, at });
            }
            return;
        };
        input.is_told = true;
        let at = input.place(&self.rules.source);
        if input.verb != told.verb {
            self.compared.add(Difference::Altered { id, at: at.clone() });
        }
        if let Some(told) = acked.filter(|told| *told != at) {
            self.compared.add(Difference::MovedInput { id, told, at });
        }
    }

    /// Takes an output.
    pub fn output(&mut self, found: &Found<'_>) {
        if let Some(input) = self.came(found) {
            input.outputs = input.outputs.saturating_add(1);
        }
    }

    /// Takes a dead letter.
    pub fn letter(&mut self, found: &Found<'_>) {
        let Some(letter) = DeadLetter::of(found.record) else {
            self.compared.add(Difference::Foreign { at: found.place() });
            return;
        };
        let (source, max_attempts) = (self.rules.source.clone(), self.rules.max_attempts);
        let is_ours = letter.deployment == self.rules.deployment;
        let Some(input) = self.came(found) else { return };
        input.letters = input.letters.saturating_add(1);
        let (id, came_from) = (input.id, input.place(&source));
        let wanted = input.verb.wanted(max_attempts).letter;
        let told = place(&letter.source.topic, letter.source.partition, letter.source.offset.0);
        if told != came_from || !is_ours {
            self.compared.add(Difference::WrongSource { id, wanted: came_from, found: told });
        }
        // An input that asks for none has one too many, which is told at the end.
        let Some((reason, attempts)) = wanted else { return };
        if letter.reason != reason.as_str() {
            let wanted = reason.as_str().to_owned();
            self.compared.add(Difference::WrongReason { id, wanted, found: letter.reason });
        }
        if letter.attempts != attempts {
            let (wanted, found) = (attempts, letter.attempts);
            self.compared.add(Difference::WrongAttempts { id, wanted, found });
        }
    }

    /// The input that this came of, if it came of one, and in order.
    fn came(&mut self, found: &Found<'_>) -> Option<&mut Input> {
        let key = self.inputs.key(found.record);
        let read = verb::read(found.record).filter(|(id, _)| self.inputs.find(*id).is_some());
        let Some((id, verb)) = read else {
            self.compared.add(Difference::Foreign { at: found.place() });
            return None;
        };
        let order = self.rules.order;
        let input = self.inputs.find(id)?;
        input.csn = found.csn;
        if input.verb != verb || Some(input.key) != key {
            self.compared.add(Difference::Altered { id, at: found.place() });
        }
        if let Some(group) = input.group(order) {
            let line = (found.topic.to_owned(), found.partition, group);
            let newest = self.lines.entry(line).or_default();
            if input.offset < *newest {
                let behind = place(&self.rules.source, input.partition, *newest);
                self.compared.add(Difference::Inversion { id, at: found.place(), behind });
            }
            *newest = input.offset.max(*newest);
        }
        Some(input)
    }

    /// What is different, given what the deployment counts, and how much of its sources has no outcome.
    #[must_use]
    pub fn finish(mut self, counts: &Counts, lag: u64) -> Compared {
        if lag > 0 {
            self.compared.add(Difference::Unsettled { lag });
        }
        let mut total = Counts::default();
        for input in self.inputs.all() {
            let wanted = input.verb.wanted(self.rules.max_attempts);
            total.add(&wanted.counts);
            self.compared.compare(input, &wanted);
            if !input.is_told {
                let at = input.place(&self.rules.source);
                self.compared.add(Difference::Foreign { at });
            }
        }
        self.compare_commits();
        self.compared.compare_counts(&total, counts);
        let keys = self.inputs.keys();
        self.compared.summary.inputs = self.inputs.all().len() as u64;
        self.compared.summary.keys = keys as u64;
        self.compared
    }

    /// Of the inputs of one key or partition, a later one never has its outcome in an earlier commit,
    /// wherever the outcomes lie.
    fn compare_commits(&mut self) {
        self.inputs.in_order_of_source();
        let mut newest: HashMap<u64, (u64, u64)> = HashMap::new();
        for input in self.inputs.all().iter().filter(|it| it.csn > 0) {
            let Some(group) = input.group(self.rules.order) else { continue };
            let (csn, offset) = newest.entry(group).or_default();
            if input.csn < *csn {
                let (id, at) = (input.id, input.place(&self.rules.source));
                let behind = place(&self.rules.source, input.partition, *offset);
                self.compared.add(Difference::Inversion { id, at, behind });
            } else {
                (*csn, *offset) = (input.csn, input.offset);
            }
        }
    }
}

impl Found<'_> {
    fn place(&self) -> String {
        place(self.topic, self.partition, self.offset)
    }
}

fn place(topic: &str, partition: u32, offset: u64) -> String {
    format!("{topic}/{partition}@{offset}")
}
