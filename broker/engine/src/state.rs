//! What a lane remembers: its module's keys and values, as they are durable.
//!
//! It is a fold over the lane's records of `_state`, and the lane alone changes it, when a commit of
//! its own is durable. Others only look. Bounded in bytes: [`STATE_BYTES_MAX`].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use logmill_model::internal::StateRecord;
use logmill_model::{PartitionId, Record};
use tokio::sync::watch;
use tokio::time::timeout;

/// What a key takes besides itself and its value, in bytes, roughly.
pub(crate) const KEY_OVERHEAD_BYTES: usize = 128;
/// How long whoever asks waits for a lane to take in what is durable.
const TAKEN_IN_MAX: Duration = Duration::from_secs(1);

/// The keys that a run changes: the new value, or None for one that is deleted.
pub(crate) type Changes = BTreeMap<String, Option<Bytes>>;

/// What a key and its value count for, in bytes.
pub(crate) fn cost(key: &str, value: &Bytes) -> usize {
    KEY_OVERHEAD_BYTES + key.len() + value.len()
}

/// The keys of a lane.
#[derive(Debug, Default)]
pub(crate) struct State {
    by_key: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl State {
    pub(crate) fn get(&self, key: &str) -> Option<&Bytes> {
        self.by_key.get(key)
    }

    /// What all of it counts for, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The keys after this one, in order, with their values.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = (&String, &Bytes)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_key.range::<str, _>((from, Bound::Unbounded))
    }

    /// Takes in a change that is durable.
    pub(crate) fn apply(&mut self, key: String, value: Option<Bytes>) {
        if let Some(before) = self.by_key.remove(&key) {
            self.bytes -= cost(&key, &before);
        }
        if let Some(value) = value {
            self.bytes += cost(&key, &value);
            self.by_key.insert(key, value);
        }
    }

    /// What deletes all of it.
    pub(crate) fn deletions(&self, source: PartitionId) -> impl Iterator<Item = Record> + '_ {
        let deleted = move |key: &String| StateRecord { source, key: key.clone(), value: None };
        self.by_key.keys().map(move |key| deleted(key).encode())
    }
}

/// A lane's keys, for the lane and for whoever asks.
#[derive(Debug)]
pub(crate) struct LaneState {
    /// Held for a look-up, a page or a run's changes only.
    state: RwLock<State>,
    /// The revision of the lane's cursor that the keys belong to.
    revision: watch::Sender<u64>,
}

impl Default for LaneState {
    fn default() -> Self {
        Self { state: RwLock::default(), revision: watch::Sender::new(0) }
    }
}

impl LaneState {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a commit of the lane has changed, and which one that was.
    pub(crate) fn apply(&self, changes: Changes, revision: u64) {
        if !changes.is_empty() {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            changes.into_iter().for_each(|(key, value)| state.apply(key, value));
        }
        self.revision.send_replace(revision);
    }

    /// Takes the place of what was there, read back.
    pub(crate) fn restore(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Waits until what was durable with this revision of the cursor is taken in: whoever has seen an
    /// output of a record finds what the record has set. Not for long: nothing tells how far the
    /// cursor of a lane was moved that is not at work.
    pub(crate) async fn taken_in(&self, revision: u64) {
        let mut taken_in = self.revision.subscribe();
        // An error: it has not come so far.
        let _ = timeout(TAKEN_IN_MAX, taken_in.wait_for(|it| *it >= revision)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_counts_what_it_has_and_pages_in_order() {
        let mut state = State::default();
        for (key, value) in [("b", "22"), ("a", "1"), ("c", ""), ("b", "2")] {
            state.apply(key.to_owned(), Some(value.into()));
        }
        assert_eq!(state.bytes(), 3 * (KEY_OVERHEAD_BYTES + 1) + 2);
        let after = |key| state.after(key).map(|(key, _)| key.as_str()).collect::<Vec<_>>();
        assert_eq!(after(None), ["a", "b", "c"]);
        assert_eq!((after(Some("a")), after(Some("aa"))), (vec!["b", "c"], vec!["b", "c"]));
        let source = PartitionId::new(logmill_model::TopicId(17), 0);
        let deletions: Vec<Record> = state.deletions(source).collect();
        for deletion in deletions {
            let key = deletion.key.as_deref();
            let deleted = StateRecord::decode(key, deletion.value.as_deref()).unwrap();
            assert_eq!(deleted.source, source);
            state.apply(deleted.key, deleted.value);
        }
        assert_eq!((state.bytes(), state.after(None).count()), (0, 0));
    }
}
