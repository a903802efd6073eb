//! What can't be read any more, as the broker and the command line tell it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Offset, TopicId};

/// What a loss in the catalog means, for a person.
pub const CATALOG_LOSS: &str = "topics and deployments that were created, changed or deleted there are not known, and may be missing as a whole";

/// What it costs to accept one: accepting it does this.
pub const CATALOG_PRICE: &str =
    "gives up all topics and deployments that are not known any more, with their records";

/// A place on disk that is not what was written, and what that has cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorruptPlace {
    /// The file, in the data directory.
    pub file: String,
    /// Where in it.
    pub position: u64,
    /// How much can't be read, in bytes; 0 when that is not known.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
    /// The offsets that are lost, or may be.
    pub lost: Vec<CorruptOffsets>,
}

/// Offsets of a partition that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorruptOffsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first.
    pub from: Offset,
    /// The one after the last.
    pub to: Offset,
}

/// So many offsets are not those of records: they are as many as there can have been, where nobody knows.
const UNCOUNTED: u64 = 1 << 32;

impl CorruptOffsets {
    /// Whether they are of the catalog: more is lost with them than they tell.
    #[must_use]
    pub fn is_of_catalog(&self) -> bool {
        self.topic == TopicId::CATALOG.to_string()
    }
}

impl fmt::Display for CorruptOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, from, to } = self;
        write!(f, "lost: {topic}/{partition} from offset {from} ")?;
        match from.distance_to(*to) {
            UNCOUNTED.. => write!(f, "on; how many is not known, and it goes on at {to}")?,
            _ => write!(f, "to before {to}")?,
        }
        if self.is_of_catalog() {
            write!(f, ": {CATALOG_LOSS}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_the_catalog_says_what_may_be_missing() {
        let lost = |topic: &str| {
            let topic = topic.to_owned();
            CorruptOffsets { topic, partition: 0, from: Offset(1), to: Offset(3) }.to_string()
        };
        assert_eq!(lost("t"), "lost: t/0 from offset 1 to before 3");
        let (from, to) = (Offset(7), Offset(1 << 40));
        let unknown = CorruptOffsets { topic: "t".to_owned(), partition: 0, from, to }.to_string();
        assert!(
            unknown.starts_with("lost: t/0 from offset 7 on; how many is not known"),
            "{unknown}"
        );
        let says = lost("_catalog");
        assert!(says.starts_with("lost: _catalog/0 from offset 1 to before 3: topics"), "{says}");
    }
}
