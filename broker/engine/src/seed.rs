//! Where the randomness of a call comes from: of names, places and contents, so that the same
//! attempt at the same record draws the same numbers wherever and whenever it runs.

use logmill_model::{DeploymentName, TopicName};
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
}
