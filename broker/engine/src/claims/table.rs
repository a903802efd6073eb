//! The claims that a deployment has had within its window. Pure, and made for millions of them.
//!
//! A claim is 16 bytes: 88 bits of its key's hash, and its time. They lie in the order of `_claims`, so
//! that a claim's place there follows from its number here, and the oldest are the first to go. An index
//! finds them by their hash, in 5 bytes a slot: 10 million claims take 223 MB.
//!
//! **A claim is not compared with its key**, which is on the disk alone. The hash is SHA-256: that a new
//! key is taken for one of 10 million that are known has a chance of 1 in 3 × 10¹⁹, and who looks for
//! two keys of the same 88 bits, by 2⁴⁴ hashes, harms the second of them alone, which is their own.

use std::collections::VecDeque;

use hashbrown::HashTable;
use logmill_model::{Offset, Timestamp};

use super::ring::{Ring, lower_half};
use crate::fingerprints;
use crate::limits::CLAIMS_MAX;

/// Parts of the index: one is made larger at a time, so that nobody waits long for it. So many that
/// with [`CLAIMS_MAX`] each is as full as a power of two can be: one more would double them.
const SHARDS: usize = 96;
/// The claims of a part that has 2¹⁷ slots, of which a hash table fills 7 in 8.
const SHARD_MAX: usize = (1 << 17) / 8 * 7;
const _: () =
    assert!(CLAIMS_MAX < SHARDS * SHARD_MAX && CLAIMS_MAX > SHARDS * SHARD_MAX / 100 * 95);
/// The bits of a claim that are its time.
const TIME_BITS: u32 = 40;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// What is known of a key: 88 bits of its hash, where they are in a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self::of_claim(fingerprints::of_key(key))
    }

    fn of_claim(claim: u128) -> Self {
        Self(claim >> TIME_BITS << TIME_BITS)
    }

    fn shard(self) -> usize {
        let high = self.0 >> (u128::BITS - u32::BITS);
        usize::try_from((high * SHARDS as u128) >> u32::BITS)
            .expect("it is below the number of shards")
    }

    /// Of bits that the shard hardly depends on.
    pub(super) fn hash(self) -> u64 {
        let low = (self.0 >> TIME_BITS) & u128::from(u64::MAX);
        u64::try_from(low).expect("it is the lower half")
    }
}

/// Claims of which one follows the other in `_claims`.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    number: u64,
    offset: Offset,
}

/// The claims.
#[derive(Debug)]
pub(crate) struct Table {
    window_ms: u64,
    /// What the times of claims are counted from.
    since: Timestamp,
    claims: Ring,
    /// The lower half of the number of the newest claim of each key.
    index: Vec<HashTable<u32>>,
    /// Where the claims lie in `_claims`: in one piece, but for what was lost there.
    stretches: VecDeque<Stretch>,
}

impl Table {
    /// For claims from this time on; the first of them lies here.
    pub(crate) fn new(window_ms: u64, since: Timestamp, offset: Offset) -> Self {
        Self {
            window_ms,
            since,
            claims: Ring::default(),
            index: std::iter::repeat_with(HashTable::new).take(SHARDS).collect(),
            stretches: VecDeque::from([Stretch { number: 0, offset }]),
        }
    }

    /// How many there are; those of keys that were claimed again count until they leave the window.
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }

    /// Where the claim of a key lies that is within the window now.
    pub(crate) fn get(&self, key: Fingerprint, now: Timestamp) -> Option<Offset> {
        let is_it = |low: &u32| Fingerprint::of_claim(self.claims.at_low(*low)) == key;
        let low = *self.index[key.shard()].find(key.hash(), is_it)?;
        let is_within = self.is_within(self.claims.at_low(low), now);
        is_within.then(|| self.offset(self.claims.number(low)))
    }

    /// What is taken in from now on lies from here on in `_claims`, whatever was between.
    pub(crate) fn go_on_at(&mut self, offset: Offset) {
        let number = self.claims.end();
        if self.offset(number) != offset {
            self.stretches.push_back(Stretch { number, offset });
        }
    }

    /// Takes in a claim that is durable. Those of a lane come in their order; of lanes that commit at
    /// once, one may come after others that lie behind it.
    pub(crate) fn insert(&mut self, offset: Offset, time: Timestamp, key: Fingerprint) {
        let last = self.stretches.back().expect("there is always one");
        let number = last.number + last.offset.distance_to(offset);
        // Not 0, which is a claim that is not there.
        let time = (self.since.ms_until(time) + 1).min(TIME_MAX);
        self.claims.set(number, key.0 | u128::from(time));
        let (claims, shard) = (&self.claims, &mut self.index[key.shard()]);
        let key_at = |low: &u32| Fingerprint::of_claim(claims.at_low(*low));
        // In place of an older one of the key, if there is one.
        shard
            .entry(key.hash(), |low| key_at(low) == key, |low| key_at(low).hash())
            .insert(lower_half(number));
    }

    /// Lets go of claims that have left the window, at most so many; tells whether there may be more.
    pub(crate) fn expire(&mut self, now: Timestamp, max: usize) -> bool {
        for _ in 0..max {
            match self.claims.oldest() {
                Some(oldest) if !self.is_within(oldest, now) => self.drop_oldest(oldest),
                _ => return false,
            }
        }
        true
    }

    fn drop_oldest(&mut self, claim: u128) {
        let (key, low) = (Fingerprint::of_claim(claim), lower_half(self.claims.begin()));
        // It is not there when the key was claimed again.
        if let Ok(entry) = self.index[key.shard()].find_entry(key.hash(), |it| *it == low) {
            entry.remove();
        }
        if self.claims.drop_oldest() {
            self.shrink();
        }
        if self.stretches.get(1).is_some_and(|next| next.number <= self.claims.begin()) {
            self.stretches.pop_front();
        }
    }

    /// Gives back what the index does not need any more.
    fn shrink(&mut self) {
        let claims = &self.claims;
        for shard in &mut self.index {
            if shard.capacity() > 4 * shard.len() {
                let hash = |low: &u32| Fingerprint::of_claim(claims.at_low(*low)).hash();
                shard.shrink_to(2 * shard.len(), hash);
            }
        }
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let index: usize = self.index.iter().map(HashTable::allocation_size).sum();
        self.claims.bytes() + index
    }

    fn is_within(&self, claim: u128, now: Timestamp) -> bool {
        let time = u64::try_from(claim & u128::from(TIME_MAX)).expect("it has 40 bits");
        self.since.plus_ms(time - 1).ms_until(now) < self.window_ms
    }

    fn offset(&self, number: u64) -> Offset {
        let after = self.stretches.partition_point(|it| it.number <= number);
        let stretch = &self.stretches[after.saturating_sub(1)];
        Offset(stretch.offset.0 + (number - stretch.number))
    }
}

#[cfg(test)]
mod tests;
