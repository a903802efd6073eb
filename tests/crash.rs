//! The real process, killed with `kill -9` at random moments under load, again and again.
//!
//! `LOGMILL_SEED` has a run again, as far as the machine lets it.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is tests, which fail by panicking"
)]

mod crash {
    mod claims;
    mod cleaning;
    mod compare;
    mod consumers;
    mod handling;
    mod idempotent;
    mod lethal;
    mod producers;
    mod rebuild;
    mod redrive;
    mod routers;
    mod soak;
    mod state;
    mod steps;
    mod sweep;
}

const PROGRAM: logmill_tests::Program =
    logmill_tests::Program::new(env!("CARGO_BIN_EXE_logmill-test-broker"));

/// Compares what became of inputs with what their producers were told.
const LEDGER: logmill_tests::Program =
    logmill_tests::Program::new(env!("CARGO_BIN_EXE_logmill-test-ledger"));
