//! What the example itself says should come of each line of its files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::Failure;

use super::copy;
use super::deliveries::Origin;

/// What one consumer should make of what is produced.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    /// By the line of the input.
    pub(super) lines: Expectation,
    /// By the line of the ghosts, once the module is mended.
    pub(super) ghosts: Expectation,
}

impl Expectations {
    /// What should come of a delivery in the end; None for one that is malformed or should not come
    /// to this consumer.
    pub(super) fn of(&self, origin: Origin) -> Result<Option<Expected>, Failure> {
        match origin {
            Origin::Copy { line, copy } => {
                self.lines.of(line).map(|it| it.of_copy(copy)).transpose()
            }
            Origin::Ghost { line, .. } => Ok(self.ghosts.of(line).cloned()),
            Origin::Malformed => Ok(None),
        }
    }
}

/// What one consumer should make of the input, by line (from 1). Lines that are not here do not
/// come to it.
#[derive(Debug, Default)]
pub(super) struct Expectation(HashMap<usize, Expected>);

/// What should come of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) outcome: Outcome,
    /// Failed attempts that are followed by another.
    pub(super) retried: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With these outputs, sorted.
    Done(Vec<Output>),
    Dropped,
    DeadLettered,
}

/// An output, without the headers, which name the delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Output {
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

impl Expected {
    /// What should come of a copy of the line.
    fn of_copy(&self, copy: usize) -> Result<Self, Failure> {
        let outcome = match &self.outcome {
            Outcome::Done(outputs) => {
                let outputs = outputs.iter().map(|output| copy::output_of_copy(output, copy));
                let mut outputs = outputs.collect::<Result<Vec<_>, _>>()?;
                outputs.sort_unstable();
                Outcome::Done(outputs)
            }
            other => other.clone(),
        };
        Ok(Self { outcome, retried: self.retried })
    }
}

/// A line of the expected file.
#[derive(Deserialize)]
struct Line {
    line: usize,
    attempts: Vec<Attempt>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Attempt {
    verdict: String,
}

impl Expectation {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {shown}"))?;
        Ok(Self::parse(&text).with_context(|| format!("{shown} is not what should come out"))?)
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let Line { line, attempts, mut outputs } =
                serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
            outputs.sort_unstable();
            let verdict = attempts.last().context("a line without attempts")?.verdict.as_str();
            let outcome = match verdict {
                "done" => Outcome::Done(outputs),
                "drop" => Outcome::Dropped,
                _ => Outcome::DeadLettered,
            };
            let retried = attempts.len() as u64 - 1;
            lines.insert(line, Expected { outcome, retried });
        }
        Ok(Self(lines))
    }

    /// What should come of this line; None when it should not come to this consumer.
    fn of(&self, line: usize) -> Option<&Expected> {
        self.0.get(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_says_the_outcome() {
        let text = r#"{"line":3,"attempts":[{"verdict":"retry","reason":"later"},{"verdict":"done"}],"outputs":[{"topic":"b","key":"k","value":null,"headers":[]},{"topic":"a","key":null,"value":"v","headers":[["delivery","d"]]}]}
{"line":7,"attempts":[{"verdict":"drop","reason":"no"}],"outputs":[]}
{"line":9,"attempts":[{"verdict":"error"},{"verdict":"error"}],"outputs":[]}"#;
        let expectation = Expectation::parse(text).unwrap();
        let output = |topic: &str, key: Option<&str>, value: Option<&str>| Output {
            topic: topic.into(),
            key: key.map(Into::into),
            value: value.map(Into::into),
        };
        let outputs = vec![output("a", None, Some("v")), output("b", Some("k"), None)];
        for (line, outcome, retried) in [
            (3, Outcome::Done(outputs), 1),
            (7, Outcome::Dropped, 0),
            (9, Outcome::DeadLettered, 1),
        ] {
            assert_eq!(expectation.of(line), Some(&Expected { outcome, retried }));
        }
        assert_eq!(expectation.of(1), None);
        assert!(Expectation::parse("{}").is_err());
    }
}
