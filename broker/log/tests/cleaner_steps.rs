//! A cleaning is cut off at each of its steps, by a crash of the process or of the machine: every
//! record is there once, before and after.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cleaning;

use cleaning::cuts::{SEEDS, cut_all_cleanings, prepared};
use cleaning::{Broker, SEGMENTS, mix, partition, settings};

#[test]
fn a_cleaning_that_is_cut_off_anywhere_loses_and_doubles_nothing() {
    let cuts = cut_all_cleanings(&|_| {}).unwrap();
    assert!(cuts > SEEDS * 2 * 15, "{cuts} cuts");
}

/// A start removes what a cleaning left, and is cut off in turn.
#[test]
fn a_start_after_a_cut_cleaning_can_be_cut_off_anywhere() {
    for seed in 0..SEEDS {
        for nth in 1..60 {
            let (storage, mut broker) = prepared(seed);
            storage.stop_at_operation(1 + mix(seed, nth) % 40, seed);
            let _ = broker.clean();
            let history = broker.stop();
            storage.restart();
            storage.stop_at_operation(nth, mix(seed, nth));
            let mut history = history;
            if let Ok(mut broker) = Broker::open(&storage, settings(), history.clone()) {
                if broker.append_value(partition(2), 9).is_ok() {
                    broker.check().unwrap();
                }
                history = broker.stop();
            }
            storage.power_cut(mix(seed, nth));
            let again = Broker::open(&storage, settings(), history)
                .unwrap_or_else(|error| panic!("seed {seed}, step {nth}: {error}"));
            again.check().unwrap_or_else(|what| panic!("seed {seed}, step {nth}: {what}"));
            assert!(again.count(SEGMENTS) < 200);
        }
    }
}
