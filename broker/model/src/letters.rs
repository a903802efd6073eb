//! Dead letters as an operator sees them: what has become of each, and what a request did to some.

use serde::{Deserialize, Serialize};

use crate::{DeploymentName, Offset, Source};

/// What has become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterStatus {
    /// Nobody has dealt with it.
    #[default]
    Open,
    /// Its deployment handles the record once more, or has.
    Redriven,
    /// Somebody has given it up, or put an edited one in its place.
    Purged,
}

impl LetterStatus {
    /// The status as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Purged => "purged",
        }
    }
}

/// A dead letter, without the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterSummary {
    /// Where it lies in its partition of the dead-letter topic.
    pub offset: Offset,
    /// What has become of it.
    pub status: LetterStatus,
    /// Why the record was given up.
    pub reason: String,
    /// Where the record was read.
    pub source: Source,
}

/// Some dead letters of one partition, in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LettersPage {
    /// Those of one deployment.
    pub letters: Vec<LetterSummary>,
    /// Where to go on; None when that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Offset>,
}

/// What became of the dead letters that a request named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LettersMarked {
    /// How many have another status now, durably; in a dry run: how many would have.
    pub marked: u64,
    /// How many had been redriven or purged before.
    pub not_open: u64,
    /// Those that can't be redriven, by why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<LettersLeft>,
    /// Those that their lanes have no room for now: try again before any others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_room: Vec<LettersLeft>,
    /// Those whose lanes have the records themselves now: try again later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub busy: Vec<LettersLeft>,
}

/// Dead letters that stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersLeft {
    /// Why, for a person.
    pub why: String,
    /// Which, rising.
    pub offsets: Vec<Offset>,
}

impl LettersLeft {
    /// Adds a letter to those that are left for the same reason.
    pub fn add(left: &mut Vec<Self>, why: &str, offset: Offset) {
        match left.iter_mut().find(|it| it.why == why) {
            Some(same) => same.offsets.push(offset),
            None => left.push(Self { why: why.to_owned(), offsets: vec![offset] }),
        }
    }
}

/// The dead letter that an edited one takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterEdit {
    /// The deployment.
    pub name: DeploymentName,
    /// The partition of its dead-letter topic.
    pub partition: u32,
    /// The offset.
    pub offset: Offset,
}
