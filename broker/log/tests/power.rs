//! The power is cut at every sync of a history: nothing acknowledged is lost, nothing that a reader
//! saw is gone. With syncs switched off, the same run reports loss.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;

use harness::power_cuts::{SEEDS, cut_everywhere};
use logmill_log::faulty::FaultyStorage;

#[test]
fn a_power_cut_at_any_sync_loses_nothing_acknowledged_or_seen() {
    let cuts = cut_everywhere(&|_| {}).unwrap();
    assert!(cuts > SEEDS * 50, "{cuts} cuts");
}

#[test]
fn with_syncs_switched_off_the_same_run_reports_loss() {
    cut_everywhere(&FaultyStorage::switch_off_data_syncs).unwrap_err();
    cut_everywhere(&FaultyStorage::switch_off_folder_syncs).unwrap_err();
}
