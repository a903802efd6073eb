//! A recovery is cut off at each of its own steps.

use logmill_log::faulty::FaultyStorage;
use logmill_model::Csn;

use super::{Ends, Running, mix, seeds, settings};

/// How many crashes are recovered from.
pub(crate) const SEEDS: u64 = 40;

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The process ends; the page cache stays.
    Process,
    /// The machine ends.
    Power,
}

impl Stop {
    pub(crate) fn apply(self, storage: &FaultyStorage, seed: u64) {
        match self {
            Self::Process => storage.restart(),
            Self::Power => storage.power_cut(seed),
        }
    }
}

/// A directory after a crash in the middle of a write, with commits that nothing proves durable and
/// a torn tail.
pub(crate) fn crashed(seed: u64, stop: Stop) -> (FaultyStorage, Vec<Csn>, Ends) {
    let storage = FaultyStorage::new();
    let mut running = Running::open(&storage, settings()).unwrap();
    storage.stop_at_operation(20 + mix(seed, 0) % 60, seed);
    let acked = running.run(200, 1 + seed % 7);
    let seen = running.seen();
    running.drop_journal();
    stop.apply(&storage, mix(seed, 1));
    (storage, acked, seen)
}

/// Cuts the recovery off at its `nth` operation, then recovers for good; returns whether the
/// recovery had so many operations.
fn cut_recovery(
    seed: u64,
    nth: u64,
    stops: [Stop; 2],
    prepare: &dyn Fn(&FaultyStorage),
) -> Result<bool, String> {
    let (storage, acked, seen) = crashed(seed, stops[0]);
    prepare(&storage);
    storage.stop_at_operation(nth, mix(seed, nth));
    let first = Running::open(&storage, settings());
    if let Ok(mut first) = first {
        // A start goes on without an index that it can't write, and so does a reader.
        let checked = first.check_against(&acked, &seen);
        if !storage.has_stopped() {
            checked?;
        }
        first.drop_journal();
    }
    let cut = storage.has_stopped();
    stops[1].apply(&storage, mix(seed, nth + 1));
    let mut second = Running::open(&storage, settings()).map_err(|error| error.to_string())?;
    second.check_against(&acked, &seen)?;
    let more = second.run(3, 3);
    let seen = second.seen();
    second.drop_journal();
    storage.power_cut(mix(seed, nth + 2));
    let third = Running::open(&storage, settings()).map_err(|error| error.to_string())?;
    third.check_against(&more, &seen)?;
    Ok(cut)
}

/// All cuts of all recoveries; the first complaint ends it.
pub(crate) fn cut_all_recoveries(prepare: &dyn Fn(&FaultyStorage)) -> Result<u64, String> {
    let mut cuts = 0;
    for seed in seeds(SEEDS) {
        for stops in [
            [Stop::Process, Stop::Process],
            [Stop::Process, Stop::Power],
            [Stop::Power, Stop::Process],
            [Stop::Power, Stop::Power],
        ] {
            for nth in 1.. {
                let cut = cut_recovery(seed, nth, stops, prepare)
                    .map_err(|what| format!("{stops:?}, seed {seed}, step {nth}: {what}"))?;
                if !cut {
                    break;
                }
                cuts += 1;
            }
        }
    }
    Ok(cuts)
}
