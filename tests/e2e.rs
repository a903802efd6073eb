//! Logmill as its users meet it: a real broker, the real command line, real modules.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is tests, which fail by panicking"
)]

mod e2e {
    mod acceptance;
    mod backup;
    mod bad_input;
    mod bench;
    mod broken;
    mod claims;
    mod compression;
    mod consumers;
    mod corrupt;
    mod dedupe;
    mod disk_full;
    mod dlq;
    mod durability;
    mod failures;
    mod filters;
    mod first_minutes;
    mod order;
    mod positions;
    mod python;
    mod reset;
    mod retention;
    mod routers;
    mod saga;
    mod side_door;
    mod state;
    mod trace;
    mod triage;
    mod upgrade;
}

const PROGRAM: logmill_tests::Program =
    logmill_tests::Program::new(env!("CARGO_BIN_EXE_logmill-test-broker"));
