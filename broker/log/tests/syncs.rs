//! Each place in the code that syncs is switched off in turn, and a run that cuts the power must
//! miss it (A3). A new place without such a run fails here, and so does one without a use.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod cleaning;
mod harness;

use std::time::Duration;

use cleaning::cuts::cut_all_cleanings;
use harness::backups::cut_a_backup;
use harness::power_cuts::cut_everywhere;
use harness::recovery_cuts::cut_all_recoveries;
use harness::{Running, entries_of, is_journal, newest_file, restored, settings, snapshot};
use logmill_log::Settings;
use logmill_log::faulty::FaultyStorage;
use logmill_log::storage::SyncSite;

/// Runs over storages that were prepared so, and reports what was lost.
type Scenario = fn(&dyn Fn(&FaultyStorage)) -> Result<(), String>;

/// The quick ones first.
const SCENARIOS: [(&str, Scenario); 6] = [
    ("a flipped bit in the last group", flip_the_last_group),
    ("what a recovery cuts off", lose_the_torn_bytes),
    ("a backup", cut_a_backup),
    ("cuts of cleanings", |prepare| cut_all_cleanings(prepare).map(drop)),
    ("cuts of recoveries", |prepare| cut_all_recoveries(prepare).map(drop)),
    ("cuts at every sync", |prepare| cut_everywhere(prepare).map(drop)),
];

#[test]
fn with_all_syncs_nothing_is_missed() {
    // The last three have tests of their own.
    for (name, scenario) in &SCENARIOS[..2] {
        scenario(&|_| {}).unwrap_or_else(|what| panic!("{name}: {what}"));
    }
}

/// Of other files than the log's: `broker/engine/src/modules/tests.rs` switches them off.
const NOT_OF_THE_LOG: [SyncSite; 2] = [SyncSite::MODULE, SyncSite::MODULES_FOLDER];

#[test]
fn each_sync_is_missed_when_it_is_switched_off() {
    for site in SyncSite::ALL.iter().filter(|site| !NOT_OF_THE_LOG.contains(site)) {
        let missed = |(name, scenario): &(&str, Scenario)| {
            let lost = scenario(&|storage| storage.switch_off(*site)).err()?;
            Some(format!("{site}: missed by {name}: {lost}"))
        };
        match SCENARIOS.iter().find_map(missed) {
            Some(missed) => eprintln!("{missed}"),
            None => panic!("nobody misses the sync of the {site}"),
        }
    }
}

/// A checkpoint closes the window in which a bit that flips in the last group looks like a torn
/// write: then it must not be cut off.
fn flip_the_last_group(prepare: &dyn Fn(&FaultyStorage)) -> Result<(), String> {
    let idle = Settings { checkpoint_after: Duration::from_millis(1), ..settings() };
    for seed in 0..20 {
        let storage = FaultyStorage::new();
        prepare(&storage);
        let mut running = Running::open(&storage, idle.clone()).unwrap();
        // One commit alone: a checkpoint may come after each.
        running.run(1, 1);
        harness::wait_until(|| running.log.stats().checkpoints > 0);
        running.drop_journal();
        storage.power_cut(seed);
        let mut snapshot = snapshot(&storage);
        if !snapshot.keys().any(|path| is_journal(path)) {
            return Err(format!("seed {seed}: the file is gone"));
        }
        let path = newest_file(&snapshot);
        let entries = entries_of(&snapshot[&path]).0;
        let Some((last, _)) = entries.iter().find(|(_, csn)| csn.0 == 1) else {
            return Err(format!("seed {seed}: the last entry is gone"));
        };
        snapshot.get_mut(&path).unwrap()[last + 100] ^= 4;
        match Running::open(&restored(&snapshot), settings()) {
            Ok(running) if !running.log.corrupt().is_empty() => {}
            Err(other) => return Err(format!("seed {seed}: {other}")),
            Ok(_) => return Err(format!("seed {seed}: an acknowledged entry was cut off")),
        }
    }
    Ok(())
}

/// What a recovery cuts off is kept beside.
fn lose_the_torn_bytes(prepare: &dyn Fn(&FaultyStorage)) -> Result<(), String> {
    for seed in 0..20 {
        let storage = FaultyStorage::new();
        let mut running = Running::open(&storage, settings()).unwrap();
        running.run(3, 1);
        running.drop_journal();
        storage.restart();
        let path = newest_file(&snapshot(&storage));
        let bytes = storage.contents(&path).unwrap();
        let (entries, end) = entries_of(&bytes);
        let cut = entries.last().unwrap().0..end - 40;
        storage.set_contents(&path, &bytes[..cut.end]);
        prepare(&storage);
        let mut again = Running::open(&storage, settings()).unwrap();
        again.drop_journal();
        storage.power_cut(seed);
        if storage.contents(&format!("{path}.torn")).unwrap_or_default() != bytes[cut] {
            return Err(format!("seed {seed}: what was cut off is lost"));
        }
    }
    Ok(())
}
