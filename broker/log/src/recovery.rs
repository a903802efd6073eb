//! What happens between a stop and the next start.

use std::sync::Arc;

use logmill_model::{ClusterId, Csn, Epoch, ShardId, Timestamp};

use crate::storage::Storage;
use crate::{Entry, Error, Journal, Log, Settings};

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// For readers.
    pub log: Log,
    /// For the one writer.
    pub journal: Journal,
    /// What was found.
    pub recovered: Recovered,
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The cluster that the directory belongs to.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// The number of this start.
    pub epoch: Epoch,
    /// The newest entry; 0 in an empty journal.
    pub last_csn: Csn,
    /// Its time.
    pub last_time: Timestamp,
    /// Whether the last broker did not close the journal.
    pub unclean: bool,
    /// Entries that were valid but unproven, and were written again.
    pub superseded_entries: u64,
    /// Bytes that were cut off and kept beside.
    pub torn_bytes: u64,
}

/// Opens the log, giving every entry to `on_entry` in order.
///
/// # Errors
/// [`Error`].
pub fn open(
    storage: Arc<dyn Storage>,
    _settings: Settings,
    _on_entry: &mut dyn FnMut(&Entry) -> Result<(), Error>,
) -> Result<Opened, Error> {
    Err(Error::Locked { place: storage.place() })
}
