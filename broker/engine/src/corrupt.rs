//! What can't be read, in the words of people.

use std::fmt;

use logmill_model::{Offset, TopicId};

/// What an operator can do about a loss.
pub(crate) const ADVICE: &str = "restore the data directory from a backup, or stop the broker and run `logmill inspect repair --accept-loss` on it";

/// Offsets of a partition that are lost, and where what held them lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRange {
    /// The topic, by its name.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset that is lost.
    pub from: Offset,
    /// The first one that is not.
    pub to: Offset,
    /// The file.
    pub path: String,
    /// Where in it.
    pub position: u64,
}

impl CorruptRange {
    /// The loss that the log tells of, if it is one of offsets; else its error.
    pub(crate) fn of(
        error: logmill_log::Error,
        name: impl FnOnce(TopicId) -> String,
    ) -> Result<Self, logmill_log::Error> {
        let logmill_log::Error::CorruptRange { partition, from, to, path, position } = error else {
            return Err(error);
        };
        let (topic, partition) = (name(partition.topic), partition.index);
        Ok(Self { topic, partition, from, to, path, position })
    }
}

impl fmt::Display for CorruptRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, from, to, path, position } = self;
        write!(
            f,
            "{topic}/{partition} is corrupt from offset {from} to before {to}, at byte {position} of {path}"
        )
    }
}
