//! The newest offset of each key, in bounded memory.
//!
//! A key is known by 128 bits of a keyed hash, so that nobody can make two that look the same. When
//! there are more keys than fit, half of all that a key could be are left out, by a bit of the hash,
//! and the other half is known as well as before: what is said is always true, only not of all keys.
//! Who cleans again draws other keys for the hash, and so leaves out others.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use logmill_model::{Offset, PartitionId};

/// What a key takes while the table grows: entry and control byte, at a load of at least 7/16, and
/// the table of half the size that it grows out of.
const KEY_BYTES: usize = 25 * 16 / 7 * 3 / 2;

/// The hash in two halves, as bytes: so an entry takes 24 bytes and not 32.
type KeyHash = [[u8; 8]; 2];

/// The newest offsets of keys, of any number of partitions.
#[derive(Debug)]
pub(crate) struct KeyMap {
    newest: HashMap<KeyHash, [u8; 8], BuildHasherDefault<FirstHalf>>,
    hashers: [RandomState; 2],
    keys_max: usize,
    /// Only hashes whose second half ends in these zero bits are kept.
    left_out: u64,
}

impl KeyMap {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            newest: HashMap::default(),
            hashers: [RandomState::new(), RandomState::new()],
            keys_max: (bytes_max / KEY_BYTES).max(1),
            left_out: 0,
        }
    }

    fn hash(&self, partition: PartitionId, key: &[u8]) -> KeyHash {
        self.hashers.each_ref().map(|hasher| hasher.hash_one((partition, key)).to_le_bytes())
    }

    /// Takes in a record. Records of a partition come in the order of their offsets.
    pub(crate) fn insert(&mut self, partition: PartitionId, key: &[u8], offset: Offset) {
        let hash = self.hash(partition, key);
        while self.keeps(&hash) {
            if self.newest.len() < self.keys_max || self.newest.contains_key(&hash) {
                self.newest.insert(hash, offset.0.to_le_bytes());
                return;
            }
            self.left_out = self.left_out << 1 | 1;
            let left_out = self.left_out;
            self.newest.retain(|hash, _| u64::from_le_bytes(hash[1]) & left_out == 0);
        }
    }

    fn keeps(&self, hash: &KeyHash) -> bool {
        u64::from_le_bytes(hash[1]) & self.left_out == 0
    }

    /// The newest offset of a key; None when that is not known.
    pub(crate) fn newest(&self, partition: PartitionId, key: &[u8]) -> Option<Offset> {
        let offset = self.newest.get(&self.hash(partition, key))?;
        Some(Offset(u64::from_le_bytes(*offset)))
    }

    /// One of how many keys is known.
    pub(crate) fn one_of(&self) -> u64 {
        self.left_out.saturating_add(1)
    }
}

/// Takes the first half of a [`KeyHash`] for its hash: it is one.
#[derive(Debug, Default)]
struct FirstHalf(Option<u64>);

impl Hasher for FirstHalf {
    fn write(&mut self, bytes: &[u8]) {
        if self.0.is_none()
            && let Some(half) = bytes.first_chunk()
        {
            self.0 = Some(u64::from_le_bytes(*half));
        }
    }

    /// Lengths of arrays say nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use logmill_model::TopicId;

    use super::*;

    fn partition(index: u32) -> PartitionId {
        PartitionId::new(TopicId(16), index)
    }

    #[test]
    fn the_newest_offset_of_each_key_is_known() {
        let mut keys = KeyMap::new(1 << 20);
        for offset in 0..1000_u64 {
            keys.insert(partition(0), &(offset % 100).to_le_bytes(), Offset(offset));
        }
        keys.insert(partition(1), &7_u64.to_le_bytes(), Offset(3));
        for key in 0..100_u64 {
            assert_eq!(keys.newest(partition(0), &key.to_le_bytes()), Some(Offset(900 + key)));
        }
        assert_eq!(keys.newest(partition(1), &7_u64.to_le_bytes()), Some(Offset(3)));
        assert_eq!(keys.newest(partition(1), &8_u64.to_le_bytes()), None);
        assert_eq!(keys.one_of(), 1);
    }

    #[test]
    fn of_more_keys_than_fit_some_are_known_and_none_are_wrong() {
        let mut keys = KeyMap::new(64 * KEY_BYTES);
        for offset in 0..3000_u64 {
            keys.insert(partition(0), &(offset % 1000).to_le_bytes(), Offset(offset));
        }
        let known: Vec<u64> = (0..1000_u64)
            .filter(|key| match keys.newest(partition(0), &key.to_le_bytes()) {
                None => false,
                Some(offset) => {
                    assert_eq!(offset, Offset(2000 + key));
                    true
                }
            })
            .collect();
        assert!((8..=64).contains(&known.len()), "{} known", known.len());
        assert!(keys.one_of() >= 16 && keys.one_of().is_power_of_two());
        assert!(keys.newest.capacity() * 25 <= 64 * KEY_BYTES);
    }
}
