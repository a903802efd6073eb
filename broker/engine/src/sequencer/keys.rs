//! The idempotency keys that topics have had within their windows, by fingerprint.
//!
//! A key is inside while less than the window has passed since the entry of its record; all is judged
//! by the time of entries, so that a table that is rebuilt from the records decides the same. Pure,
//! and bounded: there is no room for more keys than [`KEYS_MAX`], and none is forgotten early.

use std::collections::{HashMap, VecDeque};

use logmill_model::{DuplicateRecord, Offset, PartitionId, Timestamp, TopicId};

use crate::limits::KEYS_MAX;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    topics: HashMap<TopicId, Known>,
    count: usize,
}

#[derive(Debug, Default)]
struct Known {
    places: HashMap<u128, Place>,
    /// In the order of time; a key that came again after its window stands twice for a while.
    order: VecDeque<(Timestamp, u128)>,
}

/// Where the record with a key is.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: Timestamp,
    partition: u32,
    offset: Offset,
}

/// What the keys of a batch come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// The records that are not to be stored.
    pub(crate) duplicates: Vec<DuplicateRecord>,
    /// The keys of those that are, with their offsets.
    pub(crate) new: Vec<(u128, Offset)>,
}

impl Keys {
    /// Forgets what has left the window, or all of a topic that has none.
    pub(crate) fn expire(&mut self, topic: TopicId, window_ms: Option<u64>, time: Timestamp) {
        let Some(window_ms) = window_ms else {
            let gone = self.topics.remove(&topic);
            self.count -= gone.map_or(0, |known| known.order.len());
            return;
        };
        let Some(known) = self.topics.get_mut(&topic) else { return };
        while let Some((since, key)) =
            known.order.pop_front_if(|(since, _)| since.ms_until(time) >= window_ms)
        {
            self.count -= 1;
            if known.places.get(&key).is_some_and(|place| place.time == since) {
                known.places.remove(&key);
            }
        }
    }

    /// Whether so many more keys may be remembered.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.count + more <= KEYS_MAX
    }

    /// What these keys of a batch come to that would begin at `base`, at this time.
    pub(crate) fn sort(
        &self,
        (partition, base): (PartitionId, Offset),
        (window_ms, time): (u64, Timestamp),
        keys: &[(u32, u128)],
    ) -> Sorted {
        let known = self.topics.get(&partition.topic);
        let (mut sorted, mut here) = (Sorted::default(), HashMap::new());
        for (index, key) in keys {
            let before = known.and_then(|known| known.places.get(key));
            let before = before.filter(|place| place.time.ms_until(time) < window_ms);
            let before = before.map(|place| (place.partition, place.offset));
            let first = before.or_else(|| here.get(key).map(|offset| (partition.index, *offset)));
            if let Some((partition, offset)) = first {
                sorted.duplicates.push(DuplicateRecord { index: *index, partition, offset });
                continue;
            }
            let left_out = sorted.duplicates.len() as u64;
            let offset = Offset(base.0 + u64::from(*index) - left_out);
            here.insert(*key, offset);
            sorted.new.push((*key, offset));
        }
        sorted
    }

    /// Takes in keys that were stored at this time, no earlier than those before.
    pub(crate) fn insert(
        &mut self,
        partition: PartitionId,
        time: Timestamp,
        keys: impl IntoIterator<Item = (u128, Offset)>,
    ) {
        let known = self.topics.entry(partition.topic).or_default();
        for (key, offset) in keys {
            known.places.insert(key, Place { time, partition: partition.index, offset });
            known.order.push_back((time, key));
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn partition(index: u32) -> PartitionId {
        PartitionId::new(TopicId(16), index)
    }

    #[test]
    fn a_key_is_inside_up_to_the_last_millisecond_of_the_window_and_new_after_it() {
        let mut keys = Keys::default();
        keys.insert(partition(1), Timestamp(1000), [(7, Offset(5))]);
        let sort = |keys: &Keys, time| {
            keys.sort((partition(0), Offset(40)), (100, Timestamp(time)), &[(0, 8), (2, 7), (3, 8)])
        };
        let inside = sort(&keys, 1099);
        let duplicate = |index, partition, offset| DuplicateRecord { index, partition, offset };
        let twice = duplicate(3, 0, Offset(40));
        assert_eq!(inside.duplicates, [duplicate(2, 1, Offset(5)), twice]);
        assert_eq!(inside.new, [(8, Offset(40))]);
        let outside = sort(&keys, 1100);
        assert_eq!(outside.duplicates, [twice]);
        assert_eq!(outside.new, [(8, Offset(40)), (7, Offset(42))]);
        keys.expire(TopicId(16), Some(100), Timestamp(1099));
        assert_eq!(keys.count, 1);
        keys.expire(TopicId(16), Some(100), Timestamp(1100));
        assert_eq!((keys.count, keys.topics[&TopicId(16)].places.len()), (0, 0));
    }

    proptest! {
        /// Against a memory of everything that never forgets.
        #[test]
        fn a_key_is_stored_once_in_any_window(
            batches in prop::collection::vec(
                (0..60_u64, 0..2_u32, prop::collection::vec(prop::option::of(0..9_u128), 1..6)),
                1..60,
            ),
        ) {
            const WINDOW_MS: u64 = 100;
            let (mut keys, mut time, mut ends) = (Keys::default(), Timestamp(0), [0_u64; 2]);
            let mut stored: BTreeMap<u128, (Timestamp, u32, u64)> = BTreeMap::new();
            for (ms, to, records) in batches {
                time = time.plus_ms(ms);
                keys.expire(TopicId(16), Some(WINDOW_MS), time);
                let of_batch: Vec<(u32, u128)> = (0..).zip(&records)
                    .filter_map(|(index, key)| Some((index, (*key)?)))
                    .collect();
                let base = ends[to as usize];
                let place = (partition(to), Offset(base));
                let sorted = keys.sort(place, (WINDOW_MS, time), &of_batch);
                let mut duplicates = Vec::new();
                for (index, key) in (0..).zip(&records) {
                    let known = key.and_then(|key| stored.get(&key).copied());
                    match known.filter(|(since, ..)| since.ms_until(time) < WINDOW_MS) {
                        Some((_, partition, offset)) => {
                            let offset = Offset(offset);
                            duplicates.push(DuplicateRecord { index, partition, offset });
                        }
                        None => {
                            if let Some(key) = key {
                                stored.insert(*key, (time, to, ends[to as usize]));
                            }
                            ends[to as usize] += 1;
                        }
                    }
                }
                prop_assert_eq!(&sorted.duplicates, &duplicates);
                keys.insert(partition(to), time, sorted.new);
                prop_assert_eq!(keys.count, keys.topics[&TopicId(16)].order.len());
            }
        }
    }
}
