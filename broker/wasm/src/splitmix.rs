//! The random numbers of a call: SplitMix64, the same for ever for the same seed.
//!
//! A replay must see the bytes that the first run saw, also in a later version of the broker, so
//! the generator is part of what Logmill promises and not whatever a library thinks best this year.
//! It is written down here (Steele, Lea and Flood, 2014). **Not for secrets**: who knows the seed
//! knows all of it.

/// The generator.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next `count` bytes: each number's, the lowest first.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.next_multiple_of(8));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation from seed 1234567.
    #[test]
    fn the_numbers_are_those_of_the_reference() {
        let mut random = SplitMix64::new(1_234_567);
        let numbers: Vec<_> = (0..5).map(|_| random.next()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn bytes_are_cut_to_their_count_and_the_same_from_the_same_seed() {
        let bytes = SplitMix64::new(7).bytes(13);
        assert_eq!(bytes.len(), 13);
        assert_eq!(bytes, SplitMix64::new(7).bytes(13));
        assert_ne!(bytes, SplitMix64::new(8).bytes(13));
        assert_eq!(SplitMix64::new(7).bytes(0), [0; 0]);
    }
}
