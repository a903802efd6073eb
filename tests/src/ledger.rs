//! A ledger of what was sent and what was answered, and its comparison with what can be read.
//!
//! The claim: a batch that was acknowledged is there once, unaltered, at the offset that the ack
//! told. A batch whose answer was cut off is there whole and once, or not at all; it is not sent
//! again. Nothing else is there, offsets are dense, and the batches of a producer lie in the order
//! in which it sent them.

use std::collections::{BTreeMap, HashMap};

use logmill_client::{
    BatchBuilder, Client, Compression, Error, Offset, Position, Producer, Record, RecordBatch,
    SubscribeOptions, Ticket, Timestamp,
};
use logmill_model::limits::BATCH_BYTES_MAX;

use crate::{Chance, within};

/// Which batch: its producer, and its number there.
pub type BatchId = (u64, u64);

/// What its producer knows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Durable, with its first record at this offset.
    Acked(Offset),
    /// Sent, and the answer was cut off.
    Unknown,
}

/// A batch as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Where to.
    pub partition: u32,
    /// What became of it.
    pub fate: Fate,
}

/// The batch of this id: its content is a function of the id, so that it can be told again, and so
/// is its compression.
///
/// # Panics
/// Never: it fits.
#[must_use]
pub fn batch(id: BatchId) -> RecordBatch {
    let (producer, number) = id;
    let mut chance = Chance::of_seed(producer << 32 | number);
    let mut builder = BatchBuilder::default();
    for index in 0..chance.between(1, 20) {
        let filler = "x".repeat(usize::try_from(chance.between(0, 300)).unwrap());
        let value = format!("{producer}/{number}/{index}/{:x}/{filler}", chance.number());
        let record = Record {
            key: Some(format!("p{producer}").into()),
            value: Some(value.into()),
            headers: Vec::new(),
            create_ts: Timestamp(1),
        };
        builder.push(&record).unwrap();
    }
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd];
    builder.seal().compress(compressions[usize::try_from(number % 3).unwrap()])
}

fn records(batch: &RecordBatch) -> Vec<Record> {
    let plain = batch.decompressed(BATCH_BYTES_MAX).expect("a batch of this ledger");
    plain.to_records().map(|(_, record)| record).collect()
}

/// What of a batch a record says: its id and its index.
fn read_id(record: &Record) -> (BatchId, u32) {
    let mut parts = crate::text(record).split('/').map(|part| part.parse::<u64>().ok());
    let mut next = || parts.next().flatten().expect("a record of this ledger");
    ((next(), next()), u32::try_from(next()).unwrap())
}

/// Sends batches of these numbers to one topic until its broker goes away, and writes down what
/// came of them.
///
/// # Panics
/// When the broker refuses a batch.
pub async fn produce(
    producer: Producer,
    id: u64,
    numbers: impl Iterator<Item = u64>,
    mut chance: Chance,
    acked: impl Fn(),
) -> HashMap<BatchId, Sent> {
    const IN_FLIGHT: usize = 16;
    let mut sent = HashMap::new();
    let mut waiting: std::collections::VecDeque<(BatchId, u32, Ticket)> = Default::default();
    let mut settle = |(batch, partition, ticket): (BatchId, u32, Result<_, Error>)| {
        let fate = match ticket {
            Ok(offset) => {
                acked();
                Fate::Acked(offset)
            }
            Err(error) if error.has_no_side_effects() => {
                assert!(error.is_retryable(), "batch {batch:?} was refused: {error}");
                return;
            }
            Err(_) => Fate::Unknown,
        };
        sent.insert(batch, Sent { partition, fate });
    };
    for number in numbers {
        let batch_id = (id, number);
        let partition =
            u32::try_from(chance.between(0, u64::from(producer.partitions()) - 1)).unwrap();
        match producer.send_batch(partition, batch(batch_id)).await {
            Ok(ticket) => waiting.push_back((batch_id, partition, ticket)),
            Err(_) => break,
        }
        if waiting.len() == IN_FLIGHT {
            let (id, partition, ticket) = waiting.pop_front().expect("there is one");
            settle((id, partition, ticket.wait().await.map(|ack| ack.offset)));
        }
    }
    for (id, partition, ticket) in waiting {
        settle((id, partition, ticket.wait().await.map(|ack| ack.offset)));
    }
    sent
}

/// All that was sent, and how far it has been compared.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    sent: HashMap<BatchId, Sent>,
    /// Batches that were found, each at its place.
    found: HashMap<BatchId, (u32, Offset)>,
    /// The next offset to be compared, of each partition.
    next: BTreeMap<u32, Offset>,
    /// The last batch of each producer in each partition.
    last: HashMap<(u32, u64), u64>,
}

impl Ledger {
    /// Adds what a producer wrote down.
    pub fn add(&mut self, sent: HashMap<BatchId, Sent>) {
        self.sent.extend(sent);
    }

    /// How many batches were acknowledged, and of how many the answer was cut off.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let acked = self.sent.values().filter(|sent| matches!(sent.fate, Fate::Acked(_))).count();
        (acked, self.sent.len() - acked)
    }

    /// Compares what was not compared before.
    ///
    /// # Panics
    /// When anything is lost, altered, doubled, torn, out of order or not ours.
    pub async fn check(&mut self, client: &Client, topic: &str) {
        let name = topic.parse().unwrap();
        let described = client.admin().topic(name).await.unwrap();
        for partition in described.partitions {
            within(
                "a partition is compared",
                self.check_partition(client, topic, partition.partition),
            )
            .await;
            let next = self.next.get(&partition.partition).copied().unwrap_or_default();
            assert_eq!(next, partition.end, "all of partition {} was read", partition.partition);
        }
        for (id, sent) in &self.sent {
            let found = self.found.get(id);
            match sent.fate {
                Fate::Acked(offset) => assert_eq!(
                    found,
                    Some(&(sent.partition, offset)),
                    "batch {id:?} was acknowledged and is not at its place"
                ),
                Fate::Unknown => assert!(
                    found.is_none_or(|(partition, _)| *partition == sent.partition),
                    "batch {id:?} is in another partition"
                ),
            }
        }
    }

    /// Compares everything again, from the first record on.
    ///
    /// # Panics
    /// As [`check`](Self::check).
    pub async fn check_all(&mut self, client: &Client, topic: &str) {
        self.found.clear();
        self.next.clear();
        self.last.clear();
        self.check(client, topic).await;
    }

    async fn check_partition(&mut self, client: &Client, topic: &str, partition: u32) {
        let from = self.next.get(&partition).copied().unwrap_or_default();
        let options = SubscribeOptions::new(topic.parse().unwrap())
            .partition(partition)
            .from(Position::Offset(from))
            .until_end();
        let mut subscriber = client.subscribe(options).await.unwrap();
        while let Some(read) = subscriber.next_batch().await {
            let read = read.unwrap();
            let base = read.envelope.base_offset;
            let expected = self.next.get(&partition).copied().unwrap_or_default();
            assert_eq!(base, expected, "offsets of partition {partition} are dense");
            self.check_batch(partition, base, &read.batch);
            self.next.insert(partition, read.envelope.end_offset());
        }
    }

    fn check_batch(&mut self, partition: u32, base: Offset, read: &RecordBatch) {
        let (id, _) = read_id(records(read).first().expect("a batch has records"));
        assert!(self.sent.contains_key(&id), "batch {id:?} at {partition}/{base} was never sent");
        assert_eq!(read, &batch(id), "batch {id:?} is whole and unaltered");
        let before = self.found.insert(id, (partition, base));
        assert_eq!(before, None, "batch {id:?} is there twice");
        let last = self.last.insert((partition, id.0), id.1);
        assert!(last.is_none_or(|last| last < id.1), "batch {id:?} lies before {last:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let fate = Fate::Acked(Offset(0));
        ledger.add(HashMap::from([((1, 1), Sent { partition: 0, fate })]));
        ledger
    }

    #[test]
    fn a_batch_is_told_again_from_its_id() {
        assert_eq!(batch((3, 9)), batch((3, 9)));
        assert_ne!(batch((3, 9)), batch((3, 10)));
        for number in 9..12 {
            assert_eq!(read_id(&records(&batch((3, number)))[0]), ((3, number), 0));
        }
    }

    #[test]
    #[should_panic(expected = "is there twice")]
    fn a_doubled_batch_is_found() {
        let mut ledger = ledger();
        ledger.check_batch(0, Offset(0), &batch((1, 1)));
        ledger.check_batch(0, Offset(9), &batch((1, 1)));
    }

    #[test]
    #[should_panic(expected = "was never sent")]
    fn a_foreign_batch_is_found() {
        ledger().check_batch(0, Offset(0), &batch((1, 2)));
    }

    #[test]
    #[should_panic(expected = "whole and unaltered")]
    fn an_altered_batch_is_found() {
        let mut altered = records(&batch((1, 1)));
        altered.push(Record::default());
        ledger().check_batch(0, Offset(0), &RecordBatch::of(&altered).unwrap());
    }
}
