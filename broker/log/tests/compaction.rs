//! What compaction keeps, whatever happens to the broker: the last value of each key, in order, at
//! its offset; records without a key; tombstones for as long as anybody needs them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cleaning;

use std::sync::Arc;

use cleaning::{Broker, History, bytes_on, files_in, noise, partition, record, settings};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::Storage;
use logmill_log::{Known, Settings, Throttle, accept_losses};
use logmill_model::{Csn, Offset, ProducerStamp, Record};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

fn compacted(partitions: &[u32]) -> History {
    let mut history = History::default();
    history.compacted.extend(partitions.iter().map(|index| partition(*index)));
    history
}

fn opened(storage: &FaultyStorage) -> Broker {
    Broker::open(storage, settings(), compacted(&[0])).unwrap()
}

/// Sets each of `keys` keys `times` times.
fn overwrite(broker: &mut Broker, keys: usize, times: usize) {
    for n in 0..keys * times {
        let key = format!("key {}", n % keys);
        let value = noise(n as u64, 300);
        broker.append(&[(partition(0), vec![record(Some(&key), Some(&value))])]).unwrap();
    }
}

fn reopened(storage: &FaultyStorage, broker: Broker) -> Broker {
    let history = broker.stop();
    storage.restart();
    Broker::open(storage, settings(), history).unwrap()
}

#[test]
fn the_last_value_of_each_key_is_kept_at_its_offset() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    overwrite(&mut broker, 10, 60);
    let bytes = bytes_on(&storage);
    let before = broker.found(partition(0));
    broker.clean().unwrap();
    broker.check().unwrap();
    let after = broker.found(partition(0));
    assert!(bytes_on(&storage) < bytes / 4, "{} of {bytes}", bytes_on(&storage));
    assert!(after.len() < 120 && after.iter().all(|(offset, it)| before[offset] == *it));
    let again = reopened(&storage, broker);
    again.check().unwrap();
    assert_eq!(again.found(partition(0)), after);
}

#[test]
fn records_without_a_key_are_kept() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    for n in 0..400_u64 {
        let key = (n % 10 != 0).then_some("key");
        let records = vec![record(key, Some(&noise(n, 300)))];
        broker.append(&[(partition(0), records)]).unwrap();
    }
    broker.clean().unwrap();
    broker.check().unwrap();
    let found = broker.found(partition(0));
    assert_eq!(found.values().filter(|(key, _)| key.is_none()).count(), 40);
    assert!(found.len() < 150, "{}", found.len());
}

#[test]
fn a_batch_keeps_its_envelope_and_says_that_it_was_rewritten() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    let producer = Some(ProducerStamp { id: 5, epoch: 6, first_sequence: 7 });
    let (kept, gone) = (record(Some("kept"), Some(b"1")), record(Some("gone"), Some(b"2")));
    let whole = record(Some("whole"), Some(b"3"));
    broker.append_as(producer, &[(partition(0), vec![kept, gone.clone()])]).unwrap();
    broker.append_as(producer, &[(partition(0), vec![whole])]).unwrap();
    broker.append_as(producer, &[(partition(0), vec![gone])]).unwrap();
    let read = |broker: &Broker| broker.log.read(partition(0), Offset(0), 300).unwrap();
    let before = read(&broker);
    overwrite(&mut broker, 1, 300);
    broker.history.now += 1;
    broker.clean().unwrap();
    broker.check().unwrap();
    let after = read(&broker);
    assert_eq!(after[1], before[1], "it lost nothing");
    let (old, new) = (before[0].envelope, after[0].envelope);
    assert!(new.rewritten && new.records == 1 && !old.rewritten);
    assert_eq!(
        (new.base_offset, new.last_delta, new.append_ts, new.csn, new.producer),
        (old.base_offset, old.last_delta, old.append_ts, old.csn, old.producer)
    );
}

/// A batch of which nothing is left still tells the sequence of its producer, for a week.
#[test]
fn an_emptied_batch_stays_while_its_producer_is_known() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    let producer = Some(ProducerStamp { id: 5, epoch: 6, first_sequence: 7 });
    let records = vec![record(Some("key 0"), Some(b"1"))];
    broker.append_as(producer, &[(partition(0), records)]).unwrap();
    overwrite(&mut broker, 60, 10);
    broker.clean().unwrap();
    let first = broker.log.read(partition(0), Offset(0), 1).unwrap().remove(0);
    assert_eq!((first.envelope.records, first.envelope.producer), (0, producer));
    broker.history.now += 8 * 24 * HOUR;
    overwrite(&mut broker, 60, 10);
    broker.clean().unwrap();
    broker.check().unwrap();
    let first = broker.log.read(partition(0), Offset(0), 1).unwrap().remove(0);
    assert_eq!(first.envelope.producer, None);
}

fn tombstones(broker: &Broker) -> usize {
    broker.found(partition(0)).values().filter(|(_, value)| value.is_none()).count()
}

/// A broker with a value and a tombstone for each of some keys, and enough behind them.
fn with_tombstones(storage: &FaultyStorage) -> Broker {
    let mut broker = opened(storage);
    for n in 0..40 {
        let key = format!("deleted {n}");
        broker.append(&[(partition(0), vec![record(Some(&key), Some(&noise(n, 300)))])]).unwrap();
    }
    for n in 0..40 {
        let key = format!("deleted {n}");
        broker.append(&[(partition(0), vec![record(Some(&key), None)])]).unwrap();
    }
    overwrite(&mut broker, 3, 200);
    broker
}

#[test]
fn a_tombstone_stays_for_its_time_and_goes_then() {
    let storage = FaultyStorage::new();
    let mut broker = with_tombstones(&storage);
    broker.clean().unwrap();
    broker.check().unwrap();
    assert_eq!(tombstones(&broker), 40);
    broker.history.now += HOUR + 10;
    overwrite(&mut broker, 3, 200);
    broker.clean().unwrap();
    broker.check().unwrap();
    assert_eq!(tombstones(&broker), 0);
    let again = reopened(&storage, broker);
    again.check().unwrap();
}

#[test]
fn a_tombstone_stays_until_every_view_has_taken_it_in() {
    let storage = FaultyStorage::new();
    let mut broker = with_tombstones(&storage);
    broker.history.now += HOUR + 10;
    broker.history.views_csn = Some(Csn(40));
    overwrite(&mut broker, 3, 200);
    broker.clean().unwrap();
    broker.check().unwrap();
    assert_eq!(tombstones(&broker), 40);
    broker.history.views_csn = None;
    overwrite(&mut broker, 3, 200);
    broker.clean().unwrap();
    broker.check().unwrap();
    assert_eq!(tombstones(&broker), 0);
}

/// The file with the older values can't be cleaned: without the tombstones they would be back.
#[test]
fn a_tombstone_stays_while_older_values_do() {
    let storage = FaultyStorage::new();
    let mut broker = with_tombstones(&storage);
    broker.history.now += HOUR + 10;
    overwrite(&mut broker, 3, 200);
    let first = files_in(&storage, "journal/", ".journal")[0].clone();
    let whole = storage.contents(&first).unwrap();
    let mut bad = whole.clone();
    bad[5000..5100].fill(0x55);
    storage.set_contents(&first, &bad);
    let error = loop {
        match broker.plan().unwrap().run(&Throttle::new(u64::MAX)) {
            Err(error) => break error,
            Ok(cleaned) => broker.cleaner.install(cleaned),
        }
    };
    broker.cleaner.failed(&error);
    broker.clean().unwrap();
    storage.set_contents(&first, &whole);
    broker.check().unwrap();
    assert!(tombstones(&broker) > 0);
}

#[test]
fn more_keys_than_fit_in_memory_are_compacted_in_more_passes() {
    let storage = FaultyStorage::new();
    let small = Settings { compaction_bytes: 16 * 1024, ..settings() };
    let mut broker = Broker::open(&storage, small, compacted(&[0])).unwrap();
    overwrite(&mut broker, 500, 6);
    let count = broker.count(partition(0));
    broker.clean().unwrap();
    broker.check().unwrap();
    for _ in 0..4 {
        overwrite(&mut broker, 500, 6);
        broker.clean().unwrap();
        broker.check().unwrap();
    }
    let left = broker.count(partition(0));
    assert!(left < count * 2, "{left} of {}", 5 * count);
}

#[test]
fn a_partition_that_is_not_compacted_keeps_everything_beside_one_that_is() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    for n in 0..600 {
        broker.append(&[(partition(0), vec![record(Some("key"), Some(&noise(n, 300)))])]).unwrap();
        if n % 5 == 0 {
            broker
                .append(&[(partition(1), vec![record(Some("key"), Some(&noise(n, 300)))])])
                .unwrap();
        }
    }
    broker.clean().unwrap();
    broker.check().unwrap();
    assert_eq!(broker.count(partition(1)), 120);
    assert!(broker.count(partition(0)) < 200);
}

#[test]
fn a_restart_costs_one_more_look_and_no_more_rewrites() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    overwrite(&mut broker, 10, 60);
    broker.clean().unwrap();
    let segments = files_in(&storage, "segments/", ".segment");
    let mut again = reopened(&storage, broker);
    assert!(again.clean().unwrap() <= 2);
    again.check().unwrap();
    assert_eq!(files_in(&storage, "segments/", ".segment")[0], segments[0]);
}

/// Its loss was accepted, and it stays as it is: no start tries to look into it.
#[test]
fn a_file_with_an_accepted_hole_is_left_alone() {
    let storage = FaultyStorage::new();
    let mut broker = opened(&storage);
    overwrite(&mut broker, 10, 60);
    let history = broker.close();
    let bad = files_in(&storage, "journal/", ".journal")[1].clone();
    let mut bytes = storage.contents(&bad).unwrap();
    let at = bytes.len() / 2;
    bytes[at..at + 2000].fill(0x55);
    storage.set_contents(&bad, &bytes);
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    assert!(!accept_losses(&shared, &Known::default()).unwrap().is_empty());
    let mut broker = Broker::open(&storage, settings(), history).unwrap();
    assert!(broker.clean().unwrap() > 0, "the others are cleaned");
    assert_eq!(storage.contents(&bad).unwrap(), bytes);
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u32, Vec<Record>)>, bool),
    Trim(u32, u64),
    Wait(u64),
    Clean,
    CleanOnce,
    Kill,
    Cut(u64),
    CutCleaning(u64, u64),
}

fn any_record() -> impl Strategy<Value = Record> {
    (prop::option::weighted(0.9, 0..12_u8), prop::option::weighted(0.8, 0..900_usize)).prop_map(
        |(key, value)| {
            let key = key.map(|key| format!("key {key}"));
            record(key.as_deref(), value.map(|bytes| noise(bytes as u64, bytes)).as_deref())
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let append = (0..3_u32, prop::collection::vec(any_record(), 1..5));
    prop_oneof![
        60 => (prop::collection::vec(append, 1..4), any::<bool>())
            .prop_map(|(appends, producer)| Step::Append(appends, producer)),
        2 => (0..3_u32, 0..40_u64).prop_map(|(partition, back)| Step::Trim(partition, back)),
        1 => (0..2 * HOUR).prop_map(Step::Wait),
        2 => Just(Step::Clean),
        3 => Just(Step::CleanOnce),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Cut),
        1 => (1..60_u64, any::<u64>()).prop_map(|(nth, seed)| Step::CutCleaning(nth, seed)),
    ]
}

fn power_cut(storage: &FaultyStorage, broker: Broker, seed: u64) -> Broker {
    let history = broker.stop();
    storage.power_cut(seed);
    Broker::open(storage, settings(), history).unwrap()
}

fn step(storage: &FaultyStorage, mut broker: Broker, step: Step) -> Broker {
    match step {
        Step::Append(appends, producer) => {
            let producer = producer.then_some(ProducerStamp { id: 1, epoch: 1, first_sequence: 0 });
            let appends: Vec<_> =
                appends.into_iter().map(|(to, records)| (partition(to), records)).collect();
            broker.append_as(producer, &appends).unwrap();
        }
        Step::Trim(index, back) => {
            let end = broker.end(partition(index)).0;
            let start = broker.log.start_offset(partition(index)).0;
            broker.trim(partition(index), Offset(end.saturating_sub(back).max(start)));
        }
        Step::Wait(ms) => broker.history.now += ms,
        Step::Clean => _ = broker.clean().unwrap(),
        Step::CleanOnce => _ = broker.clean_once().unwrap(),
        Step::Kill => return reopened(storage, broker),
        Step::Cut(seed) => return power_cut(storage, broker, seed),
        Step::CutCleaning(nth, seed) => {
            storage.stop_at_operation(nth, seed);
            let _ = broker.clean();
            return power_cut(storage, broker, seed);
        }
    }
    broker
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Partitions 0 and 1 are compacted, 2 is not.
    #[test]
    fn compaction_keeps_its_guarantees(steps in prop::collection::vec(any_step(), 50..300)) {
        let storage = FaultyStorage::new();
        let mut broker = Broker::open(&storage, settings(), compacted(&[0, 1])).unwrap();
        for it in steps {
            let checked = !matches!(it, Step::Append(..) | Step::Wait(_));
            broker = step(&storage, broker, it);
            if checked {
                prop_assert_eq!(broker.check(), Ok(()));
            }
        }
        broker.clean().unwrap();
        prop_assert_eq!(broker.check(), Ok(()));
        prop_assert_eq!(reopened(&storage, broker).check(), Ok(()));
    }
}
