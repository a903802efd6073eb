//! The power is cut at every sync of a history (A2).

use logmill_log::faulty::FaultyStorage;
use logmill_model::Csn;

use super::{Ends, Running, mix, seeds, settings};

const COMMITS: u64 = 200;
/// How many histories are cut everywhere.
pub(crate) const SEEDS: u64 = 5;

/// Runs a history until the power is cut at its `nth` sync; returns what was acknowledged and seen,
/// and whether there were as many syncs.
fn run_until_cut(storage: &FaultyStorage, nth: u64, window: u64) -> (Vec<Csn>, Ends, bool) {
    storage.stop_at_sync(nth);
    let Ok(mut running) = Running::open(storage, settings()) else {
        return (Vec::new(), Ends::new(), true);
    };
    let acked = running.run(COMMITS, window);
    let cut = (acked.len() as u64) < COMMITS;
    (acked, running.seen(), cut)
}

/// Cuts the power at the `nth` sync, recovers, writes on, cuts again, recovers again.
fn cut_twice(storage: &FaultyStorage, nth: u64, seed: u64) -> Result<bool, String> {
    let (acked, seen, cut) = run_until_cut(storage, nth, 1 + seed % 5);
    storage.power_cut(mix(seed, nth));
    let mut again = Running::open(storage, settings()).map_err(|error| error.to_string())?;
    again.check_against(&acked, &seen)?;
    let more = again.run(5, 5);
    let seen = again.seen();
    again.drop_journal();
    storage.power_cut(mix(seed + 1, nth));
    let again = Running::open(storage, settings()).map_err(|error| error.to_string())?;
    again.check_against(&more, &seen)?;
    Ok(cut)
}

/// All cuts of all seeds; the first complaint ends it.
pub(crate) fn cut_everywhere(prepare: &dyn Fn(&FaultyStorage)) -> Result<u64, String> {
    let mut cuts = 0;
    for seed in seeds(SEEDS) {
        for nth in 1.. {
            let storage = FaultyStorage::new();
            prepare(&storage);
            let cut = cut_twice(&storage, nth, seed)
                .map_err(|what| format!("seed {seed}, sync {nth}: {what}"))?;
            if !cut {
                break;
            }
            cuts += 1;
        }
    }
    Ok(cuts)
}
