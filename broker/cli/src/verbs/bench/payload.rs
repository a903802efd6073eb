//! What is produced: JSON events with keys, the same in every run, that compress about as well as
//! such events do (to two thirds), so that no disk and no compression shines by zeros.

use bytes::Bytes;
use logmill_model::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use logmill_model::{BatchBuilder, Record, RecordBatch, Timestamp};

/// Different values; a run goes through them again and again. Their bytes are bounded.
const VALUES_MAX: usize = 4096;
const VALUES_BYTES: usize = 8 << 20;
const KEYS: usize = 1000;
const SEED: u64 = 0x6c6f_676d_696c_6c00;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const ACTIONS: [&str; 8] =
    ["opened", "closed", "labeled", "assigned", "edited", "reopened", "created", "deleted"];

/// Records ready to be put into batches.
#[derive(Debug)]
pub(super) struct Payload {
    keys: Vec<Bytes>,
    values: Vec<Bytes>,
}

impl Payload {
    /// Records whose values have this many bytes.
    pub(super) fn new(size: usize) -> Self {
        let count = (VALUES_BYTES / size.max(1)).clamp(1, VALUES_MAX);
        let mut random = Random(SEED);
        Self {
            keys: (0..KEYS).map(|number| Bytes::from(key(number))).collect(),
            values: (0..count).map(|_| Bytes::from(value(size, &mut random))).collect(),
        }
    }

    /// The encoded size of a record with a value of this size.
    pub(super) fn record_bytes(size: usize) -> usize {
        let record = Record { key: Some(Bytes::from(key(0))), ..Record::default() };
        BatchBuilder::encoded_bytes(&record) + size
    }

    /// The encoded size of a batch.
    pub(super) fn batch_bytes(size: usize, records: usize) -> usize {
        BatchBuilder::default().encoded_len() + records * Self::record_bytes(size)
    }

    /// How many records of this size fit a batch.
    pub(super) fn records_max(size: usize) -> usize {
        let room = BATCH_BYTES_MAX - BatchBuilder::default().encoded_len();
        (room / Self::record_bytes(size)).min(BATCH_RECORDS_MAX)
    }

    /// A batch of so many records, of which the first has this number in the run.
    pub(super) fn batch(
        &self,
        first: u64,
        records: u32,
        now: Timestamp,
    ) -> Result<RecordBatch, logmill_model::Error> {
        let mut builder = BatchBuilder::default();
        let nth = |of: &[Bytes], number: u64| of[(number % of.len() as u64) as usize].clone();
        for number in (first..).take(records as usize) {
            builder.push(&Record {
                key: Some(nth(&self.keys, number)),
                value: Some(nth(&self.values, number)),
                headers: Vec::new(),
                create_ts: now,
            })?;
        }
        Ok(builder.seal())
    }
}

fn key(number: usize) -> String {
    format!("customer-{number:04}")
}

/// An event, cut to size; what a small one lacks is the end of its JSON.
fn value(size: usize, random: &mut Random) -> Vec<u8> {
    let action = ACTIONS[(random.next() % ACTIONS.len() as u64) as usize];
    let (id, number) = (random.next(), random.next() % 100_000);
    let mut text = format!(
        r#"{{"id":"{id:016x}","action":"{action}","repository":{{"id":{number},"private":false}},"note":""#
    )
    .into_bytes();
    while text.len() < size {
        let letters = random.next();
        text.extend((0..10).map(|nth| ALPHABET[(letters >> (6 * nth)) as usize % 64]));
    }
    text.truncate(size);
    if size > 256 {
        text.truncate(size - 2);
        text.extend(b"\"}");
    }
    text
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_size_that_was_planned_and_the_broker_takes_it() {
        for (size, records) in [(0, 3), (1, 1), (100, 64), (1024, 64), (1 << 20, 1)] {
            let batch = Payload::new(size).batch(7, records, Timestamp(1)).unwrap();
            assert_eq!(batch.bytes().len(), Payload::batch_bytes(size, records as usize), "{size}");
            assert_eq!(batch.record_count(), records);
            let plain = batch.plain().unwrap();
            let values = plain.to_records().map(|(_, it)| it.value.unwrap().len());
            assert!(values.into_iter().all(|len| len == size), "{size}");
        }
    }

    #[test]
    fn values_are_json_differ_and_are_the_same_in_every_run() {
        let (one, again) = (Payload::new(1024), Payload::new(1024));
        assert_eq!(one.values, again.values);
        let distinct: std::collections::HashSet<_> = one.values.iter().collect();
        assert_eq!(distinct.len(), VALUES_MAX);
        let event: serde_json::Value = serde_json::from_slice(&one.values[5]).unwrap();
        assert!(event["repository"]["id"].is_u64());
    }
}
