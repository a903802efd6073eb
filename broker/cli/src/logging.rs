//! The program's own log, on stderr. `LOGMILL_LOG` says how much of it, as `RUST_LOG` does
//! elsewhere: `LOGMILL_LOG=debug`, `LOGMILL_LOG=logmill_engine=trace,info`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::Failure;

const VARIABLE: &str = "LOGMILL_LOG";

/// How much is logged when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// A command: only what is wrong.
    Command,
    /// A broker: its life cycle too.
    Broker,
}

/// Starts the log; the first call in a process counts.
pub(crate) fn start(level: Level) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(wish) if !wish.is_empty() => EnvFilter::try_new(&wish)
            .map_err(|error| Failure::usage(format!("bad {VARIABLE} {wish:?}: {error}")))?,
        _ => EnvFilter::new(match level {
            Level::Command => "warn,quinn=error",
            Level::Broker => "info,quinn=warn",
        }),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // A test that runs two commands in one process keeps the first one's log.
    let _ = tracing::subscriber::set_global_default(log);
    Ok(())
}
