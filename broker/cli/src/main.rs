//! The program `logmill`.

use std::process::ExitCode;

fn main() -> ExitCode {
    logmill_cli::run(std::env::args_os(), logmill_cli::Hooks::default())
}
