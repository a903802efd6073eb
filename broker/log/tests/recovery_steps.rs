//! A recovery is cut off at each of its own steps, by a crash of the process or of the machine, and
//! the next one finds all that the first one had to find.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::{Ends, Running, mix, seeds, settings};
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::SyncSite;
use logmill_model::Csn;

const SEEDS: u64 = 40;

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
enum Stop {
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

/// A directory after a crash in the middle of a write, with commits that nothing proves durable and
/// a torn tail.
fn crashed(seed: u64, stop: Stop) -> (FaultyStorage, Vec<Csn>, Ends) {
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
    let cut = first.is_err();
    if let Ok(mut first) = first {
        first.check_against(&acked, &seen)?;
        first.drop_journal();
    }
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

fn cut_all_recoveries(prepare: &dyn Fn(&FaultyStorage)) -> Result<u64, String> {
    let mut cuts = 0;
    for stops in [
        [Stop::Process, Stop::Process],
        [Stop::Process, Stop::Power],
        [Stop::Power, Stop::Process],
        [Stop::Power, Stop::Power],
    ] {
        for seed in seeds(SEEDS) {
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

#[test]
fn a_recovery_that_is_cut_off_anywhere_loses_nothing() {
    let cuts = cut_all_recoveries(&|_| {}).unwrap();
    assert!(cuts > 4 * SEEDS * 8, "{cuts} cuts");
}

#[test]
fn each_sync_of_a_recovery_is_missed_when_it_is_switched_off() {
    for site in [SyncSite::COPIES, SyncSite::COMPLETION, SyncSite::HEADER, SyncSite::JOURNAL_FOLDER]
    {
        let result = cut_all_recoveries(&|storage| storage.switch_off(site));
        assert!(result.is_err(), "nobody misses the sync of the {site}");
    }
}

#[test]
fn entries_that_nothing_proves_are_written_again_and_stay() {
    let mut superseded = 0;
    for seed in seeds(SEEDS) {
        let (storage, acked, seen) = crashed(seed, Stop::Process);
        let mut first = Running::open(&storage, settings()).unwrap();
        first.check_against(&acked, &seen).unwrap();
        assert!(first.recovered.unclean);
        superseded += first.recovered.superseded_entries;
        let (last, ends) = (first.recovered.last_csn, first.ends.clone());
        first.drop_journal();
        storage.power_cut(mix(seed, 2));
        let second = Running::open(&storage, settings()).unwrap();
        assert_eq!(second.recovered.last_csn, last, "seed {seed}: what was shown is gone");
        second.check_reads(&ends).unwrap();
    }
    assert!(superseded > SEEDS / 2, "{superseded} entries were unproven");
}

/// The tail of one start becomes the source of the next one, and that of the one after.
#[test]
fn many_crashes_in_a_row_lose_nothing() {
    for seed in seeds(SEEDS) {
        let storage = FaultyStorage::new();
        let mut acked = Vec::new();
        let mut seen = Ends::new();
        for round in 0..12 {
            let random = mix(seed, round);
            storage.stop_at_operation(1 + random % 40, random);
            if let Ok(mut running) = Running::open(&storage, settings()) {
                running.check_against(&acked, &seen).unwrap_or_else(|what| {
                    panic!("seed {seed}, round {round}: {what}");
                });
                acked.extend(running.run(20, 1 + random % 5));
                seen.extend(running.seen());
                running.drop_journal();
            }
            let stop = if random.is_multiple_of(3) { Stop::Power } else { Stop::Process };
            stop.apply(&storage, random);
        }
        let last = Running::open(&storage, settings()).unwrap();
        last.check_against(&acked, &seen).unwrap();
    }
}
