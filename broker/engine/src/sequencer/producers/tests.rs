//! What the table says of a batch, against a model that remembers everything; and that a table that
//! was written down and built again says the same.

use std::collections::BTreeMap;

use logmill_model::internal::ProducersRecord;
use logmill_model::{Compression, Offset};
use proptest::prelude::*;

use super::*;

const DAY: u64 = 24 * 3600 * 1000;

fn partition(index: u32) -> PartitionId {
    PartitionId::new(TopicId(16), index)
}

fn stamp(id: u64, epoch: u32, first_sequence: u64) -> ProducerStamp {
    ProducerStamp { id, epoch, first_sequence }
}

fn envelope(producer: ProducerStamp, count: u32, csn: u64, time: u64) -> Envelope {
    Envelope {
        base_offset: Offset(csn * 1000),
        append_ts: Timestamp(time),
        csn: Csn(csn),
        producer: Some(producer),
        last_delta: count - 1,
        records: count,
        bytes: 100,
        crc: 0,
        rewritten: false,
        compression: Compression::None,
        hops: 0,
    }
}

/// A table with one producer that has sent batches of two records with these numbers.
fn with_batches(numbers: std::ops::Range<u64>) -> (Producers, ProducerIdentity) {
    let mut table = Producers::default();
    let it = table.register(None, 1, Timestamp(0));
    for n in numbers {
        let stamp = stamp(it.id, it.epoch, n * 2);
        assert_eq!(table.standing(stamp, 2, partition(0), Timestamp(n)), Ok(Standing::Next));
        table.append(partition(0), stamp, sequenced(stamp, &envelope(stamp, 2, n + 1, n)));
    }
    (table, it)
}

#[test]
fn the_last_sixteen_batches_are_known_with_their_offsets_and_older_ones_without() {
    let (table, it) = with_batches(0..20);
    let standing =
        |n: u64| table.standing(stamp(1, it.epoch, n * 2), 2, partition(0), Timestamp(9));
    for n in 4..20 {
        let Ok(Standing::Known(batch)) = standing(n) else {
            panic!("batch {n}: {:?}", standing(n))
        };
        assert_eq!((batch.base_offset, batch.csn), (Offset((n + 1) * 1000), Csn(n + 1)));
    }
    for n in 0..4 {
        let (producer, partition, sequence) = (1, partition(0), n * 2);
        assert_eq!(standing(n), Err(Refusal::OldDuplicate { producer, partition, sequence }));
    }
    assert_eq!(standing(20), Ok(Standing::Next));
    let gap = |sequence, last| {
        Err(Refusal::SequenceGap { producer: 1, partition: partition(0), sequence, last })
    };
    assert_eq!(standing(21), gap(42, Some(39)));
    // As long as another one that began there: it is not the same batch.
    assert_eq!(table.standing(stamp(1, 1, 38), 3, partition(0), Timestamp(9)), gap(38, Some(39)));
    let elsewhere = table.standing(stamp(1, 1, 5), 1, partition(1), Timestamp(9));
    let last = None;
    let gap = Refusal::SequenceGap { producer: 1, partition: partition(1), sequence: 5, last };
    assert_eq!(elsewhere, Err(gap));
}

#[test]
fn a_name_that_comes_back_has_the_next_epoch_and_fences_the_one_before() {
    let mut table = Producers::default();
    let name: ProducerName = "billing".parse().unwrap();
    let first = table.register(Some(name.clone()), 1, Timestamp(0));
    let sent = stamp(1, 1, 0);
    table.append(partition(0), sent, sequenced(sent, &envelope(sent, 5, 1, 1)));
    let second = table.register(Some(name), 2, Timestamp(2));
    let other = table.register(None, 3, Timestamp(2));
    assert_eq!((first.id, first.epoch), (1, 1));
    assert_eq!((second.id, second.epoch), (1, 2));
    assert_eq!((other.id, other.epoch), (3, 1));
    let standing = |stamp| table.standing(stamp, 5, partition(0), Timestamp(3));
    let fenced = Refusal::Fenced { producer: 1, epoch: 1, current: 2 };
    assert_eq!(standing(stamp(1, 1, 0)), Err(fenced));
    assert_eq!(standing(stamp(1, 2, 0)), Ok(Standing::Next));
    assert_eq!(standing(stamp(1, 3, 0)), Err(Refusal::UnknownProducer(1)));
    assert_eq!(standing(stamp(2, 1, 0)), Err(Refusal::UnknownProducer(2)));
}

#[test]
fn a_producer_is_known_for_seven_days_of_entry_time_and_no_millisecond_longer() {
    let (table, it) = with_batches(0..3);
    let standing = |time| table.standing(stamp(1, it.epoch, 6), 1, partition(0), Timestamp(time));
    assert_eq!(standing(2 + 7 * DAY), Ok(Standing::Next));
    assert_eq!(standing(3 + 7 * DAY), Err(Refusal::UnknownProducer(1)));
}

#[test]
fn the_table_keeps_to_its_bytes_at_the_cost_of_who_was_idle_for_longest() {
    let mut table = Producers { bytes_max: 100_000, ..Producers::default() };
    let mut ids = Vec::new();
    for n in 1..2000_u64 {
        ids.push(table.register(None, n, Timestamp(n)).id);
        let sent = stamp(n, 1, 0);
        table.append(partition(0), sent, sequenced(sent, &envelope(sent, 1, n, n)));
        assert!(table.bytes <= table.bytes_max, "{}", table.bytes);
        let bytes: usize = table.by_id.values().map(Producer::bytes).sum();
        assert_eq!(bytes, table.bytes);
    }
    let known = |id: &u64| table.by_id.contains_key(id);
    let first = ids.iter().position(known).unwrap();
    assert!(first > 1000 && ids[first..].iter().all(known), "the oldest ones go");
    // What they were is not left in the log either.
    let chunk = table.next_chunk(Csn(2000), Timestamp(2000));
    assert!(chunk.records.contains(&ProducersRecord::Producer(1, None)));
}

/// Everything that happened, and nothing else.
#[derive(Debug, Default)]
struct Model {
    producers: BTreeMap<u64, (u32, Option<ProducerName>, u64)>,
    sent: BTreeMap<(u64, u32, PartitionId), Vec<Sent>>,
}

/// First sequence, count and commit of a batch.
type Sent = (u64, u32, u64);

impl Model {
    fn expected(&self, stamp: ProducerStamp, count: u32, to: PartitionId, time: u64) -> String {
        let ProducerStamp { id, epoch, first_sequence: first } = stamp;
        let Some((current, _, last_time)) = self.producers.get(&id) else {
            return "unknown".into();
        };
        if time - last_time > PRODUCER_IDLE_MS || epoch > *current {
            return "unknown".into();
        }
        if epoch < *current {
            return "fenced".into();
        }
        let sent = self.sent.get(&(id, epoch, to)).map_or(&[][..], Vec::as_slice);
        let next = sent.last().map_or(0, |(first, count, _)| first + u64::from(*count));
        let known = &sent[sent.len().saturating_sub(16)..];
        if first == next {
            return "next".into();
        }
        if let Some((.., csn)) = known.iter().find(|it| (it.0, it.1) == (first, count)) {
            return format!("known {csn}");
        }
        if known.first().is_some_and(|oldest| first < oldest.0) {
            "old".into()
        } else {
            "gap".into()
        }
    }
}

fn told(standing: Result<Standing<'_>, Refusal>) -> String {
    match standing {
        Ok(Standing::Next) => "next".into(),
        Ok(Standing::Known(batch)) => format!("known {}", batch.csn),
        Err(Refusal::UnknownProducer(_)) => "unknown".into(),
        Err(Refusal::Fenced { .. }) => "fenced".into(),
        Err(Refusal::OldDuplicate { .. }) => "old".into(),
        Err(Refusal::SequenceGap { .. }) => "gap".into(),
        Err(other) => other.to_string(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Register(Option<u8>),
    /// A batch for a producer and a partition, so far from where it should begin, of so many records.
    Send {
        producer: u64,
        older_epoch: bool,
        partition: u32,
        off_by: i64,
        count: u32,
    },
    Wait(u64),
    Checkpoint,
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let off_by = prop_oneof![6 => Just(0_i64), 2 => -60..0_i64, 1 => 1..4_i64];
    let send = (1..6_u64, prop::bool::weighted(0.1), 0..2_u32, off_by, 1..4_u32).prop_map(
        |(producer, older_epoch, partition, off_by, count)| Step::Send {
            producer,
            older_epoch,
            partition,
            off_by,
            count,
        },
    );
    prop_oneof![
        2 => prop::option::of(0..2_u8).prop_map(Step::Register),
        40 => send,
        1 => prop_oneof![(0..DAY), (6 * DAY..8 * DAY)].prop_map(Step::Wait),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Restart),
    ]
}

/// What is on disk: `_producers`, and the envelopes of all entries.
#[derive(Default)]
struct Disk {
    topic: Vec<ProducersRecord>,
    envelopes: Vec<(PartitionId, Envelope)>,
}

impl Disk {
    fn rebuilt(&self) -> Producers {
        let mut table = Producers::default();
        self.topic.iter().for_each(|record| table.restore(record.clone()));
        let after = table.checkpoint();
        for (partition, envelope) in self.envelopes.iter().filter(|(_, it)| it.csn > after) {
            table.replay(*partition, envelope);
        }
        table
    }

    /// The last record of each key, as compaction leaves them.
    fn compact(&mut self) {
        let mut last = BTreeMap::new();
        for (at, record) in self.topic.iter().enumerate() {
            last.insert(record.encode().key, at);
        }
        let last: BTreeSet<usize> = last.into_values().collect();
        let records = std::mem::take(&mut self.topic).into_iter().enumerate();
        self.topic = records.filter(|(at, _)| last.contains(at)).map(|(_, it)| it).collect();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_table_says_what_a_complete_memory_says_and_so_does_one_that_was_rebuilt(
        steps in prop::collection::vec(any_step(), 1..300),
    ) {
        let (mut table, mut model, mut disk) = (Producers::default(), Model::default(), Disk::default());
        let (mut csn, mut time, mut ids) = (0_u64, 1_u64, 1_u64);
        for step in steps {
            match step {
                Step::Register(name) => {
                    let name: Option<ProducerName> = name.map(|n| format!("n{n}").parse().unwrap());
                    let known = model.producers.iter().find(|(_, (_, its, last))| {
                        its.is_some() && *its == name && time - last <= PRODUCER_IDLE_MS
                    });
                    let expected = known.map_or((ids, 1), |(id, (epoch, ..))| (*id, epoch + 1));
                    let it = table.register(name.clone(), ids, Timestamp(time));
                    prop_assert_eq!((it.id, it.epoch), expected);
                    model.producers.insert(it.id, (it.epoch, name, time));
                    (csn, ids) = (csn + 1, ids + 1);
                    disk.topic.push(ProducersRecord::Producer(it.id, Some(table.by_id[&it.id].record())));
                }
                Step::Send { producer, older_epoch, partition: index, off_by, count } => {
                    let epoch = model.producers.get(&producer).map_or(1, |it| it.0) - u32::from(older_epoch);
                    let to = partition(index);
                    let sent = model.sent.get(&(producer, epoch, to)).and_then(|it| it.last());
                    let next = sent.map_or(0, |(first, count, _)| first + u64::from(*count));
                    let first = next.saturating_add_signed(off_by);
                    let stamp = stamp(producer, epoch, first);
                    let expected = model.expected(stamp, count, to, time);
                    let standing = told(table.standing(stamp, count, to, Timestamp(time)));
                    prop_assert_eq!(&standing, &expected);
                    if expected == "next" {
                        csn += 1;
                        let envelope = envelope(stamp, count, csn, time);
                        table.append(to, stamp, sequenced(stamp, &envelope));
                        disk.envelopes.push((to, envelope));
                        model.sent.entry((producer, epoch, to)).or_default().push((first, count, csn));
                        model.producers.get_mut(&producer).unwrap().2 = time;
                    }
                }
                Step::Wait(ms) => time += ms,
                Step::Checkpoint => {
                    let chunk = table.next_chunk(Csn(csn), Timestamp(time));
                    prop_assert!(chunk.is_last);
                    disk.topic.extend(chunk.records);
                    // What a checkpoint holds needs no entry any more.
                    let checkpoint = table.checkpoint();
                    disk.envelopes.retain(|(_, envelope)| envelope.csn > checkpoint);
                    csn += 1;
                }
                Step::Restart => {
                    disk.compact();
                    table = disk.rebuilt();
                    let bytes: usize = table.by_id.values().map(Producer::bytes).sum();
                    prop_assert_eq!(bytes, table.bytes);
                }
            }
        }
    }
}
