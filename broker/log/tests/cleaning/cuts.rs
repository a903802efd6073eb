//! Cleanings that are cut off at each of their steps.

#![allow(dead_code, reason = "each test file uses its part of the harness")]

use logmill_log::faulty::FaultyStorage;
use logmill_model::Offset;

use super::{Broker, History, mix, noise, partition, record, settings};

pub(crate) const SEEDS: u64 = 6;

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The process ends; the page cache stays.
    Process,
    /// The machine ends.
    Power,
}

impl Stop {
    fn apply(self, storage: &FaultyStorage, seed: u64) {
        match self {
            Self::Process => storage.restart(),
            Self::Power => storage.power_cut(seed),
        }
    }
}

/// Writes to four partitions, of which one is compacted, and trims some; cleans at times.
fn live(broker: &mut Broker, seed: u64, commits: u64, clean: bool) {
    for n in 0..commits {
        let random = mix(seed, n);
        let bytes = noise(n, usize::try_from(random % 900).unwrap());
        let to = random / 1000 % 4;
        let key = (to == 3).then(|| format!("key {}", random / 4000 % 6));
        let value = (!(random / 77).is_multiple_of(9)).then_some(&bytes[..]);
        let records = vec![record(key.as_deref(), value)];
        broker.append(&[(partition(u32::try_from(to).unwrap()), records)]).unwrap();
        if n % 60 == 59 {
            broker.trim_all(partition(0));
            let start = broker.end(partition(1)).0 / 3 * 2;
            broker.trim(partition(1), Offset(start));
            if clean {
                broker.clean().unwrap();
            }
        }
    }
}

pub(crate) fn prepared(seed: u64) -> (FaultyStorage, Broker) {
    let storage = FaultyStorage::new();
    let mut history = History::default();
    history.compacted.insert(partition(3));
    let mut broker = Broker::open(&storage, settings(), history).unwrap();
    live(&mut broker, seed, 240, seed.is_multiple_of(2));
    live(&mut broker, seed + 1000, 130, false);
    (storage, broker)
}

/// Cuts the cleaning off at its `nth` operation; returns whether it had so many.
fn cut_cleaning(
    seed: u64,
    nth: u64,
    stop: Stop,
    prepare: &dyn Fn(&FaultyStorage),
) -> Result<bool, String> {
    let (storage, mut broker) = prepared(seed);
    prepare(&storage);
    storage.stop_at_operation(nth, mix(seed, nth));
    // A removal that fails stops nobody, but the next commit.
    let cut = broker.clean().is_err() || broker.append_value(partition(2), 9).is_err();
    if !cut {
        broker.check()?;
    }
    let mut history = broker.stop();
    stop.apply(&storage, mix(seed, nth + 1));
    for round in 0..2 {
        let opened = Broker::open(&storage, settings(), history);
        let mut again = opened.map_err(|error| error.to_string())?;
        again.check()?;
        again.clean().map_err(|_| "the cleaning fails".to_owned())?;
        again.check()?;
        live(&mut again, seed + nth, 3, false);
        history = again.stop();
        storage.power_cut(mix(seed, nth + 2 + round));
    }
    let last = Broker::open(&storage, settings(), history).map_err(|error| error.to_string())?;
    last.check()?;
    Ok(cut)
}

/// All steps of all seeds; the first complaint ends it.
pub(crate) fn cut_all_cleanings(prepare: &dyn Fn(&FaultyStorage)) -> Result<u64, String> {
    let mut cuts = 0;
    for stop in [Stop::Process, Stop::Power] {
        for seed in 0..SEEDS {
            for nth in 1.. {
                let cut = cut_cleaning(seed, nth, stop, prepare)
                    .map_err(|what| format!("{stop:?}, seed {seed}, step {nth}: {what}"))?;
                if !cut {
                    break;
                }
                cuts += 1;
            }
        }
    }
    Ok(cuts)
}
