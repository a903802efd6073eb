//! Where the randomness of a call comes from: of names, places and contents, so that the same
//! attempt at the same record draws the same numbers wherever and whenever it runs.

use logmill_model::{DeploymentName, Offset, TopicName};
use sha2::{Digest, Sha256};

/// The seed of a deployment on a partition.
pub(crate) fn seed(deployment: &DeploymentName, topic: &TopicName, partition: u32) -> u64 {
    let digest = Sha256::new()
        .chain_update(deployment.as_str())
        .chain_update([0])
        .chain_update(topic.as_str())
        .chain_update([0])
        .chain_update(partition.to_le_bytes())
        .finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// The seed of one attempt at one record: SplitMix64's finalizer (Steele, Lea, Flood 2014) over
/// the parts. `record` is the record's offset, or a hash of it where it has none yet.
pub(crate) fn mix(seed: u64, record: u64, attempt: u32) -> u64 {
    let mut z = seed
        .wrapping_add(record.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(u64::from(attempt).wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which key a record has: the same for the same key, and never 0. One without a key has its own.
pub(crate) fn key_hash(key: Option<&[u8]>, offset: Offset) -> u64 {
    let digest = match key {
        Some(key) => Sha256::new().chain_update([1]).chain_update(key).finalize(),
        None => Sha256::new().chain_update([0]).chain_update(offset.0.to_le_bytes()).finalize(),
    };
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes")).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_attempt_at_every_record_has_a_seed_of_its_own() {
        let (name, topic) = ("d".parse().unwrap(), "t".parse().unwrap());
        let mut seeds = HashSet::new();
        for partition in 0..3 {
            let lane = seed(&name, &topic, partition);
            assert_eq!(lane, seed(&name, &topic, partition));
            for offset in 0..100 {
                seeds.extend((1..=5).map(|attempt| mix(lane, offset, attempt)));
            }
        }
        assert_eq!(seeds.len(), 3 * 100 * 5);
    }

    #[test]
    fn records_have_the_same_key_only_if_it_is_the_same() {
        let [a, b] = [Offset(0), Offset(1)];
        assert_eq!(key_hash(Some(b"k"), a), key_hash(Some(b"k"), b));
        assert_ne!(key_hash(Some(b"k"), a), key_hash(Some(b"l"), a));
        assert_ne!(key_hash(None, a), key_hash(None, b));
        assert_ne!(key_hash(Some(&0_u64.to_le_bytes()), a), key_hash(None, a));
    }
}
