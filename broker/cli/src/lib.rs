//! The command line of Logmill: the binary `logmill`, as a library with a thin `main`, so that
//! the tests can build a broker of their own over the same code.
//!
//! Read `cli` first: it is the table of what can be typed. Each verb is a file in `verbs`;
//! there its arguments turn once from what was typed into what is meant, and then it is done.
//! Stdout is written by `Output` alone, and errors are one line on stderr, written here.
#![forbid(unsafe_code)]

mod broker;
mod cli;
mod codec;
mod confirm;
mod connection_file;
mod error;
mod feed;
mod hooks;
mod input;
mod logging;
mod mapping;
mod output;
mod project;
mod quantity;
mod record_json;
mod record_text;
mod session;
mod terminal;
mod time;
mod verbs;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

pub use hooks::Hooks;

use error::Failure;
use output::{Output, OutputFormat};
use session::Session;

/// Does what the command line `args` says (the program's name first), and tells how it ended:
/// 0 did it, 1 could not, 2 wrong usage, 3 did it and the answer is no.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // A broker compiles modules in further processes of its own program.
    if let Some(compiled) = logmill_wasm::compile_if_asked(args.iter().cloned()) {
        return compiled;
    }
    let cli = match cli::Cli::read(&args) {
        Ok(cli) => cli,
        Err(cli::Unread::Told) => return ExitCode::SUCCESS,
        Err(cli::Unread::Wrong(failure)) => return ended(&failure),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(&anyhow::Error::from(error).context("can't start").into()),
    };
    let result = runtime.block_on(cli.run(hooks));
    // A thread may still wait for a line of stdin, and nobody waits for that thread.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

fn ended(failure: &Failure) -> ExitCode {
    if failure.is_told() {
        // Without a stderr there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", failure.line());
    }
    failure.exit_code()
}
