//! The idempotency keys of records, as fingerprints.

use logmill_model::{BatchKeys, PlainBatch};
use sha2::{Digest as _, Sha256};

/// The header that carries an idempotency key; the first one of a record counts.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The keys of a batch's records.
pub(crate) fn of_batch(records: PlainBatch) -> BatchKeys {
    let keys = records.iter().filter_map(|record| {
        let key = record.headers().find(|(name, _)| *name == IDEMPOTENCY_KEY);
        key.map(|(_, value)| (record.offset_delta, of_key(value)))
    });
    let keys = keys.collect();
    BatchKeys { records, keys }
}

/// 128 bits of a key: no two keys that anybody makes have the same.
pub(crate) fn of_key(key: &[u8]) -> u128 {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let (half, _) = digest.split_at(16);
    u128::from_le_bytes(half.try_into().expect("16 bytes are 16 bytes"))
}
