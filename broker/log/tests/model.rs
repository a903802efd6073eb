//! Random histories of a log on a disk that fails, against a reference that is simple enough to be
//! believed.
//!
//! `LOGMILL_SEED` has a run again, beginning with the history that failed.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod harness;
mod model {
    pub(crate) mod operation;
    pub(crate) mod reference;
    pub(crate) mod subject;
}

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

use logmill_log::faulty::FaultyStorage;
use model::operation::{Operation, history};
use model::subject::Subject;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// How many histories are tried, half of them the same ones in each run.
const HISTORIES: u64 = 800;

/// How often a shrunken history is tried.
const TRIES: u32 = 8;
/// How many shrunken histories are tried.
const SHRINKS: u32 = 20_000;

/// A history that went wrong.
struct Wrong {
    why: String,
    seed: u64,
    least: Vec<Operation>,
}

fn runner(seed: u64, shrinks: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, rng)
}

fn try_history(
    seed: u64,
    shrinks: u32,
    disk: impl Fn() -> FaultyStorage,
) -> Result<(), Box<Wrong>> {
    let tries = Cell::new(1);
    let run = |operations: Vec<Operation>| {
        // How commits gather in groups is up to the threads: what is shrunk has more than one try.
        let mut tried = (0..tries.get()).map(|_| Subject::run(disk(), &operations));
        let wrong = tried.find_map(Result::err);
        wrong.map_or(Ok(()), |why| {
            tries.set(TRIES);
            Err(TestCaseError::fail(why))
        })
    };
    let (why, least) = match runner(seed, shrinks).run(&history(), run) {
        Ok(()) => return Ok(()),
        Err(TestError::Fail(why, least)) => (why, least),
        Err(TestError::Abort(why)) => (why, Vec::new()),
    };
    Err(Box::new(Wrong { why: why.to_string(), seed, least }))
}

#[test]
fn a_log_does_what_the_reference_says_through_cuts_and_failures() {
    let again = std::env::var("LOGMILL_SEED").ok();
    let again: Option<u64> = again.map(|seed| seed.parse().expect("LOGMILL_SEED is a number"));
    let fresh = RandomState::new().hash_one(0);
    for nth in harness::seeds(HISTORIES) {
        let seed = match again {
            Some(seed) => seed.wrapping_add(nth),
            None if nth.is_multiple_of(2) => nth / 2,
            None => fresh.wrapping_add(nth / 2),
        };
        if let Err(wrong) = try_history(seed, SHRINKS, FaultyStorage::new) {
            let Wrong { why, seed, least } = *wrong;
            let least: Vec<String> = least.iter().map(|it| format!("\n{it:?}")).collect();
            panic!(
                "{why}\nto have it again: LOGMILL_SEED={seed}\nthe least that fails:{}",
                least.concat()
            );
        }
    }
}

#[test]
fn a_disk_without_syncs_is_found_out() {
    for lie in [FaultyStorage::switch_off_data_syncs, FaultyStorage::switch_off_folder_syncs] {
        let disk = || {
            let storage = FaultyStorage::new();
            lie(&storage);
            storage
        };
        let found = (0..100).any(|seed| try_history(seed, 0, disk).is_err());
        assert!(found, "the histories do not need a disk that keeps its word");
    }
}
