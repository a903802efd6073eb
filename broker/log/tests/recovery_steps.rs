//! A recovery is cut off at each of its own steps, by a crash of the process or of the machine, and
//! the next one finds all that the first one had to find.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::recovery_cuts::{SEEDS, Stop, crashed, cut_all_recoveries};
use harness::{Ends, Running, mix, seeds, settings};
use logmill_log::faulty::FaultyStorage;

#[test]
fn a_recovery_that_is_cut_off_anywhere_loses_nothing() {
    let cuts = cut_all_recoveries(&|_| {}).unwrap();
    assert!(cuts > 4 * SEEDS * 8, "{cuts} cuts");
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
        let last = first.recovered.last_csn;
        first.drop_journal();
        storage.power_cut(mix(seed, 2));
        let second = Running::open(&storage, settings()).unwrap();
        assert_eq!(second.recovered.last_csn, last, "seed {seed}: what was shown is gone");
        second.check().unwrap();
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
                let checked = running.check_against(&acked, &seen);
                if !storage.has_stopped() {
                    checked.unwrap_or_else(|what| panic!("seed {seed}, round {round}: {what}"));
                }
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
