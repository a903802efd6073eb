//! The program that the tests start and kill: the command line of Logmill as it is built with the
//! tests, so that they never run one that was built before.

use std::process::ExitCode;

fn main() -> ExitCode {
    logmill_tests::lifeline::hold();
    let hooks = logmill_cli::Hooks::default()
        .wrap_storage(logmill_tests::mortal_storage::wrap)
        .call_before(logmill_tests::lethal::strike);
    logmill_cli::run(std::env::args_os(), hooks)
}
